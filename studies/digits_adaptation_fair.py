"""How much of what adaptation gains is the gain of its loss? (chapter: adaptation)

Networks, pictures, seeds and weights are those of the study digits_adaptation, on aligned pictures. Beside
each loss stand networks that learn from the same batches without one. Accuracy is recorded on each half of
the target's test pictures, so that one half can choose and the other be scored; DANN's adversary is asked
what it still knows; and under label shift MMD has all of its weights, not one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from transferbook.data import datasets
from transferbook.data.splits import Part
from transferbook.evidence import studies
from transferbook.learning import adaptation, training, transfer

first = studies.open_study("digits_adaptation").module
WEIGHTS = first.WEIGHTS | {"no loss": (0.0,), "no loss, DANN's Adam": (0.0,), "redrawn": (0.0,)}
PLAIN = ("source only", "AdaBN")
UNDER_SHIFT = ("redrawn", "MMD")


@dataclass(frozen=True)
class Config:
    """One network.

    Attributes:
        method: "source only", "AdaBN", "CORAL", "MMD", "DANN"; or, with the batches of these three,
            "redrawn", which learns from their source half alone, "no loss", which has both halves and the
            weight 0, and "no loss, DANN's Adam", likewise with the momentum of DANN's optimiser.
        source, target, weight, shift: as in the study digits_adaptation.
    """

    method: str
    source: str
    target: str
    weight: float = 0.0
    shift: str = ""


def grid() -> list[tuple[Config, int]]:
    """All methods and weights in six directions; under label shift MMD and "redrawn" in three."""
    configs = [
        Config(method, *pair, weight)
        for pair in first.PAIRS
        for method in (*PLAIN, *WEIGHTS)
        for weight in WEIGHTS.get(method, (0.0,))
    ]
    configs += [
        Config(method, *pair, weight, shift)
        for pair in first.CYCLE
        for method in UNDER_SHIFT
        for weight in WEIGHTS.get(method, (0.0,))
        for shift in ("as they are", "estimated", "true")
    ]
    return [(config, seed) for config in configs for seed in first.SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """One direction at one weight of each method, with balanced and with unequal classes."""
    return [
        (config, seed)
        for config, seed in grid()
        if (config.source, config.target) == ("optdigits", "rendered")
        and config.weight == first.MIDDLE.get(config.method, 0.0)
    ]


def run(config: Config, seed: int) -> dict[str, float]:
    """Train one network and score it: on the target's test set, and by all that could have chosen it."""
    source, target = first.domain(config.source, True), first.domain(config.target, True)
    if config.shift:
        target = first.unequal(target, seed)
    labelled = datasets.subset(source.train, limit=first.LIMIT, seed=seed)
    unlabelled = datasets.subset(target.train, limit=min(first.LIMIT, len(target.train)), seed=seed)
    truth, ratios = first.shares(unlabelled.labels), None
    if config.shift == "true":
        ratios = truth / first.shares(labelled.labels)
    elif config.shift == "estimated":
        plain, _ = train(Config("source only", config.source, config.target), labelled, unlabelled, seed)
        parts = (source.valid, unlabelled)
        logits = [training.predict(plain, first.pixels(part.inputs)) for part in parts]
        ratios = adaptation.class_ratios(logits[0], source.valid.labels, logits[1])
    model, adversary = train(config, labelled, unlabelled, seed, ratios)
    found = first.scores(model, labelled, source.valid, unlabelled, target) | by_halves(model, target.test)
    if adversary is not None:
        found |= how_fooled(model, adversary, labelled, unlabelled)
    drawn = first.shares(labelled.labels) * (1.0 if ratios is None else ratios)
    found["proportions_off"] = float((drawn - truth).abs().sum() / 2)
    return {name: round(value, 5) for name, value in found.items()}


def train(
    config: Config, labelled: Part, unlabelled: Part, seed: int, ratios: Tensor | None = None
) -> tuple[transfer.Classifier, adaptation.Adversary | None]:
    """A network trained by one method, and its adversary, if it has one."""
    if config.method in PLAIN:
        plain = first.Config(config.method, config.source, config.target, True)
        return first.train(plain, labelled, unlabelled, seed, ratios), None
    inputs, target = first.pixels(labelled.inputs), first.pixels(unlabelled.inputs)
    weights = None if ratios is None else ratios[labelled.labels]
    model = first.network(seed)
    adversary = adaptation.Adversary(first.WIDTH) if config.method == "DANN" else None
    distance = adversary or first.DISTANCES.get(config.method, adaptation.coral_loss)
    joint = adaptation.Joint(model, distance, config.weight)
    batches = adaptation.JointBatches(
        inputs, labelled.labels, target, batch_size=first.BATCH, seed=seed, weights=weights
    )
    betas = first.ADVERSARIAL_BETAS if "DANN" in config.method else (0.9, 0.999)
    optimizer = torch.optim.AdamW(joint.parameters(), lr=first.RATE, betas=betas, fused=True)
    settings = {"optimizer": optimizer, "epochs": first.EPOCHS, "progress": False}
    if config.method == "redrawn":
        training.fit(model, SourceHalf(batches), **settings)
    else:
        training.fit(joint, batches, loss=joint.loss, on_epoch_start=joint.ramp(first.EPOCHS), **settings)
    return model, adversary


class SourceHalf:
    """The labelled half of each of the joint batches: the same examples, draws and steps, no target input."""

    def __init__(self, batches: adaptation.JointBatches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, labels in self.batches:
            known = labels != adaptation.UNLABELLED
            yield inputs[known], labels[known]


def by_halves(model: transfer.Classifier, test: Part) -> dict[str, float]:
    """The accuracy on half of the test pictures, which are the same for every network, and on the others."""
    right = training.predict(model, first.pixels(test.inputs)).argmax(dim=1) == test.labels
    order = torch.randperm(len(right), generator=torch.Generator().manual_seed(0))
    halves = zip(("first", "second"), right[order].tensor_split(2), strict=True)
    return {f"accuracy_{name}": float(half.double().mean()) for name, half in halves}


@torch.no_grad()
def how_fooled(
    model: transfer.Classifier, adversary: adaptation.Adversary, labelled: Part, unlabelled: Part
) -> dict[str, float]:
    """What DANN's adversary still knows of the training pictures, both domains weighing the same."""
    parts = (labelled, unlabelled)
    source, target = (training.predict(model.encoder, first.pixels(part.inputs)) for part in parts)
    right = [(adversary.layers(source) < 0).double().mean(), (adversary.layers(target) > 0).double().mean()]
    return {
        "adversary_loss": float(adversary(source, target)),  # log 2 of one that knows nothing
        "adversary_accuracy": float(sum(right) / 2),
    }
