"""Whether recorded rows come out again: which to draw for a re-run, and how far a re-run may be off."""

from __future__ import annotations

import hashlib
import json
import math
import os
import statistics
import subprocess
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


def changed(name: str) -> list[tuple[Any, int, records.Row]] | None:
    """The recorded rows whose metrics are not those of the last commit, or not those of the one before.

    Returns:
        (config, seed, row) of each such row of the grid, the cheapest first; None where git knows no commit
        before the last one, as in a shallow clone, so that nobody can say what has changed.

    Raises:
        StudyError: if the results are incomplete or stale.
    """
    rows = studies.complete(name)
    path = studies.results_path(name)

    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}

    def git(*command: str) -> str | None:
        command = ("git", "-C", str(path.parent), *command)
        try:
            done = subprocess.run(command, env=environment, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.decode("utf-8")

    if git("rev-parse", "--verify", "--quiet", "HEAD~1^{commit}") is None:
        return None
    earlier = []
    for commit in ("HEAD", "HEAD~1"):
        text = git("show", f"{commit}:./{path.name}")
        stored = json.loads(text)["rows"] if text else []  # none: the study came later
        earlier.append({records.key(row): _held(row) for row in stored})
    found = [
        (config, seed, row)
        for config, seed, row in rows
        if any(before.get(records.key(row)) != _held(row) for before in earlier)
    ]
    return sorted(found, key=lambda triple: triple[2]["seconds"])


def hold_changed(
    name: str, found: list[tuple[Any, int, records.Row]], seconds: float
) -> tuple[list[str], int]:
    """Re-run what `changed` found and hold it to what is recorded now.

    Args:
        name: the study.
        found: the rows, the cheapest first.
        seconds: what the recorded seconds of the re-run rows may sum to; the first is re-run in any case.

    Returns:
        The sentences of `agree`, and the number of rows that were re-run.
    """
    problems, held = [], 0
    for config, seed, row in found:
        if held and row["seconds"] > seconds:
            break
        seconds -= row["seconds"]
        held += 1
        problems += agree(name, config, seed, studies.rerun(name, config, seed))
    return problems, held


def _held(row: records.Row) -> dict[str, float]:
    """The metrics of a row to which a re-run is held."""
    return {metric: value for metric, value in row["metrics"].items() if not metric.endswith(TIMING)}


def agree(name: str, config: Any, seed: int, metrics: dict[str, float]) -> list[str]:
    """Hold re-run metrics to the recorded row: each within four standard deviations over the config's seeds.

    A wrong row must not widen its own bound: where the config's other seeds lie closer together than all of
    them, theirs is the deviation, though no less than half the method's. Where all seeds agree to the last
    digit (an accuracy of 1, say), or the config has fewer than three, it is that of the method's other rows,
    a root mean square over configs. Times, whose names end in `_seconds`, may differ as they like.

    Returns:
        One sentence for each metric that is further off, or that only one side has; empty if all agree.

    Raises:
        StudyError: if the results are incomplete or stale, hold not this row, or no second seed that says how
            far it may be off.
    """
    fingerprint = records.config_fingerprint(studies.config_fields(config))
    rows = studies.complete(name)
    stored = {row["seed"]: row["metrics"] for _, _, row in rows if row["config_fingerprint"] == fingerprint}
    if seed not in stored:
        raise StudyError(f"Study {name} has no row of seed {seed} of {config}.")
    if metrics.keys() != stored[seed].keys():
        return [f"The metrics are {sorted(metrics)} and the recorded ones {sorted(stored[seed])}: {config}."]
    others = [(c, s, row) for c, s, row in rows if (row["config_fingerprint"], s) != (fingerprint, seed)]
    apart = []
    for metric, value in _held({"metrics": stored[seed]}).items():
        values = [row["metrics"][metric] for _, _, row in others if row["config_fingerprint"] == fingerprint]
        deviation = _deviation(value, values, _deviation_of_method(name, others, config, metric))
        allowed = DEVIATIONS * deviation + ROUNDING * abs(value)
        if not abs(metrics[metric] - value) <= allowed:
            apart.append(
                f"{metric} is {metrics[metric]:.6g} and recorded as {value:.6g}; {DEVIATIONS} standard "
                f"deviations over {len(stored)} seeds allow {allowed:.2g}: {config}, seed {seed}."
            )
    return apart


def _deviation(value: float, others: list[float], of_method: float) -> float:
    """What a row's metric is held to, given those of the config's other seeds and the method's deviation."""
    if len(others) < 2 or (of_all := statistics.stdev([value, *others])) <= ROUNDING * abs(value):
        return of_method
    return min(of_all, max(statistics.stdev(others), of_method / 2))


def _deviation_of_method(
    name: str, rows: list[tuple[Any, int, records.Row]], config: Any, metric: str
) -> float:
    """Root mean square, over the method's configs with several seeds, of a metric's deviation over seeds."""
    method = getattr(config, "method", "")
    values: dict[str, list[float]] = {}
    for other, _, row in rows:
        if getattr(other, "method", "") == method and metric in row["metrics"]:
            values.setdefault(row["config_fingerprint"], []).append(row["metrics"][metric])
    variances = [statistics.variance(same) for same in values.values() if len(same) > 1]
    if not variances:
        raise StudyError(f"Study {name} has no config with a second seed that says how {metric} varies.")
    return math.sqrt(statistics.mean(variances))
