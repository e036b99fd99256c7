"""What the benchmarks share: timing in turns, ratios with their spread, and the record of a run."""

from __future__ import annotations

import gc
import hashlib
import importlib.metadata
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from transferbook.evidence.intervals import Interval

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_name("results")
LIBRARIES = ("numpy", "timm", "torch", "transformers")
# Every benchmark runs in a process of its own, on one thread of the CPU.
FIXED = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
FIXED |= {"CUDA_VISIBLE_DEVICES": "", "TRANSFERBOOK_SCALE": "small"}

T = TypeVar("T")


@dataclass(frozen=True)
class Measurement:
    """One number and how it came about.

    Attributes:
        name: what was measured, or what was compared with what.
        value: the number; of a comparison, the median over repetitions of the ratio within each.
        unit: `"times"`, `"difference"`, `"s"` or `"GB"` (2**30 bytes).
        settings: sizes that it was measured at.
        at_most: the largest value that the book allows itself, if there is one.
        at_least: likewise the smallest.
        quartiles: first and third quartile of the ratios; None for a single run.
        ratios: the ratio of every repetition, in order.
        seconds: median time of each contestant.
        checked: what was found equal on all sides.
        interval: of a difference, the ends of its 95 % interval over seeds.
    """

    name: str
    value: float
    unit: str
    settings: dict[str, Any]
    at_most: float | None = None
    at_least: float | None = None
    quartiles: tuple[float, float] | None = None
    ratios: list[float] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    checked: str = ""
    interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        number = f"{self.value:.4g}" if self.unit in ("times", "difference") else f"{self.value:.1f}"
        ends = self.quartiles or self.interval
        spread = f" [{ends[0]:.4g}, {ends[1]:.4g}]" if ends else ""
        limit = ""
        if self.at_most is not None:
            limit = f"at most {self.at_most:g}: {'met' if self.value <= self.at_most else 'MISSED'}"
        if self.at_least is not None:
            limit = f"at least {self.at_least:g}: {'met' if self.value >= self.at_least else 'MISSED'}"
        return f"{self.name:<82} {f'{number}{spread} {self.unit}':<28} {limit}".rstrip()


def interleave(
    contestants: Mapping[str, Callable[..., T]],
    repetitions: int,
    fresh: Callable[[], tuple[Any, ...]] = tuple,
) -> tuple[dict[str, list[float]], dict[str, T]]:
    """Time contestants in turns, A B C, B C A, C A B, ..., so that a drift of the machine meets all alike.

    Args:
        contestants: functions by name.
        repetitions: rounds, at least 2.
        fresh: makes the arguments of each call, outside the time that counts.

    Returns:
        The seconds of each contestant, round by round, and what each one returned last.
    """
    from tqdm import tqdm

    if repetitions < 2:
        raise ValueError(f"A spread needs at least 2 repetitions; got {repetitions}.")
    names = list(contestants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    results: dict[str, T] = {}
    for repetition in tqdm(range(repetitions), desc=" | ".join(names), leave=False, disable=None):
        first = repetition % len(names)
        for name in names[first:] + names[:first]:
            arguments = fresh()
            gc.collect()
            started = time.perf_counter()
            results[name] = contestants[name](*arguments)
            seconds[name].append(time.perf_counter() - started)
    return seconds, results


def compare(name: str, seconds: Mapping[str, list[float]], this: str, over: str, **facts: Any) -> Measurement:
    """How many times as long as `over` does `this` take: the ratio within each round, median and quartiles.

    Args:
        name: of the measurement.
        seconds: from `interleave`.
        this: the contestant whose time is divided, by that of `over`.
        facts: the other attributes of the measurement.
    """
    ratios = [a / b for a, b in zip(seconds[this], seconds[over], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Measurement(
        name=name,
        value=round(middle, 4),
        unit="times",
        quartiles=(round(low, 4), round(high, 4)),
        ratios=[round(ratio, 4) for ratio in ratios],
        seconds={key: round(statistics.median(seconds[key]), 4) for key in (this, over)},
        **facts,
    )


def difference(name: str, found: Interval, **facts: Any) -> Measurement:
    """A difference of two contestants' scores with its interval over seeds.

    Args:
        name: of the measurement.
        found: from `intervals.paired_difference`.
        facts: the other attributes of the measurement.
    """
    ends = round(found.low, 4), round(found.high, 4)
    return Measurement(name, round(found.mean, 4), "difference", interval=ends, **facts)


def record(
    benchmark: str, inputs: Iterable[str], measurements: list[Measurement], folder: Path = RESULTS
) -> Path:
    """Write what a benchmark measured, on what machine, with which libraries and at which commit.

    Args:
        benchmark: its name, which names the file too.
        inputs: patterns of the files that the measurement depends on (see `fingerprint`).
        measurements: what was measured.
        folder: where the file goes; it replaces an earlier one in one step.
    """
    from transferbook import runtime

    content = {
        "benchmark": benchmark,
        "commit": _commit(),
        "machine": runtime.describe(),
        "threads": 1,
        "versions": {library: importlib.metadata.version(library) for library in LIBRARIES},
        "fingerprint": fingerprint(inputs),
        "measurements": [asdict(measurement) for measurement in measurements],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{benchmark}.json"
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def load(benchmark: str, folder: Path = RESULTS) -> list[Measurement]:
    """The recorded measurements of a benchmark; none if it has not run."""
    path = folder / f"{benchmark}.json"
    if not path.exists():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    return [Measurement(**row) for row in content["measurements"]]


def is_current(benchmark: str, inputs: Iterable[str], folder: Path = RESULTS) -> bool:
    """Whether the record was made on this machine, from the files as they are now."""
    from transferbook import runtime

    path = folder / f"{benchmark}.json"
    if not path.exists():
        return False
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["fingerprint"] == fingerprint(inputs) and content["machine"] == runtime.describe()


def fingerprint(inputs: Iterable[str]) -> str:
    """Hash of the files that match the patterns, which are relative to the repository's root."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in inputs for path in ROOT.glob(pattern)}):
        digest.update(f"{path.relative_to(ROOT).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _commit() -> str:
    """The commit that was measured; a tree with changes is said to have them."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    if not (ROOT / ".git").exists():
        return "not in a git repository"
    changed = git("status", "--porcelain", "--", "transferbook", "benchmarks/*.py", "notebooks", "book")
    return git("rev-parse", "HEAD") + (", with changes" if changed else "")
