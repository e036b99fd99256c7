"""Distances between the features of two domains that an encoder can be trained to shrink."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transferbook.evidence import rounding

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the median squared distance: the squared bandwidths of `mmd`


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    r"""Squared distance between the covariances of two feature batches (Sun & Saenko, 2016).

    $\ell = \frac{1}{4d^2}\lVert C_S - C_T\rVert_F^2$ with unbiased covariances $C$.

    Args:
        source: features of labelled source examples, shape (n, d), n >= 2.
        target: features of unlabelled target examples, shape (m, d), m >= 2.

    Returns:
        A scalar, differentiable in both arguments; 0 if the covariances agree.

    Raises:
        ValueError: if the widths differ or a batch has fewer than two rows; the message gives both shapes.
    """
    check_samples(source, target, rows=2)
    difference = _covariance(source) - _covariance(target)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def coral_transform(source: Tensor, target: Tensor, ridge: float = 1.0) -> Tensor:
    r"""Source features with the target's covariance: whitened, then coloured (Sun, Feng & Saenko, 2016).

    $x \mapsto (C_S + rI)^{-1/2} (C_T + rI)^{1/2} (x - \mu_S) + \mu_T$ with symmetric roots, row by row. The
    original leaves the means alone and expects centred features; here the means are moved as well.

    Args:
        source: features, shape (n, d), n >= 2.
        target: features, shape (m, d), m >= 2.
        ridge: r > 0, added to both covariances; the result has mean $\mu_T$, and covariance $C_T$ as r goes
            to 0 if $C_S$ is not singular.

    Returns:
        Shape (n, d), of the type of `source`.

    Raises:
        ValueError: as `coral_loss`, or if `ridge` is not positive.
    """
    check_samples(source, target, rows=2)
    if not ridge > 0:
        raise ValueError(f"ridge must be positive; got {ridge}.")
    start, end = source.detach().double(), target.detach().double()
    identity = torch.eye(source.shape[1], dtype=torch.float64, device=source.device)
    whiten = _symmetric_power(_covariance(start) + ridge * identity, -0.5, ridge)
    colour = _symmetric_power(_covariance(end) + ridge * identity, 0.5, ridge)
    return ((start - start.mean(dim=0)) @ whiten @ colour + end.mean(dim=0)).to(source.dtype)


def mmd(source: Tensor, target: Tensor, bandwidths: Sequence[float] | None = None) -> Tensor:
    r"""Squared maximum mean discrepancy, the unbiased estimate (Gretton et al., 2012, lemma 6).

    $\frac{1}{n(n-1)} \sum_{i \ne j} k(s_i, s_j) + \frac{1}{m(m-1)} \sum_{i \ne j} k(t_i, t_j) -
    \frac{2}{nm} \sum_{i,j} k(s_i, t_j)$, where k is the mean of the kernels $e^{-\lVert x-y\rVert^2 / 2b}$
    over the squared bandwidths b. Distances are computed in float64 from centred features, for otherwise an
    offset that all features share would drown them. A feature that is constant up to the rounding of its type
    does not count.

    Args:
        source: features, shape (n, d), n >= 2.
        target: features, shape (m, d), m >= 2.
        bandwidths: squared, all positive; by default `FACTORS` times the median squared distance of the
            pooled batch, through which no gradient flows (its mean, if the median is 0).

    Returns:
        A scalar, differentiable in both arguments; below 0 in about half of all cases if the distributions
        agree.

    Raises:
        ValueError: as `coral_loss`, or if a bandwidth is not positive.
    """
    check_samples(source, target, rows=2)
    given = torch.cat([source, target])
    pooled = given.double() - given.detach().double().mean(dim=0)
    pooled = pooled.where(~rounding.constant_columns(given), 0.0)
    squares = (pooled * pooled).sum(dim=1)
    distances = (squares[:, None] + squares - 2 * pooled @ pooled.T).clamp(min=0)  # squared, (n + m, n + m)
    if bandwidths is None:
        apart = ~torch.eye(len(pooled), dtype=torch.bool, device=pooled.device)
        squared = distances.detach()[apart]
        nothing = 1e-14 * squares.detach().max()  # more than rounding leaves of the distance of equal rows
        median = squared.median()
        scale = median.where(median > nothing, squared.mean())
        scale = scale.where(scale > nothing, 1.0)
        widths = [factor * scale for factor in FACTORS]
    elif len(bandwidths) and min(bandwidths) > 0:
        widths = list(bandwidths)
    else:
        raise ValueError(f"the squared bandwidths must be positive, and one at least; got {bandwidths}.")
    kernel = torch.stack([torch.exp(-distances / (2 * width)) for width in widths]).mean(dim=0)
    n, m = len(source), len(target)
    within_source = kernel[:n, :n].sum() - kernel[:n, :n].diagonal().sum()
    within_target = kernel[n:, n:].sum() - kernel[n:, n:].diagonal().sum()
    between = kernel[:n, n:].mean()
    found = within_source / (n * (n - 1)) + within_target / (m * (m - 1)) - 2 * between
    return found.to(torch.promote_types(given.dtype, torch.float32))


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    r"""The input itself on the way forward, $-\lambda$ times the gradient on the way back (Ganin, 2016).

    Args:
        x: any shape.
        strength: $\lambda$.
    """
    return _Reversal.apply(x, strength)


class Adversary(nn.Module):
    """A domain classifier, which learns to tell the domains apart while the encoder learns to fool it.

    Args:
        width: d of the features.
        hidden: width of its one hidden layer.
    """

    def __init__(self, width: int, hidden: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, source: Tensor, target: Tensor, strength: float = 1.0) -> Tensor:
        r"""Its cross-entropy, source and target weighing the same, behind a gradient reversal.

        Args:
            source: features, shape (n, d).
            target: features, shape (m, d).
            strength: $\lambda$ of the reversal: 0 trains the adversary alone.

        Returns:
            A scalar: log 2 if it guesses, 0 if it is always right and sure.
        """
        check_samples(source, target, rows=1)
        of_source = self.layers(reverse_gradient(source, strength))
        of_target = self.layers(reverse_gradient(target, strength))
        return (F.softplus(of_source).mean() + F.softplus(-of_target).mean()) / 2


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, x: Tensor, strength: float) -> Tensor:
        context.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        return -context.strength * gradient, None


def _covariance(features: Tensor) -> Tensor:
    """The unbiased covariance, (d, d), in float32 at least: bfloat16 is too coarse to take differences of."""
    with torch.autocast(features.device.type, enabled=False):
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        centred = features - features.mean(dim=0)
        return centred.T @ centred / (len(features) - 1)


def _symmetric_power(matrix: Tensor, power: float, least: float) -> Tensor:
    """A power of a symmetric matrix whose eigenvalues are `least` or more, but for rounding."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=least / 2)  # rounding can take them below, and below 0
    return (vectors * values**power) @ vectors.T


def check_samples(source: Tensor, target: Tensor, rows: int) -> None:
    if (
        source.ndim != 2
        or target.ndim != 2
        or source.shape[1] != target.shape[1]
        or min(len(source), len(target)) < rows
    ):
        raise ValueError(
            f"need source (n, d) and target (m, d) of one width d and at least {rows} rows each, got "
            f"{tuple(source.shape)} and {tuple(target.shape)}."
        )
