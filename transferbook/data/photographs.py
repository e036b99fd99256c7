"""Photographs that not everybody may use: solar cells for no commercial use, CIFAR-10 without a licence.

Their packages are optional. They are never fetched in passing, only by name, and no picture of them is in the
book.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transferbook.data import assets
from transferbook.data.splits import Part, Splits, subset

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
KINDS = ("mono", "poly")
DOUBTS = (0.0, 1 / 3, 2 / 3, 1.0)  # the annotators' probabilities of a defect


@dataclass(frozen=True)
class SolarCells:
    """Cells cut from photographs of solar modules, in the order of the archive.

    Attributes:
        pictures: grey, uint8, shape (N, 1, 300, 300).
        defect: the annotators' probability of a defect, one of `DOUBTS`, float32, shape (N,).
        poly: whether the cell is polycrystalline, bool, shape (N,); else it is monocrystalline.
        stretch: number of the stretch of the list, without a change of the kind, in which the cell stands,
            int64, shape (N,). The archive does not say which cells are of one module; if it lists them one
            after another, no module has cells in two stretches.
    """

    pictures: Tensor
    defect: Tensor
    poly: Tensor
    stretch: Tensor

    def __len__(self) -> int:
        return len(self.defect)


def cifar10(*, limit: int | None = None, per_class: int | None = None, seed: int = 0) -> Splits:
    """CIFAR-10: 60,000 photographs in ten classes, as (N, 3, 32, 32); 40,000, 10,000 and 10,000.

    The test part is the official one, and valid the last of the five batches that the training part comes in.
    Near copies of a photograph may be on two sides (Barz & Denzler, 2020); the archive does not name them.

    Args:
        limit: so many for training, in the proportions of the classes; see `splits.subset`.
        per_class: so many of each class for training.
        seed: of that choice.

    Raises:
        AssetError: if the optional tarball is not here; the message says how to fetch it.
        ValueError: if a picture or a list of labels is not as expected; the message names it.

    Source: Krizhevsky (2009), Learning multiple layers of features from tiny images.
    """
    members = assets.read_members("cifar10")
    train = [_tiles(members[f"train_{number}.png"], f"train_{number}.png") for number in range(1, 6)]
    labels = _labels(members["train_labels.json"], "train_labels.json", sum(map(len, train)))
    test = _tiles(members["test.png"], "test.png")
    cut = len(labels) - len(train[-1])
    parts = (
        subset(Part(torch.cat(train[:-1]), labels[:cut]), limit=limit, per_class=per_class, seed=seed),
        Part(train[-1], labels[cut:]),
        Part(test, _labels(members["test_labels.json"], "test_labels.json", len(test))),
    )
    return Splits("cifar10", *parts, CIFAR10, assets.lookup("cifar10").provenance)


def solar_cells() -> SolarCells:
    """ELPV: 2,624 solar cells in electroluminescence, with and without defects, from 44 modules.

    Raises:
        AssetError: if the optional wheel is not here; the message says how to fetch it.
        ValueError: if the list of labels or a picture is not as expected; the message names it.

    Source: Buerhop-Lutz et al. (2018).
    """
    members = assets.read_members("solar_cells")
    names, defect, kinds = read_labels(members["labels.csv"].decode("utf-8"))
    missing = [name for name in names if name not in members]
    if missing:
        raise ValueError(f"labels.csv names {missing[0]}, which the archive lacks; fetch the wheel again.")
    pictures = torch.stack([_picture(members[name], name) for name in names])[:, None]
    poly = torch.tensor([kind == "poly" for kind in kinds])
    return SolarCells(pictures, torch.tensor(defect), poly, stretches(kinds))


def read_labels(text: str) -> tuple[list[str], list[float], list[str]]:
    """File names, probabilities of a defect and kinds, in the order of the list.

    Args:
        text: a line for each cell: file, probability and kind, with spaces between them.

    Raises:
        ValueError: if a line is not of this form; the message has its number.
    """
    names, defect, kinds = [], [], []
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        try:
            name, said, kind = cells
            nearest = min(DOUBTS, key=lambda doubt: abs(doubt - float(said)))
            right = kind in KINDS and abs(nearest - float(said)) < 1e-3
        except ValueError:
            right = False
        if not right:
            raise ValueError(
                f"labels.csv, line {number}: expected file, probability and kind, found {line!r}."
            )
        names.append(name)
        defect.append(nearest)
        kinds.append(kind)
    return names, defect, kinds


def stretches(kinds: Sequence[str]) -> Tensor:
    """Number of the stretch of equal neighbours in which each entry stands, from 0, int64, shape (N,)."""
    changes = [i > 0 and kinds[i] != kinds[i - 1] for i in range(len(kinds))]
    return torch.tensor(changes, dtype=torch.int64).cumsum(dim=0)


def guessed_modules(stretch: Tensor, cells: int = 60) -> Tensor:
    """Number of the module in which each cell may have been, from 0, int64, shape (N,): a guess.

    The archive does not say it. If it lists the modules one after another, and each has about `cells` cells,
    then a stretch holds so many modules as its length says, and each is one equal piece of it. The pieces of
    ELPV are as many, of either kind, as the modules that its authors photographed (Deitsch et al., 2019);
    where a stretch lacks some cells, borders between modules are off by a few.

    Args:
        stretch: numbers from `stretches`, shape (N,).
        cells: of a usual module, at least 1.

    Raises:
        ValueError: if `cells` is below 1.
    """
    if cells < 1:
        raise ValueError(f"a module has at least one cell, not {cells}.")
    lengths = torch.unique_consecutive(stretch, return_counts=True)[1].tolist()
    pieces = [part for n in lengths for part in torch.arange(n).tensor_split(max(1, round(n / cells)))]
    sizes = torch.tensor([len(part) for part in pieces], dtype=torch.int64)
    return torch.repeat_interleave(torch.arange(len(pieces)), sizes)


def _picture(content: bytes, name: str) -> Tensor:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.array(image)
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{name} cannot be read as a picture; fetch the wheel again.") from error
    if pixels.shape != (300, 300) or pixels.dtype != np.uint8:
        raise ValueError(f"{name} has shape {pixels.shape} of {pixels.dtype}, not (300, 300) of uint8.")
    return torch.from_numpy(pixels)


def _tiles(content: bytes, name: str) -> Tensor:
    """Small pictures (N, 3, 32, 32) from one with a row for each, in which its pixels stand line by line."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.array(image)
    except OSError as error:
        raise ValueError(f"{name} cannot be read as a picture; fetch the package again.") from error
    if pixels.ndim != 3 or pixels.shape[1:] != (1_024, 3) or pixels.dtype != np.uint8:
        raise ValueError(f"{name} has shape {pixels.shape} of {pixels.dtype}, not (N, 1024, 3) of uint8.")
    return torch.from_numpy(pixels).unflatten(1, (32, 32)).permute(0, 3, 1, 2).contiguous()


def _labels(content: bytes, name: str, expected: int) -> Tensor:
    """Class indices from a list of numbers; ValueError unless there are as many as pictures."""
    try:
        labels = torch.tensor(json.loads(content), dtype=torch.int64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is no list of numbers; fetch the package again.") from error
    if labels.shape != (expected,) or not ((labels >= 0) & (labels < len(CIFAR10))).all():
        raise ValueError(f"{name} has not one class from 0 to 9 for each of {expected:,} pictures.")
    return labels
