"""The package's tests and three notebooks on the oldest and on the newest libraries that the book allows.

    make test-versions                          all combinations of libraries and Python
    make test-versions ONLY=lowest-3.11 JOBS=1  one of them, in one process

"lowest" takes of each direct dependency the version that `requirements.in` names, "newest" what the
package index has today; what these ask for themselves is the newest that fits. uv resolves and installs.
A Python that it does not find it fetches from GitHub. Where GitHub cannot be reached, those of pyenv will do,
put on the path by `PYENV_VERSION=3.11.7:3.12.1:3.13.0`.

All that is written lies in `_build/versions`: the packages, some 17 GB, and of each combination the
environment until it is green, the log, and what came out. A file of tests or a notebook is run again when
it failed, when it or the code behind it has changed (as `make check` knows it), or when other versions
are resolved; so a run that was stopped goes on. `.ci/versions.json` keeps the counts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build" / "versions"
RECORD = ROOT / ".ci" / "versions.json"
UV = ROOT / "_build" / "uv" / "bin"
COMBINATIONS = ["lowest-3.11", "newest-3.13", "newest-3.12", "newest-3.11"]
RESOLUTION = {"lowest": "lowest-direct", "newest": "highest"}
NOTEBOOKS = [
    "notebooks/part1_basics/00_first_hour.ipynb",
    "notebooks/part5_walkthroughs/01_image_classifier.ipynb",  # a pretrained network
    "notebooks/part4_transfer_math/04_domain_adaptation.ipynb",
]
AT_ONCE = 10  # files in one run of pytest, after which what came out is kept
IMPORTS = """
import importlib, pkgutil, transferbook
for module in pkgutil.walk_packages(transferbook.__path__, "transferbook."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
VERSIONS = """
import json, platform, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]} | {"python": platform.python_version()}))
"""

sys.path.insert(0, str(ROOT / "tests"))
import planning  # noqa: E402 - what depends on what


def package_tests(root: Path = ROOT) -> list[str]:
    """The files of tests that import the package and read no page, notebook, study or list of packages."""
    plan, chosen = planning.Plan(root), []
    for path in sorted((root / "tests").glob("test_*.py")):
        reads = planning.READ.get(path.name, ())
        alone = all(entry.startswith(("transferbook/", "Dockerfile", ".dockerignore")) for entry in reads)
        of_package = any(root / "transferbook" in file.parents for file in plan.direct(path))
        if of_package and alone and path.name not in planning.SINGLE:
            chosen.append(path.relative_to(root).as_posix())
    return chosen


def direct_names() -> list[str]:
    """The direct dependencies of both lists, in lower case, sorted."""
    files = ("requirements.in", "requirements-site.in")
    texts = [(ROOT / file).read_text(encoding="utf-8") for file in files]
    return sorted(name.lower() for text in texts for name in re.findall(r"^\w[\w.-]*", text, re.MULTILINE))


def uv(*arguments: str) -> None:
    """Run uv, with the package index that pip is set to.

    Raises:
        CalledProcessError: if it fails; it has said why.
    """
    asked = [UV / "python", "-m", "pip", "config", "get", "global.index-url"]
    index = os.environ.get("PIP_INDEX_URL") or subprocess.run(asked, capture_output=True, text=True).stdout
    settings = {"UV_CACHE_DIR": str(BUILD / "cache"), "UV_LINK_MODE": "hardlink"}
    if index.strip():
        settings["UV_DEFAULT_INDEX"] = index.strip()
    subprocess.run([UV / "uv", *arguments, "--quiet"], cwd=ROOT, env=os.environ | settings, check=True)


class Combination:
    """One resolution of the dependencies on one Python.

    Args:
        name: such as `lowest-3.11`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = BUILD / name
        self.pins = self.folder / "requirements.txt"
        self.kept = self.folder / "kept.json"
        self.environment = self.folder / "environment"
        self.executable = self.environment / "bin" / "python"

    def resolve(self) -> None:
        """Choose the versions, which takes seconds, and forget what came out with others."""
        resolution, python = self.name.split("-")
        self.folder.mkdir(parents=True, exist_ok=True)
        uv(
            "pip", "compile", "requirements.in", "--upgrade", "--no-header", "--no-annotate",
            f"--resolution={RESOLUTION[resolution]}", f"--python-version={python}",
            f"--output-file={self.pins}",
        )  # fmt: skip
        digest = hashlib.sha256(self.pins.read_bytes()).hexdigest()
        if self.content.get("pins") != digest:
            self.content = {"pins": digest, "pieces": {}}

    @cached_property
    def content(self) -> dict[str, Any]:
        """What is kept: the versions, and of each file its fingerprints and what came out."""
        return json.loads(self.kept.read_text(encoding="utf-8")) if self.kept.is_file() else {}

    def waiting(self) -> list[str]:
        """The files that have to run."""
        plan, pieces = planning.Plan(ROOT), self.content["pieces"]
        return [
            name
            for name in [*package_tests(), *NOTEBOOKS]
            if name not in pieces or pieces[name]["failed"] or pieces[name]["state"] != plan.state(name)
        ]

    def install(self) -> None:
        """Make the environment, and import every module of the package in it."""
        uv("venv", "--clear", f"--python={self.name.split('-')[1]}", str(self.environment))
        # pip is in every environment of a reader, and fetches the data sets.
        uv("pip", "install", f"--python={self.executable}", f"--requirements={self.pins}", "pip")
        (self.folder / "log.txt").unlink(missing_ok=True)
        self.run("-c", IMPORTS).check_returncode()
        self.run("-m", "transferbook", "assets", TRANSFERBOOK_WHEELHOUSE=fetched()).check_returncode()
        self.content["versions"] = json.loads(self.run("-c", VERSIONS, *direct_names()).stdout)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run this environment's Python as a reader's would run, and log what it says.

        What is computed with these libraries, such as features, goes into a cache of its own.
        """
        own = {
            "PYTHONPATH": str(ROOT),
            "PATH": f"{self.executable.parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "TRANSFERBOOK_CACHE": str(self.folder / "cache"),
        }
        done = subprocess.run(
            [self.executable, *arguments], cwd=ROOT, env=os.environ | own | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        with open(self.folder / "log.txt", "a", encoding="utf-8") as log:
            log.write(done.stdout)
        return done

    def test(self, names: list[str], jobs: int) -> None:
        """Run files of tests and notebooks, and keep what came out after each few."""
        parallel = ["-n", str(jobs), "--dist=loadscope"] if jobs > 1 else []
        for start in range(0, len(names), AT_ONCE):
            some, plan = names[start : start + AT_ONCE], planning.Plan(ROOT)
            report = self.folder / "report.xml"
            states = {name: plan.state(name) for name in some}  # a later edit does not count as tested
            report.unlink(missing_ok=True)
            self.run(
                "-m", "pytest", "--timeout=900", "--nbval-lax", "-o", "junit_family=xunit1",
                f"--junitxml={report}", *parallel, *some,
            )  # fmt: skip
            found = outcomes(report, some)
            for name in some:
                self.content["pieces"][name] = {"state": states[name], **found[name]}
            self.kept.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
            red = [name for name in some if found[name]["failed"]]
            print(f"{self.name}: {start + len(some)} of {len(names)} files", *red, flush=True)

    def summary(self) -> dict[str, Any]:
        """What the record says of this combination."""
        pieces = self.content["pieces"]
        tests = [pieces[name] for name in package_tests()]
        red = [name for name in NOTEBOOKS if pieces[name]["failed"]]
        versions = self.content["versions"]
        return {
            "python": versions["python"],
            "commit": commit(),
            "tests": {
                "passed": sum(piece["passed"] for piece in tests),
                "skipped": sum(piece["skipped"] for piece in tests),
                "failed": [test for piece in tests for test in piece["failed"]],
            },
            "notebooks": {"passed": len(NOTEBOOKS) - len(red), "failed": red},
            "versions": {name: versions[name] for name in direct_names()},
        }

    def tidy(self) -> None:
        """Remove what can be made again in a minute, for the packages stay in uv's cache."""
        shutil.rmtree(self.environment, ignore_errors=True)
        shutil.rmtree(self.folder / "cache", ignore_errors=True)


def outcomes(report: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """What came out of each file by a report of pytest (JUnit's XML); one without a test counts as failed."""
    found: dict[str, dict[str, Any]] = {name: {"passed": 0, "skipped": 0, "failed": []} for name in names}
    cases = ElementTree.parse(report).getroot().iter("testcase") if report.is_file() else ()
    for case in cases:
        kinds = {child.tag for child in case}
        if (file := case.get("file")) not in found:  # a file that cannot be imported has none
            continue
        if kinds & {"failure", "error"}:
            found[file]["failed"].append(f"{file}::{case.get('name')}")
        else:
            found[file]["skipped" if "skipped" in kinds else "passed"] += 1
    for name, counts in found.items():
        if not any(counts.values()):
            counts["failed"].append(f"{name} did not run")
    return found


def fetched() -> str:
    """The folder of wheels with the data sets and models that were fetched before; empty if there is none."""
    cache = os.environ.get("TRANSFERBOOK_CACHE") or Path.home() / ".cache" / "transferbook"
    folder = Path(cache, "wheels")
    return str(folder) if folder.is_dir() else os.environ.get("TRANSFERBOOK_WHEELHOUSE", "")


def commit() -> str:
    """The commit that is tested, with `-dirty` behind it if a file of it has changed."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    """Resolve, install and import all combinations first, which is quick; then test one after another."""
    parser = argparse.ArgumentParser()
    parser.add_argument("only", nargs="*", metavar="COMBINATION", help=", ".join(COMBINATIONS))
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    given = parser.parse_args()
    if strangers := set(given.only) - set(COMBINATIONS):
        parser.error(f"{', '.join(sorted(strangers))}: the combinations are {', '.join(COMBINATIONS)}.")
    chosen = {name: Combination(name) for name in given.only or COMBINATIONS}
    for one in chosen.values():
        one.resolve()
    waiting = {name: files for name, one in chosen.items() if (files := one.waiting())}
    for name in waiting:
        print(f"{name}: installing, and importing the package", flush=True)
        chosen[name].install()
    results = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    green = True
    for name, one in chosen.items():
        one.test(waiting.get(name, []), given.jobs)
        results[name] = one.summary()
        RECORD.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        tests, notebooks = results[name]["tests"], results[name]["notebooks"]
        red = tests["failed"] + notebooks["failed"]
        green = green and not red
        print(
            f"{name}: {tests['passed']} tests passed, {tests['skipped']} skipped, "
            f"{len(tests['failed'])} failed; of {len(NOTEBOOKS)} notebooks {notebooks['passed']} passed"
        )
        print("".join(f"  FAILED {test}\n" for test in red), end="", flush=True)
        if red:
            print(f"  {one.folder.relative_to(ROOT)}/log.txt says why; the environment stays beside it.")
        else:
            one.tidy()
    return 0 if green else 1


if __name__ == "__main__":
    sys.exit(main())
