"""The chapter on traps: each row of its table has a symptom, a fix and a guarding test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from notebook_rules import cells, read

ROOT = Path(__file__).parents[1]
CHAPTER = ROOT / "notebooks" / "part5_walkthroughs" / "06_traps.ipynb"
FEWEST_TRAPS = 8


def table() -> list[list[str]]:
    """The columns of every row of the chapter's table that names a test."""
    lines = [line for _, cell in cells(read(CHAPTER), "markdown") for line in cell.source.splitlines()]
    rows = [line.strip().strip("|").split("|") for line in lines if line.startswith("|") and "::" in line]
    return [[column.strip() for column in row] for row in rows]


def test_there_are_enough_traps_and_none_is_named_twice():
    traps = [row[0] for row in table()]
    assert len(traps) >= FEWEST_TRAPS and len(set(traps)) == len(traps)


@pytest.mark.parametrize("row", table(), ids=lambda row: row[0].replace(" ", "_"))
def test_the_guarding_test_exists(row):
    assert len(row) == 4 and all(row)
    file, name = re.fullmatch(r"`(tests/test_\w+\.py)::(test_\w+)`", row[3]).groups()
    module = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
