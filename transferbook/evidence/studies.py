"""Studies: comparisons too dear to run live, computed once, recorded row by row and checked ever after.

A study is one Python file `studies/NAME.py`, in the folder beside the package (`TRANSFERBOOK_STUDIES` names
another), that defines

- `Config`: a frozen dataclass whose fields are numbers, strings, booleans, `None` or tuples of them;
- `grid() -> list[tuple[Config, int]]`: the rows it wants, each a config and a seed;
- `smallest()`: likewise, the few cheap rows that still show its main result;
- `run(config, seed) -> dict[str, float]`: the metrics of one row, made of the package calls the notebook
  teaches; a metric whose name ends in `_seconds` is a time, to which no re-run is held;
- optionally `NEEDS`, the names of optional assets without which `run` cannot do (see `data/assets.py`): where
  one is not here, the rows are checked for all but their values;
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
import math
import os
import sys
import traceback
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transferbook import runtime
from transferbook.evidence import records
from transferbook.evidence.records import StudyError

if TYPE_CHECKING:
    import pandas



@dataclass(frozen=True)
class Study:
    """An opened study file.

    Attributes:
        path: the file; its stem is the study's name.
        module: the executed file, with whatever else it defines.
        run_fingerprint: of its `run`, see `records.run_fingerprint`.
        source: the text that was executed.
    """

    path: Path
    module: types.ModuleType
    run_fingerprint: str
    source: bytes

    @property
    def name(self) -> str:
        """The study's name."""
        return self.path.stem

    @property
    def Config(self) -> type:
        """The study's frozen config dataclass."""
        return self.module.Config

    @property
    def needs(self) -> tuple[str, ...]:
        """The optional assets without which no row can be computed."""
        return tuple(getattr(self.module, "NEEDS", ()))

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
            if metric in {*config_fields(config), "seed", "seconds", "device"}:
                raise StudyError(f'The metric "{metric}" has the name of another column; rename it.')
            if not isinstance(value, float) or not math.isfinite(value):
                raise StudyError(f'The metric "{metric}" is {value!r}; every metric must be a finite float.')
        return {metric: float(value) for metric, value in metrics.items()}

    def _pairs(self, function: str) -> list[tuple[Any, int]]:
        pairs = list(getattr(self.module, function)())
        for config, seed in pairs:
            if not isinstance(config, self.Config) or type(seed) is not int:
                raise StudyError(f"{self.path}: {function}() must list (Config, int), not {(config, seed)}.")
        if not pairs or len({row_key(*pair) for pair in pairs}) < len(pairs):
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
    return open_file(_folder() / f"{name}.py")


def results_path(name: str) -> Path:
    """The file in which the study's rows are recorded, whether or not it exists yet."""
    folder = os.environ.get("TRANSFERBOOK_RESULTS")
    return (Path(folder) if folder else _folder() / "results") / f"{name}.json"


def problems(name: str) -> list[str]:
    """What is missing or stale in a study's results, one sentence each; empty if there is nothing."""
    study, rows = open_study(name), records.read(results_path(name))
    wanted = {row_key(config, seed) for config, seed in study.grid()}
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
        config_fields(config)
        | {"seed": seed}
        | row["metrics"]
        | {key: row[key] for key in ("seconds", "device")}
        for config, seed, row in complete(name)
    )


def rerun(name: str, config: Any, seed: int) -> dict[str, float]:
    """Compute the metrics of one row here and now, recording nothing."""
    return open_study(name).run(config, seed)


def _folder() -> Path:
    folder = os.environ.get("TRANSFERBOOK_STUDIES")
    return Path(folder) if folder else Path(__file__).resolve().parents[2] / "studies"


def open_file(path: Path) -> Study:
    return open_text(path, path.read_bytes())


@functools.lru_cache
def open_text(path: Path, source: bytes) -> Study:
    """Execute a study file, from its text since bytecode may lag behind, under a module name of its own."""
    module = types.ModuleType(f"transferbook_study_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up the names in annotations
    try:
        exec(compile(source, path, "exec"), module.__dict__)
    except Exception as error:
        raise StudyError(f"{path} cannot be executed: {last_line(error, path)}") from error
    missing = [part for part in ("Config", "grid", "smallest", "run") if part not in module.__dict__]
    if missing:
        raise StudyError(f"{path} is no study: it does not define {', '.join(missing)}.")
    if not dataclasses.is_dataclass(module.Config) or not module.Config.__dataclass_params__.frozen:
        raise StudyError(f"{path}: Config must be a frozen dataclass; write @dataclass(frozen=True).")
    return Study(path, module, records.run_fingerprint(source), source)


def last_line(error: Exception, path: Path) -> str:
    """The last line of the error's traceback, and the line of the study file that led there."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    where = f" ({path.name}, line {lines[-1]})" if lines else ""
    return traceback.format_exception_only(error)[-1].strip() + where


def config_fields(config: Any) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def row_key(config: Any, seed: int) -> tuple[str, int]:
    """What `records.key` will say of this row."""
    return records.config_fingerprint(config_fields(config)), seed


def complete(name: str) -> list[tuple[Any, int, records.Row]]:
    """(config, seed, row) of every row of the grid, sorted."""
    found = problems(name)
    if found:
        raise StudyError(f"{' '.join(found)} Mend it with `{records.command(name)}`.")
    study = open_study(name)
    rows = records.fresh(records.read(results_path(name)), study.run_fingerprint)
    triples = [(config, seed, rows[row_key(config, seed)]) for config, seed in study.grid()]
    return sorted(triples, key=lambda triple: records.order(triple[2]))
