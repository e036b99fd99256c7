"""Features computed once against the usual way to train on a frozen backbone: a forward pass at every step.

Same examples, same head to begin with, same optimiser, same batches, evaluation mode and no augmentation on
either side. Preparing the inputs counts on both sides, the embedding pass on ours. Both must end with the
same accuracy on held-out examples and, up to rounding, the same head. Every epoch of both is really run.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import measure
from transferbook.data import datasets
from transferbook.data.datasets import Part, Splits
from transferbook.learning import training, transfer
from transferbook.models import backbones
from transferbook.models.backbones import Backbone

INPUTS = ("benchmarks/measure.py", "benchmarks/frozen.py", "transferbook/**/*.py", "requirements.txt")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Settings:
    """One comparison.

    Attributes:
        task: `"MiniLM on reviews"` or `"EfficientNet-Lite0 on pictograms"`.
        examples: training examples.
        held_out: examples that the accuracy is measured on.
        epochs: passes over the training examples.
        at_least: how many times faster the book says that cached features are.
    """

    task: str
    examples: int
    epochs: int
    at_least: float
    held_out: int = 200
    batch_size: int = 32
    learning_rate: float = 1e-2
    repetitions: int = 3
    seed: int = 0


# Fifty epochs of fewer examples and smaller batches, so that they fit into a minute.
MEASURED = (
    Settings("MiniLM on reviews", examples=256, epochs=10, at_least=8),
    Settings("MiniLM on reviews", examples=48, batch_size=16, epochs=50, at_least=30),
    Settings("EfficientNet-Lite0 on pictograms", examples=64, epochs=10, at_least=8),
    Settings("EfficientNet-Lite0 on pictograms", examples=48, batch_size=16, epochs=50, at_least=30),
)


def measure_frozen(settings: Settings) -> measure.Measurement:
    """How many times as long the usual way takes as cached features."""
    backbone, splits = TASKS[settings.task](settings.examples)
    held_out = datasets.subset(splits.test, limit=settings.held_out, seed=settings.seed)
    features = transfer.embed(backbone, held_out.inputs, cache=False)  # warms up, too
    torch.manual_seed(settings.seed)
    head = nn.Linear(backbone.width, len(splits.class_names))
    contestants = {
        "cached features": lambda head: cached_features(head, backbone, splits.train, settings),
        "frozen backbone": lambda head: frozen_backbone(head, backbone, splits.train, settings),
    }
    seconds, heads = measure.interleave(contestants, settings.repetitions, lambda: (copy.deepcopy(head),))
    ours, usual = heads.values()
    torch.testing.assert_close(ours.weight, usual.weight, rtol=1e-2, atol=1e-3)
    scores = [training.evaluate(h, (features, held_out.labels), device=CPU) for h in (ours, usual)]
    accuracy, other = (score["accuracy"] for score in scores)
    if accuracy != other:
        raise AssertionError(f"The accuracies are {accuracy} and {other}: the two sides did unequal work.")
    return measure.compare(
        f"frozen backbone over cached features, {settings.task}, {settings.epochs} epochs",
        seconds,
        "frozen backbone",
        "cached features",
        at_least=settings.at_least,
        settings=asdict(settings),
        checked=f"both accuracies {accuracy:.4f} on held-out examples",
    )


def cached_features(head: nn.Linear, backbone: Backbone, train: Part, settings: Settings) -> nn.Linear:
    """The book's way: embed once, then train the head on the features."""
    features = transfer.embed(backbone, train.inputs, cache=False)
    training.fit(
        head,
        (features, train.labels),
        optimizer=torch.optim.AdamW(head.parameters(), lr=settings.learning_rate),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        seed=settings.seed,
        device=CPU,
        progress=False,
    )
    return head


def frozen_backbone(head: nn.Linear, backbone: Backbone, train: Part, settings: Settings) -> nn.Linear:
    """The usual way: the whole network at every step, without gradients in the backbone."""
    inputs = backbone.prepare(train.inputs)
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.learning_rate)
    generator = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.epochs):
        for index in torch.randperm(len(train), generator=generator).split(settings.batch_size):
            with torch.no_grad():
                if isinstance(inputs, Tensor):
                    features = backbone.module(inputs[index])
                else:
                    features = backbone.module(**{name: value[index] for name, value in inputs.items()})
            F.cross_entropy(head(features), train.labels[index]).backward()
            optimizer.step()
            optimizer.zero_grad()
    return head


def reviews(examples: int) -> tuple[Backbone, Splits]:
    """Film reviews and MiniLM."""
    return backbones.minilm(), datasets.rotten_tomatoes(limit=examples)


def pictograms(examples: int) -> tuple[Backbone, Splits]:
    """Pictograms of 96 pixels and EfficientNet-Lite0."""
    return backbones.efficientnet_lite0(size=96, crop=1), datasets.openmoji(limit=examples)


TASKS: dict[str, Callable[[int], tuple[Backbone, Splits]]] = {
    "MiniLM on reviews": reviews,
    "EfficientNet-Lite0 on pictograms": pictograms,
}


if __name__ == "__main__":
    measure.record("frozen", INPUTS, [measure_frozen(settings) for settings in MEASURED])
