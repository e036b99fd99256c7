"""Splitting groups of mixed classes, where hardly two groups hold the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

LEAST_GAIN = 1e-4  # in squared shares of a class


def mended(
    side: dict[str, int],
    classes: dict[str, set[int]],
    examples: Iterable[tuple[str, int]],
    shares: tuple[float, float, float],
) -> dict[str, int]:
    """The same split if each side holds every class; else one that does, where it is found.

    Only the groups move that hold a class which a side lacks, or another class of such groups. They are
    placed one by one, the largest first, each on the side that lacks most of what it holds. Then single
    groups change sides, the best change first, as long as that brings a class to a side that has none, or
    makes smaller the sum of squared differences between what each side holds of each class and its share.
    scikit-learn's `StratifiedGroupKFold` aims at the same, with folds of equal size.

    Args:
        side: for each group the number of its side, 0 to 2, in the order that decides between equals.
        classes: for each group the classes that it holds.
        examples: group and class of each example.
        shares: of the three sides; one of zero gets nothing.
    """
    used = [number for number in range(3) if shares[number] > 0]
    lacked = _lacked(side, classes, used)
    if not lacked:
        return side
    linked, more = set(), lacked
    while linked != more:
        linked = more
        more = linked.union(*(held for held in classes.values() if not linked.isdisjoint(held)))
    column = {label: i for i, label in enumerate(sorted(linked))}
    moving = [group for group in side if not linked.isdisjoint(classes[group])]
    row = {group: i for i, group in enumerate(moving)}
    counts = np.zeros((len(row), len(column)))
    for group, label in examples:
        if group in row:
            counts[row[group], column[label]] += 1
    placed = _placed(counts, np.array(shares)[used])
    found = side | {group: used[number] for group, number in zip(moving, placed.tolist(), strict=True)}
    return side if _lacked(found, classes, used) else found


def _lacked(side: dict[str, int], classes: dict[str, set[int]], used: Sequence[int]) -> set[int]:
    """The classes that one of the sides in use does not hold."""
    held: dict[int, set[int]] = {number: set() for number in used}
    for group, number in side.items():
        held[number].update(classes[group])
    return set().union(*held.values()) - set.intersection(*held.values())


def _placed(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Side of each group, shape (G,), for counts of shape (G, C); all sides have a share."""
    parts = counts / counts.sum(axis=0)  # of each class, the share that a group holds
    lacking = np.repeat(shares[:, None], counts.shape[1], axis=1)  # (sides, C)
    placed = np.zeros(len(counts), dtype=np.int64)
    for group in np.argsort(-counts.sum(axis=1), kind="stable"):
        placed[group] = (lacking @ parts[group]).round(9).argmax()  # rounded: alike on every machine
        lacking[placed[group]] -= parts[group]
    holds = counts > 0
    everyone = np.arange(len(counts))
    while True:
        holders = np.stack([holds[placed == number].sum(axis=0) for number in range(len(shares))])
        brought, lost = holds @ (holders == 0).T.astype(float), holds @ (holders == 1).T.astype(float)
        pull = parts @ lacking.T
        closer = 2 * (pull - pull[everyone, placed][:, None] - (parts**2).sum(axis=1)[:, None])
        gain = brought - lost[everyone, placed][:, None] + closer
        gain[everyone, placed] = 0
        group, number = np.unravel_index(gain.round(9).argmax(), gain.shape)
        if gain[group, number] < LEAST_GAIN:
            return placed
        lacking[placed[group]] += parts[group]
        lacking[number] -= parts[group]
        placed[group] = number
