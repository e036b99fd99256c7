"""The page on the source articles: every section has its place in the book, every question its answer."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from page_links import ADDRESS, dead_links
from prose_rules import parse

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book/articles.md"
# The numbers of each article's sections, as its own headings count them.
SECTIONS = (
    "1 2 2.1 2.2 2.3 2.4 3 3.1 3.2 3.3 4 5 6",
    "1 2 2.1 2.2 3 3.1 3.2 4 5 6",
    "1 2 3 3.1 3.1.1 3.1.2 3.2 3.2.1 3.2.2 3.3 4 5 6 7",
    "1 2 3 4 5 6",
    "1 2 2.1 2.2 2.3 2.4 2.5 2.6 3 3.1 3.2 3.2.1 3.2.2 3.2.3 3.3 3.3.1 3.3.2 3.3.3 3.4 4 4.1 4.2 4.3"
    " 5 5.1 5.2 5.3 5.4 6 6.1 6.2 6.3 6.4 7 7.1 7.2 7.3 8 8.1 8.2",
)
QUESTIONS = {"First": 5, "Second": 6, "Third": 4, "Fourth": 4}  # the fifth ends without any
ARTICLES = ("First article", "Second article", "Third article", "Fourth article", "Fifth article")


def tables(page: str) -> dict[str, list[list[str]]]:
    """Title of a section of a page -> the rows of its table, without the head, each cell as it is written."""
    rows: dict[str, list[list[str]]] = {}
    title, place = "", ""
    for token in parse(page):
        if token.type in {"heading_open", "thead_open", "tbody_open"}:
            place = token.type
        elif token.type in {"heading_close", "thead_close", "tbody_close"}:
            place = ""
        elif token.type == "inline" and place == "heading_open":
            title = token.content
        elif token.type == "tr_open" and place == "tbody_open":
            rows.setdefault(title, []).append([])
        elif token.type == "inline" and place == "tbody_open":
            rows[title][-1].append(token.content)
    return rows


def problems(page: Path) -> list[str]:
    """One sentence for each section that is missing or out of order, and for each that leads nowhere."""
    found = []
    listed = tables(page.read_text(encoding="utf-8"))
    for article, sections in zip(ARTICLES, SECTIONS, strict=True):
        rows = [rows for title, rows in listed.items() if title.startswith(f"{article}:")]
        if len(rows) != 1:
            found.append(f"{article}: {len(rows)} tables instead of one")
            continue
        numbers = [re.match(r"`([\d.]+)` \S", section) for section, _ in rows[0]]
        names = [number[1] if number else "?" for number in numbers]
        if names != sections.split():
            missing = sorted({*sections.split()} - {*names})
            found.append(f"{article}: the sections are not its own, in its order; missing: {missing}")
        for section, where in rows[0]:
            said = re.sub(r"\]\([^)]*\)", "]", where)
            if not ADDRESS.search(where) and not points_on(where, rows[0]):
                found.append(f"{article}, {section}: {said!r} leads to no page")
            found += [f"{article}, {section}: {problem}" for problem in dead_links(where, page)]
    return found


def points_on(where: str, rows: list[list[str]]) -> bool:
    """Whether a cell without a link says "below", or names another row of its table that has one."""
    named = re.fullmatch(r"As (`[\d.]+`)", where)
    if named is None:
        return "below" in where
    return any(section.startswith(f"{named[1]} ") and ADDRESS.search(cell) for section, cell in rows)


def test_every_section_of_the_articles_has_its_page() -> None:
    assert problems(PAGE) == []


def asked(page: str) -> list[tuple[str, str]]:
    """The questions of the articles as the page lists them: the article, and the link to the answer."""
    return [tuple(row) for row in tables(page)["The articles' questions"]]


def test_every_question_of_the_articles_is_answered() -> None:
    rows = asked(PAGE.read_text(encoding="utf-8"))
    assert Counter(article for article, _ in rows) == QUESTIONS
    assert len(set(rows)) == len(rows)
    assert [problem for _, link in rows for problem in dead_links(link, PAGE)] == []
    assert all(re.fullmatch(r"\[[^]]+\?\]\(faq\.md#[\w-]+\)", link) for _, link in rows)


def test_the_page_copies_no_sentence_of_the_articles() -> None:
    assert re.findall(r"[\u4e00-\u9fff]", PAGE.read_text(encoding="utf-8")) == []


def copy(tmp_path: Path, old: str, new: str) -> Path:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    for page in (ROOT / "book").glob("*.md"):
        (tmp_path / "book" / page.name).symlink_to(page)
    (tmp_path / "book/articles.md").unlink()
    (tmp_path / "book/articles.md").write_text(text.replace(old, new, 1), encoding="utf-8")
    return tmp_path / "book/articles.md"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("| `2.4` Transfer learning |", "| `2.7` Transfer learning |", "missing: ['2.4']"),
        ("| `2.4` Transfer learning |", "| Transfer learning |", "missing: ['2.4']"),
        ("As `2.1`", "As `2.9`", "leads to no page"),
        ("01_what_is_large.ipynb#the-bill", "01_what_is_large.ipynb#the-bills", "has no heading #the-bills"),
        ("01_what_is_large.ipynb#the-bill", "09_gone.ipynb#the-bill", "there is no page"),
        ("## Fourth article:", "## A further article:", "Fourth article: 0 tables"),
    ],
)
def test_a_gap_is_found(tmp_path: Path, old: str, new: str, problem: str) -> None:
    found = problems(copy(tmp_path, old, new))
    assert any(problem in sentence for sentence in found), found
