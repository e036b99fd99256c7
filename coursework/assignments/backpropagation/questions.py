"""A network of two layers, a tape of operations, a normalisation, and gradients that are clipped."""

from __future__ import annotations

from typing import Any

import numpy as np

from coursework.questions import Assignment, Constants, Inputs, Question

BENDS = {
    "tanh": "the hyperbolic tangent",
    "softplus": "the softplus $\\ln(1 + e^z)$",
    "swish": "the swish $z / (1 + e^{-z})$",
}
CLIPS = {
    "all": "where the three together are longer, one number scales all of them down to it",
    "each": "where one of the three by itself is longer, that one is scaled down to it",
}


def constants(rng: np.random.Generator) -> dict[str, Any]:
    """A bend, a loss and a decay; what two operations do; a normalisation; how gradients are clipped."""
    bend, clip = str(rng.choice(list(BENDS))), str(rng.choice(list(CLIPS)))
    return {
        "bend": bend,
        "bend_name": BENDS[bend],
        "stretch": round(float(rng.uniform(0.5, 2.5)), 2),
        "decay": round(float(rng.uniform(0.05, 0.9)), 2),
        "mix": round(float(rng.uniform(0.3, 3)), 1),
        "bump": round(float(rng.uniform(0.3, 2)), 1),
        "axis": str(rng.choice(["row", "column"])),
        "floor": round(float(rng.uniform(0.05, 0.6)), 2),
        "gain": round(float(rng.uniform(0.5, 3)), 1),
        "clip": clip,
        "clip_rule": CLIPS[clip],
        "most": round(float(rng.uniform(1, 4)), 2),
        "batches": int(rng.integers(2, 9)),
    }


def network_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    count, wide, hidden, out = rng.integers([3, 2, 2, 1], [9, 5, 6, 4])
    return {
        "inputs": rng.normal(size=(count, wide)),
        "targets": rng.normal(size=(count, out)),
        "first": rng.normal(size=(wide, hidden)),
        "shift": rng.normal(size=hidden),
        "second": rng.normal(size=(hidden, out)),
    }


def network_truth(inputs: Inputs, drawn: Constants) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By differentiating the output's derivative with respect to every number, one example after another."""
    first, shift, second = inputs["first"], inputs["shift"], inputs["second"]
    found = [np.zeros_like(first), np.zeros_like(shift), np.zeros_like(second)]
    stretch, size = drawn["stretch"], inputs["targets"].size
    for row, target in zip(inputs["inputs"], inputs["targets"], strict=True):
        z = stretch * (row @ first + shift)
        sigmoid = 1 / (1 + np.exp(-z))
        bent, slope = {
            "tanh": (np.tanh(z), 1 - np.tanh(z) ** 2),
            "softplus": (np.log1p(np.exp(z)), sigmoid),
            "swish": (z * sigmoid, sigmoid + z * sigmoid * (1 - sigmoid)),
        }[drawn["bend"]]
        error = 2 * (bent @ second - target) / size
        back = (second @ error) * slope * stretch
        found[0] += np.outer(row, back)
        found[1] += back
        found[2] += np.outer(bent, error)
    return found[0] + drawn["decay"] * first, found[1], found[2] + drawn["decay"] * second


def tape_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    count = int(rng.integers(2, 5))
    kinds, left, right = [], [], []
    for place in range(count, count + int(rng.integers(3, 9))):
        kinds.append(str(rng.choice(["add", "times", "mix", "bump"])))
        left.append(int(rng.integers(max(0, place - 3), place)))
        right.append(int(rng.integers(max(0, place - 3), place)))
    leaves = rng.uniform(-1.5, 1.5, count)
    return {"leaves": leaves, "kinds": kinds, "left": np.array(left), "right": np.array(right)}


def tape_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    """Forwards: every value carries its derivatives with respect to all leaves."""
    count = len(inputs["leaves"])
    values = [(float(leaf), np.eye(count)[place]) for place, leaf in enumerate(inputs["leaves"])]
    for kind, left, right in zip(inputs["kinds"], inputs["left"], inputs["right"], strict=True):
        (a, da), (b, db) = values[left], values[right]
        if kind == "add":
            values.append((a + b, da + db))
        elif kind == "times":
            values.append((a * b, b * da + a * db))
        elif kind == "mix":
            values.append((a * a * b - drawn["mix"] * b, 2 * a * b * da + (a * a - drawn["mix"]) * db))
        else:
            bump = np.exp(-drawn["bump"] * a * a)
            values.append((bump, -2 * drawn["bump"] * a * bump * da))
    return values[-1][1]


def norm_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    shape = (int(rng.integers(2, 7)), int(rng.integers(2, 7)))
    table = rng.normal(rng.normal(0, 2), rng.uniform(0.3, 3), shape)
    if rng.random() < 0.3:
        table[0, :] = table[:, 0] = 2.5  # a row and a column that do not vary
    return {"table": table, "above": rng.normal(size=shape)}


def norm_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    """With the full matrix of derivatives of each line."""
    table, above = inputs["table"], inputs["above"]
    if drawn["axis"] == "column":
        table, above = table.T, above.T
    found = np.empty_like(table)
    for place, (line, up) in enumerate(zip(table, above, strict=True)):
        count, centred = len(line), line - line.mean()
        size = np.sqrt((centred**2).mean() + drawn["floor"])
        centring = np.eye(count) - 1 / count
        jacobian = centring / size - np.outer(centred, centred) / (count * size**3)
        found[place] = drawn["gain"] * jacobian @ up
    return found.T if drawn["axis"] == "column" else found


def clip_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    scale = drawn["most"] * rng.choice([0.2, 0.6, 1.5, 4.0])
    parts = [rng.normal(0, scale, (drawn["batches"], *shape)) for shape in ((2, 3), (3,), (1, 2))]
    return {"first": parts[0], "second": parts[1], "third": parts[2]}


def clip_truth(inputs: Inputs, drawn: Constants) -> tuple[np.ndarray, ...]:
    means = [inputs[name].mean(axis=0) for name in ("first", "second", "third")]
    lengths = [np.sqrt((mean**2).sum()) for mean in means]
    if drawn["clip"] == "all":
        lengths = [np.sqrt(sum(length**2 for length in lengths))] * 3
    return tuple(mean * min(1.0, drawn["most"] / length) for mean, length in zip(means, lengths, strict=True))


ASSIGNMENT = Assignment(
    name="backpropagation",
    constants=constants,
    questions=(
        Question("network_gradients", network_inputs, network_truth),
        Question("tape_gradients", tape_inputs, tape_truth, cases=20),
        Question("norm_gradient", norm_inputs, norm_truth, cases=10),
        Question("clipped", clip_inputs, clip_truth, cases=12),
    ),
)
