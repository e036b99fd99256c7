"""What to train of a pretrained network, and at what price? (chapter: image classifier)

Nine ways to make a classifier of pictograms at three label budgets. A budget counts every label: about a
fifth of it is set aside to choose one of three learning rates, which every row does anew for itself.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transferbook.data import datasets
from transferbook.data.splits import Part
from transferbook.evidence import metrics
from transferbook.learning import training, transfer
from transferbook.models import backbones
from transferbook.models.backbones import Backbone

CLASSES = 7
SIZE = 64  # pixels
EPOCHS = {5: 12, 15: 10, 45: 6}  # labels a class: passes over those that train
LONGER = 18  # epochs of the longer training from scratch
SEEDS = range(5)
HELD_OUT = 5  # one label of so many chooses the rate
BATCH = 16
PARTIAL = 6  # stages that "partial" freezes: the stem and the first five blocks of seven
LOW, MIDDLE, HIGH = (1e-4, 3e-4, 1e-3), (3e-4, 1e-3, 3e-3), (1e-3, 3e-3, 1e-2)
RATES = {  # tried in every row; the three were set beforehand, on seeds of their own, see the chapter
    "scratch": MIDDLE,
    "last layer": HIGH,
    "cached features": HIGH,
    "partial": MIDDLE,
    "fine-tuned": LOW,
    "layer-wise rates": MIDDLE,
    "zero-initialised head": LOW,
    "probe, then fine-tuned": LOW,
    "batch statistics": MIDDLE,
}
WIDER = (*MIDDLE[1:], 1e-2, 3e-2)  # from scratch once more: there the highest of three was often chosen


@dataclass(frozen=True)
class Config:
    """One strategy at one budget.

    Attributes:
        method: a key of `RATES`. "last layer" and "cached features" train the same head. "batch
            statistics" is "fine-tuned" with BatchNorm in training mode, as in "scratch"; all others keep
            its statistics.
        per_class: labels a class, those that choose the rate included.
        epochs: passes over the labels that train.
        rates: learning rates to choose from.
    """

    method: str
    per_class: int
    epochs: int
    rates: tuple[float, ...]


def grid() -> list[tuple[Config, int]]:
    """Every strategy at every budget; from scratch also for longer at the largest, and at higher rates."""
    configs = [
        Config(method, per_class, epochs, rates)
        for per_class, epochs in EPOCHS.items()
        for method, rates in RATES.items()
    ]
    configs.append(Config("scratch", max(EPOCHS), LONGER, RATES["scratch"]))
    configs += [Config("scratch", n, EPOCHS[n], WIDER) for n in EPOCHS if n > min(EPOCHS)]
    return [(config, seed) for config in configs for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """The strategies of the main claim at the smallest budget."""
    methods = ("scratch", "cached features", "probe, then fine-tuned")
    return [pair for pair in grid() if pair[0].per_class == min(EPOCHS) and pair[0].method in methods]


def run(config: Config, seed: int) -> dict[str, float]:
    """Train with every rate, keep the model that validates best, and score it once on the test set."""
    splits = datasets.openmoji(size=SIZE, per_class=config.per_class, seed=seed)
    backbone = backbones.efficientnet_lite0(SIZE, crop=1, pretrained=config.method != "scratch", seed=seed)
    train, valid = set_aside(splits)
    found: dict[str, float] = {}
    seconds, best = [], None
    searching = time.process_time()
    inputs = backbone.prepare(train.inputs)
    if config.method == "cached features":
        inputs = training.predict(backbone.module, inputs)  # once, whatever the number of rates
    preparing = time.process_time() - searching
    for number, rate in enumerate(config.rates):
        started = time.process_time()
        model = train_one(config, rate, seed, backbone, inputs, train.labels)
        seconds.append(time.process_time() - started)
        scores = training.evaluate(model, (backbone.prepare(valid.inputs), valid.labels))
        found |= {f"valid_accuracy_{number}": scores["accuracy"], f"valid_loss_{number}": scores["loss"]}
        if choose(found) == number:
            best = model
    found["search_seconds"] = time.process_time() - searching
    found["train_seconds"] = preparing + seconds[choose(found)]
    assert best is not None
    logits = training.predict(best, backbone.prepare(splits.test.inputs))
    scores = metrics.classification_scores(logits, splits.test.labels)
    return found | {name: scores[name] for name in ("accuracy", "f1")}


def set_aside(splits: datasets.Splits) -> tuple[Part, Part]:
    """The labels of a budget that train, and those that choose: one in `HELD_OUT`, at least one a class.

    A subset of n a class lists first one example of each class, then the next, so its end is balanced.
    """
    each = len(splits.train) // CLASSES
    kept = CLASSES * (each - max(1, each // HELD_OUT))
    return splits.train.select(range(kept)), splits.train.select(range(kept, len(splits.train)))


def choose(found: dict[str, float]) -> int:
    """The number of the rate with the highest validation accuracy; of equals, the lowest loss."""
    tried = range(sum(name.startswith("valid_loss_") for name in found))
    return max(tried, key=lambda number: (found[f"valid_accuracy_{number}"], -found[f"valid_loss_{number}"]))


def train_one(
    config: Config, rate: float, seed: int, backbone: Backbone, inputs: Tensor, labels: Tensor
) -> transfer.Classifier:
    """A classifier trained by one strategy with one learning rate; the backbone stays as it is."""
    torch.manual_seed(seed)
    model = transfer.Classifier(copy.deepcopy(backbone.module), nn.Linear(backbone.width, CLASSES))
    if config.method == "zero-initialised head":
        nn.init.zeros_(model.head.weight)
        nn.init.zeros_(model.head.bias)
    if config.method == "probe, then fine-tuned":
        features = training.predict(model.encoder, inputs)
        probe = transfer.linear_probe(features, labels, n_classes=CLASSES, C=0.01)
        model.head = probe.requires_grad_(True)
    stages = len(model.encoder.stages())
    frozen = {"partial": PARTIAL, "last layer": stages, "cached features": stages}.get(config.method, 0)
    transfer.freeze_stages(model.encoder, frozen)
    if config.method not in ("scratch", "batch statistics"):
        fix_statistics(model.encoder)
    decay = 0.7 if config.method == "layer-wise rates" else 1.0
    groups = transfer.parameter_groups(model, rate, decay=decay, weight_decay=0.01)
    optimizer = torch.optim.AdamW(groups, fused=True)
    training.fit(
        model.head if config.method == "cached features" else model,
        (inputs, labels),
        optimizer=optimizer,
        schedule=training.warmup_linear(optimizer, config.epochs * -(-len(labels) // BATCH)),
        epochs=config.epochs,
        batch_size=BATCH,
        clip_norm=1.0,
        seed=seed,
    )
    return model


def fix_statistics(encoder: nn.Module) -> None:
    """Keep BatchNorm's running statistics, and use them in training too; its weights and biases may learn."""
    for part in encoder.modules():
        if isinstance(part, nn.BatchNorm2d):
            learns = part.weight.requires_grad
            transfer.freeze(part).requires_grad_(learns)
