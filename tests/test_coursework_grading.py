"""The grader is graded: planted right and wrong answers to every question, and submissions that mean harm."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
from functools import cache
from pathlib import Path

import hostile_submissions
import nbformat
import numpy as np
import psutil
import pytest
from nbformat import NotebookNode

from coursework import course, grading, handout, sandbox, submission, wire
from coursework.planted import Planted, planted
from coursework.questions import Assignment, Constants, Question, close, generator

SECRET, STUDENT = "a secret of the tests", "ann"
ASSIGNMENTS = [course.assignment(name) for name in course.names()]
FITTING = course.assignment("fitting")
ANSWERS = [(of, answer) for of in ASSIGNMENTS for answer in planted(of)]


def constants(of: Assignment, student: str = STUDENT) -> Constants:
    return of.constants(generator(SECRET, of.name, student, "constants"))


@cache
def solved(of: Assignment, student: str = STUDENT) -> NotebookNode:
    return handout.instance(of, constants(of, student), SECRET, student)


@cache
def handed_out(of: Assignment, student: str = STUDENT) -> list[submission.Cell]:
    return submission.cells(json.loads(nbformat.writes(handout.released(solved(of, student)))))


def grade(of: Assignment, path: Path, student: str = STUDENT) -> grading.Result:
    return grading.grade(of, constants(of, student), handed_out(of, student), path, SECRET, student)


def written(notebook: NotebookNode, path: Path) -> Path:
    nbformat.write(notebook, path)
    return path


def copy_of(notebook: NotebookNode) -> NotebookNode:
    return nbformat.reads(nbformat.writes(notebook), as_version=4)


def with_answer(of: Assignment, question: str, text: str) -> NotebookNode:
    """What was handed out, with one answer filled in."""
    notebook = handout.released(solved(of))
    (cell,) = (
        cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == f"answer-{question}"
    )
    cell.source = handout.filled(text, of, constants(of), SECRET, STUDENT)
    return notebook


# --- planted answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ASSIGNMENTS, ids=lambda of: of.name)
def test_every_question_has_planted_answers(of):
    for question in of.questions:
        kinds = [answer.right for answer in planted(of) if answer.question == question.name]
        assert kinds.count(True) >= 3 and kinds.count(False) >= 10, question.name


@pytest.mark.parametrize(
    "of, answer", ANSWERS, ids=lambda found: getattr(found, "kind", getattr(found, "name", ""))
)
def test_planted_answer_gets_what_it_deserves(of: Assignment, answer: Planted):
    (question,) = (question for question in of.questions if question.name == answer.question)
    code = submission.to_run(handed_out(of), [])
    code += [(2, handout.filled(answer.source, of, constants(of), SECRET, STUDENT))]
    why = grading.wrong(question, constants(of), code, SECRET, STUDENT, of)
    assert (not why) == answer.right, why


@pytest.mark.parametrize("of", ASSIGNMENTS, ids=lambda of: of.name)
@pytest.mark.parametrize("student", ["ann", "bob"])
def test_the_solutions_in_the_source_get_all_points(of, student, tmp_path):
    result = grade(of, written(solved(of, student), tmp_path / "x.ipynb"), student)
    assert [mark.why for mark in result.marks] == [""] * len(of.questions)
    assert result.points == sum(mark.most for mark in result.marks) > 0


@pytest.mark.parametrize("of", ASSIGNMENTS, ids=lambda of: of.name)
def test_what_was_handed_out_runs_its_visible_tests_and_gets_nothing(of, tmp_path):
    result = grade(of, written(handout.released(solved(of)), tmp_path / "x.ipynb"))
    assert result.points == 0 and all(mark.why for mark in result.marks)
    names: dict[str, object] = {}
    for cell in solved(of).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, "cell", "exec"), names)  # solutions and visible tests agree


@pytest.mark.parametrize("of", ASSIGNMENTS, ids=lambda of: of.name)
def test_another_students_answers_are_worth_nothing(of, tmp_path):
    result = grade(of, written(solved(of, "bob"), tmp_path / "x.ipynb"))
    assert sum(mark.points > 0 for mark in result.marks) <= len(of.questions) // 4


def test_random_answers_fail_at_most_once_in_a_thousand():
    """The interval of `bootstrap_interval`: 3,000 times 24 of 4,800 right answers, by a stacked bootstrap."""
    (question,) = (question for question in FITTING.questions if question.together)
    drawn, rng, failed = constants(FITTING), np.random.default_rng(0), 0
    outside, again = (1 - drawn["level"]) / 2, 20
    cases = [question.inputs(generator(SECRET, str(number)), drawn) for number in range(240)]
    truth = [question.truth(case, drawn) for case in cases]
    answers = []
    for case in cases:
        means = rng.choice(case["sample"], size=(again, 1_000, len(case["sample"]))).mean(axis=2)
        answers.append(np.quantile(means, [outside, 1 - outside], axis=1).T.tolist())
    for _ in range(3_000):
        chosen = rng.choice(len(cases), size=question.cases, replace=False)
        found = [answers[place][rng.integers(again)] for place in chosen]
        failed += bool(question.together(found, [truth[place] for place in chosen]))
    assert failed == 0  # were it once in a thousand, this would be seen in 95 of 100 such tests


# --- submissions that mean harm ----------------------------------------------------------------------------


def hasty(of: Assignment) -> Assignment:
    return dataclasses.replace(
        of, questions=tuple(dataclasses.replace(q, seconds=3.0) for q in of.questions[:1])
    )


@pytest.mark.parametrize("kind", hostile_submissions.CODE)
def test_hostile_submission_gains_nothing_and_harms_nothing(kind, tmp_path):
    of = hasty(FITTING)
    notebook = with_answer(FITTING, "penalised_line", hostile_submissions.CODE[kind])
    started = time.monotonic()
    result = grading.grade(
        of, constants(FITTING), handed_out(FITTING), written(notebook, tmp_path / "x.ipynb"), SECRET, STUDENT
    )
    assert result.points == 0 and result.marks[0].why.endswith(".")
    assert time.monotonic() - started < 30
    assert not re.search("Seen_|7654", result.as_json())
    assert str(course.ASSIGNMENTS) not in result.as_json()
    assert not Path("/tmp/harmed").exists()
    left = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in left if "/in/inside.py" in command and str(os.getpid()) in command]


def test_there_are_enough_hostile_submissions():
    assert len(hostile_submissions.CODE) + len(UNREADABLE) >= 40


def test_after_harm_a_right_answer_is_still_right(tmp_path):
    for kind in ("patches the program that it runs in", "ends at once", "fills the disk"):
        notebook = with_answer(FITTING, "penalised_line", hostile_submissions.CODE[kind])
        written(notebook, tmp_path / "bad.ipynb")
        grading.grade(
            hasty(FITTING), constants(FITTING), handed_out(FITTING), tmp_path / "bad.ipynb", SECRET, STUDENT
        )
    result = grade(FITTING, written(solved(FITTING), tmp_path / "x.ipynb"))
    assert result.points == 10


def test_a_lost_question_costs_no_other(tmp_path):
    notebook = copy_of(solved(FITTING))
    for cell in notebook.cells:
        if "def scaled" in cell.source:
            cell.source = "import os\ndef scaled(train, other):\n    os._exit(0)\n"
    result = grade(FITTING, written(notebook, tmp_path / "x.ipynb"))
    assert [mark.points for mark in result.marks] == [
        0 if mark.question == "scaled" else mark.most for mark in result.marks
    ]
    assert result.points == 8


def test_locked_cells_are_ours_whatever_came_back(tmp_path):
    notebook = copy_of(solved(FITTING))
    for cell in notebook.cells:
        said = cell.metadata.get("nbgrader", {})
        if said.get("grade_id") == "setup":
            cell.source = "np = None"
        if said.get("grade") and cell.cell_type == "code":
            cell.source, said["points"] = "raise SystemExit", 1_000
    result = grade(FITTING, written(notebook, tmp_path / "x.ipynb"))
    assert result.points == 10
    notebook.cells = [
        cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") != "setup"
    ]
    assert grade(FITTING, written(notebook, tmp_path / "x.ipynb")).points == 10


def test_cells_of_a_students_own_run_and_commands_do_not(tmp_path):
    notebook = copy_of(solved(FITTING))
    own = nbformat.v4.new_code_cell(
        "%matplotlib inline\nif True:\n    !ls\ndef helper(x):\n    return x - x.mean()"
    )
    formatted = nbformat.v4.new_code_cell("left = (\n    7\n    % 4\n)\nassert left == 3, left")
    notebook.cells.insert(1, formatted)
    notebook.cells.insert(1, own)
    for cell in notebook.cells:
        cell.source = cell.source.replace("centred = x - x.mean()", "centred = helper(x)")
    assert any("helper(x)\n" in cell.source for cell in notebook.cells[3:])
    result = grade(FITTING, written(notebook, tmp_path / "x.ipynb"))
    assert result.points == 10 and result.printed == ""


def test_a_sentence_says_where_an_error_is(tmp_path):
    text = "def penalised_line(x, y):\n    z = 1\n    return z / 0\n"
    notebook = with_answer(FITTING, "penalised_line", text)
    number = 1 + next(
        place for place, cell in enumerate(notebook.cells) if cell.source.startswith("def penalised_line")
    )
    result = grade(FITTING, written(notebook, tmp_path / "x.ipynb"))
    why = {mark.question: mark.why for mark in result.marks}["penalised_line"]
    assert why == f"It stopped with ZeroDivisionError in line 3 of cell {number}."
    notebook = with_answer(FITTING, "penalised_line", "penalized_line = None")
    result = grade(FITTING, written(notebook, tmp_path / "y.ipynb"))
    assert result.marks[0].why == "There is no function `penalised_line` when all cells have run."


@pytest.mark.parametrize("what", ["{1}", "1j", "np.array([None])", "(part for part in x)"])
def test_what_is_no_answer_gets_a_sentence(what, tmp_path):
    notebook = with_answer(FITTING, "penalised_line", f"def penalised_line(x, y):\n    return {what}\n")
    result = grading.grade(
        hasty(FITTING),
        constants(FITTING),
        handed_out(FITTING),
        written(notebook, tmp_path / "x.ipynb"),
        SECRET,
        STUDENT,
    )
    assert result.marks[0].why == (
        "What it returns cannot be read; it should return numbers, text, arrays or lists."
    )


# --- what cannot be read -----------------------------------------------------------------------------------


def deep() -> bytes:
    return b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


UNREADABLE = {
    "nothing": b"",
    "no JSON": b"PK\x03\x04 a zip",
    "no text": b"\xff\xfe\x00",
    "no notebook": b'{"cells": 3}',
    "a list": b"[]",
    "cells without text": b'{"cells": [{"cell_type": "code"}]}',
    "a cell that is none": b'{"cells": [3]}',
    "metadata that is none": b'{"cells": [{"cell_type": "code", "source": "", "metadata": 3}]}',
    "too many cells": json.dumps({"cells": [{"cell_type": "code", "source": ""}] * 2_000}).encode(),
    "nested deeply": deep(),
    "too large": b" " * (submission.LARGEST + 1),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_notebook_gets_a_sentence_and_no_points(kind, tmp_path):
    (tmp_path / "fitting.ipynb").write_bytes(UNREADABLE[kind])
    result = grade(FITTING, tmp_path / "fitting.ipynb")
    assert result.points == 0
    assert {mark.why for mark in result.marks} == {result.marks[0].why}
    assert result.marks[0].why.startswith("fitting.ipynb ") and str(tmp_path) not in result.marks[0].why


@pytest.mark.parametrize("kind", ["link", "linked folder", "pipe", "folder", "none"])
def test_what_is_no_file_gets_a_sentence_and_no_points(kind, tmp_path):
    path = tmp_path / "fitting.ipynb"
    if kind == "linked folder":
        (tmp_path / "bob").mkdir()
        written(solved(FITTING), tmp_path / "bob" / "fitting.ipynb")
        (tmp_path / "ann").symlink_to(tmp_path / "bob")
        path = tmp_path / "ann" / "fitting.ipynb"
    elif kind == "link":
        path.symlink_to(written(solved(FITTING), tmp_path / "somebody_else.ipynb"))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    result = grade(FITTING, path)
    wanted = "There is no file fitting.ipynb." if kind == "none" else "fitting.ipynb is not a plain file."
    assert result.points == 0 and result.marks[0].why == wanted


def test_odd_metadata_is_read_as_none():
    cells = [
        {"cell_type": "code", "source": ["a", "b"], "metadata": {"nbgrader": said}}
        for said in (3, {"grade_id": 4}, *({"points": n, "grade": True} for n in ("x", 10**400, -1, 1e400)))
    ]
    assert [(cell.source, cell.name, cell.points) for cell in submission.cells({"cells": cells})] == [
        ("ab", "", 0.0)
    ] * 6


def test_half_a_character_is_read_as_one_that_can_be_written():
    (cell,) = submission.cells({"cells": [{"cell_type": "markdown", "source": "a\ud800b"}]})
    assert cell.source == "a?b"


def test_a_cell_of_empty_lines_costs_no_time():
    started = time.monotonic()
    cells = [submission.Cell("code", "\n" * 3_000_000)]
    assert submission.to_run([], cells) == [(1, "\n" * 3_000_000)] and time.monotonic() - started < 1


# --- comparing ---------------------------------------------------------------------------------------------


def test_close_says_what_is_wrong():
    assert (
        close(1.0, 1.0) == ""
        and close([1, 2.0], (1.0, 2.0)) == ""
        and close(np.array([1.0, 2.0]), (1.0, 2.0)) == ""
    )
    assert close([[1.0, 2.0]], np.array([[1.0, 2.0]])) == ""
    assert close(1.1, 1.0) == "Its numbers are wrong."
    assert close([1.0], (1.0, 2.0)) == "It should return 2 values."
    assert close([1.0, 3.0], (1.0, 2.0)) == "Value 2 of 2: Its numbers are wrong."
    assert close(np.ones(3), np.ones((3, 1))) == (
        "It should return an array with 2 axes, not an array with 1 axis."
    )
    assert close([1.0], 1.0) == "It should return a single number, not an array with 1 axis."
    assert close(np.ones((2, 4)), np.ones((2, 3))) == "Its array is too long along axis 1."
    assert close(np.ones((1, 3)), np.ones((2, 3))) == "Its array is too short along axis 0."
    assert close(float("nan"), 1.0) == "Not all of its numbers are finite."
    assert close(float("nan"), float("nan")) == ""
    for odd in (None, "1.0", ["1.0"], {"a": 1}):
        assert close(odd, 1.0) == "It should return numbers."
    assert close([[1, 2], [3]], 1.0) == "It should return numbers, in a regular shape."


ODD = [
    *(None, True, "x", "1", {}, {"a": 1.0}, [], [[]], [None, None], ["1", "2"], [True, [False]]),
    *(float("nan"), float("inf"), -0.0, 1.7e308, 2**62, -(2**63), [float("nan")] * 2, [1.7e308] * 2),
    *(np.zeros(0), np.zeros((0, 3)), np.zeros((2, 2, 2)), np.full(2, np.inf), np.zeros(2, dtype=bool)),
    *([np.zeros(2), np.zeros((2, 1))], [np.zeros(2), "x"], [[1, [2]], 3], ["x" * 100_000] + [0] * 10_000),
]


@pytest.mark.parametrize("of", ASSIGNMENTS, ids=lambda of: of.name)
def test_odd_answers_get_a_sentence(of):
    for question in of.questions:
        cases = [question.inputs(generator(SECRET, str(n)), constants(of)) for n in range(question.cases)]
        truth = [question.truth(case, constants(of)) for case in cases]
        for odd in ODD:
            said = wire.loads(wire.dumps(odd))
            started = time.monotonic()
            if question.together:
                why = question.together([said] * len(truth), truth)
            else:
                why = next(filter(None, (question.compare(said, right) for right in truth)), "")
            assert why.endswith(".") and time.monotonic() - started < 2, (question.name, odd)


def test_ends_whose_mean_is_no_number_are_wrong():
    (question,) = (question for question in FITTING.questions if question.together)
    ends = [[1.7e308 * sign] * 2 for sign in (-1, 1) * 12]
    assert question.together(ends, [(0.0, 0.3, 1.2)] * 24) == "Its ends should be two numbers, and finite."


def drawn_cases(name: str, question: str, students: int = 40):
    of = course.assignment(name)
    (asked,) = (found for found in of.questions if found.name == question)
    for student in map(str, range(students)):
        drawn = constants(of, student)
        rngs = [generator(SECRET, student, str(number)) for number in range(asked.cases)]
        yield drawn, [asked.inputs(rng, drawn) for rng in rngs]


def test_a_share_of_rows_is_not_decided_by_rounding():
    for drawn, cases in drawn_cases("fitting", "test_mask"):
        rows = [len(case["groups"]) * drawn["share"] for case in cases]
        assert min(abs(count - round(count)) for count in rows) > 1e-3


def test_every_students_bound_on_weights_is_met():
    for drawn, cases in drawn_cases("adaptation", "target_score"):
        own = [np.bincount(case["labels"]) / len(case["labels"]) for case in cases]
        largest = [(case["shares"] / share).max() for case, share in zip(cases, own, strict=True)]
        assert max(largest) > drawn["most"]


def test_there_is_always_a_nearest_vector():
    for _, cases in drawn_cases("text", "nearest", 200):
        assert all(case["vectors"].any() for case in cases)


def test_text_among_numbers_costs_no_memory():
    assert close(["x" * 2_000_000] + [0] * 1_000_000, np.zeros(3)) == "It should return numbers."


def test_what_is_drawn_follows_from_the_secret_and_the_name():
    first, again = (constants(FITTING, "ann") for _ in range(2))
    assert first == again != constants(FITTING, "bob")
    assert FITTING.constants(generator("another secret", "fitting", "ann", "constants")) != first
    drawn = {json.dumps(constants(FITTING, f"student {number}")) for number in range(200)}
    assert len(drawn) >= 199


def test_an_answer_that_depends_on_what_was_asked_before_is_wrong():
    question = Question(
        "f", lambda rng, drawn: {"x": float(rng.normal())}, lambda inputs, drawn: inputs["x"], cases=3
    )
    of = Assignment("fitting", lambda rng: {}, (question,))
    code = [(1, "count = []\ndef f(x):\n    count.append(x)\n    return x + (len(count) > 3)")]
    assert grading.wrong(question, {}, code, SECRET, STUDENT, of) == (
        "Asked the same again after other questions, it gives another answer."
    )
    assert grading.wrong(question, {}, [(1, "def f(x): return x")], SECRET, STUDENT, of) == ""


def test_without_a_sandbox_nothing_is_graded(monkeypatch, tmp_path):
    def no() -> None:
        raise sandbox.NoSandbox("No sandbox can be had here (why).")

    monkeypatch.setattr(sandbox, "check", no)
    with pytest.raises(sandbox.NoSandbox):
        grade(FITTING, written(solved(FITTING), tmp_path / "x.ipynb"))
