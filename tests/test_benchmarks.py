"""The benchmarks at toy sizes: they compare equal work, and their records have the right form.

No time is held to a limit here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook
from torch import nn

from benchmarks import __main__ as command_line
from benchmarks import chapters, embedding, fit, frameworks, frozen, measure, peers, program, rivals, service
from transferbook import runtime
from transferbook.data import datasets
from transferbook.program import classify, predictor
from transferbook.serving import load, running

TINY = fit.Settings(examples=96, epochs=2, batch_size=32, repetitions=2)


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "device", lambda: torch.device("cpu"))


def check_form(row: measure.Measurement, repetitions: int) -> None:
    assert row.unit == "times" and len(row.ratios) == repetitions
    assert row.quartiles[0] <= row.value <= row.quartiles[1]
    assert len(row.seconds) == 2 and min(row.seconds.values()) > 0


def test_contestants_take_turns_and_the_ratio_is_the_median_of_the_rounds(monkeypatch):
    calls = []
    ticks = iter([0, 2, 0, 1, 0, 1, 0, 4, 0, 3, 0, 1])  # start and end of each call
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(ticks))
    contestants = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    seconds, _ = measure.interleave(contestants, 3)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert seconds == {"a": [2, 4, 3], "b": [1, 1, 1]}
    row = measure.compare("a over b", seconds, "a", "b", at_most=3, settings={})
    assert (row.value, row.quartiles, row.ratios) == (3, (2.5, 3.5), [2, 4, 3])
    assert str(row).endswith("at most 3: met")
    assert str(dataclasses.replace(row, value=3.1)).endswith("at most 3: MISSED")
    assert str(dataclasses.replace(row, at_most=None, at_least=4)).endswith("at least 4: MISSED")
    with pytest.raises(ValueError, match="at least 2 repetitions; got 1"):
        measure.interleave(contestants, 1)


def test_fit_on_the_network():
    rows = fit.measure_network(TINY)
    assert [row.at_most for row in rows] == [1.03, None]
    for row in rows:
        check_form(row, TINY.repetitions)


def test_fit_on_minilm():
    settings = fit.Settings(examples=4, epochs=1, batch_size=4, repetitions=2)
    (row,) = fit.measure_minilm(settings, max_tokens=6)
    check_form(row, 2)
    few = types.SimpleNamespace(prepare=lambda _: {"attention_mask": torch.tensor([[1, 1], [1, 0]])})
    with pytest.raises(ValueError, match="Only 1 of the 2 longest reviews"):
        fit.full_reviews(few, 2)


def test_unequal_work_is_no_measurement():
    data = fit.network_data(TINY)
    bare = fit.bare_loop(*data, TINY)
    shuffled = fit.bare_loop(*data, dataclasses.replace(TINY, seed=1))
    with pytest.raises(AssertionError, match="shuffled ended with other weights than bare"):
        fit.run_all({"bare": bare, "shuffled": shuffled}, fit.network, TINY)
    short = fit.bare_loop(*data, dataclasses.replace(TINY, epochs=1))
    with pytest.raises(AssertionError, match="short took 3 batches instead of 6"):
        fit.run_all({"bare": bare, "short": short}, fit.network, TINY)


def test_libraries_run_over_the_bare_loop():
    rows = frameworks.measure_frameworks({"DataLoader loop": fit.loader_loop}, TINY)
    assert [row.name.partition(" over")[0] for row in rows] == ["fit", "DataLoader loop"]
    for row in rows:
        check_form(row, TINY.repetitions)


@pytest.mark.parametrize("task", list(frozen.TASKS))
def test_cached_features_train_the_head_of_the_frozen_backbone(task: str):
    settings = frozen.Settings(
        task, examples=14, epochs=2, at_least=1, held_out=14, batch_size=5, repetitions=2
    )
    row = frozen.measure_frozen(settings)
    check_form(row, 2)
    assert "2 epochs" in row.name and "both accuracies" in row.checked


def test_a_frozen_comparison_of_unequal_heads_is_no_measurement(monkeypatch):
    def toy(examples: int) -> tuple[types.SimpleNamespace, datasets.Splits]:
        backbone = types.SimpleNamespace(module=nn.Flatten(), prepare=lambda images: images / 255, width=64)
        return backbone, datasets.optdigits(limit=examples)

    monkeypatch.setitem(frozen.TASKS, "toy", toy)
    settings = frozen.Settings("toy", examples=40, epochs=3, at_least=1, held_out=40, repetitions=2)
    check_form(frozen.measure_frozen(settings), 2)
    ours = frozen.cached_features
    longer = dataclasses.replace(settings, epochs=4)
    monkeypatch.setattr(frozen, "cached_features", lambda *arguments: ours(*arguments[:-1], longer))
    with pytest.raises(AssertionError, match="Tensor-likes are not close"):
        frozen.measure_frozen(settings)


@pytest.mark.parametrize("task", ["reviews", "pictograms"])
def test_program(task):
    train = {"reviews": 12, "pictograms": 1}[task]
    settings = program.Settings(task, train, valid=7, test=8, epochs=1, max_epochs=1, size=32, seeds=2)
    *differences, ratio = program.measure_program(settings)
    check_form(ratio, 2)
    assert [row.name.split()[0] for row in differences] == ["accuracy", "f1", "calibration_error"]
    for row in differences:
        ours, theirs = row.settings["program"], row.settings["tutorial"]
        mean = sum(a - b for a, b in zip(ours, theirs, strict=True)) / 2
        assert row.unit == "difference" and row.value == pytest.approx(mean, abs=2e-4)
        assert row.interval[0] <= row.value <= row.interval[1]
        assert f" [{row.interval[0]:.4g}, " in str(row)


def tiny(task: str, **changes: object) -> peers.Settings:
    train, limit = {"reviews": (12, 8), "pictograms": (1, 32)}[task]
    settings = peers.Settings(
        task, train, valid=14, test=7, limit=limit, rates=1, epochs=1, seeds=2, apart=1, most=1
    )
    return dataclasses.replace(settings, **changes)


def test_peers_take_turns_and_the_marks_are_set_on_other_seeds(monkeypatch):
    called = []

    def contestant(name):
        def learn(task: rivals.Task, clock: rivals.Clock, **_: int) -> rivals.Classify:
            called.append((name, task.seed, len(task.splits.train)))

            def classify(inputs):
                return nn.functional.one_hot(torch.zeros(len(inputs), dtype=torch.int64), 7)

            clock.look(classify)
            return classify

        return learn

    monkeypatch.setattr(peers, "pretrained", lambda _: None)
    monkeypatch.setattr(peers, "SLOW", ("slow",))
    monkeypatch.setattr(peers, "FEW", 2)
    monkeypatch.setattr(rivals, "book", contestant("book"))
    monkeypatch.setattr(rivals, "features_once", contestant("plain"))
    others = {name: contestant(name) for name in ("plain", "slow")}
    settings = tiny("pictograms", seeds=3, apart=2)
    rows = peers.measure_peers(settings, others)
    turns = [("book", 0), ("plain", 0), ("slow", 0), ("plain", 1), ("slow", 1), ("book", 1), ("book", 2)]
    apart = [("plain", 100), ("plain", 101), ("book", 100), ("book", 101)]
    trials = [("book", 99), ("plain", 99), ("slow", 99)]
    assert [pair[:2] for pair in called] == [*trials, *apart, *turns, ("plain", 2)]
    valid = peers.examples(settings, seed=0).valid.labels
    mark = float((valid == 0).double().mean()) - 0.01
    assert [row.settings["mark"] for row in rows] == [["plain", round(mark, 4)]] * 3 + [
        ["book", round(mark, 4)]
    ] * 3
    assert [len(row.ratios) for row in rows] == [0, 3, 2] * 2 and rows[1].at_least == 2
    assert len(peers.table(rows).splitlines()) == 5


def test_what_never_reaches_the_mark_counts_with_all_of_its_time_and_is_said_to():
    def outcome(*curve: tuple[float, float]) -> peers.Outcome:
        return peers.Outcome(curve, whole=9.0, test=0.5)

    assert outcome((1, 0.3), (2, 0.6), (4, 0.5)).seconds_to(0.5) == 2
    outcomes = {
        peers.BOOK: [outcome((3, 0.6)), outcome((1, 0.2), (2, 0.7)), outcome((1, 0.2))],
        "slow": [outcome((6, 0.6)), outcome((6, 0.2)), outcome((6, 0.6))],
        "never": [outcome((6, 0.2))] * 2,
    }
    settings = tiny("reviews", seeds=3)
    rows = [
        peers._row(name, outcomes, kind, 0.5, settings) for kind in ("plain", "book") for name in outcomes
    ]
    slow, never = rows[1:3]
    assert slow.ratios == [2, 4.5, 0] and slow.settings["seconds to the mark"] == [6, None, 6]
    assert never.ratios == [3, 4.5] and never.settings["seconds to the mark"] == [None, None]
    book, slow, never = peers.table(rows).splitlines()[2:]
    assert book.startswith("| the book's recipe | 2.5 (2 of 3) | 1 |")
    assert slow.startswith("| slow | 6.0 (2 of 3) | at least 2 [1, 3.2] |")
    assert never.startswith("| never | never | at least 3.8 [3.4, 4.1] |") and "| 9.0 | 0.500 |" in never


def test_scoring_is_off_the_clock(monkeypatch):
    ticks = iter([0, 5, 105, 107])  # start, a look, its end, a reading
    monkeypatch.setattr(rivals.time, "process_time", lambda: next(ticks))
    clock = rivals.Clock(datasets.optdigits(limit=20))
    labels = clock.splits.valid.labels
    clock.look(lambda _: nn.functional.one_hot(labels, 10))
    assert clock.curve == [(5, 1.0)] and clock.read() == 7


@pytest.mark.parametrize("task", ["reviews", "pictograms"])
def test_each_rival_that_can_be_imported_here_learns_and_is_looked_at(task):
    """fastai and Lightning are no part of the environment; only a measurement installs them."""
    settings = tiny(task)
    splits = peers.examples(settings, seed=0)
    here = {n: c for n, c in peers.RIVALS[task].items() if not n.startswith(("fastai", "Lightning"))}
    if task == "pictograms":  # on reviews it is compared with the program below
        here |= {"the book": functools.partial(rivals.book, rates=1, epochs=1)}
    for name, contestant in here.items():
        job = rivals.Task(splits, peers.pretrained(settings), settings.limit, seed=0, most=settings.most)
        clock = rivals.Clock(splits)
        end = contestant(job, clock)
        seconds, seen = zip(*clock.curve, strict=True)
        looks = {"Keras, 2": 2, "the book": 5}.get(name[:8], 1)
        assert len(seen) == looks, name
        assert 0 < seconds[0] and seconds == tuple(sorted(seconds)), name
        assert rivals.accuracy(end, splits.valid) == (max(seen) if name == "the book" else seen[-1]), name


def test_the_recipe_among_the_peers_is_that_of_the_program():
    settings = tiny("reviews")
    splits = peers.examples(settings, seed=0)
    asked = classify.Settings(seconds=None, max_epochs=1, pairs=0, cache=False, max_tokens=settings.limit)
    model = classify.train(splits, asked, progress=False)
    job = rivals.Task(splits, peers.pretrained(settings), settings.limit, seed=0)
    clock = rivals.Clock(splits)
    end = rivals.book(job, clock, rates=2, epochs=1)
    known = [candidate["accuracy"] for candidate in model.card["candidates"]]
    assert [accuracy for _, accuracy in clock.curve] == pytest.approx(known)
    torch.testing.assert_close(end(splits.test.inputs), model.evidence["test.logits"])


def test_the_table_of_peers_is_that_of_the_record():
    shown = peers.README.read_text(encoding="utf-8").partition(peers.START)[2].partition(peers.END)[0]
    assert shown.strip() == peers.table(measure.load("peers"))


def test_embedding():
    settings = embedding.Settings(examples=8, batch_size=4, repetitions=2)
    check_form(embedding.measure_text(settings), 2)
    check_form(embedding.measure_images(settings, size=32), 2)


def test_memory_is_that_of_the_largest_process():
    grow = "import sys; block = b'x' * int(sys.argv[1])"
    spawn = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grow!r}, sys.argv[1]], check=True)"
    )
    script = f"""
import sys
from benchmarks.chapters import run_measured
print(*[run_measured([sys.executable, "-c", {spawn!r}, size], {{}}) for size in ("1", str(2**29))])
"""
    command = [sys.executable, "-c", f"{script}"]  # from a small process
    done = subprocess.run(command, cwd=measure.ROOT, capture_output=True, text=True, check=True)
    small_seconds, small, large_seconds, large = (float(word.strip("(),")) for word in done.stdout.split())
    assert small_seconds > 0 and large_seconds > 0
    assert small < 0.25 and 0.5 <= large < 0.75


def test_a_command_that_fails_is_reported_with_its_last_words():
    with pytest.raises(RuntimeError, match=r"failed with status 1:\nno such thing\n$"):
        chapters.run_measured([sys.executable, "-c", "raise SystemExit('no such thing')"], {})


def test_a_notebook_runs_on_one_thread_with_wheels_and_nothing_else(tmp_path: Path):
    source = (
        "import os\nfrom transferbook.data import assets\nassert os.environ['OMP_NUM_THREADS'] == '1'\n"
        "found = [path.relative_to(assets.cache_dir()) for path in assets.cache_dir().rglob('*')]\n"
        "assert {path.parts[0] for path in found} == {'wheels'}\n"
        "assert {path.suffix for path in found} <= {'', '.whl', '.tgz'}\n"
        "assert assets.read_member('mnist_5k', 'mnist_5k.csv.gz')"
    )
    path = tmp_path / "chapter.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source)]), path)
    before = path.read_bytes()
    seconds, memory = chapters.measure_notebook(path)
    assert (seconds.name, seconds.unit, seconds.at_most) == ("chapter: time", "s", 150)
    assert (memory.name, memory.unit, memory.at_most) == ("chapter: memory", "GB", 4)
    assert path.read_bytes() == before
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        chapters.measure_notebook(path)


def test_a_record_says_what_was_measured_on_what_and_is_current_until_the_code_changes(tmp_path: Path):
    row = measure.Measurement(
        "a over b", 1.0, "times", {"n": 3}, at_most=2, quartiles=[0.9, 1.1], ratios=[1.0]
    )
    inputs = ("benchmarks/*.py",)
    assert measure.load("fit", tmp_path) == [] and not measure.is_current("fit", inputs, tmp_path)
    path = measure.record("fit", inputs, [row], tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["machine"] == runtime.describe() and content["versions"]["torch"]
    assert content["commit"] and content["threads"] == 1
    assert measure.load("fit", tmp_path) == [row]
    assert measure.is_current("fit", inputs, tmp_path)
    assert not measure.is_current("fit", ("benchmarks/measure.py",), tmp_path)
    path.write_text(json.dumps(content | {"machine": {}}), encoding="utf-8")
    assert not measure.is_current("fit", inputs, tmp_path)


def test_the_command_runs_what_is_missing_and_goes_on_after_a_failure(tmp_path, monkeypatch, capsys):
    for name, value in measure.FIXED.items():
        monkeypatch.setenv(name, value)
    ran = []

    def run(command: list[str], cwd: Path) -> object:
        ran.append(command[-1])
        return type("Done", (), {"returncode": int(command[-1] == "benchmarks.frozen")})

    monkeypatch.setattr(command_line.subprocess, "run", run)
    monkeypatch.setattr(measure, "is_current", lambda name, *_: name == "fit")
    assert command_line.main([], tmp_path) == 1
    assert ran == [
        "benchmarks.frameworks",
        "benchmarks.frozen",
        "benchmarks.embedding",
        "benchmarks.program",
        "benchmarks.peers",
        "benchmarks.service",
        "benchmarks.chapters",
    ]
    printed = capsys.readouterr().out
    assert "fit: measured already" in printed and "Failed, see above: frozen." in printed
    ran.clear()
    assert command_line.main(["fit"], tmp_path) == 0 and ran == ["benchmarks.fit"]
    with pytest.raises(SystemExit):
        command_line.main(["fits"], tmp_path)
    assert "There is no benchmark 'fits'; there are fit, frameworks" in capsys.readouterr().err


def test_committed_results_can_be_read_and_their_ratios_have_repetitions():
    known = {f"{name}.json" for name in command_line.BENCHMARKS}
    found = {path.name: path for path in measure.RESULTS.glob("*.json")}
    found.pop("gpu.json", None)  # a record of another form
    assert set(found) <= known
    for path in found.values():
        rows = measure.load(path.stem)
        assert rows and json.loads(path.read_text(encoding="utf-8"))["benchmark"] == path.stem
        assert all(len(row.ratios) >= 3 for row in rows if row.unit == "times")


def test_service(monkeypatch):
    """A real plain server; ours, which has its own tests, is stood in for by one that computes alike."""
    asked = []

    @contextlib.contextmanager
    def stand_in(model: Path, *options: object) -> Iterator[running.Running]:
        asked.append(options)
        found = predictor.load(model)

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
                with lock:
                    said = {"predictions": [{"label": found.predict([text]).names[0]}]}
                self.send_response(200)
                self.send_header("Content-Length", str(len(json.dumps(said))))
                self.end_headers()
                self.wfile.write(json.dumps(said).encode())

            def log_message(self, *_: object) -> None:
                pass

        lock, server = threading.Lock(), ThreadingHTTPServer((running.HOST, 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield running.Running(f"http://{running.HOST}:{server.server_port}", None, Path())
        server.shutdown()
        server.server_close()

    monkeypatch.setattr(running, "served", stand_in)
    settings = service.Settings(
        clients=(2,), loads=(0.5,), requests=8, rounds=2, servers=("plain FastAPI", "batches, 20 ms")
    )
    rows = service.measure_service(settings, examples=40)
    *compared, alone = rows
    assert [row.settings["what"] for row in compared] == ["throughput", "p50", "p90", "p50", "p90"]
    for row in compared:
        check_form(row, 2)
        assert row.settings["predicted"] > 0 and row.checked == "all decisions"
    assert set(alone.seconds) == {f"a batch of {size}" for size in service.SIZES}
    assert asked == [("--batch", 16, "--window", 20, *service.WIDE)]


def test_a_service_that_loses_a_request_or_decides_otherwise_is_not_measured():
    def trace(status: list[int], labels: list[str]) -> load.Trace:
        answers = [{"predictions": [{"label": label}]} for label in labels]
        return load.Trace(np.zeros(2), np.ones(2), np.array(status), answers)

    service._check(trace([200, 200], ["a", "b"]), ["a", "b"], "one")
    with pytest.raises(AssertionError, match=r"one answered 1 requests with \[0\] \(0: a connection broke"):
        service._check(trace([200, 0], ["a", "b"]), ["a", "b"], "one")
    with pytest.raises(AssertionError, match="one decides otherwise"):
        service._check(trace([200, 200], ["a", "a"]), ["a", "b"], "one")


def test_a_service_is_predicted_from_the_seconds_of_its_batches():
    def seconds(size: int) -> float:
        return 0.01 + 0.002 * size

    assert service.predicted_closed(seconds, 4, "plain FastAPI") == pytest.approx((1 / 0.012, 0.048))
    assert service.predicted_closed(seconds, 4, "batches, 20 ms") == pytest.approx((4 / 0.038, 0.038))
    assert service.predicted_closed(seconds, 16, "batches, 20 ms") == pytest.approx((16 / 0.042, 0.042))
    assert service.predicted_closed(seconds, 4, "batches, no window") == pytest.approx((4 / 0.028, 0.028))
    assert service.predicted_closed(seconds, 1, "batches, no window") == pytest.approx((1 / 0.012, 0.012))
    came = np.array([0.0, 0.001, 1.0])
    assert service.predicted_open(seconds, came, "one by one") == pytest.approx([0.012, 0.023, 0.012])
    assert service.predicted_open(seconds, came, "batches, no window") == pytest.approx([0.012, 0.023, 0.012])
    assert service.predicted_open(seconds, came, "batches, 20 ms") == pytest.approx([0.034, 0.033, 0.032])
