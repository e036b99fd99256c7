"""The page of questions: each is asked once, and answered shortly from something that the book has run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_links import dead_links, missing_numbers
from prose_rules import parse, prose, sentences

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book/faq.md"
LEAST = 35
LONGEST = 6  # sentences in an answer
EXPERIMENT = re.compile(r"\]\(\.\./notebooks/[^)]+\.ipynb[^)]*\)")


def answers(page: str) -> list[tuple[str, str, str]]:
    """Group, question and answer, in order; text before the first question of a group is no answer."""
    found: list[tuple[str, str, str]] = []
    group = question = ""
    for part in re.split(r"^(?=#{2,3} )", page, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        if title.startswith("## "):
            group, question = title[3:].strip(), ""
        else:
            question = title[4:].strip()
            found.append((group, question, body.strip()))
    return found


def asked_again(question: str) -> str:
    """What is left of a question if nobody cares for its small words."""
    small = {
        "a",
        "an",
        "the",
        "i",
        "my",
        "do",
        "does",
        "is",
        "are",
        "it",
        "what",
        "how",
        "should",
        "can",
        "of",
    }
    words = re.findall(r"\w+", question.lower())
    return " ".join(sorted(word for word in words if word not in small))


def problems(page: Path) -> list[str]:
    """One sentence for each answer that is too long, says nothing that was run, or leads nowhere."""
    found, before = [], {}
    listed = answers(page.read_text(encoding="utf-8"))
    if len(listed) < LEAST:
        found.append(f"{len(listed)} questions are fewer than {LEAST}")
    for group, question, answer in listed:
        length = sum(len(sentences(block)) for block in prose(answer))
        if not group or not question.endswith((".", "?")) or "?" not in question:
            found.append(f"{question!r} is no question in a group")
        if not 1 <= length <= LONGEST:
            found.append(f"{question!r} is answered in {length} sentences")
        if not EXPERIMENT.search(answer):
            found.append(f"{question!r} is answered without a link to an experiment")
        key = asked_again(question)
        if key in before:
            found.append(f"{question!r} asks what {before[key]!r} asks")
        before[key] = question
        found += [f"{question!r}: {problem}" for problem in dead_links(answer, page)]
        found += [f"{question!r}: {problem}" for problem in missing_numbers(answer, page)]
    return found


def test_every_question_is_answered_from_what_was_run() -> None:
    assert problems(PAGE) == []


def test_headings_lie_no_deeper_than_questions() -> None:
    depths = {token.tag for token in parse(PAGE.read_text(encoding="utf-8")) if token.type == "heading_open"}
    assert depths == {"h1", "h2", "h3"}


HOUR = "../notebooks/part1_basics/00_first_hour.ipynb"
GOOD = f"[So]({HOUR}). It gains {{glue:text}}`{HOUR}::transfer_gain:.2f`."


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (GOOD, GOOD, None),
        (GOOD, "So. " * 6 + GOOD, "in 8 sentences"),
        (GOOD, "It is known to help.", "without a link to an experiment"),
        (GOOD, GOOD.replace("transfer_gain", "no_gain"), "has no number no_gain"),
        (GOOD, GOOD.replace("00_first", "00_last"), "there is no notebook"),
        (GOOD, f"See [here]({HOUR}#gone).", "has no heading #gone"),
        (GOOD, f"See [here]({HOUR}#break-it).", None),
        ("Is it new?", "Are the old ones it?", None),
        ("Is it new?", "How is it old?", "asks what"),
        ("Is it new?", "It is new", "is no question"),
        ("## Group", "Group", "is no question in a group"),
    ],
)
def test_an_answer_that_says_nothing_is_found(
    tmp_path: Path, old: str, new: str, problem: str | None
) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    many = "".join(f"### Why {number}?\n\n{GOOD}\n\n" for number in range(LEAST))
    text = f"# Q\n\n## Group\n\n### Is it old?\n\nAn experiment. {GOOD}\n\n### Is it new?\n\n{GOOD}\n\n{many}"
    page = tmp_path / "book/faq.md"
    page.write_text(text.replace(old, new, 1) if old != GOOD else new.join(text.rsplit(GOOD, 1)), "utf-8")
    found = problems(page)
    assert any(problem in sentence for sentence in found) if problem else found == [], found


def test_a_short_page_is_found(tmp_path: Path) -> None:
    (tmp_path / "faq.md").write_text("# Q\n\n## G\n\n### Why?\n\nSo.\n", encoding="utf-8")
    assert problems(tmp_path / "faq.md")[0] == f"1 questions are fewer than {LEAST}"
