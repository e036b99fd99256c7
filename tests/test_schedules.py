"""Learning rates over the steps: what is spent, and what goes on with another function."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from transferbook.learning import schedules


def optimizer(rate: float = 0.5) -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=rate, momentum=0.9)


def walked(schedule: lr_scheduler.LRScheduler, steps: int) -> lr_scheduler.LRScheduler:
    for _ in range(steps):
        schedule.optimizer.step()
        schedule.step()
    return schedule


MAKERS = {
    "warmup_linear": lambda o: schedules.warmup_linear(o, 6),
    "linear": lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=6),
    "polynomial": lambda o: lr_scheduler.PolynomialLR(o, 6),
    "in turn": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o, 1.0, 2), lr_scheduler.PolynomialLR(o, 4)], [2]
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_schedule_is_spent_at_its_end_and_not_before(name):
    schedule = MAKERS[name](optimizer())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of SequentialLR
        assert not schedules.is_spent(schedule, 1)
        walked(schedule, 5)
        assert not schedules.is_spent(schedule, 9)
        walked(schedule, 1)
        before = schedule.state_dict()["last_epoch"], schedule.optimizer.param_groups[0]["lr"]
        assert schedules.is_spent(schedule, 9)
    assert (schedule.state_dict()["last_epoch"], schedule.optimizer.param_groups[0]["lr"]) == before


def test_a_rate_that_will_rise_is_not_spent():
    rising = lr_scheduler.LambdaLR(optimizer(), lambda step: step / 10)  # 0 in its first step alone
    assert not schedules.is_spent(rising, 2) and schedules.is_spent(rising, 1)
    waves = walked(lr_scheduler.CosineAnnealingLR(optimizer(), 4), 4)
    assert waves.get_last_lr()[0] == pytest.approx(0, abs=1e-12)
    assert not schedules.is_spent(waves, 4)


def test_a_rate_that_rounding_kept_from_0_is_spent():
    schedule = lr_scheduler.LambdaLR(optimizer(), lambda step: 1.0 if step < 3 else 1e-17)
    assert schedules.is_spent(walked(schedule, 3), 5)


def test_going_on_takes_the_rate_of_the_function_that_is_there_now():
    short, long = (schedules.warmup_linear(optimizer(), steps, warmup=0.0) for steps in (4, 8))
    state = walked(short, 4).state_dict()
    long.load_state_dict(state)
    long.optimizer.load_state_dict(short.optimizer.state_dict())
    schedules.go_on(long)
    assert long.optimizer.param_groups[0]["lr"] == pytest.approx(0.25)
    cosine = walked(lr_scheduler.CosineAnnealingLR(optimizer(), 8), 3)
    rate = cosine.get_last_lr()
    schedules.go_on(cosine)
    assert cosine.get_last_lr() == rate
