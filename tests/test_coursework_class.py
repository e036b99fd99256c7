"""A class as a new teacher would grade it, by the commands: five students hand in, each something else."""

from __future__ import annotations

import csv
import html
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import hostile_submissions
import nbformat
import numpy as np
import pytest
from house import imports

from coursework import __main__ as command
from coursework import batch, course, gradebook, handout, report
from coursework.grading import Mark, Result

ROOT = Path(__file__).parents[1]
STUDENTS = ("ann", "bob", "cy", "dot", "eve")
OF = course.assignment("fitting")
NAMES = [question.name for question in OF.questions]


def submit(of: course.Course, student: str, change=lambda notebook: None) -> Path:
    notebook = handout.instance(OF, of.constants(OF, student), of.secret, student)
    notebook.cells[-1].source = "YOUR ANSWER HERE"  # as it was handed out
    change(notebook)
    path = of.place("submitted", student, OF.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def scales_wrongly(notebook) -> None:
    for cell in notebook.cells:
        if cell.source.startswith("def scaled"):
            cell.source = "def scaled(train, other):\n    return train, other\n"
    notebook.cells[-1].source = "It leaks <script>alert(1)</script> when a < b and x<y."


def means_harm(notebook) -> None:
    for cell in notebook.cells:
        if cell.source.startswith("def penalised_line"):
            cell.source = hostile_submissions.CODE["tells the hidden input in the text of an error"]
    notebook.cells.append(nbformat.v4.new_code_cell("print('Seen_', 1)\nraise SystemExit"))


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> tuple[course.Course, list[str]]:
    folder = tmp_path_factory.mktemp("class")
    roster = folder / "class.csv"
    roster.write_text("name,id\n" + "".join(f"The {name},{name}\n" for name in STUDENTS), encoding="utf-8")
    of = course.Course(folder / "autumn")
    lines: list[str] = []
    patch = pytest.MonkeyPatch()
    patch.setattr("builtins.print", lambda *said, **_: lines.append(" ".join(map(str, said))))
    try:
        assert command.main(["hand-out", str(of.folder), OF.name, "--roster", str(roster)]) == 0
        submit(of, "ann")
        submit(of, "bob", scales_wrongly)
        submit(of, "cy", means_harm)
        of.place("submitted", "dot", OF.name).parent.mkdir(parents=True)
        of.place("submitted", "dot", OF.name).write_text("no notebook", encoding="utf-8")
        assert command.main(["grade", str(of.folder), OF.name]) == 0
    finally:
        patch.undo()
    return of, lines


def rows(of: course.Course) -> dict[str, dict[str, str]]:
    with open(of.folder / f"{OF.name}.csv", newline="", encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def feedback_of(of: course.Course, student: str) -> str:
    return (of.folder / "feedback" / student / OF.name / f"{OF.name}.html").read_text(encoding="utf-8")


def test_each_student_got_a_notebook_without_solutions(graded):
    of, _ = graded
    texts = {}
    for student in STUDENTS:
        notebook = nbformat.read(of.place("handed_out", student, OF.name), as_version=4)
        nbformat.validate(notebook)
        texts[student] = "\n".join(cell.source for cell in notebook.cells)
        assert "SOLUTION" not in texts[student] and "{{" not in texts[student]
        assert texts[student].count("raise NotImplementedError()") == len(NAMES)
        assert [int(found) for found in re.findall(r"## Part (\d)", texts[student])] == [1, 2, 3, 4]
    assert len(set(texts.values())) == len(STUDENTS)
    orders = {tuple(re.findall(r"## Part \d: (.*) \(", text)) for text in texts.values()}
    assert len(orders) > 1 and len({frozenset(order) for order in orders}) == 1
    teachers = (of.folder / "source" / OF.name / f"{OF.name}.ipynb").read_text(encoding="utf-8")
    assert teachers.count("BEGIN SOLUTION") == len(NAMES)


def test_the_table_has_everybody(graded):
    found = rows(graded[0])
    assert list(found) == list(STUDENTS)
    assert [found[name]["points"] for name in STUDENTS] == ["10", "8", "7", "0", "0"]
    assert [found[name]["handed_in"] for name in STUDENTS] == ["yes", "yes", "yes", "yes", "no"]
    assert found["bob"]["scaled"] == "0" and found["cy"]["penalised_line"] == "0"
    assert [found[name]["to_read"] for name in STUDENTS] == ["0", "1", "0", "0", "0"]
    assert found["bob"]["in-words"] == "" and found["ann"]["in-words"] == "0"  # left as it was handed out


def test_feedback_shows_own_answers_and_what_failed(graded):
    of, _ = graded
    page = feedback_of(of, "bob")
    assert "0 of 2 points. Value 1 of 2: Its numbers are wrong." in page
    assert "All hidden inputs were answered rightly." in page and "return" in page
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "a &lt; b" in page
    assert not (of.folder / "feedback" / "eve").exists()
    assert "is not a notebook." in feedback_of(of, "dot")


@pytest.mark.parametrize(
    "answer, harm",
    [
        ("[a](javascript:alert(1))", "href="),
        ("[a][r]\n\n[r]: java&#115;cript:alert(1)", "href="),
        ("<javascript:alert(1)> http://a.b", "href="),
        ("![a](http://a.b/c.png)", "<img"),
        ("![a](attachment:none.png)", "<img"),
        ("<img src=x onerror=alert(1)>\n\n</pre>\n\n<b>", "<b>"),
        ("$\\href{javascript:alert(1)}{a}$", "$"),
        ("\\begin{a}<b>\\end{a}", "\\begin"),
        ("# A\n\n* `b`\n\n    c", "<li>"),
        ("a\0b\x1b[31m", "\0"),
        ("[" * 1_000_000, "[["),
        ("$" * 1_000_000, "$"),
        ("> " * 500_000, "<blockquote>"),
    ],
    ids=lambda found: found[:30],
)
def test_an_answer_is_shown_as_text(answer, harm):
    from nbconvert.filters.markdown import markdown2html

    started = time.monotonic()
    found = markdown2html(gradebook.shown(answer, "markdown"))
    assert harm not in found and found.count("<") == 2 and time.monotonic() - started < 2
    (inner,) = re.findall(r"<pre [^>]*>(.*)</pre>", found)
    read = html.unescape(inner)
    assert read[:20_000] == re.sub("[\0\x1b]", "\N{REPLACEMENT CHARACTER}", answer)[:20_000]


def test_feedback_shows_no_hidden_input_and_no_secret(graded):
    of, _ = graded
    page = feedback_of(of, "cy")
    assert "It stopped with ValueError in line 4 of cell" in page
    assert "Seen_ 1" in page and "Seen_[" not in page and "Seen_ [" not in page
    assert of.secret not in page
    assert oct((of.folder / "secret.txt").stat().st_mode)[-3:] == "600"


def test_the_teacher_sees_how_the_questions_did(graded):
    _, lines = graded
    text = "\n".join(lines)
    assert "4 pages of feedback are in" in text
    line = next(line for line in text.splitlines() if line.startswith("scaled"))
    assert line.split()[1] == "0.50" and "1 x Value 1 of 2: Its numbers are wrong." in line


def test_discrimination_is_the_correlation_with_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "handed_in", lambda *_: True)
    given = np.array([[3, 2, 2, 0], [0, 0, 2, 0], [3, 0, 2, 3], [0, 2, 2, 3], [3, 2, 2, 3]], dtype=float)
    results = [
        Result(str(number), tuple(Mark(*found) for found in zip(NAMES, row, (3, 2, 2, 3), strict=True)))
        for number, row in enumerate(given.tolist())
    ]
    found = report.question_table(course.Course(tmp_path), OF, results)
    assert [row["difficulty"] for row in found] == ["0.60", "0.60", "1.00", "0.60"]
    wanted = [f"{np.corrcoef(given[:, k], given.sum(axis=1) - given[:, k])[0, 1]:.2f}" for k in (0, 1, 3)]
    assert [found[k]["discrimination"] for k in (0, 1, 3)] == wanted
    assert found[2]["discrimination"] == ""


def test_points_given_by_hand_are_counted_and_kept(graded):
    of, _ = graded
    with gradebook.opened(of) as book:
        grade = book.find_grade("in-words", OF.name, OF.name, "bob")
        assert grade.needs_manual_grade and grade.max_score == 4
        grade.manual_score, grade.needs_manual_grade = 3.0, False
        book.db.commit()
    for name in ("report", "grade"):
        assert command.main([name, str(of.folder), OF.name]) == 0
        assert (rows(of)["bob"]["in-words"], rows(of)["bob"]["points"]) == ("3", "11")
        assert rows(of)["bob"]["to_read"] == "0"


def test_grading_goes_on_where_it_was_stopped(graded, monkeypatch):
    of, _ = graded
    asked: list[str] = []
    inner = batch.grade
    monkeypatch.setattr(batch, "grade", lambda *given: asked.append(given[-1]) or inner(*given))
    before = batch.grade_class(of, OF, quiet=True)
    assert asked == [] and len(before) == len(STUDENTS)
    (of.folder / "results" / OF.name / "ann.json").unlink()
    submit(of, "bob")
    assert [result.points for result in batch.grade_class(of, OF, quiet=True)] == [10, 10, 7, 0, 0]
    assert sorted(asked) == ["ann", "bob"]
    assert not list((of.folder / "results").rglob("*.half"))


def test_a_submission_replaced_meanwhile_loses_nobody(graded, monkeypatch):
    of, _ = graded
    (of.folder / "results" / OF.name / "bob.json").unlink()
    inner = batch.grade

    def slowly(*given):
        submit(of, "bob", scales_wrongly)
        return inner(*given)

    submit(of, "bob")
    monkeypatch.setattr(batch, "grade", slowly)
    assert [result.student for result in batch.grade_class(of, OF, quiet=True)] == list(STUDENTS)
    monkeypatch.setattr(batch, "grade", inner)
    assert batch.grade_class(of, OF, quiet=True)[1].points == 8


def test_another_grader_grades_anew(graded, monkeypatch):
    of, _ = graded
    asked: list[str] = []
    inner = batch.grade
    monkeypatch.setattr(batch, "grade", lambda *given: asked.append(given[-1]) or inner(*given))
    batch.grade_class(of, OF, quiet=True)
    assert asked == []
    monkeypatch.setattr(batch, "_grader", lambda: (b"changed",))
    batch.grade_class(of, OF, quiet=True)
    assert sorted(asked) == ["ann", "bob", "cy", "dot"]
    monkeypatch.undo()
    batch.grade_class(of, OF, quiet=True)  # and back again


def test_all_code_that_gives_points_is_in_the_fingerprint():
    used = imports(Path(batch.__file__).parent)
    found, todo = set(), ["grading"]
    while todo:
        found.add(name := todo.pop())
        todo += sorted(used[name] - found)
    assert found | {"batch", "inside"} <= {*batch.GRADER} and len(found) > 4
    code = [Path(batch.__file__).with_name(f"{name}.py").read_bytes() for name in batch.GRADER]
    assert list(batch._grader()) == [*code, np.__version__.encode()]


def test_a_batch_that_was_killed_goes_on_and_loses_nothing(tmp_path, monkeypatch):
    students = [f"s{number}" for number in range(6)]
    (tmp_path / "class.csv").write_text("id\n" + "\n".join(students), encoding="utf-8")
    of = course.create(tmp_path / "killed", tmp_path / "class.csv")
    handout.hand_out(of, OF)
    gradebook.register(of, OF)
    for number, student in enumerate(students):
        submit(of, student, (lambda notebook: None, scales_wrongly, means_harm)[number % 3])
    kept = of.folder / "results" / OF.name
    command_line = [sys.executable, "-m", "coursework", "grade", str(of.folder), OF.name, "--jobs", "2"]
    with subprocess.Popen(
        command_line, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        end = time.monotonic() + 120
        while len(list(kept.glob("*.json"))) < 2:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        process.kill()
    before = {path.stem: path.read_bytes() for path in kept.glob("*.json")}
    assert 2 <= len(before) < len(students)
    asked: list[str] = []
    inner = batch.grade
    monkeypatch.setattr(batch, "grade", lambda *given: asked.append(given[-1]) or inner(*given))
    assert command.main(["grade", str(of.folder), OF.name]) == 0
    assert sorted([*asked, *before]) == students  # nothing twice, nothing lost
    assert {name: (kept / f"{name}.json").read_bytes() for name in before} == before
    assert [row["points"] for row in rows(of).values()] == ["10", "8", "7"] * 2
    assert not list(kept.glob("*.half"))


def test_what_was_not_handed_out_is_not_graded(tmp_path, capsys):
    (tmp_path / "class.csv").write_text("id\nann\n", encoding="utf-8")
    course.create(tmp_path / "spring", tmp_path / "class.csv")
    assert command.main(["grade", str(tmp_path / "spring"), OF.name]) == 1
    assert capsys.readouterr().err == (
        "fitting was not handed out to ann (There is no file fitting.ipynb.) Run `hand-out` first.\n"
    )
    assert command.main(["grade", str(tmp_path), OF.name]) == 1
    assert "is no course: it has no secret.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "needs a column `id`"),
        ("name\nann\n", "needs a column `id`"),
        ("id\n", "needs a column `id` and a row"),
        ("id\n../ann\n", "'../ann' cannot be an id"),
        ('id\nann\n""\n', "'' cannot be an id"),
        ("id\nann\nbob\nAnn\n", "'ann' is there twice"),
        (b"id\n\xff\n", "cannot be read"),
    ],
)
def test_a_bad_roster_is_refused_in_a_sentence(text, said, tmp_path):
    path = tmp_path / "class.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(course.CourseError, match=re.escape(said)):
        course.roster(path)
    with pytest.raises(course.CourseError, match="cannot be read"):
        course.roster(tmp_path / "none.csv")


def test_a_roster_read_again_keeps_the_secret(tmp_path):
    for text in ("id\nann\n", "id\nann\nbob\n"):
        (tmp_path / "class.csv").write_text(text, encoding="utf-8")
        found = course.create(tmp_path / "spring", tmp_path / "class.csv")
        first = (tmp_path / "spring" / "secret.txt").read_text(encoding="utf-8")
    assert (found.folder / ".gitignore").read_text(encoding="utf-8") == "*\n"  # git keeps no secret
    assert found.students == ["ann", "bob"] and found.secret == first.strip() and len(found.secret) == 64


def test_every_assignment_has_its_stage():
    folders = {path.parent.name for path in course.ASSIGNMENTS.glob("*/source.ipynb")}
    assert folders == set(course.names())
    assert [course.assignment(name).name for name in course.names()] == course.names()


def test_the_commands_are_listed(capsys):
    assert command.main(["list"]) == 0
    assert capsys.readouterr().out.split() == course.names()
    assert command.main(["grade", "x", "nothing"]) == 1
    assert capsys.readouterr().err.startswith("x is no course")
    assert command.main(["hand-out", "x", "nothing", "--roster", "y"]) == 1
    assert capsys.readouterr().err.startswith("There is no assignment 'nothing'; there are")


def test_the_formgrader_starts_in_the_course(graded, monkeypatch):
    of, _ = graded
    started: list[list[str]] = []
    here = os.getcwd()
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append(arguments))
    try:
        command.main(["formgrader", str(of.folder)])
        assert Path.cwd() == of.folder.resolve() and Path("nbgrader_config.py").is_file()
    finally:
        os.chdir(here)
    assert started[0][1:4] == ["-m", "jupyter", "lab"]
    with pytest.raises(course.CourseError, match="not drawn"):
        handout.filled("{{ nothing }}", course.Assignment("x", dict), {}, "secret", "ann")


def test_nbgrader_runs_no_submission(graded, tmp_path):
    of, _ = graded
    ran, found = tmp_path / "ran", gradebook.api(of)
    config: dict[str, str] = {}
    said = SimpleNamespace(CourseDirectory=SimpleNamespace())
    exec((of.folder / "nbgrader_config.py").read_text(encoding="utf-8"), {"get_config": lambda: said})
    config.update(vars(said.CourseDirectory))
    assert config == {key: getattr(found.coursedir, key) for key in config} and len(config) == 2

    def touches(notebook) -> None:
        notebook.cells.append(nbformat.v4.new_code_cell(f"open({str(ran)!r}, 'w')"))

    before = submit(of, "ann", touches).read_text(encoding="utf-8")
    page = of.place("autograded", "ann", OF.name).read_text(encoding="utf-8")
    try:
        assert not found.autograde(OF.name, "ann", force=True)["success"] and not ran.exists()
        assert of.place("submitted", "ann", OF.name).read_text(encoding="utf-8") == before
        assert of.place("autograded", "ann", OF.name).read_text(encoding="utf-8") == page
    finally:
        submit(of, "ann")


def test_results_are_plain_json(graded):
    of, _ = graded
    kept = json.loads((of.folder / "results" / OF.name / "cy.json").read_text(encoding="utf-8"))
    assert set(kept) == {"of", "result"} and kept["result"]["student"] == "cy"
