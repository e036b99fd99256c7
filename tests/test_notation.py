"""The page on notation: which letters mean two things and where, and every kind of interval."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from notebook_rules import cells, read
from test_errata import table

from transferbook.evidence import intervals

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "book/notation.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """What stands below a heading of the page, up to the next one."""
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)[1]


GREEK = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi "
    "varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
).split()
WORDS = re.compile(rf"\\(?:text|mathcal|label)\{{[^}}]*\}}|\\(?!(?:{'|'.join(GREEK)})(?![a-zA-Z]))[a-zA-Z]+")


def mathematics(text: str) -> str:
    """All mathematics of a text, one formula a line, without the words in it; Greek letters stay."""
    found = re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", text, re.S)
    return "\n".join(WORDS.sub(" ", a or b) for a, b in found)


def has(text: str, letter: str) -> bool:
    r"""Whether a text's mathematics has a letter, given as in a formula: `C` or `\alpha`."""
    return re.search(rf"(?<![A-Za-z\\]){re.escape(letter)}(?![A-Za-z])", mathematics(text)) is not None


def uses(path: Path, letter: str) -> bool:
    return has("\n".join(cell.source for _, cell in cells(read(path), "markdown")), letter)


def test_letters_are_told_from_the_words_of_a_formula() -> None:
    text = r"A rate $\alpha_t \lVert w \rVert$ and $$\mathcal{L} + \frac{\lambda}{2} \text{error}$$ of B."
    found = {letter for letter in (r"\alpha", r"\lambda", "t", "w") if has(text, letter)}
    assert found == {r"\alpha", r"\lambda", "t", "w"}
    assert not [letter for letter in (r"\beta", r"\lamb", "a", "l", "L", "V", "r", "B") if has(text, letter)]


def test_a_letter_with_a_second_meaning_stands_in_the_chapters_named() -> None:
    _, *rows = table(section("Letters with a second meaning"))
    letters = [row[0].strip("$") for row in rows]
    assert {"B", "C", "D", "H", "S", "T"} <= set(letters)  # the shapes' letters, and the source's
    assert {r"\alpha", r"\lambda", r"\sigma", r"\theta"} <= set(letters)
    for letter, (_, _, elsewhere) in zip(letters, rows, strict=True):
        chapters = re.findall(r"\]\(([^)]+\.ipynb)\)", elsewhere)
        assert chapters, letter
        missing = [name for name in chapters if not uses(ROOT / "book" / name, letter)]
        assert not missing, (letter, missing)


def test_every_kind_of_interval_is_on_the_page() -> None:
    named = set(re.findall(r"`intervals\.(\w+)`", section("Seeds and intervals")))
    public = inspect.getmembers(intervals, inspect.isfunction)
    kinds = {name for name, call in public if call.__module__ == intervals.__name__ and name[0] != "_"}
    assert named == kinds


def test_no_page_says_that_there_is_one_kind_or_one_meaning_only() -> None:
    assert "One symbol means one thing" not in PAGE
    assert "everywhere in the book" not in (ROOT / "book/how_to_use.md").read_text(encoding="utf-8")
