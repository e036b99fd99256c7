"""Digits from three places: drawn from fonts, and written by hand in two collections; and how to align them.

Three domains with the same ten classes, for the chapters on domain adaptation. `datasets` offers the single
ones beside the other data sets; `domains` brings all three to one size.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from transferbook.data import assets
from transferbook.data.splits import Part, Splits, split, subset

# The faces that matplotlib ships, apart from those without digits.
FACES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-BoldOblique", "DejaVuSans-Oblique",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-BoldOblique", "DejaVuSansMono-Oblique",
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-BoldItalic", "DejaVuSerif-Italic",
    "STIXGeneral", "STIXGeneralBol", "STIXGeneralBolIta", "STIXGeneralItalic",
    "cmb10", "cmmi10", "cmr10", "cmss10", "cmti10", "cmtt10",
)  # fmt: skip


def mnist_5k(*, limit: int | None = None, per_class: int | None = None, seed: int = 0) -> Splits:
    """5,000 handwritten digits of MNIST, 500 a class, as (N, 1, 28, 28), white on black; 70/10/20 %."""
    import pandas as pd

    table = gzip.decompress(assets.read_member("mnist_5k", "mnist_5k.csv.gz"))
    rows = pd.read_csv(io.BytesIO(table), header=None, dtype=np.uint8).to_numpy()  # 784 pixels and the label
    images = torch.from_numpy(rows[:, :-1].reshape(-1, 1, 28, 28).copy())
    whole = Part(images, torch.as_tensor(rows[:, -1], dtype=torch.int64))
    return _digits("mnist_5k", whole, assets.catalogue()["mnist_5k"].provenance, limit, per_class, seed)


def optdigits(*, limit: int | None = None, per_class: int | None = None, seed: int = 0) -> Splits:
    """1,797 handwritten digits as (N, 1, 8, 8), white on black; 70/10/20 %.

    scikit-learn's copy counts pixels from 0 to 16; here they go from 0 to 255. It does not say who wrote a
    digit, so one writer's digits are on all sides.
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.from_numpy(np.rint(found.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)
    provenance = "Optical recognition of handwritten digits (UCI; CC BY 4.0), test part, from scikit-learn"
    whole = Part(images, torch.as_tensor(found.target, dtype=torch.int64))
    return _digits("optdigits", whole, provenance, limit, per_class, seed)


def rendered_digits(*, limit: int | None = None, per_class: int | None = None, seed: int = 0) -> Splits:
    """1,760 digits drawn from the 22 typefaces that matplotlib ships, as (N, 1, 28, 28), white on black.

    Each face draws each digit eight times, turned by up to 10 degrees, some 12 to 20 pixels high and a
    little off the centre; the same pictures each time. Split 70/10/20 % by typeface: `groups` are the
    faces.
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    random = np.random.default_rng(0)
    images, labels, faces = [], [], []
    for face in FACES:
        for digit in range(10):
            for _ in range(8):
                height, turn = random.uniform(12, 20), random.uniform(-10, 10)
                centre = 14 + random.uniform(-1.5, 1.5, size=2)
                font = ImageFont.truetype(folder / f"{face}.ttf", round(4 * height / 0.72))  # digits: 0.72 em
                large = Image.new("L", (112, 112))  # four times too large, for smooth edges
                left, top, right, bottom = font.getbbox(str(digit))
                corner = 4 * centre - ((left + right) / 2, (top + bottom) / 2)
                ImageDraw.Draw(large).text(tuple(corner), str(digit), font=font, fill=255)
                turned = large.rotate(turn, Image.Resampling.BILINEAR)
                images.append(np.asarray(turned.resize((28, 28), Image.Resampling.BOX)))
                labels.append(digit)
                faces.append(face)
    pixels = torch.from_numpy(np.stack(images)).unsqueeze(1)
    provenance = "Digits drawn from the typefaces that matplotlib ships (DejaVu, STIX, Computer Modern)"
    whole = Part(pixels, torch.tensor(labels), tuple(faces))
    return _digits("rendered_digits", whole, provenance, limit, per_class, seed)


def _digits(
    name: str, whole: Part, provenance: str, limit: int | None, per_class: int | None, seed: int
) -> Splits:
    train, valid, test = split(whole, valid=0.1, test=0.2)
    train = subset(train, limit=limit, per_class=per_class, seed=seed)
    return Splits(name, train, valid, test, tuple("0123456789"), provenance)


def resize(images: Tensor, size: int) -> Tensor:
    """Grey images (N, 1, H, W) in uint8, whole, margins included, at (N, 1, size, size)."""
    from torchvision.transforms.v2 import functional

    _check(images, size)
    return functional.resize(images, [size, size], antialias=True)


def align(images: Tensor, size: int, margin: int = 0) -> Tensor:
    """Each digit cut out along its ink, scaled to fill the frame in its own proportions, and centred.

    Ink is whatever is brighter than a quarter of the picture's brightest pixel; that pixel becomes 255. This
    is the classic preprocessing of digits, and it looks at one picture at a time: no statistics of a domain.

    Args:
        images: white on black, shape (N, 1, H, W), uint8.
        size: width and height of the result, in pixels.
        margin: black pixels left on every side.

    Returns:
        Shape (N, 1, size, size), uint8.

    Raises:
        ValueError: for another shape or type, a picture without ink, or a margin that leaves no room.
    """
    from torchvision.transforms.v2 import functional

    _check(images, size)
    room = size - 2 * margin
    if margin < 0 or room < 1:
        raise ValueError(f"a margin of {margin} leaves no room in {size} pixels.")
    aligned = images.new_zeros(len(images), 1, size, size)
    for number, image in enumerate(images):
        ink = image[0] > image.max() / 4
        if not ink.any():
            raise ValueError(f"picture {number} has no ink: all of its pixels are 0.")
        rows, columns = ink.any(dim=1).nonzero(), ink.any(dim=0).nonzero()
        cut = image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].float()
        scale = room / max(cut.shape[1:])
        shape = [max(1, round(side * scale)) for side in cut.shape[1:]]
        cut = functional.resize(cut, shape, antialias=True).clamp(min=0)
        top, left = (size - shape[0]) // 2, (size - shape[1]) // 2
        aligned[number, :, top : top + shape[0], left : left + shape[1]] = (cut / cut.max() * 255).round()
    return aligned


def domains(size: int = 8, *, aligned: bool) -> dict[str, Splits]:
    """The three domains at one size: "rendered", "optdigits" and "mnist", each whole.

    Args:
        size: width and height in pixels; 8 is the size of the smallest, optdigits.
        aligned: cut out, scaled and centred by `align`; otherwise resized as they are.
    """
    change = align if aligned else resize
    found = {"rendered": rendered_digits(), "optdigits": optdigits(), "mnist": mnist_5k()}
    return {name: _changed(splits, change, size) for name, splits in found.items()}


def _changed(splits: Splits, change: Callable[[Tensor, int], Tensor], size: int) -> Splits:
    parts = [
        Part(change(part.inputs, size), part.labels, part.groups)
        for part in (splits.train, splits.valid, splits.test)
    ]
    name = f"{splits.name}_{change.__name__}_{size}"
    return Splits(name, *parts, splits.class_names, splits.provenance)


def _check(images: Tensor, size: int) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 1 or size < 1:
        raise ValueError(
            f"need uint8 images of shape (N, 1, H, W) and a size of at least 1, got {images.dtype} of shape "
            f"{tuple(images.shape)} and {size}."
        )
