"""The page for teachers: its table of assignments is true, and its commands do what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from coursework import __main__ as command
from coursework import course, handout

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book/for_teachers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line.partition("  #")[0].strip() for block in BLOCKS for line in block.splitlines()]
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


def dry(*arguments: str) -> str:
    """What make would run."""
    command_line = ["make", "-n", "--no-print-directory", *arguments]  # make itself may be running this
    made = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return made.stdout


def test_each_command_on_the_page_is_tried_by_a_test():
    rest = [line for line in COMMANDS if "coursework" not in line]
    assert [line.split()[:2] for line in rest] == [
        ["make", "setup"],
        ["make", "wheelhouse"],
        ["make", "setup"],
        ["make", "slides"],
        ["make", "slides"],
        [".venv/bin/python", "-m"],  # ipykernel
        ["/opt/book/.venv/bin/python", "-m"],  # nbgrader, in test_coursework_exchange
    ]


def test_a_wheelhouse_is_filled_and_used(tmp_path):
    assert COMMANDS[1:3] == ["make wheelhouse DIR=wheels", "make setup assets WHEELHOUSE=wheels"]
    said = dry("wheelhouse", f"DIR={tmp_path}")
    assert f" --no-deps --require-hashes -r requirements.txt -d {tmp_path}" in said
    (program,) = re.findall(
        r"python -c '(.*?)'", said.partition("pip download")[2].replace("\\\n", ""), re.DOTALL
    )
    wheel = tmp_path / "a.whl"
    wheel.write_text("x")
    (tmp_path / "sitecustomize.py").write_text(
        f"from transferbook.data import assets\nassets.fetch = lambda: [{str(wheel)!r}] * 2\n"
    )
    program = program.replace(f'"{tmp_path}"', f'"{tmp_path / "to"}"')
    (tmp_path / "to").mkdir()
    asked = [sys.executable, "-c", program]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split() == [str(tmp_path / "to" / "a.whl")], done.stderr
    shown = "include Makefile\nshown:\n\t@env\n"
    for given, there in (("WHEELHOUSE=wheels", True), ("X=y", False)):
        clean = {
            key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "TRANSFERBOOK_W"))
        }
        made = subprocess.run(
            ["make", "-f", "-", "shown", given],
            cwd=ROOT,
            input=shown,
            capture_output=True,
            text=True,
            env=clean,
        )
        found = dict(line.partition("=")[::2] for line in made.stdout.splitlines())
        place = str(ROOT / "wheels") if there else None
        assert found.get("PIP_FIND_LINKS") == found.get("TRANSFERBOOK_WHEELHOUSE") == place
        assert found.get("PIP_NO_INDEX") == ("1" if there else None)


def test_slides_are_made_by_the_command_of_the_page():
    for line in [line for line in COMMANDS if line.startswith("make slides")]:
        last = dry(*line.split()[1:]).strip().splitlines()[-1]
        _, _, chapter = last.partition("-m coursework.slides")
        assert last.startswith(".venv/bin/python -m coursework.slides")
        assert not chapter.strip() or list(ROOT.glob(f"notebooks/*/*_{chapter.strip()}.ipynb"))


def test_the_book_is_a_kernel_of_another_environment(tmp_path):
    (line,) = [line for line in COMMANDS if "ipykernel" in line]
    typed = shlex.split(line.replace("/opt/hub", str(tmp_path)))
    made = subprocess.run([sys.executable, *typed[1:]], capture_output=True, text=True)
    kernel = json.loads((tmp_path / "share/jupyter/kernels/transferbook/kernel.json").read_text("utf-8"))
    assert made.returncode == 0 and kernel["display_name"] == "The book"
    assert Path(kernel["argv"][0]).samefile(sys.executable)


def test_the_commands_on_the_page_grade_a_class(tmp_path, monkeypatch, capsys):
    assert COMMANDS[0] == "make setup assets"
    (line,) = [line for line in COMMANDS if line.startswith("make coursework")]
    last = dry(*line.split()[1:]).splitlines()[-1].strip()
    assert last.startswith(".venv/bin/python -m coursework ")
    monkeypatch.chdir(tmp_path)
    Path("class.csv").write_text("id\nann\nbob\n", encoding="utf-8")
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, arguments: started.append(arguments))
    for line in [last, *(line for line in COMMANDS if " -m coursework " in line)]:
        before, _, after = line.partition(" -m coursework ")
        after = after.replace("/srv/exchange", str(tmp_path / "exchange"))
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
        assert not command.main(after.split())
        said = capsys.readouterr().out
        monkeypatch.chdir(tmp_path)
        if after.startswith("grade"):
            assert "1 page of feedback is in autumn/feedback." in said
        if after.startswith(("grade", "report")):
            row = Path("autumn/fitting.csv").read_text(encoding="utf-8").splitlines()[1]
            assert row.startswith("ann,") and row.endswith(",yes") and ",10," in row
            assert "autumn/fitting.csv" in said
            assert Path("autumn/feedback/ann/fitting/fitting.html").is_file()
        if after.startswith("collect"):
            assert "New in autumn/submitted: nothing." in said
            assert Path("exchange/autumn/inbound").is_dir()
    assert [arguments[1:4] for arguments in started] == [["-m", "jupyter", "lab"]]


def test_the_sentences_that_it_explains_are_the_grader_s():
    said = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "coursework").glob("*.py"))
    sentences = ("There is no function", "Asked the same again after other questions", "It was stopped after")
    assert all(sentence in PAGE and sentence in said for sentence in sentences)
