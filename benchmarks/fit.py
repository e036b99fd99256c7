"""`training.fit` against a bare PyTorch loop and a loop over a `DataLoader`.

Same model, optimiser and order of the examples; nobody computes a metric beyond the training loss that `fit`
always records. The final weights must be equal bit for bit, or there is no measurement.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Sampler, TensorDataset

from benchmarks import measure
from transferbook.data import datasets
from transferbook.learning import training, transfer
from transferbook.learning.checkpoints import Inputs
from transferbook.models import backbones

INPUTS = ("benchmarks/measure.py", "benchmarks/fit.py", "transferbook/**/*.py", "requirements.txt")
LIMIT = 1.03
CPU = torch.device("cpu")

Run = Callable[[nn.Module, torch.optim.Optimizer], nn.Module]


@dataclass(frozen=True)
class Settings:
    """Sizes of one comparison: examples and passes over them, and how often each contestant runs."""

    examples: int
    epochs: int
    batch_size: int
    repetitions: int
    seed: int = 0


NETWORK = Settings(examples=20_000, epochs=3, batch_size=128, repetitions=40)
MINILM = Settings(examples=256, epochs=1, batch_size=16, repetitions=7)
MINILM_TOKENS = 32


def measure_network(settings: Settings = NETWORK) -> list[measure.Measurement]:
    """The 256-512-512-10 network."""
    data = network_data(settings)
    contestants = {
        "bare loop": bare_loop(*data, settings),
        "fit": fit(*data, settings),
        "DataLoader loop": loader_loop(*data, settings),
    }
    seconds = run_all(contestants, network, settings)
    facts = {"settings": asdict(settings), "checked": "final weights bit-equal"}
    name = "{} over a bare loop, 256-512-512-10 network"
    return [
        measure.compare(name.format("fit"), seconds, "fit", "bare loop", at_most=LIMIT, **facts),
        measure.compare(name.format("DataLoader loop"), seconds, "DataLoader loop", "bare loop", **facts),
    ]


def measure_minilm(settings: Settings = MINILM, max_tokens: int = MINILM_TOKENS) -> list[measure.Measurement]:
    """MiniLM fine-tuned whole, with its dropout, on reviews that all fill `max_tokens`: no padding."""
    backbone = backbones.minilm(max_tokens)
    data = full_reviews(backbone, settings.examples)
    original = transfer.Classifier(backbone.module, nn.Linear(backbone.width, 2))
    contestants = {"bare loop": bare_loop(*data, settings), "fit": fit(*data, settings)}
    seconds = run_all(contestants, lambda: copy.deepcopy(original), settings)
    facts = {
        "settings": asdict(settings) | {"max_tokens": max_tokens},
        "checked": "final weights bit-equal",
    }
    name = "fit over a bare loop, MiniLM on reviews"
    return [measure.compare(name, seconds, "fit", "bare loop", at_most=LIMIT, **facts)]


def run_all(
    contestants: dict[str, Run], make: Callable[[], nn.Module], settings: Settings, equal: bool = True
) -> dict[str, list[float]]:
    """Time the contestants on equal models, after a round that does not count.

    Raises:
        AssertionError: if one of them sees another number of batches than the settings say, or, if `equal`,
            ends with other weights than the first.
    """

    def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(settings.seed)
        model = make()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        torch.manual_seed(settings.seed)  # of dropout
        return model, optimizer

    expected = settings.epochs * math.ceil(settings.examples / settings.batch_size)
    for name, run in contestants.items():
        model, optimizer = fresh()
        batches: list[nn.Module] = []
        model.register_forward_pre_hook(lambda module, _, batches=batches: batches.append(module))
        run(model, optimizer)
        if len(batches) != expected:
            raise AssertionError(f"{name} took {len(batches)} batches instead of {expected}.")
    seconds, models = measure.interleave(contestants, settings.repetitions, fresh)
    if equal:
        first, *others = models
        for name in others:
            pairs = zip(models[first].parameters(), models[name].parameters(), strict=True)
            if not all(torch.equal(a, b) for a, b in pairs):
                raise AssertionError(f"{name} ended with other weights than {first}: they did unequal work.")
    return seconds


def fit(inputs: Inputs, labels: Tensor, settings: Settings) -> Run:
    """The book's loop."""

    def run(model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
        training.fit(
            model,
            (inputs, labels),
            optimizer=optimizer,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            seed=settings.seed,
            device=CPU,
            progress=False,
        )
        return model

    return run


def bare_loop(inputs: Inputs, labels: Tensor, settings: Settings) -> Run:
    """What one writes by hand for resident tensors."""

    def forward(model: nn.Module, index: Tensor) -> Tensor:
        if isinstance(inputs, Tensor):
            return model(inputs[index])
        return model(**{name: value[index] for name, value in inputs.items()})

    def run(model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
        generator = torch.Generator().manual_seed(settings.seed)
        model.train()
        for _ in range(settings.epochs):
            order = torch.randperm(len(labels), generator=generator)
            for index in order.split(settings.batch_size):
                F.cross_entropy(forward(model, index), labels[index]).backward()
                optimizer.step()
                optimizer.zero_grad()
        return model

    return run


def loader_loop(inputs: Tensor, labels: Tensor, settings: Settings) -> Run:
    """What tutorials write: a `DataLoader` that collates single examples."""

    def run(model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
        loader = loader_in_order(inputs, labels, settings)
        model.train()
        for _ in range(settings.epochs):
            for batch, targets in loader:
                F.cross_entropy(model(batch), targets).backward()
                optimizer.step()
                optimizer.zero_grad()
        return model

    return run


class Order(Sampler[int]):
    """The order of the bare loop; `RandomSampler` draws more from its generator."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.size, generator=self.generator).tolist())


def loader_in_order(inputs: Tensor, labels: Tensor, settings: Settings) -> DataLoader:
    """A `DataLoader` with the batches of the bare loop."""
    order = Order(len(labels), settings.seed)
    return DataLoader(TensorDataset(inputs, labels), settings.batch_size, sampler=order)


def network() -> nn.Module:
    """The 256-512-512-10 network."""
    return nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def network_data(settings: Settings) -> tuple[Tensor, Tensor]:
    """Random inputs (N, 256) with labels (N,) that a linear map gives them."""
    generator = torch.Generator().manual_seed(settings.seed)
    inputs = torch.randn(settings.examples, 256, generator=generator)
    return inputs, (inputs @ torch.randn(256, 10, generator=generator)).argmax(1)


def full_reviews(backbone: backbones.Backbone, count: int) -> tuple[dict[str, Tensor], Tensor]:
    """The `count` reviews of most words, cut to what the backbone reads, without padding."""
    part = datasets.rotten_tomatoes().train
    words = torch.tensor([len(text.split()) for text in part.inputs])
    part = part.select(words.argsort(descending=True, stable=True)[:count])
    tokens = backbone.prepare(part.inputs)
    full = int(tokens["attention_mask"].all(dim=1).sum())
    if full < count:
        raise ValueError(f"Only {full} of the {count} longest reviews fill all tokens: ask for fewer.")
    return tokens, part.labels


if __name__ == "__main__":
    measure.record("fit", INPUTS, measure_network() + measure_minilm())
