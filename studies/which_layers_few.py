"""Is the near source better because it is larger? (part 2, chapter 3)

The digits 0 to 4 as a source for the digits 5 to 9, as in the study `which_layers`, with no more pictures
than the far source has. Networks, recipe and the candidates for the learning rate are those of that study.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pandas as pd
import torch
from torch import nn

from transferbook.data import splits
from transferbook.evidence import studies
from transferbook.learning import training

SEEDS = range(8)
TUNING_SEEDS = (100, 101)
RATES = (3e-4, 1e-3, 3e-3)
ARMS = tuple((method, blocks) for method in ("frozen", "tuned") for blocks in (2, 4))

CHOSEN: dict[tuple[str, int], float] = {
    ("frozen", 2): 0.001,
    ("frozen", 4): 0.003,
    ("tuned", 2): 0.001,
    ("tuned", 4): 0.0003,
}


@dataclass(frozen=True)
class Config:
    """One way to start a network for the digits 5 to 9.

    Attributes:
        method: "frozen" or "tuned", as in the study `which_layers`.
        blocks: how many of the lowest blocks come from the source.
        rate: the learning rate.
        scored_on: "test", or "valid" for the rows that choose `rate`.
    """

    method: str
    blocks: int
    rate: float
    scored_on: str = "test"


def grid() -> list[tuple[Config, int]]:
    """The rows that choose the rates, then the comparison."""
    tuning = [
        (Config(*arm, rate, scored_on="valid"), seed)
        for arm in ARMS
        for rate in RATES
        for seed in TUNING_SEEDS
    ]
    return tuning + [(Config(*arm, rate), seed) for arm, rate in CHOSEN.items() for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """The rows that are scored on the test digits."""
    return [(config, seed) for config, seed in grid() if config.scored_on == "test"]


def chosen(rows: pd.DataFrame) -> dict[tuple[str, int], float]:
    """For each arm the rate of the highest validation accuracy, a mean over the tuning seeds."""
    tuning = rows[rows["scored_on"] == "valid"]
    accuracy = tuning.groupby(["method", "blocks", "rate"])["accuracy"].mean()
    return {arm: float(accuracy[arm].idxmax()) for arm in ARMS}


def run(config: Config, seed: int) -> dict[str, float]:
    """Train the source on few digits, hand its blocks on, train on the labels of the target, score once."""
    layers = studies.open_study("which_layers").module
    source = trained_source(seed)
    train, valid, test = layers.target_parts("digits")
    train = splits.subset(train, per_class=layers.PER_CLASS["digits"], seed=seed)
    held_out = test if config.scored_on == "test" else valid
    inputs = layers.standardised(train.inputs, train.inputs)
    scored = layers.standardised(held_out.inputs, train.inputs)
    torch.manual_seed(seed)
    network = layers.new_network(len(train.labels.unique()))
    network[: config.blocks].load_state_dict(source[: config.blocks].state_dict())
    if config.method == "frozen":
        below, network = network[: config.blocks], network[config.blocks :]
        inputs, scored = training.predict(below, inputs), training.predict(below, scored)
    layers.fit(network, inputs, train.labels, config.rate, layers.STEPS["target"], seed)
    return layers.scores(network, scored, held_out.labels, in_pieces=config.scored_on == "test")


@functools.cache
def trained_source(seed: int) -> nn.Sequential:
    """A network that has learned the digits 0 to 4 from as many pictures as the far source has."""
    layers = studies.open_study("which_layers").module
    part = layers.source_part("digits")
    part = splits.subset(part, limit=len(layers.source_part("pictograms")), seed=seed)
    torch.manual_seed(1_000 + seed)
    network = layers.new_network(len(part.labels.unique()))
    pixels = layers.standardised(part.inputs, part.inputs)
    layers.fit(network, pixels, part.labels, layers.SOURCE_RATE, layers.STEPS["source"], seed)
    return network
