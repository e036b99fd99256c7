"""The reader's own data: a folder of images or a table of texts, as `Splits`."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch

from transferbook.data.splits import Part, Splits, split, subset

IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def image_folder(
    path: str | Path,
    size: int = 224,
    *,
    valid: float = 0.15,
    test: float = 0.2,
    limit: int | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> Splits:
    """Images in one sub-folder per class, the folders' names being the classes, as (N, 3, size, size).

    Each image is turned as its camera says, put on white where it is transparent, scaled until its shorter
    side is `size`, and cropped at the centre. All are held in memory: 150 kB each at 224 pixels. `groups` are
    the files. The split is stratified and depends on the files' names only; `limit`, `per_class` and `seed`
    go to `subset`, for train only.

    Raises:
        ValueError: if there are fewer than two classes, a class has no image or too few for three parts, or
            a file cannot be read as an image; the message names the folder or file.
    """
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; image_folder needs one with a sub-folder per class.")
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(folders) < 2:
        raise ValueError(f"{root} needs at least two sub-folders, one per class; it has {len(folders)}.")
    files, labels = [], []
    for label, folder in enumerate(folders):
        inside = sorted(
            file for file in folder.rglob("*")
            if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
        )  # fmt: skip
        if not inside:
            raise ValueError(
                f"the class folder {folder} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); "
                "put some in or remove it."
            )
        files += inside
        labels += [label] * len(inside)
    images = np.empty((len(files), 3, size, size), dtype=np.uint8)
    for image, file in zip(images, files, strict=True):
        image[:] = read_image(file, size)
    groups = tuple(file.relative_to(root).as_posix() for file in files)
    whole = Part(torch.from_numpy(images), torch.tensor(labels), groups)
    class_names = [folder.name for folder in folders]
    return _splits(root, whole, class_names, "images", (valid, test), (limit, per_class, seed))


def read_image(file: str | Path, size: int = 224) -> np.ndarray:
    """One image file as uint8 (3, size, size), turned, whitened, scaled and cropped as in `image_folder`.

    Raises:
        ValueError: if the file cannot be read as an image; the message names it.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} cannot be read as an image; mend or remove it ({error}).") from error
    white = Image.new("RGBA", image.size, "white")
    rgb = Image.alpha_composite(white, image).convert("RGB")
    return np.asarray(ImageOps.fit(rgb, (size, size), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def text_table(
    path: str | Path,
    text: str = "text",
    label: str = "label",
    group: str | None = None,
    *,
    valid: float = 0.15,
    test: float = 0.2,
    limit: int | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> Splits:
    """Texts of a CSV file in UTF-8 with a header line; the classes are the values of a column, sorted.

    Args:
        path: the file.
        text: name of the column of texts.
        label: name of the column of classes.
        group: name of a column whose values must not be on two sides (an author, a film). Without it, equal
            texts are a group, so that none is on two sides.
        valid: share of the groups that goes to the validation part.
        test: share of the groups that goes to the test part.
        limit: see `subset`, as for `per_class` and `seed`; they act on train only.

    Raises:
        ValueError: if the file is not such a table, a column is missing, a row has an empty text, label or
            group, or a class is too small for three parts; the message names the file and the place.
    """
    file = Path(path)
    wanted = [text, label] if group is None else [text, label, group]
    try:
        rows = _read_columns(file, wanted)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} is not encoded in UTF-8 (byte {error.object[error.start]:#04x}); save it as UTF-8."
        ) from error
    class_names = sorted({row[1] for row in rows})
    if len(class_names) < 2:
        raise ValueError(
            f'{file}: the column "{label}" holds {len(class_names)} classes in {len(rows)} rows; '
            "a classifier needs at least two."
        )
    labels = torch.tensor([class_names.index(row[1]) for row in rows])
    groups = tuple(row[0] if group is None else row[2] for row in rows)
    whole = Part([row[0] for row in rows], labels, groups)
    return _splits(file, whole, class_names, "texts", (valid, test), (limit, per_class, seed))


def _read_columns(file: Path, wanted: list[str]) -> list[list[str]]:
    """The wanted columns of a CSV file, row by row, none of them empty."""
    rows = []
    with open(file, encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        try:
            columns = list(reader.fieldnames or [])
            for column in wanted:
                if column not in columns:
                    there = ", ".join(columns) or "none"
                    raise ValueError(f'{file} has no column "{column}"; its columns are: {there}.')
            for row in reader:
                if None in row:
                    raise ValueError(
                        f"{file}, line {reader.line_num} has more fields than the header; "
                        "put texts that hold a comma in double quotes."
                    )
                for column in wanted:
                    if not (row[column] or "").strip():
                        raise ValueError(
                            f'{file}, line {reader.line_num}: "{column}" is empty; fill it or remove the row.'
                        )
                rows.append([row[column] for column in wanted])
        except csv.Error as error:
            raise ValueError(f"{file}, line {reader.reader.line_num} is not valid CSV ({error}).") from error
    return rows


def _splits(
    path: Path,
    whole: Part,
    class_names: list[str],
    what: str,
    shares: tuple[float, float],
    scarcity: tuple[int | None, int | None, int],
) -> Splits:
    """Split by `shares` (valid, test), with every class on every side, and subset train."""
    train, valid, test = split(whole, valid=shares[0], test=shares[1])
    for side, part in (("train", train), ("valid", valid), ("test", test)):
        for label in sorted(set(range(len(class_names))) - set(part.labels.tolist())):
            count = int((whole.labels == label).sum())
            raise ValueError(
                f'{path}: the class "{class_names[label]}" has {count} {what}, which leaves none for {side}; '
                "add some, remove the class, or change the shares valid and test."
            )
    limit, per_class, seed = scarcity
    train = subset(train, limit=limit, per_class=per_class, seed=seed)
    provenance = f"{path.name}, {len(whole):,} {what} of the reader's own"
    return Splits(path.stem, train, valid, test, tuple(class_names), provenance)
