"""What `make hardship` puts the book through: no network, a full disk, kills at random moments, two at once.

It takes a quarter of an hour, so that it is no part of `make test`, which holds the single parts of all this.
The moments are drawn anew in every run; HARDSHIP_SEED=… draws those of an earlier one again.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coursework import sandbox
from transferbook.data import assets
from transferbook.evidence import records

pytestmark = [
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(sys.platform != "linux", reason="the walls are those of Linux"),
]
ROOT = Path(__file__).parents[1]
SEED = int(os.environ.get("HARDSHIP_SEED", time.time_ns() % 10_000))
KILLS = 20
CHAPTERS = (
    "part1_basics/01_fitting_a_line",
    "part4_transfer_math/02_linear_fine_tuning",
    "part6_in_the_field/09_speech",
)  # fmt: skip
SMALL = ("mnist_5k", "penguins", "solubility", "newsgroups")


def walls(*more: str) -> list[str]:
    """The beginning of a command that sees the whole disk and no network."""
    command = [str(sandbox._bubblewrap()), "--dev-bind", "/", "/", "--unshare-net", "--die-with-parent"]
    return [*command, *more, "--"]


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a command of the book says, from the book's folder."""
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    line = [str(part) for part in command]
    return subprocess.run(line, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


def tree(folder: Path) -> dict[str, str]:
    """Each file below a folder and a hash of what it holds; but locks, and notes of when it was verified."""
    aside = {".lock", ".verified"}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in aside)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def kill_and_finish(command: list[str], environment: dict[str, str], place: Path) -> None:
    """Start a command, kill all of it at a random moment, twenty times; then let it finish.

    Args:
        command: what goes on where it was, if it is started again.
        environment: what it gets beside this process's.
        place: the folder that it fills; emptied whenever it was done, so that there is something to do.
    """
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    chance, killed, longest = random.Random(SEED), 0, 600.0
    for _ in range(10 * KILLS):
        begun = time.monotonic()
        process = subprocess.Popen(command, env=variables, start_new_session=True, **quiet)
        try:
            status = process.wait(chance.uniform(0.2, 1.0) * longest)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        else:
            assert status == 0, command
            longest = time.monotonic() - begun  # machines are not always equally busy
            shutil.rmtree(place)
        if killed == KILLS:
            break
    assert killed == KILLS, "it was always done before its moment had come"
    subprocess.run(command, env=variables, check=True, **quiet)


@pytest.fixture(scope="module", autouse=True)
def say_the_seed() -> None:
    print(f"HARDSHIP_SEED={SEED}")


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of some assets, so that fetching them needs no network."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    for name in SMALL:
        wheel = assets.wheel(name)
        if not (folder / wheel.name).exists():
            shutil.copy(wheel, folder)
    return folder


# Without a network


def test_there_is_no_network_behind_the_walls():
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"
    assert "ConnectionRefused" in run(*walls(), sys.executable, "-c", code).stderr
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=9)"
    assert "Network is unreachable" in run(*walls(), sys.executable, "-c", code).stderr


def test_the_site_is_built_without_a_network(tmp_path):
    book = tmp_path / "book"
    ignored = shutil.ignore_patterns("_build", ".venv", ".git", "__pycache__")
    shutil.copytree(ROOT, book, ignore=ignored)
    (book / ".venv").symlink_to(Path(sys.prefix).resolve())
    environment = {"PYTHONPATH": str(book)}
    command = [*walls(), "make", "-C", str(book), "-o", ".venv/.site", "book"]
    done = run(*command, **environment)
    assert done.returncode == 0 and "The site is at file://" in done.stdout, done.stderr[-2_000:]
    assert (book / "_build/html/book/introduction.html").is_file()


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_runs_without_a_network(name, tmp_path):
    command = [Path(sys.executable).with_name("jupyter"), "nbconvert", "--to", "notebook", "--execute"]
    done = run(*walls(), *command, "--output-dir", tmp_path, ROOT / "notebooks" / f"{name}.ipynb")
    assert done.returncode == 0 and list(tmp_path.glob("*.ipynb")), done.stderr[-2_000:]


# A full disk


@pytest.fixture
def full() -> list[str]:
    """Walls in which /mnt is a disk of two megabytes."""
    return walls("--size", "2000000", "--tmpfs", "/mnt")


def test_an_asset_that_does_not_fit_is_said_and_leaves_nothing(full, wheelhouse):
    fetch = (
        f"{sys.executable} -m transferbook assets fetch newsgroups; echo; find /mnt -type f ! -name '*.lock'"
    )
    done = run(*full, "sh", "-c", fetch, TRANSFERBOOK_CACHE="/mnt", TRANSFERBOOK_WHEELHOUSE=str(wheelhouse))
    assert "free some space" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert done.stdout.strip() == ""


def test_a_model_that_does_not_fit_is_said_and_leaves_nothing(full, tmp_path):
    lines = [f"a {'fine' if i % 3 else 'dull'} film no. {i},{'good' if i % 3 else 'bad'}" for i in range(60)]
    table = tmp_path / "reviews.csv"
    table.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    train = (
        f"{sys.executable} -m transferbook classify train {table} --seconds 1 --pairs 0 --save /mnt/m.model"
    )
    fill = "head -c 1999000 /dev/zero > /mnt/filler 2>/dev/null"
    done = run(*full, "sh", "-c", f"{fill}; {train}; ls /mnt")
    assert done.stdout.split() == ["filler"], done
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) <= 2, done.stderr
    assert "space" in done.stderr.lower(), done.stderr


# Killed at any moment


def test_fetching_killed_at_twenty_moments_ends_as_if_undisturbed(wheelhouse, tmp_path):
    environment = {"TRANSFERBOOK_WHEELHOUSE": str(wheelhouse)}
    command = [sys.executable, "-m", "transferbook", "assets", "fetch", *SMALL]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(*command, **environment, TRANSFERBOOK_CACHE=str(whole)).returncode == 0
    kill_and_finish(command, environment | {"TRANSFERBOOK_CACHE": str(broken)}, broken)
    assert tree(broken) == tree(whole)
    verify = run(
        sys.executable, "-m", "transferbook", "assets", "verify", *SMALL, TRANSFERBOOK_CACHE=str(broken)
    )
    assert verify.returncode == 0, verify.stderr


STUDY = """
import hashlib, time
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    width: int

def grid():
    return [(Config(width), seed) for width in range(1, 9) for seed in range(5)]

def smallest():
    return grid()[:1]

def run(config, seed):
    time.sleep(0.05)
    return {"score": int(hashlib.sha256(f"{config.width} {seed}".encode()).hexdigest()[:6], 16) / 16**6}
"""


@pytest.fixture
def study(tmp_path: Path) -> Iterator[tuple[list[str], Path]]:
    """A command that computes a study of forty rows, and the folder that it lies in."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "hard.py").write_text(STUDY)
    yield [sys.executable, "-m", "transferbook", "study", "hard", "--jobs", "1"], tmp_path / "studies"


def rows(results: Path) -> list[dict]:
    """The recorded rows without what differs between two runs."""
    kept = ("config", "seed", "metrics")
    return [{name: row[name] for name in kept} for row in records.read(results / "hard.json")]


def of_study(folder: Path, results: Path) -> dict[str, str]:
    return {"TRANSFERBOOK_STUDIES": str(folder), "TRANSFERBOOK_RESULTS": str(results)}


def test_a_study_killed_at_twenty_moments_has_every_row_once(study, tmp_path):
    command, folder = study
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(*command, **of_study(folder, whole)).returncode == 0
    kill_and_finish(command, of_study(folder, broken), broken)
    assert rows(broken) == rows(whole) and len(rows(whole)) == 40


def test_two_runners_of_one_study_share_it(study, tmp_path):
    command, folder = study
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert run(*command, **of_study(folder, alone)).returncode == 0
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | of_study(folder, shared)
    both = [subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert rows(shared) == rows(alone)


TRAINING = """
import os, sys
import torch
from torch import nn
from transferbook import runtime
from transferbook.learning import training
folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
runtime.seed_everything(0)
x = torch.randn(400, 20); y = (x[:, 0] * x[:, 1] > 0).long()
model = nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
history = training.fit(model, (x, y), optimizer=optimizer, epochs=60, batch_size=8,
                       checkpoint=f"{folder}/run.pt", checkpoint_every=20, device=torch.device("cpu"))
torch.save([model.state_dict(), optimizer.state_dict(), history.column("train_loss")], f"{folder}/end.pt")
"""


def test_a_training_killed_at_twenty_moments_ends_bit_for_bit_alike(tmp_path):
    import torch

    script = tmp_path / "train.py"
    script.write_text(TRAINING)
    commands = {name: [sys.executable, str(script), str(tmp_path / name)] for name in ("whole", "broken")}
    done = run(*commands["whole"])
    assert done.returncode == 0, done.stderr
    kill_and_finish(commands["broken"], {}, tmp_path / "broken")
    ends = {name: torch.load(tmp_path / name / "end.pt", weights_only=True) for name in commands}
    whole, broken = ends["whole"], ends["broken"]
    assert whole[2] == broken[2]
    assert all(torch.equal(value, broken[0][name]) for name, value in whole[0].items())
    for key, state in whole[1]["state"].items():
        assert all(torch.equal(value, broken[1]["state"][key][name]) for name, value in state.items())


# Two at once


def test_two_at_once_fetch_into_one_cache(wheelhouse, tmp_path):
    environment = {"TRANSFERBOOK_WHEELHOUSE": str(wheelhouse), "TRANSFERBOOK_CACHE": str(tmp_path / "both")}
    command = [sys.executable, "-m", "transferbook", "assets", "fetch", *SMALL]
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    both = [subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    alone = tmp_path / "alone"
    assert run(*command, **(environment | {"TRANSFERBOOK_CACHE": str(alone)})).returncode == 0
    assert tree(tmp_path / "both") == tree(alone)
