"""The run on a GPU, tried without one: chapters as scripts, claims beside stored ones, and the report."""

from __future__ import annotations

import json
import time

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook, new_output

from benchmarks import chapters, gpu, measure, throughput
from transferbook import runtime

FIRST = """
import inspect
from transferbook.evidence import claims, intervals
import torch

def twice(x):
    return 2 * x

assert inspect.getsource(twice).startswith("def twice") and __name__ == "__main__"
print(__import__("os").getcwd())
"""
CLAIMS = """
claims.claim("gain", intervals.mean([0.3, 0.31, 0.32, 0.33, 0.34]), above=0.29)
claims.claim("loss", intervals.mean([0.3, 0.31, 0.32, 0.33, 0.34]), below=0.33)
claims.claim("count", torch.tensor(1_234.0), above=1, kind="fact")
claims.claim_equal("same", torch.arange(3.0), torch.arange(3.0) + 1e-8)
display("after a claim that failed")
report = part = keep = run = json = time = sys = None  # a chapter may call its own things so
"""
SAID = [
    "gain = 0.320 [0.300, 0.340] over 5 seeds   holds: above 0.29\n",
    "loss = 0.200 [0.180, 0.220] over 5 seeds   holds: below 0.33\nshown = 7\n",
    "count = 1,234   holds: above 1\nsame = 1e-08 largest difference over 3 values   holds: at most 1e-06\n",
]


@pytest.fixture
def chapter(tmp_path):
    def write(*sources, raises=(), name="toy"):
        cells = [new_code_cell(source) for source in sources]
        for number in raises:
            cells[number].metadata["tags"] = ["raises-exception"]
        cells[-1].outputs = [new_output("stream", text=text) for text in SAID]
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(new_notebook(cells=cells), path)
        return path

    return write


def test_a_chapter_runs_as_a_script_and_its_claims_are_kept(chapter):
    path = chapter(FIRST, "1 / 0", CLAIMS, raises=[1])
    report = gpu.run_chapter(path, gpu.CPU_ALONE, 120)
    assert report["error"] is None and report["seconds"] > 0
    assert [(entry["name"], entry["kind"], entry["holds"]) for entry in report["claims"]] == [
        ("gain", "comparison", True), ("loss", "comparison", False),
        ("count", "fact", True), ("same", "equal", True),
    ]  # fmt: skip
    assert "FAILS: below 0.33" in report["claims"][1]["said"]
    assert report["claims"][0]["low"] < report["claims"][0]["value"] == pytest.approx(0.32)
    both = gpu.side_by_side(path, {"gpu": report, "cpu": report})
    assert [(row["name"], row["within"]) for row in both["claims"]] == [
        ("gain", True), ("loss", False), ("count", None), ("same", None),
    ]  # fmt: skip
    assert both["claims"][2]["stored"] == {"value": 1234, "low": None, "high": None}
    assert both["errors"] == {} and both["seconds"]["gpu"] == report["seconds"]


@pytest.mark.parametrize(
    ("source", "seconds", "said"),
    [
        ("import no_such_package", 60, "cell 2: ModuleNotFoundError: No module named 'no_such_package'"),
        ("import os; os._exit(3)", 60, "ended with status 3: no word, in cell 2 of 3"),
        ("import time; time.sleep(60)", 10, "stopped after 10 seconds, in cell 2 of 3"),
    ],
)
def test_a_chapter_that_cannot_run_says_why_and_how_far_it_came(chapter, source, seconds, said):
    first = "from transferbook.evidence import claims\nclaims.claim('first', 2, above=1, kind='fact')"
    report = gpu.run_chapter(chapter(first, source, CLAIMS), {}, seconds)
    assert report["error"].startswith(said) and [entry["name"] for entry in report["claims"]] == ["first"]


def test_chapters_run_on_both_sides_the_gpu_first_and_none_after_the_end(chapter, monkeypatch):
    ran, kept = [], []

    def stand_in(path, environment, seconds):
        ran.append((path.stem, environment))
        return {"claims": [], "seconds": 1.0, "error": None}

    monkeypatch.setattr(gpu, "run_chapter", stand_in)
    paths = [chapter(CLAIMS, name=name) for name in ("one", "two")]
    keep = lambda *row: kept.append(row)  # noqa: E731
    gpu.run_chapters(paths, {"gpu": {}, "cpu": gpu.CPU_ALONE}, time.monotonic() + 60, 1, keep)
    assert ran == [("one", {}), ("two", {}), ("one", gpu.CPU_ALONE), ("two", gpu.CPU_ALONE)]
    ran.clear(), kept.clear()
    gpu.run_chapters(paths, {"gpu": {}, "cpu": gpu.CPU_ALONE}, time.monotonic(), 1, keep)
    assert not ran and {row[2]["error"] for row in kept} == {"not run: no time was left"}


def test_the_page_is_what_the_record_says(tmp_path, capsys):
    page = tmp_path / "page.md"
    assert gpu.main(["--again", "--page", str(page)]) == 0
    stored = (measure.ROOT / "book/cpu_and_gpu.md").read_text(encoding="utf-8")
    mend = "python -m benchmarks.gpu --again --page book/cpu_and_gpu.md"
    assert page.read_text(encoding="utf-8") == stored, mend
    with pytest.raises(SystemExit):
        gpu.main(["--again", "--page", str(page), "--out", str(tmp_path / "none.json")])
    assert "--again needs the record none.json" in capsys.readouterr().err


def test_an_error_is_told_in_a_line_without_the_folders_of_a_machine():
    said = gpu._short("cell 3: \x1b[96mstep\x1b[0m of /some/where/python3 and/or notebooks/a.ipynb\nmore")
    assert said == "cell 3: step of python3 and/or notebooks/a.ipynb"


def test_every_claim_of_the_book_is_read_from_its_stored_outputs():
    for path in chapters.notebooks():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "".join(
            "".join(output.get("text", "")) + "\n" for cell in cells for output in cell.get("outputs", [])
        )
        said = {
            line.partition(" = ")[0] for line in text.splitlines() if " holds: " in line and " = " in line
        }
        assert set(gpu.stored_claims(path)) == said, path.stem


@pytest.mark.parametrize("task", throughput.TASKS)
def test_throughput_counts_the_same_work_on_both_sides(task, monkeypatch):
    monkeypatch.setattr(runtime, "device", lambda: torch.device("cpu"))
    row = throughput.measure(task, throughput.Sizes(batch=2, steps=2, epochs=1, rounds=1))
    assert set(row["examples_per_second"]) == {"fit", "resident batches"} and row["ratio"] > 0


def test_the_whole_way_without_a_gpu(chapter, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runtime, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(gpu.throughput, "TASKS", {})
    monkeypatch.setattr(chapters, "notebooks", lambda: [measure.ROOT / "notebooks" / "toy.ipynb"])
    report = {"claims": [{"name": "gain", "kind": "comparison", "value": 0.1, "low": 0, "high": 0.2,
                          "holds": False, "said": "gain = 0.1 FAILS: above 0.29"}],
              "seconds": 2.0, "error": "cell 4: KeyError: 'x'"}  # fmt: skip
    monkeypatch.setattr(gpu, "run_chapter", lambda *_: report)
    monkeypatch.setattr(gpu, "stored_claims", lambda _: {"gain": {"value": 0.3, "low": 0.25, "high": 0.35}})
    out, page = tmp_path / "gpu.json", tmp_path / "page.md"
    with pytest.raises(SystemExit):
        gpu.main(["--out", str(out)])
    assert "There is no GPU here" in capsys.readouterr().err and not out.exists()
    with pytest.raises(SystemExit):
        gpu.main(["--dry", "--only", "nowhere", "--out", str(out)])
    assert "No chapter has 'nowhere' in its path." in capsys.readouterr().err
    assert gpu.main(["--dry", "--out", str(out), "--page", str(page)]) == 1
    printed = capsys.readouterr().out
    assert "0 of 1 claims hold" in printed and "0 of 1 values lie in the stored interval" in printed
    assert "gain = 0.1 FAILS: above 0.29" in printed and "toy: cell 4: KeyError: 'x'" in printed
    written = page.read_text(encoding="utf-8")
    assert "| `2` | `2` | `0 of 1` | `0 of 1` | in part |" in written
    assert "`toy`: `cell 4: KeyError" in written
    assert "| `gain` | `0.3 [0.25, 0.35]` | `0.1 [0, 0.2]` | `0.1 [0, 0.2]` |" in written
    assert json.loads(out.read_text(encoding="utf-8"))["machine"]["device"] == "cpu"
