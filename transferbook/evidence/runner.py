"""Running a study: the rows that are missing, in several processes, on this machine or on a cluster of them.

Each row is recorded, here, as soon as it is done.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transferbook import runtime
from transferbook.evidence import cluster, records, studies
from transferbook.evidence.records import StudyError

LIBRARIES = ("numpy", "scikit-learn", "timm", "torch", "transformers")
MAX_JOBS = 4  # each job holds its own copy of a model and its data, one to two gigabytes


def run(name: str, jobs: int | None = None, progress: bool = True, ray: str | None = None) -> int:
    """Compute the rows of the grid that are missing or stale, and record each as soon as it is done.

    The rows run in `jobs` processes (in this one if that is 1), each in one thread on a CPU, and in a
    shuffled order, so that two runners seldom meet. However a run ends, only the rows in flight are lost:
    run again to go on.

    Args:
        name: the study.
        jobs: processes; by default the cores at hand, at most 4, and 1 on a GPU; with `ray` all of its cores.
        progress: whether to draw a progress bar on standard error.
        ray: the address of a Ray cluster ("auto" or HOST:PORT) whose machines compute the rows, each on one
            core and without a GPU; they need the same version of this package. A row that was under way on a
            machine that dies is computed on another.

    Returns:
        The number of rows this run computed.

    Raises:
        StudyError: when rows failed (at the end, with each one's config and reason), when a process died, or
            when there is no cluster.
        ValueError: if `jobs` is less than 1.
    """
    from tqdm import tqdm

    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs is {jobs}; it must be at least 1.")
    study, path = studies.open_study(name), studies.results_path(name)
    grid = {studies.row_key(config, seed): (config, seed) for config, seed in study.grid()}
    done = records.fresh(records.read(path), study.run_fingerprint).keys() & grid.keys()
    waiting = [key for key in grid if key not in done]
    random.Random(os.getpid()).shuffle(waiting)
    computed, failures = 0, []

    def calls() -> Iterator[tuple[Path, bytes, dict[str, Any], int]]:
        for key in waiting:
            if key not in done:  # another runner may have recorded it since
                config, seed = grid[key]
                yield study.path, study.source, studies.config_fields(config), seed

    rows = _on_ray(calls(), ray, jobs) if ray else _on_this_machine(calls(), name, jobs)
    with tqdm(total=len(grid), initial=len(done), desc=name, unit="row", disable=not progress) as bar:
        for row in rows:
            if isinstance(row, str):
                failures.append(row)
                continue
            computed += 1
            done |= records.fresh(records.record(path, row), study.run_fingerprint).keys() & grid.keys()
            bar.update(len(done) - bar.n)
    if failures:
        raise StudyError(
            f"{len(failures)} of the {len(waiting)} rows to compute failed, the others are recorded; "
            f"mend {study.path} and run `{records.command(name)}` again:\n" + "\n".join(sorted(failures))
        )
    records.drop_stale(path, study.run_fingerprint)
    return computed


def _on_this_machine(calls: Iterator[tuple], name: str, jobs: int | None) -> Iterator[records.Row | str]:
    import joblib

    if jobs is None:
        jobs = 1 if runtime.device().type == "cuda" else min(joblib.cpu_count(), MAX_JOBS)
    tasks = (joblib.delayed(_compute_row)(*call) for call in calls)
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        # One row at a time to each process, so that a finished row comes back at once.
        parallel = joblib.Parallel(jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")
        try:
            yield from parallel(tasks)
        except BrokenProcessPool as error:
            raise StudyError(
                f"A process of study {name} was killed (out of memory?); the finished rows are recorded; "
                f"go on with `{records.command(name)}`."
            ) from error


def _on_ray(calls: Iterator[tuple], address: str, jobs: int | None) -> Iterator[records.Row | str]:
    with cluster.connected(address) as cores:
        for (_, _, fields, seed), row in cluster.results(_compute_row, calls, jobs or max(cores, 1)):
            if isinstance(row, Exception):
                row = _failure(fields, seed, f"{type(row).__name__}, {cluster.RETRIES + 1} times")
            yield row


def _failure(fields: dict[str, Any], seed: int, reason: str) -> str:
    return f"  {json.dumps(fields)}, seed {seed}: {reason}"


def _compute_row(path: Path, source: bytes, fields: dict[str, Any], seed: int) -> records.Row | str:
    """One row, computed in whichever process this is, or the line that says why it failed."""
    import torch

    threads = torch.get_num_threads()
    try:
        machine = runtime.describe()
        if machine["device"] == "cpu":
            torch.set_num_threads(1)
        study = studies.open_text(path, source)
        config = study.Config(**fields)
        start = time.perf_counter()
        metrics = study.run(config, seed)
        seconds = time.perf_counter() - start
    except Exception as error:
        return _failure(fields, seed, studies.last_line(error, path))
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
