"""The page of cards: it is what the command writes, its scores are the rows', nothing is without a card."""

from __future__ import annotations

import copy
from pathlib import Path

import pandas
import pytest

from transferbook import __main__ as command
from transferbook.data import photographs
from transferbook.evidence import intervals, studies
from transferbook.program import book_cards

TABLE = pandas.DataFrame(
    {
        "method": ["a", "a", "a", "a", "a", "a", "b"],
        "place": ["x", "x", "x", "y", "y", "y", "x"],
        "seed": [0, 1, 2, 0, 1, 2, 0],
        "accuracy": [0.9, 0.8, 0.7, 0.5, 0.4, 0.6, 0.1],
        "of_rare": [0.2, 0.3, 0.1, 0.2, 0.3, 0.1, 0.0],
        "of_common": [0.9, 0.8, 0.9, 0.9, 0.8, 0.9, 0.0],
        "seconds": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
    }
)
ABOUT = {
    "title": "A model", "studies": ["some"], "sets": ["penguins"], "chapter": "p/01", "purpose": "to test",
    "learned": "rows", "never": "anything", "metric": "accuracy",
    "rows": [{"title": "first", "where": {"method": "a"}}],
}  # fmt: skip
SETS = {"penguins": {"title": "Penguins: birds", "licence": "CC0-1.0"}}


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(studies, "load", lambda name: TABLE)
    return lambda **more: book_cards.model_card(ABOUT | more, SETS)


def test_page_is_in_step() -> None:
    written = command.CARDS.read_text(encoding="utf-8")
    assert written == command.cards_page(), "run `python -m transferbook catalogue`"


def test_nothing_is_without_a_card() -> None:
    said, sets, names = book_cards.facts(), list(book_cards.known_sets()), studies.names()
    assert {"rotten_tomatoes", "optdigits", "penguins"} <= set(sets) and "own" not in sets
    assert book_cards.problems(said, sets, names) == []
    assert said["models"]["photographs"]["weakest"]["names"] == list(photographs.CIFAR10)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda said: said["sets"].pop("penguins"), "The set penguins has no data card."),
        (lambda said: said["sets"]["penguins"].pop("leaks"), "The data card of penguins lacks leaks."),
        (
            lambda said: said["sets"].update(cats=said["sets"]["penguins"]),
            "data card of cats, but no such set",
        ),
        (lambda said: said["models"].pop("robots"), "The study robots has no model card."),
        (lambda said: said["models"]["robots"].update(never=""), "The model card of robots lacks never."),
        (lambda said: said["models"]["robots"]["studies"].append("x"), "model card of x, but no such study"),
        (lambda said: said["models"]["robots"].pop("rows"), "robots needs either rows or the reason"),
        (
            lambda said: said["models"]["robots"].update(sets=["cats"]),
            "trained on cats, which has no data card",
        ),
        (
            lambda said: said["models"]["photographs"]["weakest"]["names"].pop(),
            "card of photographs needs one name for each column of its weakest group",
        ),
    ],
)
def test_a_gap_is_named(change, problem: str) -> None:
    said = copy.deepcopy(book_cards.facts())
    change(said)
    found = book_cards.problems(said, list(book_cards.known_sets()), studies.names())
    assert any(problem in one for one in found), found


def test_a_score_is_the_mean_over_seeds_of_the_runs_that_are_meant() -> None:
    found = book_cards.score(TABLE, ABOUT, ABOUT["rows"][0])
    by_hand = intervals.mean([(0.9 + 0.5) / 2, (0.8 + 0.4) / 2, (0.7 + 0.6) / 2])
    assert (found.n, found.unit) == (3, "seeds")
    assert [found.mean, found.low, found.high] == pytest.approx([by_hand.mean, by_hand.low, by_hand.high])
    other = book_cards.score(TABLE, ABOUT, ABOUT["rows"][0] | {"metric": "of_rare"})
    assert other.mean == pytest.approx(0.2)


@pytest.mark.parametrize("where", [{"method": "c"}, {"method": "a", "place": "z"}])
def test_a_row_that_means_no_run_is_refused(where: dict) -> None:
    with pytest.raises(ValueError, match="No run, or one without a score, is meant by 'first' of 'A model'"):
        book_cards.score(TABLE, ABOUT, {"title": "first", "where": where})
    gap = TABLE.assign(accuracy=TABLE["accuracy"].where(TABLE["seed"] > 0))
    with pytest.raises(ValueError, match="without a score"):
        book_cards.score(gap, ABOUT, ABOUT["rows"][0])


def test_a_card_shows_scores_cost_licence_and_the_weakest_group(card) -> None:
    shown = card(weakest={"row": 0, "by": ["place"]})
    for part in ("| first | `0.650 [", "| 3 |", "7 of the study `some`, of `1.0` to `7.0` seconds",
                 "Penguins: CC0-1.0",
                 "Weakest group: of “first”: place `y`, `0.500 [", "of 2 groups",
                 "Not to be used: anything", "[](../notebooks/p/01.ipynb)"):  # fmt: skip
        assert part in shown, shown
    assert shown.index("Not to be used") < shown.index("Made for")  # the page says to read it first
    by_column = card(weakest={"row": 0, "columns": ["of_rare", "of_common"]})
    assert "Weakest group: of “first”: rare, `0.200 [" in by_column
    named = card(weakest={"row": 0, "columns": ["of_rare", "of_common"], "names": ["cats", "dogs"]})
    assert "Weakest group: of “first”: cats, `0.200 [" in named
    assert "Weakest group: not recorded" in card()
    assert "No score is shown: none counts." in card(rows=[], unscored="none counts")


def test_other_rows_make_another_page(monkeypatch: pytest.MonkeyPatch) -> None:
    load = studies.load
    before = book_cards.page()
    monkeypatch.setattr(
        studies, "load", lambda name: load(name).assign(accuracy=0.5) if name == "low_rank" else load(name)
    )
    after = book_cards.page()
    assert after != before and "| rank 8, 512 labels | `0.500 [0.500, 0.500]` | 5 |" in after


def test_the_command_writes_the_page_and_keeps_its_introduction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    page = tmp_path / "cards.md"
    monkeypatch.setattr(command, "CARDS", page)
    monkeypatch.setattr(command, "PAGE", tmp_path / "data.md")
    for path in (page, command.PAGE):
        path.write_text(f"# Mine\n\n{command.MARK}old\n")
    assert command.main(["catalogue"]) == 0
    assert page.read_text() == f"# Mine\n\n{command.MARK}{book_cards.page()}"
    page.write_text("# Mine\n")
    assert command.main(["catalogue"]) == 2 and page.read_text() == "# Mine\n"
    page.write_text(f"# Mine\n\n{command.MARK}")
    monkeypatch.setattr(studies, "names", lambda: ["new_study"])
    capsys.readouterr()
    assert command.main(["catalogue"]) == 2
    assert "The study new_study has no model card." in capsys.readouterr().err
