"""What nbgrader is told: its gradebook, its feedback pages and its formgrader work on these as on its own.

Nothing of a submission but the text of its answers gets there: the notebook that nbgrader sees is the one
that was handed out, with that text in the cells that were to be filled, and what the grader found below
each test.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_output

from coursework import submission
from coursework.course import UNSEEN, Course, CourseError
from coursework.grading import Result
from coursework.questions import Assignment

LONGEST = 20_000  # letters of an answer that are shown; nbconvert takes long for some texts that are longer
PLAIN = " .,;:?()"  # what stands in a page as it is, beside letters and digits


def api(course: Course) -> Any:
    """nbgrader's own interface to the folder of a course."""
    from nbgrader.apps import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    _find_alembic()
    config = Config()
    config.CourseDirectory.root = str(course.folder.resolve())
    config.CourseDirectory.submitted_directory = UNSEEN
    found = NbGraderAPI(CourseDirectory(config=config), config=config)
    found.log.setLevel(logging.ERROR)
    return found


def register(course: Course, of: Assignment) -> None:
    """Enter the assignment and the roster into the gradebook, by nbgrader's `generate_assignment`.

    Raises:
        CourseError: with what nbgrader said, if it refuses.
    """
    said = api(course).generate_assignment(of.name, force=True)
    if not said["success"]:
        raise CourseError(
            f"nbgrader did not take {of.name}: {str(said.get('error') or said.get('log'))[-400:]}"
        )
    with opened(course) as book:
        for student in course.students:
            book.update_or_create_student(student)


def record(course: Course, of: Assignment, results: list[Result]) -> None:
    """Enter points into the gradebook and write what the formgrader and the feedback show.

    What a person has entered there stays.
    """
    with opened(course) as book:
        for result in results:
            path = course.place("submitted", result.student, of.name)
            if not (path.exists() or path.is_symlink()):
                continue
            notebook = _notebook(course, of, result, path)
            target = course.place("autograded", result.student, of.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, target)
            with book.db.no_autoflush:
                book.update_or_create_submission(of.name, result.student)
            points = {mark.question: mark.points for mark in result.marks}
            unanswered = _unanswered(course, of, result, path)
            for name, worth in {**points, **dict.fromkeys(dict(result.to_read))}.items():
                grade = book.find_grade(name, of.name, of.name, result.student)
                grade.auto_score = 0.0 if name in unanswered else worth
                grade.needs_manual_grade = grade.auto_score is None and grade.manual_score is None
            for name in unanswered:
                book.find_comment(name, of.name, of.name, result.student).auto_comment = "No response."
            book.db.commit()


def feedback(course: Course, of: Assignment) -> list[Path]:
    """Write a page for each student who handed something in, by nbgrader's `generate_feedback`.

    Raises:
        CourseError: with what nbgrader said, if it fails.
    """
    said = api(course).generate_feedback(of.name, force=True)
    if not said["success"]:
        raise CourseError(f"nbgrader wrote no feedback: {str(said.get('error') or said.get('log'))[-400:]}")
    return sorted((course.folder / "feedback").glob(f"*/{of.name}/{of.name}.html"))


def read_by_hand(course: Course, of: Assignment) -> dict[str, dict[str, float | None]]:
    """For each student the points that a person gave, by question; None where nobody has read it yet."""
    found: dict[str, dict[str, float | None]] = {}
    with opened(course) as book:
        for handed in book.assignment_submissions(of.name):
            grades = [grade for notebook in handed.notebooks for grade in notebook.grades]
            found[handed.student.id] = {
                grade.name: None if grade.needs_manual_grade else grade.score
                for grade in grades
                if grade.cell.cell_type == "markdown" or grade.manual_score is not None
            }
    return found


def _find_alembic() -> None:
    """nbgrader calls `alembic` by name, which is found only where the environment is activated."""
    own = str(Path(sys.executable).parent)
    if own not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = own + os.pathsep + os.environ["PATH"]


def opened(course: Course) -> Any:
    from nbgrader.api import Gradebook

    _find_alembic()
    return Gradebook(f"sqlite:///{(course.folder / 'gradebook.db').resolve()}")


def _answers(path: Path) -> dict[str, str]:
    """The text of a submission's cells by name; of nothing if it cannot be read."""
    try:
        found = submission.cells(submission.read(path))
    except submission.Unreadable:
        return {}
    return {cell.name: cell.source for cell in reversed(found) if cell.name}


def _notebook(course: Course, of: Assignment, result: Result, path: Path) -> NotebookNode:
    notebook = nbformat.read(course.place("handed_out", result.student, of.name), as_version=4)
    answers, marks = _answers(path), {mark.question: mark for mark in result.marks}
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if cell.metadata.get("nbgrader", {}).get("solution"):
            answer = answers.get(name, "")
            cell.source = answer if answer == cell.source else shown(answer, cell.cell_type)
        elif name in marks:
            said = marks[name].why or "All hidden inputs were answered rightly."
            text = f"{marks[name].points:g} of {marks[name].most:g} points. {said}\n"
            cell.outputs = [new_output("stream", name="stdout", text=text)]
    if result.printed:
        said = new_output("stream", name="stdout", text=result.printed)
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        first.outputs = [said]
    return notebook


def shown(answer: str, kind: str) -> str:
    """An answer as nbgrader may show it.

    What is written for a person is shown as it was typed. As Markdown it could hold tags and links that run
    programs in the teacher's browser, pictures that call home, and what nbconvert stops at.
    """
    if len(answer) > LONGEST:
        answer = f"{answer[:LONGEST]}\n… ({len(answer) - LONGEST:,} more letters are in what was handed in)"
    if kind != "markdown" or not answer.strip():
        return answer
    return f'<pre style="white-space: pre-wrap">{"".join(map(_as_text, answer))}</pre>'


def _as_text(letter: str) -> str:
    """A letter as neither HTML nor Markdown nor LaTeX reads it."""
    if letter.isalnum() or letter in PLAIN:
        return letter
    if not letter.isprintable() and letter not in "\n\t":
        return "\N{REPLACEMENT CHARACTER}"
    return f"&#{ord(letter)};"


def _unanswered(course: Course, of: Assignment, result: Result, path: Path) -> set[str]:
    """The answers to read that are as they were handed out, or empty."""
    before = _answers(course.place("handed_out", result.student, of.name))
    now = _answers(path)
    return {name for name, _ in result.to_read if now.get(name, "").strip() in ("", before[name].strip())}
