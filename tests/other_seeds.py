"""Run chapters with other seeds and put each claim beside the stored one; the notebooks stay as they are.

    .venv/bin/python tests/other_seeds.py notebooks/part6_in_the_field/08_gestures.ipynb

A chapter counts its seeds from a line `FIRST_SEED = 0` (or `FIRST_SEED, SEEDS = 0, 5`), which becomes 500 in
a copy. A claim that fails there does not stop the run. Recorded rows of studies keep their own seeds.
"""

from __future__ import annotations

import copy
import re
import sys
from pathlib import Path

import nbclient
import notebook_rules
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

OTHER = 500
SECONDS_PER_CELL = 1_200
LINE = re.compile(r"^(FIRST_SEED(?:, \w+)* = )0\b", re.MULTILINE)
# Before the chapter's own cells: a claim that fails is printed, and the run goes on.
GO_ON = """
def _go_on():
    import functools
    from transferbook.evidence import claims

    def printed(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            try:
                function(*args, **kwargs)
            except claims.ClaimFailed as error:
                print(str(error).splitlines()[0])
            except claims.ClaimError as error:
                print(f"{args[0]} = refused: {error}")
        return wrapper

    claims.claim, claims.claim_equal = printed(claims.claim), printed(claims.claim_equal)

_go_on()
"""


def reseeded(notebook: NotebookNode) -> NotebookNode:
    """A copy that counts its seeds from `OTHER`.

    Raises:
        ValueError: if no cell, or more than one, says where the seeds begin.
    """
    result = copy.deepcopy(notebook)
    holders = [cell for _, cell in notebook_rules.cells(result, "code") if LINE.search(cell.source)]
    if len(holders) != 1:
        raise ValueError(f"{len(holders)} cells have a line `FIRST_SEED = 0`; it takes one.")
    holders[0].source = LINE.sub(rf"\g<1>{OTHER}", holders[0].source)
    result.cells.insert(0, new_code_cell(GO_ON))
    return result


def said(notebook: NotebookNode) -> dict[str, str]:
    """Name of each claim -> the line that it printed, whether it holds, fails or is refused."""
    text = "\n".join(
        notebook_rules.stored_text(cell, "stdout") for cell in notebook.cells if "outputs" in cell
    )
    lines = re.finditer(r"^(\w+) = (.*(?:   holds: |   FAILS: |refused: ).*)$", text, re.MULTILINE)
    return {line[1]: line[2] for line in lines}


def compare(path: Path) -> tuple[list[str], bool]:
    """Lines to print, and whether every stored claim holds with the other seeds.

    Raises:
        ValueError: if the chapter does not say where its seeds begin.
    """
    stored = notebook_rules.read(path)
    notebook = reseeded(stored)
    where = {"metadata": {"path": str(path.parent)}}
    client = nbclient.NotebookClient(
        notebook, timeout=SECONDS_PER_CELL, kernel_name="python3", allow_errors=True, resources=where
    )
    client.execute()
    before, now = said(stored), said(notebook)
    lines = [f"{path.stem}, seeds from {OTHER}"]
    for name, line in before.items():
        lines += [f"  {name}", f"    stored {line}", f"    now    {now.get(name, 'not reached')}"]
    good = all("FAILS: " not in now.get(name, "FAILS: ") for name in before)
    return lines, good


def main(names: list[str]) -> int:
    """Compare each chapter; 1 if a claim fails or a name is wrong."""
    status = int(not names)
    for name in names or ["no notebook"]:
        try:
            lines, good = compare(Path(name))
        except (OSError, ValueError) as error:
            lines, good = [f"{name}: {error}"], False
        print("\n".join(lines), flush=True)
        status |= not good
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
