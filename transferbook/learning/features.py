"""Features of a frozen backbone: computed once, and kept on disk under a name that says what made them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from transferbook import runtime
from transferbook.data import assets
from transferbook.learning import training
from transferbook.models.backbones import Backbone


def embed(
    backbone: Backbone, inputs: list[str] | Tensor, *, batch_size: int = 128, cache: bool = True
) -> Tensor:
    """Features of a frozen backbone, computed once and kept on disk.

    The file's name is a hash of the weights, the preprocessing, the inputs, the kind of device and the batch
    size, so a change of any of them computes anew. Texts run sorted by length.

    Args:
        backbone: from `backbones`; its module is used in evaluation mode and left as it was.
        inputs: N texts, or images (N, C, H, W) in uint8.
        batch_size: examples per batch.
        cache: read and write the cache under `assets.cache_dir()`.

    Returns:
        Features of shape (N, D), float32, on the CPU.
    """
    if not len(inputs):
        raise ValueError("embed needs at least one input.")
    if not cache:
        return _features(backbone, inputs, batch_size)
    path = _feature_path(backbone, inputs, batch_size)
    if path.exists():
        return torch.load(path, weights_only=True)
    features = _features(backbone, inputs, batch_size)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    torch.save(features, partial)
    partial.replace(path)
    return features


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
        yield inputs.contiguous().numpy().tobytes()
    else:
        for text in inputs:
            encoded = text.encode()
            yield len(encoded).to_bytes(8, "big")
            yield encoded
