"""The small values that every data set comes as, and the two ways to cut them: splitting and subsetting."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from transferbook.data.grouping import mended

SHOWN = 80  # characters of a text or a list of names that are shown
FEW_CLASSES = 10  # up to so many are counted one by one where they are shown


@runtime_checkable
class Selectable(Protocol):
    """A sequence that is not in memory and gives a smaller one, such as `ImageFiles`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...

    def select(self, indices: Sequence[int]) -> Selectable: ...


@dataclass(frozen=True)
class Part:
    """Examples of one side of a split.

    Attributes:
        inputs: N texts, images as a uint8 tensor of shape (N, C, H, W), or what reads each when it is asked
            for, with a method `select`.
        labels: class indices, shape (N,), int64.
        groups: for each example the unit that no two sides share (the film of a review, the base emoji of a
            pictogram, the file of an image), or None where examples stand alone.

    Raises:
        ValueError: if the three differ in length.
    """

    inputs: list[str] | Tensor | Selectable
    labels: Tensor
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        lengths = {"inputs": len(self.inputs), "labels": len(self.labels)}
        if self.groups is not None:
            lengths["groups"] = len(self.groups)
        if len(set(lengths.values())) > 1:
            raise ValueError(f"a Part needs as many inputs as labels (and groups), got {lengths}.")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        said = [_said(self.inputs), _counts(self.labels)]
        if self.groups is not None:
            said.append(f"{len(set(self.groups)):,} groups")
        return f"Part({'; '.join(said)})"

    def select(self, indices: Sequence[int] | np.ndarray | Tensor) -> Part:
        """The examples at `indices`, in that order."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        rows = index.tolist()
        if isinstance(self.inputs, Tensor):
            inputs = self.inputs[index]
        elif isinstance(self.inputs, Selectable):
            inputs = self.inputs.select(rows)
        else:
            inputs = [self.inputs[i] for i in rows]
        groups = None if self.groups is None else tuple(self.groups[i] for i in rows)
        return Part(inputs, self.labels[index], groups)


@dataclass(frozen=True)
class Splits:
    """A data set: its name, three parts, the names of the classes in label order, and where it comes from."""

    name: str
    train: Part
    valid: Part
    test: Part
    class_names: tuple[str, ...]
    provenance: str

    def __repr__(self) -> str:
        sides = ", ".join(f"{len(part):,} {side}" for side, part in self._parts())
        names = _short(", ".join(self.class_names))
        return (
            f'Splits("{self.name}": {sides}; {len(self.class_names)} classes: {names}; '
            f"train {_said(self.train.inputs)})"
        )

    def _repr_html_(self) -> str:
        import pandas as pd

        rows = {}
        for side, part in self._parts():
            counts = torch.bincount(part.labels, minlength=len(self.class_names)).tolist()
            rows[side] = {"examples": len(part)}
            if len(counts) <= FEW_CLASSES:
                rows[side] |= dict(zip(self.class_names, counts, strict=False))
            else:
                rows[side] |= {"fewest in a class": min(counts), "most in a class": max(counts)}
        table = pd.DataFrame.from_dict(rows, orient="index").to_html()
        example = f"train {_said(self.train.inputs)}"
        said = "; ".join([self.name, f"{len(self.class_names)} classes", self.provenance, example])
        return f"<p>{html.escape(said)}</p>\n{table}"

    def _parts(self) -> list[tuple[str, Part]]:
        return [("train", self.train), ("valid", self.valid), ("test", self.test)]


def _said(inputs: list[str] | Tensor | Selectable) -> str:
    """What kind of inputs these are, with one text as an example, in a few words."""
    if isinstance(inputs, Tensor):
        return f"inputs {tuple(inputs.shape)}, {str(inputs.dtype).removeprefix('torch.')}"
    if isinstance(inputs, Selectable):
        return f"inputs {inputs!r}"
    if not len(inputs):
        return "inputs: none"
    return f'{len(inputs):,} inputs, the first "{_short(str(inputs[0]))}"'


def _short(text: str) -> str:
    """A text on one line, cut to `SHOWN` characters."""
    line = " ".join(text[: 10 * SHOWN].split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1].rstrip() + "…"


def _counts(labels: Tensor) -> str:
    """How many examples each class has, or the fewest and the most where there are many classes."""
    classes, counts = torch.unique(labels, return_counts=True)
    if len(classes) > FEW_CLASSES:
        return f"{len(classes)} classes of {counts.min()} to {counts.max()}"
    pairs = zip(classes.tolist(), counts.tolist(), strict=True)
    return f"labels {', '.join(f'{label}: {count:,}' for label, count in pairs)}"


def subset(part: Part, *, limit: int | None = None, per_class: int | None = None, seed: int = 0) -> Part:
    """A smaller part: `limit` examples in the part's class proportions, or `per_class` of each class.

    Stratified, seeded and nested: with the same seed, a larger subset contains every smaller one. `limit`
    gives each class at least one example; beyond that it fills the classes in turn by Webster's method, which
    keeps their proportions at every size. Without either argument the part comes back as it is.

    Raises:
        ValueError: if both are given, or more is asked for than there is; the message has the numbers.
    """
    if limit is None and per_class is None:
        return part
    return part.select(subset_rows(part.labels, limit=limit, per_class=per_class, seed=seed))


def subset_rows(
    labels: Tensor, *, limit: int | None = None, per_class: int | None = None, seed: int = 0
) -> Tensor:
    """The row numbers that `subset` selects, for features that were computed for all rows at once.

    Args:
        labels: class indices, shape (N,).
        limit: as for `subset`.
        per_class: as for `subset`; exactly one of the two is needed.
        seed: as for `subset`.

    Returns:
        Row numbers, int64, in the order of the smaller part.

    Raises:
        ValueError: if both or neither are given, or more is asked for than there is.
    """
    if (limit is None) == (per_class is None):
        raise ValueError(f"give limit ({limit}) or per_class ({per_class}), not both and not neither.")
    labels = labels.numpy()
    classes, counts = np.unique(labels, return_counts=True)
    random = np.random.default_rng(seed)
    rank = np.empty(len(labels), dtype=np.int64)  # place of each example in the shuffled order of its class
    tie = np.empty(len(labels), dtype=np.int64)  # a random order of the classes, for equal keys
    for position, label in zip(random.permutation(len(classes)), classes, strict=True):
        members = np.flatnonzero(labels == label)
        rank[members] = random.permutation(len(members))
        tie[members] = position
    if per_class is not None:
        if not 1 <= per_class <= counts.min():
            raise ValueError(
                f"per_class is {per_class}; it must be from 1 to {counts.min()}, "
                f"the number of examples of the smallest class (label {classes[counts.argmin()]})."
            )
        return torch.from_numpy(np.lexsort((tie, rank))[: per_class * len(classes)])
    if not len(classes) <= limit <= len(labels):
        raise ValueError(
            f"limit is {limit}; it must be from {len(classes)} (one example a class) to {len(labels)}, "
            "the number of examples there are."
        )
    size = counts[np.searchsorted(classes, labels)]
    key = np.where(rank == 0, 0.0, (rank + 0.5) / size)
    return torch.from_numpy(np.lexsort((tie, key))[:limit])


def split(part: Part, *, valid: float, test: float) -> tuple[Part, Part, Part]:
    """Train, valid and test such that no group is on two sides and the classes are spread alike.

    Groups (single examples where there are none) are ordered by a hash of their names, the same on every
    machine. Of those that hold the same set of classes, a share of `valid` and of `test` goes to these sides,
    rounded, and the rest to train. Where that leaves a side without one of the classes, as with authors of
    whom hardly two write on the same topics, `grouping.mended` seeks a split that does not. Each side keeps
    the order that the examples had.

    Raises:
        ValueError: if a share is negative or nothing is left for train.
    """
    if valid < 0 or test < 0 or valid + test >= 1:
        raise ValueError(f"valid ({valid}) and test ({test}) must not be negative and add up to less than 1.")
    units = part.groups or tuple(str(i) for i in range(len(part)))
    labels = part.labels.tolist()
    classes: dict[str, set[int]] = {}
    for unit, label in zip(units, labels, strict=True):
        classes.setdefault(unit, set()).add(label)
    strata: dict[tuple[int, ...], list[str]] = {}
    for unit in sorted(classes, key=_hash):
        strata.setdefault(tuple(sorted(classes[unit])), []).append(unit)
    side: dict[str, int] = {}
    for members in strata.values():
        first, second = round(valid * len(members)), round((valid + test) * len(members))
        side |= {unit: 1 if i < first else 2 if i < second else 0 for i, unit in enumerate(members)}
    side = mended(side, classes, zip(units, labels, strict=True), (1 - valid - test, valid, test))
    sides = np.array([side[unit] for unit in units])
    train, valid_part, test_part = (part.select(np.flatnonzero(sides == i)) for i in range(3))
    return train, valid_part, test_part


def _hash(unit: str) -> bytes:
    """Orders groups the same on every machine; a name that is no Unicode has its place as well."""
    return hashlib.sha256(unit.encode("utf-8", "surrogatepass")).digest()
