"""`make check`: it runs what changed since it was green and leaves out what did not, in a planted book."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import planning
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes

ROOT = Path(__file__).parents[1]
FAULT = "# caught by: tests/test_near.py::test_near\n--- a/transferbook/near.py\n+++ b/transferbook/near.py\n"
FILES = {
    ".gitignore": "_build/\n__pycache__/\n",
    "pytest.ini": "[pytest]\n",
    "transferbook/__init__.py": "",
    "transferbook/far.py": "TWO = 2\n",
    "transferbook/near.py": "from transferbook import far\n\ndef four():\n    return 2 * far.TWO\n",
    "transferbook/other.py": "ONE = 1\n",
    "tests/test_near.py": "from transferbook import near\ndef test_near(): assert near.four() == 4\n",
    "tests/test_other.py": "from transferbook import other\ndef test_other(): assert other.ONE\n",
    "tests/test_faults.py": "import pytest\n@pytest.mark.parametrize('n', ['near__x'])\ndef test_f(n): 0\n",
    "tests/faults/near__x.patch": FAULT,
}
FAULT_TEST = "tests/test_faults.py::test_f[near__x]"
CHAPTER = "notebooks/part1/01_a.ipynb"
PIECES = ["tests/test_near.py", "tests/test_other.py", FAULT_TEST, CHAPTER]


def git(folder: Path, *words: str) -> None:
    name = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


def notebook(code: str, prose: str = "Prose.") -> str:
    cells = [new_markdown_cell(prose, id="a"), new_code_cell(code, id="b")]
    return writes(new_notebook(cells=cells))


@pytest.fixture
def book(tmp_path: Path) -> Path:
    files = FILES | {CHAPTER: notebook("from transferbook import near\nnear.four()")}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "all")
    return tmp_path


def chosen(book: Path, budget: float = 1e6) -> set[str]:
    return planning.Plan(book).choose(PIECES, budget)[0]


def all_green(book: Path) -> None:
    plan = planning.Plan(book)
    plan.record({name: plan.state(name) for name in PIECES}, dict.fromkeys(PIECES, 1.0), set(PIECES))


@pytest.mark.parametrize("recorded", [True, False], ids=["after a green run", "after a commit"])
def test_what_changed_is_chosen_and_nothing_else(book, recorded):
    if recorded:
        all_green(book)
    assert chosen(book) == set()
    (book / "transferbook" / "near.py").write_text(FILES["transferbook/near.py"].replace("2 *", "2.0 *"))
    assert chosen(book) == {"tests/test_near.py", FAULT_TEST, CHAPTER}
    (book / "transferbook" / "near.py").write_text(FILES["transferbook/near.py"])
    (book / "transferbook" / "other.py").write_text("ONE = 2\n")
    assert chosen(book) == {"tests/test_other.py"}


def test_a_change_behind_reaches_what_imports_it(book):
    all_green(book)
    (book / "transferbook" / "far.py").write_text("TWO = 3\n")
    assert chosen(book) == {"tests/test_near.py", CHAPTER}


def test_words_between_the_cells_of_a_notebook_run_nothing(book):
    all_green(book)
    (book / CHAPTER).write_text(notebook("from transferbook import near\nnear.four()", "Other prose."))
    assert chosen(book) == set()
    (book / CHAPTER).write_text(notebook("from transferbook import near\nnear.four() + 1"))
    assert chosen(book) == {CHAPTER}


def test_own_changes_come_first_and_the_rest_is_named(book):
    plan = planning.Plan(book)
    times = {"tests/test_near.py": 30.0, "tests/test_other.py": 1.0, FAULT_TEST: 5.0, CHAPTER: 2.0}
    plan.record({name: plan.state(name) for name in PIECES}, times, set(PIECES))
    (book / "transferbook" / "near.py").write_text("def four():\n    return 4\n")
    assert planning.Plan(book).choose(PIECES, 36) == ({"tests/test_near.py", FAULT_TEST}, [CHAPTER])
    assert planning.Plan(book).choose(PIECES, 8) == ({FAULT_TEST, CHAPTER}, ["tests/test_near.py"])


def test_what_failed_is_chosen_until_it_is_green(book):
    plan = planning.Plan(book)
    states = {name: plan.state(name) for name in PIECES}
    plan.record(states, dict.fromkeys(PIECES, 1.0), set(PIECES) - {"tests/test_other.py"})
    assert chosen(book) == {"tests/test_other.py"}


def test_without_a_record_and_a_repository_everything_is_chosen(book):
    shutil.rmtree(book / ".git")
    assert chosen(book) == set(PIECES)


def test_a_notebook_says_how_long_it_takes(tmp_path):
    path = next((ROOT / "notebooks").rglob("04_generalisation.ipynb"))
    name = path.relative_to(ROOT).as_posix()
    plan = planning.Plan(ROOT)
    plan.records = {}
    assert planning.stored_seconds(path) != planning.UNKNOWN
    assert plan.seconds(name) == planning.stored_seconds(path)
    saved = nbformat.read(path, as_version=4)  # and back, as Jupyter does it
    nbformat.write(saved, tmp_path / "saved.ipynb")
    assert planning.stored_seconds(tmp_path / "saved.ipynb") == planning.stored_seconds(path)
    sabotage = "tests/test_sabotage.py::test_claims[04_generalisation]"
    assert plan.seconds(sabotage) == plan.seconds(name)  # and more where a study is re-run
    assert plan.seconds(sabotage.replace("04_generalisation", "05_bert_text_classifier")) > planning.RERUN
    own, behind = plan.inputs(sabotage)
    assert path in own and ROOT / "transferbook" / "evidence" / "claims.py" in behind


def test_a_run_keeps_what_was_green_and_the_next_one_leaves_it_out(book):
    for name in ("conftest.py", "planning.py", "house.py"):
        shutil.copy(ROOT / "tests" / name, book / "tests")
    (book / "tests" / "test_other.py").write_text("def test_other(): assert False\n")
    options = ["-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadscope", "--keep-green", "tests"]
    command = [sys.executable, "-m", "pytest", *options]

    def run(*more: str) -> str:
        return subprocess.run([*command, *more], cwd=book, capture_output=True, text=True).stdout

    assert "1 failed, 2 passed" in run()
    records = json.loads((book / "_build" / "green.json").read_text())
    assert {name for name, record in records.items() if record["own"] == "red"} == {"tests/test_other.py"}
    assert "1 failed in" in run("--changed=60")
    (book / "tests" / "test_other.py").write_text("def test_other(): assert True\n")
    assert "1 passed in" in run("--changed=60")
    assert "no tests ran" in run("--changed=60")
    (book / "transferbook" / "near.py").write_text("def four():\n    return 4\n")
    assert "beyond the time of this check: 2 (" in run("--changed=-1")
