"""Which adaptation helps between sets of digits, and can it be tuned without labels? (chapter: adaptation)

A small network with BatchNorm learns the digits of one domain, sees the inputs of another without their
labels, and is tested there: all six directions, as the pictures come and aligned, with every weight of each
method's loss. Then again with target classes of very unequal sizes, and with the library skada.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from transferbook.data import datasets, digits
from transferbook.data.splits import Part
from transferbook.learning import adaptation, training, transfer

DOMAINS = ("rendered", "optdigits", "mnist")
PAIRS = tuple((source, target) for source in DOMAINS for target in DOMAINS if source != target)
WEIGHTS = {
    "CORAL": (1.0, 30.0, 1_000.0),
    "MMD": (0.3, 3.0, 30.0),
    "DANN": (0.03, 0.3, 3.0),
}
DISTANCES = {"CORAL": adaptation.coral_loss, "MMD": adaptation.mmd}
MIDDLE = {method: weights[1] for method, weights in WEIGHTS.items()}
CYCLE = (("mnist", "optdigits"), ("optdigits", "rendered"), ("rendered", "mnist"))
SEEDS = range(5)
LIMIT = 1_000  # examples of each domain
EPOCHS, BATCH, RATE = 20, 64, 2e-3  # these and the next were set on seeds 100 to 102, see the chapter
ADVERSARIAL_BETAS = (0.5, 0.999)  # of Adam, for DANN
SIZE, WIDTH = 8, 64  # pixels; features
FREQUENT = 5  # classes that keep all of their examples under label shift; the others keep one in
RARE = 10


@dataclass(frozen=True)
class Config:
    """One network.

    Attributes:
        method: "source only", "AdaBN", "target supervised", "CORAL", "MMD", "DANN"; "skada CORAL" and "skada
            DANN" are those of the library.
        source: domain with labels.
        target: domain without, in which the network is tested.
        aligned: pictures cut out, scaled and centred.
        weight: of the adaptation's loss.
        shift: "" for balanced targets; else the target's classes are unequal, and the source's examples are
            drawn "as they are", in "estimated" or in "true" target proportions.
    """

    method: str
    source: str
    target: str
    aligned: bool
    weight: float = 0.0
    shift: str = ""


def grid() -> list[tuple[Config, int]]:
    """All methods and weights in six directions, prepared in two ways; label shift and skada in three."""
    configs = [
        Config(method, *pair, aligned, weight)
        for pair in PAIRS
        for aligned in (False, True)
        for method in ("source only", "AdaBN", "target supervised", *WEIGHTS)
        for weight in WEIGHTS.get(method, (0.0,))
    ]
    configs += [
        Config(method, *pair, True, MIDDLE.get(method, 0.0), shift)
        for pair in CYCLE
        for method in ("source only", "AdaBN", *WEIGHTS)
        for shift in ("as they are", "estimated", "true")
        if shift == "as they are" or method != "AdaBN"
    ]
    configs += [
        Config(f"skada {method}", *pair, True, weight)
        for pair in CYCLE
        for method in ("CORAL", "DANN")
        for weight in WEIGHTS[method]
    ]
    return [(config, seed) for config in configs for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """One direction, aligned, at one weight of each method."""
    return [
        (config, seed)
        for config, seed in grid()
        if (config.source, config.target, config.aligned) == ("optdigits", "rendered", True)
        and config.weight == MIDDLE.get(config.method, 0.0)
        and not config.shift
        and not config.method.startswith("skada")
    ]


def run(config: Config, seed: int) -> dict[str, float]:
    """Train one network and score it: on the target's test set, and by all that could have chosen it."""
    source, target = domain(config.source, config.aligned), domain(config.target, config.aligned)
    if config.shift:
        target = unequal(target, seed)
    labelled = datasets.subset(source.train, limit=LIMIT, seed=seed)
    unlabelled = datasets.subset(target.train, limit=min(LIMIT, len(target.train)), seed=seed)
    truth = shares(unlabelled.labels)
    ratios = None
    if config.shift == "true":
        ratios = truth / shares(labelled.labels)
    elif config.shift == "estimated":
        first = train(Config("source only", config.source, config.target, True), labelled, unlabelled, seed)
        logits = [training.predict(first, pixels(part.inputs)) for part in (source.valid, unlabelled)]
        ratios = adaptation.class_ratios(logits[0], source.valid.labels, logits[1])
    started = time.process_time()
    model = train(config, labelled, unlabelled, seed, ratios)
    seconds = time.process_time() - started
    found = scores(model, labelled, source.valid, unlabelled, target)
    drawn = shares(labelled.labels) if ratios is None else shares(labelled.labels) * ratios
    found["proportions_off"] = float((drawn - truth).abs().sum() / 2)
    return {name: round(value, 5) for name, value in found.items()} | {"train_seconds": seconds}


@functools.lru_cache
def domain(name: str, aligned: bool) -> datasets.Splits:
    """One of the three domains, made once."""
    return digits.domains(SIZE, aligned=aligned)[name]


def pixels(images: Tensor) -> Tensor:
    """Bytes as numbers from 0 to 1."""
    return images.float() / 255


def unequal(splits: datasets.Splits, seed: int) -> datasets.Splits:
    """The same with few examples of five classes, which the seed draws: one in ten, on every side."""
    frequent = np.random.default_rng(seed).permutation(10)[:FREQUENT]

    def thin(part: Part) -> Part:
        kept = []
        for label in range(10):
            rows = (part.labels == label).nonzero().flatten().tolist()
            kept += rows if label in frequent else rows[: -(-len(rows) // RARE)]
        return part.select(sorted(kept))

    parts = (thin(part) for part in (splits.train, splits.valid, splits.test))
    return datasets.Splits(splits.name, *parts, splits.class_names, splits.provenance)


def shares(labels: Tensor) -> Tensor:
    """The share of each class, shape (10,)."""
    return labels.bincount(minlength=10).double() / len(labels)


def network(seed: int) -> transfer.Classifier:
    """Two convolutions with BatchNorm, one hidden layer, and a head."""
    torch.manual_seed(seed)
    encoder = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * (SIZE // 2) ** 2, WIDTH), nn.ReLU(),
    )  # fmt: skip
    return transfer.Classifier(encoder, nn.Linear(WIDTH, 10))


def train(
    config: Config, labelled: Part, unlabelled: Part, seed: int, ratios: Tensor | None = None
) -> transfer.Classifier:
    """A network trained by one method; only "target supervised" sees the labels of `unlabelled`."""
    if config.method.startswith("skada"):
        return train_skada(config, labelled, unlabelled, seed)
    inputs, target = pixels(labelled.inputs), pixels(unlabelled.inputs)
    weights = None if ratios is None else ratios[labelled.labels]
    model = network(seed)
    settings = {"epochs": EPOCHS, "batch_size": BATCH, "seed": seed, "progress": False}
    if config.method in WEIGHTS:
        distance = DISTANCES.get(config.method) or adaptation.Adversary(WIDTH)
        joint = adaptation.Joint(model, distance, config.weight)
        batches = adaptation.JointBatches(
            inputs, labelled.labels, target, batch_size=BATCH, seed=seed, weights=weights
        )
        betas = ADVERSARIAL_BETAS if config.method == "DANN" else (0.9, 0.999)
        optimizer = torch.optim.AdamW(joint.parameters(), lr=RATE, betas=betas, fused=True)
        ramp = joint.ramp(EPOCHS)
        training.fit(joint, batches, optimizer=optimizer, loss=joint.loss, on_epoch_start=ramp, **settings)
        return model
    data = (inputs, labelled.labels)
    if config.method == "target supervised":
        data = (target, unlabelled.labels)
    elif weights is not None:
        drawn = torch.multinomial(weights, len(weights), True)
        data = (inputs[drawn], labelled.labels[drawn])
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    training.fit(model, data, optimizer=optimizer, **settings)
    if config.method == "AdaBN":
        adaptation.adapt_batchnorm(model, target)
    return model


def train_skada(config: Config, labelled: Part, unlabelled: Part, seed: int) -> transfer.Classifier:
    """The same network, batches, epochs and rate through skada; its weight has no ramp.

    skada's own domain classifier for DANN ends in a softmax over one output, which is always 1 and has no
    gradient; it gets one of the width of ours that ends in a sigmoid.
    """
    from skada.deep import DANN, DeepCoral

    model = network(seed)
    settings = {
        "layer_name": "encoder.9", "reg": config.weight, "batch_size": BATCH, "max_epochs": EPOCHS,
        "lr": RATE, "optimizer": torch.optim.AdamW, "train_split": None, "verbose": 0,
    }  # fmt: skip
    if config.method == "skada CORAL":
        net = DeepCoral(model, **settings)
    else:
        net = DANN(model, domain_classifier=Critic(), optimizer__betas=ADVERSARIAL_BETAS, **settings)
    inputs = torch.cat([pixels(labelled.inputs), pixels(unlabelled.inputs)]).numpy()
    labels = np.concatenate([labelled.labels.numpy(), np.full(len(unlabelled), -1)])
    domains = np.repeat([1, -2], [len(labelled), len(unlabelled)])
    net.fit(inputs, labels, sample_domain=domains)
    return net.module_.base_module_


class Critic(nn.Module):
    """The probability of being a target example, behind a gradient reversal; for skada's DANN."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = adaptation.Adversary(WIDTH).layers

    def forward(self, features: Tensor) -> Tensor:
        """Shape (B,) from features (B, D)."""
        return self.layers(adaptation.reverse_gradient(features, 1.0)).squeeze(1).sigmoid()


def scores(
    model: transfer.Classifier, labelled: Part, source_valid: Part, unlabelled: Part, target: datasets.Splits
) -> dict[str, float]:
    """The target's test accuracy, and what might have chosen this model without it."""
    features = {
        name: training.predict(model.encoder, pixels(part.inputs))
        for name, part in {
            "source": labelled, "source_valid": source_valid, "target": unlabelled,
            "target_valid": target.valid, "test": target.test,
        }.items()
    }  # fmt: skip
    logits = {name: training.predict(model.head, part) for name, part in features.items()}
    right = {
        name: (logits[name].argmax(dim=1) == labels).double()
        for name, labels in {
            "source_valid": source_valid.labels,
            "target_valid": target.valid.labels,
            "test": target.test.labels,
        }.items()
    }
    weights = adaptation.importance_weights(features["source"], features["target"], features["source_valid"])
    return {
        "accuracy": float(right["test"].mean()),
        "target_valid": float(right["target_valid"].mean()),
        "source_valid": float(right["source_valid"].mean()),
        "weighted_valid": float((weights * right["source_valid"]).mean()),
        "effective_share": adaptation.effective_sample_size(weights) / len(weights),
        "entropy": adaptation.mean_entropy(logits["target"]),
        "proxy_distance": adaptation.proxy_a_distance(features["source"], features["target"]),
    }
