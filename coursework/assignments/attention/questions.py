"""Attention: one head with a window, positions, several heads, and what a language model's loss means."""

from __future__ import annotations

from typing import Any

import numpy as np

from coursework.questions import Assignment, Constants, Inputs, Question

ORDERS = {
    "turns": "sine and cosine take turns: columns 0, 2, 4, … hold sines, columns 1, 3, 5, … the cosines",
    "halves": "the left half of the columns holds the sines, the right half the cosines",
}
BASES = {"bits": ("bits", 2.0), "nats": ("nats", float(np.e)), "digits": ("decimal digits", 10.0)}


def constants(rng: np.random.Generator) -> dict[str, Any]:
    """A window and a sharpness; how positions are written; heads and a residual; a unit and a mark."""
    order, unit = str(rng.choice(list(ORDERS))), str(rng.choice(list(BASES)))
    return {
        "window": int(rng.integers(2, 6)),
        "sharp": round(float(rng.uniform(0.3, 2.5)), 2),
        "base": int(rng.integers(20, 400)),
        "order": order,
        "order_rule": ORDERS[order],
        "heads": int(rng.integers(2, 5)),
        "kept": round(float(rng.uniform(0.2, 0.9)), 2),
        "unit": unit,
        "unit_name": BASES[unit][0],
        "padding": int(rng.integers(0, 6)),
        "averaged": str(rng.choice(["tokens", "texts"])),
    }


def softmax(scores: np.ndarray) -> np.ndarray:
    found = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return found / found.sum(axis=-1, keepdims=True)


def head_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    tokens, width, out = rng.integers([1, 2, 1], [12, 6, 5])
    shape = (int(tokens), int(width))
    queries, keys = rng.normal(size=(2, *shape))
    return {"queries": queries, "keys": keys, "values": rng.normal(size=(tokens, out))}


def head_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    """Position by position."""
    queries, keys, values = inputs["queries"], inputs["keys"], inputs["values"]
    found = np.empty(values.shape)
    for place, query in enumerate(queries):
        seen = slice(max(0, place - drawn["window"] + 1), place + 1)
        weights = softmax(drawn["sharp"] * (keys[seen] @ query) / np.sqrt(len(query)))
        found[place] = weights @ values[seen]
    return found


def positions_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    return {"tokens": int(rng.integers(1, 12)), "width": 2 * int(rng.integers(1, 6))}


def positions_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    tokens, width = inputs["tokens"], inputs["width"]
    angles = np.arange(tokens)[:, None] * drawn["base"] ** (-2 * np.arange(width // 2) / width)
    found = np.empty((tokens, width))
    if drawn["order"] == "turns":
        found[:, ::2], found[:, 1::2] = np.sin(angles), np.cos(angles)
    else:
        found[:, : width // 2], found[:, width // 2 :] = np.sin(angles), np.cos(angles)
    return found


def heads_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    tokens, width = int(rng.integers(2, 8)), drawn["heads"] * int(rng.integers(1, 4))
    tables = {name: rng.normal(size=(width, width)) for name in ("to_query", "to_key", "to_value", "to_out")}
    return {"inputs": rng.normal(size=(tokens, width)), **tables}


def heads_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    """All heads at once; every position sees every other."""
    table, heads = inputs["inputs"], drawn["heads"]
    tokens, width = table.shape
    parts = [(table @ inputs[name]).reshape(tokens, heads, -1) for name in ("to_query", "to_key", "to_value")]
    scores = np.einsum("ihd,jhd->hij", parts[0], parts[1]) / np.sqrt(width // heads)
    mixed = np.einsum("hij,jhd->ihd", softmax(scores), parts[2]).reshape(tokens, width)
    return drawn["kept"] * table + (1 - drawn["kept"]) * mixed @ inputs["to_out"]


def loss_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    texts, longest, vocabulary = int(rng.integers(2, 6)), int(rng.integers(2, 8)), int(rng.integers(7, 12))
    allowed = [token for token in range(vocabulary) if token != drawn["padding"]]
    targets = rng.choice(allowed, size=(texts, longest))
    for row in targets[1:]:
        row[int(rng.integers(1, longest + 1)) :] = drawn["padding"]
    return {"logits": rng.normal(0, 2, (texts, longest, vocabulary)), "targets": targets}


def loss_truth(inputs: Inputs, drawn: Constants) -> tuple[float, float]:
    logits, targets = inputs["logits"], inputs["targets"]
    each = []
    for scores, tokens in zip(logits, targets, strict=True):
        places = np.flatnonzero(tokens != drawn["padding"])
        each.append(-np.log(softmax(scores[places])[np.arange(len(places)), tokens[places]]))
    by_text = np.mean([loss.mean() for loss in each])
    nats = np.concatenate(each).mean() if drawn["averaged"] == "tokens" else by_text
    return float(nats / np.log(BASES[drawn["unit"]][1])), float(np.exp(nats))


ASSIGNMENT = Assignment(
    name="attention",
    constants=constants,
    questions=(
        Question("windowed_head", head_inputs, head_truth, cases=10),
        Question("positions", positions_inputs, positions_truth, cases=10),
        Question("block", heads_inputs, heads_truth),
        Question("language_loss", loss_inputs, loss_truth, cases=10),
    ),
)
