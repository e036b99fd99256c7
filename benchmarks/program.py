"""The closing program against fine-tuning in the manner of the tutorials of Transformers and torchvision.

The same pretrained network, the same labels, the same test examples. The program holds some labels back, by
which it chooses and calibrates; the tutorials' way has one learning rate and a fixed number of epochs,
chooses nothing, and trains on those labels too. Every seed draws other labels; the two take turns.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import measure
from transferbook.data import datasets
from transferbook.data.datasets import Part, Splits
from transferbook.evidence import intervals, metrics
from transferbook.models import backbones
from transferbook.models.backbones import Backbone
from transferbook.program import classify

INPUTS = ("benchmarks/measure.py", "benchmarks/program.py", "transferbook/**/*.py", "requirements.txt")


@dataclass(frozen=True)
class Settings:
    """One comparison.

    Attributes:
        task: `"reviews"` or `"pictograms"`.
        train: labels that train, in all (reviews) or of each class (pictograms).
        valid: labels that the program chooses by, in all.
        test: examples of the test part.
        epochs: of the tutorials' way.
        max_epochs: of each fine-tuning of the program.
        size: pixels of a pictogram.
        seeds: how many.
    """

    task: str
    train: int
    valid: int
    test: int
    epochs: int
    max_epochs: int
    size: int = 64
    seeds: int = 5


MEASURED = (
    Settings("reviews", train=256, valid=64, test=500, epochs=3, max_epochs=3),
    Settings("pictograms", train=10, valid=35, test=231, epochs=25, max_epochs=10),
)


def measure_program(settings: Settings) -> list[measure.Measurement]:
    """Differences of accuracy, macro F1 and calibration error over seeds, and the ratio of the seconds."""
    contestants = {"program": by_program, "tutorial": TUTORIALS[settings.task]}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for seed in range(settings.seeds):
        splits = DATA[settings.task](settings, seed)
        names = list(contestants) if seed % 2 == 0 else list(contestants)[::-1]
        for name in names:
            started = time.perf_counter()
            logits = contestants[name](splits, settings, seed)
            seconds[name].append(time.perf_counter() - started)
            scores[name].append(metrics.classification_scores(logits, splits.test.labels))
    found = []
    for key in ("accuracy", "f1", "calibration_error"):
        both = {name: [row[key] for row in scores[name]] for name in contestants}
        found.append(
            measure.difference(
                f"{key} of the program minus that of the tutorials' way, {settings.task}",
                intervals.paired_difference(both["program"], both["tutorial"]),
                settings=asdict(settings) | {n: [round(x, 4) for x in rows] for n, rows in both.items()},
            )
        )
    ratio = measure.compare(
        f"seconds of the program over the tutorials' way, {settings.task}",
        seconds,
        "program",
        "tutorial",
        settings=asdict(settings),
    )
    return [*found, ratio]


def by_program(splits: Splits, settings: Settings, seed: int) -> Tensor:
    """Calibrated test logits of what `classify.train` chose."""
    chosen = classify.Settings(
        seconds=None, max_epochs=settings.max_epochs, size=settings.size, max_tokens=64, cache=False,
        seed=seed,
    )  # fmt: skip
    model = classify.train(splits, chosen, progress=False)
    return model.evidence["test.logits"] / model.card["temperature"]


def all_labels(splits: Splits) -> tuple[list[Any], Tensor]:
    """The examples that the tutorials' way trains on: train and valid together."""
    inputs = [*splits.train.inputs, *splits.valid.inputs]
    return inputs, torch.cat([splits.train.labels, splits.valid.labels])


def transformers_way(splits: Splits, settings: Settings, seed: int) -> Tensor:
    """AdamW at 2e-5, falling linearly, weight decay 0.01, batches of 16 padded to their longest."""
    torch.manual_seed(seed)
    backbone = backbones.minilm(max_tokens=64)
    head = nn.Linear(backbone.width, len(splits.class_names))
    texts, labels = all_labels(splits)
    weights = [*backbone.module.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=2e-5, weight_decay=0.01)
    steps = settings.epochs * -(-len(texts) // 16)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    backbone.module.train()
    for _ in range(settings.epochs):
        for batch in torch.randperm(len(texts)).split(16):
            inputs = backbone.prepare([texts[i] for i in batch])
            F.cross_entropy(head(backbone.module(**inputs)), labels[batch]).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    backbone.module.eval()
    with torch.no_grad():
        tested = [splits.test.inputs[i : i + 64] for i in range(0, len(splits.test), 64)]
        return torch.cat([head(backbone.module(**backbone.prepare(texts))) for texts in tested])


def torchvision_way(splits: Splits, settings: Settings, seed: int) -> Tensor:
    """What `torchvision_epochs` has learned at its end."""
    torch.manual_seed(seed)
    backbone = backbones.efficientnet_lite0(settings.size, crop=1)
    head = nn.Linear(backbone.width, len(splits.class_names))
    pictures, labels = all_labels(splits)
    for _ in torchvision_epochs(backbone, head, pictures, labels, settings.size, settings.epochs):
        pass
    backbone.module.eval()
    with torch.no_grad():
        parts = splits.test.inputs.split(64)
        return torch.cat([head(backbone.module(backbone.prepare(part))) for part in parts])


def torchvision_epochs(
    backbone: Backbone, head: nn.Linear, pictures: Any, labels: Tensor, size: int, epochs: int
) -> Iterator[int]:
    """SGD at 0.001, momentum 0.9, a tenth of it after each 7 epochs, batches of 4, crops and mirroring.

    Yields:
        The number of each epoch, when it is done.
    """
    from torchvision.transforms import v2

    vary = v2.Compose([v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()])
    weights = [p for p in (*backbone.module.parameters(), *head.parameters()) if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=1e-3, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    for epoch in range(epochs):
        backbone.module.train()
        for batch in torch.randperm(len(pictures)).split(4):
            pixels = backbone.prepare(torch.stack([vary(pictures[i]) for i in batch]))
            F.cross_entropy(head(backbone.module(pixels)), labels[batch]).backward()
            optimizer.step()
            optimizer.zero_grad()
        schedule.step()
        yield epoch


def reviews(settings: Settings, seed: int) -> Splits:
    """Film reviews: other labels for each seed, the same test reviews for all."""
    whole = datasets.rotten_tomatoes(limit=settings.train, seed=seed)
    valid = datasets.subset(whole.valid, limit=settings.valid, seed=seed)
    return smaller(whole, valid, settings)


def pictograms(settings: Settings, seed: int) -> Splits:
    """Pictograms in seven categories: other labels for each seed, the same test pictograms for all."""
    whole = datasets.openmoji(size=settings.size, per_class=settings.train, seed=seed)
    classes = len(whole.class_names)
    valid = datasets.subset(whole.valid, per_class=settings.valid // classes, seed=seed)
    return smaller(whole, valid, settings)


def smaller(whole: Splits, valid: Part, settings: Settings) -> Splits:
    """The splits with another validation part and no more test examples than asked for."""
    test = whole.test
    if settings.test < len(test):
        test = datasets.subset(test, limit=settings.test, seed=0)
    return Splits(whole.name, whole.train, valid, test, whole.class_names, whole.provenance)


TUTORIALS = {"reviews": transformers_way, "pictograms": torchvision_way}
DATA = {"reviews": reviews, "pictograms": pictograms}


if __name__ == "__main__":
    measure.record("program", INPUTS, [row for settings in MEASURED for row in measure_program(settings)])
