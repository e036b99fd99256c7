"""What a network of layers costs, by walking through it: MLPs and convolutional networks.

Each layer is asked for the shapes that go in and come out, on torch's `meta` device, where tensors have
shapes and no numbers: so even a large network takes no memory and next to no time. Operations are counted as
in `costs`. What a network computes outside of its layers is not seen. The sum of two branches costs nothing
and keeps nothing, but for `F.relu` take `nn.ReLU`, and for transformers take `costs`.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["LayerCost", "total", "walk_layers"]

PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d)
KEEP_INPUT = (nn.AvgPool2d, nn.GELU, nn.SiLU, nn.ReLU6, nn.Hardswish, nn.Hardtanh)
KEEP_OUTPUT = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softmax, nn.LogSoftmax)
KEEP_NOTHING = (nn.Flatten, nn.Identity)


@dataclass(frozen=True)
class LayerCost:
    """One layer.

    Attributes:
        name: dotted name inside of the network.
        kind: name of its class.
        parameters: number of its own.
        forward: operations of the forward pass.
        weights: operations of the gradient of its weights; 0 where they are frozen.
        inputs: operations of the gradient of its input; 0 where none is needed.
        groups: of a convolution; 1 elsewhere.
    """

    name: str
    kind: str
    parameters: int
    forward: int
    weights: int
    inputs: int
    groups: int

    @property
    def training(self) -> int:
        """Operations of forward and backward pass."""
        return self.forward + self.weights + self.inputs


def walk_layers(network: nn.Module, inputs: Tensor, training: bool = True) -> tuple[list[LayerCost], int]:
    """The cost of each layer that computes, and the bytes that a forward pass keeps for the way back.

    Args:
        network: made of convolutions, linear layers, norms, activations and pooling.
        inputs: any tensor of the shape and kind of a batch; its numbers do not matter.
        training: whether the network is in training mode.

    Returns:
        The layers in the order of their work, and the bytes, beside the parameters, that they keep: their
        inputs or outputs, each once, masks and statistics.

    Raises:
        ValueError: if the network has a layer that this module knows nothing about.
    """
    ghost = copy.deepcopy(network).to("meta").train(training)
    found: list[LayerCost] = []
    kept: dict[int, Tensor] = {}  # storage -> a tensor in it, held so that no other one takes its place
    beside = [0]

    def keep(tensor: Tensor) -> None:
        kept[tensor.untyped_storage()._cdata] = tensor

    def visit(name: str, layer: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        x, own = given[0], list(layer.parameters(recurse=False))
        trained = any(parameter.requires_grad for parameter in own)
        if own:
            found.append(_cost(name, layer, x, out))
        if isinstance(layer, PRODUCTS):
            if layer.weight.requires_grad:
                keep(x)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            if trained or x.requires_grad:
                keep(x)
                beside[0] += 2 * layer.num_features * x.element_size() if layer.training else 0
        elif isinstance(layer, nn.LayerNorm):
            if trained or x.requires_grad:
                keep(x)
                beside[0] += 2 * x.numel() // math.prod(layer.normalized_shape) * x.element_size()
        elif isinstance(layer, nn.MaxPool2d):
            if x.requires_grad:
                keep(x)
                beside[0] += 8 * out.numel()  # where each maximum was
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            if x.requires_grad and out[0, 0].numel() > 1:  # to one pixel, it is a plain mean
                keep(x)
        elif isinstance(layer, nn.Dropout):
            if x.requires_grad and layer.training and layer.p:
                beside[0] += out.numel() * x.element_size()  # the mask, scaled
        elif isinstance(layer, KEEP_INPUT + KEEP_OUTPUT):
            if not x.requires_grad:
                return
            if isinstance(layer, KEEP_INPUT) and getattr(layer, "inplace", False):
                beside[0] += x.numel() * x.element_size()  # what it overwrites is copied first
            else:
                keep(x if isinstance(layer, KEEP_INPUT) else out)
        elif not isinstance(layer, KEEP_NOTHING) and (own or not any(True for _ in layer.children())):
            raise ValueError(f"{name} is a {type(layer).__name__}, whose costs this book does not know.")

    hooks = [
        layer.register_forward_hook(lambda layer, given, out, name=name: visit(name, layer, given, out))
        for name, layer in ghost.named_modules()
    ]
    try:
        ghost(torch.empty_like(inputs, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return found, beside[0] + sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def total(layers: list[LayerCost], what: str = "forward") -> int:
    """The sum of `parameters`, `forward`, `weights`, `inputs` or `training` over layers."""
    return sum(getattr(layer, what) for layer in layers)


def _cost(name: str, layer: nn.Module, x: Tensor, out: Tensor) -> LayerCost:
    """Each number that comes out is a sum of as many products as a row of the weights, or a filter, has."""
    multiplies = isinstance(layer, PRODUCTS)
    forward = 2 * out.numel() * math.prod(layer.weight.shape[1:]) if multiplies else 0
    return LayerCost(
        name=name,
        kind=type(layer).__name__,
        parameters=sum(parameter.numel() for parameter in layer.parameters(recurse=False)),
        forward=forward,
        weights=forward if multiplies and layer.weight.requires_grad else 0,
        inputs=forward if x.requires_grad else 0,
        groups=getattr(layer, "groups", 1),
    )
