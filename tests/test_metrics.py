"""Classification scores against scikit-learn and against cases whose answer is known."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss

from transferbook.evidence import metrics


def test_scores_agree_with_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 3, generator=generator)
    labels = torch.randint(3, (200,), generator=generator)
    scores = metrics.classification_scores(logits, labels)
    predicted = logits.argmax(1)
    assert scores["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert scores["f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert scores["nll"] == pytest.approx(log_loss(labels, logits.double().softmax(1)), abs=1e-7)


def test_calibration_error_of_known_cases():
    # 10 answers at 0.8, 6 right: gap 0.2.  30 answers at 0.6, all right: gap 0.4.
    confidence = torch.tensor([0.8] * 10 + [0.6] * 30)
    labels = torch.tensor([0] * 6 + [1] * 4 + [0] * 30)
    probabilities = torch.stack([confidence, 1 - confidence], dim=1)
    assert metrics.calibration_error(probabilities, labels) == pytest.approx(
        0.25 * 0.2 + 0.75 * 0.4, abs=1e-6
    )
    sure = torch.eye(2)[[0, 1, 1, 0]]
    assert metrics.calibration_error(sure, torch.tensor([0, 1, 1, 0])) == 0
    assert metrics.calibration_error(sure, torch.tensor([1, 0, 0, 1])) == 1


def test_gaps_of_one_bin_cancel_and_gaps_of_two_bins_do_not():
    labels = torch.tensor([0, 1])
    one_bin = torch.tensor([[0.73, 0.27], [0.77, 0.23]])
    assert metrics.calibration_error(one_bin, labels, bins=10) == pytest.approx(0.25)
    two_bins = torch.tensor([[0.65, 0.35], [0.85, 0.15]])
    assert metrics.calibration_error(two_bins, labels, bins=10) == pytest.approx((0.35 + 0.85) / 2)
    assert metrics.calibration_error(two_bins, labels, bins=1) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: metrics.classification_scores(torch.zeros(3, 2), torch.zeros(4).long()),
            r"\(3, 2\) and \(4,\)",
        ),
        (lambda: metrics.classification_scores(torch.zeros(3, 1), torch.zeros(3).long()), "C >= 2"),
        (lambda: metrics.calibration_error(torch.zeros(3, 2), torch.zeros(3).long()), "apply softmax"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
