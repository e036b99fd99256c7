"""A study on a Ray cluster: two nodes on this machine, of which one is killed midway."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from transferbook.__main__ import main
from transferbook.evidence import cluster, records, runner, studies
from transferbook.evidence.studies import StudyError

TINY = """
import os
import time
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True)
class Config:
    size: int

def grid():
    return [(Config(size), seed) for size in (1, 2) for seed in range(6)]

smallest = grid

def run(config, seed):
    folder = Path(__file__).parent
    with (folder / "log.txt").open("a") as log:
        log.write(f"{config.size} {seed} {os.getppid()}\\n")
    while (folder / "together").exists():
        time.sleep(0.05)
    time.sleep(0.5)
    if (config.size, seed) == (2, 5) and (folder / "broken").exists():
        raise ValueError("no such seed")
    return {"product": float(config.size * seed)}
"""

BOTH = """
import sys
import time
import ray

ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
while ray.cluster_resources().get("CPU", 0) < 2:
    time.sleep(0.05)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """The address of a cluster and its two nodes of one core each, all of their files in one folder."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # short, for paths of sockets must be
    settings = {"USAGE_STATS_ENABLED": "0", "AUTH_MODE": "disabled"}  # no message to its makers, no token
    settings |= {"health_check_initial_delay_ms": "500", "health_check_period_ms": "500"}  # for a dead node
    settings |= {"health_check_timeout_ms": "2000", "health_check_failure_threshold": "2"}
    for name, value in settings.items():
        monkeypatch.setenv(f"RAY_{name}", value)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(Path(studies.__file__).parents[2]))
    address = f"127.0.0.1:{free_port()}"
    started: list[subprocess.Popen] = []

    def start(*options: str) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1",
                   "--node-ip-address=127.0.0.1", "--object-store-memory=80000000",
                   "--disable-usage-stats", *options]  # fmt: skip
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    try:
        port = address.partition(":")[2]
        start("--head", f"--port={port}", f"--temp-dir={folder}/r", "--include-dashboard=false")
        wait_for(lambda: answers(address), 120)
        # Until the first node has made its sockets the second would give its own the same names.
        wait_for(lambda: [*folder.glob("r/session_*/sockets/plasma_store")], 120)
        start(f"--address={address}")
        subprocess.run([sys.executable, "-c", BOTH, address], check=True, timeout=120)
        yield address, started
    finally:
        for process in started:
            end(process)
        shutil.rmtree(folder, ignore_errors=True)


def answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def wait_for(ready, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def end(process: subprocess.Popen) -> None:
    """Kill a node and all that it has started."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        if member.is_running():
            member.send_signal(signal.SIGKILL)
    process.wait(30)


def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "tiny.py").write_text(TINY)
    monkeypatch.setenv("TRANSFERBOOK_STUDIES", str(folder))
    monkeypatch.delenv("TRANSFERBOOK_RESULTS", raising=False)
    return folder


def test_a_node_that_is_killed_midway_loses_no_row(nodes, tmp_path, monkeypatch):
    address, (_, second) = nodes
    folder = tiny(tmp_path, monkeypatch)
    (folder / "broken").touch()
    study, path = studies.open_study("tiny"), studies.results_path("tiny")
    records.record(path, runner._compute_row(study.path, study.source, {"size": 1}, 0))  # from an earlier run
    (folder / "together").touch()  # no row ends before both nodes are at work
    command = [sys.executable, "-m", "transferbook", "study", "tiny", "--ray", address]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    log = folder / "log.txt"

    def lines() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    def places() -> Counter:
        return Counter(line.split()[2] for line in lines())

    wait_for(lambda: len(places()) == 3 or driver.poll() is not None, 120)  # this process, and two nodes
    (folder / "together").unlink()
    end(second)
    recorded = len(records.read(path))
    said = driver.communicate(timeout=120)[1]
    assert recorded < 11, said
    assert driver.returncode == 1 and "1 of the 11 rows to compute failed, the others are recorded" in said
    assert "tiny.py, line " in said and '{"size": 2}, seed 5: ValueError: no such seed' in said
    rows = records.read(path)
    assert Counter((row["config"]["size"], row["seed"]) for row in rows) == Counter(
        (size, seed) for size in (1, 2) for seed in range(6) if (size, seed) != (2, 5)
    )
    (folder / "broken").unlink()
    assert sum(line.startswith("1 0 ") for line in lines()) == 1
    runs = len(lines())
    assert runner.run("tiny", jobs=1, progress=False) == 1
    assert len(lines()) == runs + 1
    products = [float(size * seed) for size in (1, 2) for seed in range(6)]
    assert list(studies.load("tiny")["product"]) == products
    assert json.loads(path.read_text())["rows"][0]["device"].startswith("cpu: ")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "Nothing answers at 127.0.0.1:1 (Connection refused): start a cluster"),
        ("nowhere.invalid:6379", "Nothing answers at nowhere.invalid:6379 ("),
        ("127.0.0.1", "'127.0.0.1' is no address of a Ray cluster: give HOST:PORT, or auto."),
        ("ray://127.0.0.1:6379", "is no address of a Ray cluster"),
        ("127.0.0.1:99999", "is no address of a Ray cluster"),
    ],
)
def test_a_bad_address_is_told_in_a_sentence(tmp_path, monkeypatch, capsys, address, message):
    folder = tiny(tmp_path, monkeypatch)
    assert main(["study", "tiny", "--ray", address]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in said and said.endswith(".")
    assert sorted(os.listdir(folder)) == ["tiny.py"]


def test_a_result_is_handed_over_when_it_is_there_and_no_more_than_asked_are_in_flight(monkeypatch):
    class Call:
        def remote(self, number):
            return number

    class Ray:  # a stand-in, of whose calls the last one ends first
        class exceptions:
            RayError = KeyError

        def remote(self, **options):
            assert options["max_retries"] == cluster.RETRIES > 0 and options["num_cpus"] == 1
            return lambda function: Call()

        def wait(self, running, num_returns):
            most.append(len(running))
            return [running[-1]], running[:-1]

        def get(self, done):
            if done == 3:
                raise KeyError("its machine has died")
            return 10 * done

    most: list[int] = []
    monkeypatch.setitem(sys.modules, "ray", Ray())
    found = list(cluster.results(None, ((n,) for n in range(5)), 2))
    assert [call for call, _ in found] == [(1,), (2,), (3,), (4,), (0,)]
    assert [result for _, result in found[:2]] == [10, 20] and isinstance(found[2][1], KeyError)
    assert most == [2, 2, 2, 2, 1]


def test_no_cluster_where_one_was_to_be_is_an_error_of_the_study(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    class Ray:
        @staticmethod
        def init(**options):
            raise ConnectionError("Could not find any running Ray instance.\nMore words.")

    monkeypatch.setitem(sys.modules, "ray", Ray)
    with pytest.raises(StudyError, match=r"cluster at auto: Could not find any running Ray instance\.$"):
        with cluster.connected("auto"):
            pass
