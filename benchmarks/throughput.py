"""Throughput of `training.fit` on a whole network, against the fastest that the machine does with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from transferbook import runtime
from transferbook.learning import training, transfer
from transferbook.models import backbones


@dataclass(frozen=True)
class Sizes:
    """Of one measurement: examples in a batch, optimiser steps in a round, rounds that count."""

    batch: int
    steps: int
    rounds: int


def measure(task: str, sizes: Sizes) -> dict[str, Any]:
    """Examples a second of `training.fit` and of a ceiling.

    The ceiling trains the same network on one batch that is on the device already, with nothing recorded, as
    it is and compiled, pictures with the channels last; the faster way counts. Mixed precision on all sides.

    Args:
        task: a name in `TASKS`.
        sizes: batch, steps and rounds.

    Returns:
        Examples a second of each contestant (median over rounds), and `ratio`, of `fit` to the ceiling.
    """
    make, inputs = TASKS[task](sizes.batch * sizes.steps)
    labels = torch.arange(sizes.batch * sizes.steps) % 2
    contestants = {
        "fit": lambda model: _fit(model, inputs, labels, sizes),
        "resident batches": lambda model: _resident(model, inputs, labels, sizes),
    }
    if runtime.device().type == "cuda":  # on a CPU, compiling takes longer than all there is to measure
        contestants["resident batches, compiled"] = lambda model: _resident(
            model, inputs, labels, sizes, compiled=True
        )
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for repetition in range(sizes.rounds + 1):  # the first warms up
        for name, contestant in contestants.items():
            seconds = contestant(make())
            rates[name] += [sizes.batch * sizes.steps / seconds] if repetition else []
    medians = {name: sorted(values)[len(values) // 2] for name, values in rates.items()}
    ceiling = max(value for name, value in medians.items() if name != "fit")
    rounded = {name: round(value, 1) for name, value in medians.items()}
    ratio = round(medians["fit"] / ceiling, 3)
    return {"task": task, **asdict(sizes), "examples_per_second": rounded, "ratio": ratio}


def _fit(model: nn.Module, inputs: Any, labels: Tensor, sizes: Sizes) -> float:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    model.to(runtime.device())
    started = _now()
    settings = {"epochs": 1, "batch_size": sizes.batch, "progress": False}
    training.fit(model, (inputs, labels), optimizer=optimizer, **settings)
    return _now() - started


def _resident(model: nn.Module, inputs: Any, labels: Tensor, sizes: Sizes, compiled: bool = False) -> float:
    device = runtime.device()
    pictures = isinstance(inputs, Tensor)
    model.to(device, memory_format=torch.channels_last if pictures else torch.preserve_format).train()
    batch = {"x": inputs} if pictures else inputs
    batch = {name: value[: sizes.batch].to(device) for name, value in batch.items()}
    if pictures:
        batch = {"x": batch["x"].to(memory_format=torch.channels_last)}
    target = labels[: sizes.batch].to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=device.type == "cuda")
    forward = torch.compile(model) if compiled else model

    def step() -> None:
        optimizer.zero_grad()
        with runtime.autocast(device):
            outputs = forward(batch["x"]) if pictures else forward(**batch)
            loss = nn.functional.cross_entropy(outputs.float(), target)
        loss.backward()
        optimizer.step()

    step()
    started = _now()
    for _ in range(sizes.steps):
        step()
    return _now() - started


def _now() -> float:
    if runtime.device().type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _texts(count: int) -> tuple[Callable[[], nn.Module], dict[str, Tensor]]:
    tokens = torch.randint(1_000, 20_000, (count, 64), generator=torch.Generator().manual_seed(0))
    return lambda: _classifier(backbones.minilm(64)), {
        "input_ids": tokens, "attention_mask": torch.ones_like(tokens)
    }  # fmt: skip


def _pictures(count: int) -> tuple[Callable[[], nn.Module], Tensor]:
    pixels = torch.rand(count, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    return lambda: _classifier(backbones.efficientnet_lite0()), pixels


def _classifier(backbone: backbones.Backbone) -> nn.Module:
    return transfer.Classifier(backbone.module, nn.Linear(backbone.width, 2))


TASKS = {"MiniLM, 64 tokens": _texts, "EfficientNet-Lite0, 96 x 96 pixels": _pictures}
