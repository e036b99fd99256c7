"""Whether recorded rows come out again: which to draw for a re-run, and how far a re-run may be off."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import statistics
import subprocess
from collections import Counter
from dataclasses import dataclass
from typing import Any

from transferbook.evidence import records, studies
from transferbook.evidence.records import StudyError

SEEDS_TO_COMPARE = 5  # the deviation over fewer seeds says too little to hold a re-run to it
DEVIATIONS = 4  # of the difference of two draws
TIMING = "_seconds"  # the end of the name of a metric that depends on the machine
ROUNDING = 1e-6  # relative: what another machine's arithmetic may change where all seeds agree
_NUMBER = re.compile(r"_\d+$")


def draw(name: str, key: str, seconds: float) -> list[tuple[Any, int, dict[str, float]]]:
    """Choose recorded rows for a re-run: one per value of the config field `method` (one in all without it).

    The hash of `key` decides: the same key draws the same rows, and over many keys every row has its turn.
    The methods are visited in hashed order, without those whose cheapest row the seconds do not allow beside
    those of the methods before; each takes the first of its rows, in hashed order, whose recorded seconds
    leave enough for the cheapest row of every method still to come. Configs with fewer than five seeds
    (tuning rows) are not drawn: too little is known of how far they may be off.

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
    cheapest: dict[str, float] = {}
    for method in sorted(methods, key=hashed):
        least = min(row["seconds"] for _, _, row in methods[method])
        if least + sum(cheapest.values()) <= seconds:
            cheapest[method] = least
    drawn = []
    for method in list(cheapest):
        del cheapest[method]
        allowed = seconds - sum(cheapest.values())
        for config, seed, row in methods[method]:
            if row["seconds"] <= allowed:
                drawn.append((config, seed, row["metrics"]))
                seconds -= row["seconds"]
                break
    return drawn


@dataclass(frozen=True)
class Changed:
    """A recorded row that is not what one of the last two commits says.

    Attributes:
        config: its config.
        seed: its seed.
        row: the row as it is now.
        before: its metrics in those commits, where they differ and as far as they had the row.
    """

    config: Any
    seed: int
    row: records.Row
    before: tuple[dict[str, float], ...]


def changed(name: str) -> list[Changed] | None:
    """The recorded rows whose metrics are not those of the last commit, or not those of the one before.

    Returns:
        Each such row of the grid, the cheapest first; None where git knows no commit before the last one, as
        in a shallow clone, so that nobody can say what has changed.

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
    commits = []
    for commit in ("HEAD", "HEAD~1"):
        text = git("show", f"{commit}:./{path.name}")
        stored = json.loads(text)["rows"] if text else []  # none: the study came later
        commits.append({records.key(row): _held(row["metrics"]) for row in stored})
    found = []
    for config, seed, row in rows:
        then = [commit.get(records.key(row)) for commit in commits]
        if any(metrics != _held(row["metrics"]) for metrics in then):
            found.append(Changed(config, seed, row, tuple(filter(None, then))))
    return sorted(found, key=lambda one: one.row["seconds"])


def hold_changed(name: str, found: list[Changed], seconds: float) -> tuple[list[str], int]:
    """Re-run what `changed` found and hold it to what is recorded now.

    A row must agree, also by the deviation over seeds that its old value gives, since a wrong value widens
    its own bound. And it must not come out as it was before: ten times closer to its old value than to the
    new one, which is off by more than half a standard deviation.

    Args:
        name: the study.
        found: the rows, the cheapest first.
        seconds: what the recorded seconds of the re-run rows may sum to; the first is re-run in any case.

    Returns:
        One sentence for each metric that is wrong, and the number of rows that were re-run.
    """
    problems, held = [], 0
    for one in found:
        if held and one.row["seconds"] > seconds:
            break
        seconds -= one.row["seconds"]
        held += 1
        metrics = studies.rerun(name, one.config, one.seed)
        problems += agree(name, one.config, one.seed, metrics) or _as_before(name, one, metrics)
    return problems, held


def _as_before(name: str, one: Changed, metrics: dict[str, float]) -> list[str]:
    """One sentence for each metric that fits what was recorded before better than what is recorded now."""
    found = []
    for metric, value in _held(one.row["metrics"]).items():
        off = abs(metrics[metric] - value)
        allowed = _allowed(name, one.config, one.seed, metric, value)
        for old in {before[metric] for before in one.before if metric in before}:
            half = allowed / (2 * DEVIATIONS * math.sqrt(2))
            back = abs(metrics[metric] - old) <= off / 10 and off > half
            if back or off > _allowed(name, one.config, one.seed, metric, old):
                found.append(
                    f"{metric} is {metrics[metric]:.6g} and recorded as {value:.6g}, which was {old:.6g} "
                    f"before: {one.config}, seed {one.seed}."
                )
    return found


def _held(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics to which a re-run is held."""
    return {metric: value for metric, value in metrics.items() if not metric.endswith(TIMING)}


def agree(name: str, config: Any, seed: int, metrics: dict[str, float]) -> list[str]:
    """Hold re-run metrics to the recorded row: each within four standard deviations of two draws' difference.

    On another CPU the last digits differ, and training can carry them up to the first: the re-run is then one
    draw and the record another, and their difference has the square root of two times the deviation over
    seeds.

    A metric may belong to some seeds only, such as the score inside a group that a seed's test set lacks.

    Five seeds tell a variance badly (one config in twenty shows less than a fifth of its own), so it is the
    mean of the config's and of what the method's other configs have on average. Where the seeds agree to the
    last digit (an accuracy of 1, say), or there are fewer than three, it is the method's alone. Times, whose
    names end in `_seconds`, may differ as they like.

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
    apart = []
    for metric, value in _held(stored[seed]).items():
        allowed = _allowed(name, config, seed, metric, value)
        if not abs(metrics[metric] - value) <= allowed:
            apart.append(
                f"{metric} is {metrics[metric]:.6g} and recorded as {value:.6g}; {len(stored)} seeds allow "
                f"two draws to be {allowed:.2g} apart: {config}, seed {seed}."
            )
    return apart


def _allowed(name: str, config: Any, seed: int, metric: str, value: float) -> float:
    """How far a re-run may be off, if the row's metric were `value` beside those of the other seeds."""
    key = studies.row_key(config, seed)
    others = [(other, row) for other, _, row in studies.complete(name) if records.key(row) != key]
    same = [row["metrics"] for _, row in others if row["config_fingerprint"] == key[0]]
    values = [metrics[metric] for metrics in same if metric in metrics]
    deviation = statistics.stdev([value, *values]) if len(values) > 1 else 0.0
    if deviation <= ROUNDING * abs(value):
        deviation = _deviation_of_method(name, others, config, metric)
    elif elsewhere := _variances(others, config, metric, but=key[0]):
        deviation = math.sqrt((deviation**2 + statistics.mean(elsewhere)) / 2)
    return DEVIATIONS * math.sqrt(2) * deviation + ROUNDING * abs(value)


def _deviation_of_method(name: str, rows: list[tuple[Any, records.Row]], config: Any, metric: str) -> float:
    """Root mean square, over the method's configs with several seeds, of a metric's deviation over seeds.

    Where the method has none, over the configs of all methods, and over the metrics that differ in their
    number only: `inside_29` is held by what the scores inside groups vary if one seed alone has group 29.
    """
    variances = _variances(rows, config, metric)
    if not variances:
        one_each = {getattr(other, "method", ""): other for other, _ in rows}.values()
        names = {name for _, row in rows for name in row["metrics"]} | {metric}
        alike = [name for name in names if _NUMBER.sub("", name) == _NUMBER.sub("", metric)]
        variances = [one for other in one_each for name in alike for one in _variances(rows, other, name)]
    if not variances:
        raise StudyError(f"Study {name} has no config with a second seed that says how {metric} varies.")
    return math.sqrt(statistics.mean(variances))


def _variances(
    rows: list[tuple[Any, records.Row]], config: Any, metric: str, but: str | None = None
) -> list[float]:
    """A metric's variance over seeds for each of the method's configs that has several, but for one."""
    method = getattr(config, "method", "")
    values: dict[str, list[float]] = {}
    for other, row in rows:
        if getattr(other, "method", "") == method and metric in row["metrics"]:
            values.setdefault(row["config_fingerprint"], []).append(row["metrics"][metric])
    return [statistics.variance(same) for key, same in values.items() if len(same) > 1 and key != but]
