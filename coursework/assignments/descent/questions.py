"""Descent with momentum and a schedule, a gradient, the largest rate that works, and the noise of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from coursework.questions import Assignment, Constants, Inputs, Question

MOMENTA = {
    "plain": "the gradient is taken where the weights are",
    "ahead": "the gradient is taken ahead, at $w + \\mu v$ (Nesterov's momentum)",
}
SIDES = {"0 and 1": (0, 1), "-1 and +1": (-1, 1)}


def constants(rng: np.random.Generator) -> dict[str, Any]:
    """A rate, its decay and a momentum; labels, a weight and a penalty; a loss; a batch."""
    momentum = str(rng.choice(list(MOMENTA)))
    return {
        "rate": round(float(rng.uniform(0.3, 0.9)), 2),
        "decay": round(float(rng.uniform(0.05, 0.5)), 2),
        "momentum": round(float(rng.uniform(0.2, 0.8)), 2),
        "kind": momentum,
        "where": MOMENTA[momentum],
        "labels": str(rng.choice(list(SIDES))),
        "weight": round(float(rng.uniform(1.5, 6)), 1),
        "penalty": round(float(rng.uniform(0.05, 0.8)), 2),
        "loss": str(rng.choice(["sum", "mean"])),
        "ridge": round(float(rng.uniform(0.2, 5)), 1),
        "batch": int(rng.integers(3, 30)),
        "drawn": str(rng.choice(["with", "without"])),
    }


def descent_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    width = int(rng.integers(2, 6))
    table = rng.normal(size=(width + 3, width)) * rng.uniform(0.5, 2, width)
    return {
        "curvature": table.T @ table / len(table),
        "towards": rng.normal(size=width),
        "start": rng.normal(0, 2, width),
        "steps": int(rng.integers(1, 12)),
    }


def descent_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    """Position and velocity as one linear map, applied step by step."""
    curvature, towards = inputs["curvature"], inputs["towards"]
    width, momentum = len(towards), drawn["momentum"]
    largest = np.linalg.eigvalsh(curvature)[-1]
    state = np.concatenate([inputs["start"], np.zeros(width)])
    for step in range(inputs["steps"]):
        rate = drawn["rate"] / largest / (1 + drawn["decay"] * step)
        pull = np.hstack([curvature, (drawn["kind"] == "ahead") * momentum * curvature])
        velocity = np.hstack([np.zeros((width, width)), momentum * np.eye(width)]) - rate * pull
        both = np.vstack([np.hstack([np.eye(width), np.zeros((width, width))]) + velocity, velocity])
        state = both @ state + rate * np.concatenate([towards, towards])
    return state[:width]


def gradient_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    count, width = int(rng.integers(5, 25)), int(rng.integers(2, 6))
    sides = SIDES[drawn["labels"]]
    labels = rng.choice(sides, size=count)
    labels[:2] = sides
    return {"weights": rng.normal(size=width), "inputs": rng.normal(size=(count, width)), "labels": labels}


def gradient_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    """Each example's pull times its share, and the penalty on all weights but the last."""
    weights, table = inputs["weights"], inputs["inputs"]
    sign = np.where(inputs["labels"] == 1, 1.0, -1.0)
    share = np.where(sign > 0, drawn["weight"], 1.0)
    pull = -share * sign / (1 + np.exp(sign * (table @ weights)))
    shrink = drawn["penalty"] * weights
    shrink[-1] = 0.0
    return table.T @ pull / share.sum() + shrink


def rate_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    count, width = int(rng.integers(4, 30)), int(rng.integers(1, 6))
    return {"inputs": rng.normal(rng.normal(), rng.uniform(0.3, 3, width), (count, width))}


def rate_truth(inputs: Inputs, drawn: Constants) -> float:
    """Two over the largest curvature, from the singular values."""
    table = inputs["inputs"]
    count = len(table) if drawn["loss"] == "mean" else 1
    largest = np.linalg.svd(table, compute_uv=False)[0] ** 2
    return float(2 / (2 * largest / count + drawn["ridge"]))


def noise_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    shape = (drawn["batch"] + int(rng.integers(1, 40)), int(rng.integers(1, 5)))
    return {"gradients": rng.normal(rng.normal(), rng.uniform(0.5, 2), shape)}


def noise_truth(inputs: Inputs, drawn: Constants) -> float:
    """The variance of a mean, with the correction for a finite population where it applies."""
    gradients, batch = inputs["gradients"], drawn["batch"]
    count = len(gradients)
    spread = float(((gradients - gradients.mean(axis=0)) ** 2).sum() / count)
    left = 1.0 if drawn["drawn"] == "with" else (count - batch) / (count - 1)
    return spread / batch * left


ASSIGNMENT = Assignment(
    name="descent",
    constants=constants,
    questions=(
        Question("descended", descent_inputs, descent_truth),
        Question("gradient", gradient_inputs, gradient_truth),
        Question("largest_rate", rate_inputs, rate_truth),
        Question("batch_noise", noise_inputs, noise_truth),
    ),
)
