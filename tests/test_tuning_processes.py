"""Searches that several processes share through a journal, as the chapter on automatic tuning runs them.

Real processes, one of them killed in the middle of a trial: which trials are lost, and which are repeated.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

GRID = {"rate": list(range(6)), "width": list(range(4))}
CELLS = set(itertools.product(*GRID.values()))
WORKER = """
import json, sys, time
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

journal, grid, pause, stuck = sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
optuna.logging.set_verbosity(optuna.logging.ERROR)
done = 0

def objective(trial):
    global done
    rate, width = (trial.suggest_categorical(name, grid[name]) for name in ("rate", "width"))
    time.sleep(600 if done == stuck else pause)
    done += 1
    return rate - 0.5 * (width - 1) ** 2

study = optuna.load_study(
    study_name="shared",
    storage=JournalStorage(JournalFileBackend(journal)),
    sampler=optuna.samplers.GridSampler(grid, seed=0),
)
study.optimize(objective)
"""


def shared(journal: Path) -> optuna.Study:
    """The study as the journal has it now."""
    return optuna.load_study(study_name="shared", storage=JournalStorage(JournalFileBackend(str(journal))))


def begin(journal: Path, *, pause: float, stuck: int = -1) -> subprocess.Popen:
    """A worker that waits `pause` seconds in each trial, and without end after `stuck` of them."""
    command = [sys.executable, "-c", WORKER, str(journal), json.dumps(GRID), str(pause), str(stuck)]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)


def cell(trial: optuna.trial.FrozenTrial) -> tuple[int, int]:
    return trial.params["rate"], trial.params["width"]


def values(study: optuna.Study) -> dict[tuple[int, int], float]:
    """The value of each cell; a cell that was tried twice must have come out the same."""
    found: dict[tuple[int, int], float] = {}
    for trial in study.get_trials(states=[TrialState.COMPLETE]):
        assert found.setdefault(cell(trial), trial.value) == trial.value
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.log"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(
        study_name="shared", direction="maximize", storage=JournalStorage(JournalFileBackend(str(path)))
    )
    return path


def finish(worker: subprocess.Popen) -> None:
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == 0, errors.decode()


def test_two_processes_find_what_one_finds(journal):
    workers = [begin(journal, pause=0.05), begin(journal, pause=0.05)]
    for worker in workers:
        finish(worker)
    study = shared(journal)
    assert values(study) == {(rate, width): rate - 0.5 * (width - 1) ** 2 for rate, width in CELLS}
    assert [trial.number for trial in study.trials] == list(range(len(study.trials)))
    assert study.best_params == {"rate": 5, "width": 1}
    assert len(study.trials) <= len(CELLS) + 2, "more than one repeated trial for each process"


def test_a_killed_process_loses_no_trial(journal):
    doomed = begin(journal, pause=0.01, stuck=3)
    try:
        deadline = time.monotonic() + 60
        while len(shared(journal).get_trials(states=[TrialState.COMPLETE])) < 3 or not shared(
            journal
        ).get_trials(states=[TrialState.RUNNING]):
            assert time.monotonic() < deadline, "the worker never came to its fourth trial"
            assert doomed.poll() is None, doomed.communicate()[1].decode()
            time.sleep(0.1)
        before = values(shared(journal))
    finally:
        os.kill(doomed.pid, signal.SIGKILL)
        doomed.communicate()
    finish(begin(journal, pause=0.0))
    study = shared(journal)
    left = study.get_trials(states=[TrialState.RUNNING])
    assert len(left) == 1, "the journal never learns that the process is dead"
    assert len(before) == 3
    assert before.items() <= values(study).items()
    assert set(values(study)) == CELLS, "the cell of the killed trial was tried again"


def test_a_sampler_without_a_grid_forgets_the_killed_trial(journal):
    """The setting that a killed process was trying must be asked for again; the chapter shows how."""
    study = shared(journal)
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    abandoned = study.ask({"rate": optuna.distributions.IntDistribution(0, 5)})
    study.optimize(lambda trial: trial.suggest_int("rate", 0, 5), n_trials=3)
    again = shared(journal)
    (stale,) = again.get_trials(states=[TrialState.RUNNING])
    assert stale.number == abandoned.number
    again.tell(stale.number, state=TrialState.FAIL)
    again.enqueue_trial(stale.params)
    again.optimize(lambda trial: trial.suggest_int("rate", 0, 5), n_trials=1)
    assert again.trials[-1].params == stale.params
    assert not again.get_trials(states=[TrialState.RUNNING])
