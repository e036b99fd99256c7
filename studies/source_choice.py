"""Which of many networks should one start from, and who can tell beforehand? (chapter: transferability)

Every candidate network is fine-tuned on a few labelled pictures of three targets, which is the truth, and
scored on the same pictures without being trained. A candidate's own training is the same for every seed.
"""

from __future__ import annotations

import copy
import functools
import time
from dataclasses import astuple, dataclass

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as pictures

from transferbook.data import datasets, digits
from transferbook.data.splits import Part
from transferbook.learning import training, transfer, transferability
from transferbook.models import backbones
from transferbook.models.backbones import Backbone, ImageEncoder

SEEDS = range(5)
PER_CLASS = {"optdigits": 5, "mnist": 10, "openmoji": 15}  # target labels, those that choose included
HELD_OUT = 5  # one label of so many chooses the learning rate
RATES = (1e-3, 4e-3)  # tried in every row
HEAD_RATE = 1e-2
EPOCHS = {"optdigits": 20, "mnist": 12, "openmoji": 10}  # of fine-tuning: 60 steps
BATCH = 16
TESTED = 500  # test pictures at most
SMALL, LARGE = 32, 40  # pixels that small networks and EfficientNets see


@dataclass(frozen=True)
class Source:
    """How a candidate came to be.

    Attributes:
        data: what it was trained on: a data set of this file, "ImageNet" or "nothing".
        width: channels of a small network's first layer; 0 for an EfficientNet.
        epochs: passes over the source's training pictures.
        labels: "true", "shuffled" or, of digits, "parity".
        aligned: whether digits were cut out, scaled and centred.
        stages: blocks of an EfficientNet that are kept, of seven; 7 keeps the last convolution too.
    """

    data: str
    width: int = 16
    epochs: int = 6
    labels: str = "true"
    aligned: bool = False
    stages: int = 7


CANDIDATES = {
    "MNIST": Source("mnist"),
    "MNIST, narrow": Source("mnist", width=4),
    "MNIST, wide": Source("mnist", width=32, epochs=3),
    "MNIST, aligned": Source("mnist", aligned=True),
    "MNIST, odd or even": Source("mnist", labels="parity"),
    "MNIST, shuffled labels": Source("mnist", labels="shuffled"),
    "typefaces": Source("rendered", epochs=8),
    "typefaces, 1 epoch": Source("rendered", epochs=1),
    "typefaces, narrow": Source("rendered", width=4, epochs=8),
    "typefaces, aligned": Source("rendered", epochs=8, aligned=True),
    "optdigits": Source("optdigits", epochs=8),
    "optdigits, narrow": Source("optdigits", width=4, epochs=8),
    "pictograms": Source("openmoji", epochs=12),
    "pictograms, wide": Source("openmoji", width=32, epochs=6),
    "line drawings": Source("line drawings", epochs=12),
    "random, narrow": Source("nothing", width=4),
    "random": Source("nothing"),
    "random, wide": Source("nothing", width=32),
    "EfficientNet": Source("ImageNet", width=0),
    "EfficientNet to block 1": Source("ImageNet", width=0, stages=1),
    "EfficientNet to block 3": Source("ImageNet", width=0, stages=3),
}


@dataclass(frozen=True)
class Config:
    """One candidate on one target.

    Attributes:
        method: the kind of candidate: "digits", "pictograms", "ImageNet" or "random".
        candidate: its name in `CANDIDATES`.
        source: the fields of its `Source`.
        target: a key of `PER_CLASS`.
        per_class: labelled target pictures of each class, all of which the scores see.
    """

    method: str
    candidate: str
    source: tuple[str, int, int, str, bool, int]
    target: str
    per_class: int


def grid() -> list[tuple[Config, int]]:
    """Every candidate on every target but the one whose pictures trained it."""
    return [
        (Config(kind(source), name, astuple(source), target, per_class), seed)
        for target, per_class in PER_CLASS.items()
        for name, source in CANDIDATES.items()
        if source.data != target
        for seed in SEEDS
    ]


def smallest() -> list[tuple[Config, int]]:
    """The small networks on one target."""
    return [
        (config, seed)
        for config, seed in grid()
        if config.target == "optdigits" and Source(*config.source).width
    ]


def kind(source: Source) -> str:
    """The kind of a candidate, see `Config`."""
    if source.data in ("nothing", "ImageNet"):
        return "random" if source.data == "nothing" else "ImageNet"
    return "pictograms" if source.data in ("openmoji", "line drawings") else "digits"


def run(config: Config, seed: int) -> dict[str, float]:
    """Score the candidate on the labelled pictures, fine-tune it on them, and test both once.

    `accuracy` is that of the fine-tuned network, `frozen_accuracy` that of a probe on the untrained one.
    """
    splits = load(config.target, config.per_class, seed)
    backbone = candidate(Source(*config.source))
    started = time.process_time()
    inputs = backbone.prepare(splits.train.inputs)
    features = training.predict(backbone.module, inputs)
    forward = time.process_time() - started
    found = score(backbone, features, splits.train.labels, seed)
    started = time.process_time()
    model, tuned = fine_tune(backbone, splits, EPOCHS[config.target], seed)
    found |= tuned | {"forward_seconds": forward, "fine_tune_seconds": time.process_time() - started}
    test = datasets.subset(splits.test, limit=min(TESTED, len(splits.test)))
    pixels = backbone.prepare(test.inputs)
    probe = transfer.linear_probe(features, splits.train.labels, C=0.1)
    frozen = probe(training.predict(backbone.module, pixels)).argmax(dim=1)
    found["frozen_accuracy"] = float((frozen == test.labels).double().mean())
    found["accuracy"] = training.evaluate(model, (pixels, test.labels))["accuracy"]
    return found


@functools.cache
def load(name: str, per_class: int | None = None, seed: int = 0) -> datasets.Splits:
    """A data set that a candidate may have been trained on, or that is the target."""
    if name in ("openmoji", "line drawings"):
        style = "color" if name == "openmoji" else "line"
        return datasets.openmoji(style, LARGE, per_class=per_class, seed=seed)
    made = {"mnist": datasets.mnist_5k, "rendered": datasets.rendered_digits, "optdigits": datasets.optdigits}
    return made[name](per_class=per_class, seed=seed)


def score(backbone: Backbone, features: Tensor, labels: Tensor, seed: int) -> dict[str, float]:
    """Every score of a candidate, and the seconds each took beyond the features.

    LEEP and NCE are 0, which they never reach by merit, where `source_classes` says that there is no head.
    """
    found = {"features": float(backbone.width), "source_classes": 0.0}
    scores = {
        "logme": lambda: transferability.logme(features, labels),
        "h_score": lambda: transferability.h_score(features, labels),
        "plain_h_score": lambda: transferability.h_score(features, labels, shrinkage=0.0),
        "probe": lambda: transferability.probe_score(features, labels, seed=seed),
        "leep": lambda: 0.0,
        "nce": lambda: 0.0,
    }
    if backbone.source_head is not None:
        found["source_classes"] = float(backbone.source_head.out_features)
        logits = training.predict(backbone.source_head, features)
        scores["leep"] = lambda: transferability.leep(logits.double().softmax(dim=1), labels)
        scores["nce"] = lambda: transferability.nce(logits.argmax(dim=1), labels)
    for name, compute in scores.items():
        started = time.process_time()
        found[name] = compute()
        found[f"{name}_seconds"] = time.process_time() - started
    return found


def fine_tune(
    backbone: Backbone, splits: datasets.Splits, epochs: int, seed: int
) -> tuple[nn.Module, dict[str, float]]:
    """The candidate with a new head, trained with each rate; the one that is best on the held-out labels."""
    train, classes = splits.train, len(splits.class_names)
    each = len(train) // classes
    kept = classes * (each - max(1, each // HELD_OUT))  # a subset of n a class has balanced ends
    inputs, labels = backbone.prepare(train.inputs), train.labels
    found, best, model = {}, (-1.0, 0.0), None
    for number, rate in enumerate(RATES):
        torch.manual_seed(seed)
        tried = nn.Sequential(copy.deepcopy(backbone.module), nn.Linear(backbone.width, classes))
        groups = [
            {"params": list(tried[0].parameters()), "lr": rate},
            {"params": list(tried[1].parameters()), "lr": HEAD_RATE},
        ]
        fit(tried, groups, inputs[:kept], labels[:kept], epochs, BATCH, seed)
        scores = training.evaluate(tried, (inputs[kept:], labels[kept:]))
        found[f"valid_accuracy_{number}"] = scores["accuracy"]
        if (scores["accuracy"], -scores["loss"]) > best:
            best, model = (scores["accuracy"], -scores["loss"]), tried
    assert model is not None
    return model, found


def fit(
    model: nn.Module, groups: list[dict], inputs: Tensor, labels: Tensor, epochs: int, batch: int, seed: int
) -> None:
    """Train by AdamW with warm-up and linear decay."""
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    steps = epochs * -(-len(labels) // batch)
    training.fit(
        model,
        (inputs, labels),
        optimizer=optimizer,
        schedule=training.warmup_linear(optimizer, steps),
        epochs=epochs,
        batch_size=batch,
        clip_norm=1.0,
        seed=seed,
    )


@functools.cache
def candidate(source: Source) -> Backbone:
    """A network as its source left it; it is made once and must be copied before it is trained."""
    return small_network(source) if source.width else efficientnet(source)


def efficientnet(source: Source) -> Backbone:
    """An EfficientNet-Lite0, whole or cut after a block and averaged over the picture."""
    whole = backbones.efficientnet_lite0(LARGE, crop=1, pretrained=source.data == "ImageNet")
    if source.stages == 7:
        return whole
    network = whole.module.network
    kept = [network.conv_stem, network.bn1, *network.blocks[: source.stages]]
    cut = nn.Sequential(*kept, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.inference_mode():
        width = cut.eval()(torch.zeros(1, 3, LARGE, LARGE)).shape[1]
    name, settings = f"efficientnet to block {source.stages}", whole.settings
    return Backbone(name, ImageEncoder(cut, ()).eval(), whole.prepare, width, whole.provenance, settings)


def small_network(source: Source) -> Backbone:
    """Three convolutions with BatchNorm, their maps averaged to 2 x 2, trained with a head on the source."""
    torch.manual_seed(0)
    w = source.width
    encoder = nn.Sequential(
        *convolution(3, w, size=5, stride=2),
        *convolution(w, 2 * w), nn.MaxPool2d(2),
        *convolution(2 * w, 4 * w), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(),
    )  # fmt: skip
    head = None
    if source.data != "nothing":
        train, classes = source_task(source)
        head = nn.Linear(16 * w, classes)
        model = nn.Sequential(encoder, head)
        groups = [{"params": list(model.parameters()), "lr": 3e-3}]
        fit(model, groups, prepare(train.inputs), train.labels, source.epochs, 32, seed=0)
        head.eval()
    settings = f"{SMALL} pixels, from -1 to 1"
    return Backbone("small", encoder.eval(), prepare, 16 * w, source.data, settings, head)


def convolution(before: int, after: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    """A convolution that keeps height and width (over the stride), BatchNorm and ReLU."""
    layer = nn.Conv2d(before, after, size, stride, padding=size // 2, bias=False)
    return [layer, nn.BatchNorm2d(after), nn.ReLU()]


def prepare(images: Tensor) -> Tensor:
    """Pictures of any size, grey or in colour, as a small network takes them: (N, 3, 32, 32)."""
    images = pictures.resize(images.expand(-1, 3, -1, -1), [SMALL, SMALL], antialias=True)
    return images.float() / 127.5 - 1


def source_task(source: Source) -> tuple[Part, int]:
    """The pictures that train a small network, at most 2,000, and the number of its classes."""
    train = load(source.data).train
    train = datasets.subset(train, limit=min(2_000, len(train)))
    inputs = digits.align(train.inputs, SMALL) if source.aligned else train.inputs
    labels = train.labels
    if source.labels == "shuffled":
        labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    if source.labels == "parity":
        labels = labels % 2
    return Part(inputs, labels), int(labels.max()) + 1
