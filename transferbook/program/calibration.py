"""Probabilities that mean what they say: a temperature, abstaining, and what a reliability diagram draws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LOWEST, HIGHEST = 0.02, 50.0  # temperatures; outside of these, one class or all are as good as certain


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    r"""The temperature $T$ that calibrates the softmax of logits divided by it (Guo et al., 2017).

    Minimises the negative log-likelihood of $\mathrm{softmax}(z / T)$ over $T$ alone, so the predicted class
    stays. Each label counts as $(N + 1)/(N + 2)$ of itself, and the other classes share the rest (after
    Platt, 1999), so that few examples, all of them right, do not ask for certainty.

    Args:
        logits: of labelled examples that trained nothing, shape (N, C), N >= 1, C >= 2.
        labels: class indices, shape (N,).

    Returns:
        $T$ between 0.02 and 50; above 1 where the logits were too sure.

    Raises:
        ValueError: if the shapes do not fit, or a logit is not finite.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    if logits.ndim != 2 or logits.shape[1] < 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(
            f"fit_temperature needs logits (N, C), C >= 2, and labels (N,), N >= 1; got "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}."
        )
    z = logits.double().numpy()
    if not np.isfinite(z).all():
        raise ValueError("fit_temperature needs finite logits; some are not.")
    examples, classes = z.shape
    targets = np.full(z.shape, 1 / (examples + 2) / (classes - 1))
    targets[np.arange(examples), labels.numpy()] = (examples + 1) / (examples + 2)

    def loss(log_temperature: float) -> float:
        return -float((targets * log_softmax(z / math.exp(log_temperature), axis=1)).sum())

    found = minimize_scalar(loss, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded")
    return math.exp(found.x)


def decide(probabilities: Tensor, abstain_below: float = 0.0) -> Tensor:
    """The predicted class of each row, or -1 where its probability lies below `abstain_below`.

    Args:
        probabilities: shape (N, C).
        abstain_below: from 0 (never abstain) to 1.

    Returns:
        Class indices, shape (N,), int64.

    Raises:
        ValueError: if `abstain_below` is out of range.
    """
    if not 0 <= abstain_below <= 1:
        raise ValueError(f"abstain_below is {abstain_below}; it must lie between 0 and 1.")
    confidence, predicted = probabilities.max(dim=1)
    return torch.where(confidence < abstain_below, -1, predicted)


@dataclass(frozen=True)
class Bin:
    """One point of a reliability diagram: examples whose confidence lies in a range.

    Attributes:
        count: how many there are.
        confidence: their mean confidence.
        accuracy: the share of them that is right.
    """

    count: int
    confidence: float
    accuracy: float


def reliability(probabilities: Tensor, labels: Tensor, bins: int = 10) -> list[Bin]:
    r"""Accuracy against confidence, for the bins of equal width of `metrics.calibration_error`.

    Args:
        probabilities: shape (N, C).
        labels: class indices, shape (N,).
        bins: their number $B$; bin $b$ holds confidences in $(\frac{b-1}{B}, \frac{b}{B}]$.

    Returns:
        The bins that hold an example, from the lowest confidence to the highest.
    """
    confidence, predicted = probabilities.double().max(dim=1)
    right = (predicted == labels).double()
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    found = []
    for number in bin_of.unique().tolist():
        inside = bin_of == number
        mean = float(confidence[inside].mean())
        found.append(Bin(int(inside.sum()), mean, float(right[inside].mean())))
    return found
