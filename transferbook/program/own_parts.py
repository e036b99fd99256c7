"""The reader's data as the program takes them: a folder or a table by its looks, and what was left out."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from transferbook import runtime
from transferbook.data import datasets
from transferbook.data.own_images import ImageFiles
from transferbook.data.splits import Part, Splits

LIBRARIES = ("torch", "torchvision", "transformers", "timm", "scikit-learn", "safetensors")


def read(
    data: str | Path | Splits, size: int, columns: tuple[str, str, str | None]
) -> tuple[Splits, list[str]]:
    """The parts of a folder of pictures or a table of texts, and sentences on what was left out of them.

    Pictures that cannot be opened are left out; they are looked at here, not in the middle of the training.

    Args:
        data: a folder, a table, or `Splits`, which come back as they are.
        size: pixels of a picture's side.
        columns: of texts, classes and groups in a table; None for no groups.

    Raises:
        ValueError: if there is nothing at the path, or it does not hold such data.
    """
    if isinstance(data, Splits):
        return data, []
    path = Path(data).expanduser()
    if not path.exists():
        raise ValueError(f"There is no folder or table {path}; check the name.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if path.is_dir():
            splits = datasets.image_folder(path, size, lazy=True)
            splits, left_out = _readable(splits)
        else:
            splits, left_out = datasets.text_table(path, *columns), []
    said = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    for sentence in left_out:
        warnings.warn(sentence, stacklevel=3)
    for warning in caught:
        warnings.warn(warning.message, warning.category, stacklevel=3)
    return splits, said + left_out


def _readable(splits: Splits) -> tuple[Splits, list[str]]:
    """The splits without pictures that cannot be opened, and a sentence on each of these."""
    parts, left_out = [], []
    for side in ("train", "valid", "test"):
        part = getattr(splits, side)
        kept = []
        for row in range(len(part)):
            try:
                part.inputs[row]
            except ValueError as error:
                left_out.append(str(error).replace("; mend or remove it", ", so it was left out"))
            else:
                kept.append(row)
        part = part.select(kept)
        present = set(part.labels.tolist())
        for label, name in enumerate(splits.class_names):
            if label not in present:
                raise ValueError(
                    f'{splits.name}: no picture of the class "{name}" on the side {side} can be read '
                    f"({left_out[-1]})"
                )
        parts.append(part)
    return Splits(splits.name, *parts, splits.class_names, splits.provenance), left_out


def pictures(inputs: Sequence[str | Path] | Tensor, size: int) -> Any:
    """Pictures that can be taken one by one: a tensor as it is, files read when their turn comes."""
    if isinstance(inputs, Tensor | ImageFiles):
        return inputs
    return ImageFiles(tuple(Path(file) for file in inputs), size)


def digest(splits: Splits) -> str:
    """A hash of all examples and labels of the three parts, in their order: SHA-256, in hexadecimal."""
    found = hashlib.sha256()
    for part in (splits.train, splits.valid, splits.test):
        examples = part.inputs.files if isinstance(part.inputs, ImageFiles) else part.inputs
        for example, label in zip(examples, part.labels.tolist(), strict=True):
            if isinstance(example, Path):
                content = example.read_bytes()
            elif isinstance(example, str):
                content = example.encode("utf-8", "surrogatepass")
            else:
                content = np.ascontiguousarray(example).tobytes()
            found.update(f"{label} {len(content)} ".encode() + content)
    return found.hexdigest()


def place(part: Part, row: int) -> str:
    """Where an example comes from, as far as the part knows: its file, or its group."""
    return part.groups[row] if part.groups is not None and isinstance(part.inputs, ImageFiles) else ""


def versions() -> dict[str, str]:
    """Of Python and of the libraries that a prediction rests on."""
    known = {library: importlib.metadata.version(library) for library in LIBRARIES}
    return {"python": platform.python_version(), **known, "device": runtime.device().type}
