"""The reader's own pictures as `Splits`: all in memory, or each read when it is asked for."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from transferbook.data.own_data import own_path, own_splits, printable, unreadable
from transferbook.data.own_listing import find_images, say
from transferbook.data.splits import Part, Splits

if TYPE_CHECKING:
    from PIL.Image import Image

TURNS = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
    7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip
RESCALED = "more than eight bits a channel and were rescaled to eight, as `read_image` says"


@dataclass(frozen=True)
class ImageFiles:
    """Images that are read when they are asked for, by `read_image`; for example by a `DataLoader`.

    `images[i]` is a uint8 tensor of shape (3, size, size), `images[2:5]` the `ImageFiles` of three files.

    Attributes:
        files: the N files.
        size: width and height in pixels.

    Raises:
        ValueError: if the size is not a positive whole number, or a file that is asked for cannot be read as
            an image; the message names it.
    """

    files: tuple[Path, ...]
    size: int = 224

    def __post_init__(self) -> None:
        _check_size(self.size)
        object.__setattr__(self, "files", tuple(Path(file) for file in self.files))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int | slice) -> Tensor | ImageFiles:
        if isinstance(index, slice):
            return ImageFiles(self.files[index], self.size)
        file = self.files[operator.index(index)]
        pixels, rescaled = _pixels(file, self.size)
        if rescaled:  # one text for all files of a folder, so that Python says it once
            warnings.warn(f"images in {printable(file.parent)} have {RESCALED}.", stacklevel=2)
        return torch.from_numpy(pixels)

    def __repr__(self) -> str:
        return f"ImageFiles({len(self):,} files, size={self.size})"

    def select(self, indices: Sequence[int] | np.ndarray | Tensor) -> ImageFiles:
        """The files at `indices`, in that order."""
        rows = torch.as_tensor(indices, dtype=torch.int64).tolist()
        return ImageFiles(tuple(self.files[row] for row in rows), self.size)


def image_folder(
    path: str | Path,
    size: int = 224,
    *,
    lazy: bool = False,
    valid: float = 0.15,
    test: float = 0.2,
    limit: int | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> Splits:
    """Images in one sub-folder per class, the folders' names being the classes, as (N, 3, size, size).

    Which files are read, and which layout with sides is recognised, says `list_images`; how, `read_image`.
    Sides that the layout has are kept; what it lacks of valid and test is cut from train. That split is
    stratified and depends on the files' names only. `groups` are the files; equal files are one group.

    Args:
        path: the folder.
        size: width and height in pixels.
        lazy: read each image when it is asked for: `inputs` are `ImageFiles`. Otherwise all are held in
            memory, 150 kB each at 224 pixels.
        valid: share of the groups that goes to the validation part, unless the layout has one.
        test: share of the groups that goes to the test part, unless the layout has one.
        limit: see `subset`, as for `per_class` and `seed`; they act on train only.

    Raises:
        ValueError: if there are fewer than two classes, a class has no image or too few for three parts, or
            a file cannot be read as an image; the message names the folder or file.
    """
    listing = find_images(path)
    say(listing, stacklevel=3)
    images, labels = ImageFiles(listing.files, size), torch.tensor(listing.labels)
    whole = Part(images, labels, listing.groups)
    sides = dict.fromkeys(listing.sides or ("train",))
    parts = {side: whole.select(listing.rows(side)) for side in sides}
    splits = own_splits(
        listing.root,
        listing.root.resolve().name,
        parts,
        listing.class_names,
        "images",
        shares=(valid, test),
        scarcity=(limit, per_class, seed),
    )
    return splits if lazy else _in_memory(splits)


def read_image(file: str | Path, size: int = 224) -> np.ndarray:
    """One image file as uint8 (3, size, size).

    It is turned as its camera says (a damaged note of that is ignored), put on white where it is transparent,
    scaled until its shorter side is `size`, and cropped at the centre.

    Grey levels of more than eight bits are divided by a range that pictures of one kind share, so that they
    stay comparable: whole numbers by the smallest of 255, 4,095 (twelve bits) and 65,535 that holds the
    picture's values, fractions by 1. Where values are negative, larger, or below a sixteenth of that, the
    picture's own range is taken, from its lowest value to its highest. A warning says so.

    Raises:
        ValueError: if the file cannot be read as an image; the message names it.
    """
    _check_size(size)
    file = own_path(file)
    pixels, rescaled = _pixels(file, size)
    if rescaled:
        warnings.warn(f"1 image has {RESCALED}: {printable(file)}.", stacklevel=2)
    return pixels


def _check_size(size: int) -> None:
    if not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"size is {size!r}; it must be a whole number of pixels, at least 1.")


def _in_memory(splits: Splits) -> Splits:
    """The same splits with all images read, and one warning for those that were rescaled."""
    rescaled: list[Path] = []
    parts = []
    for part in (splits.train, splits.valid, splits.test):
        size = part.inputs.size
        images = np.empty((len(part), 3, size, size), dtype=np.uint8)
        for image, file in zip(images, part.inputs.files, strict=True):
            image[:], deep = _pixels(file, size)
            rescaled += [file] * deep
        parts.append(Part(torch.from_numpy(images), part.labels, part.groups))
    if rescaled:
        warnings.warn(
            f"{len(rescaled)} {'image has' if len(rescaled) == 1 else 'images have'} {RESCALED}: "
            f"for example {printable(min(rescaled))}.",
            stacklevel=3,
        )
    return Splits(splits.name, *parts, splits.class_names, splits.provenance)


def _pixels(file: Path, size: int) -> tuple[np.ndarray, bool]:
    """The image as uint8 (3, size, size), and whether its grey levels were rescaled to eight bits."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            opened.load()
            image = _turned(opened)
            deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
            if deep:
                image = Image.fromarray(_eight_bits(np.asarray(image)))
            image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        rgb = Image.alpha_composite(white, image).convert("RGB")
        fitted = ImageOps.fit(rgb, (size, size), Image.Resampling.BICUBIC)
    except Exception as error:  # whatever a decoder finds in a reader's file
        raise unreadable(file, "an image", error) from error
    return np.asarray(fitted).transpose(2, 0, 1).copy(), deep


def _turned(opened: Image) -> Image:
    """The image as its camera was held; as it is stored, where the note of that is damaged."""
    from PIL.Image import Transpose

    try:
        turn = TURNS.get(opened.getexif().get(0x0112))
    except Exception:  # damaged notes raise errors of many kinds, and the picture is whole
        turn = None
    return opened.transpose(Transpose[turn]) if turn else opened


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey levels of any range as uint8; see `read_image` for the range. What is no number becomes black."""
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    tops = (255, 4_095, 65_535) if np.array_equal(finite, finite.round()) else (1,)
    top = next((top for top in tops if low >= 0 and top / 16 <= high <= top), None)
    if top is None:
        values, top = values - low, high - low
    scaled = np.nan_to_num(values / (top or 1), nan=0.0, posinf=1.0, neginf=0.0)
    return (scaled.clip(0, 1) * 255).round().astype(np.uint8)
