"""A course is a folder in nbgrader's layout, with a roster and a secret; all else follows from these."""

from __future__ import annotations

import csv
import importlib
import os
import re
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from coursework.questions import Assignment, generator

ASSIGNMENTS = Path(__file__).parent / "assignments"
STAGES = ("fitting", "descent", "text", "backpropagation", "attention", "linear_tuning", "adaptation")
STAGES += ("own_study",)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")  # it becomes the name of a folder
UNSEEN = "not_for_nbgrader"  # nbgrader's own autograding would run submissions without a sandbox
CONFIG = """c = get_config()
c.CourseDirectory.root = {root!r}
c.CourseDirectory.submitted_directory = {unseen!r}  # grade by `python -m coursework grade` alone
"""


class CourseError(ValueError):
    """Something about a course that its teacher can mend; the message says how."""


def names() -> list[str]:
    """The assignments that there are, in the order of the book."""
    return [name for name in STAGES if (ASSIGNMENTS / name / "questions.py").is_file()]


def assignment(name: str) -> Assignment:
    """The questions of an assignment.

    Raises:
        CourseError: if there is none of that name.
    """
    if name not in names():
        raise CourseError(f"There is no assignment {name!r}; there are {', '.join(names())}.")
    return importlib.import_module(f"coursework.assignments.{name}.questions").ASSIGNMENT


@dataclass(frozen=True)
class Course:
    """A folder of a course.

    Args:
        folder: where it is; made by `create`.
    """

    folder: Path

    @cached_property
    def secret(self) -> str:
        """What the constants and the hidden inputs of all students follow from."""
        return (self.folder / "secret.txt").read_text(encoding="utf-8").strip()

    @cached_property
    def students(self) -> list[str]:
        """The names in the roster."""
        return roster(self.folder / "roster.csv")

    def constants(self, of: Assignment, student: str) -> dict[str, Any]:
        """What is drawn for a student."""
        return of.constants(generator(self.secret, of.name, student, "constants"))

    def place(self, step: str, student: str, of: str) -> Path:
        """The notebook of a student at a step: handed_out, submitted, autograded or feedback."""
        return self.folder / step / student / of / f"{of}.ipynb"


def roster(path: Path) -> list[str]:
    """The students of a table.

    Args:
        path: a CSV with a column `id`; what stands in the other columns is not read.

    Raises:
        CourseError: if it cannot be read, has no such column, nobody in it, somebody twice, or an id that
            cannot be the name of a folder.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"The roster {path} cannot be read ({error}).") from None
    if not rows or "id" not in rows[0]:
        raise CourseError(f"The roster {path} needs a column `id` and a row for each student.")
    found = [str(row["id"] or "").strip() for row in rows]
    if wrong := [name for name in found if not NAME.fullmatch(name)]:
        raise CourseError(
            f"{path}: {wrong[0]!r} cannot be an id; use letters, digits, `-`, `_`, `.` and `@`."
        )
    if len({name.casefold() for name in found}) < len(found):
        twice = next(
            name for name in found if [other.casefold() for other in found].count(name.casefold()) > 1
        )
        raise CourseError(f"{path}: {twice!r} is there twice.")
    return found


def opened(folder: Path) -> Course:
    """The course in a folder.

    Raises:
        CourseError: if there is none.
    """
    if not (folder / "secret.txt").is_file():
        raise CourseError(f"{folder} is no course: it has no secret.txt; `hand-out` makes one.")
    return Course(folder)


def create(folder: Path, students: Path) -> Course:
    """The course in a folder, made if there is none yet; the roster is read anew, the secret stays.

    Raises:
        CourseError: if the roster is at fault, or the folder cannot be written.
    """
    found = roster(students)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")  # secrets and submissions stay here
        (folder / "roster.csv").write_text("id\n" + "".join(f"{name}\n" for name in found), encoding="utf-8")
        if not (folder / "secret.txt").exists():
            file = os.open(folder / "secret.txt", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as opened:
                opened.write(secrets.token_hex(32) + "\n")
        (folder / "nbgrader_config.py").write_text(
            CONFIG.format(root=str(folder.resolve()), unseen=UNSEEN), encoding="utf-8"
        )
    except OSError as error:
        raise CourseError(f"The folder {folder} cannot be written ({error}).") from None
    return Course(folder)
