"""Linear classifiers of fixed features, solved to convergence: the probe, and ridge towards a source."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transferbook.evidence import rounding


def linear_probe(
    features: Tensor, labels: Tensor, *, n_classes: int | None = None, C: float = 1.0,
    standardise: bool = True,
) -> nn.Linear:  # fmt: skip
    r"""Multinomial logistic regression on fixed features, run to convergence, as a torch layer.

    Minimises $C \sum_i \ell(W z_i + b, y_i) + \frac12 \lVert W \rVert^2$ over standardised features
    $z = (x - \mu) / \sigma$, or with one $\sigma$ for all of them; that is folded into the layer, which takes
    raw features. A feature that is constant up to the rounding of its type has weight 0. The solver is
    scikit-learn's L-BFGS.

    Args:
        features: shape (N, D).
        labels: class indices, shape (N,), with at least two classes.
        n_classes: rows of the layer, if more than the largest label says; a class without examples gets a
            bias that rules it out.
        C: inverse strength of the L2 penalty.
        standardise: divide each feature by its own spread. False divides all by one number, the root of their
            mean variance: features that hardly vary among these examples stay small, and C means about the
            same as with True.

    Returns:
        A linear layer with weight (C, D) in float32 that needs no gradient until it is asked to.

    Raises:
        ValueError: if the shapes do not fit, a feature is not finite, or there is only one class.
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
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise ValueError(f"linear_probe needs finite features; {x[row, column]} is in row {row}.")
    center, spread = x.mean(axis=0), x.std(axis=0)
    constant = rounding.constant_columns(features).numpy()
    if not standardise:
        spread[:] = np.sqrt((spread[~constant] ** 2).sum() / max(1, (~constant).sum()))
    spread[constant] = np.inf  # it stays at zero, like its weight
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
