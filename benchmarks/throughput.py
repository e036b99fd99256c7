"""Throughput of `training.fit` on a whole network, against the fastest that the machine does with it."""

from __future__ import annotations

import statistics
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
    """Of one measurement: examples in a batch, batches in an epoch, epochs in a round, rounds that count."""

    batch: int
    steps: int
    epochs: int
    rounds: int

    @property
    def examples(self) -> int:
        """Different examples; each is seen in every epoch."""
        return self.batch * self.steps


def measure(task: str, sizes: Sizes) -> dict[str, Any]:
    """Examples a second of `training.fit` and of a ceiling.

    The ceiling trains the same network on one batch that is on the device already, with nothing recorded,
    pictures with the channels last. On a GPU both sides are tried as they are and with a network that
    `torch.compile` returned, whose compilation is not counted; the faster way of each side counts. Mixed
    precision and AdamW are the same on all sides, and `fit` moves its examples to the device in its time.

    Args:
        task: a name in `TASKS`.
        sizes: batch, steps, epochs and rounds.

    Returns:
        Examples a second of each contestant (median over rounds), and `ratio`, of `fit` to the ceiling.
    """
    make, inputs = TASKS[task](sizes.examples)
    labels = torch.arange(sizes.examples) % 2
    contestants = {
        "fit": lambda network: _fit(network, inputs, labels, sizes),
        "resident batches": lambda network: _resident(network, inputs, labels, sizes),
    }
    networks = {name: make() for name in contestants}
    if runtime.device().type == "cuda":  # on a CPU, compiling takes longer than all there is to measure
        contestants |= {f"{name}, compiled": contestant for name, contestant in contestants.items()}
        networks |= {f"{name}, compiled": torch.compile(make()) for name in networks}
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for repetition in range(sizes.rounds + 1):  # the first warms up
        for name, contestant in contestants.items():
            seconds = contestant(networks[name])
            rates[name] += [sizes.examples * sizes.epochs / seconds] if repetition else []
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = {side: max(value for name, value in medians.items() if name.startswith(side))
            for side in ("fit", "resident")}  # fmt: skip
    rounded = {name: round(value, 1) for name, value in medians.items()}
    ratio = round(best["fit"] / best["resident"], 3)
    return {"task": task, **asdict(sizes), "examples_per_second": rounded, "ratio": ratio}


def _adamw(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), lr=1e-5, fused=runtime.device().type == "cuda")


def _fit(network: nn.Module, inputs: Any, labels: Tensor, sizes: Sizes) -> float:
    optimizer = _adamw(network.to(runtime.device()))
    settings = {"epochs": sizes.epochs, "batch_size": sizes.batch, "progress": False}
    started = _now()
    training.fit(network, (inputs, labels), optimizer=optimizer, **settings)
    return _now() - started


def _resident(network: nn.Module, inputs: Any, labels: Tensor, sizes: Sizes) -> float:
    device = runtime.device()
    pictures = isinstance(inputs, Tensor)
    network.to(device, memory_format=torch.channels_last if pictures else torch.preserve_format).train()
    batch = {"x": inputs} if pictures else inputs
    batch = {name: value[: sizes.batch].to(device) for name, value in batch.items()}
    if pictures:
        batch = {"x": batch["x"].to(memory_format=torch.channels_last)}
    target = labels[: sizes.batch].to(device)
    optimizer = _adamw(network)
    started = _now()
    for _ in range(sizes.steps * sizes.epochs):
        optimizer.zero_grad()
        with runtime.autocast(device):
            outputs = network(batch["x"]) if pictures else network(**batch)
            loss = nn.functional.cross_entropy(outputs.float(), target)
        loss.backward()
        optimizer.step()
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
