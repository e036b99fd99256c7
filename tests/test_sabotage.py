"""Chapters under sabotage, and the machinery that does it over planted notebooks and a planted study."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import planning
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from notebook_rules import notebooks, read
from sabotage import harness

ROOT = Path(__file__).parents[1]
EXEMPLARS = ("part4_transfer_math/02_linear_fine_tuning", "part5_walkthroughs/05_bert_text_classifier")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "chapter" in metafunc.fixturenames:
        exemplars = [ROOT / "notebooks" / f"{name}.ipynb" for name in EXEMPLARS]
        others = [path for path in notebooks(ROOT) if path not in exemplars]
        drawn = others[int(planning.commit(ROOT), 16) % len(others) :][:1] if others else []
        chosen = exemplars + (others if metafunc.config.getoption("--all-chapters") else drawn)
        metafunc.parametrize("chapter", chosen, ids=[path.stem for path in chosen])


@pytest.mark.timeout(3_600)
def test_claims_fail_when_the_experiment_is_broken(chapter, tmp_path):
    records, errors = harness.run(chapter, ROOT, tmp_path)
    assert harness.problems(read(chapter), records, errors) == []


# --- the machinery -----------------------------------------------------------------------------------------

LEARN = """
import torch
from sklearn.linear_model import LogisticRegression
from transferbook.data import datasets
from transferbook.evidence import intervals, studies
from transferbook.evidence.claims import claim, claim_equal

def accuracy(seed):
    splits = datasets.optdigits(limit=200, seed=seed)
    model = LogisticRegression(max_iter=200).fit(splits.train.inputs.flatten(1), splits.train.labels)
    return model.score(splits.test.inputs.flatten(1), splits.test.labels)

scores = [accuracy(seed) for seed in range(5)]
"""
HONEST = "claim('accuracy', intervals.mean(scores), above=0.8, why='test')"
CANNOT_FAIL = "claim('size', intervals.mean([1.0, 1.1, 1.2, 1.3, 1.4]), above=0.9)"


def planted(folder: Path, *cells: str, **declared) -> Path:
    code = [new_code_cell(source) for source in cells]
    path = folder / "planted.ipynb"
    nbformat.write(new_notebook(cells=code, metadata={"transferbook": declared}), path)
    return path


def verdict(path: Path, folder: Path) -> list[str]:
    return harness.problems(read(path), *harness.run(path, ROOT, folder / "run"))


def test_an_honest_notebook_passes(tmp_path):
    both = f"{HONEST}\n{CANNOT_FAIL}"  # the second is reached although the first fails
    assert verdict(planted(tmp_path, LEARN, both, headline="accuracy"), tmp_path) == []


def test_a_claim_that_cannot_fail_is_reported(tmp_path):
    loop = "for name in ('a', 'b'):\n    claim_equal(f'same_{name}', torch.arange(3.0), torch.arange(3.0))"
    path = planted(tmp_path, LEARN, HONEST, CANNOT_FAIL, loop, headline="size")
    assert verdict(path, tmp_path) == [
        "the headline claim size still holds or is not counted although the experiment is broken",
        "only 1 of 4 claims fail, not size, same_a, same_b",
    ]


def test_an_unreached_claim_does_not_count_as_failed(tmp_path):
    path = planted(
        tmp_path, LEARN, HONEST, "1 / 0\nclaim(f'never_{0}', 1)\nclaim('n', 1)", headline="accuracy"
    )
    assert verdict(path, tmp_path) == [
        r"only 1 of 3 claims fail, not never_.+, n",
        "cells stopped: cell 3: ZeroDivisionError: division by zero",
    ]


def test_a_refused_claim_is_judged_by_its_bounds(tmp_path):
    flat = "claim('flat', intervals.mean([0.5] * 5), above=0.5)"
    path = planted(tmp_path, LEARN, HONEST.replace("0.8, why='test'", "-9"), flat, headline="flat")
    records, errors = harness.run(path, ROOT, tmp_path / "run")
    assert errors == []
    assert [(record["name"], record["failed"]) for record in records] == [("accuracy", False), ("flat", True)]


def test_a_declared_sabotage_is_applied(tmp_path):
    own = [{"find": "sign = 1", "replace": "sign = -1", "why": "labels play no part"}]
    imported = "from transferbook.evidence.claims import claim\nsign = 1"
    cells = (imported, "claim('sign', sign, above=0, kind='fact')")
    assert verdict(planted(tmp_path, *cells, headline="sign", sabotage=own), tmp_path) == []


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"find": "x = 3", "replace": "x = 4", "why": "test"}, "stands 0 times"),
        ({"find": "x = ", "replace": "y = ", "why": "test"}, "stands 2 times"),
        ({"find": "x = 1", "replace": "x = 1", "why": "test"}, "by itself"),
        ({"find": "x = 1", "replace": "x = 4"}, "has find, replace and why"),
    ],
)
def test_a_wrong_declaration_is_refused(declared, said):
    notebook = new_notebook(cells=[new_code_cell("x = 1"), new_code_cell("x = 2")])
    notebook.metadata["transferbook"] = {"sabotage": [declared]}
    with pytest.raises(harness.SabotageError, match=said):
        harness.broken(notebook)


def judged(*records: tuple[str, str, bool], cells: tuple[str, ...] = (), headline: str = "a") -> list[str]:
    notebook: NotebookNode = new_notebook(cells=[new_code_cell(source) for source in cells])
    notebook.metadata["transferbook"] = {"headline": headline}
    kept = [{"name": name, "kind": kind, "failed": failed} for name, kind, failed in records]
    return harness.problems(notebook, kept, [])


def test_half_of_the_counted_claims_must_fail():
    a, b = ("a", "comparison", True), ("b", "equal", False)
    aside = [("c", "chance", False), ("d", "agreement", False)]
    assert judged(a, b, *aside) == []
    assert judged(a, b, ("e", "fact", False), *aside) == ["only 1 of 3 claims fail, not b, e"]
    assert judged(a, b, cells=("claim('f', x)", "claim('g', x, kind='chance')")) != []
    assert judged(a, ("a", "comparison", False)) == []  # a name claimed twice fails once
    assert "still holds" in judged(("a", "chance", True), headline="a")[0]
    assert "was not reached" in judged(b, headline="a")[0]


STUDY = """
from dataclasses import dataclass
from transferbook.data import datasets

@dataclass(frozen=True)
class Config:
    method: str
    labels: int

def grid():
    return [(Config(method, labels), seed) for method in "ab" for labels in (20, 100) for seed in (0, 1)]

def smallest():
    return [(config, seed) for config, seed in grid() if config.labels == 20]

def run(config, seed):
    splits = datasets.optdigits(limit=config.labels, seed=seed)
    ordered = datasets.optdigits(limit=config.labels, seed=seed + 10)
    moved = float((splits.train.labels.sort().values == ordered.train.labels.sort().values).all())
    mean = splits.train.inputs[splits.train.labels == 0].float().mean()
    only_b = {"of_b": seed + 0.5} if config.method == "b" else {}
    return {"mean": float(mean), "code": 10.0 * (config.method == "b") + seed, "same_classes": moved} | only_b
"""


def test_studies_answer_with_sabotaged_rows(tmp_path, monkeypatch):
    from transferbook.evidence import runner, studies

    for name, place in (("TRANSFERBOOK_STUDIES", "studies"), ("TRANSFERBOOK_RESULTS", "results")):
        (tmp_path / place).mkdir()
        monkeypatch.setenv(name, str(tmp_path / place))
    (tmp_path / "studies" / "tiny.py").write_text(STUDY)
    runner.run("tiny", jobs=1, progress=False)
    before = studies.load("tiny")
    source = "from transferbook.evidence import studies\n"
    source += "studies.load('tiny').to_json('frame.json', orient='records')"
    path = planted(tmp_path, source)
    assert harness.studies_used(read(path)) == ["tiny"]
    _, errors = harness.run(path, ROOT, tmp_path / "run")
    assert errors == []
    after = json.loads((tmp_path / "frame.json").read_text())
    assert [row["labels"] for row in after] == before["labels"].to_list()
    assert [row["code"] for row in after] == before["code"].to_list()  # each from its own method and seed
    assert [row["of_b"] for row in after] == [None] * 4 + [0.5, 1.5] * 2  # a metric of one method alone
    assert [row["same_classes"] for row in after] == [1.0] * 8  # shuffled, not drawn anew
    means = {(row["method"], row["seed"]): row["mean"] for row in after}
    assert [row["mean"] for row in after] == [means[row["method"], row["seed"]] for row in after]
    assert all(mean not in before["mean"].to_list() for mean in means.values())


def test_a_study_that_cannot_run_answers_with_rows_dealt_out(tmp_path, monkeypatch):
    from transferbook.evidence import runner, studies

    for name, place in (("TRANSFERBOOK_STUDIES", "studies"), ("TRANSFERBOOK_RESULTS", "results")):
        (tmp_path / place).mkdir()
        monkeypatch.setenv(name, str(tmp_path / place))
    text = STUDY.replace("def smallest", "NEEDS = ('solar_cells',)\n\n\ndef smallest", 1)
    (tmp_path / "studies" / "tiny.py").write_text(text)
    runner.run("tiny", jobs=1, progress=False)
    before = studies.load("tiny")
    monkeypatch.setenv("TRANSFERBOOK_CACHE", str(tmp_path / "empty"))  # the optional asset is not there
    source = "from transferbook.evidence import studies\n"
    source += "studies.load('tiny').to_json('frame.json', orient='records')"
    _, errors = harness.run(planted(tmp_path, source), ROOT, tmp_path / "run")
    assert errors == []
    after = [row for row in json.loads((tmp_path / "frame.json").read_text()) if row["labels"] == 20]
    small = before[before["labels"] == 20]
    for metric in ("mean", "code"):
        values = [row[metric] for row in after]
        assert values != small[metric].to_list()
        assert sorted(values) == pytest.approx(sorted(small[metric]))  # the same numbers, in other rows
    assert [row["of_b"] for row in after][:2] == [None, None]  # nothing is dealt to rows that lack the metric
