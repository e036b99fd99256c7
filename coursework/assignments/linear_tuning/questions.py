"""Descent from a source, what it cannot forget, the penalty that it equals, and how far to trust."""

from __future__ import annotations

from typing import Any

import numpy as np

from coursework.questions import Assignment, Constants, Inputs, Question

LEFT = {
    "share": "the share of its squared length that stays",
    "length": "the length of what stays",
}


def constants(rng: np.random.Generator) -> dict[str, Any]:
    """A rate, steps and a decay; what is asked of the part that stays; steps again; two noises."""
    left = str(rng.choice(list(LEFT)))
    return {
        "rate": round(float(rng.uniform(0.2, 0.95)), 2),
        "steps": int(rng.integers(3, 40)),
        "decay": round(float(rng.uniform(0.05, 0.4)), 2),
        "towards": str(rng.choice(["zero", "the source"])),
        "left": left,
        "left_rule": LEFT[left],
        "times": int(rng.integers(5, 60)),
        "fraction": round(float(rng.uniform(0.3, 0.9)), 2),
        "noise": round(float(rng.uniform(0.8, 3)), 2),
        "source_noise": round(float(rng.uniform(0.2, 1)), 2),
        "source_count": int(rng.integers(20, 90)),
    }


def tuned_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    count, width = int(rng.integers(3, 12)), int(rng.integers(2, 7))
    inputs = rng.normal(size=(count, width)) * rng.uniform(0.4, 2, width)
    return {"source": rng.normal(size=width), "inputs": inputs, "targets": rng.normal(0, 2, count)}


def tuned_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    """In closed form, direction by direction of the penalised loss's curvature."""
    table, source, count = inputs["inputs"], inputs["source"], len(inputs["inputs"])
    plain = table.T @ table / count
    rate = drawn["rate"] / np.linalg.eigvalsh(plain)[-1]
    curvature = plain + drawn["decay"] * np.eye(len(source))
    anchor = source if drawn["towards"] == "the source" else 0 * source
    best = np.linalg.solve(curvature, table.T @ inputs["targets"] / count + drawn["decay"] * anchor)
    values, directions = np.linalg.eigh(curvature)
    shrink = (1 - rate * values) ** drawn["steps"]
    return best + directions @ (shrink * (directions.T @ (source - best)))


def stays_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    width = int(rng.integers(3, 8))
    rank = int(rng.integers(1, width))
    inputs = rng.normal(size=(int(rng.integers(rank, 12)), rank)) @ rng.normal(size=(rank, width))
    return {"source": rng.normal(0, 2, width), "inputs": inputs}


def stays_truth(inputs: Inputs, drawn: Constants) -> float:
    """The part of the source without any share in the rows of the inputs."""
    source, table = inputs["source"], inputs["inputs"]
    stays = source - np.linalg.pinv(table, rcond=1e-9) @ (table @ source)
    if drawn["left"] == "share":
        return float(stays @ stays / (source @ source))
    return float(np.sqrt(stays @ stays))


def penalty_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    return {"curvatures": np.sort(rng.uniform(0.02, 3, int(rng.integers(1, 7))))[::-1].copy()}


def penalty_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    """So that s / (s + penalty) is the share that descent has gone."""
    curvatures = inputs["curvatures"]
    left = (1 - drawn["fraction"] * curvatures / curvatures.max()) ** drawn["times"]
    return curvatures * left / (1 - left)


def trust_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    counts = rng.integers(1, 300, size=int(rng.integers(1, 9)))
    return {"counts": counts, "gap": float(rng.uniform(0.05, 1.5))}


def trust_truth(inputs: Inputs, drawn: Constants) -> tuple[np.ndarray, np.ndarray]:
    """The mix with the smallest expected squared error, and that error."""
    own = drawn["noise"] ** 2 / inputs["counts"]
    other = drawn["source_noise"] ** 2 / drawn["source_count"] + inputs["gap"] ** 2
    return own / (own + other), own * other / (own + other)


ASSIGNMENT = Assignment(
    name="linear_tuning",
    constants=constants,
    questions=(
        Question("tuned", tuned_inputs, tuned_truth, cases=8),
        Question("what_stays", stays_inputs, stays_truth, cases=10),
        Question("equal_penalty", penalty_inputs, penalty_truth, cases=8),
        Question("trust", trust_inputs, trust_truth, cases=8),
    ),
)
