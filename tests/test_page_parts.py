"""What a chapter may hold beside text and cells, in a small book with the settings of the real one.

Tables of results, self-checks, definitions of terms, folded proofs, the prompt of a folded cell.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import site_rules
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from transferbook.evidence import result_table
from transferbook.evidence.intervals import Interval

ROOT = Path(__file__).resolve().parents[1]
BUILD = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "."]
STRICT = ["-W", "-n", "--keep-going", "--all"]
GAIN = Interval(0.1424, 0.1179, 0.1669, 5, "seeds", "paired Student-t interval")
TABLE = result_table.lay_out({"probe <32>": {"gain": GAIN, "labels": 32}})
CHECK = """
- question: What does a {term}`seed` redraw, $n$ labels or *all*?
  answers:
    - text: The labelled subset.
      right: true
      feedback: "Yes: and `more`."
    - text: Nothing.
      feedback: Then one run would be enough.
    - text: The test set.
      feedback: It is the same for all.
- question: Which is even?
  answers:
    - {text: One., feedback: It is odd.}
    - {text: Three., feedback: It is odd as well.}
    - {text: Two., feedback: It is., right: true}
    - {text: Five., feedback: No.}
"""
GLOSSARY = """# Glossary

```{glossary}
seed
  What *every* draw of a run follows from, `int` < 5.
  At home in [Page](introduction.ipynb).
```
"""
TEXT = """# A page

A {term}`seed`, and {term}`two seeds <seed>`.

```{glue} gains
```

:::{prf:proof}
:class: dropdown

It is so because $a = b$. See {term}`seed`.

A second paragraph.
:::

:::{prf:proof}
Not folded.
:::

:::{admonition} Predict, then run
:class: predict
Which is larger?
:::

```{self-check} introduction.check.yml
```
"""
PROMPT = {"code_prompt_show": "How we know", "code_prompt_hide": "How we know"}


def notebook() -> nbformat.NotebookNode:
    glued = {f"application/papermill.record/{kind}": text for kind, text in as_shown(TABLE).items()}
    output = new_output(
        "display_data",
        data=glued,
        metadata={"scrapbook": {"name": "gains", "mime_prefix": "application/papermill.record/"}},
    )
    folded = {"tags": ["hide-cell"], "mystnb": PROMPT}
    return new_notebook(
        cells=[
            new_markdown_cell(TEXT),
            new_code_cell(
                "claims.table('gains', rows)", outputs=[output], execution_count=1, metadata=folded
            ),
            new_code_cell("1", execution_count=2, metadata={"tags": ["hide-input"]}),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


def as_shown(value: object) -> dict[str, str]:
    """What `myst_nb.glue` stores of an object."""
    from IPython.core.formatters import DisplayFormatter

    return DisplayFormatter().format(value)[0]


def build(folder: Path, pages: dict[str, str]) -> subprocess.CompletedProcess[str]:
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("*.md", "__pycache__"))
    shutil.copy(ROOT / "_config.yml", folder)
    chapters = "".join(f"  - file: book/{Path(name).stem}\n" for name in pages if name.startswith("glossary"))
    chapters = f"chapters:\n{chapters}" if chapters else ""
    (folder / "_toc.yml").write_text(f"format: jb-book\nroot: book/introduction\n{chapters}")
    for name, text in pages.items():
        (folder / "book" / name).write_text(text, encoding="utf-8")
    return subprocess.run([*BUILD, *STRICT], capture_output=True, text=True, cwd=folder, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    pages = {"introduction.ipynb": nbformat.writes(notebook()), "introduction.check.yml": CHECK}
    result = build(folder, pages | {"glossary.md": GLOSSARY})
    assert result.returncode == 0, result.stderr[-6_000:]
    return folder / "_build/html"


@pytest.fixture(scope="module")
def page(site: Path) -> BeautifulSoup:
    return BeautifulSoup((site / "book/introduction.html").read_text(encoding="utf-8"), "html.parser")


def test_the_small_site_keeps_the_rules(site: Path) -> None:
    assert site_rules.foreign_loads(site) == []
    assert site_rules.unresolved(site) == []


def test_a_glued_table_is_a_table_with_headers(page: BeautifulSoup) -> None:
    table = page.select_one("article div.results table")
    heads = [(th["scope"], th.get_text()) for th in table.find_all("th")]
    assert heads == [("col", "gain"), ("col", "labels"), ("row", "probe <32>")]
    assert [td.get_text() for td in table.tbody.find_all("td")] == ["0.142 [0.118, 0.167]", "32"]
    assert table.caption.get_text() == "In brackets: 95 % intervals over 5 seeds."
    assert [span.get_text() for span in table.select("td > span.interval")] == ["[0.118, 0.167]"]


def test_a_self_check_is_a_group_of_radio_buttons_with_feedback(page: BeautifulSoup) -> None:
    first, second = page.select("article fieldset.self-check-question")
    assert first.legend.get_text() == r"1. What does a seed redraw, \(n\) labels or all?"
    assert first.legend.select_one("em").get_text() == "all"
    assert first.legend.select_one("a")["href"] == "glossary.html#term-seed"
    names = []
    for field, right in [(first, "a"), (second, "c")]:
        buttons = field.select("label > input[type=radio]")
        assert len({button["name"] for button in buttons}) == 1
        names.append(buttons[0]["name"])
        feedback = [field.select_one(f"details #{button['value']}") for button in buttons]
        assert [
            tag["value"][-1] for tag, said in zip(buttons, feedback, strict=True) if "right" in said["class"]
        ] == [right]
        assert field.select_one("p[role=status]").get_text() == ""
        assert field.details.summary.get_text() == "Feedback on each answer"
    assert names[0] != names[1]
    assert first.select_one("details li").get_text() == "A ✓ Right Yes: and more."
    assert [label.get_text() for label in first.select("label")][1:] == ["BNothing.", "CThe test set."]
    identifiers = [tag["id"] for tag in page.select("article [id]")]
    assert len(identifiers) == len(set(identifiers))


def test_scripts_come_only_where_they_are_needed(site: Path, page: BeautifulSoup) -> None:
    def local(page: BeautifulSoup) -> set[str]:
        return {Path(tag["src"].partition("?")[0]).name for tag in page.select("script[src]")}

    ours = {"self_check.js", "glossary_tips.js", "glossary_terms.js"}
    assert local(page) >= ours
    other = BeautifulSoup((site / "book/glossary.html").read_text(encoding="utf-8"), "html.parser")
    assert not local(other) & ours
    for name in ours:
        assert (site / "_static" / name).is_file()


def test_definitions_are_stored_once_without_their_home(site: Path, page: BeautifulSoup) -> None:
    script = (site / "_static/glossary_terms.js").read_text(encoding="utf-8")
    terms = json.loads(re.fullmatch(r"window\.glossaryTerms=(.*);\n", script)[1])
    said = "<strong>seed</strong> What <em>every</em> draw of a run follows from, <code>int</code> &lt; 5."
    assert terms == {"term-seed": said}
    links = page.select("article a.reference:has(> .std-term)")
    assert len(links) == 4
    assert {link["href"].partition("#")[2] for link in links} == {"term-seed"}
    assert "follows from" not in page.get_text()


def test_a_proof_of_class_dropdown_is_folded(page: BeautifulSoup) -> None:
    folded = page.select_one("article details.proof")
    assert folded.summary.get_text() == "Proof"
    assert not folded.has_attr("open")
    assert [p.get_text() for p in folded.find_all("p")] == [
        r"It is so because \(a = b\). See seed.",
        "A second paragraph.",
    ]
    assert page.select_one("article div.proof").get_text().strip() == "Proof. Not folded."
    assert not page.select(
        "article .admonition.dropdown:not(:has(.admonition-title))"
    )  # the script would fail


def test_a_folded_cell_has_a_prompt_of_its_own(page: BeautifulSoup) -> None:
    first, second = page.select("article div.cell details.hide")
    assert {prompt.get_text() for prompt in first.summary.find_all("p")} == {"How we know"}
    assert {prompt.get_text() for prompt in second.summary.find_all("p")} == {
        "Show the code",
        "Hide the code",
    }


# Files that are not as they should be


@pytest.fixture(scope="module")
def self_check():
    sys.path.insert(0, str(ROOT / "book/_ext"))
    try:
        import self_check
    finally:
        sys.path.remove(str(ROOT / "book/_ext"))
    return self_check


def entry(rights: int = 1, answers: int = 3, **first: object) -> list[dict]:
    listed = [{"text": f"Answer {n}.", "feedback": "So."} for n in range(answers)]
    for answer in listed[:rights]:
        answer["right"] = True
    if listed:
        listed[0] |= first
    return [{"question": "Why?", "answers": listed}]


WHERE = "c.check.yml, question 1 ('Why?')"
BROKEN = [
    (entry(rights=0), f"{WHERE} has no right answers; mark one with `right: true`."),
    (entry(rights=2), f"{WHERE} has 2 right answers; mark one with `right: true`."),
    (entry(answers=2), f"{WHERE} has 2 answers; give 3 or 4."),
    (entry(answers=5), f"{WHERE} has 5 answers; give 3 or 4."),
    (entry(feedback=""), f"{WHERE}, answer 1: the feedback is empty."),
    (entry(feedback=True), f"{WHERE}, answer 1: the feedback True is no text; put it into quotes."),
    (entry(right="yes"), f"{WHERE}, answer 1 has `right: yes`; write true, or leave the line out."),
    (entry(wrong=True), f"{WHERE}, answer 1 has wrong, which means nothing here."),
    (entry(text="Answer 1."), f"{WHERE} has the same answer twice."),
    ([*entry(), {"question": "And?"}], "c.check.yml, question 2 lacks answers."),
    ([{"answers": []}], "c.check.yml, question 1 lacks question."),
    (["Why?"], "c.check.yml, question 1 is no mapping; give answers and question."),
    ([{"question": "Why?", "answers": [{"text": "a"}] * 3}], f"{WHERE}, answer 1 lacks feedback."),
    ([{"question": "Why?", "answers": "three"}], f"{WHERE} has 0 answers; give 3 or 4."),
    ({}, "c.check.yml must be a list of questions (`- question: ...`)."),
    ([], "c.check.yml must be a list of questions (`- question: ...`)."),
]


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_a_broken_self_check_is_named(tmp_path: Path, self_check, content, message: str) -> None:
    (tmp_path / "c.check.yml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError) as error:
        self_check.read(tmp_path / "c.check.yml", "c.check.yml")
    assert str(error.value) == message


def test_a_self_check_that_is_no_yaml_is_named(tmp_path: Path, self_check) -> None:
    (tmp_path / "c.yml").write_text("- question: Why: because?\n")
    with pytest.raises(
        ValueError, match=r"^c\.yml, line 1, cannot be read as YAML \(.*\); put texts with a colon"
    ):
        self_check.read(tmp_path / "c.yml", "c.yml")
    (tmp_path / "c.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"^c\.yml, cannot be read as YAML"):
        self_check.read(tmp_path / "c.yml", "c.yml")


def test_the_build_refuses_broken_parts(tmp_path: Path) -> None:
    broken = [
        "```{self-check} bad.check.yml\n```",
        "```{self-check} gone.check.yml\n```",
        "```{glue} no_table\n```",
    ]
    bad = yaml.safe_dump(entry(rights=2))
    result = build(tmp_path, {"introduction.md": "# Page\n\n" + "\n\n".join(broken), "bad.check.yml": bad})
    assert result.returncode != 0
    assert "book/bad.check.yml, question 1 ('Why?') has 2 right answers; mark one" in result.stderr
    assert "There is no file book/gone.check.yml." in result.stderr
    assert "no_table" in result.stderr
