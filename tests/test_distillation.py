"""Distillation's losses against torch's own, by hand, and at the ends of their settings."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from transferbook.learning import distillation


def logits(seed: int, rows: int = 5, classes: int = 4) -> torch.Tensor:
    return 3 * torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_soft_loss_is_torchs_divergence_times_the_square(temperature):
    student, teacher = logits(0), logits(1)
    said = (student / temperature).log_softmax(1)
    wanted = (teacher / temperature).softmax(1)
    expected = temperature**2 * F.kl_div(said, wanted, reduction="batchmean")
    torch.testing.assert_close(distillation.soft_loss(student, teacher, temperature), expected)


def test_soft_loss_by_hand():
    student = torch.tensor([[0.0, 0.0]])
    teacher = torch.tensor([[2 * math.log(3.0), 0.0]])  # at temperature 2: three quarters and a quarter
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    assert float(distillation.soft_loss(student, teacher, 2.0)) == pytest.approx(expected, rel=1e-6)


def test_a_student_that_agrees_has_no_loss_whatever_is_added_to_its_logits():
    teacher = logits(1)
    assert float(distillation.soft_loss(teacher + 7, teacher, 3.0)) == pytest.approx(0, abs=1e-12)
    assert float(distillation.soft_loss(logits(0), teacher, 3.0)) > 0.01


def test_soft_loss_matches_centred_logits_at_high_temperature():
    student, teacher = logits(0), logits(1)
    gap = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    expected = gap.square().sum(1).mean() / (2 * student.shape[1])
    torch.testing.assert_close(distillation.soft_loss(student, teacher, 1e3), expected, rtol=0.02, atol=0)


def test_the_gradient_flows_into_the_student_alone():
    student, teacher = logits(0).requires_grad_(), logits(1).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: distillation.soft_loss(s, teacher.detach(), 2.0), student)
    distillation.soft_loss(student, teacher).backward()
    assert teacher.grad is None
    features = logits(2).requires_grad_()
    distillation.feature_loss(student, features).backward()
    assert features.grad is None


def test_mixed_loss_is_a_weighted_sum():
    student, teacher, labels = logits(0), logits(1), torch.tensor([0, 3, 1, 1, 2])
    soft, hard = distillation.soft_loss(student, teacher, 3.0), F.cross_entropy(student, labels)
    mixed = distillation.mixed_loss(student, teacher, labels, share=0.3, temperature=3.0)
    torch.testing.assert_close(mixed, 0.3 * soft + 0.7 * hard)
    torch.testing.assert_close(distillation.mixed_loss(student, teacher, labels, share=0), hard)


def test_feature_loss_is_twice_one_minus_the_cosine():
    student, teacher = logits(0), logits(1)
    expected = 2 * F.cosine_embedding_loss(student, teacher, torch.ones(5))
    torch.testing.assert_close(distillation.feature_loss(student, teacher), expected)
    assert float(distillation.feature_loss(5 * teacher, teacher)) == pytest.approx(0, abs=1e-12)


def test_bad_input_gets_one_sentence():
    with pytest.raises(ValueError, match=r"two \(B, C\) logits; got \(5, 4\), \(5, 3\)"):
        distillation.soft_loss(logits(0), logits(1, classes=3))
    with pytest.raises(ValueError, match="positive; got 0"):
        distillation.soft_loss(logits(0), logits(1), 0)
    with pytest.raises(ValueError, match=r"in \[0, 1\]; got 1\.5"):
        distillation.mixed_loss(logits(0), logits(1), torch.zeros(5).long(), share=1.5)
    with pytest.raises(ValueError, match=r"got \(5, 4\), \(4, 4\)"):
        distillation.feature_loss(logits(0), logits(1, rows=4))
