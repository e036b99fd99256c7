"""The training loop against bare torch, against the whole batch, and against being killed."""

from __future__ import annotations

import copy
import math
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from transferbook.learning import training, transfer

CPU = torch.device("cpu")


def task(n: int = 70, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=generator)
    return x, (x[:, 0] + x[:, 1] > 0).long()


def network(seed: int = 0, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 2))


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_fit_takes_the_steps_of_a_bare_loop_bit_for_bit():
    x, y = task()
    ours, bare = network(), network()
    optimizer = torch.optim.AdamW(ours.parameters(), lr=1e-2)
    schedule = training.warmup_linear(optimizer, steps=15)
    training.fit(ours, (x, y), optimizer=optimizer, schedule=schedule, epochs=3, batch_size=16, seed=4,
                 clip_norm=0.5, device=CPU)  # fmt: skip
    optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-2)
    schedule = training.warmup_linear(optimizer, steps=15)
    order = torch.Generator().manual_seed(4)
    for _ in range(3):
        for index in torch.randperm(len(y), generator=order).split(16):
            F.cross_entropy(bare(x[index]), y[index]).backward()
            nn.utils.clip_grad_norm_(bare.parameters(), 0.5)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    assert same_weights(ours, bare)


def test_a_dict_of_tensors_and_a_loader_train_like_a_pair_of_tensors():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)

    x, y = task(64)
    named, plain, looped = Named(), network(), network()
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    batches = [(x[i], y[i]) for i in order.split(16)]
    for model, data in ((named, ({"x": x}, y)), (plain, (x, y)), (looped, batches)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        training.fit(model, data, optimizer=optimizer, epochs=1, batch_size=16, seed=0, device=CPU)
    assert same_weights(named.net, plain)
    assert same_weights(looped, plain)


def test_train_loss_and_accuracy_weigh_examples_not_batches():
    x, y = task(65)  # the last of five batches holds one example
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    history = training.fit(model, (x, y), optimizer=optimizer, epochs=1, batch_size=16, device=CPU)
    with torch.no_grad():
        whole = F.cross_entropy(model(x), y).item()
        right = (model(x).argmax(1) == y).double().mean().item()
    assert history.rows[0]["train_loss"] == pytest.approx(whole, abs=1e-6)
    batches = [(x[:64], y[:64]), (x[64:], y[64:])]
    for data in ((x, y), batches):
        scores = training.evaluate(model, data, batch_size=16, device=CPU)
        assert scores == {"loss": pytest.approx(whole, abs=1e-6), "accuracy": right, "n": 65}


@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulated_batches_give_the_gradient_of_their_union(accumulate):
    x, y = task(10)
    small, large = network(), network()
    for model, size, times in ((small, 4, accumulate), (large, 4 * accumulate, 1)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        training.fit(
            model, (x, y), optimizer=optimizer, epochs=2, batch_size=size, accumulate=times, device=CPU
        )
    for p, q in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-6)


def test_early_stopping_restores_the_best_weights():
    x, y = task(40)
    noise = torch.randint(2, (40,), generator=torch.Generator().manual_seed(1))
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    history = training.fit(model, (x, noise), optimizer=optimizer, epochs=60, batch_size=40, valid=(x, y),
                           patience=4, device=CPU)  # fmt: skip
    losses = history.column("valid_loss")
    best = min(losses)
    assert len(losses) < 60 and len(losses) - losses.index(best) - 1 == 4
    assert history.best_epoch == losses.index(best) + 1
    assert training.evaluate(model, (x, y), device=CPU)["loss"] == pytest.approx(best, abs=1e-7)


def test_predict_is_in_evaluation_mode_and_leaves_modes_alone():
    x, _ = task(50)
    model = network(dropout=0.5)
    model[2].eval()
    model.train(False)
    model[0].train()
    modes = [m.training for m in model.modules()]
    expected = copy.deepcopy(model).eval()(x).detach()
    torch.testing.assert_close(training.predict(model.train(), x, batch_size=7, device=CPU), expected)
    model.train(False)
    model[0].train()
    training.predict(model, x, device=CPU)
    assert [m.training for m in model.modules()] == modes


def test_predict_sorts_texts_by_length_and_puts_them_back():
    class FirstToken(nn.Module):
        widths: list[int]

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            self.widths.append(int(attention_mask.sum(1).max()))
            return input_ids[:, :1].float()

    lengths = torch.tensor([3, 9, 1, 7, 5, 2])
    mask = (torch.arange(9) < lengths[:, None]).long()
    model = FirstToken()
    model.widths = []
    inputs = {"input_ids": torch.arange(6)[:, None].repeat(1, 9), "attention_mask": mask}
    outputs = training.predict(model, inputs, batch_size=2, device=CPU)
    assert outputs.flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert model.widths == [9, 5, 2]


def test_warmup_linear_rises_to_the_full_rate_and_falls_to_zero():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = training.warmup_linear(optimizer, steps=10, warmup=0.4)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0, 10 / 6, 8 / 6, 1.0, 4 / 6, 2 / 6])
    assert optimizer.param_groups[0]["lr"] == 0


def bad_calls():
    x, y = task(8)
    yield {"train": iter([(x, y)])}, "one-shot iterator"
    yield {"train": (x, y[:5])}, r"same number of examples.*\[8\] and 5"
    yield {"train": (x[:0], y[:0])}, "one at least"
    yield {"train": []}, "gave no batch"
    yield {"train": (x, y), "patience": 2}, "patience needs validation data"
    yield {"train": (x, y), "epochs": 0}, "at least 1"


@pytest.mark.parametrize(("arguments", "message"), list(bad_calls()))
def test_bad_calls_say_what_is_wrong(arguments, message):
    model = network()
    arguments = {
        "epochs": 1,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "device": CPU,
    } | arguments
    with pytest.raises(ValueError, match=message):
        training.fit(model, **arguments)


def test_an_optimizer_of_parameters_that_the_model_lacks_is_refused():
    x, y = task()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model[3] = nn.Linear(16, 2)  # a new head, which the optimiser does not hold
    with pytest.raises(ValueError, match="holds 2 parameters that are not the model's"):
        training.fit(model, (x, y), optimizer=optimizer, epochs=1, device=CPU)
    some = torch.optim.SGD(model[3].parameters(), lr=0.1)  # to leave parameters out is allowed
    training.fit(model, (x, y), optimizer=some, epochs=1, device=CPU)


def test_fit_gets_below_the_floor_that_a_second_softmax_would_leave():
    x, y = task()
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    history = training.fit(model, (x, y), optimizer=optimizer, epochs=20, device=CPU)
    assert history.column("train_loss")[-1] < math.log(1 + 1 / math.e) / 2


def test_a_gradient_too_large_to_be_clipped_says_so():
    x, y = torch.full((8, 6), 1e20), torch.zeros(8, dtype=torch.long)
    for seconds in (None, 1e-9):  # the end of an epoch, a stop within one
        model = nn.Linear(6, 2)
        nn.init.zeros_(model.weight)  # a finite loss, and its gradient too, but not the square of it
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.raises(FloatingPointError, match=r"norm of a gradient became inf in epoch 1,"):
            training.fit(model, (x, y), optimizer=optimizer, epochs=1, batch_size=4, clip_norm=1.0,
                         max_seconds=seconds, device=CPU)  # fmt: skip


def test_a_diverging_run_says_so():
    x, y = task()
    model = network()
    with pytest.raises(FloatingPointError, match=r"training loss became .* in epoch 1"):
        training.fit(model, (x * 1e30, y), optimizer=torch.optim.SGD(model.parameters(), lr=1e20), epochs=1,
                     device=CPU)  # fmt: skip


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    x, y = task()
    file = tmp_path / "run.pt"
    for seed in (0, 1):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        if seed == 0:
            training.fit(model, (x, y), optimizer=optimizer, epochs=1, seed=seed, checkpoint=file, device=CPU)
        else:
            with pytest.raises(ValueError, match=r"run\.pt belongs to a run with"):
                training.fit(
                    model, (x, y), optimizer=optimizer, epochs=1, seed=seed, checkpoint=file, device=CPU
                )


PROGRAM = """
import os, random, signal, sys
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transferbook.learning import checkpoints, training

kind, file, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
random.seed(0); np.random.seed(0); torch.manual_seed(0)
x = torch.randn(60, 5); y = (x[:, 0] > 0).long()
model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)
steps = 0

def loss(outputs, labels):
    global steps
    steps += 1
    if steps == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    jitter = random.random() + np.random.rand()
    return nn.functional.cross_entropy(outputs * (1 + 0.01 * jitter), labels)

if kind == "tensors":
    data = (x, y)
elif kind == "loader":
    data = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
else:
    own = torch.Generator().manual_seed(5)
    data = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True, generator=own)
history = training.fit(model, data, optimizer=optimizer, schedule=schedule, epochs=4, batch_size=8, loss=loss,
                       valid=(x, y), patience=9, accumulate=2, checkpoint=file, checkpoint_every=1)
end = [model.state_dict(), optimizer.state_dict(), history.column("train_loss"), torch.rand(1)]
torch.save(end, file + ".end")
"""


@pytest.mark.parametrize("kind", ["tensors", "loader", "generator"])
def test_a_run_killed_at_any_step_and_resumed_is_bit_equal(kind, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))

    def start(file: str, kill_at: int) -> int:
        return subprocess.run([sys.executable, str(program), kind, file, str(kill_at)], check=False,
                              env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}).returncode  # fmt: skip

    whole, broken = str(tmp_path / "whole.pt"), str(tmp_path / "broken.pt")
    assert start(whole, -1) == 0
    for kill_at in (5, 12, 1):  # within epoch 1, then in epoch 2, then before anything more was done
        assert start(broken, kill_at) == -signal.SIGKILL
    assert start(broken, -1) == 0
    expected, got = torch.load(whole + ".end"), torch.load(broken + ".end")
    for name, value in expected[0].items():
        assert torch.equal(value, got[0][name]), name
    for key, state in expected[1]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, got[1]["state"][key][name]), name
    assert expected[2] == got[2]
    assert torch.equal(expected[3], got[3])  # the random state afterwards, too


def test_a_killed_write_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch):
    x, y = task()
    file = tmp_path / "run.pt"
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    training.fit(model, (x, y), optimizer=optimizer, epochs=1, checkpoint=file, device=CPU)
    before = file.read_bytes()

    def half(state, target):
        target.write(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        training.fit(model, (x, y), optimizer=optimizer, epochs=2, checkpoint=file, device=CPU)
    assert file.read_bytes() == before


def test_fit_learns_with_a_data_loader_and_records_its_epochs():
    x, y = task(200)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)
    history = training.fit(model, loader, optimizer=optimizer, epochs=20, valid=(x, y), device=CPU)
    assert history.column("epoch") == list(range(1, 21))
    assert history.column("valid_accuracy")[-1] > 0.95
    with pytest.raises(ValueError, match="No column 'speed'"):
        history.column("speed")


def batchnorm_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def counted(model: nn.Module, n: int) -> list[int]:
    """The sizes of the batches of one epoch."""
    sizes = []
    model[0].register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    training.fit(model, task(n), optimizer=optimizer, epochs=1, batch_size=16, device=CPU)
    return sizes


def test_a_last_batch_of_one_joins_the_one_before_where_batchnorm_is_trained():
    assert counted(batchnorm_network(), 65) == [16, 16, 16, 17]
    assert counted(batchnorm_network(), 17) == [17]
    assert counted(batchnorm_network(), 66) == [16, 16, 16, 16, 2]
    assert counted(network(), 65) == [16, 16, 16, 16, 1]
    frozen = batchnorm_network()
    transfer.freeze(frozen[1])
    assert counted(frozen, 65) == [16, 16, 16, 16, 1]
    sizes = []
    single = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.LazyLinear(2))
    single(torch.zeros(2, 1, 5, 5))
    single[0].register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    data = (torch.zeros(3, 1, 5, 5), torch.zeros(3).long())
    optimizer = torch.optim.SGD(single.parameters(), lr=0.1)
    training.fit(single, data, optimizer=optimizer, epochs=1, batch_size=1, device=CPU)
    assert sizes == [1, 1, 1]  # as asked


def test_who_counts_the_steps_of_a_schedule_hears_of_the_joined_batch():
    model = batchnorm_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = training.warmup_linear(optimizer, 8)
    with pytest.warns(UserWarning, match=r"count 4 batches an epoch .*\.$"):
        training.fit(model, task(65), optimizer=optimizer, schedule=schedule, epochs=2, batch_size=16,
                     device=CPU)  # fmt: skip
    assert optimizer.param_groups[0]["lr"] == 0


def test_a_run_with_a_joined_batch_resumes_within_its_epoch(tmp_path):
    def start(file: str, stop: int | None) -> nn.Module:
        model = batchnorm_network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        calls = []

        def loss(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            calls.append(len(labels))
            if len(calls) == stop:
                raise KeyboardInterrupt
            return F.cross_entropy(outputs, labels)

        training.fit(model, task(65), optimizer=optimizer, epochs=2, batch_size=16, loss=loss, device=CPU,
                     checkpoint=tmp_path / file, checkpoint_every=1)  # fmt: skip
        return model

    for stop in (4, 2):
        with pytest.raises(KeyboardInterrupt):
            start("broken.pt", stop)
    assert same_weights(start("broken.pt", None), start("whole.pt", None))


def test_a_cell_that_is_run_twice_with_a_spent_schedule_is_told():
    x, y = task()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = training.warmup_linear(optimizer, steps=10)
    arguments = {"optimizer": optimizer, "schedule": schedule, "epochs": 2, "batch_size": 16, "device": CPU}
    training.fit(model, (x, y), **arguments)
    before = copy.deepcopy(model)
    for data in ((x, y), [(x, y)] * 5, DataLoader(TensorDataset(x, y), batch_size=14)):
        with pytest.raises(ValueError, match=r"^The schedule is spent: .* 0 in all 10 steps .*\.$"):
            training.fit(model, data, **arguments)
    assert same_weights(model, before)
    constant = torch.optim.SGD(model.parameters(), lr=0.0)  # a rate of 0 that was asked for
    training.fit(model, (x, y), optimizer=constant, epochs=1, device=CPU)


def test_a_run_that_was_killed_after_its_last_step_is_finished(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    arguments = {"optimizer": optimizer, "epochs": 2, "device": CPU, "checkpoint": tmp_path / "run.pt"}
    arguments |= {"schedule": training.warmup_linear(optimizer, steps=3), "checkpoint_every": 1}  # then at 0

    def stop(epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.fit(model, task(), on_epoch_start=stop, **arguments)
    assert optimizer.param_groups[0]["lr"] == 0
    assert len(training.fit(model, task(), **arguments).rows) == 2
