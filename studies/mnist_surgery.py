"""What is a network for colour photographs worth for grey digits? (chapter: MNIST surgery)

A pretrained EfficientNet, frozen and fine-tuned, with its input prepared in the right way and in wrong ones,
beside the same network from random weights, a small network made for the digits and a support vector machine.
The setting of each was chosen by the rows with `scored_on="valid"`: at one budget, on seeds of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from sklearn.svm import SVC
from torch import Tensor, nn
from torch.nn import functional as F

from transferbook.data import datasets
from transferbook.evidence import metrics
from transferbook.learning import training, transfer
from transferbook.models import backbones

SEEDS = range(5)
TUNING_SEEDS = (100, 101)
MIDDLE = 30  # labels a class at which settings are chosen and inputs compared
CHEAP = ("svm", "small cnn", "probe", "re-estimated")
EPOCHS = {  # passes over the labelled digits, for each number of labels a class
    "efficientnet": {10: 10, 30: 6, 100: 3},
    "small cnn": {10: 40, 30: 30, 100: 20},
}
# What the network is given, as a multiple of its own normalised input, which goes from -1 to 1, and a shift.
INPUTS = {
    "source": (1.0, 0.0),
    "unit": (0.5, 0.5),  # from 0 to 1
    "raw": (127.5, 127.5),  # from 0 to 255
    "mnist": (0.5 / 0.3081, (0.5 - 0.1307) / 0.3081),  # with mean and deviation of MNIST
    "inverted": (-1.0, 0.0),  # black on white
    "averaged": (1 / 3, 0.0),  # as with a first layer averaged, not summed, over its channels
}
PENALTIES = (1e-2, 1e-1, 1.0)
CANDIDATES = {
    ("svm", "source"): (1.0, 3.0, 10.0, 30.0),
    ("small cnn", "source"): (1e-3, 2e-3, 4e-3),
    **{("probe", given): PENALTIES for given in INPUTS},
    **{("re-estimated", given): PENALTIES for given in ("source", "raw")},
    ("fine-tuned", "source"): (5e-4, 1e-3, 2e-3),
    ("fine-tuned", "raw"): (5e-4, 1e-3, 2e-3),
    ("scratch", "source"): (1e-3, 2e-3, 4e-3, 8e-3),
}

CHOSEN: dict[tuple[str, str], float] = {
    ("svm", "source"): 10.0,
    ("small cnn", "source"): 0.002,
    ("probe", "source"): 1.0,
    ("probe", "unit"): 0.1,
    ("probe", "raw"): 0.1,
    ("probe", "mnist"): 1.0,
    ("probe", "inverted"): 1.0,
    ("probe", "averaged"): 1.0,
    ("re-estimated", "source"): 0.01,
    ("re-estimated", "raw"): 0.01,
    ("fine-tuned", "source"): 0.001,
    ("fine-tuned", "raw"): 0.002,
    ("scratch", "source"): 0.004,
}


@dataclass(frozen=True)
class Config:
    """One classifier at one budget.

    Attributes:
        method: "svm", "small cnn", "probe", "re-estimated" (a probe after BatchNorm's statistics were
            computed anew), "fine-tuned", "frozen statistics" (fine-tuned, BatchNorm in evaluation mode) or
            "scratch".
        per_class: labelled digits of each class used for training.
        strength: inverse penalty C of "svm" and of the probes, learning rate of the others.
        epochs: passes over the labelled digits; 0 for the convex methods, which run to convergence.
        input: a key of `INPUTS`, for the methods with an EfficientNet.
        size: width and height of what the EfficientNet sees.
        scored_on: "test", or "valid" for the rows that choose `strength`.
    """

    method: str
    per_class: int
    strength: float
    epochs: int
    input: str = "source"
    size: int = 64
    scored_on: str = "test"


def grid() -> list[tuple[Config, int]]:
    """The rows that choose, then the comparison at every budget and the other inputs and sizes at one."""
    tuning = [
        (Config(method, MIDDLE, strength, epochs(method, MIDDLE), given, scored_on="valid"), seed)
        for (method, given), candidates in CANDIDATES.items()
        for strength in candidates
        for seed in TUNING_SEEDS
    ]
    final = [
        Config(method, per_class, strength, epochs(method, per_class), given)
        for (method, given), strength in CHOSEN.items()
        for per_class in budgets(method, given)
    ]
    if CHOSEN:
        final += [Config("probe", MIDDLE, CHOSEN["probe", "source"], 0, size=size) for size in (32, 96)]
        final += [
            Config("frozen statistics", 10, CHOSEN["fine-tuned", given], epochs("fine-tuned", 10), given)
            for given in ("source", "raw")
        ]
    return tuning + [(config, seed) for config in final for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """The cheap methods up to the middle budget, and most networks at the smallest."""
    left_out = ("fine-tuned", "raw")
    return [
        (config, seed)
        for config, seed in grid()
        if config.scored_on == "test"
        and config.per_class <= (MIDDLE if config.method in CHEAP else 10)
        and (config.method, config.input) != left_out
    ]


def budgets(method: str, given: str) -> tuple[int, ...]:
    """Labels a class for which a classifier is trained: all for the main ones, fewer for the others."""
    if (method, given) == ("fine-tuned", "raw"):
        return 10, MIDDLE
    if given != "source" or method == "re-estimated":
        return (MIDDLE,)
    return tuple(EPOCHS["efficientnet"])


def epochs(method: str, per_class: int) -> int:
    """Passes over the data: fewer of them, yet more steps, for a larger budget."""
    if method in ("svm", "probe", "re-estimated"):
        return 0
    return EPOCHS["small cnn" if method == "small cnn" else "efficientnet"][per_class]


def chosen(rows: pd.DataFrame) -> dict[tuple[str, str], float]:
    """For each classifier the candidate of the highest validation accuracy, a mean over the tuning seeds."""
    tuning = rows[rows["scored_on"] == "valid"]
    accuracy = tuning.groupby(["method", "input", "strength"])["accuracy"].mean()
    return {key: float(accuracy[key].idxmax()) for key in CANDIDATES}


def run(config: Config, seed: int) -> dict[str, float]:
    """Draw the labelled subset, train, and score once."""
    splits = datasets.mnist_5k(per_class=config.per_class, seed=seed)
    held_out = splits.test if config.scored_on == "test" else splits.valid
    predict = {"svm": svm, "small cnn": small_cnn, "probe": probe, "re-estimated": probe}
    logits = predict.get(config.method, efficientnet)(config, seed, splits.train, held_out.inputs)
    return metrics.classification_scores(logits, held_out.labels)


def svm(config: Config, seed: int, train: datasets.Part, images: Tensor) -> Tensor:
    """A support vector machine with Gaussian kernel on the pixels; its votes stand for logits."""
    model = SVC(C=config.strength, gamma="scale").fit(train.inputs.flatten(1) / 255, train.labels)
    votes = torch.from_numpy(model.predict(images.flatten(1).numpy() / 255))
    return F.one_hot(votes, len(train.labels.unique())).float()


def small_cnn(config: Config, seed: int, train: datasets.Part, images: Tensor) -> Tensor:
    """Two convolutions and two dense layers for 28 x 28 pixels, from random weights."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 7 * 7, 128), nn.ReLU(),
        nn.Dropout(0.3), nn.Linear(128, 10),
    )  # fmt: skip
    pixels = train.inputs.float()
    groups = [{"params": list(model.parameters()), "lr": config.strength, "weight_decay": 0.01}]
    fit(config, seed, model, (pixels - pixels.mean()) / pixels.std(), train.labels, groups)
    return training.predict(model, (images.float() - pixels.mean()) / pixels.std())


def backbone_for(config: Config, seed: int) -> backbones.Backbone:
    """An EfficientNet that sees the input of `config`."""
    pretrained = config.method != "scratch"
    backbone = backbones.efficientnet_lite0(size=config.size, crop=1, pretrained=pretrained, seed=seed)
    scale, shift = INPUTS[config.input]
    return replace(
        backbone,
        prepare=lambda images: backbone.prepare(images) * scale + shift,
        settings=f"{backbone.settings}, then times {scale} plus {shift}",
    )


def probe(config: Config, seed: int, train: datasets.Part, images: Tensor) -> Tensor:
    """Logistic regression on the features of the frozen network."""
    backbone = backbone_for(config, seed)
    if config.method == "re-estimated":
        reestimate(backbone.module, backbone.prepare(train.inputs))
    head = transfer.linear_probe(transfer.embed(backbone, train.inputs), train.labels, C=config.strength)
    return head(transfer.embed(backbone, images))


def reestimate(module: nn.Module, pixels: Tensor) -> None:
    """Compute the running statistics of every BatchNorm anew, from one batch and without labels."""
    for norm in norms(module):
        norm.momentum = 1.0  # the statistics of the last batch
    module.train()
    with torch.no_grad():
        module(pixels)
    module.eval()


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """Every BatchNorm of a network."""
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def efficientnet(config: Config, seed: int, train: datasets.Part, images: Tensor) -> Tensor:
    """The network with a new head, from its pretrained weights or from random ones."""
    backbone = backbone_for(config, seed)
    torch.manual_seed(seed)
    model = transfer.Classifier(backbone.module, nn.Linear(backbone.width, 10))
    if config.method == "frozen statistics":
        for norm in norms(backbone.module):
            transfer.freeze(norm).requires_grad_(True)  # its weight and bias learn
    groups = transfer.parameter_groups(model, config.strength, weight_decay=0.01)
    fit(config, seed, model, backbone.prepare(train.inputs), train.labels, groups)
    return training.predict(model, backbone.prepare(images))


def fit(
    config: Config, seed: int, model: nn.Module, inputs: Tensor, labels: Tensor, groups: list[dict[str, Any]]
) -> None:
    """Train by AdamW with warm-up and linear decay, in batches of 16."""
    optimizer = torch.optim.AdamW(groups, fused=True)
    steps = config.epochs * -(-len(labels) // 16)
    training.fit(
        model,
        (inputs, labels),
        optimizer=optimizer,
        schedule=training.warmup_linear(optimizer, steps),
        epochs=config.epochs,
        batch_size=16,
        clip_norm=1.0,
        seed=seed,
    )
