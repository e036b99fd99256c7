"""The recorded results of the book's own studies: complete, fresh, chosen by rule, and repeatable."""

from __future__ import annotations

from pathlib import Path

import planning
import pytest
import study_needs

from transferbook.data.assets import AssetError
from transferbook.evidence import reruns, studies

NAMES = studies.names()
RUNNING = [name for name in NAMES if not study_needs.lacking(name)]  # the others need an optional asset
SECONDS = 34.0  # of recorded run time for each study, so that one study more takes nothing from the others
TWICE_SECONDS = 8.0  # for rows that are run twice
CHANGED_SECONDS = 240.0  # for rows that differ from those of the last commits, all studies together


@pytest.fixture(scope="module")
def commit() -> str:
    """The hash of the commit under test."""
    return planning.commit(Path(__file__).parent)


@pytest.fixture(scope="module")
def changed() -> dict[str, list | None]:
    """The changed rows of each study; None where history does not say."""
    return {name: reruns.changed(name) for name in RUNNING}


@pytest.mark.parametrize("name", NAMES)
def test_results_are_complete_and_fresh(name):
    assert not studies.problems(name), f"mend it with `python -m transferbook study {name}`"


@pytest.mark.parametrize("name", NAMES)
def test_choices_follow_the_rule_of_the_study(name):
    study = studies.open_study(name)
    assert study.smallest()
    if hasattr(study.module, "chosen"):
        assert study.module.chosen(studies.load(name)) == study.module.CHOSEN


@pytest.mark.parametrize("name", RUNNING)
def test_rows_that_changed_come_out_again(name, changed):
    share = CHANGED_SECONDS / max(sum(bool(rows) for rows in changed.values()), 1)
    problems, held = reruns.hold_changed(name, changed[name] or [], share)
    assert not problems, "\n".join(problems)
    assert held or not changed[name]


@pytest.mark.parametrize("name", RUNNING)
def test_rows_drawn_by_the_commit_come_out_again(name, commit, changed):
    drawn = reruns.draw(name, commit, SECONDS)
    if changed[name] is None:  # as much again, since what changed could not be looked at
        drawn += reruns.draw(name, f"{commit} again", SECONDS)
    assert drawn, (
        f"no config of five seeds has a row of at most {SECONDS:.0f} s; add a cheaper one to the grid"
    )
    problems = []
    for config, seed, _ in drawn:
        problems += reruns.agree(name, config, seed, studies.rerun(name, config, seed))
    assert not problems, "\n".join(problems)


def test_where_an_optional_asset_is_missing_the_study_says_how_to_fetch_it(commit):
    for name in set(NAMES) - set(RUNNING):
        assert reruns.draw(name, commit, SECONDS), f"{name} has no row that is cheap enough to come out again"
        with pytest.raises(AssetError, match=rf"optional.*assets fetch {study_needs.lacking(name)[0]}`\.$"):
            studies.rerun(name, *studies.open_study(name).smallest()[0])


@pytest.mark.parametrize("name", RUNNING)
def test_a_row_does_not_depend_on_what_ran_before_it(name, tmp_path):
    """What a run keeps for the next one, a trained source say, must not move the random numbers of a row."""
    text = studies.open_study(name).path.read_bytes()
    for number, (config, seed, _) in enumerate(reruns.draw(name, "first and again", TWICE_SECONDS)):
        path = tmp_path / f"{name}_{number}.py"
        path.write_bytes(text)
        study = studies.open_file(path)  # a module of its own, which has kept nothing yet
        first, again = (
            {name: value for name, value in study.run(config, seed).items() if not name.endswith("_seconds")}
            for _ in range(2)
        )
        assert first == again, f"{config}, seed {seed}"
