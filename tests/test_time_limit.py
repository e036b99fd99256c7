"""A limit of the time in `fit`, by a clock that the test moves, against the same run without a limit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from transferbook.learning import training

CPU = torch.device("cpu")
STEPS, EPOCHS = 5, 4  # 70 examples in batches of 16


class Clock:
    """Seconds that pass only where the test says so: one with each call of `loss` in training mode."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(training.time, "perf_counter", lambda: self.now)

    def loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.now += outputs.requires_grad
        return F.cross_entropy(outputs, labels)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def task() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(70, 6, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] + x[:, 1] > 0).long()


def start(clock: Clock, data=None, epochs=EPOCHS, **options) -> tuple[nn.Module, training.History, int]:
    """A new run, or one that goes on: the model, its history and the optimiser's steps in this call."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS * EPOCHS)
    steps = []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    history = training.fit(model, data or task(), optimizer=optimizer, schedule=schedule, epochs=epochs,
                           batch_size=16, loss=clock.loss, device=CPU, **options)  # fmt: skip
    return model, history, len(steps)


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


def test_a_run_stops_at_the_end_of_the_step_at_which_its_time_is_over(clock):
    for seconds, expected in ((0.5, 1), (1, 1), (6.5, 7), (7, 7), (19, 19)):
        clock.now = 0.0
        _, history, steps = start(clock, max_seconds=seconds)
        assert (steps, len(history.rows), history.stopped_by) == (expected, expected // STEPS, "time")
    for seconds in (20, 20.5, float("inf"), None):  # all is done then
        clock.now = 0.0
        _, history, steps = start(clock, max_seconds=seconds)
        assert (steps, len(history.rows), history.stopped_by) == (20, EPOCHS, "epochs")


def test_a_limit_that_is_never_reached_changes_no_bit(clock):
    free, limited = start(clock), start(clock, max_seconds=1_000.0)
    assert same(free[0], limited[0])
    assert free[1].column("train_loss") == limited[1].column("train_loss")


def test_an_epoch_whose_last_step_uses_up_the_time_is_finished_and_scored(clock):
    model, history, steps = start(clock, max_seconds=5, valid=task())
    assert (steps, len(history.rows), history.stopped_by) == (5, 1, "time")
    scores = training.evaluate(model, task(), device=CPU)
    assert history.rows[0]["valid_loss"] == pytest.approx(scores["loss"], abs=1e-7)


def test_time_counts_that_the_scoring_takes(clock):
    def slow(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        clock.now += 1 if outputs.requires_grad else 100
        return F.cross_entropy(outputs, labels)

    clock.loss = slow
    _, history, steps = start(clock, max_seconds=50, valid=task())
    assert (steps, len(history.rows), history.stopped_by) == (5, 1, "time")


@pytest.mark.parametrize("kind", ["tensors", "list", "loader"])
@pytest.mark.parametrize("seconds", [1, 3, 5, 12])
def test_a_run_that_is_stopped_again_and_again_ends_like_one_that_is_not(clock, tmp_path, kind, seconds):
    x, y = task()
    batches = [(x[i], y[i]) for i in torch.arange(70).split(16)]
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    data = {"tensors": (x, y), "list": batches, "loader": loader}[kind]
    whole, expected, _ = start(clock, data, valid=(x, y))
    calls, done, stopped_by = 0, 0, None
    while stopped_by != "epochs":
        model, history, steps = start(clock, data, valid=(x, y), max_seconds=seconds,
                                      checkpoint=tmp_path / "run.pt")  # fmt: skip
        calls, done, stopped_by = calls + 1, done + steps, history.stopped_by
        assert 1 <= steps <= seconds and len(history.rows) == done // STEPS
    assert done == STEPS * EPOCHS and calls == -(-done // seconds)
    assert same(model, whole)
    for name in ("train_loss", "valid_loss", "learning_rate"):
        assert history.column(name) == expected.column(name)


def test_gradients_that_were_gathered_are_not_lost(clock, tmp_path):
    for seconds, expected in ((1, 1), (3, 2), (5, 3)):  # batches 1 and 2, 3 and 4, 5 alone
        clock.now = 0.0
        _, history, steps = start(clock, max_seconds=seconds, accumulate=2)
        assert steps == expected and history.stopped_by == "time"
    whole, _, _ = start(clock, accumulate=2)
    for _ in range(2 * EPOCHS):
        model, history, _ = start(clock, accumulate=2, max_seconds=3, checkpoint=tmp_path / "run.pt")
    assert history.stopped_by == "epochs" and same(model, whole)


def test_the_best_weights_come_back_where_the_time_ends_a_run(clock, tmp_path):
    x, y = task()
    valid = (x, 1 - y)  # the better it learns, the worse it scores here
    first, _, _ = start(clock, epochs=1)
    options = {"valid": valid, "patience": 3}
    for stop in (12, 10):  # within an epoch, and between two
        clock.now = 0.0
        model, history, steps = start(clock, max_seconds=stop, **options)
        assert (steps, history.best_epoch, history.stopped_by) == (stop, 1, "time")
        assert same(model, first)
    clock.now = 0.0
    model, history, _ = start(clock, max_seconds=20, **options)
    assert (history.best_epoch, history.stopped_by) == (1, "patience")
    kept = tmp_path / "run.pt"
    for seconds, stopped_by in ((12, "time"), (100, "patience"), (100, "patience")):
        clock.now = 0.0
        model, history, _ = start(clock, max_seconds=seconds, checkpoint=kept, **options)
        assert history.stopped_by == stopped_by and same(model, first)


def test_a_run_that_has_diverged_when_its_time_is_over_says_so(clock):
    x, y = task()
    with pytest.raises(FloatingPointError, match=r"training loss became nan in epoch 1: .*\.$"):
        start(clock, (x * float("nan"), y), max_seconds=2)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_that_is_not_positive_is_refused(clock, seconds):
    with pytest.raises(ValueError, match=rf"^max_seconds must be a positive number, .*; got {seconds}\.$"):
        start(clock, max_seconds=seconds)
