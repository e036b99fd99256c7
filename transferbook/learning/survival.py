r"""Survival: how long until an event, when the end was not seen for all.

Row i has features $x_i$, a time $t_i$ and $e_i$: 1 if the event came at that time, 0 if all that is known is
that it had not come by then (*censored*). Cox (1972) models the hazard as
$h(t \mid x) = h_0(t)\, e^{x^\top\beta}$. `statsmodels.duration.hazard_regression.PHReg` fits it without a
penalty; `fit` pulls the coefficients to others, say those of another hospital.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

STEPS = 50  # of Newton's method; a handful suffice
TOLERANCE = 1e-9


def fit(
    X: ArrayLike, time: ArrayLike, event: ArrayLike, *, strength: float = 0.0, centre: ArrayLike | None = None
) -> NDArray[np.float64]:
    r"""Coefficients that minimise $-\ell(\beta) + \frac{s}{2}\lVert\beta - \beta_0\rVert^2$.

    By Newton's method; $\ell$ is the log partial likelihood. Events at the same time count as Breslow's do.

    Args:
        X: features, shape (n, d).
        time: of the event, or until which none came, shape (n,).
        event: 1 where it came, 0 where not, shape (n,).
        strength: $s$, how strongly the coefficients are pulled.
        centre: $\beta_0$, where they are pulled to, shape (d,); zero without it.

    Returns:
        Shape (d,).

    Raises:
        ValueError: if the shapes do not fit, no event came, the strength is negative, or no coefficients are
            the best, as where a feature tells all events apart and there is no pull.
    """
    X, time, event = checked(X, time, event)
    centre = np.zeros(X.shape[1]) if centre is None else np.asarray(centre, dtype=np.float64)
    if centre.shape != X.shape[1:]:
        raise ValueError(f"centre has shape {centre.shape}, for features of shape {X.shape}.")
    if strength < 0:
        raise ValueError(f"strength is {strength}; a pull is 0 or more.")
    beta = centre.copy()
    loss, slope, curve = _penalised(beta, X, time, event, strength, centre)
    for _ in range(STEPS):
        step, share = np.linalg.lstsq(curve, slope, rcond=None)[0], 1.0
        found = _penalised(beta - step, X, time, event, strength, centre)
        while not found[0] <= loss + TOLERANCE and share > TOLERANCE:
            share /= 2
            found = _penalised(beta - share * step, X, time, event, strength, centre)
        beta = beta - share * step
        loss, slope, curve = found
        if abs(share * step).max() < TOLERANCE and np.linalg.eigvalsh(curve)[0] > TOLERANCE:
            return beta
    raise ValueError("no coefficients are the best; give a strength above 0.")


def log_likelihood(beta: ArrayLike, X: ArrayLike, time: ArrayLike, event: ArrayLike) -> float:
    r"""The log partial likelihood: how likely it is that the events came to those to whom they came.

    $\sum_{i:\,e_i=1} \bigl(x_i^\top\beta - \log\sum_{j:\,t_j \ge t_i} e^{x_j^\top\beta}\bigr)$

    Args:
        beta: coefficients, shape (d,).
        X: features, shape (n, d).
        time: shape (n,).
        event: shape (n,).

    Raises:
        ValueError: if the shapes do not fit or no event came.
    """
    X, time, event = checked(X, time, event)
    beta = np.asarray(beta, dtype=np.float64)
    return -_penalised(beta, X, time, event, 0.0, beta)[0]


def cumulative_hazard(
    score: ArrayLike, time: ArrayLike, event: ArrayLike, at: ArrayLike
) -> NDArray[np.float64]:
    r"""Breslow's cumulative baseline hazard, events at the time itself included (PHReg leaves these out).

    $H_0(t) = \sum_{i:\,e_i=1,\,t_i\le t} 1 / \sum_{j:\,t_j\ge t_i} e^{z_j}$. The risk of an event
    until t is then $1 - \exp(-H_0(t)\, e^{z})$.

    Args:
        score: $z = x^\top\beta$ of each row, shape (n,).
        time: shape (n,).
        event: shape (n,).
        at: the times to give it at, any shape.

    Returns:
        The shape of `at`.

    Raises:
        ValueError: if the shapes do not fit or no event came.
    """
    score, time, event = checked(score, time, event)
    order = np.argsort(time)
    at_risk = np.exp(score[order])[::-1].cumsum()[::-1]
    first = np.searchsorted(time[order], time[order])
    steps = np.where(event[order] == 1, 1 / at_risk[first], 0.0).cumsum()
    return np.append(0.0, steps)[np.searchsorted(time[order], at, side="right")]


def observed_risk(time: ArrayLike, event: ArrayLike, at: float) -> tuple[float, float]:
    """Share with an event until `at`, by Kaplan and Meier, and its standard error, by Greenwood.

    Args:
        time: shape (n,).
        event: shape (n,).
        at: a time at which somebody was still followed.

    Raises:
        ValueError: if the shapes do not fit, no event came, or nobody was followed so long.
    """
    _, time, event = checked(time, time, event)
    if time.max() < at:
        raise ValueError(f"nobody was followed until {at:g}; the longest time is {time.max():g}.")
    moments = np.unique(time[(event == 1) & (time <= at)])
    died = ((time == moments[:, None]) & (event == 1)).sum(axis=1)
    at_risk = (time >= moments[:, None]).sum(axis=1)
    without = float(np.prod(1 - died / at_risk))
    spread = float((died / (at_risk * np.maximum(at_risk - died, 1))).sum())
    return 1 - without, without * spread**0.5


def concordance(score: ArrayLike, time: ArrayLike, event: ArrayLike) -> float:
    """Of the pairs in which one is known to have had the event first, the share that the score orders so.

    Harrell's measure: 0.5 is guessing, 1 a perfect order; a tie of scores counts one half.

    Args:
        score: higher for an earlier event, shape (n,).
        time: shape (n,).
        event: shape (n,).

    Raises:
        ValueError: if the shapes do not fit, or there is no such pair.
    """
    score, time, event = checked(score, time, event)
    sooner = score[event == 1][:, None] - score
    known = time[event == 1][:, None] < time
    if not known.any():
        raise ValueError("no row had its event while another was still followed.")
    return float(((sooner > 0) + 0.5 * (sooner == 0))[known].mean())


def checked(
    X: ArrayLike, time: ArrayLike, event: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """The three as arrays of one length.

    Raises:
        ValueError: if the lengths differ, an event is neither 0 nor 1, or none came.
    """
    X, time, event = np.asarray(X, dtype=np.float64), np.asarray(time, dtype=np.float64), np.asarray(event)
    if time.ndim != 1 or X.shape[:1] != time.shape or event.shape != time.shape:
        raise ValueError(f"features {X.shape}, times {time.shape} and events {event.shape} do not fit.")
    if not np.isin(event, [0, 1]).all():
        raise ValueError("an event is 1 where it came and 0 where it did not.")
    if not event.any():
        raise ValueError(f"no event came in these {len(time)} rows; nothing can be said of when.")
    return X, time, event.astype(np.int64)


def _penalised(
    beta: NDArray, X: NDArray, time: NDArray, event: NDArray, strength: float, centre: NDArray
) -> tuple[float, NDArray, NDArray]:
    """What `fit` minimises, its gradient and its second derivatives."""
    order = np.argsort(-time)
    X, time, event = X[order], time[order], event[order]
    last = np.searchsorted(-time, -time, side="right") - 1  # of those at risk with each row
    score = X @ beta
    weight = np.exp(score - score.max())
    total = weight.cumsum()[last]
    mean = (weight[:, None] * X).cumsum(axis=0)[last] / total[:, None]
    square = (weight[:, None, None] * X[:, :, None] * X[:, None, :]).cumsum(axis=0)[last]
    came = event == 1
    away = beta - centre
    loss = -(score - score.max() - np.log(total))[came].sum() + strength / 2 * away @ away
    slope = -(X - mean)[came].sum(axis=0) + strength * away
    spread = square / total[:, None, None] - mean[:, :, None] * mean[:, None, :]
    return float(loss), slope, spread[came].sum(axis=0) + strength * np.eye(len(beta))
