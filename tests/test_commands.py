"""The targets of the Makefile: what they install, what they say first, and who else names their commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the Makefile reads of a bare clone, in a folder whose name is no plain word."""
    folder = tmp_path / "a & b | it's c"
    shutil.copytree(ROOT / ".ci", folder / ".ci", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("*.md", "__pycache__"))
    (folder / "notebooks").mkdir()
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/page\n")
    for name in ("Makefile", "_config.yml", "pyproject.toml", *map(str, ROOT.glob("requirements*"))):
        shutil.copy(ROOT / name, folder)
    return folder


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: os.environ[name]
        for name in os.environ.keys() - {"MAKEFLAGS", "EXECUTE", "BOOK_EXECUTE", "PORT", "PYTHON"}
    }
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


# The two locks


def locked(name: str) -> dict[str, set[str]]:
    """Package and version -> its hashes, in a lock."""
    text = (ROOT / name).read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.\[\]-]+==[\w.+!]+)(.*(?: \\\n +--hash=\S+)+)", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[^\s#]", text, re.MULTILINE))
    hashes: dict[str, set[str]] = {}
    for pin, rest in pins:
        hashes.setdefault(pin, set()).update(re.findall(r"--hash=(\S+)", rest))
    return hashes


def test_the_site_is_locked_as_in_the_full_lock():
    site, full = locked("requirements-site.txt"), locked("requirements.txt")
    assert 50 < len(site) < 150 < len(full)
    assert {pin: hashes for pin, hashes in site.items() if full.get(pin) != hashes} == {}


def test_the_site_needs_nothing_of_torch():
    heavy = ("torch", "nvidia", "triton", "cuda", "numpy", "scipy", "transformers", "jupyterlab==")
    assert [pin for pin in locked("requirements-site.txt") if pin.startswith(heavy)] == []
    assert any(pin.startswith("torch==") for pin in locked("requirements.txt"))


def test_locks_name_no_index():
    for name in ("requirements.txt", "requirements-site.txt"):
        assert "://" not in (ROOT / name).read_text(encoding="utf-8")


def test_every_direct_dependency_is_locked():
    for name in ("requirements", "requirements-site"):
        lines = (ROOT / f"{name}.in").read_text(encoding="utf-8").splitlines()
        wanted = {re.match(r"[\w-]+", line)[0] for line in lines if re.match(r"\w", line)}
        assert wanted <= {pin.partition("==")[0].partition("[")[0] for pin in locked(f"{name}.txt")}
    assert "-r requirements-site.in" in (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()


def test_only_the_site_s_lock_is_installed_for_the_site(checkout):
    for arguments in (["book"], ["serve"]):
        printed = make(checkout, "-n", *arguments).stdout
        assert "-r requirements-site.txt" in printed and "-r requirements.txt" not in printed
    for arguments in (["book", "EXECUTE=1"], ["setup"], ["test"], ["lab"], ["lint"], ["assets"]):
        printed = make(checkout, "-n", *arguments).stdout
        assert printed.index("-r requirements-site.txt") < printed.index("-r requirements.txt")


# What is missing, in one sentence


NEED_PYTHON = [target for target in TARGETS if target not in ("help", "clean")]


def refused(checkout: Path, *arguments: str, **environment: str) -> str:
    """The sentence with which a target refuses, before it writes anything."""
    before = sorted(checkout.rglob("*"))
    result = make(checkout, *arguments, **environment)
    assert result.returncode != 0 and sorted(checkout.rglob("*")) == before
    said = [line for line in result.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == 1, result.stderr
    return said[0]


def stand_in(folder: Path, **modules: str) -> dict[str, str]:
    """An environment in which Python finds these modules first."""
    folder.mkdir()
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return {"PYTHONPATH": str(folder), "PYTHON": sys.executable}


@pytest.mark.parametrize("target", NEED_PYTHON)
def test_every_target_says_that_python_is_missing(checkout, target):
    said = refused(checkout, target, PYTHON="no-such-python")
    assert said == (
        "There is no no-such-python here, and the book needs Python 3.11, 3.12 or 3.13; "
        f"name it: make {target} PYTHON=python3.12."
    )


@pytest.mark.parametrize("target", NEED_PYTHON)
def test_every_target_says_that_python_is_too_old(checkout, tmp_path, target):
    old = stand_in(tmp_path / "old", sitecustomize="import sys\nsys.version_info = (3, 10, 4, 'final', 0)\n")
    said = refused(checkout, target, **old)
    assert said.startswith("The book needs Python 3.11, 3.12 or 3.13, and this is Python 3.10 (")
    assert said.endswith("PYTHON=python3.12.")


@pytest.mark.parametrize(
    ("module", "package"), [("venv", "-venv"), ("ensurepip", "-venv"), ("ssl", ""), ("zlib", "")]
)
def test_a_module_that_installing_needs_is_missing(checkout, tmp_path, module, package):
    version = ".".join(map(str, sys.version_info[:2]))
    hidden = f"import sys\nsys.modules[{module!r}] = None\n"
    said = refused(checkout, "book", **stand_in(tmp_path / "without", sitecustomize=hidden))
    assert f"has no module {module}, " in said and f"sudo apt install python{version}{package})" in said


OTHER = "3.13" if sys.version_info[:2] == (3, 12) else "3.12"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("echo 3.9", ".venv holds Python 3.9, and this is {here}: rm -rf .venv."),
        (
            f"echo {OTHER}",
            f".venv holds Python {OTHER}, and this is {{here}}: rm -rf .venv, or go on with it: "
            f"make book PYTHON=python{OTHER}.",
        ),
        ("exit 1", ".venv holds a Python that does not run, and this is {here}: rm -rf .venv."),
        (None, ".venv holds a Python that does not run, and this is {here}: rm -rf .venv."),
    ],
)
def test_a_venv_of_another_python_is_not_filled(checkout, answer, said):
    python = checkout / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    if answer:
        python.write_text(f"#!/bin/sh\n{answer}\n")
        python.chmod(0o755)
    else:
        python.symlink_to("/no/such/python")
    here = f"Python {'.'.join(map(str, sys.version_info[:2]))} ({sys.executable})"
    assert refused(checkout, "book", PYTHON=sys.executable) == said.format(here=here)


def test_a_taken_port_is_said_before_anything_is_built(checkout):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        said = refused(checkout, "serve", f"PORT={port}", PYTHON=sys.executable)
    assert said.startswith(f"Port {port} cannot be used (address already in use)")
    assert said.endswith("make serve PORT=8001.")
    assert subprocess.run([sys.executable, ROOT / ".ci/ready.py", "port", port], check=True).returncode == 0


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "80 80", ""])
def test_a_port_that_is_none_is_refused(checkout, port):
    said = refused(checkout, "serve", f"PORT={port}", PYTHON=sys.executable)
    assert said == f"PORT is '{port}'; it must be a number from 1 to 65535: make serve PORT=8001."


# A build in a folder whose name is no plain word, with stored results and with new ones


@pytest.mark.parametrize("execute", [False, True])
def test_a_site_is_built_wherever_the_checkout_lies(checkout, execute):
    cells = [
        "from transferbook.evidence import plotting\nplotting.use_style()\nprint(f'computed {6 * 7}')",
        "fig, ax = plotting.figure()",
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# Page"), *map(nbformat.v4.new_code_cell, cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, checkout / "book/page.ipynb")
    stored = (checkout / "book/page.ipynb").read_bytes()
    (checkout / ".venv").mkdir()
    (checkout / ".venv/bin").symlink_to(Path(sys.prefix) / "bin")
    for stamp in (".site", ".stamp"):
        (checkout / ".venv" / stamp).touch()

    options = ["-o", "assets", "EXECUTE=1"] if execute else []
    result = make(checkout, "book", *options, MPLBACKEND="agg")
    assert result.returncode == 0, result.stderr[-3_000:]
    address = re.search(r"^The site is at (file://\S+)$", result.stdout, re.MULTILINE)[1]
    assert (
        address == (checkout / "_build/html/index.html").as_uri()
        and (checkout / "_build/html/index.html").is_file()
    )
    page = (checkout / "_build/html/book/page.html").read_text(encoding="utf-8")
    assert ("computed 42" in page, "<img" in page.partition("<article")[2]) == (execute, execute)
    assert (checkout / "book/page.ipynb").read_bytes() == stored


# Who else names the commands


def commands(checkout: Path, *arguments: str) -> list[str]:
    """What a target runs in a bare clone, as typed in PowerShell."""
    result = make(checkout, "-n", *arguments)
    assert result.returncode == 0, result.stderr
    printed = result.stdout.splitlines()
    run = [line for line in printed if re.match(r"\.venv/bin/|python3 -m venv", line) and " -c " not in line]
    run = [line.replace(" --quiet --disable-pip-version-check", "") for line in run]
    return [
        re.sub(r"^\.venv/bin/", r".venv\\Scripts\\", line).replace("python3 -m venv", "py -3.12 -m venv")
        for line in run
    ]


def test_the_commands_for_windows_are_those_of_the_makefile(checkout):
    page = (ROOT / "book/how_to_use.md").read_text(encoding="utf-8")
    block = re.search(r"```powershell\n(.*?)```", page, re.DOTALL)[1]
    steps = re.findall(r"^# make (.+)\n((?:[^#\n].*\n)+)", block, re.MULTILINE)
    assert {step for step, _ in steps} == {
        "book",
        "serve",
        "setup",
        "assets",
        "lab",
        "test",
        "check",
        "book EXECUTE=1",
    }
    earlier: set[str] = set()
    for step, text in steps:
        lines = [line for line in text.splitlines() if not line.startswith("$env:")]
        wanted = commands(checkout, *step.split())
        assert wanted[-len(lines) :] == lines, step
        assert set(wanted[: -len(lines)]) <= earlier, step
        earlier |= set(lines)
        # The variables that the Makefile exports for this target, in the branch that the step takes.
        before, _, branch = MAKEFILE.partition("\nelse\n")
        read = branch if "EXECUTE=1" in step else before + branch.partition("\nendif\n")[2]
        exported = re.findall(rf"^{step.split()[0]}: export (\w+) \??= (\S+)$", read, re.MULTILINE)
        assert re.findall(r'^\$env:(\w+) = "(.*)"$', text, re.MULTILINE) == exported, step


def test_a_codespace_opens_with_everything_installed():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert container["image"].endswith("/python:3.12")
    command, *targets = container["postCreateCommand"].split()
    assert command == "make" and targets == ["setup", "assets"]
    editor = container["customizations"]["vscode"]
    assert editor["extensions"] == ["ms-python.python", "ms-toolsai.jupyter"]
    assert editor["settings"]["python.defaultInterpreterPath"].endswith("/.venv/bin/python")
    assert set(map(str, container["forwardPorts"])) == container["portsAttributes"].keys() == {"8000", "8888"}


def test_the_published_site_is_built_from_its_own_lock():
    jobs = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text(encoding="utf-8"))["jobs"]
    steps = {name: json.dumps(job["steps"]) for name, job in jobs.items()}
    assert '"requirements-site.txt"' in steps["site"] and '"make book"' in steps["site"]
    assert '"requirements.txt"' in steps["test"] and '".ci/run"' in steps["test"]
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").endswith("exec make test\n")
