"""What a release says of itself, how to contribute to it, and that what both name exists and works."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import nbformat
import other_seeds
import page_links
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_output

import transferbook
from transferbook import __main__ as command
from transferbook.evidence import claims

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()
]
TARGETS = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[
    1
].split()


# The version


def test_one_version_is_said_everywhere():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", changes, re.MULTILINE)
    assert headings[0] == "Unreleased"
    version, date = headings[1].split(", ")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert version == cited["version"] == project["version"] == transferbook.__version__
    assert date == cited["date-released"] and re.fullmatch(r"\d{4}-\d\d-\d\d", date)
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert cited["title"] == config["title"] and cited["cff-version"] == "1.2.0" and cited["authors"]


@pytest.mark.parametrize("name", ["CHANGELOG.md", "CONTRIBUTING.md", "README.md", "requirements-licences.md"])
def test_links_lead_somewhere(name):
    page = ROOT / name
    assert page_links.dead_links(page.read_text(encoding="utf-8"), page) == []


# What GitHub shows and runs


def test_the_forms_ask_what_one_needs_to_know():
    forms = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
    assert {form.stem for form in forms} == {"config", "does_not_run", "idea", "wrong_result"}
    for form in forms:
        read = yaml.safe_load(form.read_text(encoding="utf-8"))
        if form.stem != "config":
            assert {"name", "description", "title", "body"} == read.keys()
            known = {field["id"] for field in read["body"]}
            assert len(known) == len(read["body"])
            assert any(field.get("validations", {}).get("required") for field in read["body"])
            assert all("label" in field["attributes"] for field in read["body"])
    assert "transferbook doctor" in (ROOT / ".github/ISSUE_TEMPLATE/does_not_run.yml").read_text(
        encoding="utf-8"
    )


def test_what_the_workflow_runs_exists():
    jobs = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text(encoding="utf-8"))["jobs"]
    run = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert len(run) == 3
    for line in run:
        first, *rest = line.split()
        if first == "make":
            assert set(rest) <= set(TARGETS)
        elif first == "sed":  # the one replacement must have something to replace
            old = re.search(r"s\|(.*?)\|", line)[1].replace('\\"', '"')
            assert old in (ROOT / "_config.yml").read_text(encoding="utf-8")
        else:
            assert (ROOT / first).stat().st_mode & 0o111, first


# The way of a chapter


def test_the_guide_s_make_targets_exist():
    named = {line.split()[1] for line in COMMANDS if line.startswith("make ")}
    named |= set(re.findall(r"`make ([a-z-]+)`", GUIDE))
    assert named > {"check", "lint", "book", "lock", "licences", "audit"} and named <= set(TARGETS)


def test_the_guide_s_other_commands_are_understood():
    """Each as it stands, with a chapter and a study that exist in place of those that it makes up."""
    chapter, study = "notebooks/part6_in_the_field/08_gestures", "low_rank"
    others = [line for line in COMMANDS if not line.startswith("make ")]
    assert len(others) == 10
    for line in others:
        assert line.startswith(".venv/bin/")
        real = line.replace("notebooks/part6_in_the_field/14_tides", chapter).replace(
            "14_tides", "08_gestures"
        )
        program, *given = real.replace("study tides", f"study {study}").split()
        if given[:2] == ["-m", "transferbook"]:
            parsed = command._parser().parse_args(given[2:])
            assert callable(parsed.command)
        elif given[:2] == ["-m", "pytest"]:
            done = subprocess.run(
                [ROOT / program, *given, "--collect-only", "-p", "no:cacheprovider"],
                cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0 and "08_gestures" in done.stdout, done.stdout[-500:]
        elif given[0] == "tests/other_seeds.py":
            assert other_seeds.reseeded(nbformat.read(ROOT / given[1], 4))
        else:
            assert program.endswith("/jupyter") and given[0] == "nbconvert" and (ROOT / given[-1]).is_file()


@pytest.mark.parametrize(("page", "least"), [("README.md", 3), ("book/how_to_use.md", 12)])
def test_the_commands_that_a_reader_is_told_are_understood(page, least):
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    given = re.findall(r"^\.venv/bin/python -m transferbook (.+)$", blocks, re.MULTILINE)
    assert len(given) >= least
    for line in given:
        assert callable(command._parser().parse_args(shlex.split(line, comments=True)).command), line


def test_the_guide_names_files_that_there_are():
    named = re.findall(r"`((?:book|tests|transferbook|studies)/[\w./]+|_toc\.yml|CITATION\.cff)`", GUIDE)
    assert len(named) > 9
    real = [name for name in named if "tides" not in name and "MODULE" not in name]
    assert [name for name in real if not (ROOT / name).exists()] == []


# Other seeds

CELLS = (
    "FIRST_SEED, SEEDS = 0, 5\nfrom transferbook.evidence import claims, intervals",
    "values = [1 + (FIRST_SEED + s) / 10 for s in range(SEEDS)]\n"
    "claims.claim('grows', intervals.mean(values), above=0.9)\n"
    "claims.claim('stays', intervals.mean(values), below=2.0)\n"
    "claims.claim('last', 3.0 + FIRST_SEED, above=2.0, kind='fact')",
)
STORED = (
    "grows = 1.2 [1.0, 1.4] over 5 seeds   holds: above 0.9\n"
    "stays = 1.2 [1.0, 1.4] over 5 seeds   holds: below 2\nlast = 3   holds: above 2\n"
)


def planted(folder: Path, *cells: str) -> Path:
    notebook = new_notebook(cells=[new_code_cell(source, execution_count=1) for source in cells])
    notebook.cells[-1].outputs = [new_output("stream", name="stdout", text=STORED)]
    nbformat.write(notebook, folder / "planted.ipynb")
    return folder / "planted.ipynb"


def test_every_claim_is_tried_with_other_seeds(tmp_path, capsys):
    path = planted(tmp_path, *CELLS)
    before = path.read_bytes()
    assert other_seeds.main([str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    now = dict(zip(lines[1::3], lines[3::3], strict=True))
    assert claims.TOO_EASY in now["  grows"]
    assert "FAILS: below 2" in now["  stays"] and "holds" in now["  last"]
    assert path.read_bytes() == before
    steady = CELLS[1].replace("(FIRST_SEED + s)", "s")
    assert other_seeds.main([str(planted(tmp_path, CELLS[0], steady))]) == 0
    assert other_seeds.main([str(planted(tmp_path, CELLS[0], f"1 / 0\n{steady}"))]) == 1
    assert "not reached" in capsys.readouterr().out


def test_a_chapter_without_a_first_seed_is_named(tmp_path, capsys):
    assert other_seeds.main([str(planted(tmp_path, "x = 1"))]) == 1
    assert other_seeds.main([str(tmp_path / "none.ipynb")]) == 1
    said = capsys.readouterr().out
    assert "0 cells have a line `FIRST_SEED = 0`" in said and "No such file" in said
