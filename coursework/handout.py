"""From one tagged source: a notebook for each student, and one with the solutions for the teacher.

The source is a notebook in nbgrader's format. In its text, `{{ name }}` stands for a constant that is drawn
for the student, `{{ example.QUESTION }}` for an input of that question with its right answer. Cells with
the same `part` in their metadata (`{"coursework": {"part": "b"}}`) stand together; the parts come in an
order of the student's own, and `{{ part }}` counts them.
"""

from __future__ import annotations

import itertools
import re
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbformat import NotebookNode

from coursework.course import ASSIGNMENTS, Course, CourseError
from coursework.questions import Assignment, Constants, generator

PLACE = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")


def source(of: Assignment) -> NotebookNode:
    """The tagged source of an assignment."""
    return nbformat.read(ASSIGNMENTS / of.name / "source.ipynb", as_version=4)


def instance(of: Assignment, constants: Constants, secret: str, student: str) -> NotebookNode:
    """The source with everything filled in for one student, solutions included.

    Raises:
        CourseError: if the source names something that is not drawn.
    """
    notebook = deepcopy(source(of))
    examples = _examples(of, constants, secret, student)
    parts = {"": 0}
    ordered = in_order(notebook.cells, generator(secret, of.name, student, "order"))
    for cell in ordered:
        part = cell.metadata.get("coursework", {}).get("part", "")
        number = parts.setdefault(part, len(parts))
        fill = partial(_written, values={**constants, "part": number}, examples=examples)
        cell.source = PLACE.sub(fill, cell.source)
    notebook.cells = ordered
    return notebook


def filled(text: str, of: Assignment, constants: Constants, secret: str, student: str) -> str:
    """A text with what its `{{ … }}` stand for."""
    fill = partial(_written, values=constants, examples=_examples(of, constants, secret, student))
    return PLACE.sub(fill, text)


def _examples(of: Assignment, constants: Constants, secret: str, student: str) -> dict[str, tuple[Any, Any]]:
    return {
        question.name: example(of, question.name, constants, secret, student) for question in of.questions
    }


def in_order(cells: list[NotebookNode], rng: np.random.Generator) -> list[NotebookNode]:
    """The cells with their parts in an order drawn at random; those without a part stay where they are."""
    groups = [
        (part, list(found))
        for part, found in itertools.groupby(
            cells, lambda cell: cell.metadata.get("coursework", {}).get("part", "")
        )
    ]
    movable = [group for group in groups if group[0]]
    drawn = iter([movable[place] for place in rng.permutation(len(movable))])
    return [cell for part, found in groups for cell in (next(drawn)[1] if part else found)]


def example(
    of: Assignment, name: str, constants: Constants, secret: str, student: str
) -> tuple[dict[str, Any], Any]:
    """An input that the student sees, rounded so that it can be read, and its right answer."""
    (question,) = (question for question in of.questions if question.name == name)
    drawn = question.inputs(generator(secret, of.name, student, name, "example"), constants)
    inputs = {
        key: np.round(value, 2) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
        for key, value in drawn.items()
    }
    return inputs, question.truth(inputs, constants)


def _written(place: re.Match[str], values: Constants, examples: dict[str, tuple[Any, Any]]) -> str:
    name = place[1]
    kind, _, question = name.partition(".")
    if kind in ("example", "answer") and question in examples:
        return literal(examples[question][kind == "answer"])
    if name not in values:
        raise CourseError(f"The source of an assignment names {{{{ {name} }}}}, which is not drawn.")
    return str(values[name])


def literal(value: Any) -> str:
    """A value as Python that makes it, where `np` is numpy."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {literal(part)}" for key, part in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(literal(part) for part in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, np.ndarray):
        exact = np.round(value, 6) if value.dtype.kind == "f" else value
        return f"np.array({exact.tolist()})"
    return repr(round(value, 6) if isinstance(value, float) else value)


def released(notebook: NotebookNode) -> NotebookNode:
    """What a student gets of a notebook: without solutions, its tests locked, as nbgrader makes it."""
    from nbgrader.preprocessors import (
        CheckCellMetadata,
        ClearOutput,
        ClearSolutions,
        ComputeChecksums,
        LockCells,
    )

    notebook, resources = deepcopy(notebook), {}
    for step in (LockCells, ClearSolutions, ClearOutput, CheckCellMetadata, ComputeChecksums):
        notebook, resources = step().preprocess(notebook, resources)
    return notebook


def hand_out(course: Course, of: Assignment) -> list[Path]:
    """Write the notebooks of all students, and the teacher's.

    Returns:
        The students' notebooks, in the order of the roster, as `handed_out/STUDENT/NAME/NAME.ipynb`. The
        teacher's, with solutions, is `source/NAME/NAME.ipynb`.
    """
    for student in course.students:
        _write(course.place("handed_out", student, of.name), released(_for(course, of, student)))
    _write(course.folder / "source" / of.name / f"{of.name}.ipynb", _for(course, of, "teacher"))
    return [course.place("handed_out", student, of.name) for student in course.students]


def _for(course: Course, of: Assignment, student: str) -> NotebookNode:
    return instance(of, course.constants(of, student), course.secret, student)


def _write(path: Path, notebook: NotebookNode) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
