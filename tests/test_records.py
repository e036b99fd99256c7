from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from transferbook.evidence import records

SOURCE = '''"""A study."""
from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

RATE = 0.1
OTHER = 1


@dataclass(frozen=True)
class Config:
    """What a row varies."""

    method: str
    labels: int = 32

    def __post_init__(self) -> None:
        if self.labels < 1:
            raise ValueError("labels")

    @property
    def steps(self) -> int:
        return self.labels * 2


class Model:
    """Docstring."""

    def score(self, value: float) -> float:
        return inner(value)


def inner(value: float) -> float:
    """Docstring."""
    return value + 1.0


def helper(values: list[float]) -> float:
    total: float = fmean(values)
    return f"{total!r:>10}"


def unused() -> None:
    pass


def grid():
    return [(Config("probe"), seed) for seed in range(5)]


def run(config: Config, seed: int) -> dict[str, float]:
    """Docstring."""
    return {"accuracy": RATE * helper([Model().score(config.steps)])}
'''


def row(method: str = "probe", labels: int = 32, seed: int = 0, accuracy: float = 0.5) -> records.Row:
    config = {"method": method, "labels": labels}
    return {
        "config": config,
        "seed": seed,
        "metrics": {"accuracy": accuracy},
        "seconds": 1.0,
        "device": "cpu",
        "versions": {},
        "config_fingerprint": records.config_fingerprint(config),
        "run_fingerprint": "current",
    }


def edited(old: str, new: str) -> str:
    assert SOURCE.count(old) == 1, old
    return SOURCE.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('    """Docstring."""\n    return {', "    return {"),
        ('    """Docstring."""\n    return value', '    """Another."""\n    # a comment\n    return value'),
        ("return value + 1.0", "return (value +\n        1.0)"),
        ("total: float = fmean", "total: object = fmean"),
        ("inner(value: float) -> float", "inner(value)"),
        ("range(5)", "range(10)"),
        ("from statistics import fmean", "from statistics import fmean, median"),
        ("labels: int = 32", "labels: int = 16"),
        ("    method: str\n", "    method: str\n    size: int = 96\n"),
        ("self.labels < 1", "self.labels < 2"),
        ("OTHER = 1", "OTHER = 2"),
        ("    pass", "    print()"),
        ('"accuracy"', "'accuracy'"),
    ],
)
def test_what_cannot_change_a_row_keeps_its_fingerprint(old, new):
    assert records.run_fingerprint(edited(old, new)) == records.run_fingerprint(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RATE * helper", "helper"),
        ("total: float = fmean(values)", "total: float = fmean(values) / 2"),
        ("return value + 1.0", "return value + 1"),
        ("return inner(value)", "return -inner(value)"),
        ("RATE = 0.1", "RATE = 0.2"),
        ("from statistics import fmean", "from statistics import median as fmean"),
        ("self.labels * 2", "self.labels * 3"),
        ("total!r:>10", "total!s:>10"),
    ],
)
def test_what_can_change_a_row_changes_its_fingerprint(old, new):
    assert records.run_fingerprint(edited(old, new)) != records.run_fingerprint(SOURCE)


def test_a_module_may_move_to_another_folder_of_the_package():
    source = "from transferbook{} import datasets\nfrom transferbook{}.splits import Part\n"
    source += "def run(config, seed):\n    return datasets.optdigits(Part)\n"
    places = (("", ""), (".data", ".data"), (".other", ""))
    flat, moved, elsewhere = (source.format(*twice) for twice in places)
    assert records.run_fingerprint(moved) == records.run_fingerprint(flat)
    assert records.run_fingerprint(elsewhere) != records.run_fingerprint(flat)


def test_fingerprints_are_the_same_in_every_python_version():
    assert records.run_fingerprint(SOURCE) == "642487e69bffec2a"
    assert records.config_fingerprint({"b": (1, 2), "a": None}) == "c5f84d13a25f42c9"


def test_the_order_of_fields_does_not_change_a_config():
    assert records.config_fingerprint({"a": 1, "b": 2}) == records.config_fingerprint({"b": 2, "a": 1})
    assert records.config_fingerprint({"a": 1}) != records.config_fingerprint({"a": 2})


@pytest.mark.parametrize("value", [{1, 2}, float("nan")])
def test_a_config_that_json_cannot_hold_is_named(value):
    with pytest.raises(records.StudyError, match=r"The config .* cannot be stored as JSON"):
        records.config_fingerprint({"field": value})


def test_rows_are_sorted_with_numbers_as_numbers_and_one_on_a_line(tmp_path):
    path = tmp_path / "results" / "tiny.json"
    rows = [row("probe", 32), row("probe", 128), row("probe", 999, 2), row("probe", 999, 10), row("scratch")]
    for one in reversed(rows):
        records.record(path, one)
    assert records.read(path) == rows
    lines = path.read_text().splitlines()
    assert len(lines) == len(rows) + 2
    assert [json.loads(line.rstrip(",")) for line in lines[1:-1]] == rows


def test_a_tuple_sorts_as_the_list_it_becomes(tmp_path):
    path = tmp_path / "tiny.json"
    for sizes in [(2, 3), (1, 9), (2, 1)]:
        records.record(path, row() | {"config": {"sizes": sizes}})
    assert [one["config"]["sizes"] for one in records.read(path)] == [[1, 9], [2, 1], [2, 3]]


def test_a_new_row_replaces_only_the_one_of_its_config_and_seed(tmp_path):
    path = tmp_path / "tiny.json"
    for one in (row(seed=0), row(seed=1), row("scratch", seed=0)):
        records.record(path, one)
    after = records.record(path, row(seed=0, accuracy=0.75))
    assert after == records.read(path) == [row(seed=0, accuracy=0.75), row(seed=1), row("scratch", seed=0)]


def test_rows_of_an_older_run_are_dropped(tmp_path):
    path = tmp_path / "tiny.json"
    records.record(path, row(seed=0))
    records.record(path, row(seed=1) | {"run_fingerprint": "older"})
    records.drop_stale(path, "current")
    assert records.read(path) == [row(seed=0)]


def test_a_row_is_fresh_while_both_fingerprints_hold():
    older = row(seed=1) | {"run_fingerprint": "older"}
    tampered = row(seed=2) | {"config": {"method": "scratch", "labels": 32}}
    assert records.fresh([row(), older, tampered], "current") == {records.key(row()): row()}


@pytest.mark.parametrize("text", ["", "[]", '{"rows": [1]}', '{"rows": [{"seed": 1}]}', '{"rows": [\n<<<<'])
def test_a_damaged_file_is_named_with_what_mends_it(tmp_path, text):
    path = tmp_path / "tiny.json"
    path.write_text(text)
    with pytest.raises(records.StudyError, match=r"tiny.json is damaged .*python -m transferbook study tiny"):
        records.read(path)


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "tiny.json"
    records.record(path, row(seed=0))
    before = path.read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            records.record(path, row(seed=1))
    assert path.read_bytes() == before
    assert len(records.record(path, row(seed=1))) == 2


def test_four_writers_at_once_lose_no_row(tmp_path):
    path = tmp_path / "tiny.json"
    script = (
        "import json, sys\nfrom pathlib import Path\nfrom transferbook.evidence import records\n"
        "for row in json.loads(sys.argv[2]):\n    records.record(Path(sys.argv[1]), row)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(records.__file__).parents[2])}
    writers = []
    for method in "abcd":
        rows = json.dumps([row(method, seed=seed) for seed in range(25)])
        command = [sys.executable, "-c", script, str(path), rows]
        writers.append(subprocess.Popen(command, env=environment))
    assert [writer.wait(600) for writer in writers] == [0, 0, 0, 0]
    found = {(one["config"]["method"], one["seed"]) for one in records.read(path)}
    assert found == {(method, seed) for method in "abcd" for seed in range(25)}
