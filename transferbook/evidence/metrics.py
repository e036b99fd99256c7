"""How good predictions are: accuracy, F1, likelihood and calibration, each over all examples at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def classification_scores(logits: Tensor, labels: Tensor, *, bins: int = 10) -> dict[str, float]:
    """The measures of a classifier that the book reports.

    Args:
        logits: unnormalised log-probabilities, shape (N, C), C >= 2.
        labels: class indices, shape (N,).
        bins: of the calibration error.

    Returns:
        `accuracy`, `f1` (the mean over classes, "macro", from scikit-learn), `nll` (mean negative
        log-likelihood, in nats) and `calibration_error`.

    Raises:
        ValueError: if the shapes do not fit; the message gives both.
    """
    from sklearn.metrics import f1_score

    _check(logits, labels)
    predicted = logits.argmax(dim=1)
    return {
        "accuracy": float((predicted == labels).double().mean()),
        "f1": float(f1_score(labels.numpy(), predicted.numpy(), average="macro")),
        "nll": float(F.cross_entropy(logits.double(), labels)),
        "calibration_error": calibration_error(logits.double().softmax(dim=1), labels, bins=bins),
    }


def calibration_error(probabilities: Tensor, labels: Tensor, *, bins: int = 10) -> float:
    r"""Expected calibration error: how far confidence is from accuracy (Guo et al., 2017).

    $\mathrm{ECE} = \sum_b \frac{n_b}{N} \lvert \mathrm{acc}_b - \mathrm{conf}_b \rvert$ over bins of equal
    width of the probability of the predicted class; bin $b$ of $B$ holds $(\frac{b-1}{B}, \frac{b}{B}]$.

    Args:
        probabilities: shape (N, C), rows that sum to 1.
        labels: class indices, shape (N,).
        bins: B, at least 1.

    Returns:
        A number in [0, 1]; 0 if every bin is as accurate as it is confident.

    Raises:
        ValueError: if the shapes do not fit, or a row does not sum to 1 (logits are not probabilities).
    """
    _check(probabilities, labels)
    if not torch.allclose(probabilities.sum(dim=1), probabilities.new_ones(()), atol=1e-4):
        raise ValueError("calibration_error needs rows that sum to 1: apply softmax to logits.")
    confidence, predicted = probabilities.double().max(dim=1)
    correct = (predicted == labels).double()
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, bin_of, correct - confidence)
    return float(gap.abs().sum() / len(labels))


def _check(scores: Tensor, labels: Tensor) -> None:
    if scores.ndim != 2 or scores.shape[1] < 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ValueError(
            f"Expected scores (N, C) with C >= 2 and labels (N,), N >= 1; got {tuple(scores.shape)} and "
            f"{tuple(labels.shape)}."
        )
