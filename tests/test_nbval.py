"""`pytest --nbval-lax`, which re-runs the book, turns red over a wrong notebook, green over a right one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

PASSED, FAILED = 0, 1
IMPORTS = "from transferbook.evidence import claims, intervals"


def cell(source: str, stored: str = "", tags: tuple[str, ...] = ()) -> NotebookNode:
    outputs = [new_output("stream", name="stdout", text=stored)] if stored else []
    return new_code_cell(source, outputs=outputs, execution_count=1, metadata={"tags": list(tags)})


@pytest.mark.parametrize(
    ("cells", "status"),
    [
        (
            [
                cell("print(3)", "3\n", ("nbval-check-output",)),
                cell("import random; print(random.random())", "0.5\n"),
                cell("1 / 0", tags=("raises-exception",)),
                cell(f"{IMPORTS}\nclaims.claim('gain', intervals.mean([1, 2, 3, 2, 1]), above=0.5)"),
            ],
            PASSED,
        ),
        ([cell("print(2)", "3\n", ("nbval-check-output",))], FAILED),
        ([cell("1 / 0")], FAILED),
        ([cell(f"{IMPORTS}\nclaims.claim('gain', intervals.mean([1, 2, 3, 2, 1]), above=1.5)")], FAILED),
    ],
    ids=["right", "another output", "an error", "a claim that does not hold"],
)
def test_nbval_tells_right_from_wrong(tmp_path: Path, cells: list[NotebookNode], status: int) -> None:
    path = tmp_path / "planted.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-p", "no:cacheprovider", path.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == status, done.stdout
    assert (f"{len(cells)} passed" if status == PASSED else "1 failed") in done.stdout
