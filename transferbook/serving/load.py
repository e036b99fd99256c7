"""Clients that put load on a server: so many that each wait for an answer, or requests at times of their own.

In a *closed loop* a slow server is asked less often, for its clients wait. In an *open loop* the requests
come when they come, as from strangers: only this shows what happens above what a server can do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

PATIENCE = 60.0  # seconds that a client waits for an answer
# Seconds that a client keeps a connection that it does not use. Servers close theirs (ours and uvicorn's
# after 5), and a request that is sent at that moment is lost; so the client is the first to close.
IDLE = 2.0


@dataclass(frozen=True)
class Trace:
    """What happened to N requests, in the order in which they were sent.

    Attributes:
        sent: seconds from the start, shape (N,).
        answered: likewise.
        status: of the answers, shape (N,); 0 where the connection broke.
        answers: their JSON, or None.
    """

    sent: np.ndarray
    answered: np.ndarray
    status: np.ndarray
    answers: list[Any]

    @property
    def served(self) -> np.ndarray:
        """Which requests got what they asked for, shape (N,)."""
        return self.status == 200

    @property
    def seconds(self) -> np.ndarray:
        """From sending to the answer, of those that were served."""
        return (self.answered - self.sent)[self.served]

    @property
    def throughput(self) -> float:
        """Served requests a second, from the first that was sent to the last that was answered."""
        served = self.served
        whole = self.answered[served].max() - self.sent.min() if served.any() else 1.0
        return float(served.sum() / whole)

    def quantile(self, share: float) -> float:
        """Seconds within which that share of the served requests was answered."""
        return float(np.quantile(self.seconds, share))

    def waiting(self) -> float:
        """How many requests were on their way at a time, on average over the whole trace: their sum of
        seconds, divided by the length; by Little's law this is the rate times the mean."""
        events = np.concatenate([self.sent, self.answered])
        steps = np.concatenate([np.ones(len(self.sent)), -np.ones(len(self.answered))])
        order = np.lexsort((-steps, events))
        inside, times = np.cumsum(steps[order]), events[order]
        return float((inside[:-1] * np.diff(times)).sum() / (times[-1] - times[0]))


def closed_loop(address: str, payloads: Sequence[Any], clients: int) -> Trace:
    """Send all payloads; each of the clients sends its next one when its last one was answered.

    Args:
        address: where they are posted to.
        payloads: each is sent as JSON.
        clients: at a time.
    """
    return _run(address, payloads, None, clients)


def open_loop(address: str, payloads: Sequence[Any], at: np.ndarray) -> Trace:
    """Send each payload at its time, whether or not the earlier ones were answered.

    Args:
        address: where they are posted to.
        payloads: each is sent as JSON.
        at: seconds from the start, ascending, shape (N,).
    """
    return _run(address, payloads, at, len(payloads))


def _run(address: str, payloads: Sequence[Any], at: np.ndarray | None, clients: int) -> Trace:
    """In a thread with a loop of its own, for notebooks have one already."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(_send(address, payloads, at, clients))).result()


async def _send(address: str, payloads: Sequence[Any], at: np.ndarray | None, clients: int) -> Trace:
    count = len(payloads)
    sent, answered, status = np.zeros(count), np.zeros(count), np.zeros(count, dtype=int)
    answers: list[Any] = [None] * count
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients, keepalive_expiry=IDLE)
    async with httpx.AsyncClient(limits=limits, timeout=PATIENCE, trust_env=False) as client:
        started = time.perf_counter()

        async def one(row: int) -> None:
            sent[row] = time.perf_counter() - started
            try:
                answer = await client.post(address, json=payloads[row])
                status[row] = answer.status_code
                answers[row] = answer.json()
            except (httpx.HTTPError, ValueError):
                pass
            answered[row] = time.perf_counter() - started

        async def timed(row: int) -> None:
            await asyncio.sleep(at[row] - (time.perf_counter() - started))
            await one(row)

        async def worker(rows: Any) -> None:
            for row in rows:
                await one(row)

        if at is None:
            rows = iter(range(count))
            await asyncio.gather(*(worker(rows) for _ in range(min(clients, count))))
        else:
            await asyncio.gather(*(timed(row) for row in range(count)))
    return Trace(sent, answered, status, answers)
