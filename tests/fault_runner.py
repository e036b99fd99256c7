"""Tests of a copy of the book, run in a process that has the slow libraries loaded already.

Importing torch and its friends takes longer than most tests. A server of `multiprocessing` imports them once,
never the package; each run is a fork of it that takes the package and the tests from the copy.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from functools import cache
from pathlib import Path

PRELOADED = (
    "fault_runner pytest torch torchvision.transforms.v2 transformers timm pandas joblib scipy.optimize "
    "scipy.stats sklearn.linear_model sklearn.metrics matplotlib.pyplot nbformat hypothesis "
    "_hypothesis_pytestplugin anyio.pytest_plugin nbval.plugin xdist.plugin"  # what pytest loads by itself
).split()


@cache
def _context() -> multiprocessing.context.BaseContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def run(arguments: list[str], folder: Path, log: Path, seconds: float) -> int:
    """pytest's exit status for `arguments`, in a process of its own whose output goes to a file.

    Args:
        arguments: of pytest.
        folder: the copy of the book: working folder, and first on the path.
        log: file that takes what the process prints.
        seconds: after which it is ended.

    Raises:
        TimeoutError: if it took longer.
    """
    process = _context().Process(target=_work, args=(arguments, str(folder), str(log)))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"pytest {' '.join(arguments)} took more than {seconds:g} s")
    return process.exitcode


def _work(arguments: list[str], folder: str, log: str) -> None:
    gc.freeze()  # pytest collects garbage several times, and none is in what was loaded before
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        del os.environ[name]
    os.environ |= {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    sys.dont_write_bytecode = True
    here = str(Path(__file__).parent)
    sys.path[:] = [folder, *(entry for entry in sys.path if entry not in (here, str(Path(here).parent), ""))]
    os.chdir(folder)
    loaded = [name for name in sys.modules if name.partition(".")[0] == "transferbook"]
    assert not loaded, f"the server has loaded {', '.join(loaded)}, which is to come from the copy"
    import pytest

    status = int(pytest.main(arguments))
    # joblib's workers would wait minutes for more to do, and this process for them.
    if "joblib.externals.loky.reusable_executor" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True, kill_workers=True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
