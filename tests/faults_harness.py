"""Planted faults: one-line changes of the package, kept under `faults/`, that its tests must catch.

A fault is `faults/MODULE__NAME.patch`: the line `# caught by: tests/test_MODULE.py::test_name` and a unified
diff of one file of the package. It is applied to a copy of the package, and the named test is run there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import fault_runner

FEWEST_FAULTS = 3
SECONDS = 900
COPIED = ("transferbook", "tests")
NEEDLESS = shutil.ignore_patterns("__pycache__", "faults", ".*")
# A test that fails for one of these did not notice a wrong result; the fault is no Python.
BROKEN_CODE = re.compile(r"(ImportError|ModuleNotFoundError|SyntaxError|IndentationError|NameError)\b")


class FaultError(ValueError):
    """A planted fault is not written as it should be."""


@dataclass(frozen=True)
class Fault:
    """A planted fault: its patch, the file that it changes and the test that must catch it."""

    path: Path
    file: str
    test: str


def read(path: Path) -> Fault:
    """The fault in a patch file.

    Raises:
        FaultError: if it names no test, changes another file than its name says, or more than one line.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    named = re.fullmatch(r"# caught by: (tests/test_\w+\.py::\S+)", lines[0]) if lines else None
    if named is None:
        raise FaultError(f"{path.name} must begin with `# caught by: tests/test_MODULE.py::test_name`")
    file = re.compile(r"--- a/(transferbook/(?:\w+/)*(\w+)\.py)\n\+\+\+ b/\1\n")
    changed = file.match("\n".join(lines[1:4]))
    if changed is None or path.stem.partition("__")[0] != changed[2].strip("_"):
        raise FaultError(f"{path.name} must change the module of the package that its name begins with")
    for sign in "-+":
        if sum(line.startswith(sign) for line in lines[3:]) > 1:
            raise FaultError(f"{path.name} changes more than one line")
    return Fault(path, changed[1], named[1])


def house(root: Path, folder: Path) -> Path:
    """A copy of the book in `folder`: package and tests copied, everything else linked."""
    folder.mkdir()
    for entry in root.iterdir():
        if entry.name in COPIED:
            shutil.copytree(entry, folder / entry.name, ignore=NEEDLESS)
        elif not entry.name.startswith((".", "_build")):
            (folder / entry.name).symlink_to(entry)
    return folder


def plant(fault: Fault, folder: Path) -> None:
    """Apply a fault to the copy of the book in `folder`.

    Raises:
        FaultError: if the patch does not apply.
    """
    target = folder / fault.file
    before = target.read_text(encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = kept | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}  # take no repository around it
    command = ["git", "apply", str(fault.path.resolve())]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0 or target.read_text(encoding="utf-8") == before:
        raise FaultError(f"{fault.path.name} does not apply; write it anew: {done.stderr.strip()}")


def outcomes(tests: list[str], folder: Path) -> tuple[int, dict[str, list[str]], str]:
    """Run tests of the copy of the book in `folder`, in their own process, up to the first failure.

    Returns:
        pytest's exit status; the messages of tests by "failure", "error" and "skipped"; its output.
    """
    report, log = folder / "report.xml", folder / "log.txt"
    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--assert=plain",  # writing the asserts of a file anew takes longer than most of its tests
        f"--basetemp={folder / 'temporary'}",
        f"--junitxml={report}",
    ]
    status = fault_runner.run([*options, *tests], folder, log, SECONDS)
    cases = ElementTree.parse(report).iter("testcase") if report.exists() else []
    found: dict[str, list[str]] = {"failure": [], "error": [], "skipped": []}
    for event in (event for case in cases for event in case if event.tag in found):
        found[event.tag].append(event.get("message", ""))
    return status, found, log.read_text(encoding="utf-8", errors="replace")


def miss(fault: Fault, root: Path, folder: Path) -> str | None:
    """Why the named test does not catch a fault; None if it does.

    Args:
        fault: the fault.
        root: folder of the book.
        folder: a folder to be made, for the copy.

    Raises:
        FaultError: if the patch does not apply.
    """
    plant(fault, house(root, folder))
    status, found, output = outcomes([fault.test], folder)
    if status == 0:
        return f"{fault.test} passes although {fault.path.name} is planted"
    if status != 1 or found["error"] or not found["failure"]:
        return f"{fault.test} does not run with {fault.path.name} planted:\n{output[-3000:]}"
    if BROKEN_CODE.match(found["failure"][0]):
        return f"{fault.path.name} breaks the code instead of its result: {found['failure'][0]}"
    return None
