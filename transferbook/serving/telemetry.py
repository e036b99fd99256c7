"""What a server says of itself: metrics for Prometheus, and one line of JSON for each request.

Neither holds what users wrote, unless it was asked for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SHOWN = 200  # characters of a text, where texts are logged


class Telemetry:
    """The metrics of one server, and its log.

    Args:
        routes: addresses that are told apart; all others count as "other".
        log_texts: whether the log holds the beginnings of the users' texts.
        out: where lines are written; default: standard output.
    """

    def __init__(self, routes: Sequence[str], log_texts: bool = False, out: TextIO | None = None) -> None:
        self.routes, self.log_texts, self.out = set(routes), log_texts, out
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "transferbook_requests", "Requests by route and status.", ["route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "transferbook_request_seconds", "From the head of a request to the end of its answer.",
            ["route"], buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.batches = Histogram(
            "transferbook_batch_requests", "Requests that were computed together, as each of them saw it.",
            buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry,
        )  # fmt: skip
        self.inputs = Counter(
            "transferbook_inputs", "Texts, pictures or prompts that were answered.", registry=self.registry
        )
        self.waiting = Gauge(
            "transferbook_waiting", "Requests that were taken in and wait.", registry=self.registry
        )

    def route(self, path: str) -> str:
        """A known address, or "other": what users put into addresses is neither counted nor kept."""
        return path if path in self.routes else "other"

    def answered(self, path: str, status: int, seconds: float) -> str:
        """Count one request; its route comes back."""
        route = self.route(path)
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)
        return route

    def computed(self, inputs: int, batch: int) -> None:
        """Count what a worker did for one request, in a batch of so many requests."""
        self.inputs.inc(inputs)
        self.batches.observe(batch)

    def page(self) -> bytes:
        """All metrics, as Prometheus reads them."""
        return generate_latest(self.registry)

    def log(self, event: str, texts: Sequence[str] = (), **facts: Any) -> None:
        """Write one line of JSON; `texts` stay out of it unless they were asked for."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **facts}
        if self.log_texts and texts:
            line["texts"] = [text[:SHOWN] for text in texts]
        print(json.dumps(line), file=self.out or sys.stdout, flush=True)
