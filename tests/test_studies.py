from __future__ import annotations

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from transferbook.evidence import records, reruns, runner, studies
from transferbook.evidence.studies import StudyError

TINY = '''"""A tiny study."""
from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

METHODS = ("probe", "tune")


@dataclass(frozen=True)
class Config:
    method: str
    labels: int = 32
    sizes: tuple[int, ...] = (1, 2)


def grid():
    return [(Config(method, n), seed) for method in METHODS for n in (32, 128) for seed in range(5)]


def smallest():
    return [(Config("probe"), 0)]


def twice(value):
    """Docstring."""
    return 2 * value


def run(config, seed):
    """Docstring."""
    with Path(__file__).with_name("log.txt").open("a") as log:
        log.write(f"{config.method} {config.labels} {seed}\\n")
    return {"accuracy": config.labels + twice(random.random())}
'''


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty studies folder, which the package is told to use."""
    folder = tmp_path / "studies"
    folder.mkdir()
    monkeypatch.setenv("TRANSFERBOOK_STUDIES", str(folder))
    monkeypatch.delenv("TRANSFERBOOK_RESULTS", raising=False)
    return folder


@pytest.fixture
def tiny(folder) -> Path:
    """The path of a tiny study of 20 rows."""
    path = folder / "tiny.py"
    path.write_text(TINY)
    return path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))


def log(folder: Path) -> list[str]:
    """The rows that were run, in order, with repetitions."""
    path = folder / "log.txt"
    return path.read_text().splitlines() if path.exists() else []


def compute(jobs: int = 1) -> int:
    return runner.run("tiny", jobs=jobs, progress=False)


def start_runner(jobs: int) -> subprocess.Popen:
    """Run the tiny study in a process group of its own."""
    package = str(Path(studies.__file__).parents[2])
    script = f"from transferbook.evidence import runner; runner.run('tiny', jobs={jobs}, progress=False)"
    return subprocess.Popen(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": package}, start_new_session=True
    )


def set_seconds(path: Path, seconds: dict[str, float]) -> None:
    """Rewrite the recorded seconds of each row, by its method."""
    for row in records.read(path):
        records.record(path, row | {"seconds": seconds[row["config"]["method"]]})


def test_a_complete_run(tiny, capsys):
    assert runner.run("tiny", jobs=2) == 20
    assert "20/20" in capsys.readouterr().err
    assert Counter(log(tiny.parent)).most_common(1)[0][1] == 1

    rows = studies.load("tiny")
    assert list(rows) == ["method", "labels", "sizes", "seed", "accuracy", "seconds", "device"]
    assert list(zip(rows["method"], rows["labels"], rows["seed"], strict=True)) == [
        (method, labels, seed) for method in ("probe", "tune") for labels in (32, 128) for seed in range(5)
    ]
    assert rows["sizes"][0] == (1, 2)
    assert rows["accuracy"].groupby(rows["labels"]).nunique().tolist() == [5, 5]
    assert rows["device"].str.startswith(("cpu: ", "cuda: ")).all()
    assert rows["seconds"].between(0, 60).all()
    assert studies.problems("tiny") == []

    # Another process, another order: the same numbers, to the last bit.
    config, seed = studies.open_study("tiny").grid()[7]
    assert studies.rerun("tiny", config, seed) == {"accuracy": rows["accuracy"][7]}

    stored = records.read(studies.results_path("tiny"))[0]
    assert set(stored["versions"]) == {"python", *runner.LIBRARIES}
    assert stored["run_fingerprint"] == records.run_fingerprint(TINY)


def test_another_seed_gives_other_metrics(tiny):
    study = studies.open_study("tiny")
    (first, second) = ({seed: study.run(config, seed) for config, seed in study.grid()[:5]} for _ in range(2))
    assert first == second
    assert len({metrics["accuracy"] for metrics in first.values()}) == 5


def test_nothing_is_computed_or_written_twice(tiny):
    assert compute() == 20
    before = studies.results_path("tiny").read_bytes()
    assert compute() == 0
    assert studies.results_path("tiny").read_bytes() == before
    assert len(log(tiny.parent)) == 20


def test_a_killed_run_loses_only_the_rows_in_flight(tiny):
    edit(tiny, "    return {", "    time.sleep(0.3)\n    return {")
    path = studies.results_path("tiny")
    runner = start_runner(jobs=2)
    deadline = time.monotonic() + 600
    while len(records.read(path)) < 4:
        assert runner.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(runner.pid, signal.SIGKILL)
    runner.wait()
    recorded, started = records.read(path), log(tiny.parent)
    assert 4 <= len(recorded) < 20
    assert len(started) - len(recorded) <= 4  # two in flight, at most two on their way into the file

    edit(tiny, "    time.sleep(0.3)\n", "    time.sleep(0.3)  # resumed\n")
    assert compute() == 20 - len(recorded)
    assert len(log(tiny.parent)) == len(started) + 20 - len(recorded)
    assert [row for row in records.read(path) if row in recorded] == recorded
    assert len(studies.load("tiny")) == 20


def test_two_runners_at_once_share_the_work(tiny):
    edit(tiny, "    return {", "    time.sleep(0.1)\n    return {")
    runners = [start_runner(jobs=1), start_runner(jobs=1)]
    assert [runner.wait(600) for runner in runners] == [0, 0]
    assert len(studies.load("tiny")) == 20
    assert len(records.read(studies.results_path("tiny"))) == 20
    assert 20 <= len(log(tiny.parent)) < 40


def test_a_killed_worker_loses_no_recorded_row(tiny):
    edit(
        tiny,
        "    return {",
        '    if not (mark := Path(__file__).with_name("mark")).exists() and seed == 4:\n'
        "        mark.touch()\n        import os\n        os.kill(os.getpid(), 9)\n    return {",
    )
    with pytest.raises(StudyError, match=r"was killed .* go on with `python -m transferbook study tiny`"):
        compute(jobs=2)
    recorded = records.read(studies.results_path("tiny"))
    assert compute() == 20 - len(recorded)
    assert [row for row in records.read(studies.results_path("tiny")) if row in recorded] == recorded
    assert studies.problems("tiny") == []


def test_a_failing_row_is_reported_and_the_others_go_on(tiny):
    edit(
        tiny,
        "    return {",
        '    if config.labels == 128 and seed == 3 and Path(__file__).with_name("broken").exists():\n'
        '        raise ValueError(f"no such label in {config.method}")\n    return {',
    )
    (tiny.parent / "broken").touch()
    with pytest.raises(StudyError) as caught:
        compute()
    message = str(caught.value)
    assert message.startswith("2 of the 20 rows to compute failed, the others are recorded; mend ")
    assert "`python -m transferbook study tiny`" in message
    for line, method in zip(message.splitlines()[1:], ("probe", "tune"), strict=True):
        assert line.startswith(f'  {{"method": "{method}", "labels": 128, "sizes": [1, 2]}}, seed 3: ')
        assert line.endswith(f": ValueError: no such label in {method} (tiny.py, line 37)")
    assert len(records.read(studies.results_path("tiny"))) == 18

    (tiny.parent / "broken").unlink()
    assert compute() == 2
    assert studies.problems("tiny") == []


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ('{"accuracy": float("nan")}', 'The metric "accuracy" is nan; every metric must be a finite float'),
        ('{"accuracy": float("inf")}', 'The metric "accuracy" is inf'),
        ('{"accuracy": 1}', 'The metric "accuracy" is 1; every'),
        ('{"labels": 0.5}', 'The metric "labels" has the name of another column'),
        ('{"seconds": 0.5}', 'The metric "seconds" has the name of another column'),
        ("{}", "`run` returned {}; it must return a dict of metrics"),
        ("0.5", "`run` returned 0.5; it must return a dict of metrics"),
    ],
)
def test_metrics_must_be_finite_floats(tiny, returned, message):
    edit(tiny, '{"accuracy": config.labels + twice(random.random())}', returned)
    config, seed = studies.open_study("tiny").grid()[0]
    with pytest.raises(StudyError, match=re.escape(message)):
        studies.rerun("tiny", config, seed)
    with pytest.raises(StudyError, match=re.escape(f"StudyError: {message}")):
        compute()
    assert not studies.results_path("tiny").exists()


@pytest.mark.parametrize(("old", "new"), [("2 * value", "3 * value"), ('log.write(f"', 'log.write(f" ')])
def test_results_are_stale_once_run_or_a_helper_changed(tiny, old, new):
    compute()
    edit(tiny, old, new)
    assert studies.problems("tiny") == [
        "20 of the 20 rows of study tiny are stale: `run`, or something it uses, has changed since."
    ]
    with pytest.raises(StudyError, match=r"are stale: .* Mend it with `python -m transferbook study tiny`"):
        studies.load("tiny")
    assert compute() == 20
    assert studies.problems("tiny") == []
    assert len(records.read(studies.results_path("tiny"))) == 20


def test_results_stay_fresh_when_only_words_changed(tiny):
    compute()
    edit(tiny, '    """Docstring."""\n    with', '    """Other words."""\n    # and a comment\n    with')
    edit(tiny, '    """Docstring."""\n    return 2 * value', "    return (\n        2 * value)")
    assert studies.problems("tiny") == []
    assert compute() == 0


def test_adding_to_the_grid_invalidates_nothing(tiny):
    compute()
    before = records.read(studies.results_path("tiny"))
    edit(tiny, 'METHODS = ("probe", "tune")', 'METHODS = ("probe", "scratch", "tune")')
    assert studies.problems("tiny") == ["10 of the 30 rows of study tiny are missing."]
    with pytest.raises(StudyError, match="10 of the 30 rows of study tiny are missing"):
        studies.load("tiny")
    assert compute() == 10
    assert [row for row in records.read(studies.results_path("tiny")) if row in before] == before


def test_rows_outside_the_grid_are_kept_and_ignored(tiny):
    compute()
    edit(tiny, 'METHODS = ("probe", "tune")', 'METHODS = ("tune",)')
    assert set(studies.load("tiny")["method"]) == {"tune"}
    assert compute() == 0
    assert len(records.read(studies.results_path("tiny"))) == 20


def test_a_row_typed_in_under_another_config_is_missing(tiny):
    compute()
    path = studies.results_path("tiny")
    path.write_text(path.read_text().replace('"labels": 32', '"labels": 33'))
    assert studies.problems("tiny") == ["10 of the 20 rows of study tiny are missing."]


def test_a_damaged_results_file_stops_everything(tiny):
    path = studies.results_path("tiny")
    path.parent.mkdir()
    path.write_text('{"study": "tiny", "rows": [\n<<<<<<< HEAD\n')
    for function in (studies.load, studies.problems, lambda _: compute()):
        with pytest.raises(StudyError, match=r"tiny\.json is damaged .* restore it with git"):
            function("tiny")
    assert log(tiny.parent) == []


def test_results_can_live_elsewhere(tiny, tmp_path, monkeypatch):
    assert studies.results_path("tiny") == tiny.parent / "results" / "tiny.json"
    monkeypatch.setenv("TRANSFERBOOK_RESULTS", str(tmp_path / "elsewhere"))
    compute()
    assert len(records.read(tmp_path / "elsewhere" / "tiny.json")) == 20
    monkeypatch.delenv("TRANSFERBOOK_STUDIES")
    monkeypatch.delenv("TRANSFERBOOK_RESULTS")
    repository = Path(studies.__file__).resolve().parents[2]
    assert studies.results_path("tiny") == repository / "studies" / "results" / "tiny.json"


def test_names_lists_the_studies(tiny):
    (tiny.parent / "another.py").touch()
    (tiny.parent / "_shared.py").touch()
    assert studies.names() == ["another", "tiny"]


@pytest.mark.parametrize("name", ["nothing", "../studies/tiny", ""])
@pytest.mark.parametrize("function", [studies.load, runner.run, studies.problems, studies.open_study])
def test_an_unknown_study_is_named_beside_the_known_ones(tiny, name, function):
    message = f'There is no study "{name}" in {tiny.parent}; the studies there: tiny.'
    with pytest.raises(StudyError, match=re.escape(message)):
        function(name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def grid():", "def grid(:", r"tiny\.py cannot be executed: SyntaxError"),
        ("import random", "import nowhere", r"executed: ModuleNotFoundError.* \(tiny\.py, line 4\)"),
        ("def smallest", "def other", r"tiny\.py is no study: it does not define smallest\."),
        ("frozen=True", "frozen=False", "Config must be a frozen dataclass"),
        ("@dataclass(frozen=True)", "", "Config must be a frozen dataclass"),
        ("in range(5)", "in (1, 1)", r"grid\(\) is empty or lists a row twice"),
        ("in range(5)", "in ()", r"grid\(\) is empty or lists a row twice"),
        ("in range(5)", "in (1.0,)", r"grid\(\) must list \(Config, int\)"),
        ("(32, 128)", '({"a"}, 3)', "cannot be stored as JSON"),
    ],
)
def test_a_wrong_study_is_told_what_is_wrong(tiny, old, new, message):
    edit(tiny, old, new)
    with pytest.raises(StudyError, match=message):
        runner.run("tiny", progress=False)


def test_smallest_is_checked_like_the_grid(tiny):
    assert [seed for _, seed in studies.open_study("tiny").smallest()] == [0]
    edit(tiny, '[(Config("probe"), 0)]', '[("probe", 0)]')
    with pytest.raises(StudyError, match=r"smallest\(\) must list \(Config, int\)"):
        studies.open_study("tiny").smallest()


def test_jobs_must_be_positive(tiny):
    with pytest.raises(ValueError, match="jobs is 0; it must be at least 1"):
        runner.run("tiny", jobs=0)


def test_draw_takes_one_row_of_each_method_by_the_key(tiny):
    compute()
    stored = studies.load("tiny")
    drawn = reruns.draw("tiny", "a commit", 300)
    assert drawn == reruns.draw("tiny", "a commit", 300)
    assert sorted(config.method for config, _, _ in drawn) == ["probe", "tune"]
    for config, seed, metrics in drawn:
        row = stored[["method", "labels", "seed"]].eq([config.method, config.labels, seed]).all(axis=1)
        assert metrics == {"accuracy": stored["accuracy"][row].item()}
    turns = {
        (config.method, config.labels, seed)
        for number in range(100)
        for config, seed, _ in reruns.draw("tiny", str(number), 300)
    }
    assert len(turns) == 20


def test_draw_keeps_to_the_seconds_and_leaves_room_for_every_method(tiny):
    compute()
    path = studies.results_path("tiny")
    set_seconds(path, {"probe": 2.0, "tune": 6.0})
    for row in records.read(path):
        if row["seed"] == 0:
            records.record(path, row | {"seconds": 1.0})
    for number in range(20):
        drawn = reruns.draw("tiny", str(number), 6.5)
        assert len(drawn) == 2
        assert all(seed == 0 for config, seed, _ in drawn if config.method == "tune")
    assert [seed for _, seed, _ in reruns.draw("tiny", "key", 2.0)] == [0, 0]
    assert len(reruns.draw("tiny", "key", 1.5)) == 1
    assert reruns.draw("tiny", "key", 0.5) == []


def test_draw_takes_what_the_seconds_allow_beside_methods_that_are_too_dear(tiny):
    compute()
    set_seconds(studies.results_path("tiny"), {"probe": 2.0, "tune": 60.0})
    for number in range(20):
        assert [config.method for config, _, _ in reruns.draw("tiny", str(number), 30)] == ["probe"]
    turns = [reruns.draw("tiny", str(number), 60.5)[0][0].method for number in range(20)]
    assert set(turns) == {"probe", "tune"}


def test_draw_leaves_out_configs_of_few_seeds(tiny):
    edit(tiny, "for seed in range(5)]", "for seed in range(5 if n == 128 else 4)]")
    compute()
    drawn = [row for number in range(20) for row in reruns.draw("tiny", str(number), 300)]
    assert {config.labels for config, _, _ in drawn} == {128}


def test_agree_allows_four_standard_deviations_of_two_draws(tiny):
    edit(tiny, "twice(random.random())", "1.0 * twice(seed)")  # seed 2 is the middle one
    compute()
    config, _ = studies.open_study("tiny").grid()[0]
    rows = studies.load("tiny").query("method == 'probe' and labels == 32")
    stored, deviation = rows["accuracy"].iloc[2], rows["accuracy"].std(ddof=1)
    deviation *= math.sqrt(2)  # the re-run is a draw, and so is the record
    for offset in (0, 3.9, -3.9):
        assert reruns.agree("tiny", config, 2, {"accuracy": stored + offset * deviation}) == []
    for offset in (4.1, -4.1):
        (problem,) = reruns.agree("tiny", config, 2, {"accuracy": stored + offset * deviation})
        assert re.match(
            r"accuracy is \S+ and recorded as \S+; 5 seeds allow two draws to be \S+ apart", problem
        )
    assert len(reruns.agree("tiny", config, 2, {"accuracy": math.nan})) == 1
    assert len(reruns.agree("tiny", config, 2, {"loss": 0.5})) == 1


def test_agree_seldom_refuses_what_training_that_rounding_moves_gives_elsewhere(tiny):
    """Training that carries rounding up to the first digit gives another draw on each processor."""
    edit(tiny, "twice(random.random())", "random.gauss(0, 1)")
    edit(tiny, "for n in (32, 128)", "for n in range(10)")
    compute()
    grid = [(config, seed) for config, seed in studies.open_study("tiny").grid() if config.method == "probe"]
    elsewhere = random.Random(0)
    refused = [
        len(reruns.agree("tiny", config, seed, {"accuracy": config.labels + elsewhere.gauss(0, 1)}))
        for config, seed in grid * 10
    ]
    assert sum(refused) <= 0.004 * len(refused)  # one in a hundred and more at four deviations of one draw


def test_agree_asks_the_methods_other_configs_how_much_seeds_vary(tiny):
    """Five seeds that happen to lie close together must not refuse what another processor computes."""
    edit(tiny, "twice(random.random())", "seed * (0.1 if config.labels == 32 else 2.0)")
    compute()
    config, _ = studies.open_study("tiny").grid()[0]
    variance = 10 / 4  # of the seeds 0 to 4
    allowed = 4 * math.sqrt(2 * (0.1**2 + 2.0**2) / 2 * variance)
    assert reruns.agree("tiny", config, 2, {"accuracy": 32.2 + 0.99 * allowed}) == []
    assert len(reruns.agree("tiny", config, 2, {"accuracy": 32.2 + 1.01 * allowed})) == 1


def test_agree_holds_a_row_of_few_seeds_to_the_method(tiny):
    edit(tiny, "for seed in range(5)]", "for seed in range(5 if n == 128 else 2)]")
    edit(tiny, "twice(random.random())", "1.0 * twice(seed)")
    compute()
    config, _ = studies.open_study("tiny").grid()[0]
    for seed in (0, 1):
        stored = 32.0 + 2 * seed
        for offset in (0, 3.9 * math.sqrt(2 * 10)):
            assert reruns.agree("tiny", config, seed, {"accuracy": stored + offset}) == []
        assert len(reruns.agree("tiny", config, seed, {"accuracy": stored + 4.1 * math.sqrt(2 * 10)})) == 1


def test_agree_holds_no_rerun_to_a_time(tiny):
    edit(tiny, 'return {"accuracy"', 'return {"fit_seconds": 1.0, "seconds_saved": 1.0, "accuracy"')
    compute()
    config, seed = studies.open_study("tiny").grid()[0]
    accuracy = studies.load("tiny")["accuracy"].iloc[0]
    slow = {"fit_seconds": 99.0, "seconds_saved": 1.0, "accuracy": accuracy}
    assert reruns.agree("tiny", config, seed, slow) == []
    assert len(reruns.agree("tiny", config, seed, slow | {"seconds_saved": 99.0})) == 1


def test_agree_needs_the_row_and_a_second_seed(tiny):
    edit(tiny, "for seed in range(5)]", "for seed in range(1)]")
    compute()
    config, _ = studies.open_study("tiny").grid()[0]
    with pytest.raises(StudyError, match="Study tiny has no row of seed 7 of Config"):
        reruns.agree("tiny", config, 7, {"accuracy": 0.5})
    with pytest.raises(StudyError, match="Study tiny has no config with a second seed"):
        reruns.agree("tiny", config, 0, {"accuracy": 0.5})


def test_agree_where_all_seeds_are_equal_allows_rounding_only(tiny):
    edit(tiny, "twice(random.random())", "0.5")
    compute()
    config, seed = studies.open_study("tiny").grid()[0]
    assert reruns.agree("tiny", config, seed, {"accuracy": 32.5 * (1 + 1e-7)}) == []
    assert len(reruns.agree("tiny", config, seed, {"accuracy": 32.5 * (1 + 1e-4)})) == 1


def test_agree_takes_seeds_that_differ_by_rounding_for_equal(tiny):
    edit(tiny, "for n in (32, 128)", "for n in (32, 128, 256)")
    edit(tiny, "twice(random.random())", "(1.0 * (config.labels > 32) * twice(seed) + 1e-14 * seed)")
    edit(tiny, "config.labels +", "7.0 +")
    compute()
    config, seed = studies.open_study("tiny").grid()[0]
    spread = math.sqrt(2 * (0 + 10 + 10) / 3)  # as below: that of the method, not of the last digits
    assert reruns.agree("tiny", config, seed, {"accuracy": 7 + 3.9 * spread}) == []


def test_agree_where_one_config_does_not_vary_goes_by_the_method(tiny):
    edit(tiny, "twice(random.random())", "1.0 * (config.labels > 32) * twice(seed)")
    edit(tiny, "config.labels +", "(config.method == 'probe') *")
    compute()
    probe, tune = (studies.open_study("tiny").Config(method) for method in ("probe", "tune"))
    spread = math.sqrt(2 * 10 / 2)  # of 0, 2, 4, 6, 8 the variance is 10; of 0, 0, 0, 0, 0 it is 0
    assert reruns.agree("tiny", probe, 0, {"accuracy": 3.9 * spread}) == []
    assert len(reruns.agree("tiny", probe, 0, {"accuracy": 4.1 * spread})) == 1
    assert len(reruns.agree("tiny", tune, 0, {"accuracy": 0.01})) == 1  # nothing varies for this method


def test_the_results_file_holds_one_row_a_line(tiny):
    compute()
    lines = studies.results_path("tiny").read_text().splitlines()
    assert lines[0] == '{"study": "tiny", "rows": ['
    assert lines[-1] == "]}"
    assert [json.loads(line.rstrip(","))["seed"] for line in lines[1:-1]] == list(range(5)) * 4
