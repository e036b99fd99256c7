"""Measure what is named, or everything that has no record of this machine and this code.

Every benchmark runs in a process of its own. At the end all records are printed as a table.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import measure

BENCHMARKS = ("fit", "frameworks", "frozen", "embedding", "program", "peers", "service", "chapters")


def main(arguments: list[str] | None = None, folder: Path = measure.RESULTS) -> int:
    """Run benchmarks and print the table; 1 if one of them failed, 0 otherwise, met limits or not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args(arguments).names
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"There is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}.")
    os.environ |= measure.FIXED  # also of this process, which describes the machine
    failed = []
    for name in names or BENCHMARKS:
        inputs = importlib.import_module(f"benchmarks.{name}").INPUTS
        if not names and measure.is_current(name, inputs, folder):
            print(f"{name}: measured already; `python -m benchmarks {name}` measures it anew", flush=True)
            continue
        print(f"{name}: measuring ...", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=measure.ROOT).returncode:
            failed.append(name)
    for measurement in (row for name in BENCHMARKS for row in measure.load(name, folder)):
        print(measurement)
    if failed:
        print(f"Failed, see above: {', '.join(failed)}. An older record, if there is one, stays.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
