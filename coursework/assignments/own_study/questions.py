"""A study of one's own: an interval, a choice by validation, labels saved, how many seeds, a report."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from coursework.questions import Assignment, Constants, Inputs, Question

TIES = {"smallest": "the smaller", "largest": "the larger"}
CHOICES = {
    "each": "for every seed by itself, the setting with the best validation score of that seed",
    "once": "one setting for all seeds, the one with the best mean validation score",
}


def constants(rng: np.random.Generator) -> dict[str, Any]:
    """A level and a sign; how a setting is chosen; a score that is to be reached; a half-width."""
    tie, choice = str(rng.choice(list(TIES))), str(rng.choice(list(CHOICES)))
    return {
        "level": round(float(rng.uniform(0.7, 0.99)), 2),
        "better": str(rng.choice(["score", "error"])),
        "tie": tie,
        "tie_rule": TIES[tie],
        "choice": choice,
        "choice_rule": CHOICES[choice],
        "away": int(rng.integers(1, 4)),
        "share": round(float(rng.uniform(0.65, 0.95)), 2),
        "half": round(float(rng.uniform(0.008, 0.04)), 3),
        "sure": round(float(rng.uniform(0.75, 0.98)), 2),
    }


def interval_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    seeds = int(rng.integers(3, 15))
    luck = rng.normal(0.7, 0.1, seeds)
    gap = rng.normal(0, 0.05)
    return {"ours": luck + rng.normal(gap, 0.03, seeds), "theirs": luck + rng.normal(0, 0.03, seeds)}


def interval_truth(inputs: Inputs, drawn: Constants) -> tuple[float, float, float]:
    """The gain, in pairs, with the interval of Student's t."""
    gains = (inputs["ours"] - inputs["theirs"]) * (1 if drawn["better"] == "score" else -1)
    low, high = stats.t.interval(drawn["level"], len(gains) - 1, gains.mean(), stats.sem(gains))
    return float(gains.mean()), float(low), float(high)


def choice_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    seeds, settings = int(rng.integers(2, 8)), int(rng.integers(2, 7))
    valid = np.round(rng.normal(0.7, 0.04, (seeds, settings)), 1)
    if rng.random() < 0.5:
        valid[:, :2] = valid[:, :1]  # two settings that cannot be told apart
    return {"valid": valid, "test": rng.normal(0.7, 0.05, (seeds, settings))}


def choice_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    """Seed by seed; ties to one end."""
    found = []
    together = np.round(inputs["valid"].mean(axis=0), 9)
    for valid, test in zip(inputs["valid"], inputs["test"], strict=True):
        seen = together if drawn["choice"] == "once" else valid
        places = np.flatnonzero(seen == seen.max())
        found.append(test[places[0] if drawn["tie"] == "smallest" else places[-1]])
    return np.array(found)


def labels_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    """Two curves; what is wanted lies between two budgets, below the first or above the last of scratch."""
    budgets = np.cumsum(rng.integers(2, 60, int(rng.integers(4, 9)))).astype(float)
    low, high = rng.uniform(0.1, 0.25), rng.uniform(0.4, 0.55)
    steps = rng.dirichlet(np.full(len(budgets) - 1, 4.0))
    scratch = low + (high - low) * np.concatenate([[0.0], np.cumsum(steps)])
    case, place = rng.random(), int(rng.integers(len(steps)))
    wanted = scratch[place] + rng.uniform(0.15, 0.85) * (scratch[place + 1] - scratch[place])
    if case < 0.2:
        wanted = scratch[0] * rng.uniform(0.7, 0.95)
    elif case < 0.35:
        wanted = scratch[-1] * rng.uniform(1.02, 1.06)
    start = min(drawn["away"], len(budgets) - 1)
    transfer = wanted / drawn["share"] + 0.005 * (np.arange(len(budgets)) - start)
    return {"budgets": budgets, "transfer": transfer, "scratch": scratch}


def labels_truth(inputs: Inputs, drawn: Constants) -> float:
    """Walk along the rival's curve on a logarithmic axis."""
    budgets, scratch = np.log(inputs["budgets"]), inputs["scratch"]
    start = min(drawn["away"], len(budgets) - 1)
    wanted = drawn["share"] * inputs["transfer"][start]
    if wanted <= scratch[0]:
        return float(inputs["budgets"][0] / inputs["budgets"][start])
    for left in range(len(budgets) - 1):
        if scratch[left] < wanted <= scratch[left + 1]:
            way = (wanted - scratch[left]) / (scratch[left + 1] - scratch[left])
            needed = np.exp(budgets[left] + way * (budgets[left + 1] - budgets[left]))
            return float(needed / inputs["budgets"][start])
    return -1.0


def seeds_inputs(rng: np.random.Generator, drawn: Constants) -> Inputs:
    return {"spreads": np.sort(rng.uniform(0.005, 0.12, int(rng.integers(1, 6))))}


def seeds_truth(inputs: Inputs, drawn: Constants) -> np.ndarray:
    """By trying two, three, four … seeds."""
    found = []
    for spread in inputs["spreads"]:
        seeds = 2
        while stats.t.ppf(0.5 + drawn["sure"] / 2, seeds - 1) * spread / np.sqrt(seeds) > drawn["half"]:
            seeds += 1
        found.append(seeds)
    return np.array(found)


ASSIGNMENT = Assignment(
    name="own_study",
    constants=constants,
    questions=(
        Question("paired_interval", interval_inputs, interval_truth, cases=8),
        Question("chosen_scores", choice_inputs, choice_truth, cases=25),
        Question("labels_needed", labels_inputs, labels_truth, cases=30),
        Question("seeds_needed", seeds_inputs, seeds_truth, cases=10),
    ),
)
