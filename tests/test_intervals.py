from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from transferbook.evidence import intervals
from transferbook.evidence.intervals import Interval


def coverage(samples: int, sample_interval, truth: float) -> float:
    """Share of `samples` intervals that hold the truth."""
    drawn = (sample_interval() for _ in range(samples))
    return sum(interval.low <= truth <= interval.high for interval in drawn) / samples


def tolerance(samples: int, level: float = 0.95) -> float:
    """Four standard errors of a simulated coverage."""
    return 4 * math.sqrt(level * (1 - level) / samples)


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_mean_covers_95_percent(seeds):
    generator = np.random.default_rng(seeds)
    covered = coverage(5_000, lambda: intervals.mean(generator.normal(0.7, 0.02, seeds)), 0.7)
    assert abs(covered - 0.95) < tolerance(5_000)


def test_the_simulation_would_notice_a_normal_quantile_or_a_bootstrap():
    """The two usual mistakes with five seeds, at the coverage that the docstring of `mean` gives for them."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(5_000, 5))
    normal = np.abs(x.mean(axis=1)) <= 1.96 * x.std(axis=1, ddof=1) / math.sqrt(5)
    means = x[np.arange(5_000)[:, None, None], generator.integers(5, size=(5_000, 400, 5))].mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    bootstrap = (low <= 0) & (high >= 0)
    assert normal.mean() == pytest.approx(0.88, abs=0.015) and 0.95 - normal.mean() > tolerance(5_000)
    assert bootstrap.mean() == pytest.approx(0.84, abs=0.015) and 0.95 - bootstrap.mean() > tolerance(5_000)


def test_a_difference_of_shares_is_that_of_newcombe():
    """Newcombe (1998), table II, example (a), and what another library makes of it and of a reversed pair."""
    a, b = intervals.binomial(56, 70), intervals.binomial(48, 80)
    found = intervals.weighted_sum([a, b], [1, -1])
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert found.n == 150
    for x, n, y, m in [(56, 70, 48, 80), (1, 9, 10, 10), (0, 5, 0, 7)]:
        pair = [intervals.binomial(x, n), intervals.binomial(y, m)]
        found = intervals.weighted_sum(pair, [1, -1])
        expected = confint_proportions_2indep(x, n, y, m, method="newcomb")
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-12, abs=1e-12)
        halves = intervals.weighted_sum(pair, [0.5, 0.5])
        assert halves.mean == pytest.approx((x / n + y / m) / 2) and 0 <= halves.low <= halves.high <= 1
    assert intervals.weighted_sum([a], [1]).low == a.low
    with pytest.raises(ValueError, match="one weight for each of k >= 1 shares, not 1 for 2"):
        intervals.weighted_sum([a, b], [1])


@pytest.mark.parametrize("weights", [(1, -1), (1 / 2, 1 / 2)])
def test_sums_of_shares_cover_95_percent(weights):
    generator = np.random.default_rng(2)
    truth, trials = (0.9, 0.3), (60, 20)

    def drawn() -> Interval:
        counts = [int(generator.binomial(n, p)) for n, p in zip(trials, truth, strict=True)]
        shares = [intervals.binomial(count, n) for count, n in zip(counts, trials, strict=True)]
        return intervals.weighted_sum(shares, weights)

    covered = coverage(5_000, drawn, sum(w * p for w, p in zip(weights, truth, strict=True)))
    assert abs(covered - 0.95) < tolerance(5_000)


def test_mean_equals_scipy():
    values = [0.71, 0.74, 0.69, 0.78, 0.72]
    interval = intervals.mean(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert (interval.mean, interval.n, interval.unit) == (pytest.approx(np.mean(values)), 5, "seeds")


def test_paired_difference_covers_and_is_narrower_than_unpaired():
    generator = np.random.default_rng(1)

    def both() -> tuple[np.ndarray, np.ndarray]:
        seed_effect = generator.normal(0, 0.05, 5)
        return 0.8 + seed_effect + generator.normal(0, 0.01, 5), 0.7 + seed_effect

    covered = coverage(5_000, lambda: intervals.paired_difference(*both()), 0.1)
    assert abs(covered - 0.95) < tolerance(5_000)
    a, b = both()
    paired = intervals.paired_difference(a, b)
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (paired.low, paired.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert paired.half_width < intervals.mean(a).half_width / 2
    assert intervals.paired_difference(b, a).mean == pytest.approx(-paired.mean)


@pytest.mark.parametrize(("trials", "share"), [(50, 0.3), (1_000, 0.5), (1_000, 0.98)])
def test_binomial_covers_95_percent(trials, share):
    """Coverage wavers with the share, for counts are whole numbers: 95 % within one point more."""
    successes = np.random.default_rng(2).binomial(trials, share, size=20_000)
    values, counts = np.unique(successes, return_counts=True)
    drawn = [intervals.binomial(int(value), trials) for value in values]
    covered = np.average([interval.low <= share <= interval.high for interval in drawn], weights=counts)
    assert abs(covered - 0.95) < tolerance(20_000) + 0.01


@pytest.mark.parametrize(("successes", "trials"), [(0, 30), (30, 30), (781, 1_000), (1, 3)])
def test_binomial_equals_scipy(successes, trials):
    interval = intervals.binomial(successes, trials)
    expected = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= interval.low < interval.high <= 1 and interval.mean == successes / trials


@pytest.mark.parametrize(("runs", "tasks"), [(10, 1), (20, 1), (10, 6)])
def test_interquartile_mean_covers_95_percent(runs, tasks):
    """Tasks of different means; the bootstrap itself is good to one or two points."""
    generator = np.random.default_rng(runs + tasks)
    levels = np.arange(tasks) * 3.0
    population = levels + generator.standard_t(3, size=(200_000, tasks))
    truth = float(stats.trim_mean(population, 0.25, axis=None))

    def interval() -> Interval:
        return intervals.interquartile_mean(
            levels + generator.standard_t(3, size=(runs, tasks)), resamples=500
        )

    covered = coverage(1_500, interval, truth)
    assert abs(covered - 0.95) < tolerance(1_500) + (0.02 if tasks == 1 else 0.01)


def test_interquartile_mean_equals_scipy_and_ignores_a_failed_run():
    scores = np.random.default_rng(3).normal(size=(12, 4))
    interval = intervals.interquartile_mean(scores)
    assert interval.mean == pytest.approx(stats.trim_mean(scores, 0.25, axis=None), rel=1e-12)
    middle = np.sort(scores.ravel())[12:36]
    assert interval.mean == pytest.approx(middle.mean(), rel=1e-12) and interval.n == 12
    scores[0] = -1_000.0
    assert intervals.interquartile_mean(scores).mean == pytest.approx(interval.mean, abs=0.3)
    assert intervals.interquartile_mean(scores) == intervals.interquartile_mean(scores)


def test_interquartile_bootstrap_is_stratified_by_task():
    """Tasks of which each has one score: a resample within tasks cannot differ, one across tasks would."""
    scores = np.tile(np.arange(8.0) ** 2, (10, 1))
    assert intervals.interquartile_mean(scores).half_width == 0


def bivariate(generator: np.random.Generator, n: int, rho: float, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Two variables with Kendall's tau = 2 arcsin(rho) / pi, normal or heavy-tailed (t with two degrees)."""
    x, noise = generator.normal(size=(2, n))
    y = rho * x + math.sqrt(1 - rho**2) * noise
    scale = np.sqrt(generator.chisquare(2, size=n) / 2) if kind == "heavy" else 1.0
    return x / scale, y / scale


@pytest.mark.parametrize("kind", ["normal", "heavy"])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.85])
def test_rank_correlation_covers_94_to_99_percent(kind, rho):
    generator = np.random.default_rng(4)
    truth, samples = 2 / math.pi * math.asin(rho), 2_500

    def interval() -> Interval:
        return intervals.rank_correlation(*bivariate(generator, 15, rho, kind), permutations=0)

    covered = coverage(samples, interval, truth)
    assert 0.94 - tolerance(samples) < covered < 0.99


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_equals_scipy(ties):
    x, y = bivariate(np.random.default_rng(5), 12, 0.6, "normal")
    if ties:
        x, y = np.round(x), np.round(y)
    interval = intervals.rank_correlation(x, y)
    assert interval.mean == pytest.approx(stats.kendalltau(x, y).statistic, rel=1e-12)
    if not ties:  # with ties, scipy has no exact distribution
        assert interval.p_value == pytest.approx(stats.kendalltau(x, y, method="exact").pvalue, abs=0.01)
    assert intervals.rank_correlation(x, -y).mean == pytest.approx(-interval.mean)


def test_permutation_p_value_equals_all_permutations():
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 3.0, 2.0, 4.0, 4.0, 6.0]
    observed = abs(stats.kendalltau(x, y).statistic)
    every = [abs(stats.kendalltau(x, order).statistic) for order in itertools.permutations(y)]
    exact = np.mean(np.array(every) >= observed - 1e-9)
    interval = intervals.rank_correlation(x, y, permutations=20_000)
    assert interval.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact / 20_000) + 1e-3)


def test_permutation_p_value_is_uniform_when_nothing_is_there():
    generator = np.random.default_rng(6)
    draws = [bivariate(generator, 10, 0.0, "normal") for _ in range(1_000)]
    p = np.array([intervals.rank_correlation(x, y, permutations=199).p_value for x, y in draws])
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() < level + 4 * math.sqrt(level * (1 - level) / 1_000)
    assert (p <= 0.5).mean() > 0.4


def test_perfect_order_keeps_a_width():
    interval = intervals.rank_correlation(range(8), range(8))
    assert interval.mean == 1 and interval.high == 1 and 0.5 < interval.low < 0.98
    assert interval.p_value == pytest.approx(2 / math.factorial(8), abs=1e-3) and interval.p_value > 0


def test_scores_that_differ_by_rounding_are_tied():
    exact, rounded = [0.3, 0.3, 0.5, 0.1, 0.9], [0.3, 0.1 + 0.2, 0.5, 0.1, 0.9]
    tied, found = (intervals.rank_correlation(scores, range(5)) for scores in (exact, rounded))
    assert (found.mean, found.p_value) == (tied.mean, tied.p_value)
    narrow = np.array(rounded, dtype=np.float32)
    narrow[0] = np.nextafter(narrow[1], np.float32(1))
    assert intervals.rank_correlation(narrow, range(5)).mean == tied.mean


def test_crossed_difference_covers_another_draw_of_runs_and_examples():
    generator = np.random.default_rng(8)

    def drawn(rest: float) -> tuple[np.ndarray, np.ndarray]:
        of_run, of_example = generator.normal(0, 0.02, (10, 1)), generator.normal(0, 0.4, 400)
        b = generator.normal(0, 0.3, (10, 400))
        return b + 0.1 + of_run + of_example + generator.normal(0, rest, (10, 400)), b

    covered = coverage(2_000, lambda: intervals.crossed_difference(*drawn(rest=0.0)), 0.1)
    assert abs(covered - 0.95) < tolerance(2_000) + 0.005
    assert coverage(2_000, lambda: intervals.crossed_difference(*drawn(rest=1.0)), 0.1) > 0.95
    by_run = coverage(
        2_000, lambda: intervals.paired_difference(*(x.mean(axis=1) for x in drawn(rest=0.0))), 0.1
    )
    assert by_run < 0.75  # another draw of the examples is not in it


def test_crossed_difference_is_that_of_the_means():
    generator = np.random.default_rng(9)
    a, b = generator.random((2, 6, 30))
    interval = intervals.crossed_difference(a, b, unit="draws")
    by_run = intervals.mean((a - b).mean(axis=1))
    by_example = intervals.mean((a - b).mean(axis=0))
    assert interval.mean == pytest.approx((a - b).mean(), rel=1e-9)
    assert interval.half_width**2 == pytest.approx(by_run.half_width**2 + by_example.half_width**2)
    assert (interval.n, interval.unit) == (6, "draws")


def test_text_has_two_digits_of_the_half_width():
    assert str(Interval(0.1424, 0.1179, 0.1669, 5, "seeds", "")) == "0.142 [0.118, 0.167] over 5 seeds"
    assert str(Interval(1234.5, 1134.5, 1334.5, 10, "seeds", "")) == "1,234 [1,134, 1,334] over 10 seeds"
    assert str(intervals.binomial(850, 1_000)) == "0.850 [0.827, 0.871] over 1,000 test examples"
    assert str(intervals.mean([0.1] * 3)) == "0.10 [0.10, 0.10] over 3 seeds"  # but for rounding
    assert str(Interval(0.0, 0.0, 0.0, 5, "seeds", "")) == "0.000 [0.000, 0.000] over 5 seeds"
    assert str(Interval(-1e-4, -0.0164, 0.0162, 5, "seeds", "")) == "0.000 [-0.016, 0.016] over 5 seeds"
    assert str(Interval(0.0158, -2e-4, 0.0318, 5, "seeds", "")) == "0.016 [0.000, 0.032] over 5 seeds"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: intervals.mean([0.5]), r"values: need a sequence of at least 2 values, not shape \(1,\)"),
        (lambda: intervals.mean(np.ones((2, 3))), r"not shape \(2, 3\)"),
        (lambda: intervals.mean([0.5, math.nan]), "1 of 2 values are not finite"),
        (lambda: intervals.paired_difference([1, 2, 3], [1, 2]), r"same seeds: a has shape \(3,\), b \(2,\)"),
        (lambda: intervals.crossed_difference(np.ones((5, 3)), np.ones((5, 2))), r"\(5, 3\) and \(5, 2\)"),
        (lambda: intervals.crossed_difference([1, 2, 3], [1, 2, 4]), r"not shapes \(3,\) and \(3,\)"),
        (lambda: intervals.binomial(5, 4), "not 5 of 4"),
        (lambda: intervals.binomial(0, 0), "not 0 of 0"),
        (lambda: intervals.binomial(0.5, 4), "whole numbers"),
        (lambda: intervals.interquartile_mean(np.ones(9)), r"10 runs or more, not \(9,\)"),
        (lambda: intervals.interquartile_mean([math.inf] * 10), "10 of 10 values are not finite"),
        (lambda: intervals.rank_correlation([1, 2, 3, 4], [1, 2, 3, 4]), "at least 5 values"),
        (lambda: intervals.rank_correlation(range(5), range(6)), r"shapes \(5,\) and \(6,\)"),
        (lambda: intervals.rank_correlation(range(5), [1] * 5), "constant"),
        (lambda: intervals.rank_correlation(range(5), [0.3, 0.1 + 0.2, 0.3, 0.3, 0.3]), "constant"),
        (lambda: Interval(1.0, 2.0, 3.0, 5, "seeds", ""), "low <= mean <= high, not 2.0, 1.0, 3.0"),
        (lambda: Interval(math.nan, 0.0, 3.0, 5, "seeds", ""), "finite low <= mean <= high"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
