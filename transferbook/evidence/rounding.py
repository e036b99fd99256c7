"""What a number type cannot tell apart: values that differ by no more than its rounding count as the same."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

STEPS = 16  # from one number to the next that its type can hold: a network that rounds may be off by a few
LEAST = float(np.finfo(np.float32).tiny)  # what varies by less has no reciprocal in float32


def constant_columns(values: Tensor | ArrayLike) -> Tensor:
    r"""Which columns hold one number, up to the rounding of their type.

    $\max x - \min x \le 16\, \epsilon \max |x|$, column by column, with the $\epsilon$ of the type as it
    comes: convert to float64 afterwards. Whole numbers are exact. No mean is taken, whose own rounding could
    hide that a column is constant.

    Args:
        values: shape (N, ...), N >= 1.

    Returns:
        Shape (...), on the device of the values; False where one of them is not a number.
    """
    x, epsilon = _exact(values)
    high, low = x.amax(dim=0), x.amin(dim=0)
    return high - low <= STEPS * epsilon * torch.maximum(high.abs(), low.abs()) + LEAST


def signs(values: Tensor | ArrayLike) -> Tensor:
    """Which of two values is larger, for all pairs; 0 where they are the same up to their type's rounding.

    Args:
        values: shape (n,).

    Returns:
        Shape (n, n), float64: the sign of the row's value minus the column's.
    """
    x, epsilon = _exact(values)
    gaps, sizes = x[:, None] - x, x.abs()
    return gaps.sign() * (gaps.abs() > STEPS * epsilon * torch.maximum(sizes[:, None], sizes))


def _exact(values: Tensor | ArrayLike) -> tuple[Tensor, float]:
    """The values in float64, and the distance from 1 to the next number of the type that they had."""
    x = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.asarray(values))
    return x.double(), torch.finfo(x.dtype).eps if x.is_floating_point() else 0.0
