"""Which recorded rows have changed since the last commits; a row typed into the results is caught."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import study_needs

from transferbook.data import assets
from transferbook.data.assets import AssetError
from transferbook.evidence import records, reruns, runner, studies
from transferbook.evidence.records import StudyError

STUDY = '''"""A tiny study that can be repeated to the last digit."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    method: str


def grid():
    return [(Config(method), seed) for method in ("probe", "tune") for seed in range(5)]


def smallest():
    return [(Config("probe"), 0)]


def run(config, seed):
    return {"accuracy": 0.7 + 0.005 * (seed * seed % 5) + 0.1 * (config.method == "tune"), "fit_seconds": 1.0}
'''


def git(folder: Path, *command: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *command], cwd=folder, env=kept, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--allow-empty", "-m", "Change something")


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository whose last commit but one holds a complete study."""
    folder = tmp_path / "book"
    (folder / "studies").mkdir(parents=True)
    (folder / "studies/tiny.py").write_text(STUDY)
    use(folder, monkeypatch)
    git(folder, "init", "-q")
    commit(folder)
    runner.run("tiny", jobs=1, progress=False)
    commit(folder)
    commit(folder)
    return folder


def use(folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("TRANSFERBOOK_STUDIES", str(folder / "studies"))
    monkeypatch.delenv("TRANSFERBOOK_RESULTS", raising=False)


def set_metric(method: str, seed: int, **metrics: float) -> None:
    """Type numbers into one row of the results."""
    path = studies.results_path("tiny")
    for row in records.read(path):
        if row["config"]["method"] == method and row["seed"] == seed:
            records.record(path, row | {"metrics": row["metrics"] | metrics})


def found() -> list[tuple[str, int]]:
    return sorted((one.config.method, one.seed) for one in reruns.changed("tiny"))


def test_nothing_has_changed(repository):
    assert found() == []


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_one_row_raised_by_hand_is_caught(repository, seed, committed):
    stored = studies.load("tiny").query("method == 'tune'")["accuracy"].iloc[seed]
    set_metric("tune", seed, accuracy=stored + 0.08)
    if committed:
        commit(repository)
    assert found() == [("tune", seed)]
    problems, held = reruns.hold_changed("tiny", reruns.changed("tiny"), 240)
    assert held == 1
    assert len(problems) == 1
    said = f"accuracy is {stored:.6g} and recorded as {stored + 0.08:.6g}, which was {stored:.6g} before: "
    assert problems[0].startswith(said)


@pytest.mark.parametrize("raised", [0.02, -0.02])
def test_a_row_that_comes_out_as_it_was_before_is_caught(repository, raised):
    """Too small a change for the deviations: 0.02 is some two of them."""
    set_metric("tune", 1, accuracy=0.805 + raised)
    (one,) = reruns.changed("tiny")
    assert one.before == ({"accuracy": pytest.approx(0.805)},) * 2
    assert reruns.agree("tiny", one.config, 1, {"accuracy": 0.805, "fit_seconds": 1.0}) == []
    (problem,) = reruns.hold_changed("tiny", [one], 240)[0]
    assert problem.startswith("accuracy is 0.805 and recorded as ")
    assert ", which was 0.805 before: " in problem


def test_a_changed_row_does_not_widen_its_own_bound(repository, monkeypatch):
    """Whoever runs it elsewhere does not get the old value to the last digit."""
    set_metric("tune", 1, accuracy=0.805 + 0.08)
    (one,) = reruns.changed("tiny")
    elsewhere = {"accuracy": 0.805 + 0.02, "fit_seconds": 1.0}
    monkeypatch.setattr(studies, "rerun", lambda *row: elsewhere)
    assert reruns.agree("tiny", one.config, 1, elsewhere) == []
    (problem,) = reruns.hold_changed("tiny", [one], 240)[0]
    assert problem.startswith("accuracy is 0.825 and recorded as 0.885, which was 0.805 before: ")


def test_a_row_that_is_off_by_less_than_half_a_deviation_is_no_problem(repository):
    set_metric("tune", 1, accuracy=0.805 + 0.003)  # what another machine may do
    assert reruns.hold_changed("tiny", reruns.changed("tiny"), 240) == ([], 1)


def test_rows_that_were_run_anew_and_come_out_again_are_no_problem(repository):
    set_metric("probe", 1, accuracy=0.9)
    commit(repository)
    set_metric("probe", 1, accuracy=0.705)
    assert found() == [("probe", 1)]  # not what the last commit says
    assert reruns.hold_changed("tiny", reruns.changed("tiny"), 240) == ([], 1)


def test_a_time_is_no_change(repository):
    set_metric("probe", 1, fit_seconds=9.0)
    assert found() == []


def test_a_metric_that_some_seeds_lack_is_held_by_those_that_have_it(repository):
    for seed, value in ((0, 0.50), (2, 0.51), (3, 0.52)):
        set_metric("probe", seed, inside_2=value)
    set_metric("probe", 1, inside_7=0.5)  # no second seed of any method has this one
    rows = [row for row in studies.complete("tiny") if row[0].method == "probe"]
    config, stored = rows[0][0], {seed: row["metrics"] for _, seed, row in rows}
    assert all(reruns.agree("tiny", config, seed, stored[seed]) == [] for seed in stored)
    (said,) = reruns.agree("tiny", config, 0, stored[0] | {"inside_2": 0.9})
    assert said.startswith("inside_2 is 0.9 and recorded as 0.5;")
    (said,) = reruns.agree("tiny", config, 1, stored[1] | {"inside_7": 0.9})
    assert said.startswith("inside_7 is 0.9 and recorded as 0.5;")


def test_two_commits_later_a_row_is_as_the_history_says(repository):
    set_metric("probe", 1, accuracy=0.9)
    commit(repository)
    commit(repository)
    assert found() == []


def test_a_new_study_has_changed_as_a_whole(repository):
    (repository / "studies/results/tiny.json").rename(repository / "kept.json")
    commit(repository)
    commit(repository)
    (repository / "kept.json").rename(repository / "studies/results/tiny.json")
    assert len(found()) == 10


def test_the_cheapest_are_held_first_and_one_in_any_case(repository):
    path = studies.results_path("tiny")
    for row in records.read(path):
        changed = {"accuracy": row["metrics"]["accuracy"] + 1e-9}
        seconds = 100.0 + row["seed"] + 10 * (row["config"]["method"] == "probe")
        records.record(path, row | {"metrics": row["metrics"] | changed, "seconds": seconds})
    order = [(one.config.method, one.seed) for one in reruns.changed("tiny")]
    assert order == [(method, seed) for method in ("tune", "probe") for seed in range(5)]
    for seconds, count in [(1, 1), (100, 1), (200, 1), (201, 2), (2_000, 10)]:
        assert reruns.hold_changed("tiny", reruns.changed("tiny"), seconds) == ([], count)
    assert reruns.hold_changed("tiny", [], 240) == ([], 0)


@pytest.mark.parametrize(("depth", "known"), [(1, False), (2, True)])
def test_a_shallow_clone_knows_what_it_knows(repository, tmp_path, monkeypatch, depth, known):
    git(tmp_path, "clone", "-q", f"--depth={depth}", repository.as_uri(), "shallow")
    use(tmp_path / "shallow", monkeypatch)
    assert reruns.changed("tiny") == ([] if known else None)


def test_without_a_repository_nobody_knows(repository, tmp_path, monkeypatch):
    bare = tmp_path / "bare"
    (repository / "studies").rename(bare)
    monkeypatch.setenv("TRANSFERBOOK_STUDIES", str(bare))
    assert reruns.changed("tiny") is None


def test_a_repository_around_the_tests_is_not_asked(repository, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert found() == []


NEEDY = STUDY.replace("\n\n@dataclass", "\nNEEDS = ('ASSET',)\n\n\n@dataclass", 1)


@pytest.mark.parametrize(("here", "lacking"), [(True, []), (False, ["solar_cells"])])
def test_what_a_study_lacks(here, lacking, tmp_path, monkeypatch):
    (tmp_path / "studies").mkdir()
    use(tmp_path, monkeypatch)
    path = tmp_path / "studies/tiny.py"
    monkeypatch.setattr(assets, "is_ready", lambda name: here)
    path.write_text(STUDY)
    assert study_needs.lacking("tiny") == []
    path.write_text(NEEDY.replace("ASSET", "solar_cells"))
    assert study_needs.lacking("tiny") == lacking
    path.write_text(NEEDY.replace("ASSET", "penguins"))
    with pytest.raises(StudyError, match='needs "penguins", which is there anyway'):
        study_needs.lacking("tiny")
    path.write_text(NEEDY.replace("ASSET", "moon_cells"))
    with pytest.raises(AssetError, match="There is no asset 'moon_cells'"):
        study_needs.lacking("tiny")
