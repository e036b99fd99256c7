"""Which layers of a small network transfer, and is it what they learned? (chapter: convolutional networks)

A network of four blocks learns one task; its lowest blocks then start a network for another task with few
labels: frozen, tuned, or with the weights of each layer shuffled, which keeps their size and loses what they
say. There are two kinds of pictures, handwritten digits and pictograms. Of each kind some classes are the
source and the others are the target, so that each target has a near source and a far one. The learning rate
of each way was chosen by the rows with `scored_on="valid"`, on seeds of their own.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from transferbook.data import datasets, digits, splits
from transferbook.evidence import metrics
from transferbook.learning import training

SEEDS = range(8)
TUNING_SEEDS = (100, 101)
RATES = (3e-4, 1e-3, 3e-3)
SIZE = 20  # pixels
PER_CLASS = {"digits": 4, "pictograms": 10}  # labels of each class of a target
BLOCKS = 4
WIDTHS = (16, 24, 32, 32)
STEPS = {"source": 1_000, "target": 150}
BATCH = 25
SOURCE_RATE = 3e-3
SOURCE_KINDS = ("Animals & Nature", "Food & Drink", "Objects")
TARGETS = ("digits", "pictograms")
WAYS = ("frozen", "tuned", "shuffled", "shuffled and frozen")
PIECES = 10  # of the test pictures, each scored by itself

CHOSEN: dict[tuple[str, str, str, int], float] = {
    ("random", "digits", "", 0): 0.001,
    ("random", "pictograms", "", 0): 0.003,
    ("frozen", "digits", "digits", 1): 0.001,
    ("frozen", "digits", "digits", 2): 0.001,
    ("frozen", "digits", "digits", 3): 0.001,
    ("frozen", "digits", "digits", 4): 0.003,
    ("tuned", "digits", "digits", 1): 0.001,
    ("tuned", "digits", "digits", 2): 0.0003,
    ("tuned", "digits", "digits", 3): 0.0003,
    ("tuned", "digits", "digits", 4): 0.0003,
    ("shuffled", "digits", "digits", 1): 0.001,
    ("shuffled", "digits", "digits", 2): 0.0003,
    ("shuffled", "digits", "digits", 3): 0.0003,
    ("shuffled", "digits", "digits", 4): 0.001,
    ("shuffled and frozen", "digits", "digits", 1): 0.001,
    ("shuffled and frozen", "digits", "digits", 2): 0.0003,
    ("shuffled and frozen", "digits", "digits", 3): 0.0003,
    ("shuffled and frozen", "digits", "digits", 4): 0.003,
    ("frozen", "digits", "pictograms", 1): 0.0003,
    ("frozen", "digits", "pictograms", 2): 0.001,
    ("frozen", "digits", "pictograms", 3): 0.003,
    ("frozen", "digits", "pictograms", 4): 0.003,
    ("tuned", "digits", "pictograms", 1): 0.003,
    ("tuned", "digits", "pictograms", 2): 0.001,
    ("tuned", "digits", "pictograms", 3): 0.001,
    ("tuned", "digits", "pictograms", 4): 0.0003,
    ("shuffled", "digits", "pictograms", 1): 0.001,
    ("shuffled", "digits", "pictograms", 2): 0.0003,
    ("shuffled", "digits", "pictograms", 3): 0.001,
    ("shuffled", "digits", "pictograms", 4): 0.001,
    ("shuffled and frozen", "digits", "pictograms", 1): 0.001,
    ("shuffled and frozen", "digits", "pictograms", 2): 0.001,
    ("shuffled and frozen", "digits", "pictograms", 3): 0.001,
    ("shuffled and frozen", "digits", "pictograms", 4): 0.001,
    ("frozen", "pictograms", "digits", 1): 0.0003,
    ("frozen", "pictograms", "digits", 2): 0.003,
    ("frozen", "pictograms", "digits", 3): 0.003,
    ("frozen", "pictograms", "digits", 4): 0.001,
    ("tuned", "pictograms", "digits", 1): 0.0003,
    ("tuned", "pictograms", "digits", 2): 0.003,
    ("tuned", "pictograms", "digits", 3): 0.003,
    ("tuned", "pictograms", "digits", 4): 0.001,
    ("shuffled", "pictograms", "digits", 1): 0.0003,
    ("shuffled", "pictograms", "digits", 2): 0.0003,
    ("shuffled", "pictograms", "digits", 3): 0.003,
    ("shuffled", "pictograms", "digits", 4): 0.003,
    ("shuffled and frozen", "pictograms", "digits", 1): 0.0003,
    ("shuffled and frozen", "pictograms", "digits", 2): 0.0003,
    ("shuffled and frozen", "pictograms", "digits", 3): 0.001,
    ("shuffled and frozen", "pictograms", "digits", 4): 0.001,
    ("frozen", "pictograms", "pictograms", 1): 0.001,
    ("frozen", "pictograms", "pictograms", 2): 0.0003,
    ("frozen", "pictograms", "pictograms", 3): 0.0003,
    ("frozen", "pictograms", "pictograms", 4): 0.0003,
    ("tuned", "pictograms", "pictograms", 1): 0.003,
    ("tuned", "pictograms", "pictograms", 2): 0.0003,
    ("tuned", "pictograms", "pictograms", 3): 0.0003,
    ("tuned", "pictograms", "pictograms", 4): 0.0003,
    ("shuffled", "pictograms", "pictograms", 1): 0.0003,
    ("shuffled", "pictograms", "pictograms", 2): 0.0003,
    ("shuffled", "pictograms", "pictograms", 3): 0.003,
    ("shuffled", "pictograms", "pictograms", 4): 0.003,
    ("shuffled and frozen", "pictograms", "pictograms", 1): 0.003,
    ("shuffled and frozen", "pictograms", "pictograms", 2): 0.003,
    ("shuffled and frozen", "pictograms", "pictograms", 3): 0.003,
    ("shuffled and frozen", "pictograms", "pictograms", 4): 0.001,
}


@dataclass(frozen=True)
class Config:
    """One way to start a network for a target.

    Attributes:
        method: one of `WAYS`, or "random".
        target: "digits" (5 to 9) or "pictograms" (of activities, people, faces and places).
        source: "digits" (0 to 4) or "pictograms" (of nature, food and objects); "" for the random start.
        blocks: how many of the lowest blocks come from the source.
        rate: the learning rate.
        scored_on: "test", or "valid" for the rows that choose `rate`.
    """

    method: str
    target: str
    source: str
    blocks: int
    rate: float
    scored_on: str = "test"


def arms() -> list[tuple[str, str, str, int]]:
    """Method, target, source and blocks of all that is compared."""
    return [
        *(("random", target, "", 0) for target in TARGETS),
        *(
            (way, target, source, blocks)
            for target in TARGETS
            for source in TARGETS
            for way in WAYS
            for blocks in range(1, BLOCKS + 1)
        ),
    ]


def grid() -> list[tuple[Config, int]]:
    """The rows that choose the rates, then the comparison."""
    tuning = [
        (Config(*arm, rate, scored_on="valid"), seed)
        for arm in arms()
        for rate in RATES
        for seed in TUNING_SEEDS
    ]
    return tuning + [(Config(*arm, rate), seed) for arm, rate in CHOSEN.items() for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """All ways with one and four blocks of either source, and the random start, for the digits."""
    return [
        (config, seed)
        for config, seed in grid()
        if config.scored_on == "test" and config.target == "digits" and config.blocks in (0, 1, 4)
    ]


def chosen(rows: pd.DataFrame) -> dict[tuple[str, str, str, int], float]:
    """For each arm the rate of the highest validation accuracy, a mean over the tuning seeds."""
    tuning = rows[rows["scored_on"] == "valid"]
    accuracy = tuning.groupby(["method", "target", "source", "blocks", "rate"])["accuracy"].mean()
    return {arm: float(accuracy[arm].idxmax()) for arm in arms()}


def run(config: Config, seed: int) -> dict[str, float]:
    """Draw the labels of the target, start the network, train what is not frozen, score once."""
    train, valid, test = target_parts(config.target)
    train = splits.subset(train, per_class=PER_CLASS[config.target], seed=seed)
    held_out = test if config.scored_on == "test" else valid
    network = start(config, seed)
    inputs, scored = standardised(train.inputs, train.inputs), standardised(held_out.inputs, train.inputs)
    if "frozen" in config.method:  # what is frozen runs once
        below, network = network[: config.blocks], network[config.blocks :]
        inputs, scored = training.predict(below, inputs), training.predict(below, scored)
    fit(network, inputs, train.labels, config.rate, STEPS["target"], seed)
    return scores(network, scored, held_out.labels, in_pieces=config.scored_on == "test")


def start(config: Config, seed: int) -> nn.Sequential:
    """A new network whose lowest blocks come from the source, as they are or shuffled."""
    weights = source_weights(config.source, seed) if config.blocks else {}  # may train, which draws numbers
    torch.manual_seed(seed)
    network = new_network(len(target_parts(config.target)[0].labels.unique()))
    if config.blocks:
        below = {name: weight.clone() for name, weight in weights.items()}
        for name, weight in below.items():
            if "shuffled" in config.method:
                below[name] = weight.flatten()[torch.randperm(weight.numel())].view_as(weight)
        kept = {name: weight for name, weight in below.items() if int(name.split(".")[0]) < config.blocks}
        network.load_state_dict(network.state_dict() | kept)
    return network


def new_network(classes: int) -> nn.Sequential:
    """Four blocks and a linear head; 20 x 20 pixels become 10, 5, 5 and 5."""
    blocks, channels = [], 1
    for number, width in enumerate(WIDTHS):
        convolution = nn.Conv2d(channels, width, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(convolution.bias)
        pool = [nn.MaxPool2d(2)] if number < 2 else []
        blocks.append(nn.Sequential(convolution, nn.ReLU(), *pool))
        channels = width
    return nn.Sequential(*blocks, nn.Sequential(nn.Flatten(), nn.Linear(channels * 25, classes)))


@functools.cache
def source_weights(source: str, seed: int) -> dict[str, Tensor]:
    """The weights of a network that has learned a source."""
    part = source_part(source)
    torch.manual_seed(1_000 + seed)
    network = new_network(len(part.labels.unique()))
    fit(network, standardised(part.inputs, part.inputs), part.labels, SOURCE_RATE, STEPS["source"], seed)
    return {name: weight.clone() for name, weight in network.state_dict().items()}


def fit(
    network: nn.Module, inputs: Tensor, labels: Tensor, rate: float, steps: int, seed: int, batch: int = BATCH
) -> None:
    """AdamW with warm-up and linear decay, for whole epochs of at least `steps` steps."""
    in_epoch = -(-len(labels) // batch)
    epochs = -(-steps // in_epoch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01, fused=True)
    schedule = training.warmup_linear(optimizer, epochs * in_epoch)
    training.fit(
        network,
        (inputs, labels),
        optimizer=optimizer,
        schedule=schedule,
        epochs=epochs,
        batch_size=batch,
        clip_norm=1.0,
        seed=seed,
    )


def scores(network: nn.Module, inputs: Tensor, labels: Tensor, *, in_pieces: bool) -> dict[str, float]:
    """The accuracy; in pieces, on every tenth picture too: how far another draw of pictures moves it."""
    logits = training.predict(network, inputs)
    found = {"accuracy": metrics.classification_scores(logits, labels)["accuracy"]}
    if in_pieces:
        right = (logits.argmax(dim=1) == labels).double()
        found |= {f"piece_{k}": float(right[k::PIECES].mean()) for k in range(PIECES)}
    return found


def standardised(images: Tensor, reference: Tensor) -> Tensor:
    """Bright on dark, with the mean and the deviation of the reference's pixels."""
    pixels = reference.float()
    return (images.float() - pixels.mean()) / pixels.std()


@functools.cache
def pictures(kind: str) -> tuple[splits.Part, tuple[str, ...]]:
    """All pictures of a kind, grey and bright on dark, and the names of their classes."""
    found = datasets.mnist_5k() if kind == "digits" else datasets.openmoji("color", SIZE)
    parts = (found.train, found.valid, found.test)
    images = torch.cat([part.inputs for part in parts])
    images = digits.resize(images, SIZE) if kind == "digits" else 255 - images.float().mean(1, keepdim=True)
    groups = None if kind == "digits" else sum((part.groups for part in parts), ())
    return splits.Part(images, torch.cat([part.labels for part in parts]), groups), found.class_names


def classes(kind: str, names: tuple[str, ...]) -> splits.Part:
    """The pictures of some classes, numbered from 0 in the order of the names."""
    whole, known = pictures(kind)
    rows = [whole.select((whole.labels == known.index(name)).nonzero().flatten()) for name in names]
    labels = torch.cat([torch.full((len(part),), number) for number, part in enumerate(rows)])
    groups = None if whole.groups is None else sum((part.groups for part in rows), ())
    return splits.Part(torch.cat([part.inputs for part in rows]), labels, groups)


def source_part(kind: str) -> splits.Part:
    """The pictures of the classes that are a source."""
    return classes(kind, tuple("01234") if kind == "digits" else SOURCE_KINDS)


@functools.cache
def target_parts(kind: str) -> tuple[splits.Part, splits.Part, splits.Part]:
    """Train, valid and test of the other classes; labels are drawn from train."""
    known = pictures(kind)[1]
    names = tuple("56789") if kind == "digits" else tuple(name for name in known if name not in SOURCE_KINDS)
    return splits.split(classes(kind, names), valid=0.15, test=0.6)
