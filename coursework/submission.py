"""What a student handed in, read as text: which code is to run, and which answers a person is to read."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST, MOST_CELLS, MOST_POINTS = 4 << 20, 1_000, 1_000


class Unreadable(ValueError):
    """A submission that is not a notebook; the message is for its author."""


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook, as far as grading needs it.

    Args:
        kind: code or markdown.
        source: its text.
        name: nbgrader's `grade_id`; empty for a cell that a student added.
        locked: whether a student may not change it.
        points: what it is worth; 0 for a cell without points.
        answer: whether a student writes into it.
    """

    kind: str
    source: str
    name: str = ""
    locked: bool = False
    points: float = 0.0
    answer: bool = False

    @property
    def test(self) -> bool:
        """Whether it holds the visible tests of a question that is graded by running."""
        return self.kind == "code" and self.points > 0 and not self.answer


def content(path: Path) -> bytes:
    """The bytes of a file that somebody handed in.

    Args:
        path: of the file. It must be a plain file of at most 4 MB; a link, a pipe or a device is not read,
            nor what lies behind a link in place of one of the two folders that are a student's own.

    Raises:
        Unreadable: one sentence on what is wrong with it.
    """
    if any(folder.is_symlink() for folder in path.parents[:2]):
        raise Unreadable(f"{path.name} is not a plain file.")
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Unreadable(f"There is no file {path.name}.") from None
    except OSError:
        raise Unreadable(f"{path.name} is not a plain file.") from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise Unreadable(f"{path.name} is not a plain file.")
    with os.fdopen(file, "rb") as opened:
        found = opened.read(LARGEST + 1)
    if len(found) > LARGEST:
        raise Unreadable(
            f"{path.name} is larger than {LARGEST:,} bytes; clear its outputs and hand it in again."
        )
    return found


def read(path: Path) -> dict[str, Any]:
    """The JSON of a notebook that somebody handed in.

    Args:
        path: of the file, as for `content`.

    Raises:
        Unreadable: one sentence on what is wrong with it.
    """
    found = content(path)
    try:
        notebook = json.loads(found.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Unreadable(f"{path.name} is not a notebook.") from None
    cells(notebook, path.name)
    return notebook


def cells(notebook: Any, name: str = "It") -> list[Cell]:
    """The cells of a notebook's JSON.

    Raises:
        Unreadable: if it has no list of cells, or too many, or one without text.
    """
    found = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(found, list) or len(found) > MOST_CELLS:
        raise Unreadable(f"{name} is not a notebook with at most {MOST_CELLS:,} cells.")
    return [_cell(cell, name) for cell in found]


def _cell(cell: Any, name: str) -> Cell:
    source = cell.get("source") if isinstance(cell, dict) else None
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if isinstance(source, str):
        source = source.encode("utf-8", "replace").decode("utf-8")  # half a character cannot be written again
    metadata = cell.get("metadata", {}) if isinstance(source, str) else None
    if not isinstance(source, str) or not isinstance(metadata, dict):
        raise Unreadable(f"{name} has a cell without text.")
    said = metadata.get("nbgrader", {})
    said = said if isinstance(said, dict) else {}
    points = said.get("points", 0)
    return Cell(
        kind=str(cell.get("cell_type")),
        source=source,
        name=said["grade_id"] if isinstance(said.get("grade_id"), str) else "",
        locked=said.get("locked") is True,
        points=float(points) if said.get("grade") is True and _number(points) else 0.0,
        answer=said.get("solution") is True or said.get("task") is True,
    )


def _number(points: Any) -> bool:
    return isinstance(points, (int, float)) and 0 <= points <= MOST_POINTS


def to_run(released: list[Cell], handed_in: list[Cell]) -> list[tuple[int, str]]:
    """The code of a submission, as it is to run.

    Cells that a student may not change are taken from what was handed out, wherever theirs stand, and first
    of all where theirs are gone. Visible tests are left out: they give no points and may take long.

    Args:
        released: the cells that were handed out to this student.
        handed_in: the cells that came back.

    Returns:
        For each cell its number in the submission, from 1 (0 if it had been deleted), and its text.
    """
    ours = {cell.name: cell for cell in released if cell.kind == "code" and cell.locked and not cell.test}
    tests = {cell.name for cell in released if cell.test}
    there = {cell.name for cell in handed_in if cell.kind == "code"}
    found = [(0, cell.source) for name, cell in ours.items() if name not in there]
    used: set[str] = set()
    for number, cell in enumerate(handed_in, start=1):
        if cell.kind != "code" or cell.name in tests or cell.name in used:
            continue
        if cell.name in ours:
            used.add(cell.name)
        found.append((number, ours.get(cell.name, cell).source))
    return found
