"""The file of a trained classifier: safetensors with a card in JSON that says all there is to know of it.

Nothing in it is pickled, tensors come back bit for bit, and a checksum over both parts tells a damaged file.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transferbook.data import files

FORMAT = 1
KEY = "transferbook"  # of the card in the file's metadata


class ModelFileError(ValueError):
    """A model cannot be saved there, or a file is no model; the message is one sentence."""


def check_target(path: str | Path) -> Path:
    """The path to save a model to, after a look whether that can work: call it before the training.

    Raises:
        ModelFileError: if the folder is missing or cannot be written to, or the path is taken by something
            that is not a model.
    """
    target = Path(path)
    folder = target.parent
    if not folder.is_dir():
        raise ModelFileError(f"{target} cannot be saved, for there is no folder {folder}; make it first.")
    if target.is_dir():
        raise ModelFileError(f"{target} is a folder; give the name of a file in it.")
    if target.exists() and not _is_model(target):
        raise ModelFileError(f"{target} is there already and is no model; choose another name.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ModelFileError(
            f"{folder} cannot be written to ({files.reason(error)}); choose another folder for {target.name}."
        ) from error
    return target


def write(path: str | Path, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a model in one step: a file that was there stays whole until the new one is.

    Args:
        path: the file; one that is there is replaced, if it is a model.
        card: what is known of the model, as JSON can hold it.
        tensors: by name, of any dtype.

    Raises:
        ModelFileError: as for `check_target`, or if the disk is full.
    """
    from safetensors.torch import save

    target = check_target(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    known = {**card, "format": FORMAT}
    known["checksum"] = _checksum(known, tensors)
    content = save(tensors, metadata={KEY: json.dumps(known, ensure_ascii=False)})
    try:
        with files.replacing(target) as file:
            file.write(content)
    except OSError as error:
        raise ModelFileError(
            f"{target} cannot be written ({files.reason(error)}); choose another place."
        ) from error


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The card and the tensors of a model.

    Raises:
        ModelFileError: if the file is missing, is no model, was cut short or damaged, or was made by a newer
            format.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(path)
    if not file.is_file():
        raise ModelFileError(f"There is no model {file}; check the name.")
    if not _is_model(file):
        raise ModelFileError(f"{file} is no model that this program saved.")
    broken = f"{file} is damaged or was cut short; copy it again, or train and save it anew."
    try:
        with safe_open(file, framework="pt", device="cpu") as opened:
            card = json.loads((opened.metadata() or {})[KEY])
            if isinstance(card.get("format"), int) and card["format"] > FORMAT:
                raise ModelFileError(
                    f"{file} has format {card['format']}, and this version of the book reads formats up to "
                    f"{FORMAT}; update the book."
                )
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}
    except (SafetensorError, KeyError, json.JSONDecodeError, AttributeError) as error:
        raise ModelFileError(broken) from error
    if card.pop("checksum", None) != _checksum(card, tensors):
        raise ModelFileError(broken)
    return card, tensors


def _is_model(file: Path) -> bool:
    """Whether the file begins as a model does, even where its end is missing."""
    try:
        with open(file, "rb") as opened:
            head = opened.read(200)
    except OSError as error:
        raise ModelFileError(f"{file} cannot be read ({files.reason(error)}).") from error
    return head[8:].startswith(b'{"__metadata__":{"%s":' % KEY.encode())


def _checksum(card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(card, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
