"""The page for teachers: its table of assignments is true, and its commands do what it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from coursework import __main__ as command
from coursework import course, handout

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book/for_teachers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
FIELD = r"\s*\|\s*"


def table() -> dict[str, list[str]]:
    text = PAGE.partition("## The assignments")[2].partition("### Hand out")[0]
    rows = [re.split(FIELD, line.strip("| ")) for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_every_assignment_is_in_the_table_and_in_a_plan():
    assert list(table()) == course.names()
    plans = PAGE.partition("## Before")[0]
    assert set(re.findall(r"`(\w+)`", plans)) - {"transferbook"} >= set(course.names())


@pytest.mark.parametrize("name", course.names())
def test_times_and_points_are_those_of_the_assignment(name):
    _, minutes, running, reading = table()[name]
    notebook = nbformat.read(course.ASSIGNMENTS / name / "source.ipynb", as_version=4)
    head = notebook.cells[0].source
    assert f"| Time | {minutes} minutes" in head
    points: dict[str, float] = {"code": 0, "markdown": 0}
    for cell in notebook.cells:
        points[cell.cell_type] += cell.metadata.get("nbgrader", {}).get("points", 0)
    assert (float(running), float(reading)) == (points["code"], points["markdown"])
    assert f"| Points | {running} for what" in head and f"{reading} for " in head
    needed = {question.name for question in course.assignment(name).questions}
    named = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells}
    assert needed <= named


def test_the_commands_on_the_page_grade_a_class(tmp_path, monkeypatch, capsys):
    assert COMMANDS[0] == "make setup assets"
    dry = ["make", "-n", "--no-print-directory", *COMMANDS[1].split()[1:]]  # make itself may be running this
    made = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True)
    last = made.stdout.splitlines()[-1].strip()
    assert made.returncode == 0 and last.startswith(".venv/bin/python -m coursework ")
    monkeypatch.chdir(tmp_path)
    Path("class.csv").write_text("id\nann\nbob\n", encoding="utf-8")
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, arguments: started.append(arguments))
    for line in [last, *COMMANDS[2:]]:
        before, _, after = line.partition(" -m coursework ")
        assert before == ".venv/bin/python"
        if after.startswith("grade"):
            for name in course.names():
                assert Path(f"autumn/handed_out/bob/{name}/{name}.ipynb").is_file()
                assert Path(f"autumn/source/{name}/{name}.ipynb").is_file()
            found, of = course.opened(Path("autumn")), course.assignment("fitting")
            path = Path("autumn/submitted/ann/fitting/fitting.ipynb")
            path.parent.mkdir(parents=True)
            nbformat.write(handout.instance(of, found.constants(of, "ann"), found.secret, "ann"), path)
        capsys.readouterr()
        command.main(after.split())
        monkeypatch.chdir(tmp_path)
        if after.startswith(("grade", "report")):
            row = Path("autumn/fitting.csv").read_text(encoding="utf-8").splitlines()[1]
            assert row.startswith("ann,") and row.endswith(",yes") and ",10," in row
            assert "autumn/fitting.csv" in capsys.readouterr().out
            assert Path("autumn/feedback/ann/fitting/fitting.html").is_file()
    assert [arguments[1:4] for arguments in started] == [["-m", "jupyter", "lab"]]


def test_the_sentences_that_it_explains_are_the_grader_s():
    said = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "coursework").glob("*.py"))
    sentences = ("There is no function", "Asked the same again after other questions", "It was stopped after")
    assert all(sentence in PAGE and sentence in said for sentence in sentences)
