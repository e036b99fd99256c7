"""Whether recorded rows come out again: which to draw for a re-run, and how far a re-run may be off."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections import Counter
from typing import Any

from transferbook.evidence import records, studies
from transferbook.evidence.records import StudyError

SEEDS_TO_COMPARE = 5  # the deviation over fewer seeds says too little to hold a re-run to it
DEVIATIONS = 4
TIMING = "_seconds"  # the end of the name of a metric that depends on the machine
ROUNDING = 1e-6  # relative: what another machine's arithmetic may change where all seeds agree


def draw(name: str, key: str, seconds: float) -> list[tuple[Any, int, dict[str, float]]]:
    """Choose recorded rows for a re-run: one per value of the config field `method` (one in all without it).

    The hash of `key` decides: the same key draws the same rows, and over many keys every row has its turn.
    The methods are visited in hashed order; each takes the first of its rows, in hashed order, whose
    recorded seconds leave enough for the cheapest row of every method still to come, and none if no row
    does. Configs with fewer than five seeds (tuning rows) are not drawn: `agree` could not judge them.

    Args:
        name: the study.
        key: any string, such as a commit's hash.
        seconds: what the drawn rows' recorded seconds may sum to.

    Returns:
        (config, seed, recorded metrics) of each drawn row.

    Raises:
        StudyError: if the results are incomplete or stale.
    """

    def hashed(*parts: Any) -> str:
        return hashlib.sha256(json.dumps([key, *parts]).encode()).hexdigest()

    rows = studies.complete(name)
    seeds = Counter(records.config_fingerprint(studies.config_fields(config)) for config, _, _ in rows)
    methods: dict[str, list[tuple[Any, int, records.Row]]] = {}
    for config, seed, row in sorted(rows, key=lambda found: hashed(*studies.row_key(*found[:2]))):
        if seeds[row["config_fingerprint"]] >= SEEDS_TO_COMPARE:
            methods.setdefault(str(getattr(config, "method", "")), []).append((config, seed, row))
    cheapest = {method: min(row["seconds"] for _, _, row in found) for method, found in methods.items()}
    drawn = []
    for method in sorted(methods, key=hashed):
        del cheapest[method]
        allowed = seconds - sum(cheapest.values())
        for config, seed, row in methods[method]:
            if row["seconds"] <= allowed:
                drawn.append((config, seed, row["metrics"]))
                seconds -= row["seconds"]
                break
    return drawn


def agree(name: str, config: Any, seed: int, metrics: dict[str, float]) -> list[str]:
    """Hold re-run metrics to the recorded row: each within four standard deviations over the config's seeds.

    Where these seeds agree to the last digit (an accuracy of 1, say), the deviation is that of the method's
    other configs, a root mean square. Times, whose names end in `_seconds`, may differ as they like.

    Returns:
        One sentence for each metric that is further off, or that only one side has; empty if all agree.

    Raises:
        StudyError: if the results are incomplete or stale, or hold not this row or only one seed of its
            config.
    """
    fingerprint = records.config_fingerprint(studies.config_fields(config))
    rows = studies.complete(name)
    stored = {row["seed"]: row["metrics"] for _, _, row in rows if row["config_fingerprint"] == fingerprint}
    if seed not in stored or len(stored) < 2:
        raise StudyError(f"Study {name} has no row of seed {seed}, or no second seed, of {config}.")
    if metrics.keys() != stored[seed].keys():
        return [f"The metrics are {sorted(metrics)} and the recorded ones {sorted(stored[seed])}: {config}."]
    apart = []
    for metric, value in stored[seed].items():
        if metric.endswith(TIMING):
            continue
        deviation = statistics.stdev(other[metric] for other in stored.values())
        if deviation <= ROUNDING * abs(value):
            deviation = _deviation_of_method(rows, getattr(config, "method", ""), metric)
        allowed = DEVIATIONS * deviation + ROUNDING * abs(value)
        if not abs(metrics[metric] - value) <= allowed:
            apart.append(
                f"{metric} is {metrics[metric]:.6g} and recorded as {value:.6g}; {DEVIATIONS} standard "
                f"deviations over {len(stored)} seeds allow {allowed:.2g}: {config}, seed {seed}."
            )
    return apart


def _deviation_of_method(rows: list[tuple[Any, int, records.Row]], method: str, metric: str) -> float:
    """Root mean square, over the method's configs with several seeds, of a metric's deviation over seeds."""
    values: dict[str, list[float]] = {}
    for config, _, row in rows:
        if getattr(config, "method", "") == method and metric in row["metrics"]:
            values.setdefault(row["config_fingerprint"], []).append(row["metrics"][metric])
    variances = [statistics.variance(same) for same in values.values() if len(same) > 1]
    return math.sqrt(statistics.mean(variances))
