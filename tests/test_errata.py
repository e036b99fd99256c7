"""The page on the book's errors: whatever it says would catch one exists, and code has a planted fault."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import faults_harness
import notebook_rules as rules
import pytest
from prose_rules import directives, parse

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ["What was wrong", "What is true", "Where", "What catches it now"]


def table(page: str) -> list[list[str]]:
    """The rows of the page's table, the head first, each cell as it is written."""
    rows: list[list[str]] = []
    for text in [page, *(part.body for part in directives(page))]:
        in_row = False
        for token in parse(text):
            in_row = token.type == "tr_open" or (in_row and token.type != "tr_close")
            if token.type == "tr_open":
                rows.append([])
            elif in_row and token.type == "inline":
                rows[-1].append(token.content)
    return rows


def problems(page: str, root: Path) -> list[str]:
    """One sentence for each thing that the page names and that is not there."""
    head, *rows = table(page) or [[]]
    if head != COLUMNS or not rows:
        return [f"the table has the columns {head} and {len(rows)} rows"]
    found = []
    for wrong, true, where, guards in rows:
        said = wrong[:40]
        if not (wrong and true and where):
            found.append(f"{said!r}: a cell is empty")
        named = re.findall(r"`([^`]+)`", guards)
        faults = [name for name in named if name.startswith("tests/faults/")]
        checks = [name for name in named if "::" in name]
        if not checks or set(named) != {*faults, *checks}:
            found.append(f"{said!r} names no test or claim, or something else")
        found += [f"{said!r}: there is no {name}" for name in checks if not exists(name, root)]
        if where.startswith("code") and not faults:
            found.append(f"{said!r} is about code and names no planted fault")
        for name in faults:
            if not (root / name).is_file():
                found.append(f"{said!r}: there is no {name}")
            elif faults_harness.read(root / name).test.partition("[")[0] not in checks:
                found.append(f"{said!r}: {name} is caught by another test")
    return found


def exists(name: str, root: Path) -> bool:
    """Whether there is a test `tests/test_x.py::test_name` or a claim `chapter::name`."""
    place, _, part = name.partition("::")
    if place.endswith(".py"):
        path = root / place
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
        return part in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    chapters = [path for path in rules.notebooks(root) if path.stem == place]
    return any(call.covers(part) for path in chapters for call in rules.claim_calls(rules.read(path)))


def test_what_the_page_names_exists() -> None:
    assert problems((ROOT / "book/errata.md").read_text(encoding="utf-8"), ROOT) == []


HEAD = "| " + " | ".join(COLUMNS) + " |\n|---|---|---|---|\n"
HERE = "tests/test_errata.py::test_what_the_page_names_exists"
CLAIM = "08_policy_gradients::shuffled_saved"
FAULT = "tests/faults/claims__mean_decides.patch"
CATCHER = "tests/test_claims.py::test_the_whole_interval_decides"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (f"a | b | text | `{HERE}`", None),
        (f"a | b | text | `{CLAIM}` and `{HERE}`", None),
        (f"a `x` | b | code, `f` | `{CATCHER}` with `{FAULT}`", None),
        ("a | b | text | `tests/test_errata.py::test_gone`", "there is no tests/test_errata.py::test_gone"),
        ("a | b | text | `tests/test_gone.py::test_x`", "there is no tests/test_gone.py::test_x"),
        ("a | b | text | `07_reinforcement_learning::gone`", "there is no 07_reinforcement_learning::gone"),
        ("a | b | text | `no_chapter::long_saved`", "there is no no_chapter::long_saved"),
        ("a | b | text | our word", "names no test or claim"),
        (f"a | b | text | `{HERE}` or `luck`", "or something else"),
        (f"a | | text | `{HERE}`", "a cell is empty"),
        (f"a | b | code, `f` | `{CATCHER}`", "is about code and names no planted fault"),
        (f"a | b | code | `{CATCHER}` with `tests/faults/gone.patch`", "there is no tests/faults/gone.patch"),
        (f"a | b | code | `{HERE}` with `{FAULT}`", "is caught by another test"),
    ],
)
def test_a_row_that_names_nothing_is_caught(row: str, problem: str | None) -> None:
    found = problems(f"# T\n\n:::{{div}} errata\n{HEAD}| {row} |\n:::\n", ROOT)
    assert any(problem in sentence for sentence in found) if problem else found == [], found


@pytest.mark.parametrize("page", ["# T\n", f"# T\n\n{HEAD}", "# T\n\n| a |\n|---|\n| b |\n"])
def test_a_page_without_its_table_is_caught(page: str) -> None:
    assert problems(page, ROOT)[0].startswith("the table has the columns")
