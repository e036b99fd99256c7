"""Scaling laws: the loss as a function of size and data, and the best size for a budget of operations."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

STEPS = 16  # exponents that are tried first, for size and for data each
EXPONENTS = (0.01, 3.0)


@dataclass(frozen=True)
class Surface:
    r"""The loss $L(N, D) = E + A N^{-\alpha} + B D^{-\beta}$ of a network of N parameters after D tokens.

    Attributes:
        floor: E, what no size and no data take away.
        size_factor: A.
        size_exponent: alpha.
        data_factor: B.
        data_exponent: beta.

    Raises:
        ValueError: if a factor or an exponent is not positive, or the floor is negative.

    Source: Hoffmann et al. (2022), Training compute-optimal large language models.
    """

    floor: float
    size_factor: float
    size_exponent: float
    data_factor: float
    data_exponent: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, astuple(self))) or self.floor < 0 or min(astuple(self)[1:]) <= 0:
            raise ValueError(f"Factors and exponents must be positive, the floor at least 0; got {self}.")

    def __call__(self, sizes: ArrayLike, data: ArrayLike) -> NDArray[np.float64]:
        """The loss for sizes and data that broadcast."""
        n, d = np.asarray(sizes, dtype=float), np.asarray(data, dtype=float)
        small = self.size_factor * n**-self.size_exponent
        return self.floor + small + self.data_factor * d**-self.data_exponent

    @property
    def budget_exponent(self) -> float:
        r"""$\beta / (\alpha + \beta)$: the best size grows like this power of the budget."""
        return self.data_exponent / (self.size_exponent + self.data_exponent)

    def best_size(self, budget: ArrayLike) -> NDArray[np.float64]:
        r"""The size of least loss where size and data are bound by the budget, $6 N D = C$.

        $N^* = \left(\frac{\alpha A}{\beta B}\right)^{1/(\alpha+\beta)} (C/6)^{\beta/(\alpha+\beta)}$
        """
        total = self.size_exponent + self.data_exponent
        ratio = self.size_exponent * self.size_factor / (self.data_exponent * self.data_factor)
        return ratio ** (1 / total) * (np.asarray(budget, dtype=float) / 6) ** self.budget_exponent


def fit(sizes: ArrayLike, data: ArrayLike, losses: ArrayLike) -> Surface:
    r"""The surface of least squared error.

    For given exponents the loss is linear in E, A and B, so that these are solved for; the exponents are
    searched, from the best pair of a grid on. Nothing is random, and there is no start to choose.

    Args:
        sizes: N of each run, shape (n,), at least two different ones.
        data: D of each run, shape (n,), at least two different ones.
        losses: shape (n,), n at least 5.

    Raises:
        ValueError: if shapes differ, a value is not finite, a size or an amount of data is not positive,
            there are too few runs, or no surface falls in both size and data.

    Source: Czech et al. (2026), Problems with Chinchilla approach 2, who search so.
    """
    n, d, loss = (np.asarray(values, dtype=float) for values in (sizes, data, losses))
    shapes = n.shape, d.shape, loss.shape
    if n.ndim != 1 or len({*shapes}) > 1:
        raise ValueError(f"sizes, data and losses must be equally long lists; their shapes are {shapes}.")
    if not np.isfinite([n, d, loss]).all() or min(n.min(initial=1), d.min(initial=1)) <= 0:
        raise ValueError("sizes and data must be positive, and all values finite.")
    if len(loss) < 5 or min(len(np.unique(n)), len(np.unique(d))) < 2:
        raise ValueError(f"Five unknowns need five runs, of two sizes and two amounts of data; got {len(n)}.")
    units = np.exp(np.log(n).mean()), np.exp(np.log(d).mean())
    n, d = n / units[0], d / units[1]

    def solved(logs: ArrayLike) -> tuple[float, NDArray]:
        """Squared error and (E, A, B) at the logs of two exponents; infinite where one is negative."""
        first, second = np.exp(np.clip(logs, *np.log(EXPONENTS)))
        columns = np.stack([np.ones_like(n), n**-first, d**-second], axis=1)
        parts = np.linalg.lstsq(columns, loss, rcond=None)[0]
        error = float(np.square(columns @ parts - loss).sum())
        return (error if parts[0] >= 0 and parts[1] > 0 and parts[2] > 0 else math.inf), parts

    grid = np.linspace(*np.log(EXPONENTS), STEPS)
    best = min(((a, b) for a in grid for b in grid), key=lambda logs: solved(logs)[0])
    if math.isinf(solved(best)[0]):
        raise ValueError("No surface that falls with size and with data fits these losses.")
    for step in (grid[1] - grid[0], 0.01):
        corners = np.add(best, [[0, 0], [step, 0], [0, step]])
        options = {"initial_simplex": corners, "xatol": 1e-7, "fatol": 1e-14, "maxiter": 400}
        best = minimize(lambda logs: solved(logs)[0], best, method="Nelder-Mead", options=options).x
    floor, small, few = map(float, solved(best)[1])
    first, second = map(float, np.exp(np.clip(best, *np.log(EXPONENTS))))
    return Surface(floor, float(small * units[0] ** first), first, float(few * units[1] ** second), second)


def parabola_best(sizes: ArrayLike, losses: ArrayLike) -> float:
    """The size at the lowest point of the parabola in log N that fits the losses of one budget best.

    The usual way to find the best size of a budget. It takes the valley for a symmetric one; `Surface` shows
    what that costs.

    Args:
        sizes: N of each run, shape (n,), at least three different ones.
        losses: of runs of one budget, shape (n,).

    Raises:
        ValueError: if there are too few sizes, or the parabola has no lowest point.
    """
    x, y = np.log(np.asarray(sizes, dtype=float)), np.asarray(losses, dtype=float)
    if x.shape != y.shape or x.ndim != 1 or len(np.unique(x)) < 3:
        raise ValueError(f"A parabola needs three sizes and a loss for each; got {x.shape} and {y.shape}.")
    middle = x.mean()
    bend, slope, _ = np.polyfit(x - middle, y, 2)
    if bend <= 0:
        raise ValueError("The losses have no valley: their parabola opens downwards.")
    return float(np.exp(middle - slope / (2 * bend)))


def power(budgets: ArrayLike, values: ArrayLike) -> float:
    """The slope of log values over log budgets, by least squares: the exponent of a power law.

    Raises:
        ValueError: if there are fewer than two budgets or the lengths differ.
    """
    x, y = np.log(np.asarray(budgets, dtype=float)), np.log(np.asarray(values, dtype=float))
    if x.shape != y.shape or x.ndim != 1 or len(np.unique(x)) < 2:
        raise ValueError(f"A power needs two budgets and a value for each; got {x.shape} and {y.shape}.")
    return float(np.polyfit(x, y, 1)[0])
