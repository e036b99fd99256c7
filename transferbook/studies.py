"""Studies: comparisons too dear to run live, computed once, recorded row by row and checked ever after.

A study is one Python file `studies/NAME.py`, in the folder beside the package (`TRANSFERBOOK_STUDIES` names
another), that defines

- `Config`: a frozen dataclass whose fields are numbers, strings, booleans, `None` or tuples of them;
- `grid() -> list[tuple[Config, int]]`: the rows it wants, each a config and a seed;
- `smallest()`: likewise, the few cheap rows that still show its main result;
- `run(config, seed) -> dict[str, float]`: the metrics of one row, made of the package calls the notebook
  teaches; a metric whose name ends in `_seconds` is a time, to which no re-run is held;
- optionally `chosen(rows) -> dict`, which makes choices (learning rates, say) from the study's own tuning
  rows, and the constant `CHOSEN`, which records what it returned. `grid` holds the tuning rows alone while
  `CHOSEN` is empty, and puts it into the configs of the others; `run` does not read it.

A recorded row is fresh while its config is in the grid and `run`, with all it uses of the file, does what
it did (`records.run_fingerprint`). So adding rows to the grid invalidates nothing; a new field of `Config`
makes new rows. The rows are in `studies/results/NAME.json` (`TRANSFERBOOK_RESULTS` names another folder).
Those that are not, or no longer, in the grid stay there and are ignored.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import os
import random
import statistics
import sys
import time
import traceback
import types
from collections import Counter
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transferbook import records, runtime
from transferbook.records import StudyError

if TYPE_CHECKING:
    import pandas

LIBRARIES = ("numpy", "scikit-learn", "timm", "torch", "transformers")
MAX_JOBS = 4  # each job holds its own copy of a model and its data, one to two gigabytes
SEEDS_TO_COMPARE = 5  # the deviation over fewer seeds says too little to hold a re-run to it
DEVIATIONS = 4
TIMING = "_seconds"  # the end of the name of a metric that depends on the machine
ROUNDING = 1e-6  # relative: what another machine's arithmetic may change where all seeds agree


@dataclass(frozen=True)
class Study:
    """An opened study file.

    Attributes:
        path: the file; its stem is the study's name.
        module: the executed file, with whatever else it defines.
        run_fingerprint: of its `run`, see `records.run_fingerprint`.
    """

    path: Path
    module: types.ModuleType
    run_fingerprint: str

    @property
    def name(self) -> str:
        """The study's name."""
        return self.path.stem

    @property
    def Config(self) -> type:
        """The study's frozen config dataclass."""
        return self.module.Config

    def grid(self) -> list[tuple[Any, int]]:
        """All (config, seed) pairs of the study; `StudyError` if one is of the wrong type or listed twice."""
        return self._pairs("grid")

    def smallest(self) -> list[tuple[Any, int]]:
        """The few cheap (config, seed) pairs that still show the main result; errors as for `grid`."""
        return self._pairs("smallest")

    def run(self, config: Any, seed: int) -> dict[str, float]:
        """The metrics of one row, everything seeded; `StudyError` if they are not finite floats."""
        runtime.seed_everything(seed)
        metrics = self.module.run(config, seed)
        if not isinstance(metrics, dict) or not metrics:
            raise StudyError(f"`run` returned {metrics!r}; it must return a dict of metrics.")
        for metric, value in metrics.items():
            if metric in {*_fields(config), "seed", "seconds", "device"}:
                raise StudyError(f'The metric "{metric}" has the name of another column; rename it.')
            if not isinstance(value, float) or not math.isfinite(value):
                raise StudyError(f'The metric "{metric}" is {value!r}; every metric must be a finite float.')
        return {metric: float(value) for metric, value in metrics.items()}

    def _pairs(self, function: str) -> list[tuple[Any, int]]:
        pairs = list(getattr(self.module, function)())
        for config, seed in pairs:
            if not isinstance(config, self.Config) or type(seed) is not int:
                raise StudyError(f"{self.path}: {function}() must list (Config, int), not {(config, seed)}.")
        if not pairs or len({_key(*pair) for pair in pairs}) < len(pairs):
            raise StudyError(f"{self.path}: {function}() is empty or lists a row twice.")
        return pairs


def names() -> list[str]:
    """The names of all studies, sorted; files whose name begins with an underscore are none."""
    return sorted(path.stem for path in _folder().glob("*.py") if not path.stem.startswith("_"))


def open_study(name: str) -> Study:
    """Execute `studies/NAME.py`, again if its text has changed, and check that it is a study.

    Raises:
        StudyError: if there is no such study, or its file cannot be executed or lacks a part.
    """
    if name not in names():
        known = ", ".join(names()) or "none"
        raise StudyError(f'There is no study "{name}" in {_folder()}; the studies there: {known}.')
    return _open(_folder() / f"{name}.py")


def results_path(name: str) -> Path:
    """The file in which the study's rows are recorded, whether or not it exists yet."""
    folder = os.environ.get("TRANSFERBOOK_RESULTS")
    return (Path(folder) if folder else _folder() / "results") / f"{name}.json"


def run(name: str, jobs: int | None = None, progress: bool = True) -> int:
    """Compute the rows of the grid that are missing or stale, and record each as soon as it is done.

    The rows run in `jobs` processes (in this one if that is 1), each in one thread on a CPU, and in a
    shuffled order, so that two runners seldom meet. However a run ends, only the rows in flight are lost:
    run again to go on.

    Args:
        name: the study.
        jobs: processes; by default the cores at hand, at most 4, and 1 on a GPU.
        progress: whether to draw a progress bar on standard error.

    Returns:
        The number of rows this run computed.

    Raises:
        StudyError: when rows failed (at the end, with each one's config and reason), or when a process died.
        ValueError: if `jobs` is less than 1.
    """
    import joblib
    from tqdm import tqdm

    if jobs is None:
        jobs = 1 if runtime.device().type == "cuda" else min(joblib.cpu_count(), MAX_JOBS)
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}; it must be at least 1.")
    study, path = open_study(name), results_path(name)
    grid = {_key(config, seed): (config, seed) for config, seed in study.grid()}
    done = records.fresh(records.read(path), study.run_fingerprint).keys() & grid.keys()
    waiting = [key for key in grid if key not in done]
    random.Random(os.getpid()).shuffle(waiting)
    computed, failures = 0, []

    def tasks() -> Iterator[Any]:
        for key in waiting:
            if key not in done:  # another runner may have recorded it since
                config, seed = grid[key]
                yield joblib.delayed(_compute_row)(study.path, _fields(config), seed)

    with (
        tqdm(total=len(grid), initial=len(done), desc=name, unit="row", disable=not progress) as bar,
        joblib.parallel_config("loky", inner_max_num_threads=1),
    ):
        # One row at a time to each process, so that a finished row comes back at once.
        parallel = joblib.Parallel(jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")
        try:
            for row in parallel(tasks()):
                if isinstance(row, str):
                    failures.append(row)
                    continue
                computed += 1
                done |= records.fresh(records.record(path, row), study.run_fingerprint).keys() & grid.keys()
                bar.update(len(done) - bar.n)
        except BrokenProcessPool as error:
            raise StudyError(
                f"A process of study {name} was killed (out of memory?); the finished rows are recorded; "
                f"go on with `{records.command(name)}`."
            ) from error
    if failures:
        raise StudyError(
            f"{len(failures)} of the {len(waiting)} rows to compute failed, the others are recorded; "
            f"mend {study.path} and run `{records.command(name)}` again:\n" + "\n".join(sorted(failures))
        )
    records.drop_stale(path, study.run_fingerprint)
    return computed


def problems(name: str) -> list[str]:
    """What is missing or stale in a study's results, one sentence each; empty if there is nothing."""
    study, rows = open_study(name), records.read(results_path(name))
    wanted = {_key(config, seed) for config, seed in study.grid()}
    missing = wanted - {records.key(row) for row in rows}
    stale = wanted - missing - records.fresh(rows, study.run_fingerprint).keys()
    found = []
    if missing:
        found.append(f"{len(missing)} of the {len(wanted)} rows of study {name} are missing.")
    if stale:
        found.append(
            f"{len(stale)} of the {len(wanted)} rows of study {name} are stale: "
            "`run`, or something it uses, has changed since."
        )
    return found


def load(name: str) -> pandas.DataFrame:
    """The rows of the grid, no more and no fewer.

    Returns:
        One row per (config, seed), sorted by the fields of `Config` in their order and then by seed. Columns:
        those fields, `seed`, the metrics, `seconds` (that `run` took, one thread on a CPU) and `device`.

    Raises:
        StudyError: if a row is missing or stale; the message names the command that mends it.
    """
    import pandas

    return pandas.DataFrame(
        _fields(config) | {"seed": seed} | row["metrics"] | {key: row[key] for key in ("seconds", "device")}
        for config, seed, row in _complete(name)
    )


def rerun(name: str, config: Any, seed: int) -> dict[str, float]:
    """Compute the metrics of one row here and now, recording nothing."""
    return open_study(name).run(config, seed)


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

    rows = _complete(name)
    seeds = Counter(records.config_fingerprint(_fields(config)) for config, _, _ in rows)
    methods: dict[str, list[tuple[Any, int, records.Row]]] = {}
    for config, seed, row in sorted(rows, key=lambda found: hashed(*_key(*found[:2]))):
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
    fingerprint = records.config_fingerprint(_fields(config))
    rows = _complete(name)
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
        if deviation == 0:
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


def _folder() -> Path:
    folder = os.environ.get("TRANSFERBOOK_STUDIES")
    return Path(folder) if folder else Path(__file__).resolve().parent.parent / "studies"


def _open(path: Path) -> Study:
    return _execute(path, path.read_bytes())


@functools.lru_cache
def _execute(path: Path, source: bytes) -> Study:
    """Execute a study file, from its text since bytecode may lag behind, under a module name of its own."""
    module = types.ModuleType(f"transferbook_study_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up the names in annotations
    try:
        exec(compile(source, path, "exec"), module.__dict__)
    except Exception as error:
        raise StudyError(f"{path} cannot be executed: {_last_line(error, path)}") from error
    missing = [part for part in ("Config", "grid", "smallest", "run") if part not in module.__dict__]
    if missing:
        raise StudyError(f"{path} is no study: it does not define {', '.join(missing)}.")
    if not dataclasses.is_dataclass(module.Config) or not module.Config.__dataclass_params__.frozen:
        raise StudyError(f"{path}: Config must be a frozen dataclass; write @dataclass(frozen=True).")
    return Study(path, module, records.run_fingerprint(source))


def _compute_row(path: Path, fields: dict[str, Any], seed: int) -> records.Row | str:
    """One row, computed in whichever process this is, or the line that says why it failed."""
    import torch

    threads = torch.get_num_threads()
    try:
        machine = runtime.describe()
        if machine["device"] == "cpu":
            torch.set_num_threads(1)
        study = _open(path)
        config = study.Config(**fields)
        start = time.perf_counter()
        metrics = study.run(config, seed)
        seconds = time.perf_counter() - start
    except Exception as error:
        return f"  {json.dumps(fields)}, seed {seed}: {_last_line(error, path)}"
    finally:
        torch.set_num_threads(threads)
    return {
        "config": fields,
        "seed": seed,
        "metrics": metrics,
        "seconds": round(seconds, 3),
        "device": f"{machine['device']}: {machine['device_name']}",
        "versions": {"python": machine["python"]} | {library: version(library) for library in LIBRARIES},
        "config_fingerprint": records.config_fingerprint(fields),
        "run_fingerprint": study.run_fingerprint,
    }


def _last_line(error: Exception, path: Path) -> str:
    """The last line of the error's traceback, and the line of the study file that led there."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    where = f" ({path.name}, line {lines[-1]})" if lines else ""
    return traceback.format_exception_only(error)[-1].strip() + where


def _fields(config: Any) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def _key(config: Any, seed: int) -> tuple[str, int]:
    """What `records.key` will say of this row."""
    return records.config_fingerprint(_fields(config)), seed


def _complete(name: str) -> list[tuple[Any, int, records.Row]]:
    """(config, seed, row) of every row of the grid, sorted."""
    found = problems(name)
    if found:
        raise StudyError(f"{' '.join(found)} Mend it with `{records.command(name)}`.")
    study = open_study(name)
    rows = records.fresh(records.read(results_path(name)), study.run_fingerprint)
    triples = [(config, seed, rows[_key(config, seed)]) for config, seed in study.grid()]
    return sorted(triples, key=lambda triple: records.order(triple[2]))
