"""Every setting of a small network on six tasks, so that searches can be run on a table (part 3, chapter 7).

A network of one hidden layer reads pixels or the features of a frozen MiniLM. All candidates of one width are
trained side by side, stacked into one tensor, and scored after 1, 3, 9 and 27 epochs.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from transferbook.data import datasets, digits
from transferbook.learning import transfer
from transferbook.models import backbones

TASKS = ("digits", "scans", "typefaces", "reviews", "newswire", "newsgroups")
SEEDS = range(10)
WIDTHS = (4, 16, 64)
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
DECAYS = (0.0, 1.0)
DROPOUTS = (0.0, 0.3, 0.6)
RUNGS = (1, 3, 9, 27)  # epochs after which the candidates are scored
LABELS, BATCH = 200, 25
WATCHED, SCORED = 300, 800  # validation and test examples, where there are as many


@dataclass(frozen=True)
class Config:
    """All candidates of one width on one task.

    Attributes:
        task: one of `TASKS`.
        width: units of the hidden layer.
    """

    task: str
    width: int


def grid() -> list[tuple[Config, int]]:
    """Ten draws of the labels."""
    return [(Config(task, width), seed) for task in TASKS for width in WIDTHS for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """Two draws of each task."""
    return [(config, seed) for config, seed in grid() if seed < 2]


def candidates() -> list[tuple[float, float, float]]:
    """Learning rate, weight decay and dropout of each candidate of a width."""
    return list(itertools.product(RATES, DECAYS, DROPOUTS))


def run(config: Config, seed: int) -> dict[str, float]:
    """Draw the labels, train all candidates of the width side by side, and score them."""
    train, valid, test = draw(config.task, seed)
    rates, decays, dropouts = torch.tensor(candidates()).T
    seeds = [seed] * len(rates)  # the candidates share their first weights and their batches
    scores = {}
    stages = stages_of(train, config.width, rates, decays, dropouts, seeds, classes=int(test[1].max()) + 1)
    for epochs, weights in stages:
        parts = {f"valid_{epochs}": valid} | ({"test": test} if epochs == RUNGS[-1] else {})
        for name, (x, y) in parts.items():
            accuracy = right(weights, x, y).double().mean(dim=1)
            scores |= {f"{name}_{k:02}": round(value, 4) for k, value in enumerate(accuracy.tolist())}
    return scores


def stages_of(
    train: tuple[Tensor, Tensor],
    width: int,
    rates: Tensor,
    decays: Tensor,
    dropouts: Tensor,
    seeds: list[int],
    classes: int,
    rungs: tuple[int, ...] = RUNGS,
) -> Iterator[tuple[int, list[Tensor]]]:
    """Train K networks side by side with AdamW, each at its own settings.

    Args:
        train: inputs (N, D) and labels (N,).
        width: units of the hidden layer, H.
        rates, decays, dropouts: settings of the networks, each (K,).
        seeds: of the first weights and of the batches, one for each network.
        classes: number of classes C.
        rungs: epochs after which the weights are given out, in rising order.

    Yields:
        Epochs so far, and the weights (K, D, H), (K, 1, H), (K, H, C) and (K, 1, C), which training goes on
        to change.
    """
    x, y = train
    count, features = len(rates), x.shape[1]
    first = [weights_from(seed, features, width, classes) for seed in seeds]
    weights = [torch.stack(same).requires_grad_() for same in zip(*first, strict=True)]
    moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in weights]
    rate, decay, drop = (value.view(-1, 1, 1) for value in (rates, decays, dropouts))
    orders = {seed: torch.Generator().manual_seed(seed) for seed in seeds}
    noise = torch.Generator().manual_seed(seeds[0])
    steps = 0
    for epoch in range(1, rungs[-1] + 1):
        shuffled = {seed: torch.randperm(len(y), generator=order) for seed, order in orders.items()}
        for index in torch.stack([shuffled[seed] for seed in seeds]).split(BATCH, dim=1):  # (K, B)
            hidden = F.relu(x[index] @ weights[0] + weights[1])  # (K, B, H)
            kept = torch.rand(1, *hidden.shape[1:], generator=noise) >= drop
            logits = (hidden * kept / (1 - drop)) @ weights[2] + weights[3]  # (K, B, C)
            losses = F.cross_entropy(logits.flatten(0, 1), y[index].flatten(), reduction="none")
            gradients = torch.autograd.grad(losses.view(count, -1).mean(dim=1).sum(), weights)
            steps += 1
            with torch.no_grad():
                for w, g, (mean, square) in zip(weights, gradients, moments, strict=True):
                    mean.lerp_(g, 0.1)
                    square.mul_(0.999).addcmul_(g, g, value=0.001)
                    size = (square / (1 - 0.999**steps)).sqrt_().add_(1e-8)
                    w.mul_(1 - rate * decay).sub_(rate * (mean / (1 - 0.9**steps)) / size)
        if epoch in rungs:
            yield epoch, [w.detach() for w in weights]


def weights_from(seed: int, features: int, width: int, classes: int) -> list[Tensor]:
    """First weights, as `nn.Linear` draws them: uniform up to one over the root of the inputs."""
    random = torch.Generator().manual_seed(seed)
    shapes = ((features, width), (1, width), (width, classes), (1, classes))
    bounds = (features**-0.5, features**-0.5, width**-0.5, width**-0.5)
    return [(2 * torch.rand(s, generator=random) - 1) * b for s, b in zip(shapes, bounds, strict=True)]


def right(weights: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Whether each network is right about each example, (K, N)."""
    hidden = F.relu(x @ weights[0] + weights[1])
    return (hidden @ weights[2] + weights[3]).argmax(dim=2) == y


def draw(task: str, seed: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Training, validation and test part of a task: inputs (N, D) and labels (N,)."""
    splits = whole(task)
    parts = (
        datasets.subset(splits.train, limit=LABELS, seed=seed),
        datasets.subset(splits.valid, limit=min(WATCHED, len(splits.valid))),
        datasets.subset(splits.test, limit=min(SCORED, len(splits.test))),
    )
    inputs = [read(task, part.inputs) for part in parts]
    mean, spread = inputs[0].mean(), inputs[0].std()
    return tuple(((x - mean) / spread, part.labels) for x, part in zip(inputs, parts, strict=True))


def read(task: str, inputs: Tensor | list[str]) -> Tensor:
    """Pixels or features, (N, D)."""
    if isinstance(inputs, Tensor):
        pixels = inputs if task == "scans" else digits.resize(inputs, 14)
        return pixels.float().flatten(1)
    return transfer.embed(encoder(), inputs)


@functools.cache
def whole(task: str) -> datasets.Splits:
    """All of a data set, read once in a process."""
    return {
        "digits": datasets.mnist_5k,
        "scans": datasets.optdigits,
        "typefaces": datasets.rendered_digits,
        "reviews": datasets.rotten_tomatoes,
        "newswire": datasets.reuters_r8,
        "newsgroups": datasets.newsgroups,
    }[task]()


@functools.cache
def encoder() -> backbones.Backbone:
    """MiniLM, which is not trained."""
    return backbones.minilm()
