r"""Distillation: a small network, the student, learns from what a large one, the teacher, says.

A label names one class. A teacher gives all classes a probability, also to wrong ones, and at a temperature
$T$ above 1 the small ones among them grow: $p_T = \operatorname{softmax}(z / T)$.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["feature_loss", "mixed_loss", "soft_loss"]


def soft_loss(student: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    r"""$T^2\, \mathrm{KL}(p_T \,\Vert\, q_T)$ from the teacher's to the student's softened probabilities.

    The gradient of the divergence shrinks as $1/T^2$, so the factor keeps it about as large at each $T$. For
    large $T$ the loss nears half the squared distance of the centred logits, divided by the classes.

    Args:
        student: logits (B, C).
        teacher: logits (B, C); no gradient flows into them.
        temperature: T, above 0.

    Returns:
        The mean over the batch, in nats; 0 where both give the same probabilities.

    Raises:
        ValueError: if the shapes differ, or the temperature is not positive.

    Source: Hinton, Vinyals & Dean (2015), Distilling the knowledge in a neural network.
    """
    if student.shape != teacher.shape or student.ndim != 2:
        raise ValueError(f"Expected two (B, C) logits; got {tuple(student.shape)}, {tuple(teacher.shape)}.")
    if not temperature > 0:
        raise ValueError(f"The temperature must be positive; got {temperature}.")
    said = F.log_softmax(student / temperature, dim=1)
    wanted = F.log_softmax(teacher.detach() / temperature, dim=1)
    return temperature**2 * (wanted.exp() * (wanted - said)).sum(dim=1).mean()


def mixed_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, share: float = 0.5, temperature: float = 2.0
) -> Tensor:
    """`share` of `soft_loss`, and the rest of the cross-entropy with the labels.

    Args:
        student: logits (B, C).
        teacher: logits (B, C).
        labels: classes (B,).
        share: of the teacher, in [0, 1].
        temperature: of the soft part only; labels are learned at temperature 1.

    Raises:
        ValueError: as `soft_loss`, or if `share` is no share.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1]; got {share}.")
    return share * soft_loss(student, teacher, temperature) + (1 - share) * F.cross_entropy(student, labels)


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean squared distance of two feature vectors of length one, $2\,(1 - \cos)$.

    Args:
        student: features (B, D); where the widths differ, a linear map has made them equal.
        teacher: features (B, D); no gradient flows into them.

    Raises:
        ValueError: if the shapes differ.
    """
    if student.shape != teacher.shape or student.ndim != 2:
        raise ValueError(f"Expected features (B, D); got {tuple(student.shape)}, {tuple(teacher.shape)}.")
    gap = F.normalize(student, dim=1) - F.normalize(teacher.detach(), dim=1)
    return gap.square().sum(dim=1).mean()
