"""Grade what a class handed in: in parallel, resumed where it was stopped, whatever is in a submission."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from coursework import sandbox, submission
from coursework.course import ASSIGNMENTS, Course, CourseError
from coursework.grading import Mark, Result, grade
from coursework.questions import Assignment

MISSING = "Nothing was handed in."
GRADER = (
    "batch",
    "filters",
    "grading",
    "inside",
    "questions",
    "sandbox",
    "submission",
    "wire",
)  # what gives points


def grade_class(course: Course, of: Assignment, jobs: int = 2, quiet: bool = False) -> list[Result]:
    """Grade all submissions to an assignment that are not graded yet.

    A result is kept in `results/NAME/STUDENT.json` with a fingerprint of the submission, of what was handed
    out, of the questions and of the grader itself; it is computed anew when one of them has changed.

    Args:
        course: where the roster and the submissions are: `submitted/STUDENT/NAME/NAME.ipynb`.
        of: the assignment.
        jobs: submissions at a time.
        quiet: without a progress bar.

    Returns:
        A result for each student of the roster, in its order. A submission that was replaced meanwhile has
        that of what was read, and is graded anew by the next call.

    Raises:
        NoSandbox: if this machine cannot lock a program in.
        CourseError: if the assignment was not handed out.
    """
    sandbox.check()
    released = {student: _released(course, of, student) for student in course.students}
    found = {student: _kept(course, of, student) for student in course.students}
    todo = [student for student, result in found.items() if result is None]
    with tqdm(total=len(course.students), initial=len(course.students) - len(todo), disable=quiet) as bar:
        tasks = (delayed(_grade)(course, of, student, released[student]) for student in todo)
        for result in Parallel(jobs, prefer="threads", return_as="generator_unordered")(tasks):
            found[result.student] = result
            bar.update()
    return [result for result in found.values() if result]


def handed_in(course: Course, of: Assignment, student: str) -> bool:
    """Whether there is something under the name of a submission, whatever it is."""
    return (
        course.place("submitted", student, of.name).is_symlink()
        or course.place("submitted", student, of.name).exists()
    )


def _grade(course: Course, of: Assignment, student: str, released: list[submission.Cell]) -> Result:
    seen = fingerprint(course, of, student)
    if handed_in(course, of, student):
        constants = course.constants(of, student)
        result = grade(
            of, constants, released, course.place("submitted", student, of.name), course.secret, student
        )
    else:
        marks = tuple(Mark(cell.name, 0.0, cell.points, MISSING) for cell in released if cell.test)
        result = Result(student, marks, tuple((cell.name, cell.points) for cell in _to_read(released)))
    path = _place(course, of, student)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    half.write_text(
        json.dumps({"of": seen, "result": json.loads(result.as_json())}, indent=1), encoding="utf-8"
    )
    half.replace(path)
    return result


def _to_read(released: Iterable[submission.Cell]) -> list[submission.Cell]:
    return [cell for cell in released if cell.answer and cell.points]


def _released(course: Course, of: Assignment, student: str) -> list[submission.Cell]:
    try:
        return submission.cells(submission.read(course.place("handed_out", student, of.name)))
    except submission.Unreadable as error:
        raise CourseError(
            f"{of.name} was not handed out to {student} ({error}) Run `hand-out` first."
        ) from None


def _place(course: Course, of: Assignment, student: str) -> Path:
    return course.folder / "results" / of.name / f"{student}.json"


def _kept(course: Course, of: Assignment, student: str) -> Result | None:
    """The result of a student, if it is one of what lies there now."""
    path = _place(course, of, student)
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    if kept["of"] != fingerprint(course, of, student):
        return None
    said = kept["result"]
    marks = tuple(Mark(**mark) for mark in said["marks"])
    return Result(**{**said, "marks": marks, "to_read": tuple(map(tuple, said["to_read"]))})


@cache
def _grader() -> tuple[bytes, ...]:
    """The grader's own code, and the version of numpy, by which hidden inputs are drawn."""
    code = (Path(__file__).with_name(f"{name}.py").read_bytes() for name in GRADER)
    return (*code, np.__version__.encode())


def fingerprint(course: Course, of: Assignment, student: str) -> str:
    """Of all that a result follows from."""
    parts = [course.secret.encode(), (ASSIGNMENTS / of.name / "questions.py").read_bytes(), *_grader()]
    for step in ("handed_out", "submitted"):
        path = course.place(step, student, of.name)
        try:
            submission.read(path)
            parts.append(path.read_bytes())
        except submission.Unreadable as error:
            parts.append(str(error).encode())
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
