"""How far two domains are apart, and what unlabelled target inputs tell: proportions, weights, entropy."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from transferbook.evidence import rounding
from transferbook.learning.distances import check_samples


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

    check_samples(source_logits, target_logits, rows=1)
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
    standardised, and those that are constant up to rounding do not count.

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

    check_samples(source, target, rows=2)
    check_samples(source, at, rows=1)
    both = torch.cat([source, target]).detach().cpu()
    center, spread = _standard(both)
    domain = np.repeat([0, 1], [len(source), len(target)])
    x, elsewhere = (((part.double() - center) / spread).numpy() for part in (both, at.detach().cpu()))
    classifier = LogisticRegression(C=C, max_iter=2_000).fit(x, domain)
    log_ratio = torch.from_numpy(classifier.decision_function(elsewhere))
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
    cut to the size of the smaller, features are standardised (those that are constant up to rounding do not
    count), each half judges the classifier of the other.

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

    check_samples(source, target, rows=4)
    generator = torch.Generator().manual_seed(seed)
    size = min(len(source), len(target))
    samples = [
        part[torch.randperm(len(part), generator=generator)[:size].to(part.device)]
        for part in (source, target)
    ]
    halves = [torch.cat([part[start::2] for part in samples]).detach().cpu() for start in (0, 1)]
    domains = [np.repeat([0, 1], len(half) // 2) for half in halves]
    wrong = 0
    for train, held_out in ((0, 1), (1, 0)):
        center, spread = _standard(halves[train])
        parts = (halves[train], halves[held_out])
        x, unseen = (((half.double() - center) / spread).numpy() for half in parts)
        classifier = LogisticRegression(C=C, max_iter=2_000).fit(x, domains[train])
        wrong += int((classifier.predict(unseen) != domains[held_out]).sum())
    return 2 * (1 - 2 * wrong / (2 * size))


def _standard(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of each feature, (d,) in float64; what is constant has an infinite spread: it counts 0.

    The spread is larger than the standard deviation by 1e-8 or, where that is much, a ten-thousandth.
    """
    values = features.double()
    spread = values.std(dim=0)
    spread = spread + (spread / 10_000).clamp(max=1e-8)
    spread[rounding.constant_columns(features)] = torch.inf
    return values.mean(dim=0), spread
