"""Intervals: what several seeds, a test set or a handful of candidates say, and how surely.

Every function returns an `Interval` of 95 % confidence. `tests/test_intervals.py` checks by simulation that
each kind covers the truth as often as it promises.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from transferbook.evidence import rounding

LEVEL = 0.95
SQUARED = "limits of Wilson score intervals, squared and added"
NORMAL_QUANTILE = float(special.ndtri((1 + LEVEL) / 2))  # 1.96


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval.

    Attributes:
        mean: the estimate (a mean, a share, an interquartile mean or a rank correlation).
        low: lower end.
        high: upper end.
        n: how many independent values the estimate rests on.
        unit: what those values are, in the plural ("seeds").
        method: how the interval was computed, for a caption.

    Raises:
        ValueError: if `low <= mean <= high` does not hold or a value is not finite.
    """

    mean: float
    low: float
    high: float
    n: int
    unit: str
    method: str

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.mean <= self.high < math.inf:
            raise ValueError(
                f"an interval needs finite low <= mean <= high, not {self.low}, {self.mean}, {self.high}"
            )

    @property
    def half_width(self) -> float:
        """Half the distance from `low` to `high`."""
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        """`0.142 [0.118, 0.167] over 5 seeds`: two significant digits of the half-width; no minus zero."""
        largest = max(abs(self.low), abs(self.high))
        scale = self.half_width if self.half_width > 1e-12 * largest else abs(self.mean)
        digits = min(max(1 - math.floor(math.log10(scale)), 0), 12) if scale > 0 else 3
        mean, low, high = (f"{value:z,.{digits}f}" for value in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}] over {self.n:,} {self.unit}"


def mean(values: ArrayLike | Iterable[float], *, unit: str = "seeds") -> Interval:
    r"""Mean of independent runs with its Student-t interval.

    $\bar x \pm t_{0.975,\,n-1}\, s/\sqrt n$ with the unbiased variance $s^2$. Exact for normal values; with
    five of them, the normal quantile 1.96 in the place of $t = 2.78$ would cover 88 %, a percentile
    bootstrap 84 %.

    Args:
        values: one value for each seed, shape (n,), n >= 2.
        unit: what the n values are, in the plural.

    Raises:
        ValueError: if there are fewer than two values, more than one dimension, or a value that is not
            finite.
    """
    x = _vector("values", values, at_least=2)
    centre = float(x.mean())
    half = _t_quantile(x.size - 1) * float(x.std(ddof=1)) / math.sqrt(x.size)
    return Interval(centre, centre - half, centre + half, x.size, unit, "Student-t interval")


def paired_difference(a: ArrayLike, b: ArrayLike, *, unit: str = "seeds") -> Interval:
    """Mean of `a - b` with the Student-t interval of the differences, for two methods that share their seeds.

    What a seed does to both methods (an easy subset, say) cancels, so that the interval is narrower than
    that of two independent means. The values must come in the same order of seeds.

    Args:
        a: one value for each seed, shape (n,), n >= 2.
        b: the other method's values for the same seeds, shape (n,).
        unit: what the n pairs are, in the plural.

    Raises:
        ValueError: if the lengths differ, or as for `mean`.
    """
    first, second = _vector("a", a, at_least=2), _vector("b", b, at_least=2)
    if first.size != second.size:
        raise ValueError(f"paired values need the same seeds: a has shape {first.shape}, b {second.shape}")
    return replace(mean(first - second, unit=unit), method="paired Student-t interval")


def binomial(successes: int, trials: int, *, unit: str = "test examples") -> Interval:
    """Share of successes with Wilson's score interval: what the size of a test set leaves open.

    Unlike `share ± 1.96 standard errors` it stays inside [0, 1] and keeps its width at shares of 0 and 1
    (Wilson, 1927; Brown, Cai & DasGupta, 2001).

    Args:
        successes: how many of the trials succeeded, say correct predictions.
        trials: how many there were, at least 1.
        unit: what a trial is, in the plural.

    Raises:
        ValueError: if the counts are not whole numbers with 0 <= successes <= trials and trials >= 1.
    """
    if successes != int(successes) or trials != int(trials) or not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"need whole numbers 0 <= successes <= trials >= 1, not {successes} of {trials}")
    share, z = successes / trials, NORMAL_QUANTILE
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    low, high = min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)
    return Interval(share, low, high, int(trials), unit, "Wilson score interval")


def weighted_sum(shares: Sequence[Interval], weights: Sequence[float]) -> Interval:
    r"""A weighted sum of independent shares: their mean by equal weights, a difference by 1 and -1.

    $\sum_i w_i p_i$, whose lower end is $\bigl(\sum_i w_i^2 (p_i - l_i)^2\bigr)^{1/2}$ below it, with the
    upper end $u_i$ in the place of $l_i$ where $w_i < 0$, and the upper end the other way about (Newcombe,
    1998, method 10; Zou & Donner, 2008).

    Args:
        shares: of `binomial`, k >= 1 of them, of examples that none of them has in common.
        weights: k numbers.

    Raises:
        ValueError: if there is no share, or their number and that of the weights differ.
    """
    if not shares or len(shares) != len(weights):
        raise ValueError(f"need one weight for each of k >= 1 shares, not {len(weights)} for {len(shares)}")
    pairs = [*zip(shares, weights, strict=True)]
    centre = sum(weight * share.mean for share, weight in pairs)
    below = [w * (share.mean - (share.low if w > 0 else share.high)) for share, w in pairs]
    above = [w * ((share.high if w > 0 else share.low) - share.mean) for share, w in pairs]
    count, unit = sum(share.n for share in shares), shares[0].unit
    return Interval(centre, centre - math.hypot(*below), centre + math.hypot(*above), count, unit, SQUARED)


def interquartile_mean(
    scores: ArrayLike, *, resamples: int = 2_000, seed: int = 0, unit: str = "seeds"
) -> Interval:
    r"""Mean of the middle half of all scores, with a stratified bootstrap interval (Agarwal et al., 2021).

    The lowest and the highest quarter of the runs × tasks scores are dropped (`scipy.stats.trim_mean` with
    0.25), so that a few lucky or failed runs do not decide. Each resample redraws the runs of every task
    with replacement, task by task; the spread of its interquartile means gives the interval. The paper's
    library, rliable, takes the 2.5 and 97.5 % quantiles, which cover 92 to 94 % with 10 runs. Here they are
    moved outwards, as Hesterberg (2015) does for small samples, to $\Phi(\mp t_{0.975,\,m}\sqrt{r/(r-1)})$
    for r runs and m = (r - 1) × tasks, which restores 95 %.

    Args:
        scores: shape (runs,) or (runs, tasks), at least 10 runs.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling, so that the interval is the same each time.
        unit: what a run is, in the plural.

    Raises:
        ValueError: if there are fewer than 10 runs, more than two dimensions, or a score that is not finite.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim not in (1, 2) or table.shape[0] < 10 or table.size == 0:
        raise ValueError(f"scores: need shape (runs,) or (runs, tasks), 10 runs or more, not {table.shape}")
    _check_finite("scores", table)
    table = table.reshape(len(table), -1)
    runs, tasks = table.shape
    rows = np.random.default_rng(seed).integers(runs, size=(resamples, runs, tasks))
    resampled = table[rows, np.arange(tasks)].reshape(resamples, -1)
    centre = float(stats.trim_mean(table, 0.25, axis=None))
    tail = special.ndtr(-_t_quantile((runs - 1) * tasks) * math.sqrt(runs / (runs - 1)))
    low, high = np.quantile(stats.trim_mean(resampled, 0.25, axis=1), [tail, 1 - tail]).tolist()
    return Interval(centre, min(low, centre), max(high, centre), runs, unit, "stratified bootstrap interval")


@dataclass(frozen=True)
class RankCorrelation(Interval):
    """The `Interval` of a rank correlation, with the `p_value` of a permutation test of "no association"."""

    p_value: float


def rank_correlation(
    x: ArrayLike, y: ArrayLike, *, permutations: int = 9_999, seed: int = 0, unit: str = "candidates"
) -> RankCorrelation:
    r"""Kendall's rank correlation with a 95 % interval and a permutation p-value.

    Kendall's $\tau$ rather than Spearman's: it is the share of pairs that x and y order alike minus the
    share that they order differently, which is what choosing between two candidates needs, and its estimate
    is unbiased however few the candidates. Ties are accounted for ($\tau_b$).

    The interval is symmetric in $\operatorname{artanh}\tau$, a perfect order counting as half a discordant
    pair. Its standard error is the larger of $\sqrt{0.437/(n-4)}$, right for normal values (Fieller, Hartley
    & Pearson, 1957), and the jackknife's, right for any (Long & Cliff, 1997, recommend a variance estimated
    from the sample). In simulation it covers 94 to 99 % from 10 candidates on. The p-value is two-sided: the
    share of re-orderings of y with at least this $|\tau|$, the observed order included (Phipson & Smyth,
    2010).

    Args:
        x: one score for each candidate, shape (n,), n >= 5.
        y: what the score should predict, shape (n,).
        permutations: number of random re-orderings.
        seed: seed of the re-orderings.
        unit: what the n candidates are, in the plural.

    Raises:
        ValueError: if the lengths differ, there are fewer than five, or x or y is constant (up to rounding).
    """
    first, second = _vector("x", x, at_least=5), _vector("y", y, at_least=5)
    if first.size != second.size:
        raise ValueError(f"x and y need the same candidates: shapes {first.shape} and {second.shape}")
    n = first.size
    as_given = (v if hasattr(v, "dtype") else vector for v, vector in ((x, first), (y, second)))
    signs_x, signs_y = (rounding.signs(v).numpy() for v in as_given)  # (n, n)
    norm = math.sqrt(float((signs_x**2).sum() * (signs_y**2).sum()))
    if norm == 0:
        raise ValueError("a rank correlation needs values that differ; x or y is constant")
    agreement = (signs_x * signs_y).sum(axis=1) / norm  # (n,): what each candidate's pairs add
    tau = float(agreement.sum())

    largest = 1 - 2 / (n * (n - 1))
    bounded = min(max(tau, -largest), largest)
    without_one = (tau - 2 * agreement) * n / (n - 2)
    jackknife = math.sqrt(n - 1) * float(without_one.std()) / (1 - bounded**2)
    half = NORMAL_QUANTILE * max(math.sqrt(0.437 / (n - 4)), jackknife)
    low, high = math.tanh(math.atanh(bounded) - half), math.tanh(math.atanh(bounded) + half)

    generator = np.random.default_rng(seed)
    orders = (generator.permutation(n) for _ in range(permutations))
    shuffled = np.array([np.vdot(signs_x, signs_y[np.ix_(order, order)]) for order in orders]) / norm
    p_value = (1 + int((np.abs(shuffled) >= abs(tau) - 1e-9).sum())) / (1 + permutations)
    method = "Kendall's tau-b, Fisher z interval"
    return RankCorrelation(tau, min(low, tau), max(high, tau), n, unit, method, p_value)


def crossed_difference(a: ArrayLike, b: ArrayLike, *, unit: str = "seeds") -> Interval:
    r"""Mean of `a - b` for two methods that share runs and test examples, should both be drawn anew.

    The interval of `paired_difference` leaves out the luck of the test set, which all runs share. Here the
    squared half-widths over runs (of the means over examples) and over examples (of the means over runs) add
    up. What varies over neither alone is counted in both, so the interval is somewhat too wide, never too
    narrow.

    Args:
        a: score of each test example in each run, say 1 for a right answer, shape (runs, examples).
        b: the other method's for the same runs and examples, of the same shape.
        unit: what the runs are, in the plural.

    Raises:
        ValueError: if the shapes differ, are not of two dimensions, or as for `mean`.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(
            f"a and b: need the same runs and examples, not shapes {first.shape} and {second.shape}"
        )
    by_run = mean((first - second).mean(axis=1), unit=unit)
    by_example = mean((first - second).mean(axis=0), unit="test examples")
    half = math.hypot(by_run.half_width, by_example.half_width)
    centre, method = by_run.mean, "Student-t intervals over runs and test examples, variances added"
    return Interval(centre, centre - half, centre + half, by_run.n, unit, method)


def _t_quantile(degrees: int) -> float:
    return float(special.stdtrit(degrees, (1 + LEVEL) / 2))


def _vector(name: str, values: ArrayLike | Iterable[float], *, at_least: int) -> NDArray[np.float64]:
    """`values` as float64 of shape (n,), checked."""
    vector = np.asarray(values if hasattr(values, "__len__") else list(values), dtype=np.float64)
    if vector.ndim != 1 or vector.size < at_least:
        raise ValueError(f"{name}: need a sequence of at least {at_least} values, not shape {vector.shape}")
    _check_finite(name, vector)
    return vector


def _check_finite(name: str, values: NDArray[np.float64]) -> None:
    if broken := int((~np.isfinite(values)).sum()):
        raise ValueError(f"{name}: {broken} of {values.size} values are not finite")
