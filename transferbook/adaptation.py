"""Domain adaptation: losses and repairs that use the target's inputs, and not its labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transferbook import runtime
from transferbook.transfer import Classifier

UNLABELLED = -1  # the label of an example that has none
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the median squared distance: the squared bandwidths of `mmd`

Distance = Callable[[Tensor, Tensor], Tensor]


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    r"""Squared distance between the covariances of two feature batches (Sun & Saenko, 2016).

    $\ell = \frac{1}{4d^2}\lVert C_S - C_T\rVert_F^2$ with unbiased covariances $C$.

    Args:
        source: features of labelled source examples, shape (n, d), n >= 2.
        target: features of unlabelled target examples, shape (m, d), m >= 2.

    Returns:
        A scalar, differentiable in both arguments; 0 if the covariances agree.

    Raises:
        ValueError: if the widths differ or a batch has fewer than two rows; the message gives both shapes.
    """
    _check(source, target, rows=2)
    difference = _covariance(source) - _covariance(target)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def coral_transform(source: Tensor, target: Tensor, ridge: float = 1.0) -> Tensor:
    r"""Source features with the target's covariance: whitened, then coloured (Sun, Feng & Saenko, 2016).

    $x \mapsto (C_S + rI)^{-1/2} (C_T + rI)^{1/2} (x - \mu_S) + \mu_T$ with symmetric roots, row by row. The
    original leaves the means alone and expects centred features; here the means are moved as well.

    Args:
        source: features, shape (n, d), n >= 2.
        target: features, shape (m, d), m >= 2.
        ridge: r > 0, added to both covariances; the result has mean $\mu_T$, and covariance $C_T$ as r goes
            to 0 if $C_S$ is not singular.

    Returns:
        Shape (n, d), of the type of `source`.

    Raises:
        ValueError: as `coral_loss`, or if `ridge` is not positive.
    """
    _check(source, target, rows=2)
    if not ridge > 0:
        raise ValueError(f"ridge must be positive; got {ridge}.")
    start, end = source.detach().double(), target.detach().double()
    identity = torch.eye(source.shape[1], dtype=torch.float64, device=source.device)
    whiten = _symmetric_power(_covariance(start) + ridge * identity, -0.5)
    colour = _symmetric_power(_covariance(end) + ridge * identity, 0.5)
    return ((start - start.mean(dim=0)) @ whiten @ colour + end.mean(dim=0)).to(source.dtype)


def mmd(source: Tensor, target: Tensor, bandwidths: Sequence[float] | None = None) -> Tensor:
    r"""Squared maximum mean discrepancy, the unbiased estimate (Gretton et al., 2012, lemma 6).

    $\frac{1}{n(n-1)} \sum_{i \ne j} k(s_i, s_j) + \frac{1}{m(m-1)} \sum_{i \ne j} k(t_i, t_j) -
    \frac{2}{nm} \sum_{i,j} k(s_i, t_j)$, where k is the mean of the kernels $e^{-\lVert x-y\rVert^2 / 2b}$
    over the squared bandwidths b.

    Args:
        source: features, shape (n, d), n >= 2.
        target: features, shape (m, d), m >= 2.
        bandwidths: squared, all positive; by default `FACTORS` times the median squared distance of the
            pooled batch, through which no gradient flows.

    Returns:
        A scalar, differentiable in both arguments; below 0 in about half of all cases if the distributions
        agree.

    Raises:
        ValueError: as `coral_loss`, or if a bandwidth is not positive.
    """
    _check(source, target, rows=2)
    pooled = torch.cat([source, target])
    squares = (pooled * pooled).sum(dim=1)
    distances = (squares[:, None] + squares - 2 * pooled @ pooled.T).clamp(min=0)  # squared, (n + m, n + m)
    if bandwidths is None:
        apart = ~torch.eye(len(pooled), dtype=torch.bool, device=pooled.device)
        median = distances.detach()[apart].median().clamp(min=1e-12)
        widths = [factor * median for factor in FACTORS]
    elif len(bandwidths) and min(bandwidths) > 0:
        widths = list(bandwidths)
    else:
        raise ValueError(f"the squared bandwidths must be positive, and one at least; got {bandwidths}.")
    kernel = torch.stack([torch.exp(-distances / (2 * width)) for width in widths]).mean(dim=0)
    n, m = len(source), len(target)
    within_source = kernel[:n, :n].sum() - kernel[:n, :n].diagonal().sum()
    within_target = kernel[n:, n:].sum() - kernel[n:, n:].diagonal().sum()
    return within_source / (n * (n - 1)) + within_target / (m * (m - 1)) - 2 * kernel[:n, n:].mean()


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    r"""The input itself on the way forward, $-\lambda$ times the gradient on the way back (Ganin, 2016).

    Args:
        x: any shape.
        strength: $\lambda$.
    """
    return _Reversal.apply(x, strength)


class Adversary(nn.Module):
    """A domain classifier, which learns to tell the domains apart while the encoder learns to fool it.

    Args:
        width: d of the features.
        hidden: width of its one hidden layer.
    """

    def __init__(self, width: int, hidden: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, source: Tensor, target: Tensor, strength: float = 1.0) -> Tensor:
        r"""Its cross-entropy, source and target weighing the same, behind a gradient reversal.

        Args:
            source: features, shape (n, d).
            target: features, shape (m, d).
            strength: $\lambda$ of the reversal: 0 trains the adversary alone.

        Returns:
            A scalar: log 2 if it guesses, 0 if it is always right and sure.
        """
        _check(source, target, rows=1)
        of_source = self.layers(reverse_gradient(source, strength))
        of_target = self.layers(reverse_gradient(target, strength))
        return (F.softplus(of_source).mean() + F.softplus(-of_target).mean()) / 2


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


def class_ratios(source_logits: Tensor, source_labels: Tensor, target_logits: Tensor) -> Tensor:
    r"""How much more frequent each class is in the target, $w_y = p_T(y) / p_S(y)$ (Lipton et al., 2018).

    Black-box shift estimation with probabilities in the place of predictions: if only the class proportions
    differ, $\mathbb{E}_T[\hat p] = \sum_y w_y\, \mathbb{E}_S[\hat p\, 1_y]$. Solved by least squares with
    $w \ge 0$.

    Args:
        source_logits: on labelled source examples that were not trained on, shape (n, C).
        source_labels: shape (n,); every class must occur.
        target_logits: shape (m, C).

    Returns:
        w, shape (C,), float64, with $\sum_y p_S(y)\, w_y = 1$.

    Raises:
        ValueError: if the shapes do not fit, or a class has no source example.
    """
    from scipy.optimize import nnls

    _check(source_logits, target_logits, rows=1)
    classes = source_logits.shape[1]
    if source_labels.shape != source_logits.shape[:1] or len(source_labels.unique()) < classes:
        raise ValueError(
            f"need {len(source_logits)} source labels with all {classes} classes among them; got "
            f"{tuple(source_labels.shape)} labels of {len(source_labels.unique())} classes."
        )
    truth = F.one_hot(source_labels, classes).double()  # (n, C)
    joint = source_logits.double().softmax(dim=1).T @ truth / len(truth)  # (C, C): predicted, true
    predicted = target_logits.double().softmax(dim=1).mean(dim=0)
    ratios = torch.from_numpy(nnls(joint.numpy(), predicted.numpy())[0])
    return ratios / (truth.mean(dim=0) @ ratios)


def mean_entropy(logits: Tensor) -> float:
    r"""Mean entropy of the predictions, $-\frac1n \sum_i \sum_c p_{ic} \log p_{ic}$, in nats.

    Args:
        logits: shape (N, C).
    """
    log_p = logits.double().log_softmax(dim=1)
    return float(-(log_p.exp() * log_p).sum(dim=1).mean())


def importance_weights(source: Tensor, target: Tensor, at: Tensor, *, C: float = 1.0) -> Tensor:
    r"""Density ratio $p_T(x) / p_S(x)$, from a logistic classifier of the two domains (Bickel et al., 2007).

    $\frac{n}{m} \cdot \frac{P(T \mid x)}{P(S \mid x)}$, scaled to a mean of 1 over `at`; features are
    standardised.

    Args:
        source: features that train the classifier, shape (n, d).
        target: likewise, shape (m, d).
        at: source features at which the ratio is wanted, shape (k, d).
        C: inverse strength of the classifier's penalty.

    Returns:
        Shape (k,), float64, with mean 1.

    Raises:
        ValueError: if the widths differ, or a sample has fewer than two rows.
    """
    from sklearn.linear_model import LogisticRegression

    _check(source, target, rows=2)
    _check(source, at, rows=1)
    both = torch.cat([source, target]).double()
    center, spread = both.mean(dim=0), both.std(dim=0) + 1e-8
    domain = np.repeat([0, 1], [len(source), len(target)])
    classifier = LogisticRegression(C=C, max_iter=2_000).fit(((both - center) / spread).numpy(), domain)
    log_ratio = torch.from_numpy(classifier.decision_function(((at.double() - center) / spread).numpy()))
    return log_ratio.softmax(dim=0) * len(at)  # n / m and all other factors cancel


def effective_sample_size(weights: Tensor) -> float:
    r"""$(\sum_i w_i)^2 / \sum_i w_i^2$: how many equal weights would vary as little as these (Kish, 1965).

    Args:
        weights: shape (n,), 0 or more, not all 0.

    Returns:
        From 1, if one example has all the weight, to n.
    """
    weights = weights.double()
    if weights.ndim != 1 or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(f"need weights of 0 or more, not all 0, shape (n,); got {tuple(weights.shape)}.")
    return float(weights.sum() ** 2 / weights.square().sum())


def proxy_a_distance(source: Tensor, target: Tensor, *, C: float = 1.0, seed: int = 0) -> float:
    r"""How well a linear classifier tells two samples apart: $2(1 - 2\varepsilon)$ (Ben-David et al., 2007).

    $\varepsilon$ is the error of logistic regression on examples that it has not seen: the larger sample is
    cut to the size of the smaller, features are standardised, each half judges the classifier of the other.

    Args:
        source: features, shape (n, d), n >= 4.
        target: features, shape (m, d), m >= 4.
        C: inverse strength of the classifier's penalty.
        seed: of the choice of rows and halves.

    Returns:
        2 if the classifier never errs, about 0 if it guesses; below 0 only by chance.

    Raises:
        ValueError: if the widths differ or a sample has fewer than four rows; the message gives both shapes.
    """
    from sklearn.linear_model import LogisticRegression

    _check(source, target, rows=4)
    generator = torch.Generator().manual_seed(seed)
    size = min(len(source), len(target))
    samples = [
        part[torch.randperm(len(part), generator=generator)[:size].to(part.device)]
        for part in (source, target)
    ]
    halves = [torch.cat([part[start::2] for part in samples]).detach().double().cpu() for start in (0, 1)]
    domains = [np.repeat([0, 1], len(half) // 2) for half in halves]
    wrong = 0
    for train, held_out in ((0, 1), (1, 0)):
        center, spread = halves[train].mean(dim=0), halves[train].std(dim=0) + 1e-8
        x, unseen = (((half - center) / spread).numpy() for half in (halves[train], halves[held_out]))
        classifier = LogisticRegression(C=C, max_iter=2_000).fit(x, domains[train])
        wrong += int((classifier.predict(unseen) != domains[held_out]).sum())
    return 2 * (1 - 2 * wrong / (2 * size))


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, x: Tensor, strength: float) -> Tensor:
        context.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        return -context.strength * gradient, None


def _covariance(features: Tensor) -> Tensor:
    centred = features - features.mean(dim=0)
    return centred.T @ centred / (len(features) - 1)


def _symmetric_power(matrix: Tensor, power: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values**power) @ vectors.T


def _check(source: Tensor, target: Tensor, rows: int) -> None:
    if (
        source.ndim != 2
        or target.ndim != 2
        or source.shape[1] != target.shape[1]
        or min(len(source), len(target)) < rows
    ):
        raise ValueError(
            f"need source (n, d) and target (m, d) of one width d and at least {rows} rows each, got "
            f"{tuple(source.shape)} and {tuple(target.shape)}."
        )
