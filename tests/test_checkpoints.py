"""Checkpoints of `fit`: a damaged one or one of another run is refused in a sentence; nothing is lost."""

from __future__ import annotations

import copy
import errno
import os
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

from transferbook.learning import identity, training

CPU = torch.device("cpu")


def task(n: int = 70, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=generator)
    return x, (x[:, 0] + x[:, 1] > 0).long()


def network(width: int = 8) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 2))


def sgd(model: nn.Module, **settings) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), **({"lr": 0.1, "momentum": 0.5} | settings))


def fit(file: Path | None, epochs: int = 1, *, model=None, data=None, optimizer=None, schedule=None, **rest):
    """A run from the start, or from the file; gives model and history."""
    model = model or network()
    optimizer = (optimizer or sgd)(model)
    schedule = schedule and schedule(optimizer)
    history = training.fit(model, data or task(), optimizer=optimizer, epochs=epochs, schedule=schedule,
                           checkpoint=file, device=CPU, **rest)  # fmt: skip
    return model, history


def refused(error: type[Exception], file: Path, **arguments) -> str:
    """The message, after checking that it is a sentence with the file in it and that nothing has changed."""
    model = arguments.pop("model", None) or network()
    before = copy.deepcopy(model.state_dict())
    random = torch.manual_seed(5).get_state()
    there = file.read_bytes() if file.is_file() else None
    with pytest.raises(error) as caught:
        fit(file, **({"epochs": 2} | arguments), model=model)
    message = str(caught.value)
    assert str(file) in message and message.endswith(".") and "\n" not in message, message
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert (file.read_bytes() if file.is_file() else None) == there
    return message


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "run.pt"


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_more_epochs_go_on_bit_for_bit_and_leave_one_file(file):
    for epochs in (1, 3, 3):
        model, history = fit(file, epochs)
    torch.manual_seed(0)
    whole, expected = fit(None, 3)
    assert same(model, whole) and history.column("train_loss") == expected.column("train_loss")
    assert os.listdir(file.parent) == ["run.pt"]


@pytest.mark.parametrize("damage", ["empty", "cut", "one bit", "text"])
def test_a_damaged_checkpoint_is_refused(file, damage):
    fit(file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"empty": b"", "cut": content[:900], "one bit": content, "text": b"text"}[damage])
    assert "is damaged" in refused(ValueError, file)


def test_a_file_of_another_kind_and_one_of_an_earlier_version_are_refused(file):
    file.parent.mkdir()
    torch.save(network().state_dict(), file)
    assert "is no checkpoint of `fit`" in refused(ValueError, file)
    torch.save([1, 2], file)
    assert "is no checkpoint of `fit`" in refused(ValueError, file)
    file.unlink()
    fit(file)
    state = torch.load(file)
    del state["identity"], state["epochs"]
    torch.save(state | {"settings": {"seed": 0}}, file)
    assert "was written by an earlier version" in refused(ValueError, file)


def groups(model: nn.Module, **settings) -> torch.optim.Optimizer:
    parts = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[3].parameters(), **settings}]
    return torch.optim.SGD(parts, lr=0.1, momentum=0.5)


X, Y = task()
SWAPPED = torch.cat([X[1:2], X[:1], X[2:]])
OTHERS = {
    "batch_size": ({"batch_size": 16}, "with batch_size 32, this one has 16"),
    "seed": ({"seed": 3}, "with seed 0, this one has 3"),
    "clip_norm": ({"clip_norm": 1.0}, "with clip_norm None, this one has 1.0"),
    "width": ({"model": network(9)}, r"another model, in which 0.weight is (8, 6) in torch.float32; here"),
    "depth": ({"model": network().append(nn.Linear(2, 2))}, "4.weight is missing; here it is (2, 2)"),
    "optimiser": ({"optimizer": lambda m: torch.optim.Adam(m.parameters())}, "with SGD, this one has Adam"),
    "groups": ({"optimizer": groups}, "with 1 parameter groups, this one has 2"),
    "rate": ({"optimizer": lambda m: sgd(m, lr=0.2)}, "with learning rate 0.1, this one has 0.2"),
    "decay": ({"optimizer": lambda m: sgd(m, weight_decay=0.1)}, "with weight_decay 0, this one has 0.1"),
    "momentum": ({"optimizer": lambda m: sgd(m, momentum=0.4)}, "with momentum 0.5, this one has 0.4"),
    "schedule": ({"schedule": lambda o: training.warmup_linear(o, 9)}, "no schedule, this one has LambdaLR"),
    "inputs": ({"data": (X * 1.01, Y)}, "on other training data"),
    "one input": ({"data": (X.index_fill(0, torch.tensor(69), 0.5), Y)}, "on other training data"),
    "labels": ({"data": (X, 1 - Y)}, "on other training data"),
    "order": ({"data": (SWAPPED, Y)}, "on other training data"),
    "fewer": ({"data": (X[:69], Y[:69])}, "on other training data"),
    "names": ({"data": ({"input": X}, Y)}, "on other training data"),
    "validation": ({"valid": (X, Y)}, "on other validation data"),
    "batches": ({"data": [(X, Y)]}, "on other training data"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_checkpoint_of_another_run_is_refused_in_what_it_differs(file, name):
    fit(file)
    arguments, said = OTHERS[name]
    message = refused(ValueError, file, **copy.deepcopy(arguments))
    assert f"{file} belongs to a run " in message and said in message


def test_every_group_has_its_rate(file):
    fit(file, optimizer=lambda model: groups(model, lr=0.05))
    said = refused(ValueError, file, optimizer=lambda model: groups(model, lr=0.06))
    assert "with learning rate 0.05, this one has 0.06" in said
    _, history = fit(file, 2, optimizer=lambda model: groups(model, lr=0.05))
    assert len(history.rows) == 2


def test_of_batches_their_number_counts(file):
    loaders = {n: DataLoader(TensorDataset(*task(n)), batch_size=10) for n in (40, 50)}
    fit(file, data=loaders[40])
    assert "on other training data" in refused(ValueError, file, data=loaders[50])
    assert len(fit(file, 2, data=loaders[40])[1].rows) == 2


SCHEDULES = {
    "warmup": lambda o: training.warmup_linear(o, 9),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 20),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20),
    "steps": lambda o: lr_scheduler.MultiStepLR(o, [2, 4]),
    "in turn": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o, 0.5, 3), lr_scheduler.ExponentialLR(o, 0.9)], [3]
    ),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("again", ["anew", "same objects"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_on_where_it_was(file, name, again):
    whole, expected = fit(None, 3, schedule=SCHEDULES[name])
    model, optimizer, schedule = network(), None, None
    for epochs in (1, 2, 3):
        if again == "anew" or optimizer is None:
            model = network()
            optimizer = sgd(model)
            schedule = SCHEDULES[name](optimizer)
        history = training.fit(model, task(), optimizer=optimizer, epochs=epochs, schedule=schedule,
                               checkpoint=file, device=CPU)  # fmt: skip
    assert same(model, whole) and history.column("learning_rate") == expected.column("learning_rate")


def test_a_longer_schedule_takes_effect_where_the_run_is(file):
    fit(file, 1, schedule=lambda o: training.warmup_linear(o, 3, warmup=0.0))
    with pytest.raises(ValueError, match=r"schedule is spent: .* in all 3 steps") as caught:
        fit(file, 2, schedule=lambda o: training.warmup_linear(o, 3, warmup=0.0))
    message = str(caught.value)
    assert message.endswith("as long as the whole run.")
    model = network()
    optimizer = sgd(model)
    rates = []
    optimizer.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
    longer = training.warmup_linear(optimizer, 6, warmup=0.0)
    training.fit(model, task(), optimizer=optimizer, schedule=longer, epochs=2, checkpoint=file, device=CPU)
    assert rates == pytest.approx([0.1 * 3 / 6, 0.1 * 2 / 6, 0.1 / 6])


def test_another_length_inside_a_schedule_is_refused(file):
    cosine = lr_scheduler.CosineAnnealingLR
    fit(file, schedule=lambda o: cosine(o, 20))
    said = refused(ValueError, file, schedule=lambda o: cosine(o, 40))
    assert "with T_max 20, this one has 40" in said


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_checkpoint_that_cannot_be_stored_keeps_the_one_before(file, monkeypatch, number):
    fit(file)
    before = file.read_bytes()

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match=r"run\.pt cannot be stored \(.*before is whole\.$") as caught:
            fit(file, 3)
    assert ("free some space" in str(caught.value)) == (number == errno.ENOSPC)
    assert file.read_bytes() == before and os.listdir(file.parent) == ["run.pt"]
    model, _ = fit(file, 3)
    assert same(model, fit(None, 3)[0])


def test_a_folder_that_cannot_be_written_is_said_before_the_training(file):
    file.parent.write_text("in the way")
    assert "cannot be stored" in refused(OSError, file)
    file.parent.unlink()
    file.mkdir(parents=True)
    assert "cannot be read (Is a directory)" in refused(OSError, file)


# --- what is looked at, and what that costs ----------------------------------------------------------------


def test_every_byte_of_small_data_counts_and_large_data_are_sampled():
    small = torch.zeros(301, 7)
    for x in (small, small.byte(), small.bfloat16(), small[:, 0], small.repeat(9, 1)):
        y = torch.arange(len(x))
        seen = {identity.fingerprint((x, y))}
        for row in range(len(x)):
            changed = x.clone()
            changed[row, ...] += 1
            seen.add(identity.fingerprint((changed, y)))
        assert len(seen) == len(x) + 1
    large, y = torch.zeros(4_000, 1_000), torch.zeros(4_000).long()
    assert identity.fingerprint((large + 1, y)) != identity.fingerprint((large, y))
    last = y.index_fill(0, torch.tensor(3_999), 1)
    assert identity.fingerprint((large, last)) != identity.fingerprint((large, y))


def test_a_fingerprint_goes_by_content_not_by_how_it_lies_in_memory():
    x, y = task(64)
    whole = torch.cat([torch.zeros(1, 6), x])[1:]  # not at the start of its memory
    across = x.T.contiguous().T
    assert len({identity.fingerprint((part, y)) for part in (x, whole, across)}) == 1
    assert identity.fingerprint(({"x": x}, y)) != identity.fingerprint(({"z": x}, y))
    assert identity.fingerprint(None) is None and identity.fingerprint([(x, y)] * 3) == 3


def test_a_fingerprint_of_large_data_looks_at_a_sample(monkeypatch):
    looked = []
    sums = identity._sums
    monkeypatch.setattr(identity, "_sums", lambda values: looked.append(values.numel()) or sums(values))
    identity.fingerprint((torch.zeros(8_000, 1_000), torch.zeros(8_000).long()))
    assert looked == [1_000_000, 8_000]
    looked.clear()
    identity.fingerprint((torch.zeros(100, 100_000), torch.zeros(100).long()))
    assert looked[0] >= 64 * 100_000  # some examples at least


def test_a_fingerprint_sees_rows_that_change_places():
    x = torch.randn(8_000, 4, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(8_000).long()
    swapped = x.index_select(0, torch.cat([torch.tensor([1, 0]), torch.arange(2, 8_000)]))
    assert identity.fingerprint((swapped, y)) != identity.fingerprint((x, y))
