"""Every planted fault is caught by the test it names, every module has some, and the machinery works."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import faults_harness as harness
import planning
import pytest

ROOT = Path(__file__).parents[1]
PATCHES = sorted((ROOT / "tests" / "faults").glob("*.patch"))
NAMED: dict[str, set[str]] = {}  # test file -> its tests that faults name
for path in PATCHES:
    test = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# caught by: ")
    NAMED.setdefault(test.partition("::")[0], set()).add(test)
# These tests run without a fault where the book lies, too. That nothing but a fault fails them in the copy
# is tested for a third of their files, drawn by the commit.
DRAWN = sorted(NAMED)[int(planning.commit(ROOT), 16) % 3 :: 3]


@pytest.mark.parametrize("path", PATCHES, ids=[path.stem for path in PATCHES])
def test_fault_is_caught(path, tmp_path):
    problem = harness.miss(harness.read(path), ROOT, tmp_path / "house")
    assert problem is None, problem


@pytest.mark.parametrize("file", DRAWN)
def test_named_tests_pass_in_the_copy_without_a_fault(file, tmp_path):
    status, found, output = harness.outcomes(sorted(NAMED[file]), harness.house(ROOT, tmp_path / "house"))
    assert status == 0, output
    assert found == {"failure": [], "error": [], "skipped": []}


def test_every_module_has_faults():
    count = Counter(harness.read(path).file for path in PATCHES)
    files = (path for path in (ROOT / "transferbook").rglob("*.py") if path.name != "__init__.py")
    modules = {path.relative_to(ROOT).as_posix() for path in files}
    assert {name: count[name] for name in modules if count[name] < harness.FEWEST_FAULTS} == {}


# --- the machinery, over a planted book --------------------------------------------------------------------

MODULE = "# one\ndef double(x):\n    return 2 * x\n# four\n"
TESTS = (
    "from transferbook import m\n"
    "def test_double(): assert m.double(3) == 6\n"
    "def test_weak(): assert m.double(0) == 0\n"
)


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    files = {
        "transferbook/__init__.py": "",
        "transferbook/m.py": MODULE,
        "tests/test_m.py": TESTS,
        "pytest.ini": "",
    }
    for name, text in files.items():
        (tmp_path / "book" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "book" / name).write_text(text or "[pytest]\n" * name.endswith(".ini"))
    return tmp_path / "book"


def fault(
    root: Path, line: str, test: str = "test_double", before: str = "    return 2 * x"
) -> harness.Fault:
    path = root / "m__planted.patch"
    path.write_text(
        f"# caught by: tests/test_m.py::{test}\n--- a/transferbook/m.py\n+++ b/transferbook/m.py\n"
        f"@@ -2,3 +2,3 @@\n def double(x):\n-{before}\n+{line}\n # four\n"
    )
    return harness.read(path)


def test_a_fault_that_is_caught(planted, tmp_path):
    assert harness.miss(fault(planted, "    return 3 * x"), planted, tmp_path / "house") is None
    assert (planted / "transferbook" / "m.py").read_text() == MODULE


@pytest.mark.parametrize(
    ("line", "test", "said"),
    [
        ("    return x + x", "test_double", "passes although m__planted.patch is planted"),
        ("    return 3 * x", "test_weak", "passes although"),
        ("    return 3 * x", "test_gone", "does not run with"),
        ("    return 2 * * x", "test_double", "does not run with"),
        ("    return 2 * y", "test_double", "breaks the code"),
    ],
    ids=["no change", "weak test", "no such test", "no syntax", "no such name"],
)
def test_a_fault_that_is_missed(planted, tmp_path, line, test, said):
    assert said in harness.miss(fault(planted, line, test), planted, tmp_path / "house")


def test_a_patch_that_does_not_apply(planted, tmp_path):
    with pytest.raises(harness.FaultError, match="does not apply"):
        harness.miss(fault(planted, "    return 3", before="    return 1"), planted, tmp_path / "house")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--- a/transferbook/m.py\n+++ b/transferbook/m.py\n", "must begin with"),
        (
            "# caught by: tests/test_m.py::t\n--- a/transferbook/n.py\n+++ b/transferbook/n.py\n",
            "its name begins with",
        ),
        (
            "# caught by: tests/test_m.py::t\n--- a/transferbook/m.py\n+++ b/transferbook/m.py\n+a\n+b\n",
            "more than one line",
        ),
    ],
    ids=["no test", "another module", "two lines"],
)
def test_a_patch_that_is_not_written_well(tmp_path, text, said):
    path = tmp_path / "m__planted.patch"
    path.write_text(text)
    with pytest.raises(harness.FaultError, match=said):
        harness.read(path)
