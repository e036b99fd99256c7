"""What comes in by nbgrader's exchange: handed in by nbgrader itself, and by students who mean harm."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from coursework import __main__ as command
from coursework import batch, course, exchange, gradebook, handout

OF = course.assignment("fitting")
TIME = "2026-11-28 09:00:00.000000 UTC"


@pytest.fixture
def autumn(tmp_path: Path) -> course.Course:
    (tmp_path / "class.csv").write_text("id\nann\nbob\n", encoding="utf-8")
    found = course.create(tmp_path / "autumn", tmp_path / "class.csv")
    handout.hand_out(found, OF)
    gradebook.register(found, OF)
    return found


def arrived(inbound: Path, name: str, text: str = "{}") -> Path:
    folder = inbound / name
    folder.mkdir()
    (folder / f"{OF.name}.ipynb").write_text(text, encoding="utf-8")
    return folder


def test_what_nbgrader_submits_is_collected_and_graded(autumn, tmp_path, capsys):
    asked = ["collect", str(autumn.folder), OF.name, "--exchange", str(tmp_path / "exchange")]
    assert command.main(asked) == 0
    assert capsys.readouterr().out == f"New in {autumn.folder / 'submitted'}: nothing.\n"
    home = tmp_path / "home"
    solved = handout.instance(OF, autumn.constants(OF, "ann"), autumn.secret, "ann")
    (home / OF.name).mkdir(parents=True)
    nbformat.write(solved, home / OF.name / f"{OF.name}.ipynb")
    page = (Path(__file__).parents[1] / "book/for_teachers.md").read_text(encoding="utf-8")
    (typed,) = re.findall(r"^/opt/book/\.venv/bin/python (-m nbgrader .*)$", page, re.MULTILINE)
    submit = [sys.executable, *typed.replace("/srv/exchange", str(tmp_path / "exchange")).split()]
    submit += ["--CourseDirectory.student_id=ann"]  # whoever runs this test
    environment = os.environ | {"HOME": str(home), "JUPYTER_DATA_DIR": str(home / "data")}
    said = subprocess.run(submit, cwd=home, env=environment, capture_output=True, text=True)
    assert said.returncode == 0 and "Submitted as: autumn fitting" in said.stderr, said.stderr
    for new in ("ann", "nothing"):
        assert command.main(asked) == 0
        assert capsys.readouterr().out == f"New in {autumn.folder / 'submitted'}: {new}.\n"
    assert [result.points for result in batch.grade_class(autumn, OF, quiet=True)] == [10, 0]


def test_the_latest_of_each_student_counts_and_no_half_name_does(autumn, tmp_path):
    inbound = exchange.open_for(autumn, OF, tmp_path / "exchange")
    for hour in ("08", "10", "09"):
        arrived(inbound, f"ann+{OF.name}+2026-11-28 {hour}:00:00.000000 UTC+x", hour)
    arrived(inbound, f"bob+descent+{TIME}+x")
    for name in (f"eve+{OF.name}+{TIME}+x", f"../ann+{OF.name}".replace("/", "-"), f"bob+{OF.name}+9999"):
        arrived(inbound, name)
    copied, left = exchange.collect(autumn, OF, tmp_path / "exchange")
    assert copied == ["ann"] and autumn.place("submitted", "ann", OF.name).read_text() == "10"
    assert len(left) == 3 and all("it is not from anybody in the roster." in sentence for sentence in left)


def test_a_link_is_not_followed(autumn, tmp_path):
    inbound = exchange.open_for(autumn, OF, tmp_path / "exchange")
    folder = arrived(inbound, f"ann+{OF.name}+{TIME}+x")
    (folder / f"{OF.name}.ipynb").unlink()
    (folder / f"{OF.name}.ipynb").symlink_to(autumn.folder / "secret.txt")
    (inbound / f"bob+{OF.name}+{TIME}+x").symlink_to(autumn.folder / "handed_out" / "bob" / OF.name)
    copied, left = exchange.collect(autumn, OF, tmp_path / "exchange")
    assert copied == [] and not (autumn.folder / "submitted").exists()
    assert [sentence.rpartition(": ")[2] for sentence in left] == [
        "the folder does not belong to bob.",
        "fitting.ipynb is not a plain file.",
    ]


def test_nobody_hands_in_for_another_user_of_the_machine(autumn, tmp_path, monkeypatch):
    inbound = exchange.open_for(autumn, OF, tmp_path / "exchange")
    arrived(inbound, f"ann+{OF.name}+{TIME}+x")
    here = pwd.getpwuid(os.getuid())
    another = pwd.struct_passwd([*here[:2], os.getuid() + 1, *here[3:]])
    users = {"ann": another}
    monkeypatch.setattr(pwd, "getpwnam", lambda name: users[name])
    copied, left = exchange.collect(autumn, OF, tmp_path / "exchange")
    assert copied == [] and "does not belong to ann" in left[0]
    users["ann"] = here
    assert exchange.collect(autumn, OF, tmp_path / "exchange") == (["ann"], [])


def test_students_can_put_and_not_list(autumn, tmp_path):
    inbound = exchange.open_for(autumn, OF, tmp_path / "exchange")
    assert oct(inbound.stat().st_mode)[-3:] == "733"
    (tmp_path / "file").write_text("")
    with pytest.raises(course.CourseError, match="cannot be written"):
        exchange.open_for(autumn, OF, tmp_path / "file")
