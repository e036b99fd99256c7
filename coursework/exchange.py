"""What students hand in by nbgrader's exchange, brought into a course: `python -m coursework collect`.

nbgrader's own `collect` copies whatever a link in a submission leads to, and leaves it to a warning when the
folder belongs to somebody else. Here only plain files are read, and only those of whom they claim to be from.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell, new_notebook

from coursework import submission
from coursework.course import Course, CourseError
from coursework.questions import Assignment

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ UTC")  # how nbgrader writes it; later is larger
FOLDERS = {"inbound": 0o733, "outbound": 0o755, "feedback": 0o711}
NOTE = "Everybody has other numbers in this assignment: work in the notebook that you were given."


def open_for(course: Course, of: Assignment, exchange: Path) -> Path:
    """Make the folders of a course in the exchange, so that `nbgrader submit` takes an assignment.

    Args:
        course: its folder's name is the name of the course there.
        of: the assignment.
        exchange: the exchange's folder, which students can reach; nbgrader calls it `Exchange.root`.

    Returns:
        The folder in which submissions arrive. Students can put something there and cannot list it.

    Raises:
        CourseError: if the folders cannot be made.
    """
    place = exchange / course.folder.resolve().name
    try:
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o755)
        for name, mode in FOLDERS.items():
            (place / name).mkdir(exist_ok=True)
            (place / name).chmod(mode)
        (place / "outbound" / of.name).mkdir(exist_ok=True)
        note = new_notebook(cells=[new_markdown_cell(NOTE, id="note")])
        nbformat.write(note, place / "outbound" / of.name / f"{of.name}.ipynb")
    except OSError as error:
        raise CourseError(f"The exchange {exchange} cannot be written ({error}).") from None
    return place / "inbound"


def collect(course: Course, of: Assignment, exchange: Path) -> tuple[list[str], list[str]]:
    """Copy the latest submission of each student of the roster to `submitted/STUDENT/NAME/NAME.ipynb`.

    Args:
        course: where to.
        of: the assignment.
        exchange: the exchange's folder; what is missing in it is made.

    Returns:
        The students whose submission is new or another one than before, and a sentence on each that was left.

    Raises:
        CourseError: if the exchange cannot be used.
    """
    latest: dict[str, tuple[str, Path]] = {}
    left = []
    for folder in sorted(open_for(course, of, exchange).iterdir()):
        student, name, time = ([*folder.name.split("+"), "", "", ""])[:3]
        if name != of.name:
            continue
        if student not in course.students or not TIME.fullmatch(time):
            left.append(f"{folder.name} was left: it is not from anybody in the roster.")
        elif not _is_of(folder, student):
            left.append(f"{folder.name} was left: the folder does not belong to {student}.")
        elif time >= latest.get(student, ("", folder))[0]:
            latest[student] = (time, folder)
    copied = []
    for student, (_, folder) in latest.items():
        path = course.place("submitted", student, of.name)
        try:
            found = submission.content(folder / f"{of.name}.ipynb")
        except submission.Unreadable as error:
            left.append(f"{folder.name} was left: {error}")
            continue
        if not path.is_file() or path.read_bytes() != found:
            path.parent.mkdir(parents=True, exist_ok=True)
            half = path.with_suffix(".half")
            half.write_bytes(found)
            half.replace(path)
            copied.append(student)
    return copied, left


def _is_of(folder: Path, student: str) -> bool:
    """Whether a folder belongs to the user of that name, if there is one here; a link belongs to nobody."""
    import pwd

    try:
        user = pwd.getpwnam(student).pw_uid
    except KeyError:  # a hub that runs everybody as one user
        return not folder.is_symlink()
    return not folder.is_symlink() and os.lstat(folder).st_uid == user
