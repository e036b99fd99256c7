"""How long should a pretrained network and its rivals train on few grey digits? (chapter: MNIST surgery)

The number of epochs of the fine-tuned EfficientNet, of the same network from random weights and of the small
network made for digits, each chosen on validation digits from the same candidates, at each number of labels.
Networks, learning rates and the recipe are those of the study `mnist_surgery`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd
from torch import Tensor

from transferbook.data import datasets
from transferbook.evidence import metrics, studies

SEEDS = range(5)
TUNING_SEEDS = (100, 101)
CANDIDATES = {10: (10, 20, 40), 30: (5, 10, 20), 100: (3, 6, 12)}  # epochs, for each number of labels a class
LONGER = {"scratch": (80, 160)}  # more candidates with 10 labels a class, where 40 was not enough
BUDGETS = {"fine-tuned": (10, 30, 100), "small cnn": (10, 30, 100), "scratch": (10,)}
SCORED = (10, 30)  # budgets that are scored on the test digits; with more labels the rows become dear

CHOSEN: dict[tuple[str, int], int] = {
    ("fine-tuned", 10): 40,
    ("fine-tuned", 30): 20,
    ("fine-tuned", 100): 12,
    ("small cnn", 10): 40,
    ("small cnn", 30): 20,
    ("small cnn", 100): 12,
    ("scratch", 10): 160,
}


@dataclass(frozen=True)
class Config:
    """One network at one budget, alone or beside a rival.

    Attributes:
        method: "fine-tuned", "small cnn" or "scratch", as in the study `mnist_surgery`.
        per_class, epochs: as there.
        rival: a second method, trained on the same digits and held against the first digit by digit, or "".
        rival_epochs: its passes.
        scored_on: "test", or "valid" for the rows that choose `epochs`.
    """

    method: str
    per_class: int
    epochs: int
    rival: str = ""
    rival_epochs: int = 0
    scored_on: str = "test"


def grid() -> list[tuple[Config, int]]:
    """The rows that choose; then the fine-tuned network beside the small one, and the random weights."""
    tuning = [
        (Config(method, per_class, epochs, scored_on="valid"), seed)
        for method, budgets in BUDGETS.items()
        for per_class in budgets
        for epochs in candidates(method, per_class)
        for seed in TUNING_SEEDS
    ]
    return tuning + [(config, seed) for config in final() for seed in SEEDS]


def candidates(method: str, per_class: int) -> tuple[int, ...]:
    """The numbers of epochs that validation chooses from."""
    return CANDIDATES[per_class] + (LONGER.get(method, ()) if per_class == 10 else ())


def final() -> list[Config]:
    """The configs that are scored on the test digits."""
    configs = [
        Config(method, per_class, epochs)
        for (method, per_class), epochs in CHOSEN.items()
        if method != "small cnn" and per_class in SCORED
    ]
    return [
        replace(config, rival="small cnn", rival_epochs=CHOSEN["small cnn", config.per_class])
        if config.method == "fine-tuned"
        else config
        for config in configs
    ]


def smallest() -> list[tuple[Config, int]]:
    """The two networks at the smallest budget."""
    return [(config, seed) for config, seed in grid() if config.rival and config.per_class == 10]


def chosen(rows: pd.DataFrame) -> dict[tuple[str, int], int]:
    """For each network and budget the epochs of the highest validation accuracy, a mean over tuning seeds."""
    tuning = rows[rows["scored_on"] == "valid"]
    accuracy = tuning.groupby(["method", "per_class", "epochs"])["accuracy"].mean()
    return {
        (method, per_class): int(accuracy[method, per_class].idxmax())
        for method, budgets in BUDGETS.items()
        for per_class in budgets
    }


def run(config: Config, seed: int) -> dict[str, float]:
    """Draw the labelled subset, train one network or two on it, and score once."""
    splits = datasets.mnist_5k(per_class=config.per_class, seed=seed)
    held_out = splits.test if config.scored_on == "test" else splits.valid
    logits = train(config.method, config.epochs, seed, splits.train, held_out.inputs)
    scores = {"accuracy": metrics.classification_scores(logits, held_out.labels)["accuracy"]}
    if config.rival:
        others = train(config.rival, config.rival_epochs, seed, splits.train, held_out.inputs)
        right, theirs = (answers.argmax(dim=1) == held_out.labels for answers in (logits, others))
        scores |= {
            "rival_accuracy": theirs.double().mean().item(),
            "only_right": (right & ~theirs).double().mean().item(),  # share that the rival alone gets wrong
            "only_rival_right": (theirs & ~right).double().mean().item(),
        }
    return scores


def train(method: str, epochs: int, seed: int, digits: datasets.Part, images: Tensor) -> Tensor:
    """Train by the recipe of the other study, at the learning rate chosen there; logits of `images`."""
    recipe = studies.open_study("mnist_surgery").module
    config = recipe.Config(method, len(digits) // 10, recipe.CHOSEN[method, "source"], epochs)
    network = recipe.small_cnn if method == "small cnn" else recipe.efficientnet
    return network(config, seed, digits, images)
