"""The Cox model with a pull, the hazard below it, and what is measured of both."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize

from transferbook.learning import survival


@pytest.fixture(scope="module")
def rows():
    """Ties in time, censored rows, and three features of unequal effect."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(120, 3))
    waited = generator.exponential(np.exp(-X @ [0.8, -0.5, 0.0]))
    seen = generator.exponential(1.5, size=120)
    time = np.ceil(20 * np.minimum(waited, seen))
    return X, time, (waited <= seen).astype(int)


def by_hand(beta, X, time, event):
    """The log partial likelihood, event by event."""
    score = X @ beta
    return sum(score[i] - np.log(np.exp(score[time >= time[i]]).sum()) for i in np.flatnonzero(event))


def test_without_a_pull_it_is_the_model_of_statsmodels(rows):
    from statsmodels.duration.hazard_regression import PHReg

    X, time, event = rows
    assert len(np.unique(time)) < 100  # ties
    theirs = PHReg(time, X, status=event, ties="breslow").fit()
    assert survival.fit(X, time, event) == pytest.approx(theirs.params, abs=1e-5)
    times, hazard, _ = theirs.baseline_cumulative_hazard[0]
    ours = survival.cumulative_hazard(X @ theirs.params, time, event, times - 0.5)  # theirs is of before
    assert ours == pytest.approx(hazard, abs=1e-9)


def test_the_likelihood_is_the_sum_over_events(rows):
    beta = np.array([0.3, -0.2, 0.9])
    assert survival.log_likelihood(beta, *rows) == pytest.approx(by_hand(beta, *rows), abs=1e-9)


def test_slope_and_curvature_are_derivatives(rows):
    beta, centre = np.array([0.3, -0.2, 0.9]), np.array([1.0, 0.0, -1.0])
    _, slope, curve = survival._penalised(beta, *rows, 2.5, centre)
    loss = lambda b: -by_hand(b, *rows) + 1.25 * ((b - centre) ** 2).sum()  # noqa: E731
    assert slope == pytest.approx(approx_fprime(beta, loss, 1e-6), abs=1e-3)
    slopes = [survival._penalised(beta + 1e-6 * e, *rows, 2.5, centre)[1] for e in np.eye(3)]
    assert curve == pytest.approx((np.array(slopes) - slope) / 1e-6, abs=1e-3)


@pytest.mark.parametrize("strength", [0.1, 10.0, 1e6])
def test_a_pull_is_to_the_centre(rows, strength):
    centre = np.array([1.0, 0.5, -1.0])
    found = survival.fit(*rows, strength=strength, centre=centre)
    loss = lambda b: -by_hand(b, *rows) + strength / 2 * ((b - centre) ** 2).sum()  # noqa: E731
    assert found == pytest.approx(minimize(loss, centre, tol=1e-10).x, abs=1e-4)
    if strength == 1e6:
        assert found == pytest.approx(centre, abs=1e-3)


def test_no_pull_names_no_centre(rows):
    centre = np.array([1.0, 0.5, -1.0])
    assert survival.fit(*rows, centre=centre) == pytest.approx(survival.fit(*rows), abs=1e-7)


def test_few_rows_need_a_pull():
    X, time, event = np.array([[3.0], [2.0], [1.0]]), np.array([1, 2, 3]), np.array([1, 1, 0])
    with pytest.raises(ValueError, match=r"^no coefficients are the best; give a strength above 0\.$"):
        survival.fit(X, time, event)
    assert np.isfinite(survival.fit(X, time, event, strength=0.1)).all()


def test_the_hazard_by_hand():
    time, event = np.array([3, 1, 2, 2]), np.array([1, 1, 1, 0])
    score = np.log([1.0, 2.0, 3.0, 4.0])
    found = survival.cumulative_hazard(score, time, event, [0.5, 1, 1.9, 2, 9])
    first, second, third = 1 / 10, 1 / 10 + 1 / 8, 1 / 10 + 1 / 8 + 1
    assert found == pytest.approx([0, first, first, second, third])


def test_the_observed_risk_by_hand():
    time, event = np.array([1, 2, 2, 3, 4, 5]), np.array([1, 1, 0, 1, 0, 0])
    risk, error = survival.observed_risk(time, event, 4)
    without = 5 / 6 * 4 / 5 * 2 / 3
    assert risk == pytest.approx(1 - without)
    assert error == pytest.approx(without * (1 / 30 + 1 / 20 + 1 / 6) ** 0.5)
    assert survival.observed_risk(time, event, 0.5) == (0.0, 0.0)
    with pytest.raises(ValueError, match="nobody was followed until 6; the longest time is 5"):
        survival.observed_risk(time, event, 6)


def test_concordance_counts_known_pairs_only():
    time, event = np.array([1, 2, 3, 4]), np.array([1, 0, 1, 0])
    assert survival.concordance([4, 0, 2, 1], time, event) == 1.0  # row 1 left before its event
    assert survival.concordance([0, 0, 0, 0], time, event) == 0.5
    assert survival.concordance([1, 2, 4, 3], time, event) == 0.25
    with pytest.raises(ValueError, match="no row had its event while another was still followed"):
        survival.concordance([1, 2], [2, 1], [1, 0])


def test_rows_that_do_not_fit_get_one_sentence(rows):
    X, time, event = rows
    with pytest.raises(ValueError, match=r"features \(120, 3\), times \(119,\)"):
        survival.fit(X, time[1:], event)
    with pytest.raises(ValueError, match="1 where it came and 0"):
        survival.fit(X, time, event + 1)
    with pytest.raises(ValueError, match="no event came in these 120 rows"):
        survival.log_likelihood(np.zeros(3), X, time, 0 * event)
    with pytest.raises(ValueError, match=r"centre has shape \(2,\)"):
        survival.fit(X, time, event, centre=np.zeros(2))
    with pytest.raises(ValueError, match="strength is -1"):
        survival.fit(X, time, event, strength=-1)
