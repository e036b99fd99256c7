"""Examples as a tensor or a dict of tensors: check them, take some, move them, hand them to a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

Inputs = Tensor | Mapping[str, Tensor]
Data = tuple[Inputs, Tensor] | Iterable[tuple[Inputs, Tensor]]


def on_device(data: Data, device: torch.device) -> Data:
    """A pair of tensors, moved to the device; a re-iterable of batches as it is.

    Raises:
        ValueError: for inputs and labels of unequal length, no example, or an iterator that is empty after
            one epoch.
    """
    if not isinstance(data, tuple):
        if isinstance(data, Iterator):
            raise ValueError(
                "The data are a one-shot iterator, which is empty after one epoch and cannot be resumed: "
                "pass a list, a DataLoader or a pair of tensors."
            )
        return data
    inputs, labels = data
    lengths = {len(value) for value in (inputs.values() if isinstance(inputs, Mapping) else [inputs])}
    if lengths != {len(labels)} or not len(labels):
        raise ValueError(
            "Inputs and labels must have the same number of examples, and one at least; "
            f"got {sorted(lengths)} and {len(labels)}."
        )
    return move(inputs, device), labels.to(device)


def move(inputs: Inputs, device: torch.device) -> Inputs:
    """The inputs on another device."""
    if isinstance(inputs, Mapping):
        return {name: value.to(device) for name, value in inputs.items()}
    return inputs.to(device)


def rows(inputs: Inputs, index: Tensor) -> Inputs:
    """The examples that `index` names, from a tensor or from every tensor of a dict."""
    if isinstance(inputs, Mapping):
        return {name: value[index] for name, value in inputs.items()}
    return inputs[index]


def call(model: nn.Module, inputs: Inputs) -> Tensor:
    """The model's outputs: `model(**inputs)` for a dict, else `model(inputs)`."""
    return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)


def first(inputs: Inputs) -> Tensor:
    """The tensor itself, or the first one of a dict."""
    return next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs


def length_order(inputs: Inputs) -> Tensor:
    """Indices that sort tokenised texts from long to short; the plain order for anything else."""
    if isinstance(inputs, Mapping) and "attention_mask" in inputs:
        return inputs["attention_mask"].sum(1).cpu().argsort(descending=True, stable=True)
    return torch.arange(len(first(inputs)))
