"""`fit` in two real processes, against one: started once by torchrun, once by accelerate launch."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from transferbook.learning import checkpoints, processes, training

PROGRAM = """
import os, random, signal, sys
from pathlib import Path
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transferbook.learning import checkpoints, training

folder, wanted = Path(sys.argv[1]), sys.argv[2:]
rank = int(os.environ.get("RANK", 0))

def task(n=61):
    x = torch.randn(n, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, (x[:, 0] + 0.3 * x[:, 1] > 0).long()

def network(*middle, spare=False):
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(5, 8), *middle, nn.ReLU(), nn.Linear(8, 2)).double()
    if spare:
        model[0].spare = nn.Linear(3, 3)  # a layer that is never asked
    return model

def fit(model, data, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.5)
    if options.pop("scheduled", False):
        options["schedule"] = training.warmup_linear(optimizer, 10)
    history = training.fit(model, data, optimizer=optimizer, **({"epochs": 3, "batch_size": 12} | options))
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]
    return {"weights": model.state_dict(), "rows": rows, "best": history.best_epoch, "by": history.stopped_by}

def plain():  # the last batch has one example, the validation part 31
    x, y = task()
    return fit(network(spare=True), (x, y), valid=(x[:31], y[:31]), clip_norm=0.3, scheduled=True)

def accumulated():
    x, y = task()
    return fit(network(), (x, y), valid=[(x[:7], y[:7]), (x[7:20], y[7:20])], clip_norm=0.3, accumulate=2)

def patience():
    x, y = task()
    def loss(outputs, labels):  # in the second process every epoch scores better than the one before
        nonlocal calls
        calls += not outputs.requires_grad
        better = 0 if outputs.requires_grad else rank * 10 * calls
        return nn.functional.cross_entropy(outputs, labels) - better
    calls = 0
    return fit(network(), (x, y), valid=(x, 1 - y), patience=2, epochs=9, loss=loss)

def time():
    now = 0.0
    def loss(outputs, labels):
        nonlocal now
        now += rank  # the clock of the second process alone goes on
        return nn.functional.cross_entropy(outputs, labels)
    clock, training.time.perf_counter = training.time.perf_counter, lambda: now
    try:
        return fit(network(), task(), max_seconds=7.5, loss=loss)
    finally:
        training.time.perf_counter = clock

def loader():
    x, y = task()
    x[:, 4] = torch.arange(61)
    seen, model = [], network()
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][:, 4].int().tolist()))
    torch.manual_seed(rank)  # each process on its own would draw another order
    with_masks = fit(model, DataLoader(TensorDataset(x, y), batch_size=12, shuffle=True), epochs=2)
    return with_masks | {"seen": seen, "draw": torch.rand(3)}

def batchnorm():
    model, seen = network(nn.BatchNorm1d(8)), []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    return fit(model, task(51), epochs=2) | {"seen": seen}

def refusals():
    said = []
    def refused(**options):
        before = network()
        x, y = options.pop("data", task())
        try:
            fit(before, (x, y), **options)
        except ValueError as error:
            said.append(str(error))
    x, y = task()
    refused(batch_size=7)
    refused(checkpoint=None if rank else folder / "never.pt")
    refused(data=(x, y) if rank else (x.flip(0), y.flip(0)))
    return {"said": said}

def killed(kill=True):
    mark = folder / "killed"
    replacing, saved = checkpoints.files.replacing, []
    steps = 0
    def loss(outputs, labels):
        nonlocal steps
        steps += outputs.requires_grad
        if kill and rank == 1 and steps == 8 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return nn.functional.cross_entropy(outputs, labels)
    checkpoints.files.replacing = lambda path: saved.append(1) or replacing(path)
    x, y = task(57)
    try:
        file = folder / ("killed.pt" if kill else "whole.pt")
        return fit(network(nn.Dropout(0.5)), (x, y), valid=(x, y), patience=9, loss=loss, checkpoint=file,
                   checkpoint_every=1) | {"steps": steps, "saved": len(saved)}
    finally:
        checkpoints.files.replacing = replacing

def whole():
    return killed(kill=False)

if __name__ == "__main__":
    for name in wanted:
        file = folder / f"{name}.{rank}.pt"
        if not file.exists():  # after a restart only what is still to do
            torch.save(globals()[name](), file)
"""
CASES = ("plain", "accumulated", "patience", "time", "loader", "batchnorm", "refusals", "whole", "killed")


def start(folder: Path, launcher: list[str], cases: tuple[str, ...]) -> subprocess.CompletedProcess:
    program = folder / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "HOME": str(folder)}
    # What a launcher may set; `fit` goes by its own arguments.
    environment |= {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4", "ACCELERATE_MIXED_PRECISION": "bf16"}
    environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # else a restart reads the addresses of the dead
    return subprocess.run([sys.executable, "-m", *launcher, str(program), str(folder), *cases], text=True,
                          env=environment, capture_output=True, timeout=300, check=False)  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict]]:
    """Case -> what each of two processes had at its end; a worker is killed once, and all are restarted."""
    folder = tmp_path_factory.mktemp("torchrun")
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    ran = start(folder, launcher, CASES)
    assert ran.returncode == 0, ran.stderr[-3_000:]
    assert (folder / "killed").exists()
    return {name: [torch.load(folder / f"{name}.{rank}.pt") for rank in (0, 1)] for name in CASES}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """Case -> what one process had at its end."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WORLD_SIZE", "RANK"):
            patch.delenv(name, raising=False)
        patch.setattr(sys, "argv", ["program", str(folder)])
        scope = {"__name__": "program"}
        exec(textwrap.dedent(PROGRAM), scope)
        return {name: scope[name]() for name in ("plain", "accumulated", "patience")}


def same_bits(first: dict, second: dict) -> bool:
    weights = all(torch.equal(value, second["weights"][name]) for name, value in first["weights"].items())
    return weights and all(first[name] == second[name] for name in ("rows", "best", "by"))


def close(first: dict, second: dict) -> None:
    for name, value in first["weights"].items():
        torch.testing.assert_close(value, second["weights"][name], rtol=0, atol=1e-12)
    assert len(first["rows"]) == len(second["rows"])
    for a, b in zip(first["rows"], second["rows"], strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=1e-12)
        assert a == pytest.approx(b, abs=1e-6)  # outputs are scored in single precision
    assert (first["best"], first["by"]) == (second["best"], second["by"])


@pytest.mark.parametrize("case", ["plain", "accumulated", "patience"])
def test_two_processes_train_what_one_does(both, alone, case):
    close(both[case][0], alone[case])
    assert same_bits(*both[case])


def test_no_metric_counts_an_example_twice(both, alone):
    for row, expected in zip(both["plain"][0]["rows"], alone["plain"]["rows"], strict=True):
        assert row["valid_accuracy"] == expected["valid_accuracy"]  # of 31 examples, to the last one
        assert row["valid_loss"] == pytest.approx(expected["valid_loss"], abs=1e-7)


def test_early_stopping_is_decided_by_the_first_process(both):
    first, second = both["patience"]
    assert first["by"] == second["by"] == "patience" and len(first["rows"]) < 9
    assert first["best"] == second["best"] == len(first["rows"]) - 2


def test_a_limit_of_time_stops_all_processes_at_the_same_step(both):
    first, second = both["time"]  # the eighth step is the second of the second epoch, of six steps each
    assert same_bits(first, second) and first["by"] == "time" and len(first["rows"]) == 1


def test_a_loader_draws_one_order_and_each_example_goes_to_one_process(both):
    first, second = both["loader"]
    assert same_bits(first, second)
    sizes = [[len(part) for part in each["seen"]] for each in (first, second)]
    assert sizes == [[6, 6, 6, 6, 6, 1] * 2, [6, 6, 6, 6, 6, 1] * 2]
    batches = [a + b for a, b in zip(first["seen"], second["seen"], strict=True)]
    epochs = [[one for batch in half for one in batch] for half in (batches[:6], batches[6:])]
    for order in epochs:  # of the one example in the last batch the second process gets a copy without weight
        assert sorted(order[:-1]) == [*range(61)] and order[-1] == order[-2]
    assert epochs[0] != epochs[1]
    assert not torch.equal(first["draw"], second["draw"])  # dropout is each process's own


def test_batchnorm_never_gets_one_example_and_ends_with_the_same_statistics(both):
    first, second = both["batchnorm"]
    assert [first["seen"], second["seen"]] == [[6, 6, 6, 8] * 2, [6, 6, 6, 7] * 2]
    assert same_bits(first, second)


def test_a_last_batch_too_small_for_batchnorm_in_each_part_joins_the_one_before():
    sizes = [checkpoints.sizes_of_batches(n, 8, nn.BatchNorm1d(3), 2) for n in (16, 19, 20, 3)]
    assert sizes == [[8, 8], [8, 11], [8, 8, 4], [3]]
    assert checkpoints.sizes_of_batches(19, 8, nn.Linear(3, 3), 2) == [8, 8, 3]


class Part(processes.Together):
    """One of three processes, without the others."""

    def __init__(self, rank: int) -> None:
        self.rank, self.size, self.device, self.accelerator = rank, 3, torch.device("cpu"), self

    def _gathered(self, value: Any) -> list[Any]:
        return [value]

    def _places(self, count: int, padded: bool = False) -> list[int]:
        return np.array_split(np.arange(count), 3)[self.rank].tolist()

    def begin_epoch(self, fresh: bool, loader: torch.Generator | None) -> bool:
        return fresh

    def backward(self, loss: torch.Tensor, share: float | None = None) -> None:
        if share is None:
            loss.backward()
        else:
            super().backward(loss, share)


def test_the_mean_of_the_parts_gradients_is_that_of_the_batch():
    x = torch.randn(15, 4, dtype=torch.float64)
    y = x.sum(1)
    batches = [(x[:8], y[:8]), (x[8:15], y[8:15]), (x[:2], y[:2])]  # 3 + 3 + 2, 3 + 2 + 2, 1 + 1 + none
    weights = [torch.zeros(4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    counts, draws = [], []
    for rank, weight in enumerate(weights):
        part = Part(rank)
        torch.manual_seed(1)
        for inputs, labels, own, whole in part.parts(iter(batches), fresh=True):
            loss = (inputs @ weight - labels).square().mean()
            part.backward(loss * whole, own / whole)
            counts.append((own, whole))
        draws.append(float(torch.rand(())))
    assert counts == [(3, 8), (3, 7), (1, 2), (3, 8), (2, 7), (1, 2), (2, 8), (2, 7), (0, 2)]
    assert len({*draws}) == 3  # dropout would differ
    whole = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    sum((a @ whole - b).square().sum() for a, b in batches).backward()
    mean = sum(weight.grad for weight in weights) / 3
    torch.testing.assert_close(mean, whole.grad, rtol=0, atol=1e-12)


def test_a_batch_that_three_processes_cannot_share_is_refused():
    Part(0).require_same(batch_size=6)
    Part(0).require_same(batch_size=None)  # batches that come ready
    with pytest.raises(ValueError, match=r"^A batch of 8 .* 3 processes: .* be a multiple of 3\.$"):
        Part(0).require_same(batch_size=8)


def test_what_cannot_be_shared_is_refused_in_a_sentence(both):
    first, second = (each["said"] for each in both["refusals"])
    assert first == second and all(message.endswith(".") and "\n" not in message for message in first)
    assert first[0].startswith("A batch of 7 cannot be dealt out evenly to 2 processes: ")
    assert first[1].startswith("The processes have different checkpoint (") and "never.pt" in first[1]
    assert first[2].startswith("The processes have different examples in a batch: ")


def test_a_killed_worker_s_run_goes_on_bit_for_bit_and_one_process_writes(both):
    assert same_bits(both["killed"][0], both["whole"][0]) and same_bits(*both["killed"])
    steps = [each["steps"] for each in both["killed"]]
    assert steps[0] == steps[1] and 0 < steps[0] < both["whole"][0]["steps"]
    assert [each["saved"] > 0 for each in both["whole"]] == [True, False]


def test_accelerate_launch_does_the_same(tmp_path, alone):
    launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1",
                "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]  # fmt: skip
    ran = start(tmp_path, launcher, ("plain",))
    assert ran.returncode == 0, ran.stderr[-3_000:]
    results = [torch.load(tmp_path / f"plain.{rank}.pt") for rank in (0, 1)]
    assert same_bits(*results)
    close(results[0], alone["plain"])


def test_one_process_needs_no_accelerate(monkeypatch):
    def asked() -> str:
        try:
            return type(processes.team(torch.device("cpu"))).__name__
        except ImportError:
            return "accelerate"

    monkeypatch.setitem(sys.modules, "accelerate", None)  # an import of it would fail
    model = nn.Linear(3, 2)
    x, y = torch.randn(8, 3), torch.arange(8) % 2
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for size in (None, "1"):
        if size:
            monkeypatch.setenv("WORLD_SIZE", size)
        assert asked() == "Alone"
        training.fit(model, (x, y), optimizer=optimizer, epochs=1, valid=(x, y), device=torch.device("cpu"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert asked() == "accelerate"


def test_a_checkpoint_of_two_processes_is_none_of_one(tmp_path):
    def fit() -> None:
        model = nn.Linear(3, 2)
        x, y = torch.ones(8, 3), torch.arange(8) % 2
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        training.fit(model, (x, y), optimizer=optimizer, epochs=2, checkpoint=tmp_path / "run.pt",
                     device=torch.device("cpu"))  # fmt: skip

    fit()
    state = torch.load(tmp_path / "run.pt")
    for count, message in ((2, "with processes 2, this one has 1"), (None, None)):
        state["identity"]["settings"]["processes"] = count
        if count is None:
            del state["identity"]["settings"]["processes"]  # a file from before there were several
        torch.save(state, tmp_path / "run.pt")
        if message:
            with pytest.raises(ValueError, match=message):
                fit()
        else:
            fit()
