"""Which examples should get the labels, and how right must these be? (chapter: spending labels)

Heads on features of frozen networks, for the eight tasks of the study on scaled features. A budget of labels
is spent on examples that are drawn by lot, on one for each cluster, or on those that a first head is least
sure of. Then some labels are wrong; and a head labels further examples for itself.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from transferbook.data.splits import Part
from transferbook.evidence import studies
from transferbook.learning import transfer

TASKS = (
    "pictograms in colour", "pictograms in lines", "drawn digits", "scanned digits", "handwritten digits",
    "names of pictograms", "film reviews", "newsgroups",
)  # fmt: skip
PICKED = ("by lot", "one a cluster", "least sure")
TAUGHT = ("wrong", "left out", "cleaned", "taught by itself")
BUDGETS = (5, 20)  # labels for each class, on average: nobody knows the class before
SPOILED = (0.2, 0.4)  # of the labels
SEEDS = range(10)
STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # C of a head
USUAL = 0.1  # of the heads that pick, doubt and teach
ROUNDS = 4  # of labelling, where a head says what comes next
FOLDS = 5  # that look for wrong labels


@dataclass(frozen=True)
class Config:
    """One way to spend a budget on one task.

    Attributes:
        task: one of `TASKS`.
        way: how the examples are picked, one of `PICKED`; or, for examples by lot, one of `TAUGHT`: some
            labels are "wrong", these are "left out", as if somebody knew them, or as many are "cleaned" away
            that look wrong; "taught by itself" adds the half of the pool that a first head is surest of, with
            the labels that it gives.
        per_class: the budget, divided by the number of classes.
        spoiled: the share of labels that are wrong.
    """

    task: str
    way: str
    per_class: int
    spoiled: float = 0.0


def grid() -> list[tuple[Config, int]]:
    """Every way to pick, and to teach itself, with both budgets; wrong labels with the larger one."""
    configs = [
        Config(task, way, labels)
        for task in TASKS
        for way in (*PICKED, "taught by itself")
        for labels in BUDGETS
    ]
    configs += [
        Config(task, way, max(BUDGETS), spoiled)
        for task in TASKS
        for way in ("wrong", "left out", "cleaned")
        for spoiled in SPOILED
    ]
    return [(config, seed) for config in configs for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """The digits drawn from typefaces: all ways, five seeds."""
    return [row for row in grid() if row[0].task == "drawn digits" and row[1] < 5]


def run(config: Config, seed: int) -> dict[str, float]:
    """Spend the budget, train a head of each strength, and score it on the test part.

    `accuracy_0` and so on are of `STRENGTHS`; `missing` is the share of classes without a label; `found`,
    of "cleaned", the share of the wrong labels that it found.
    """
    pool, test = features(config.task)
    classes = int(pool.labels.max()) + 1
    budget = classes * config.per_class
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(pool), generator=random)
    rows, found = order[:budget], {}
    if config.way == "one a cluster":
        rows = one_a_cluster(pool.inputs, budget, seed)
    elif config.way == "least sure":
        rows = least_sure(pool, order, budget, classes)
    part = pool.select(rows)
    x, labels = part.inputs, part.labels
    found["missing"] = 1 - len(labels.unique()) / classes
    if config.spoiled:
        count = round(config.spoiled * budget)
        spoiled = torch.randperm(budget, generator=random)[:count]
        kept = torch.ones(budget, dtype=torch.bool)
        if config.way == "left out":
            kept[spoiled] = False
        else:
            shift = torch.randint(1, classes, (count,), generator=random)
            labels = labels.clone()
            labels[spoiled] = (labels[spoiled] + shift) % classes
        if config.way == "cleaned":
            suspects = doubt(x, labels, classes, random).topk(count).indices
            kept[suspects] = False
            found["found"] = float(torch.isin(spoiled, suspects).double().mean())
        x, labels = x[kept], labels[kept]
    if config.way == "taught by itself":
        rest = pool.inputs[order[budget:]]
        sure = trained(x, labels, classes)(rest).softmax(dim=1).max(dim=1)
        surest = sure.values.topk(len(rest) // 2).indices
        x, labels = torch.cat([x, rest[surest]]), torch.cat([labels, sure.indices[surest]])
    for number, strength in enumerate(STRENGTHS):
        guess = trained(x, labels, classes, strength)(test.inputs).argmax(dim=1)
        found[f"accuracy_{number}"] = float((guess == test.labels).double().mean())
    return found


def trained(x: Tensor, labels: Tensor, classes: int, strength: float = USUAL) -> nn.Linear:
    """A head on features (N, D), all divided by one number; of one class alone, it knows that answer only."""
    if len(labels.unique()) < 2:
        head = nn.Linear(x.shape[1], classes).requires_grad_(False)
        head.weight.zero_()
        head.bias.copy_(torch.eye(classes)[labels[0]])
        return head
    return transfer.linear_probe(x, labels, n_classes=classes, C=strength, standardise=False)


def one_a_cluster(x: Tensor, budget: int, seed: int) -> Tensor:
    """Rows of the features (N, D), as many as the budget, each next to the centre of a cluster."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import pairwise_distances

    centres = KMeans(budget, n_init=1, random_state=seed).fit(x.numpy()).cluster_centers_
    distances, rows = pairwise_distances(centres, x.numpy()), []
    for line in distances:
        line[rows] = np.inf  # nobody is labelled twice
        rows.append(int(line.argmin()))
    return torch.tensor(rows)


def least_sure(pool: Part, order: Tensor, budget: int, classes: int) -> Tensor:
    """Rows of the pool: the first of them by lot, then those whose two likeliest classes are closest."""
    rows = order[: budget // ROUNDS]
    for number in range(2, ROUNDS + 1):
        known = pool.select(rows)
        if len(known.labels.unique()) < 2:  # nothing to be unsure between
            rows = order[: budget * number // ROUNDS]
            continue
        first, second = trained(known.inputs, known.labels, classes)(pool.inputs).topk(2, dim=1).values.T
        margin = first - second
        margin[rows] = torch.inf
        wanted = budget * number // ROUNDS - len(rows)
        rows = torch.cat([rows, margin.topk(wanted, largest=False).indices])
    return rows


def doubt(x: Tensor, labels: Tensor, classes: int, random: torch.Generator) -> Tensor:
    """How little heads believe labels that they have not seen (Northcutt et al., 2021), shape (N,)."""
    doubts = torch.empty(len(x))
    for fold in torch.randperm(len(x), generator=random).chunk(FOLDS):
        others = torch.ones(len(x), dtype=torch.bool)
        others[fold] = False
        said = trained(x[others], labels[others], classes)(x[fold]).softmax(dim=1)
        doubts[fold] = 1 - said[torch.arange(len(fold)), labels[fold]]
    return doubts


@functools.cache
def features(task: str) -> tuple[Part, Part]:
    """What the frozen network makes of a pool to pick from and of the test part, as in the other study."""
    return studies.open_study("feature_scaling").module.features(task)
