"""Points for a submission: its code runs in the sandbox, what it answers is compared here."""

from __future__ import annotations

import builtins
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coursework import sandbox, submission, wire
from coursework.questions import Assignment, Constants, Inputs, Question, generator

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Mark:
    """What a question got.

    Args:
        question: its name.
        points: what it got; all of `most`, or none.
        most: what it is worth.
        why: one sentence for the student on what failed first; empty if nothing did. It holds no hidden input
            and no right answer.
    """

    question: str
    points: float
    most: float
    why: str = ""


@dataclass(frozen=True)
class Result:
    """What a submission got.

    Args:
        student: who handed it in.
        marks: of the questions that are graded by running.
        to_read: names and points of the answers that a person is to read.
        printed: the beginning of what its cells print when no question is asked, errors included.
        seconds: that grading took.
    """

    student: str
    marks: tuple[Mark, ...]
    to_read: tuple[tuple[str, float], ...] = ()
    printed: str = ""
    seconds: float = 0.0

    @property
    def points(self) -> float:
        """Of the questions graded by running."""
        return sum(mark.points for mark in self.marks)

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)


def grade(
    assignment: Assignment,
    constants: Constants,
    released: list[submission.Cell],
    path: Path,
    secret: str,
    student: str,
) -> Result:
    """Grade one submission. Whatever is in it, this returns.

    Args:
        assignment: its questions.
        constants: what was drawn for this student.
        released: the cells that were handed out to this student.
        path: the notebook that came back.
        secret: of the course; hidden inputs follow from it.
        student: the name in the roster.

    Raises:
        NoSandbox: if this machine cannot lock a program in.
    """
    sandbox.check()
    started = time.monotonic()
    worth = {cell.name: cell.points for cell in released if cell.test}
    to_read = tuple((cell.name, cell.points) for cell in released if cell.answer and cell.points)
    try:
        code = submission.to_run(released, submission.cells(submission.read(path)))
    except submission.Unreadable as error:
        marks = tuple(
            Mark(question.name, 0.0, worth[question.name], str(error)) for question in assignment.questions
        )
        return Result(student, marks, to_read, "", time.monotonic() - started)
    marks = []
    for question in assignment.questions:
        why = wrong(question, constants, code, secret, student, assignment)
        marks.append(Mark(question.name, 0.0 if why else worth[question.name], worth[question.name], why))
    printed = _run(code, "", [], sandbox.Limits(assignment.questions[0].seconds, assignment.memory)).printed
    return Result(student, tuple(marks), to_read, printed, time.monotonic() - started)


def wrong(
    question: Question,
    constants: Constants,
    code: list[tuple[int, str]],
    secret: str,
    student: str,
    assignment: Assignment,
) -> str:
    """What is wrong with the answers to a question.

    Each case is asked twice, with others in between: a function whose answer depends on what was asked before
    is wrong. The right answers are computed after the run, in this process.

    Returns:
        A sentence, empty if nothing is wrong. It holds no hidden input and no right answer.
    """
    cases = [
        question.inputs(
            generator(secret, assignment.name, student, question.name, f"hidden {number}"), constants
        )
        for number in range(question.cases)
    ]
    asked = cases if question.together else cases + cases[::-1]
    run = _run(code, question.name, asked, sandbox.Limits(question.seconds, assignment.memory))
    said: list[dict[str, Any]] = []
    for line in run.answer.split(b"\n")[:-1][: len(asked)]:
        try:
            answer = wire.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or set(answer) not in ({"value"}, {"error", "cell", "line"}):
            return "Its answer is not in the form that the grader reads."
        said.append(answer)
    return _judge(question, constants, cases, said, run, code)


def _run(code: list[tuple[int, str]], name: str, calls: list[Inputs], limits: sandbox.Limits) -> sandbox.Run:
    """Run a submission's code in the sandbox, and then a function of it on some inputs."""
    files = {
        "wire.py": (HERE / "wire.py").read_bytes(),
        "inside.py": (HERE / "inside.py").read_bytes(),
        "cells.json": json.dumps(code).encode(),
        "calls.json": json.dumps([name, [wire.dumps(call) for call in calls]]).encode(),
    }
    return sandbox.run(files, "inside.py", limits)


def _judge(
    question: Question,
    constants: Constants,
    cases: list[Inputs],
    said: list[dict[str, Any]],
    run: sandbox.Run,
    code: list[tuple[int, str]],
) -> str:
    """What is wrong with what was said, in the order in which it was asked."""
    if failed := next((answer for answer in said if "error" in answer), None):
        return _failure(question, failed, {number: source.count("\n") + 1 for number, source in code})
    if len(said) < (len(cases) if question.together else 2 * len(cases)):
        return run.stopped or "It ended before it had answered."
    found = [answer["value"] for answer in said]
    truth = [question.truth(case, constants) for case in cases]
    if question.together:
        return question.together(found, truth)
    for mine, right in zip(found, truth, strict=False):
        if why := question.compare(mine, right):
            return why
    for again, right in zip(reversed(found), truth, strict=False):
        if question.compare(again, right):
            return "Asked the same again after other questions, it gives another answer."
    return ""


def _failure(question: Question, said: dict[str, Any], lines: dict[int, int]) -> str:
    """A sentence on an error: its kind and its place, not its text, in which hidden inputs may stand.

    The place is told if the submission has it, so nothing can be written down in a number of a line.
    """
    name, cell, line = said["error"], said["cell"], said["line"]
    if name == "missing":
        return f"There is no function `{question.name}` when all cells have run."
    if name == "unreadable":
        return "What it returns cannot be read; it should return numbers, text, arrays or lists."
    kind = getattr(builtins, name, None) if isinstance(name, str) else None
    known = name if isinstance(kind, type) and issubclass(kind, BaseException) else "an error of its own"
    places = type(cell) is int and type(line) is int and cell > 0 and 0 < line <= lines.get(cell, 0)
    return f"It stopped with {known}" + (f" in line {line} of cell {cell}." if places else ".")
