"""Reusing a pretrained network: embedding once, linear probes, freezing, parameter groups, unfreezing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transferbook import assets, runtime, training
from transferbook.backbones import Backbone


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


def linear_probe(
    features: Tensor, labels: Tensor, *, n_classes: int | None = None, C: float = 1.0
) -> nn.Linear:
    r"""Multinomial logistic regression on fixed features, run to convergence, as a torch layer.

    Minimises $C \sum_i \ell(W z_i + b, y_i) + \frac12 \lVert W \rVert^2$ over standardised features
    $z = (x - \mu) / \sigma$; the standardisation is folded into the layer, which takes raw features.
    The solver is scikit-learn's L-BFGS.

    Args:
        features: shape (N, D).
        labels: class indices, shape (N,), with at least two classes.
        n_classes: rows of the layer, if more than the largest label says; a class without examples gets a
            bias that rules it out.
        C: inverse strength of the L2 penalty.

    Returns:
        A linear layer with weight (C, D) in float32 that needs no gradient until it is asked to.

    Raises:
        ValueError: if the shapes do not fit, or there is only one class.
    """
    from sklearn.linear_model import LogisticRegression

    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"linear_probe needs features (N, D) and labels (N,); got {tuple(features.shape)} and "
            f"{tuple(labels.shape)}."
        )
    present = labels.unique()
    if len(present) < 2:
        raise ValueError("linear_probe needs examples of at least two classes.")
    rows = int(labels.max()) + 1 if n_classes is None else n_classes
    if rows <= int(labels.max()):
        raise ValueError(f"n_classes is {rows}, but there is a label {int(labels.max())}.")
    x = features.double().numpy()
    center, spread = x.mean(axis=0), x.std(axis=0)
    spread[spread == 0] = 1.0  # a constant feature stays at zero
    model = LogisticRegression(C=C, max_iter=2_000, tol=1e-6).fit((x - center) / spread, labels.numpy())
    weight, bias = model.coef_, model.intercept_
    if len(present) == 2:  # scikit-learn keeps one row for two classes: the difference of their logits
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / spread
    layer = nn.Linear(features.shape[1], rows).requires_grad_(False)
    layer.weight.zero_()
    layer.bias.fill_(-1e4)
    layer.weight[present] = torch.from_numpy(weight).float()
    layer.bias[present] = torch.from_numpy(bias - weight @ center).float()
    return layer


def ridge_to_source(
    features: Tensor | Any, labels: Tensor, source: nn.Linear, *, C: float = 1.0
) -> nn.Linear:
    r"""Multinomial logistic regression that is pulled towards a source layer, not towards zero (L2-SP).

    Minimises $C \sum_i \ell(W x_i + b, y_i) + \frac12 (\lVert W - W_S \rVert^2 + \lVert b - b_S \rVert^2)$ by
    L-BFGS in float64, from the source's weights. The loss is strictly convex, so the start changes nothing
    but the time; the source is in the penalty (Li et al., 2018).

    Args:
        features: shape (N, D), a tensor or a SciPy sparse matrix.
        labels: class indices, shape (N,).
        source: layer with weight (C, D) and a bias; it is not changed.
        C: inverse strength of the penalty; towards 0, the result is the source.

    Returns:
        A linear layer like the source that needs no gradient until it is asked to.

    Raises:
        ValueError: if the shapes do not fit, or a label has no row in the source.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    x = features.double().numpy() if isinstance(features, Tensor) else features
    if x.shape != (len(labels), source.in_features) or labels.max() >= source.out_features:
        raise ValueError(
            f"ridge_to_source needs features (N, {source.in_features}) and N labels below "
            f"{source.out_features}; got {tuple(x.shape)}, {tuple(labels.shape)} and {int(labels.max())}."
        )
    start = torch.cat([source.weight, source.bias[:, None]], dim=1).detach().double().cpu().numpy()
    rows, truth = np.arange(len(labels)), labels.numpy()

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(start.shape)
        log_p = log_softmax(x @ w[:, :-1].T + w[:, -1], axis=1)  # (N, C)
        error = np.exp(log_p)
        error[rows, truth] -= 1
        gradient = w - start
        value = 0.5 * np.sum(gradient**2) - C * log_p[rows, truth].sum()
        gradient[:, :-1] += C * (x.T @ error).T
        gradient[:, -1] += C * error.sum(axis=0)
        return float(value), gradient.ravel()

    options = {"maxiter": 5_000, "gtol": 1e-6, "ftol": 1e-14}
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    solution = torch.from_numpy(found.x.reshape(start.shape))
    layer = nn.Linear(source.in_features, source.out_features).requires_grad_(False)
    layer.weight.copy_(solution[:, :-1])
    layer.bias.copy_(solution[:, -1])
    return layer


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

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if module.training:
            module.eval()


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
