"""The glossary: every entry names the page on which its word is at home, and that page links back to it."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = "../notebooks/"
# What the source articles name, by the chapter that must explain it.
NAMED = {
    "part1_basics/02_supervised_learning": (
        "supervised learning",
        "logistic regression",
        "support vector machine",
        "decision tree",
        "accuracy",
        "precision",
        "recall",
        "F1 score",
    ),
    "part1_basics/06_unsupervised_learning": (
        "unsupervised learning",
        "k-means",
        "principal component analysis",
        "self-organising map",
    ),
    "part1_basics/07_reinforcement_learning": ("reinforcement learning", "Q-learning"),
    "part2_deep_learning/07_self_supervised_learning": ("self-supervised learning", "autoencoder"),
    "part2_deep_learning/08_policy_gradients": ("policy gradient",),
    "part1_basics/03_gradient_descent": (
        "gradient descent",
        "stochastic gradient descent",
        "momentum",
        "Adagrad",
        "Adam",
    ),
    "part1_basics/04_generalisation": ("L1 penalty", "L2 penalty", "early stopping"),
    "part1_basics/05_text_as_data": ("tokenisation", "stop word", "stemming", "lemmatisation", "TF-IDF"),
}


def entries(text: str) -> dict[str, str]:
    """The definition of each term of a page's glossaries; a repeated term raises `ValueError`."""
    found: dict[str, str] = {}
    for glossary in re.findall(r"^```\{glossary\}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        for entry in re.split(r"\n{2,}", glossary.strip()):
            term, _, definition = entry.partition("\n")
            if term in found:
                raise ValueError(f"{term!r} is defined twice")
            found[term] = definition
    return found


def prose(page: Path) -> str:
    """The Markdown of a page or of a notebook's text cells."""
    if page.suffix != ".ipynb":
        return page.read_text(encoding="utf-8")
    cells = nbformat.read(page, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def links_to(term: str, text: str) -> bool:
    """Whether a text links to a term of the glossary, under this or another wording."""
    return re.search(rf"\{{term\}}`(?:[^`]*<)?{re.escape(term)}>?`", text) is not None


def problems(glossary: Path) -> list[str]:
    """One sentence for each entry that has no home, or whose home does not speak of it."""
    text, found = glossary.read_text(encoding="utf-8"), []
    terms = entries(text)
    if list(terms) != sorted(terms, key=str.lower):
        found.append("the entries are not in alphabetical order")
    for term, definition in terms.items():
        home = re.search(r"^  At home in \[[^]]+\]\(([^)]+)\)\.$", definition, flags=re.MULTILINE)
        if home is None:
            found.append(f"{term!r} names no page on which it is at home")
        elif not (page := glossary.parent / home.group(1)).is_file():
            found.append(f"{term!r} is at home on a page that does not exist: {home.group(1)}")
        elif not links_to(term, prose(page)):
            found.append(f"{term!r} is not linked on the page on which it is at home: {home.group(1)}")
    return found


def test_every_entry_has_a_home_that_links_back() -> None:
    assert problems(ROOT / "book/glossary.md") == []


@pytest.mark.parametrize(("chapter", "term"), [(c, term) for c, terms in NAMED.items() for term in terms])
def test_every_method_of_the_articles_leads_to_its_chapter(chapter: str, term: str) -> None:
    definition = entries((ROOT / "book/glossary.md").read_text(encoding="utf-8"))[term]
    assert f"({CHAPTERS}{chapter}.ipynb)" in definition


@pytest.mark.parametrize(
    ("entry", "page", "problem"),
    [
        ("loss\n  Text.\n  At home in [Page](page.md).", "The {term}`loss` and {term}`losses <loss>`.", None),
        ("loss\n  Text.\n  At home in [Page](page.md).", "The {term}`losses <loss>`.", None),
        ("loss\n  Text.", "The {term}`loss`.", "names no page"),
        ("loss\n  Text.\n  At home in [Page](gone.md).", "The {term}`loss`.", "does not exist"),
        ("loss\n  Text.\n  At home in [Page](page.md).", "The loss, {term}`glossary loss`.", "not linked"),
        ("loss\n  T.\n  At home in [P](page.md).\n\nArea\n  T.\n  At home in [P](page.md).", "", "order"),
    ],
)
def test_planted_problems_are_found(tmp_path: Path, entry: str, page: str, problem: str | None) -> None:
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    (tmp_path / "glossary.md").write_text(f"# G\n\n```{{glossary}}\n{entry}\n```\n", encoding="utf-8")
    found = problems(tmp_path / "glossary.md")
    assert any(problem in sentence for sentence in found) if problem else found == []


def test_a_term_defined_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        entries("```{glossary}\nloss\n  One.\n\nloss\n  Two.\n```\n")
