"""What runs on other versions of the libraries, and how it is counted."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("versions", ROOT / ".ci" / "versions.py")
versions = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(versions)


# What is run


def test_tests_of_the_package_are_chosen_by_what_they_import_and_read():
    chosen = {Path(name).stem for name in versions.package_tests()}
    assert chosen >= {"test_training", "test_serving", "test_export", "test_intervals"} and len(chosen) > 60
    assert not chosen & {"test_site", "test_notebook_rules", "test_guide", "test_study_results"}
    assert not chosen & {"test_faults", "test_sabotage", "test_coursework_class", "test_versions"}
    assert all((ROOT / name).is_file() for name in versions.NOTEBOOKS)


def test_what_came_out_is_counted_and_what_did_not_run_is_red(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase file="a.py" name="one"/><testcase file="a.py" name="two"><skipped/>'
        '</testcase><testcase file="b.py" name="three"><failure/></testcase>'
        '<testcase file="b.py" name="four"><error/></testcase>'
        '<testcase classname="" name="c"><error/></testcase></testsuite></testsuites>'
    )
    assert versions.outcomes(report, ["a.py", "b.py", "c.py"]) == {
        "a.py": {"passed": 1, "skipped": 1, "failed": []},
        "b.py": {"passed": 0, "skipped": 0, "failed": ["b.py::three", "b.py::four"]},
        "c.py": {"passed": 0, "skipped": 0, "failed": ["c.py did not run"]},
    }
    assert versions.outcomes(tmp_path / "none.xml", ["a.py"])["a.py"]["failed"] == ["a.py did not run"]


# What came out


def test_what_is_allowed_was_tried_at_both_ends():
    """The record is made anew by `make test-versions` when a lowest version changes."""
    record = json.loads(versions.RECORD.read_text(encoding="utf-8"))
    assert set(record) >= {"lowest-3.11", "newest-3.12", "newest-3.13"}
    files = [ROOT / "requirements.in", ROOT / "requirements-site.in"]
    lines = [line for file in files for line in file.read_text().splitlines() if line[:1].isalpha()]
    allowed = {asked.name.lower(): asked.specifier for asked in map(Requirement, lines)}
    for name, found in record.items():
        assert found["python"].startswith(f"{name.partition('-')[2]}.")
        assert found["tests"]["failed"] == found["notebooks"]["failed"] == []
        assert found["tests"]["passed"] > 1_500 and found["notebooks"]["passed"] == len(versions.NOTEBOOKS)
        assert [package for package in allowed if found["versions"][package] not in allowed[package]] == []
    lowest = {package: Version(version) for package, version in record["lowest-3.11"]["versions"].items()}
    named = {name: [one for one in specifier if one.operator == ">="] for name, specifier in allowed.items()}
    assert [name for name, (one,) in named.items() if lowest[name] != Version(one.version)] == []
