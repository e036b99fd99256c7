"""Scaling laws: the fit finds a known surface again, its valley is where it should be, parabolas are off."""

from __future__ import annotations

import numpy as np
import pytest

from transferbook.evidence import scaling

KNOWN = scaling.Surface(1.7, 40.0, 0.34, 300.0, 0.41)


def runs(surface=KNOWN, budgets=(1e9, 1e10, 1e11), sizes=(5e3, 1e4, 2e4, 4e4, 8e4)):
    """N, D and loss of every size at every budget."""
    budget, size = (grid.ravel() for grid in np.meshgrid(budgets, sizes, indexing="ij"))
    return size, budget / 6 / size, surface(size, budget / 6 / size)


def test_surface_is_the_formula():
    assert KNOWN(1e4, 1e6) == pytest.approx(1.7 + 40 * 1e4**-0.34 + 300 * 1e6**-0.41, rel=1e-14)
    assert KNOWN(np.ones((3, 1)), np.ones(2)).shape == (3, 2)


@pytest.mark.parametrize("known", [KNOWN, scaling.Surface(0.5, 10.0, 0.9, 20.0, 0.15)])
def test_fit_finds_a_known_surface_again(known):
    found = scaling.fit(*runs(known))
    assert found.size_exponent == pytest.approx(known.size_exponent, rel=1e-4)
    assert found.data_exponent == pytest.approx(known.data_exponent, rel=1e-4)
    assert found.floor == pytest.approx(known.floor, rel=1e-3)
    size, data, loss = runs(known, budgets=(1e13,))
    np.testing.assert_allclose(found(size, data), loss, rtol=1e-4)


def test_fit_does_not_depend_on_units():
    size, data, loss = runs()
    noisy = loss + np.random.default_rng(0).normal(0, 0.01, len(loss))
    here, there = scaling.fit(size, data, noisy), scaling.fit(size / 1e6, data / 1e9, noisy)
    np.testing.assert_allclose(here(size, data), there(size / 1e6, data / 1e9), rtol=1e-6)
    assert here.size_exponent == pytest.approx(there.size_exponent, rel=1e-4)


def test_no_surface_nearby_fits_better():
    size, data, loss = runs()
    noisy = loss + np.random.default_rng(1).normal(0, 0.02, len(loss))
    found = scaling.fit(size, data, noisy)
    least = np.square(found(size, data) - noisy).sum()
    for a, b in [(1.01, 1), (0.99, 1), (1, 1.01), (1, 0.99), (1.01, 0.99)]:
        first, second = size ** -(a * found.size_exponent), data ** -(b * found.data_exponent)
        columns = np.stack([np.ones_like(size), first, second], axis=1)
        parts = np.linalg.lstsq(columns, noisy, rcond=None)[0]
        assert np.square(columns @ parts - noisy).sum() >= least - 1e-9


def test_best_size_is_the_lowest_of_many():
    for budget in (1e9, 1e12):
        sizes = np.geomspace(1e2, 1e8, 200_001)
        lowest = sizes[KNOWN(sizes, budget / 6 / sizes).argmin()]
        assert KNOWN.best_size(budget) == pytest.approx(lowest, rel=2e-4)
    grown = KNOWN.best_size(1e12) / KNOWN.best_size(1e9)
    assert np.log(grown) / np.log(1e3) == pytest.approx(KNOWN.budget_exponent)
    assert KNOWN.budget_exponent == pytest.approx(0.41 / 0.75)


def test_parabola_finds_a_symmetric_valley_and_misses_another():
    even = scaling.Surface(1.7, 40.0, 0.4, 300.0, 0.4)
    for surface, below, above in [(even, -1e-6, 1e-6), (KNOWN, -0.3, -0.001)]:
        best = float(surface.best_size(1e10))
        sizes = best * np.geomspace(1 / 8, 8, 7)
        off = np.log(scaling.parabola_best(sizes, surface(sizes, 1e10 / 6 / sizes)) / best)
        assert below < off < above


def test_parabola_of_a_parabola_is_exact():
    sizes = np.geomspace(10, 1_000, 5)
    assert scaling.parabola_best(sizes, 2 + 0.3 * np.log(sizes / 70) ** 2) == pytest.approx(70)


def test_power_of_a_power_law():
    budgets = np.array([1e9, 1e10, 1e12])
    assert scaling.power(budgets, 3 * budgets**0.37) == pytest.approx(0.37)


def test_bad_input_gets_one_sentence():
    size, data, loss = runs()
    with pytest.raises(ValueError, match=r"shapes are \(\(15,\), \(14,\)"):
        scaling.fit(size, data[1:], loss)
    with pytest.raises(ValueError, match="all values finite"):
        scaling.fit(size, data, np.where(loss > 3, np.nan, loss))
    with pytest.raises(ValueError, match="must be positive"):
        scaling.fit(-size, data, loss)
    with pytest.raises(ValueError, match="Five unknowns need five runs"):
        scaling.fit(size[:4], data[:4], loss[:4])
    with pytest.raises(ValueError, match="Five unknowns need five runs"):
        scaling.fit(np.full(15, 3.0), data, loss)
    with pytest.raises(ValueError, match="falls with size and with data"):
        scaling.fit(size, data, -loss)
    with pytest.raises(ValueError, match="must be positive, the floor"):
        scaling.Surface(1.0, -1.0, 0.3, 1.0, 0.3)
    with pytest.raises(ValueError, match="needs three sizes"):
        scaling.parabola_best([1, 2, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="opens downwards"):
        scaling.parabola_best([1, 2, 4], [1, 2, 1])
    with pytest.raises(ValueError, match="two budgets"):
        scaling.power([1e9], [2.0])
