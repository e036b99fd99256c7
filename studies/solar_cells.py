"""Which photographed solar cells are defective, in modules and of a kind not seen before? (part 6)

A probe on features of a pretrained network against what is cheap: numbers made by hand, a small picture, an
untrained network. Cells are split at random, or so that no module is on two sides. Then from cells of one
kind of silicon to those of the other. It needs the optional asset `solar_cells`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transferbook.data import datasets, photographs
from transferbook.data.splits import Part
from transferbook.evidence import metrics
from transferbook.learning import transfer
from transferbook.models import backbones

NEEDS = ("solar_cells",)
SEEDS = range(10)
PROBES = ("pretrained", "untrained", "hand-made", "pixels")
LABELS = (50, 200, 1_000)
OWN = (20, 100)  # labels of the new kind
SOURCE_LABELS = 400
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the probe's C
LEAVES = (1, 3, 10, 20, 40)  # fewest cells in a leaf of the forest
FOLDS = 3  # that choose the strength, among the labels
SIZE = 128  # pixels that the network sees
HELD_OUT = 1 / 3  # of the modules of each kind, or of their cells
FEWEST = 3  # defective and sound cells, for a module to be judged by itself
SOUND = 0.95  # of the sound cells pass the threshold
KINDS = {"mono": False, "poly": True}


@dataclass(frozen=True)
class Config:
    """One way to learn from the labels of one draw.

    Attributes:
        method: what a cell is described by: "pretrained", "untrained", "hand-made" or "pixels", read by a
            probe, or "forest", which reads what is hand-made; "modules" asks what the guessed modules say.
        split: "module", no module on both sides, or "cell".
        labels: cells with labels, without those in `own`.
        doubts: cells with a probability of 1/3 or 2/3 are "rounded", "left out" of the training, or
            "weighted", a part of them each way.
        source: the kind that `labels` are of, or "both".
        target: the kind that is tested, or "both".
        way: from kind to kind: "as it is", "centred" by unlabelled cells of either kind, "own alone",
            "pooled", or "reweighted", so that the kinds count alike. Empty where nothing moves.
        own: labelled cells of the new kind.
    """

    method: str
    split: str = "module"
    labels: int = 200
    doubts: str = "rounded"
    source: str = "both"
    target: str = "both"
    way: str = ""
    own: int = 0


def grid() -> list[tuple[Config, int]]:
    """Descriptions at each budget, two of them under both splits, ways with doubt, and the moves."""
    wanted = [Config(method, "module", n) for n in LABELS for method in PROBES]
    wanted += [Config(method, "cell", n) for n in LABELS for method in ("pretrained", "hand-made")]
    wanted += [Config("forest")] + [
        Config("pretrained", doubts=doubts) for doubts in ("left out", "weighted")
    ]
    for source, target in (("mono", "poly"), ("poly", "mono")):
        move = functools.partial(Config, labels=SOURCE_LABELS, source=source, target=target)
        wanted += [move(method, way="as it is") for method in ("pretrained", "hand-made")]
        wanted += [move(method, way="centred") for method in ("pretrained", "hand-made")]
        wanted += [move("pretrained", source=target, way="at home")]
        for own in OWN:
            ways = [Config("pretrained", labels=0, source=source, target=target, way="own alone", own=own)]
            wanted += ways + [move("pretrained", way=way, own=own) for way in ("pooled", "reweighted")]
    return [(Config("modules", labels=0), 0)] + [(config, seed) for config in wanted for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """Every probe with 200 labels, and the moves of pretrained features without own labels."""
    return [
        (config, seed)
        for config, seed in grid()
        if config.own == 0
        and config.doubts == "rounded"
        and (config.labels == 200 or (config.labels == SOURCE_LABELS and config.method == "pretrained"))
        and config.method != "forest"
    ]


def run(config: Config, seed: int) -> dict[str, float]:
    """Choose the strength among the labels, fit, and score the held-out cells once.

    `auc` is over all cells tested, `auc_inside` the mean over the modules tested of the AUC inside each
    (those with `FEWEST` of either sort), whose own are `inside_00` and so on; `auc_sure` leaves doubtful
    cells out. `found` is the share of the defective cells above the score that `SOUND` of the sound ones
    tested stay below. From kind to kind, `alarms` and `found_there` are the shares above that score as set on
    held-out cells of the source. `gap` is the mean predicted probability minus the share that is defective.
    """
    if config.method == "modules":
        return of_modules()
    drawn = draw(config, seed)
    strength = chosen_strength(config, drawn, seed)
    model = fitted(config, drawn, np.ones(len(drawn.rows), bool), strength, seed)
    cells = data()
    score = scored(model, drawn, config, drawn.test)
    truth, sure = cells.bad[drawn.test], cells.sure[drawn.test]
    found = {"auc": auc(truth, score), "auc_sure": auc(truth[sure], score[sure]), "strength": float(strength)}
    by_module = inside(truth, score, cells.module[drawn.test])
    found["auc_inside"] = float(np.mean(list(by_module.values())))
    found |= {f"inside_{module:02d}": value for module, value in by_module.items()}
    found["found"] = float((score > threshold(truth, score))[truth].mean())
    probability = torch.from_numpy(score).double().sigmoid()
    found["gap"] = float(probability.mean()) - float(truth.mean())
    both = torch.stack([1 - probability, probability], dim=1)
    found["calibration_error"] = metrics.calibration_error(both, torch.from_numpy(truth).long())
    if config.source != config.target:
        at_home = scored(model, drawn, config, drawn.home)
        limit = threshold(cells.bad[drawn.home], at_home)
        found["alarms"] = float((score > limit)[~truth].mean())
        found["found_there"] = float((score > limit)[truth].mean())
    return found


@dataclass(frozen=True)
class Cells:
    """All cells: labels in thirds, defective or not, sure or not, kind and module, each of shape (N,)."""

    thirds: Tensor
    bad: np.ndarray
    sure: np.ndarray
    poly: np.ndarray
    module: np.ndarray


@dataclass(frozen=True)
class Draw:
    """Rows: labelled (with their thirds), tested, held out at home, and unlabelled of either kind."""

    rows: np.ndarray
    thirds: np.ndarray
    test: np.ndarray
    home: np.ndarray
    pool: np.ndarray


@functools.cache
def pictures() -> photographs.SolarCells:
    """The archive, read once in a process."""
    return photographs.solar_cells()


@functools.cache
def data() -> Cells:
    """What is known of each cell; a doubt above one half is a defect."""
    cells = pictures()
    thirds = (3 * cells.defect).round().long()
    module = photographs.guessed_modules(cells.stretch)
    sure = (thirds == 0) | (thirds == 3)
    return Cells(thirds, (thirds >= 2).numpy(), sure.numpy(), cells.poly.numpy(), module.numpy())


@functools.cache
def described(method: str) -> Tensor:
    """Numbers for each cell, shape (N, D), float32, computed once in a process."""
    cells = pictures().pictures
    if method == "pixels":
        return F.adaptive_avg_pool2d(cells.float(), 30).flatten(1)
    if method == "forest":
        return described("hand-made")
    if method == "hand-made":
        return torch.cat([hand_made(part) for part in cells.split(256)])
    network = backbones.efficientnet_lite0(size=SIZE, crop=1.0, pretrained=method == "pretrained")
    return transfer.embed(network, cells, batch_size=32)


def hand_made(cells: Tensor) -> Tensor:
    """Brightness, dark shares, edges and a coarse map of pictures (N, 1, H, W) in uint8, shape (N, 55)."""
    light = cells[:, 0].float() / 255
    flat = light.flatten(1)
    levels = torch.tensor([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
    quantiles = torch.quantile(flat[:, ::7], levels, dim=1).T
    middle = flat.median(dim=1, keepdim=True).values
    shades = [((flat >= i / 16) & (flat < (i + 1) / 16)).float().mean(dim=1) for i in range(16)]
    dark = [(flat < share * middle).float().mean(dim=1) for share in (0.3, 0.5, 0.7, 0.85)]
    lines = [line for mean in (light.mean(dim=2), light.mean(dim=1)) for line in (mean.std(1), mean.amin(1))]
    steps = [light.diff(dim=axis).abs().flatten(1) for axis in (1, 2)]
    edges = [number for step in steps for number in (step.mean(1), step.std(1))]
    coarse = F.adaptive_avg_pool2d(light[:, None], 4).flatten(1) / (middle + 1e-3)
    single = torch.stack([flat.mean(dim=1), flat.std(dim=1), *shades, *dark, *lines, *edges], dim=1)
    return torch.cat([single, quantiles, coarse], dim=1)


def of_modules() -> dict[str, float]:
    """What a guessed module says of its cells.

    `near` is the share of cells whose nearest other cell, by cosine of the standardised pretrained features,
    is of the same module, and `by_chance` that share among cells of the same kind. `auc` is of each cell by
    the share of defects among the others of its module; `share_00` and so on are those shares themselves.
    """
    cells, features = data(), described("pretrained")
    unit = F.normalize((features - features.mean(dim=0)) / (features.std(dim=0) + 1e-6), dim=1)
    nearest = (unit @ unit.T).fill_diagonal_(-1).argmax(dim=1).numpy()
    same = cells.module[:, None] == cells.module
    np.fill_diagonal(same, False)
    others = (same & (cells.poly[:, None] == cells.poly)).sum(axis=1)
    of_kind = np.where(cells.poly, cells.poly.sum(), (~cells.poly).sum()) - 1
    found = {"near": float((cells.module[nearest] == cells.module).mean())}
    found["by_chance"] = float((others / of_kind).mean())
    found["auc"] = auc(cells.bad, (same * cells.bad).sum(axis=1) / same.sum(axis=1))
    modules = range(cells.module.max() + 1)
    return found | {f"share_{one:02d}": float(cells.bad[cells.module == one].mean()) for one in modules}


def held_out(seed: int, split: str) -> np.ndarray:
    """Which cells are tested, shape (N,): a third of each kind, whole modules if `split` says so."""
    cells, generator = data(), np.random.default_rng(seed)
    tested = np.zeros(len(cells.poly), bool)
    for kind in (False, True):
        rows = np.flatnonzero(cells.poly == kind)
        units = cells.module[rows] if split == "module" else rows
        order = generator.permutation(np.unique(units))
        tested[rows] = np.isin(units, order[: round(len(order) * HELD_OUT)])
    return tested


def draw(config: Config, seed: int) -> Draw:
    """The cells of a row of the study."""
    cells, tested = data(), held_out(seed, config.split)
    order = np.random.default_rng([seed, 1]).permutation(len(tested))

    def of(kind: str, test: bool) -> np.ndarray:
        wanted = np.ones(len(tested), bool) if kind == "both" else cells.poly == KINDS[kind]
        return order[(wanted & (tested == test))[order]]

    rows = of(config.source, False)[: config.labels]
    if config.own:
        rows = np.concatenate([rows, of(config.target, False)[: config.own]])
    test = np.sort(of(config.target, True))
    sides = [Part(torch.from_numpy(part), cells.thirds[part]) for part in (rows, rows[:0], test)]
    names = ("0", "1/3", "2/3", "1")
    splits = datasets.Splits("solar cells", *sides, class_names=names, provenance="ELPV")
    home = np.sort(of(config.source, True))
    return Draw(rows, splits.train.labels.numpy(), test, home, np.sort(of("both", False)))


def numbers(config: Config, drawn: Draw, rows: np.ndarray) -> Tensor:
    """What describes the cells, with each kind's own mean and spread in the pool taken out if "centred"."""
    features = described(config.method)
    if config.way != "centred":
        return features[rows]
    kind, result = data().poly, features[rows].clone()
    for one in (False, True):
        known = features[drawn.pool[kind[drawn.pool] == one]]
        here = torch.from_numpy(kind[rows] == one)
        result[here] = (result[here] - known.mean(dim=0)) / (known.std(dim=0) + 1e-6)
    return result


def chosen_strength(config: Config, drawn: Draw, seed: int) -> float:
    """The strength with the best AUC over folds of the labels, by unit of the split."""
    units = data().module if config.split == "module" else np.arange(len(data().module))
    unit = units[drawn.rows]
    fold_of = np.random.default_rng([seed, 2]).permutation(units.max() + 1) % FOLDS
    fold = fold_of[unit]
    strengths = LEAVES if config.method == "forest" else STRENGTHS
    bad = drawn.thirds >= 2
    judged = []
    for strength in strengths:
        scores = []
        for one in range(FOLDS):
            inner, outer = fold != one, fold == one
            if len(set(bad[inner])) < 2 or len(set(bad[outer])) < 2:
                continue
            model = fitted(config, drawn, inner, strength, seed)
            scores.append(auc(bad[outer], scored(model, drawn, config, drawn.rows[outer])))
        judged.append(np.mean(scores) if scores else 0.0)
    return strengths[int(np.argmax(judged))]


def fitted(config: Config, drawn: Draw, chosen: np.ndarray, strength: float, seed: int) -> object:
    """A probe or a forest on the chosen labels; a weight is so many copies of a cell."""
    rows, thirds = drawn.rows[chosen], drawn.thirds[chosen]
    bad, copies, share = thirds >= 2, np.ones(len(rows), int), 1.0
    if config.doubts == "left out":
        copies[(thirds == 1) | (thirds == 2)] = 0
    if config.doubts == "weighted":
        rows, bad = np.concatenate([rows, rows]), np.repeat([True, False], len(rows))
        copies, share = np.concatenate([thirds, 3 - thirds]), 1 / 3
    if config.way == "reweighted":
        new = data().poly[rows] == KINDS[config.target]
        copies[new] = max(1, round((~new).sum() / max(1, new.sum())))
        share = len(rows) / copies.sum()
    if len(set(bad[copies > 0])) < 2:  # doubtful cells are all there is of one sort
        copies = np.ones(len(rows), int)
    rows, truth = np.repeat(rows, copies), torch.from_numpy(np.repeat(bad, copies)).long()
    features = numbers(config, drawn, rows)
    if config.method == "forest":
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(100, min_samples_leaf=strength, random_state=seed)
        return forest.fit(features.numpy(), truth.numpy())
    return transfer.linear_probe(features, truth, n_classes=2, C=strength * share)


def scored(model: object, drawn: Draw, config: Config, rows: np.ndarray) -> np.ndarray:
    """Log odds of a defect, float64, shape (len(rows),)."""
    features = numbers(config, drawn, rows)
    if isinstance(model, nn.Linear):
        return model(features).diff(dim=1)[:, 0].double().numpy()
    probability = model.predict_proba(features.numpy())[:, 1].clip(1e-3, 1 - 1e-3)
    return np.log(probability / (1 - probability))


def auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Share of pairs, one defective and one sound, in which the defective cell has the higher score."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, score))


def inside(truth: np.ndarray, score: np.ndarray, module: np.ndarray) -> dict[int, float]:
    """The AUC among the cells of each module that has enough of either sort."""
    found = {}
    for one in np.unique(module):
        here = module == one
        if min(truth[here].sum(), (~truth[here]).sum()) >= FEWEST:
            found[int(one)] = auc(truth[here], score[here])
    return found


def threshold(truth: np.ndarray, score: np.ndarray) -> float:
    """The score that `SOUND` of the sound cells do not exceed."""
    return float(np.quantile(score[~truth], SOUND))
