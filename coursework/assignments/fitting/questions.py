"""A line that is pulled towards a slope, scaling without a leak, whole groups on one side, a bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from coursework.questions import Assignment, Constants, Inputs, Question, several

SPREADS = {
    "standard deviation that divides by $n$": lambda train: train.std(axis=0),
    "standard deviation that divides by $n - 1$": lambda train: train.std(axis=0, ddof=1),
    "mean absolute deviation from the mean": lambda train: np.abs(train - train.mean(axis=0)).mean(axis=0),
}


def constants(rng: np.random.Generator) -> dict[str, Any]:
    """A penalty and a slope that is not near zero; a scale; a share of rows, from one end; a level."""
    return {
        "penalty": round(float(rng.uniform(0.5, 9.5)), 1),
        "towards": round(float(rng.choice([-1, 1]) * rng.uniform(0.5, 3)), 1),
        "centre": int(rng.integers(2, 60)),
        "width": int(rng.integers(2, 20)),
        "spread": str(rng.choice(list(SPREADS))),
        "share": round(float(rng.uniform(0.15, 0.45)), 2),
        "end": str(rng.choice(["smallest", "largest"])),
        "level": round(float(rng.uniform(0.7, 0.93)), 2),
    }


def line_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    count = int(rng.integers(5, 30))
    x = rng.normal(rng.normal(0, 3), 1 + rng.random(), count)
    return {"x": x, "y": rng.normal(1, 2) + rng.normal(0, 2) * x + rng.normal(0, 1, count)}


def line_truth(inputs: Inputs, drawn: Constants) -> tuple[float, float]:
    """The penalty is on the slope alone, so the line passes through the means."""
    x, y, penalty = inputs["x"], inputs["y"], drawn["penalty"]
    centred = x - x.mean()
    slope = (centred @ (y - y.mean()) + penalty * drawn["towards"]) / (centred @ centred + penalty)
    return float(y.mean() - slope * x.mean()), float(slope)


def scaling_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    width = int(rng.integers(2, 6))
    train, other = (rng.normal(shift, 2, (int(rng.integers(4, 20)), width)) for shift in (1, 3))
    train[:, rng.integers(width)] = 7.0  # a column that never changes
    return {"train": train, "other": other}


def scaling_truth(inputs: Inputs, drawn: Constants) -> tuple[np.ndarray, ...]:
    train = inputs["train"]
    spread = SPREADS[drawn["spread"]](train)
    spread[spread == 0] = 1.0
    parts = (train, inputs["other"])
    return tuple(drawn["centre"] + drawn["width"] * (part - train.mean(axis=0)) / spread for part in parts)


def split_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    """The share is never a whole number of rows, since `share * rows` may lie on either side of one."""
    names = rng.choice(1_000, size=int(rng.integers(4, 12)), replace=False)
    rows = int(rng.integers(15, 60))
    rows += round(100 * drawn["share"]) * rows % 100 == 0
    return {"groups": rng.choice(names, size=rows)}


def split_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    """The fewest groups, from one end, that hold the share."""
    names, counts = np.unique(inputs["groups"], return_counts=True)
    if drawn["end"] == "largest":
        names, counts = names[::-1], counts[::-1]
    needed = int(np.searchsorted(np.cumsum(counts), drawn["share"] * counts.sum() - 1e-9)) + 1
    return np.isin(inputs["groups"], names[:needed])


def bootstrap_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    return {"sample": rng.normal(rng.normal(0, 5), 2, 40), "seed": int(rng.integers(2**31))}


def bootstrap_truth(inputs: Inputs, drawn: Constants) -> tuple[float, float, float]:
    """Mean, spread of the bootstrapped means (known without drawing any), and the normal quantile."""
    sample = inputs["sample"]
    return (
        float(sample.mean()),
        float(sample.std() / np.sqrt(len(sample))),
        float(stats.norm.ppf(0.5 + drawn["level"] / 2)),
    )


def bootstrap_wrong(found: list[Any], truth: list[Any]) -> str:
    """Over all cases, the ends of the intervals lie where the percentiles of the bootstrap lie, on average.

    With 1,000 redraws an end has a standard error of at most some 0.06 of the means' spread, and normal
    quantiles of a mean of 40 are off by about as much; the mean of 24 ends may be off by 0.1 of it.
    """
    ends = []
    for mine, (mean, spread, _) in zip(found, truth, strict=True):
        if len(several(mine)) != 2:
            return "It should return two values, the lower and the upper end."
        low, high = several(mine)
        if not all(isinstance(end, (int, float, np.float64)) and abs(end) < 1e9 for end in (low, high)):
            return "Its ends should be two numbers, and finite."
        ends.append(((low - mean) / spread, (high - mean) / spread))
    quantile = truth[0][2]
    low, high = np.mean(ends, axis=0)
    if low >= high:
        return "The lower end should come first."
    if not (abs(high - quantile) <= 0.1 and abs(low + quantile) <= 0.1):
        return "Its intervals have another width, or another middle, than those of the bootstrap."
    if np.ptp([high for _, high in ends]) < 1e-6:
        return "Its intervals do not come from redrawn samples."
    return ""


ASSIGNMENT = Assignment(
    name="fitting",
    constants=constants,
    questions=(
        Question("penalised_line", line_inputs, line_truth),
        Question("scaled", scaling_inputs, scaling_truth),
        Question("test_mask", split_inputs, split_truth, cases=20),
        Question("bootstrap_interval", bootstrap_inputs, bootstrap_truth, cases=24, together=bootstrap_wrong),
    ),
)
