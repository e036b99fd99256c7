"""What each piece of the test run depends on and how long it takes: for `make check`, and for longest first.

A piece is what one process runs in one go: a notebook, a file of tests, or, in the files of `SINGLE`, one
test. Its *own* files are those that it tests: a notebook's code cells, a module and its tests, a fault. What
lies *behind* are the modules that these import, and the rows that they load. `Plan.choose` picks what changed
since a piece was last green, own changes first, as far as the seconds allow. Times and fingerprints are kept
in `_build/green.json`; a piece without a record counts as green at the last commit.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import house

SINGLE = ("test_faults.py", "test_sabotage.py", "test_study_results.py")
ESTIMATE = {"test_site.py": 90.0, "test_faults.py": 4.0, "test_study_results.py": 40.0}  # seconds, unrecorded
UNKNOWN = 20.0
RERUN = 400.0  # of the smallest grid of a study, under sabotage
# What tests read beside what they import, from the root.
READ = {
    "test_commands.py": [
        "Makefile", "requirements*", "README.md", "book/how_to_use.md", "_config.yml", "pyproject.toml",
        ".ci/*", ".devcontainer/*", ".github/workflows/*", "book/_ext/*.py",
    ],
    "test_articles.py": ["book/*.md", "notebooks/*/*.ipynb"],
    "test_coursework_class.py": ["coursework/**/*.*"],
    "test_coursework_exchange.py": ["coursework/**/*.*", "book/for_teachers.md"],
    "test_coursework_grading.py": ["coursework/**/*.*", "tests/hostile_submissions.py"],
    "test_coursework_sandbox.py": ["coursework/*.py"],
    "test_errata.py": ["book/errata.md", "notebooks/*/*.ipynb"],
    "test_exported.py": ["book/how_to_use.md"],
    "test_faq.py": ["book/*.md", "notebooks/*/*.ipynb"],
    "test_glossary.py": ["book/*.md", "notebooks/*/*.ipynb"],
    "test_for_teachers.py": ["book/for_teachers.md", "coursework/**/*.*", "Makefile"],
    "test_guide.py": [
        "book/which_strategy*", "book/which_strategy/*", "studies/*.py", "studies/results/*.json",
        "notebooks/part5_walkthroughs/*.ipynb",
    ],
    "test_house.py": ["CONTRIBUTING.md", "transferbook/**/*.py"],
    "test_book_cards.py": ["book/cards.md", "studies/*.py", "studies/results/*.json"],
    "test_main.py": ["book/data_and_models.md", "book/cards.md", "notebooks/*/*.ipynb"],
    "test_notebook_rules.py": ["_toc.yml", "book/**/*.*", "notebooks/**/*.*", "transferbook/**/*.py"],
    "test_outlook.py": ["book/*.md", "notebooks/*/*.ipynb"],
    "test_page_parts.py": ["_config.yml", "book/**/*.*"],
    "test_release.py": [
        "*.md", "book/how_to_use.md", "CITATION.cff", "pyproject.toml", "_config.yml", "Makefile",
        ".github/**/*.*",
    ],
    "test_serving.py": ["Dockerfile", ".dockerignore", "transferbook/serving/page/*"],
    "test_serving_language.py": ["transferbook/serving/**/*.*"],
    "test_serving_pictures.py": ["transferbook/serving/**/*.*"],
    "test_serving_texts.py": ["transferbook/serving/**/*.*"],
    "test_site.py": ["_*.yml", "README.md", "book/**/*.*", "notebooks/**/*.*", "coursework/slides.*"],
    "test_slides.py": ["coursework/slides.*"],
    "test_study_results.py": ["studies/*.py", "studies/results/*.json"],
    "test_supply_chain.py": [
        "requirements*", ".ci/*", "notebooks/*/*.ipynb", "transferbook/**/*.py", "coursework/**/*.*",
        "studies/*.py",
    ],
    "test_traps.py": ["notebooks/*/*.ipynb"],
    "test_versions.py": [".ci/*", "requirements*", "pyproject.toml"],
}


def piece(nodeid: str) -> str:
    """The piece that a test belongs to."""
    file = nodeid.partition("::")[0]
    return nodeid if file.rpartition("/")[2] in SINGLE else file


class Plan:
    """The pieces of a run of the tests of one book.

    Args:
        root: folder of the book.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "_build" / "green.json"
        text = self.file.read_text(encoding="utf-8") if self.file.is_file() else "{}"
        self.records: dict[str, dict[str, str | float]] = json.loads(text)
        self.digests: dict[tuple[Path, bool], str] = {}

    @cached_property
    def graph(self) -> dict[str, set[str]]:
        """Who imports whom in the package."""
        return house.imports(self.root / "transferbook")

    @cached_property
    def uncommitted(self) -> set[Path] | None:
        """The files that differ from the last commit; None where there is no repository."""
        command = ["git", "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True)
        if done.returncode != 0:
            return None
        return {self.root / entry[3:] for entry in done.stdout.split("\0") if entry}

    def inputs(self, name: str) -> tuple[set[Path], set[Path]]:
        """The files of a piece: its own, and those behind it."""
        file, _, test = name.partition("::")
        path, case = self.root / file, re.search(r"\[(.*)\]$", test)
        if path.suffix == ".ipynb":
            return {path}, self._behind(path)
        if path.name == "test_sabotage.py" and case:
            found = sorted(self.root.glob(f"notebooks/*/{case[1]}.ipynb"))
            return {*found, *self.root.glob("tests/sabotage/*.py")}, set().union(*map(self._behind, found))
        if path.name == "test_faults.py" and case:
            named = self.root / case[1]
            patch = self.root / "tests" / "faults" / f"{case[1]}.patch"
            own = {patch} if patch.is_file() else set(self.root.glob("tests/faults/*.patch"))
            for patched in own:
                lines = patched.read_text(encoding="utf-8").splitlines()
                caught, old = lines[0].removeprefix("# caught by: "), lines[1].removeprefix("--- a/")
                if patch.is_file() or self.root / caught.partition("::")[0] == named:
                    own = own | {self.root / old, self.root / caught.partition("::")[0]}
            return own, self._behind(self.root / "tests" / "test_faults.py")
        own = {path, *self.direct(path)}
        for pattern in READ.get(path.name, ()):
            own |= {entry for entry in self.root.glob(pattern) if entry.is_file() and not hidden(entry)}
        return own, self._behind(path)

    def fingerprint(self, name: str, files: set[Path]) -> str:
        """A hash of a piece's files; where notebooks are run and not read, of their code cells alone."""
        read = name.partition("::")[0].rpartition("/")[2] in READ
        lines = [f"{path.relative_to(self.root)} {self._digest(path, read)}" for path in sorted(files)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def seconds(self, name: str) -> float:
        """How long a piece is expected to take, from its last run or by what is known of it."""
        if name in self.records:
            return float(self.records[name]["seconds"])
        path = self.root / name.partition("::")[0]
        if path.suffix == ".ipynb":
            return stored_seconds(path)
        case = re.search(r"\[(.*)\]$", name)
        if path.name == "test_sabotage.py":
            found = list(self.root.glob(f"notebooks/*/{case[1]}.ipynb")) if case else []
            rows = [file for notebook in found for file in self._behind(notebook) if file.suffix == ".json"]
            return sum(map(stored_seconds, found)) + RERUN * len(rows) or 5.0
        return ESTIMATE.get(path.name, UNKNOWN)

    def choose(self, names: list[str], budget: float) -> tuple[set[str], list[str]]:
        """The pieces to run, and those that a change has touched but that the budget leaves out.

        Args:
            names: all pieces.
            budget: seconds of one core.
        """
        waiting = []
        for name in names:
            own, behind = self.inputs(name)
            if not self._is_green(name, "own", own):
                waiting.append((0, self.seconds(name), name))
            elif not self._is_green(name, "behind", behind):
                waiting.append((1, self.seconds(name), name))
        chosen: set[str] = set()
        left = []
        for _, seconds, name in sorted(waiting):
            if seconds <= budget:
                budget -= seconds
                chosen.add(name)
            else:
                left.append(name)
        return chosen, left

    def state(self, name: str) -> dict[str, str]:
        """The fingerprints of a piece as it is now."""
        own, behind = self.inputs(name)
        return {"own": self.fingerprint(name, own), "behind": self.fingerprint(name, behind)}

    def record(self, states: dict[str, dict[str, str]], times: dict[str, float], green: set[str]) -> None:
        """Keep what ran: the times of all, and that the green ones were so with these fingerprints."""
        for name, seconds in times.items():
            kept = states[name] if name in green else {"own": "red", "behind": "red"}
            self.records[name] = kept | {"seconds": round(seconds, 1)}
        self.file.parent.mkdir(exist_ok=True)
        fresh = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        fresh.write_text(json.dumps(self.records, indent=0, sort_keys=True), encoding="utf-8")
        os.replace(fresh, self.file)

    def _is_green(self, name: str, side: str, files: set[Path]) -> bool:
        if name in self.records:
            return self.records[name][side] == self.fingerprint(name, files)
        return self.uncommitted is not None and not self.uncommitted & files

    def _imported(self, path: Path) -> set[str]:
        """Dotted names that a file imports; of a notebook, its code cells."""
        if path.suffix == ".ipynb":
            found: set[str] = set()
            for cell in code_cells(path):
                with suppress(SyntaxError):  # magics, and articles' code that is no Python
                    found |= house.imported("".join(cell["source"]), "", "")
            return found
        return house.imported(path.read_text(encoding="utf-8"), "", "")

    def _modules(self, names: set[str]) -> set[Path]:
        files = house.modules(self.root / "transferbook")
        return {files[name] for name in names}

    def direct(self, path: Path) -> set[Path]:
        """The package's modules and the tests' helpers that a test file imports itself."""
        dotted = self._imported(path)
        helpers = {self.root / "tests" / f"{name.split('.')[0]}.py" for name in dotted}
        return self._modules(house.inside(dotted, "transferbook", self.graph.keys())) | {
            helper for helper in helpers if helper.is_file()
        }

    def _behind(self, path: Path) -> set[Path]:
        """All modules of the package under a file, and the studies whose rows it loads."""
        direct = house.inside(self._imported(path), "transferbook", self.graph.keys())
        found = self._modules(house.reached(direct, self.graph))
        if path.suffix == ".ipynb":
            for name in re.findall(r"studies\.\w+\(\s*\\?[\"'](\w+)", path.read_text(encoding="utf-8")):
                pair = (f"studies/{name}.py", f"studies/results/{name}.json")
                found |= {self.root / file for file in pair if (self.root / file).is_file()}
        return found

    def _digest(self, path: Path, read: bool) -> str:
        if (path, read) not in self.digests:
            content = path.read_bytes() if path.is_file() else b""
            if content and path.suffix == ".ipynb" and not read:
                content = json.dumps(code_cells(path), sort_keys=True).encode()
            self.digests[path, read] = hashlib.sha256(content).hexdigest()
        return self.digests[path, read]


def commit(root: Path) -> str:
    """The hash of the commit that is tested, which draws what a build has no time to do whole; else "0"."""
    command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.stdout.strip() or "0"


def hidden(path: Path) -> bool:
    """Whether a path is bytecode or lies in a folder of copies."""
    return any(part in ("__pycache__", ".ipynb_checkpoints") for part in path.parts)


def code_cells(path: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook file, outputs included."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def stored_seconds(path: Path) -> float:
    """The run time that a notebook has stored under the name `seconds`, or a guess."""
    for cell in code_cells(path):
        for output in cell["outputs"]:
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == "seconds":
                text = next(iter(output["data"].values()))
                return float("".join(text))  # Jupyter stores a text as a string or as a list of lines
    return UNKNOWN
