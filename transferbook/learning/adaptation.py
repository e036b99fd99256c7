"""Domain adaptation: losses and repairs that use the target's inputs, and not its labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transferbook import runtime
from transferbook.learning.distances import (
    FACTORS,
    Adversary,
    coral_loss,
    coral_transform,
    mmd,
    reverse_gradient,
)
from transferbook.learning.shift import (
    class_ratios,
    effective_sample_size,
    importance_weights,
    mean_entropy,
    proxy_a_distance,
)
from transferbook.learning.transfer import Classifier

__all__ = ["FACTORS", "UNLABELLED", "Adversary", "Joint", "JointBatches", "adapt_batchnorm", "class_ratios"]
__all__ += ["coral_loss", "coral_transform", "effective_sample_size", "importance_weights", "mean_entropy"]
__all__ += ["mmd", "proxy_a_distance", "reverse_gradient"]

UNLABELLED = -1  # the label of an example that has none

Distance = Callable[[Tensor, Tensor], Tensor]


class Joint(nn.Module):
    r"""A classifier on its way to a target domain: cross-entropy on the source, plus a distance of features.

    $\mathcal{L} = \frac1n \sum_i \ell(f(x_i), y_i) + \lambda_t\, \mathrm{dist}(g(X_S), g(X_T))$ with
    $f = \text{head} \circ g$; for an `Adversary`, $\lambda_t$ is the strength of the reversal instead. Train
    with `training.fit(joint, JointBatches(...), loss=joint.loss, on_epoch_start=joint.ramp(epochs), ...)`;
    the classifier is what predicts afterwards.

    Args:
        classifier: shared by both domains, and trained in place.
        distance: `coral_loss`, `mmd`, or an `Adversary`, whose parameters then are the model's too.
        weight: $\lambda$, reached at the end of the ramp.
    """

    def __init__(self, classifier: Classifier, distance: Distance | Adversary, weight: float) -> None:
        super().__init__()
        if not weight >= 0:
            raise ValueError(f"the weight of a distance must be 0 or more; got {weight}.")
        self.classifier = classifier
        self.distance = distance
        self.weight = weight
        self.strength = weight

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, C) and features (B, D) of source and target examples in one batch."""
        features = self.classifier.encoder(inputs)
        return self.classifier.head(features), features

    def loss(self, outputs: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        """The mean loss of a batch; labels are `UNLABELLED` for target examples."""
        logits, features = outputs
        known = labels != UNLABELLED
        source, target = features[known], features[~known]
        error = F.cross_entropy(logits[known], labels[known])
        if isinstance(self.distance, Adversary):
            return error + self.distance(source, target, self.strength)
        return error + self.strength * self.distance(source, target)

    def ramp(self, epochs: int) -> Callable[[int], None]:
        r"""A schedule for `training.fit(on_epoch_start=)`: $\lambda_t = \lambda (2 / (1 + e^{-10 p}) - 1)$.

        p is the share of the epochs that are done (Ganin et al., 2016), so the first epoch has weight 0.
        """

        def on_epoch_start(epoch: int) -> None:
            self.strength = self.weight * math.tanh(5 * epoch / epochs)  # the same function

        return on_epoch_start


class JointBatches:
    """Batches of as many labelled source as unlabelled target examples, for `training.fit`.

    An epoch goes through the source once, and through the target in its own shuffled order, starting afresh
    as often as needed.

    Args:
        inputs: of the source, shape (n, ...).
        labels: of the source, shape (n,).
        target: inputs of the target, shape (m, ...).
        batch_size: examples of each domain in a batch; an incomplete batch is left out.
        seed: of the order.
        weights: for each source example, shape (n,): it is then drawn with a probability in this proportion,
            with replacement.

    Raises:
        ValueError: if the shapes do not fit, or there is not one whole batch of each domain.
    """

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        target: Tensor,
        *,
        batch_size: int = 64,
        seed: int = 0,
        weights: Tensor | None = None,
    ) -> None:
        if inputs.shape[1:] != target.shape[1:] or labels.shape != inputs.shape[:1]:
            raise ValueError(
                f"source and target inputs must have one shape, and labels the source's length; got "
                f"{tuple(inputs.shape)}, {tuple(target.shape)} and {tuple(labels.shape)}."
            )
        if not 1 <= batch_size <= min(len(inputs), len(target)):
            raise ValueError(f"no batch of {batch_size} from {len(inputs)} and {len(target)} examples.")
        if weights is not None and (weights.shape != labels.shape or weights.min() < 0 or weights.sum() <= 0):
            raise ValueError(f"need {len(labels)} weights >= 0, not all 0; got {tuple(weights.shape)}.")
        device = runtime.device()
        self.inputs, self.labels, self.target = inputs.to(device), labels.to(device), target.to(device)
        self.batch_size, self.weights = batch_size, weights
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.inputs) // self.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs (2B, ...), the source first, and labels (2B,), the second half `UNLABELLED`."""
        count = len(self) * self.batch_size
        if self.weights is None:
            order = self._shuffled(len(self.inputs))
        else:
            order = torch.multinomial(self.weights.double(), count, True, generator=self.generator)
        rounds = -(-count // len(self.target))
        other = torch.cat([self._shuffled(len(self.target)) for _ in range(rounds)])
        unknown = torch.full((self.batch_size,), UNLABELLED, device=self.labels.device)
        for start in range(0, count, self.batch_size):
            rows, columns = (part[start : start + self.batch_size] for part in (order, other))
            both = torch.cat([self.inputs[rows], self.target[columns]])
            yield both, torch.cat([self.labels[rows], unknown])

    def _shuffled(self, count: int) -> Tensor:
        return torch.randperm(count, generator=self.generator)


def adapt_batchnorm(model: nn.Module, inputs: Tensor, *, batch_size: int = 1_024) -> nn.Module:
    """Replace every BatchNorm's running statistics by those of unlabelled inputs (AdaBN; Li et al., 2017).

    Nothing else changes: no weight, no mode, no other layer's behaviour.

    Args:
        model: changed in place.
        inputs: of the target, shape (m, ...), m >= 2.
        batch_size: examples that are averaged at a time; the batches count the same.

    Returns:
        The same model.

    Raises:
        ValueError: if the model has no BatchNorm, or there are fewer than two inputs.
    """
    layers = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    if not layers or len(inputs) < 2:
        raise ValueError(f"need BatchNorm layers and two inputs; got {len(layers)} and {len(inputs)}.")
    modes = [(part, part.training) for part in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
        layer.train()
    parts = max(1, round(len(inputs) / batch_size))
    device = next(model.parameters()).device
    with torch.no_grad():
        for batch in inputs.chunk(parts):
            model(batch.to(device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    for part, mode in modes:
        part.training = mode
    return model


