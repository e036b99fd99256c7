"""What the tests share: options, one thread for each process, and which pieces run, longest first."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import planning
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
CORES = 2


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-chapters",
        action="store_true",
        help="sabotage every chapter, not only the exemplars and one drawn by the commit's hash",
    )
    parser.addoption(
        "--changed",
        type=float,
        metavar="SECONDS",
        help="run only what changed since it was last green, as far as it fits into so many seconds",
    )
    parser.addoption(
        "--keep-green",
        action="store_true",
        help="keep which pieces of the run were green, for --changed; not for a run of single tests",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Pieces(config), "pieces")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """With `--dist loadscope`, which keeps a file together, deal out pieces, in the order of the items."""
    if config.option.dist != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return planning.piece(nodeid)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


class Pieces:
    """Sorts the tests by pieces, longest first; with `--changed` leaves some out; keeps which were green.

    With xdist, workers collect and the main process hears of it.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.plan = planning.Plan(ROOT)
        self.left: list[str] = []
        self.expected: Counter[str] = Counter()
        self.states: dict[str, dict[str, str]] = {}
        self.finished: Counter[str] = Counter()
        self.times: dict[str, float] = defaultdict(float)
        self.red: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        of = {item: planning.piece(item.nodeid) for item in items}
        if config.option.changed is not None:
            chosen, self.left = self.plan.choose([*dict.fromkeys(of.values())], CORES * config.option.changed)
            config.hook.pytest_deselected(items=[item for item in items if of[item] not in chosen])
            items[:] = [item for item in items if of[item] in chosen]
        seconds = {name: self.plan.seconds(name) for name in of.values()}
        items.sort(key=lambda item: (-seconds[of[item]], of[item]))
        self.begin([item.nodeid for item in items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: list[str]) -> None:
        self.begin(ids)

    def begin(self, ids: list[str]) -> None:
        """Take the state of the pieces before anything runs: a later edit does not count as tested."""
        if self.keeps and not self.expected:
            self.expected = Counter(map(planning.piece, ids))
            self.states = {name: self.plan.state(name) for name in self.expected}

    @property
    def keeps(self) -> bool:
        """Whether this process keeps what was green: the main one, if it was asked to."""
        return self.config.option.keep_green and not hasattr(self.config, "workerinput")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = planning.piece(report.nodeid)
        self.times[name] += report.duration
        self.finished[name] += report.when == "teardown"
        if report.failed:
            self.red.add(name)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        self.left = getattr(node, "workeroutput", {}).get("left", self.left)

    def pytest_sessionfinish(self) -> None:
        if hasattr(self.config, "workerinput"):
            self.config.workeroutput["left"] = self.left
        elif self.keeps:
            whole = {name for name, count in self.expected.items() if self.finished[name] == count}
            times = {name: self.times[name] for name in whole | self.red}
            self.plan.record(self.states, times, whole - self.red)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.left:
            shown = ", ".join(self.left[:8]) + (", ..." if len(self.left) > 8 else "")
            terminalreporter.write_line(
                f"Touched by a change, but beyond the time of this check: {len(self.left)} ({shown}). "
                "Run it again to go on with them, or `make test` for all."
            )
