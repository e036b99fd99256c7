"""Reusing a pretrained network: freezing, parameter groups, unfreezing.

The features of a frozen network (`features.py`) and what is solved on them (`linear.py`) are called from
here too: `transfer.embed`, `transfer.linear_probe`, `transfer.ridge_to_source`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from transferbook.learning.features import embed
from transferbook.learning.linear import linear_probe, ridge_to_source

__all__ = ["Classifier", "embed", "freeze", "freeze_stages", "gradual_unfreezing", "linear_probe"]
__all__ += ["parameter_groups", "ridge_to_source", "unfreeze"]


class Classifier(nn.Module):
    """An encoder and the linear head that reads its features.

    Args:
        encoder: maps its inputs to features of shape (B, D).
        head: maps features to logits of shape (B, C).
    """

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        """Logits (B, C)."""
        return self.head(self.encoder(*args, **kwargs))


def freeze(module: nn.Module) -> nn.Module:
    """Stop a module from changing in any way, and from being noisy: gradients, running statistics, dropout.

    `requires_grad_(False)` alone leaves BatchNorm's running statistics moving and dropout dropping whenever
    the network is in training mode. Here each part of the module also goes to evaluation mode just before it
    runs, whatever `train()` was called on around it.

    Returns:
        The same module.
    """
    module.requires_grad_(False)
    for part in module.modules():
        part.eval()
        if not any(isinstance(hook, _StayInEvaluation) for hook in part._forward_pre_hooks.values()):
            part.register_forward_pre_hook(_StayInEvaluation())
    return module


def unfreeze(module: nn.Module) -> nn.Module:
    """Undo `freeze`: gradients flow again, and the module follows `train()` and `eval()`."""
    module.requires_grad_(True)
    for part in module.modules():
        for key, hook in list(part._forward_pre_hooks.items()):
            if isinstance(hook, _StayInEvaluation):
                del part._forward_pre_hooks[key]
    return module


def freeze_stages(encoder: nn.Module, count: int) -> nn.Module:
    """Freeze the first `count` stages of an encoder, counted from the input, and unfreeze the others.

    Args:
        encoder: an encoder from `backbones`, whose `stages()` lists its parts from input to output.
        count: 0 freezes nothing; as many as there are stages freezes them all.

    Raises:
        ValueError: if there are fewer stages; the message says how many there are.
    """
    stages = encoder.stages()
    if not 0 <= count <= len(stages):
        raise ValueError(f"The encoder has {len(stages)} stages; cannot freeze {count} of them.")
    for number, stage in enumerate(stages):
        for module in stage:
            freeze(module) if number < count else unfreeze(module)
    return encoder


def gradual_unfreezing(encoder: nn.Module, *, epochs_per_stage: int = 1) -> Callable[[int], None]:
    """A schedule for `training.fit(on_epoch_start=...)` that unfreezes one more stage at a time, top first.

    Epoch 0 trains what lies above the encoder alone (Howard & Ruder, 2018, ULMFiT).

    Args:
        encoder: an encoder from `backbones`.
        epochs_per_stage: epochs between two stages, at least 1.
    """
    if epochs_per_stage < 1:
        raise ValueError(f"epochs_per_stage must be at least 1; got {epochs_per_stage}.")
    stages = len(encoder.stages())

    def on_epoch_start(epoch: int) -> None:
        freeze_stages(encoder, max(0, stages - epoch // epochs_per_stage))

    return on_epoch_start


def parameter_groups(
    classifier: Classifier,
    learning_rate: float,
    *,
    decay: float = 1.0,
    weight_decay: float = 0.0,
    head_learning_rate: float | None = None,
) -> list[dict[str, Any]]:
    r"""Parameter groups for an optimiser, with learning rates that shrink towards the input.

    The head has its own rate; the encoder's last stage has `learning_rate`, and the stage $k$ below it
    `learning_rate` $\cdot\,\text{decay}^k$. Vectors (biases, normalisation weights) get no weight decay.

    Args:
        classifier: an encoder with `stages()`, and a head.
        learning_rate: of the encoder's last stage.
        decay: factor from stage to stage, in (0, 1]; 1 is one rate for all.
        weight_decay: of matrices and larger tensors.
        head_learning_rate: of the head; by default `learning_rate`.

    Returns:
        Groups that hold every parameter of the classifier that needs a gradient exactly once.

    Raises:
        ValueError: if `decay` is out of range, or a parameter of the encoder belongs to no stage.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"decay must lie in (0, 1]; got {decay}.")
    stages = classifier.encoder.stages()
    blocks = [[p for module in stage for p in module.parameters()] for stage in stages]
    placed = {id(p) for block in blocks for p in block}
    lost = [name for name, p in classifier.encoder.named_parameters() if id(p) not in placed]
    if lost:
        raise ValueError(f"The encoder's stages leave out {len(lost)} parameters, such as {lost[0]}.")
    rates = [learning_rate * decay ** (len(stages) - 1 - k) for k in range(len(stages))]
    blocks.append(list(classifier.head.parameters()))
    rates.append(learning_rate if head_learning_rate is None else head_learning_rate)
    groups = []
    for block, rate in zip(blocks, rates, strict=True):
        trained = [p for p in block if p.requires_grad]
        for parameters, shrink in (
            ([p for p in trained if p.ndim > 1], weight_decay),
            ([p for p in trained if p.ndim <= 1], 0.0),
        ):
            if parameters:
                groups.append({"params": parameters, "lr": rate, "weight_decay": shrink})
    return groups


class _StayInEvaluation:
    """Forward pre-hook of a frozen module. A class, so that copies and pickles of the module keep it."""

    keeps_evaluation = True  # for `checkpoints`, which cannot import this module

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if module.training:
            module.eval()


