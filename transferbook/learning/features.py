"""Features of a frozen backbone: computed once, and kept on disk under a name that says what made them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferbook import runtime
from transferbook.data import assets, files
from transferbook.learning import training
from transferbook.models.backbones import Backbone


def embed(
    backbone: Backbone, inputs: list[str] | Tensor | np.ndarray, *, batch_size: int = 128, cache: bool = True
) -> Tensor:
    """Features of a frozen backbone, computed once and kept on disk.

    The file's name is a hash of the weights, the preprocessing, the inputs, the kind of device and the batch
    size, so a change of any of them computes anew. Texts run sorted by length. A file that is damaged is
    computed anew, and features that cannot be stored are returned all the same; a warning says so.

    Args:
        backbone: from `backbones`; its module is used in evaluation mode and left as it was.
        inputs: N texts, or images (N, C, H, W) in uint8, as a tensor or a NumPy array.
        batch_size: examples per batch.
        cache: read and write the cache under `assets.cache_dir()`.

    Returns:
        Features of shape (N, D), float32, on the CPU.

    Raises:
        ValueError: if there is no input, or one is neither a text nor a picture; the message names its row.
    """
    inputs = _checked(inputs)
    if not cache:
        return _features(backbone, inputs, batch_size)
    path = _feature_path(backbone, inputs, batch_size)
    features = _stored(path, len(inputs))
    if features is None:
        features = _features(backbone, inputs, batch_size)
        _store(features, path)
    return features


def _checked(inputs: Any) -> list[str] | Tensor:
    """The inputs as a tensor or a list of texts."""
    if isinstance(inputs, str | bytes | dict) or not hasattr(inputs, "__len__"):
        kind = type(inputs).__name__
        raise ValueError(f"embed needs a list of texts or a tensor of images (N, C, H, W), not one {kind}.")
    if not len(inputs):
        raise ValueError("embed needs at least one input.")
    if isinstance(inputs, np.ndarray):
        if inputs.dtype != np.uint8 or inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
            raise ValueError(
                "embed needs images in uint8 of shape (N, 1 or 3, H, W), or a list of texts; got a NumPy "
                f"array of {inputs.dtype} with shape {inputs.shape}."
            )
        return torch.from_numpy(np.require(inputs, requirements=["C", "W"]))
    if isinstance(inputs, Tensor):
        if inputs.is_floating_point():
            broken = (~inputs.flatten(1).isfinite()).any(dim=1) if inputs.ndim > 1 else ~inputs.isfinite()
            if broken.any():
                row = int(broken.nonzero()[0])
                raise ValueError(f"embed needs finite images; row {row} holds NaN or an infinite value.")
        return inputs
    texts = list(inputs)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            what = "None" if text is None else f"of type {type(text).__name__}"
            what = "NaN" if isinstance(text, float) and text != text else what
            raise ValueError(
                f"embed needs a text in each row, or images as one tensor (N, C, H, W); row {row} is {what}."
            )
    return texts


def _stored(path: Path, rows: int) -> Tensor | None:
    """The features in a file; None, and a warning unless there is no file, if they cannot be had."""
    try:
        features = files.load_tensors(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except files.DamagedError as error:
        problem = str(error)
    except OSError as error:
        problem = f"{path} cannot be read ({files.reason(error)})"
    else:
        if isinstance(features, Tensor) and features.shape[:1] == (rows,):
            return features
        problem = f"{path} does not hold {rows} features"
    warnings.warn(f"{problem}; they are computed anew.", stacklevel=3)
    return None


def _store(features: Tensor, path: Path) -> None:
    try:
        with files.replacing(path) as file:
            torch.save(features, file)
    except OSError as error:
        warnings.warn(
            f"The features cannot be stored in {path} ({files.reason(error)}) and will be computed again: "
            f"{files.remedy(error)}.",
            stacklevel=3,
        )


def _features(backbone: Backbone, inputs: list[str] | Tensor, batch_size: int) -> Tensor:
    # Texts are prepared at once, to be sorted by length; images batch by batch, for they grow a lot.
    parts = inputs.split(batch_size) if isinstance(inputs, Tensor) else [inputs]
    predicted = [
        training.predict(backbone.module, backbone.prepare(part), batch_size=batch_size) for part in parts
    ]
    return torch.cat(predicted)


def _feature_path(backbone: Backbone, inputs: list[str] | Tensor, batch_size: int) -> Path:
    digest = hashlib.sha256(f"{backbone.fingerprint} {runtime.device().type} {batch_size}".encode())
    for chunk in _bytes_of(inputs):
        digest.update(chunk)
    return assets.cache_dir() / "features" / f"{backbone.name}-{digest.hexdigest()[:32]}.pt"


def _bytes_of(inputs: list[str] | Tensor) -> Iterable[bytes]:
    if isinstance(inputs, Tensor):
        yield f"{tuple(inputs.shape)} {inputs.dtype}".encode()
        yield inputs.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        for text in inputs:
            encoded = text.encode()
            yield len(encoded).to_bytes(8, "big")
            yield encoded
