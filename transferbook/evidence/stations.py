"""Several versions of one classifier, measured alike: how good, how sure, how fast, how much memory.

Times say nothing alone: another machine, or another minute on this one, has others. So versions take turns
here, example by example, and what counts is the ratio to the first one.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transferbook.evidence import metrics

__all__ = ["Speed", "latencies", "peak_memory", "recalls", "speeds", "station_scores"]

# The most memory that this process has held: of itself alone, where the system says so (Linux), since what
# `resource` says may be that of the process that started it.
PEAK = """
import os as _os, re as _re, resource as _resource, sys as _sys
try:
    with open("/proc/self/status") as _file:
        _peak = int(_re.search(r"VmHWM:\\s+(\\d+)", _file.read())[1]) * 1024
except (OSError, TypeError):
    _peak = _resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss * (1 if _sys.platform == "darwin" else 1024)
print(_peak)
"""


def recalls(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of each class's examples that is found.

    Args:
        logits: or probabilities, shape (N, C).
        labels: class indices, shape (N,).

    Returns:
        Shape (C,), float64; NaN for a class without examples.
    """
    found = (logits.argmax(dim=1) == labels).double()
    classes = logits.shape[1]
    return labels.bincount(found, minlength=classes) / labels.bincount(minlength=classes)


def station_scores(logits: Tensor, labels: Tensor, rare: Sequence[int]) -> dict[str, float]:
    """What a version is judged by, the rare classes beside the average.

    Args:
        logits: shape (N, C).
        labels: class indices, shape (N,).
        rare: the classes that are rare.

    Returns:
        `accuracy`, `calibration_error`, `rare_recall` (the mean of the rare classes') and `worst_recall`.

    Raises:
        ValueError: if the shapes do not fit, or a class that counts has no example.
    """
    found = metrics.classification_scores(logits, labels)
    each = recalls(logits, labels)
    if not len(rare) or each[list(rare)].isnan().any():
        raise ValueError(f"station_scores needs rare classes with examples; got {list(rare)}.")
    return {
        "accuracy": found["accuracy"],
        "calibration_error": found["calibration_error"],
        "rare_recall": float(each[list(rare)].mean()),
        "worst_recall": float(each.nan_to_num(2.0).min()),
    }


def latencies(
    versions: Mapping[str, Callable[[int], object]], examples: int, *,
    warm: int = 3, seed: int = 0, clock: Callable[[], float] = time.process_time,
) -> dict[str, Tensor]:  # fmt: skip
    """Seconds that each version takes for each example, one example at a time.

    For every example the versions take turns, in an order that is drawn anew, so that a machine that grows
    slow or warm treats them alike.

    Args:
        versions: name -> what classifies example number i.
        examples: their number N.
        warm: examples that every version runs before, which do not count.
        seed: of the orders.
        clock: seconds; by default those of the processor, which are those of a machine that does nothing
            else.

    Returns:
        Name -> shape (N,).
    """
    order = torch.Generator().manual_seed(seed)
    names = list(versions)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for work in versions.values():
        for number in range(warm):
            work(number % examples)
    for number in range(examples):
        for turn in torch.randperm(len(names), generator=order).tolist():
            start = clock()
            versions[names[turn]](number)
            taken[names[turn]].append(clock() - start)
    return {name: torch.tensor(seconds, dtype=torch.float64) for name, seconds in taken.items()}


@dataclass(frozen=True)
class Speed:
    """How long one version takes.

    Attributes:
        p50, p95: seconds within which half and nineteen of twenty examples are done.
        ratio: to the first version, the median over the examples.
    """

    p50: float
    p95: float
    ratio: float


def speeds(taken: Mapping[str, Tensor]) -> dict[str, Speed]:
    """What `latencies` found, in three numbers for each version; the first one's ratio is 1."""
    first = next(iter(taken.values()))
    found = {}
    for name, seconds in taken.items():
        p50, p95 = torch.quantile(seconds, torch.tensor([0.5, 0.95], dtype=seconds.dtype)).tolist()
        found[name] = Speed(p50, p95, float(torch.quantile(seconds / first, 0.5)))
    return found


def peak_memory(code: str, *arguments: str) -> int:
    """Bytes that a new Python process holds at its most while it runs some code, libraries included.

    Args:
        code: Python; what it prints is ignored.
        arguments: its `sys.argv[1:]`.

    Raises:
        RuntimeError: if the code fails; the message ends with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{PEAK}", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"The process whose memory was to be measured failed: {done.stderr[-500:]}")
    return int(done.stdout.split()[-1])
