"""What the tests share: an option, one thread for each process, and how xdist deals the tests out."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
DEALT_SINGLY = ("test_faults.py", "test_sabotage.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-chapters",
        action="store_true",
        help="sabotage every chapter, not only the exemplars and one drawn by the commit's hash",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """With `--dist loadscope`, which keeps a file together, deal long tests out one by one."""
    if config.option.dist != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if any(name in nodeid for name in DEALT_SINGLY) else super()._split_scope(nodeid)

    return Scheduling(config, log)
