"""What differs by rounding alone counts as the same, whatever the type and the size of the numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from transferbook.evidence import rounding


def steps(value: float, count: int, dtype: torch.dtype) -> torch.Tensor:
    """The number that lies `count` numbers of its type above a value."""
    number = torch.tensor(value, dtype=dtype)
    for _ in range(count):
        number = torch.nextafter(number, torch.tensor(math.inf, dtype=dtype))
    return number


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.3, -7.0, 1e4, 1e-12, 0.0])
def test_a_few_steps_of_the_type_are_constant_and_many_are_not(dtype, value):
    near, far = steps(value, 6, dtype), steps(value, 60, dtype)
    rows = torch.tensor([value, value, near, far], dtype=dtype)
    same, other = rows[[0, 1, 2]], rows[[0, 1, 3]]
    columns = torch.stack([same, other, torch.zeros(3, dtype=dtype)], dim=1)
    expected = [True, value == 0, True]  # next to 0 lies what no float32 can divide by
    assert rounding.constant_columns(columns).tolist() == expected
    assert rounding.constant_columns(columns.numpy()).tolist() == expected


def test_the_type_counts_as_it_comes_and_whole_numbers_are_exact():
    apart = torch.tensor([[1.0, 2.0**30], [1.0 + 1e-7, 2.0**30 + 1]], dtype=torch.float64)
    assert rounding.constant_columns(apart).tolist() == [False, False]
    assert rounding.constant_columns(apart.float()).tolist() == [True, True]
    assert rounding.constant_columns(apart[:, 1:].long()).tolist() == [False]
    assert rounding.constant_columns(np.array([[3, True], [3, False]])).tolist() == [True, False]
    assert rounding.constant_columns(torch.tensor([[1.0], [math.nan]])).tolist() == [False]


def test_a_long_column_is_constant_although_its_mean_is_rounded():
    column = np.full((100_001, 1), 0.1)
    assert column.std() > 0 or abs(np.add.accumulate(column)[-1, 0] / len(column) - 0.1) > 0
    assert rounding.constant_columns(column).tolist() == [True]


def test_a_small_offset_spread_of_ordinary_size_is_none():
    column = 1e4 + torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    assert rounding.constant_columns(column).tolist() == [False]
    assert rounding.constant_columns(1e-30 * (column - 1e4)).tolist() == [False]


def test_signs_are_those_of_numpy_but_for_rounding():
    x = np.random.default_rng(0).normal(size=9)
    assert np.array_equal(rounding.signs(x).numpy(), np.sign(x[:, None] - x))
    tied = [0.1 + 0.2, 0.3, 0.5, -0.3]
    assert rounding.signs(tied).tolist() == [[0, 0, -1, 1], [0, 0, -1, 1], [1, 1, 0, 1], [-1, -1, -1, 0]]
