"""Waiting lines: the mean wait by formula, and a simulation of a server that takes several at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Line", "arrivals", "deterministic_wait", "random_wait", "simulate"]


def deterministic_wait(rate: float, service: float) -> float:
    r"""Mean seconds in line before a server that takes exactly `service` seconds for each (M/D/1).

    $W_q = \frac{\rho}{1 - \rho} \cdot \frac{s}{2}$ with the load $\rho = \lambda s$.

    Args:
        rate: of arrivals at random, $\lambda$ a second.
        service: seconds $s$.

    Raises:
        ValueError: if the load is not below 1: the line then grows without end.

    Source: Pollaczek (1930) and Khinchine (1932), for a service time without spread.
    """
    load = _load(rate, service)
    return load / (1 - load) * service / 2


def random_wait(rate: float, service: float) -> float:
    r"""The same where the seconds of service are exponential with that mean (M/M/1): twice as long.

    Raises:
        ValueError: if the load is not below 1.
    """
    load = _load(rate, service)
    return load / (1 - load) * service


def _load(rate: float, service: float) -> float:
    if not (rate > 0 and service > 0 and rate * service < 1):
        raise ValueError(
            f"rate {rate:g} and service {service:g} must be above 0 and their product, the load, below 1."
        )
    return rate * service


def arrivals(rate: float, count: int, seed: int) -> np.ndarray:
    """Times (N,) at which requests of many strangers come: the gaps are exponential with mean 1 / rate.

    Args:
        rate: a second.
        count: N.
        seed: of the gaps.
    """
    return np.random.default_rng(seed).exponential(1 / rate, count).cumsum()


@dataclass(frozen=True)
class Line:
    """What happened to N requests.

    Attributes:
        came: seconds, shape (N,).
        began: when their batch began to be computed; infinite for those that were turned away.
        done: when it was computed; likewise.
        batch: how many were computed together with each, itself included; 0 for those turned away.
    """

    came: np.ndarray
    began: np.ndarray
    done: np.ndarray
    batch: np.ndarray

    @property
    def served(self) -> np.ndarray:
        """Which were not turned away, shape (N,)."""
        return self.batch > 0

    @property
    def waits(self) -> np.ndarray:
        """Seconds in line of those that were served."""
        return (self.began - self.came)[self.served]

    @property
    def seconds(self) -> np.ndarray:
        """Seconds from coming to being done, of those that were served."""
        return (self.done - self.came)[self.served]


def simulate(
    came: np.ndarray, service: Callable[[int], float], *, most: int = 1, window: float = 0.0,
    places: int | None = None,
) -> Line:  # fmt: skip
    """One server, first come, first served; it takes what is in line, up to `most`, at a time.

    Args:
        came: times, ascending, shape (N,).
        service: seconds for a batch of so many.
        most: of a batch.
        window: seconds that an idle server waits for more after it took the first, unless the batch is full.
        places: requests inside, in line or in service; one more is turned away. None for no bound.
    """
    count = len(came)
    began, done = np.full(count, np.inf), np.full(count, np.inf)
    batch = np.zeros(count, dtype=int)
    line: list[int] = []  # rows that were let in and wait
    inside: list[float] = []  # when those in service will be done
    row, free = 0, -np.inf

    def let_in(until: float) -> None:
        nonlocal row, inside
        while row < count and came[row] <= until:
            inside = [end for end in inside if end > came[row]]
            if places is None or len(line) + len(inside) < places:
                line.append(row)
            row += 1

    while row < count or line:
        if not line:
            let_in(max(free, came[row]))
            continue
        first = max(free, came[line[0]])  # the server takes the first one, and its window begins
        while len(line) < most and row < count and came[row] <= first + window:
            let_in(came[row])
        start = first if window == 0 else first + window
        if len(line) >= most:
            start = max(first, came[line[most - 1]])
        taken, line = line[:most], line[most:]
        free = start + service(len(taken))
        began[taken], done[taken], batch[taken] = start, free, len(taken)
        inside = [free] * len(taken)
        let_in(free)
    return Line(np.asarray(came), began, done, batch)
