"""Low-rank adaptation: frozen linear layers with a trained low-rank update beside them (Hu et al., 2022)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LoRALinear(nn.Module):
    r"""A frozen linear layer and a trained update of low rank, $W x + b + \frac{\alpha}{r} B A x$.

    $A$ starts uniform in $\pm 1 / \sqrt{d_{in}}$, as in PEFT, and $B$ at zero, so that at the start the layer
    computes what the linear layer does.

    Args:
        linear: the layer to adapt, weight (d_out, d_in); it is kept as `linear`, without gradients.
        rank: r, columns of `B` (d_out, r) and rows of `A` (r, d_in); from 1 to min(d_in, d_out).
        alpha: the update's scale, divided by the rank.
        dropout: probability with which an input of the update, not of the layer, is dropped in training.

    Raises:
        ValueError: if the rank does not fit the layer, or the dropout is no probability below 1.

    Source: Hu et al. (2022), LoRA: Low-rank adaptation of large language models.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        d_out, d_in = linear.weight.shape
        largest = min(d_out, d_in)
        if not 1 <= rank <= largest:
            raise ValueError(f"rank is {rank}; for a weight {(d_out, d_in)} it goes from 1 to {largest}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); got {dropout}.")
        self.linear = linear.requires_grad_(False)
        self.scaling = alpha / rank
        self.A = nn.Parameter(linear.weight.new_empty(rank, d_in))
        self.B = nn.Parameter(linear.weight.new_zeros(d_out, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., d_out) of inputs (..., d_in)."""
        return self.linear(x) + self.scaling * F.linear(F.linear(self.dropout(x), self.A), self.B)

    def update(self) -> Tensor:
        r"""$\Delta W = \frac{\alpha}{r} B A$, shape (d_out, d_in)."""
        return self.scaling * (self.B @ self.A)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        r"""A new linear layer with weight $W + \Delta W$ and the same bias, which needs no gradient."""
        layer = copy.deepcopy(self.linear).train(self.training)
        layer.weight += self.update()
        return layer


def add_lora(
    model: nn.Module, names: Sequence[str], rank: int, alpha: float, dropout: float = 0.0
) -> list[str]:
    """Freeze the parameters of a model and put a `LoRALinear` in the place of some of its linear layers.

    As in PEFT, the model's own dropout stays on in training, and running statistics of BatchNorm go on
    moving. `transfer.freeze`, called before, holds both.

    Args:
        model: changed in place; what is to be trained in full, such as a new head, is unfrozen afterwards.
        names: a layer is adapted if its name is one of these or ends in a dot and one of these: "query"
            matches `layer.0.attention.query`.
        rank: of each update.
        alpha: scale of each update, divided by the rank.
        dropout: on the input of each update.

    Returns:
        The names of the layers that were replaced.

    Raises:
        ValueError: if `names` is a single string, one of them matches no linear layer, or the model is
            adapted already.
    """
    if isinstance(names, str):
        raise ValueError(f"names must be a list of names, such as [{names!r}].")
    if any(True for _ in _adapted(model)):
        raise ValueError("The model has LoRA layers already: merge_lora first.")
    linear = [name for name, module in model.named_modules() if name and type(module) is nn.Linear]
    found = {wanted: [n for n in linear if n == wanted or n.endswith(f".{wanted}")] for wanted in names}
    lost = [wanted for wanted, matches in found.items() if not matches]
    if lost or not found:
        have = ", ".join(sorted({name.rpartition(".")[2] for name in linear})) or "none"
        raise ValueError(f"No linear layer's name ends in {lost or names}; the endings there are: {have}.")
    chosen = [name for name in linear if any(name in matches for matches in found.values())]
    model.requires_grad_(False)
    for name in chosen:
        layer = model.get_submodule(name)
        _replace(model, name, LoRALinear(layer, rank, alpha, dropout).train(layer.training))
    return chosen


def merge_lora(model: nn.Module) -> list[str]:
    r"""Put an ordinary linear layer with weight $W + \frac{\alpha}{r} B A$ in the place of each `LoRALinear`.

    The model computes what it did, but for rounding, at the cost it had before `add_lora`.

    Returns:
        The names of the layers that were replaced.

    Raises:
        ValueError: if the model has no `LoRALinear`.
    """
    adapted = list(_adapted(model))
    if not adapted:
        raise ValueError("The model has no LoRALinear to merge.")
    for name, layer in adapted:
        _replace(model, name, layer.merged())
    return [name for name, _ in adapted]


def _adapted(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear):
            yield name, module


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)
