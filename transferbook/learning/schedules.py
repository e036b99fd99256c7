"""Learning rates over the steps of a run."""

from __future__ import annotations

import copy
import warnings

import torch

from transferbook.learning.examples import Data

SPENT = 1e-9  # of the initial rate: rounding can leave a little of a rate that has fallen to 0


def warmup_linear(
    optimizer: torch.optim.Optimizer, steps: int, warmup: float = 0.1
) -> torch.optim.lr_scheduler.LambdaLR:
    """A learning rate that rises linearly over the first part of the steps, then falls linearly to 0.

    Args:
        steps: optimiser steps of the whole run, at least 1: with `fit`, an epoch of N examples has
            `ceil(N / batch_size)` (over `accumulate`), and one less where a last batch of one example joins
            the one before because BatchNorm is trained.
        warmup: share of the steps spent rising, in [0, 1).
    """
    if steps < 1 or not 0 <= warmup < 1:
        raise ValueError(f"warmup_linear needs steps >= 1 and 0 <= warmup < 1; got {steps} and {warmup}.")
    rising = round(steps * warmup)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return max(0.0, (steps - step) / (steps - rising))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def refuse_spent(
    schedule: torch.optim.lr_scheduler.LRScheduler, train: Data, batch_size: int, accumulate: int, epochs: int
) -> None:
    """Raise a `ValueError` if the learning rate is 0 in all steps of so many epochs."""
    tensors, known = isinstance(train, tuple), hasattr(train, "__len__")
    batches = -(-len(train[1]) // batch_size) if tensors else len(train) if known else 100
    steps = epochs * -(-batches // accumulate)
    if is_spent(schedule, steps):
        raise ValueError(
            f"The schedule is spent: the learning rate is 0 in all {steps} steps that are to do; make the "
            "optimizer and the schedule anew, as long as the whole run."
        )


def is_spent(schedule: torch.optim.lr_scheduler.LRScheduler, steps: int) -> bool:
    """Whether the learning rate of all groups stays 0 for so many steps from now; changes nothing."""
    groups = schedule.optimizer.param_groups
    if not _all_zero(groups):
        return False
    settings = [{name: value for name, value in group.items() if name != "params"} for group in groups]
    stand_in = torch.optim.SGD([{"params": [torch.zeros(1)], **each} for each in settings])
    ahead = copy.deepcopy(schedule, {id(schedule.optimizer): stand_in})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the stand-in takes no steps
        for _ in range(steps - 1):
            ahead.step()
            if not _all_zero(stand_in.param_groups):
                return False
    return steps > 0


def go_on(schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
    """Give the optimiser the rate of a `LambdaLR`, whose function may be another than when it was kept."""
    if type(schedule) is torch.optim.lr_scheduler.LambdaLR:
        every = zip(schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True)
        for group, base, factor in every:
            if not isinstance(group["lr"], torch.Tensor):
                group["lr"] = base * factor(schedule.last_epoch)


def _all_zero(groups: list[dict]) -> bool:
    return all(float(group["lr"]) <= SPENT * float(group.get("initial_lr", group["lr"])) for group in groups)
