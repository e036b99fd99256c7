"""Heads on a network that was tuned by the pairs of few labelled texts: candidates beside those of others."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace

from transferbook.data.splits import Part
from transferbook.learning import contrastive
from transferbook.program import candidates
from transferbook.program.candidates import Candidate
from transferbook.program.readers import NetworkReader

RUNS = ((20, 3e-5), (60, 3e-5))  # steps and rate
LEAST = 0.25  # of the steps of a run, or it is not worth to begin
BATCH = 32  # texts that are read in a step


def tunings(
    reader: NetworkReader, train: Part, valid: Part, classes: int, *, most: int, test_size: int,
    deadline: float | None, seed: int = 0, progress: bool | None = None,
) -> Iterator[Candidate]:  # fmt: skip
    """Tuned by pairs in each of `RUNS` (`contrastive.tune`), then heads as on a network that stays as it is.

    It is tried where there are at most `most` training texts a class, on average. Where the time does not
    suffice for all steps, as a few on a copy tell, the last run is shortened or left out first.

    Args:
        reader: of texts, by a network.
        train: labelled examples; only these make pairs.
        valid: those that choose.
        classes: their number C.
        most: training texts a class; 0 for never.
        test_size: examples of the test part, for whose turn some time is kept.
        deadline: a `time.perf_counter()` by which all is to be done, or None.
        seed: of what is drawn, and of dropout.
        progress: draw bars on stderr.
    """
    if len(train) > most * classes or (deadline is not None and time.perf_counter() > deadline):
        return
    settings = {"batch_size": BATCH, "seed": seed, "progress": progress}
    try:
        left = math.inf if deadline is None else _steps(reader, train, len(valid), test_size, deadline)
        for steps, rate in RUNS:
            planned = min(steps, left)
            if planned < LEAST * steps:
                break
            yield from _run(planned, rate, reader, train, valid, classes, deadline, settings)
            left -= planned
    except contrastive.NoPairsError as error:
        warnings.warn(f"Tuning by pairs was left out: {error}", stacklevel=2)


def _run(
    steps: int, rate: float, reader: NetworkReader, train: Part, valid: Part, classes: int,
    deadline: float | None, settings: dict,
) -> Iterator[Candidate]:  # fmt: skip
    started = time.perf_counter()
    left = None if deadline is None else max(1e-3, deadline - started)
    try:
        backbone, done = contrastive.tune(
            reader.backbone, train.inputs, train.labels, steps=steps, learning_rate=rate, max_seconds=left,
            **settings,
        )  # fmt: skip
        tuned = reader.trained(backbone.module)
        took = time.perf_counter() - started
        for head in candidates.probes(tuned, train, valid, classes, cache=False):
            name = head.name.replace("probe", f"pairs, {done} {'step' if done == 1 else 'steps'} at {rate:g}")
            yield replace(head, name=name, seconds=took + head.seconds)
            took = 0.0
    except FloatingPointError as error:
        warnings.warn(f"Tuning by pairs at {rate:g} was given up: {error}", stacklevel=3)


def _steps(reader: NetworkReader, train: Part, valid_size: int, test_size: int, deadline: float) -> int:
    """Steps of all runs that fit into the time, what comes after them included; negative without time."""
    started = time.perf_counter()
    _, done = contrastive.tune(
        reader.backbone, train.inputs, train.labels, steps=3, batch_size=BATCH, progress=False,
        max_seconds=max(1e-3, deadline - started),
    )  # fmt: skip
    step = (time.perf_counter() - started) / done
    scored = test_size + len(RUNS) * (valid_size + len(train))
    scoring = step / min(BATCH, len(train)) * candidates.FORWARD * scored
    return math.floor((deadline - time.perf_counter() - scoring) / step)
