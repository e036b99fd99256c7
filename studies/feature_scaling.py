"""Should each feature be divided by its own spread before a head is trained? (chapter: traps)

Heads on features of frozen networks, for nine tasks, with 5 to 50 labels a class. The features are divided
each by its spread among the labelled examples, all by one number, or each by its spread among many examples
without labels: that changes nothing but how well the spreads are known.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from transferbook.data import datasets, digits, pictograms
from transferbook.data.splits import Part, Splits, subset
from transferbook.learning import transfer
from transferbook.models import backbones

TASKS = (
    "pictograms in colour", "pictograms in lines", "drawn digits", "scanned digits", "handwritten digits",
    "names of pictograms", "film reviews", "newsgroups", "newsgroups in mixed units",
)  # fmt: skip
PIXELS, TOKENS = 64, 32  # that the networks see
SCALINGS = ("own spread", "one number", "spread without labels")
BUDGETS = (5, 15, 50)  # labels a class
SEEDS = range(100, 110)
HELD_OUT = 5  # one label of so many chooses the strength
POOL, TESTED = 1_500, 600  # examples at most, to draw labels from and to test on
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # C of a head
FIXED = 0.1  # the strength that is also scored as it is, without a choice


@dataclass(frozen=True)
class Config:
    """One task with so many labels.

    Attributes:
        task: one of `TASKS`.
        per_class: labels a class, those that choose the strength included.
    """

    task: str
    per_class: int


def grid() -> list[tuple[Config, int]]:
    """Every task with every number of labels."""
    return [(Config(task, labels), seed) for task in TASKS for labels in BUDGETS for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """Digits drawn from typefaces, with five labels each."""
    return [row for row in grid() if row[0] == Config("drawn digits", min(BUDGETS))]


def run(config: Config, seed: int) -> dict[str, float]:
    """Train heads on features scaled in each way; for each way, validation chooses the strength.

    A way's metrics end in its number in `SCALINGS`: `accuracy_0` is of the chosen strength, `fixed_0` of
    `FIXED`, `loss_0` the test loss of the chosen one, and `choice_0` its number in `STRENGTHS`. `uneven` is
    how many times larger the 9th decile of the features' spreads is than the 1st, over the pool; `blown_up`
    the 99th percentile of how many times larger a feature's spread is in the pool than among the labelled.
    """
    pool, test = features(config.task)
    part = subset(pool, per_class=config.per_class, seed=seed)  # one example of each class in turn
    classes = int(pool.labels.max()) + 1
    cut = classes * (config.per_class - max(1, config.per_class // HELD_OUT))
    learn, valid = part.select(range(cut)), part.select(range(cut, len(part)))
    spread, known = pool.inputs.std(dim=0), learn.inputs.std(dim=0)
    varies = (spread > 0) & (known > 0)
    ratio = spread[varies] / known[varies]
    deciles = spread[spread > 0].quantile(torch.tensor([0.1, 0.9], dtype=spread.dtype))
    found = {"uneven": float(deciles[1] / deciles[0]), "blown_up": float(ratio.quantile(0.99))}
    for way, scaling in enumerate(SCALINGS):
        divisor = torch.where(spread > 0, spread, 1.0) if scaling == "spread without labels" else 1.0
        heads = [
            transfer.linear_probe(
                learn.inputs / divisor, learn.labels, C=strength, standardise=scaling == "own spread"
            )
            for strength in STRENGTHS
        ]
        tried = [scored(head(valid.inputs / divisor), valid.labels) for head in heads]
        best = max(range(len(heads)), key=lambda number: (tried[number][0], -tried[number][1]))
        accuracy, loss = scored(heads[best](test.inputs / divisor), test.labels)
        fixed, _ = scored(heads[STRENGTHS.index(FIXED)](test.inputs / divisor), test.labels)
        found |= {f"accuracy_{way}": accuracy, f"loss_{way}": loss, f"fixed_{way}": fixed}
        found[f"choice_{way}"] = float(best)
    return found


def scored(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Accuracy and loss of logits (N, C)."""
    right = (logits.argmax(dim=1) == labels).float().mean().item()
    return right, F.cross_entropy(logits, labels).item()


@functools.cache
def features(task: str) -> tuple[Part, Part]:
    """What the frozen network makes of a pool to draw labels from, and of the test part: (N, D) each."""
    if task == "newsgroups in mixed units":  # as if every column of a table had a unit of its own
        pool, test = features("newsgroups")
        units = torch.randn(pool.inputs.shape[1], generator=torch.Generator().manual_seed(0)).exp()
        return replace(pool, inputs=pool.inputs * units), replace(test, inputs=test.inputs * units)
    splits = examples(task)
    texts = isinstance(splits.train.inputs, list)
    network = backbones.minilm(TOKENS) if texts else backbones.efficientnet_lite0(PIXELS, crop=1)
    parts = []
    for part, most in ((splits.train, POOL), (splits.test, TESTED)):
        part = subset(part, limit=min(most, len(part)))
        inputs = part.inputs
        if isinstance(inputs, Tensor) and inputs.shape[1] == 1:
            inputs = digits.resize(inputs, 28).expand(-1, 3, -1, -1)
        parts.append(Part(transfer.embed(network, inputs), part.labels))
    return parts[0], parts[1]


def examples(task: str) -> Splits:
    """The data of a task; the names are of the pictograms in colour, in the same order and parts."""
    if task.startswith("pictograms"):
        return datasets.openmoji("line" if task.endswith("lines") else "color", PIXELS)
    if task == "names of pictograms":
        splits, whole = datasets.openmoji("color", PIXELS), pictograms.named_pictograms("color", PIXELS)
        names = dict(zip(whole.codes, whole.names, strict=True))
        read = {
            part: replace(
                getattr(splits, part), inputs=[names[code] for code in getattr(splits, part).groups]
            )
            for part in ("train", "test")
        }
        return replace(splits, **read)
    return {
        "drawn digits": datasets.rendered_digits,
        "scanned digits": datasets.optdigits,
        "handwritten digits": datasets.mnist_5k,
        "film reviews": datasets.rotten_tomatoes,
        "newsgroups": datasets.newsgroups,
    }[task]()
