"""What the book stands on: the lock, licences, known weaknesses, and that no file that is read runs."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from types import ModuleType

import notebook_rules
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.txt").read_text(encoding="utf-8")


def script(name: str) -> ModuleType:
    """A script of `.ci`, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


audit, licences = script("audit"), script("licences")


# The lock


def pinned(lock: str) -> dict[str, str]:
    """Package -> the version that the lock gives this Python on this system."""
    lines = re.findall(r"^([\w.-]+(?:\[[^\]]*\])?==[^\s;]+(?: ;[^\\\n]*)?)", lock, re.MULTILINE)
    pins = [Requirement(line) for line in lines]
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in here}


def unmet(wanted: list[Requirement], lock: str) -> list[str]:
    """The requirements, and those of what they ask for, that the lock does not satisfy on this system."""
    pins, problems, seen, waiting = pinned(lock), [], set(), [(need, {""}) for need in wanted]
    while waiting:
        need, extras = waiting.pop()
        name = canonicalize_name(need.name)
        if need.marker and not any(need.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        if name not in pins or not need.specifier.contains(pins[name], prereleases=True):
            problems.append(f"{need} is not satisfied by {pins.get(name, 'nothing')}")
        elif (name, frozenset(need.extras)) not in seen:
            seen.add((name, frozenset(need.extras)))
            waiting += [(line, {"", *need.extras}) for line in asked_for(name, pins[name])]
    return sorted(set(problems))


def asked_for(name: str, version: str) -> list[Requirement]:
    """What a package asks for itself, where this version of it is installed."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Requirement(line) for line in found.requires or [] if found.version == version]


def direct() -> list[Requirement]:
    """The lines of both lists of direct dependencies."""
    files = [ROOT / "requirements.in", ROOT / "requirements-site.in"]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if re.match(r"\w", line)]


def test_the_lock_satisfies_what_is_asked_for():
    assert len(pinned(LOCK)) > 200 and len(direct()) > 50
    assert unmet(direct(), LOCK) == []


def test_a_lock_that_does_not_is_caught():
    older = re.sub(r"^torch==\S+", "torch==2.0.0", LOCK, flags=re.MULTILINE)
    found = unmet(direct(), older)
    assert "torch>=2.11 is not satisfied by 2.0.0" in found
    gone = re.sub(r"^jinja2==\S+", "jinja3==1", LOCK, flags=re.MULTILINE)
    assert any(re.match(r"(?i)jinja2.* is not satisfied by nothing", line) for line in unmet(direct(), gone))


# Licences


def test_the_page_of_licences_is_in_step(capsys):
    assert licences.main(check=True) is None
    page = (ROOT / "requirements-licences.md").read_text(encoding="utf-8")
    assert licences.standing(page).keys() == licences.pins(LOCK).keys()
    assert all(row.split(" | ")[2].strip() for row in licences.standing(page).values())
    assert not re.search(r"(?i)\| unknown", page)


def said(*fields: tuple[str, str]) -> Message:
    message = Message()
    for name, value in fields:
        message[name] = value
    return message


MIT, APPROVED = "License :: OSI Approved :: MIT License", "License :: OSI Approved"


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ([("License-Expression", "MIT"), ("License", "text")], "MIT"),
        ([("Classifier", MIT), ("Classifier", APPROVED), ("License", "see file")], "MIT License"),
        ([("Classifier", "Topic :: Education"), ("License", " BSD ")], "BSD"),
        ([("License", "Permission is hereby granted, " * 9)], None),
        ([("License", "UNKNOWN")], None),
        ([], None),
    ],
)
def test_a_licence_is_what_the_metadata_says(fields, licence):
    assert licences.licence(said(*fields)) == licence


def test_no_licence_is_left_open():
    def rows(lock: str, by_hand: dict, page: str = "") -> list[str]:
        return list(licences.rows(lock, by_hand, page))

    by_hand = {"not-here": {"licence": "MIT", "said": "its LICENSE"}}
    assert rows("not-here==1.0 \\\n", by_hand) == ["| not-here | 1.0 | MIT | its LICENSE |"]
    with pytest.raises(ValueError, match="not-here names no licence"):
        rows("not-here==1.0 \\\n", {})
    kept = "| not-here | 1.0 | ISC |  |"
    assert rows("not-here==1.0 \\\n", {}, f"{kept}\n") == [kept]
    with pytest.raises(ValueError, match="not-here names no licence"):
        rows("not-here==1.1 \\\n", {}, f"{kept}\n")
    with pytest.raises(ValueError, match="not-here, which the lock does not have"):
        rows("", by_hand)
    version = importlib.metadata.version("pytest")
    with pytest.raises(ValueError, match="take it out"):
        rows(f"pytest=={version} \\\n", {"pytest": {"licence": "MIT", "said": ""}})
    with pytest.raises(ValueError, match="pytest names no licence"):
        rows("pytest==0.1 \\\n", {})  # another version than is installed


# Known weaknesses, over a report that pip-audit wrote

REPORT = """
{"dependencies": [
 {"name": "pycrypto", "version": "2.6.1", "vulns": [
  {"id": "PYSEC-2017-94", "fix_versions": [], "aliases": ["GHSA-cq27-v7xp-c356", "CVE-2013-7459"],
   "description": "Heap-based buffer overflow"},
  {"id": "PYSEC-2018-97", "fix_versions": ["3.0"], "aliases": ["CVE-2018-6594", "GHSA-6528-wvf6-f6qg"],
   "description": "weak ElGamal"}]},
 {"name": "jinja2", "version": "3.1.6", "vulns": []},
 {"name": "absl-py", "skip_reason": "Dependency not found on PyPI and could not be audited"}],
 "fixes": []}
"""
AUDITED = "absl-py==2.5.1 \\\n    --hash=x\nJinja2==3.1.6 \\\npycrypto==2.6.1 ; os_name == 'posix' \\\n"


def judged(report: str = REPORT, **explained: str) -> list[str]:
    named = {name.replace("_", "-"): {"package": package, "why": "w"} for name, package in explained.items()}
    return audit.problems(json.loads(report), named, AUDITED)


FIRST = "pycrypto 2.6.1 has PYSEC-2017-94; it is mended in: no version yet."
SECOND = "pycrypto 2.6.1 has PYSEC-2018-97; it is mended in: 3.0."
LEFT_OUT = "1 of 3 packages were not looked up: absl-py."


def test_a_weakness_and_a_package_that_was_not_looked_up_are_said():
    assert judged() == [LEFT_OUT, FIRST, SECOND]
    whole = json.loads(REPORT)["dependencies"][:2]
    assert judged(json.dumps({"dependencies": whole}))[0] == LEFT_OUT  # as good as skipped


def test_an_explained_weakness_passes_by_any_of_its_names_and_for_its_package_alone():
    assert judged(CVE_2013_7459="pycrypto") == [LEFT_OUT, SECOND]
    assert judged(PYSEC_2017_94="jinja2")[1:] == [
        FIRST,
        SECOND,
        "PYSEC-2017-94 is explained, and was not found any more.",
    ]


def test_the_explanations_say_of_which_package_and_why():
    hand = licences.tomllib.loads((ROOT / ".ci/packages.toml").read_text(encoding="utf-8"))
    for name, entry in hand["findings"].items():
        assert entry.keys() == {"package", "why"} and len(entry["why"]) > 40, name
        assert entry["package"] in licences.pins(LOCK), name
    assert all(entry.keys() == {"licence", "said"} for entry in hand["licences"].values())


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"dependencies": [{}]}'])
def test_a_report_that_is_none_is_no_clean_one(tmp_path, content):
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    assert "is no report of pip-audit" in audit.main(str(tmp_path / "report.json"))


def test_a_clean_report_is_counted(tmp_path, capsys):
    names = licences.pins(LOCK)
    clean = {"dependencies": [{"name": name, "version": "1", "vulns": []} for name in names]}
    (tmp_path / "report.json").write_text(json.dumps(clean))
    assert audit.main(str(tmp_path / "report.json")) is None
    assert f"in {len(names)} packages." in capsys.readouterr().out


# Files that are read and could run

FORBIDDEN = {
    "pickle": {"load", "loads"}, "dill": {"load", "loads"}, "cloudpickle": {"load", "loads"},
    "joblib": {"load"}, "marshal": {"load", "loads"}, "shelve": {"open"}, "pd": {"read_pickle"},
    "pandas": {"read_pickle"}, "yaml": {"unsafe_load", "full_load", "load"},
}  # fmt: skip
SOURCES = ("transferbook", "coursework", "studies", "benchmarks", "book/_ext", ".ci")


def runs_what_it_reads(tree: ast.AST) -> Iterator[str]:
    """Calls that run code which lies in the file that they read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in FORBIDDEN:
            for alias in node.names:
                if alias.name in FORBIDDEN[node.module]:
                    yield f"line {node.lineno}: from {node.module} import {alias.name}"
        if isinstance(node, ast.ClassDef) and any(_name(base).endswith("Unpickler") for base in node.bases):
            if not any(isinstance(part, ast.FunctionDef) and part.name == "find_class" for part in node.body):
                yield f"line {node.lineno}: {node.name} finds any class"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\nimport " in node.value:
            try:  # a program that is written into a file
                yield from runs_what_it_reads(ast.parse(node.value))
            except SyntaxError:
                continue
        if not isinstance(node, ast.Call):
            continue
        module, _, function = _name(node.func).rpartition(".")
        given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        if function in FORBIDDEN.get(module, ()):
            yield f"line {node.lineno}: {module}.{function}"
        if function == "Unpickler":
            yield f"line {node.lineno}: an Unpickler that finds any class"
        if (module, function) == ("torch", "load") and given.get("weights_only") is not True:
            yield f"line {node.lineno}: torch.load without weights_only=True"
        if given.get("allow_pickle", False) is not False:
            yield f"line {node.lineno}: allow_pickle"


def _name(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def test_no_file_that_the_package_reads_is_run():
    files = [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 100
    found = {
        path.name: list(runs_what_it_reads(ast.parse(path.read_text(encoding="utf-8")))) for path in files
    }
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_no_file_that_a_chapter_reads_is_run():
    paths = notebook_rules.notebooks(ROOT) + sorted((ROOT / "coursework").rglob("*.ipynb"))
    found = []
    for path in paths:
        for _, cell in notebook_rules.cells(notebook_rules.read(path), "code"):
            found += [(path.stem, said) for said in runs_what_it_reads(notebook_rules.tree(cell))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=trusted)",
        "pickle.loads(content)",
        "from pickle import load",
        "np.load(path, allow_pickle=True)",
        "np.lib.format.read_array(file, allow_pickle=wanted)",
        "pickle.Unpickler(file).load()",
        "class Reader(pickle.Unpickler):\n    pass",
        "pd.read_pickle(path)",
        "joblib.load(path)",
        "yaml.load(text)",
        "PROGRAM = '''\nimport torch\ntorch.load(path)\n'''",
    ],
)
def test_what_runs_is_caught(source):
    assert len(list(runs_what_it_reads(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "np.load(path, allow_pickle=False)",
        "class Reader(pickle.Unpickler):\n    def find_class(self, module, name): raise ValueError",
        "yaml.safe_load(text)",
        "json.load(file)",
    ],
)
def test_what_only_reads_passes(source):
    assert list(runs_what_it_reads(ast.parse(source))) == []
