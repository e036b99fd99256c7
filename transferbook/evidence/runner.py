"""Running a study: the rows that are missing, in several processes, each recorded as soon as it is done."""

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
from transferbook.evidence import records, studies
from transferbook.evidence.records import StudyError

LIBRARIES = ("numpy", "scikit-learn", "timm", "torch", "transformers")
MAX_JOBS = 4  # each job holds its own copy of a model and its data, one to two gigabytes


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
    study, path = studies.open_study(name), studies.results_path(name)
    grid = {studies.row_key(config, seed): (config, seed) for config, seed in study.grid()}
    done = records.fresh(records.read(path), study.run_fingerprint).keys() & grid.keys()
    waiting = [key for key in grid if key not in done]
    random.Random(os.getpid()).shuffle(waiting)
    computed, failures = 0, []

    def tasks() -> Iterator[Any]:
        for key in waiting:
            if key not in done:  # another runner may have recorded it since
                config, seed = grid[key]
                yield joblib.delayed(_compute_row)(study.path, studies.config_fields(config), seed)

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


def _compute_row(path: Path, fields: dict[str, Any], seed: int) -> records.Row | str:
    """One row, computed in whichever process this is, or the line that says why it failed."""
    import torch

    threads = torch.get_num_threads()
    try:
        machine = runtime.describe()
        if machine["device"] == "cpu":
            torch.set_num_threads(1)
        study = studies.open_file(path)
        config = study.Config(**fields)
        start = time.perf_counter()
        metrics = study.run(config, seed)
        seconds = time.perf_counter() - start
    except Exception as error:
        return f"  {json.dumps(fields)}, seed {seed}: {studies.last_line(error, path)}"
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
