"""Scores that guess, without training it, how well a pretrained network would do on a labelled target.

Each score takes what a candidate makes of the same n labelled target examples, and higher is better. `nce`
and `leep` need the candidate's source head, `h_score` and `logme` its features. All are computed in float64.
`probe_score` is what they compete with: just train the linear probe, and cross-validate it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from transferbook.evidence import rounding
from transferbook.learning import transfer

STARTS = 73  # ratios of the two precisions that LogME tries before it climbs: four a decade
Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]


def nce(source_labels: Tensor | ArrayLike, labels: Tensor | ArrayLike) -> float:
    r"""Negative conditional entropy of the target labels given source labels (Tran et al., 2019).

    $-H(Y \mid Z) = \frac1n \sum_i \log \hat P(y_i \mid z_i)$ with $\hat P$ counted on the same n pairs.

    Args:
        source_labels: the source class $z_i$ that the candidate gives each target example, shape (N,).
        labels: target classes, shape (N,), at least two of them.

    Returns:
        From $-H(Y)$, if the two are independent, to 0, if each source class holds one target class only.

    Raises:
        ValueError: if the shapes differ or there are fewer than two classes.
    """
    y, counts = _classes(labels)
    z = np.asarray(source_labels)
    if z.shape != y.shape:
        raise ValueError(f"nce needs a source label for each label; got shapes {z.shape} and {y.shape}.")
    z = np.unique(z, return_inverse=True)[1]
    joint = np.zeros((z.max() + 1, len(counts)))
    np.add.at(joint, (z, y), 1.0)  # (Z, C): how often each pair occurs
    return float(np.log(joint[z, y] / joint.sum(axis=1)[z]).mean())


def leep(source_probabilities: Tensor | ArrayLike, labels: Tensor | ArrayLike) -> float:
    r"""Log expected empirical prediction (Nguyen et al., 2020).

    $\frac1n \sum_i \log \sum_z \hat P(y_i \mid z)\, \theta(x_i)_z$, where $\theta(x)_z$ is the probability
    that the candidate gives source class z, and $\hat P(y \mid z) = \hat P(y, z) / \hat P(z)$ with
    $\hat P(y, z) = \frac1n \sum_{i: y_i = y} \theta(x_i)_z$. Certain probabilities (0 and 1) make it `nce`.

    Args:
        source_probabilities: one distribution over the Z source classes in each row, shape (N, Z).
        labels: target classes, shape (N,), at least two of them.

    Returns:
        A mean log-likelihood, at most 0.

    Raises:
        ValueError: if the shapes do not fit, a row is no distribution or there are fewer than two classes.
    """
    y, counts = _classes(labels)
    theta = _matrix("source_probabilities", source_probabilities, len(y))
    if theta.min() < 0 or np.abs(theta.sum(axis=1) - 1).max() > 1e-4:
        raise ValueError("a row of source_probabilities is negative or does not sum to 1; apply a softmax.")
    joint = _one_hot(y, len(counts)).T @ theta / len(y)  # (C, Z)
    total = joint.sum(axis=0)  # (Z,)
    conditional = joint / np.where(total > 0, total, 1.0)
    return float(np.log((conditional[y] * theta).sum(axis=1)).mean())


def h_score(
    features: Tensor | ArrayLike, labels: Tensor | ArrayLike, *, shrinkage: float | None = None
) -> float:
    r"""How much of the features' variance lies between the classes (Bao et al., 2019), shrunk.

    $\operatorname{tr}(\Sigma_a^{-1} (1 - a) \Sigma_B)$ with the covariance $\Sigma_B$ of the class means and
    $\Sigma_a = (1 - a) \Sigma + a \bar s I$, where $\Sigma$ is the covariance of the features and $\bar s$
    the mean of its diagonal (Ibrahim et al., 2022). Covariances divide by N. With $a = 0$ this is the
    original H-score, which takes the pseudo-inverse: it is C - 1, whatever the labels, once the centred
    features have rank N - 1.

    Args:
        features: shape (N, D); those that are constant up to the rounding of their type do not count.
        labels: target classes, shape (N,), at least two of them.
        shrinkage: a, in [0, 1]; by default Ledoit and Wolf's choice, as in scikit-learn.

    Returns:
        From 0, if all class means agree, to C - 1.

    Raises:
        ValueError: if the shapes do not fit, all examples have the same features, there are fewer than two
            classes, or the shrinkage is out of range.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    y, counts = _classes(labels)
    x = _matrix("features", features, len(y))
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage must lie in [0, 1]; got {shrinkage}.")
    x = np.where(rounding.constant_columns(features).cpu().numpy(), 0.0, x - x.mean(axis=0))
    _, s, directions = _svd(x)
    a = float(ledoit_wolf_shrinkage(x)) if shrinkage is None else shrinkage
    variances = s**2 / len(y)  # (R,), of the directions in which the features vary at all
    means = (_one_hot(y, len(counts)).T @ x) / counts[:, None]  # (C, D)
    between = (counts / len(y)) @ (means @ directions.T) ** 2  # (R,)
    shrunk = (1 - a) * variances + a * variances.sum() / x.shape[1]
    return float(((1 - a) * between / shrunk).sum())


def logme(
    features: Tensor | ArrayLike,
    labels: Tensor | ArrayLike,
    *,
    tolerance: float = 1e-9,
    max_iterations: int = 1_000,
) -> float:
    r"""Logarithm of maximum evidence: how probable the features make the labels (You et al., 2021).

    For each class, a Bayesian linear model of the targets $y_i \in \{0, 1\}$ (this class or not) with
    $w \sim N(0, \alpha^{-1} I)$ and $y \mid w \sim N(Fw, \beta^{-1} I)$ has the evidence

    $\log p(y) = \frac{n}{2} \log \beta + \frac{D}{2} \log \alpha - \frac{n}{2} \log 2\pi
    - \frac{\beta}{2} \lVert Fm - y \rVert^2 - \frac{\alpha}{2} \lVert m \rVert^2 - \frac12 \log |A|$,

    $A = \alpha I + \beta F^\top F$, $m = \beta A^{-1} F^\top y$. It is maximised over both precisions by
    MacKay's fixed point, from the best of many starts: $\alpha = \gamma / \lVert m \rVert^2$ and
    $\beta = (n - \gamma) / \lVert Fm - y \rVert^2$; $\gamma = \sum_i \beta s_i^2 / (\alpha + \beta s_i^2)$
    counts the directions that the data decide ($s_i$: singular values of F). There is no bias, as in the
    paper.

    Args:
        features: F, shape (N, D).
        labels: target classes, shape (N,), at least two of them.
        tolerance: stop when no class's evidence per example changes by more.
        max_iterations: of the fixed point; where the best ratio is 0 or infinite, the evidence converges.

    Returns:
        The evidence per example, averaged over the classes that occur.

    Raises:
        ValueError: if the shapes do not fit, there are fewer than two classes or all features are 0.
    """
    y, counts = _classes(labels)
    x = _matrix("features", features, len(y))
    n = len(y)
    targets = _one_hot(y, len(counts))  # (N, C)
    left, s, _ = _svd(x)
    squares = (s**2)[:, None]  # (R, 1)
    along = (left.T @ targets) ** 2  # (R, C): squared coordinates of the targets
    beyond = np.maximum((targets**2).sum(axis=0) - along.sum(axis=0), 0.0)  # (C,): what no w can fit

    def evidence(ratio: Matrix) -> Matrix:
        """Of each class, (C,), at its alpha / beta and the best beta for it: n / misfit."""
        misfit = beyond + (ratio / (squares + ratio) * along).sum(axis=0)  # |Fm - y|^2 + ratio |m|^2
        volume = np.log1p(squares / ratio).sum(axis=0)  # log |A| - D log alpha
        return (n * np.log(n / (2 * np.pi * misfit)) - n - volume) / 2

    # There can be two maxima; the fixed point climbs the one that begins highest.
    grid = float(squares.max()) * np.logspace(-12, 6, STARTS)[:, None] * np.ones(len(counts))  # (G, C)
    found = np.stack([evidence(start) for start in grid])  # (G, C)
    ratio = grid[found.argmax(axis=0), np.arange(len(counts))]  # (C,)
    best = evidence(ratio)
    for _ in range(max_iterations):
        kept = squares / (squares + ratio)  # (R, C)
        fitted = (kept**2 * along / squares).sum(axis=0)  # |m|^2
        residual = beyond + ((1 - kept) ** 2 * along).sum(axis=0)  # |Fm - y|^2
        gamma = kept.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = gamma / fitted * residual / (n - gamma)
        ratio = np.clip(np.nan_to_num(ratio, nan=np.inf), grid[0], grid[-1])
        before, best = best, evidence(ratio)
        if np.all(np.abs(best - before) <= tolerance * n):
            break
    return float(best.mean() / n)


def probe_score(features: Tensor, labels: Tensor, *, C: float = 0.1, folds: int = 5, seed: int = 0) -> float:
    """Cross-validated accuracy of a linear probe (`transfer.linear_probe`), stratified by class.

    Args:
        features: shape (N, D).
        labels: target classes, shape (N,), with at least two examples of each.
        C: inverse strength of the probe's penalty.
        folds: parts that are held out in turn.
        seed: of the parts.

    Returns:
        The share of examples that the probe trained on the other parts gets right.

    Raises:
        ValueError: if the shapes do not fit or a class has fewer examples than there are parts.
    """
    from sklearn.model_selection import StratifiedKFold

    y, counts = _classes(labels)
    _matrix("features", features, len(y))
    if folds < 2 or counts.min() < folds:
        raise ValueError(f"probe_score needs folds >= 2 and so many a class; got {folds}, {counts.min()}.")
    right = 0
    target = torch.from_numpy(y)
    for train, held_out in StratifiedKFold(folds, shuffle=True, random_state=seed).split(y, y):
        probe = transfer.linear_probe(features[train], target[train], n_classes=len(counts), C=C)
        right += int((probe(features[held_out].float()).argmax(dim=1) == target[held_out]).sum())
    return right / len(y)


def _classes(labels: Tensor | ArrayLike) -> tuple[Labels, Labels]:
    """Labels counted from 0 among the classes that occur, shape (N,), and how often each does, (C,)."""
    values = np.asarray(labels)
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"labels must be integers of shape (N,); got {values.dtype} of {values.shape}.")
    classes, y, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"the labels hold {len(classes)} class; a score needs at least two.")
    return y, counts


def _matrix(name: str, values: Tensor | ArrayLike, rows: int) -> Matrix:
    """`values` as float64 of shape (rows, anything), checked."""
    matrix = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) != rows:
        raise ValueError(f"{name} must have shape ({rows}, width) to fit the labels; got {matrix.shape}.")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} hold values that are not finite.")
    return matrix


def _one_hot(y: Labels, classes: int) -> Matrix:
    return np.eye(classes)[y]


def _svd(x: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """The R singular values that are not 0 to rounding, with their vectors: (N, R), (R,), (R, D)."""
    left, s, right = np.linalg.svd(x, full_matrices=False)
    seen = s > max(x.shape) * np.finfo(np.float64).eps * s[0]
    if not seen.any():
        raise ValueError("all examples have the same features, or all features are 0: nothing to score.")
    return left[:, seen], s[seen], right[seen]
