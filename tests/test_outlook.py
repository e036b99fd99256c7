"""The pages on trends and on other people's work: what is measured is linked, what is named is cited."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_links import dead_links, missing_numbers

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "book/outlook.md", ROOT / "book/resources.md"]
# What the fifth article recommends, and the key or the address under which the page has it.
RECOMMENDED = {
    "Deep Learning": "goodfellow2016deep",
    "Transfer Learning in Natural Language Processing": "ruder2019transfer",
    "CS231n": "https://cs231n.stanford.edu/",
    "Deep Learning Specialization": "https://www.coursera.org/specializations/deep-learning",
    "PyTorch": "paszke2019pytorch",
    "TensorFlow": "abadi2016tensorflow",
    "Transformers": "wolf2020transformers",
    "ImageNet classification": "krizhevsky2012imagenet",
    "BERT": "devlin2019bert",
}


def sections(page: Path) -> dict[str, str]:
    """Title -> text of each section of the second level."""
    parts = re.split(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def unfounded(trends: dict[str, str]) -> list[str]:
    """The trends that do not say how things stood, or what the book has measured of them."""
    found = []
    for title, text in trends.items():
        _, then, after = text.partition("*In 2023.*")
        _, _, measured = after.partition("*Measured here.*")
        if not then or not measured:
            found.append(f"{title!r} lacks a part")
        elif "../notebooks/" not in measured and measured.strip() != "Nothing.":
            found.append(f"{title!r} links to nothing that was measured")
    return found


def unsourced(page: Path) -> list[str]:
    """The items of a page's lists that cite nothing and link to nothing outside."""
    items = re.findall(r"^- (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(items) > 10
    return [item[:40] for item in items if not re.search(r"\{cite:[pt]\}`|\]\(https://", item)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_numbers_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert dead_links(text, page) + missing_numbers(text, page) == []


def test_every_trend_says_what_was_true_and_what_was_measured() -> None:
    trends = sections(ROOT / "book/outlook.md")
    assert len(trends) >= 8
    assert unfounded(trends) == []


def test_a_trend_without_a_measurement_is_found() -> None:
    link = "[page](../notebooks/a.ipynb)"
    good = f"\n*In 2023.* So.\n\n*Measured here.* See {link}.\n"
    assert unfounded({"a": good, "b": "\n*In 2023.* So.\n\n*Measured here.* Nothing.\n"}) == []
    assert unfounded({"a": good.replace("*In 2023.* ", "")}) == ["'a' lacks a part"]
    assert unfounded({"a": good.replace(link, "it")}) == ["'a' links to nothing that was measured"]


def test_every_recommendation_has_a_source() -> None:
    assert unsourced(ROOT / "book/resources.md") == []


def test_what_the_article_recommends_is_there() -> None:
    text = (ROOT / "book/resources.md").read_text(encoding="utf-8")
    assert [name for name, source in RECOMMENDED.items() if source not in text] == []
