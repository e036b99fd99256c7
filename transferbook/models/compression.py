"""Four ways to make a trained network smaller: prune it, drop units, factorise its layers, quantise them.

Each is written out once, for `nn.Linear` layers, in the simplest form that keeps what matters: pruning sets
the smallest weights to zero, `drop_units` really removes hidden units, `low_rank` writes a layer as two thin
ones, and `quantize` stores integers and a few scales. `stored_bytes` says what the result takes on disk.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

__all__ = ["Mask", "QuantizedLinear", "dequantize", "drop_units", "finish", "low_rank", "magnitude_mask"]
__all__ += ["prune", "quantize", "rank_errors", "replace_linear", "stored_bytes", "unit_norms"]


# --- pruning: single weights ------------------------------------------------------------------------------


def magnitude_mask(weight: Tensor, share: float) -> Tensor:
    """Booleans of the shape of `weight`: False for the `share` of its entries nearest to zero.

    Raises:
        ValueError: if `share` is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must lie in [0, 1), the part of the weights to remove; got {share}.")
    order = weight.detach().abs().flatten().argsort(stable=True)
    kept = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
    kept[order[: round(share * weight.numel())]] = False
    return kept.view(weight.shape)


class Mask(nn.Module):
    """A parametrisation that multiplies a weight by zeros and ones, in training too.

    Args:
        kept: booleans of the weight's shape.
    """

    def __init__(self, kept: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", kept)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight, zero where it is not kept; no gradient flows there."""
        return weight * self.kept


def prune(model: nn.Module, share: float) -> list[str]:
    """Set the `share` of smallest weights of each linear layer to zero, and hold them there in training.

    A model that was pruned before is pruned anew; its zeros are the smallest and go first.

    Args:
        model: changed in place; biases stay.
        share: of the weights of each layer, in [0, 1).

    Returns:
        The names of the layers.

    Raises:
        ValueError: if there is no linear layer, or `share` is out of range.
    """
    finish(model)
    layers = _linear(model)
    for layer in layers.values():
        parametrize.register_parametrization(layer, "weight", Mask(magnitude_mask(layer.weight, share)))
    return list(layers)


def finish(model: nn.Module) -> nn.Module:
    """Make what `prune` did permanent: ordinary weights again, with zeros in them. Returns the model."""
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight") and _mask(module.parametrizations.weight):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return model


# --- pruning: whole units ---------------------------------------------------------------------------------


def unit_norms(up: nn.Linear, down: nn.Linear) -> Tensor:
    r"""How much each hidden unit can do: $\lVert w^{in}_i \rVert \cdot \lVert w^{out}_i \rVert$, shape (h,).

    Args:
        up: from d_in to h.
        down: from h to d_out, behind an activation that acts on each unit alone.

    Raises:
        ValueError: if the layers do not meet.
    """
    if up.out_features != down.in_features:
        raise ValueError(f"{up.out_features} units come out of the first layer; {down.in_features} go in.")
    return (up.weight.norm(dim=1) * down.weight.norm(dim=0)).detach()


def drop_units(up: nn.Linear, down: nn.Linear, keep: Tensor) -> tuple[nn.Linear, nn.Linear]:
    """Two smaller layers that compute what `up` and `down` would if the other hidden units gave zero.

    Args:
        up: from d_in to h; its activation acts on each unit alone.
        down: from h to d_out.
        keep: indices of the units to keep, shape (k,), each once.

    Returns:
        New layers, from d_in to k and from k to d_out.

    Raises:
        ValueError: if the layers do not meet, or `keep` is empty, repeats a unit or names none.
    """
    units = len(unit_norms(up, down))
    if not len(keep) or len(keep.unique()) < len(keep) or keep.min() < 0 or keep.max() >= units:
        raise ValueError(f"keep must name at least one of {units} units, each once; got {keep.tolist()}.")
    bias = None if up.bias is None else up.bias[keep]
    return _layer(up.weight[keep], bias, up), _layer(down.weight[:, keep], down.bias, down)


# --- low rank ---------------------------------------------------------------------------------------------


def low_rank(linear: nn.Linear, rank: int) -> nn.Sequential:
    """Two thin layers whose product is the nearest matrix of that rank: the largest singular values.

    Args:
        linear: weight (d_out, d_in).
        rank: r, from 1 to min(d_out, d_in).

    Returns:
        A layer from d_in to r without bias, and one from r to d_out with the bias.

    Raises:
        ValueError: if the rank does not fit.

    Source: Eckart & Young (1936), The approximation of one matrix by another of lower rank.
    """
    largest = min(linear.weight.shape)
    if not 1 <= rank <= largest:
        raise ValueError(f"rank is {rank}; for a weight {tuple(linear.weight.shape)} it is 1 to {largest}.")
    left, values, right = torch.linalg.svd(linear.weight.detach(), full_matrices=False)
    root = values[:rank].sqrt()
    first = _layer(root[:, None] * right[:rank], None, linear)
    return nn.Sequential(first, _layer(left[:, :rank] * root, linear.bias, linear))


def rank_errors(weight: Tensor) -> Tensor:
    r"""Distance of a matrix from the nearest of each rank, $\sqrt{\sum_{i > r} \sigma_i^2}$.

    Returns:
        Shape (min(d_out, d_in) + 1,): for ranks 0, 1, ...; Frobenius norms.
    """
    squares = torch.linalg.svdvals(weight.detach()).square()
    tails = squares.flip(0).cumsum(0).flip(0)
    return torch.cat([tails, tails.new_zeros(1)]).sqrt()


# --- quantisation -----------------------------------------------------------------------------------------


def quantize(weight: Tensor, bits: int, group: int | None = None) -> tuple[Tensor, Tensor]:
    r"""Integers and scales that stand for a weight: $w \approx \Delta\, q$ with $|q| \le 2^{b-1} - 1$.

    The step $\Delta$ is the largest absolute value of a group over the largest integer, so zero stays zero.
    Scales are kept in half precision, as in GGUF files.

    Args:
        weight: shape (d_out, d_in).
        bits: b, from 2 to 8.
        group: so many neighbours in a row share a scale; None for one scale a row.

    Returns:
        Integers (d_out, d_in) in int8, scales (d_out, groups) in float16.

    Raises:
        ValueError: if `bits` is out of range, or `group` does not divide d_in.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be from 2 to 8; got {bits}.")
    group = weight.shape[1] if group is None else group
    if group < 1 or weight.shape[1] % group:
        raise ValueError(f"Groups of {group} do not divide rows of {weight.shape[1]} weights.")
    grouped = weight.detach().unflatten(1, (-1, group))  # (d_out, groups, group)
    largest = 2 ** (bits - 1) - 1
    scales = grouped.abs().amax(dim=2) / largest
    steps = torch.where(scales > 0, scales, 1.0)  # a group of zeros has no step
    integers = (grouped / steps[..., None]).round().to(torch.int8)
    return integers.flatten(1), scales.half()


def dequantize(integers: Tensor, scales: Tensor) -> Tensor:
    """The weight (d_out, d_in) that integers (d_out, d_in) and scales (d_out, groups) stand for, float32."""
    grouped = integers.unflatten(1, (scales.shape[1], -1)).float()
    return (grouped * scales.float()[..., None]).flatten(1)


class QuantizedLinear(nn.Module):
    """A linear layer whose weight is stored in few bits, and made a float again whenever it is used.

    Smaller, not faster: the product is one of floats, as before. It has no gradient to learn with.

    Args:
        linear: the layer; its bias stays as it is.
        bits: from 2 to 8.
        group: see `quantize`.
    """

    def __init__(self, linear: nn.Linear, bits: int, group: int | None = None) -> None:
        super().__init__()
        integers, scales = quantize(linear.weight, bits, group)
        self.bits = bits
        self.register_buffer("integers", integers)
        self.register_buffer("scales", scales)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())

    @property
    def weight(self) -> Tensor:
        """The weight that is computed with, (d_out, d_in)."""
        return dequantize(self.integers, self.scales)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., d_out) of inputs (..., d_in)."""
        return F.linear(x, self.weight, self.bias)


def replace_linear(model: nn.Module, change: Callable[[nn.Linear], nn.Module]) -> list[str]:
    """Put `change(layer)` in the place of each linear layer of a model, in place.

    Returns:
        The names of the layers.

    Raises:
        ValueError: if there is none.
    """
    layers = _linear(model)
    for name, layer in layers.items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, change(layer).train(layer.training))
    return list(layers)


# --- bytes ------------------------------------------------------------------------------------------------


def stored_bytes(model: nn.Module) -> int:
    """Bytes of a model's weights in a file that wastes none.

    A quantised weight takes its bits, and two bytes a scale; a pruned one the values that are left and one
    bit for each place, or all values if that is less; anything else what its numbers take. A tensor that two
    modules share counts once.
    """
    total, seen = 0, set()
    for module in model.modules():
        if isinstance(module, Mask):
            continue  # counted with its weight
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        for tensor in own:
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            size = tensor.numel() * tensor.element_size()
            if isinstance(module, QuantizedLinear) and tensor is module.integers:
                size = -(-tensor.numel() * module.bits // 8)
            elif mask := _mask(module):
                kept = int(mask.kept.sum()) * tensor.element_size()
                size = min(size, kept + -(-tensor.numel() // 8))
            total += size
    return total


def _linear(model: nn.Module) -> dict[str, nn.Linear]:
    layers = {name: module for name, module in model.named_modules() if type(module) is nn.Linear and name}
    if not layers:
        raise ValueError("The model has no linear layer inside of it to make smaller.")
    return layers


def _mask(module: nn.Module) -> Mask | None:
    """The mask of the parametrisations of a pruned weight."""
    is_list = isinstance(module, parametrize.ParametrizationList)
    return module[0] if is_list and isinstance(module[0], Mask) else None


def _layer(weight: Tensor, bias: Tensor | None, like: nn.Linear) -> nn.Linear:
    """A new linear layer with copies of these, in the mode of another."""
    d_out, d_in = weight.shape
    with torch.device("meta"):
        layer = nn.Linear(d_in, d_out, bias=bias is not None)
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer.train(like.training)
