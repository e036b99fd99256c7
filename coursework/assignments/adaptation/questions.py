"""Features aligned by their covariances, a distance of kernels, other frequencies, weighted scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from coursework.questions import Assignment, Constants, Inputs, Question

MEANS = {"target": "the mean of the target", "source": "its own mean, as it was"}
WAYS = {
    "all": "all pairs count, those of a point with itself as well",
    "others": "within a sample, the pairs of a point with itself do not count",
}


def constants(rng: np.random.Generator) -> dict[str, Any]:
    """A floor and a mean; a width and which pairs; a smallest share; a bound and a rule for weights."""
    mean, way = str(rng.choice(list(MEANS))), str(rng.choice(list(WAYS)))
    return {
        "floor": round(float(rng.uniform(0.1, 2)), 2),
        "mean": mean,
        "mean_rule": MEANS[mean],
        "width": round(float(rng.uniform(0.6, 3)), 2),
        "way": way,
        "way_rule": WAYS[way],
        "least": round(float(rng.uniform(0.01, 0.06)), 3),
        "most": round(float(rng.uniform(1.5, 5)), 2),
        "divided": str(rng.choice(["number of examples", "sum of the weights"])),
    }


def power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    values, directions = np.linalg.eigh(matrix)
    return directions * values**exponent @ directions.T


def aligned_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    width = int(rng.integers(1, 5))
    shapes = rng.normal(size=(2, width, width))
    source, target = (
        rng.normal(rng.normal(0, 2), 1, (int(rng.integers(3, 15)), width)) @ shape for shape in shapes
    )
    return {"source": source, "target": target}


def aligned_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    source, target = inputs["source"], inputs["target"]
    floor = drawn["floor"] * np.eye(source.shape[1])
    covariances = [np.cov(part, rowvar=False).reshape(floor.shape) + floor for part in (source, target)]
    centred = (source - source.mean(axis=0)) @ power(covariances[0], -0.5) @ power(covariances[1], 0.5)
    return centred + (target if drawn["mean"] == "target" else source).mean(axis=0)


def distance_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    width = int(rng.integers(1, 4))
    first = rng.normal(0, 1, (int(rng.integers(2, 10)), width))
    return {"first": first, "second": rng.normal(rng.normal(), 1.5, (int(rng.integers(2, 10)), width))}


def distance_truth(inputs: Inputs, drawn: Constants) -> float:
    """Pair by pair."""

    def mean(one: np.ndarray, other: np.ndarray, same: bool) -> float:
        values = [
            np.exp(-((a - b) @ (a - b)) / (2 * drawn["width"] ** 2))
            for i, a in enumerate(one)
            for j, b in enumerate(other)
            if not (same and i == j and drawn["way"] == "others")
        ]
        return float(np.mean(values))

    first, second = inputs["first"], inputs["second"]
    return mean(first, first, True) + mean(second, second, True) - 2 * mean(first, second, False)


def shares_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    """Counts of a confusion that can be inverted, and predictions on a target with shares of its own."""
    classes = int(rng.integers(2, 5))
    confusion = rng.integers(1, 8, (classes, classes)) + 25 * np.eye(classes, dtype=int)
    shares = rng.dirichlet(np.full(classes, 0.5))
    seen = rng.multinomial(400, (confusion / confusion.sum(axis=1, keepdims=True)).T @ shares)
    return {"confusion": confusion, "predicted": np.repeat(np.arange(classes), seen)[rng.permutation(400)]}


def shares_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    confusion = inputs["confusion"]
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    seen = np.bincount(inputs["predicted"], minlength=len(confusion)) / len(inputs["predicted"])
    shares = np.maximum(np.linalg.solve(rates.T, seen), drawn["least"])
    return shares / shares.sum()


def score_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    count, classes = int(rng.integers(5, 40)), int(rng.integers(2, 5))
    labels = rng.integers(0, classes, count)
    shares = rng.dirichlet(np.full(classes, 0.7))
    if rng.random() < 0.5:  # a class that is rare in the source and frequent in the target
        count = int(rng.integers(20, 40))
        labels, shares[0] = rng.integers(1, classes, count), 1.0
        shares /= shares.sum()
    labels[:classes] = np.arange(classes)
    predicted = np.where(rng.random(count) < 0.6, labels, rng.integers(0, classes, count))
    return {"labels": labels, "predicted": predicted, "shares": shares}


def score_truth(inputs: Inputs, drawn: Constants) -> float:
    labels, count = inputs["labels"], len(inputs["labels"])
    weights = np.array([inputs["shares"][label] / (labels == label).mean() for label in labels])
    weights = np.minimum(weights, drawn["most"])
    right = float(weights @ (labels == inputs["predicted"]))
    return right / (count if drawn["divided"] == "number of examples" else float(weights.sum()))


ASSIGNMENT = Assignment(
    name="adaptation",
    constants=constants,
    questions=(
        Question("aligned", aligned_inputs, aligned_truth, cases=8),
        Question("kernel_distance", distance_inputs, distance_truth, cases=10),
        Question("target_shares", shares_inputs, shares_truth, cases=20),
        Question("target_score", score_inputs, score_truth, cases=20),
    ),
)
