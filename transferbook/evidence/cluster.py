"""Rows of a study as tasks of a Ray cluster that is already there: each comes back as soon as it is done."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from typing import Any

from transferbook.evidence.records import StudyError

RETRIES = 3  # of a task whose process or machine has died
WAIT = 5.0  # seconds for the first answer of an address


@contextlib.contextmanager
def connected(address: str) -> Iterator[int]:
    """Be a driver of the cluster at an address for a while; gives its number of cores.

    Args:
        address: HOST:PORT of the cluster's head, or "auto" for the one that runs on this machine.

    Raises:
        StudyError: if there is no cluster to connect to, or it is lost; the message is one sentence.
    """
    _require_answer(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except Exception as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise StudyError(f"Ray does not let us into the cluster at {address}: {reason}.") from error
    try:
        yield int(ray.cluster_resources().get("CPU", 0))
    finally:
        ray.shutdown()


def results(function: Any, calls: Iterator[tuple], at_a_time: int) -> Iterator[tuple[tuple, Any]]:
    """Arguments and result of each call, in the order in which they end.

    A call whose process or machine dies is made again elsewhere, three times at most; after that the result
    is the exception.

    Args:
        function: runs in a process of its own, on one core.
        calls: arguments of each call; the next one is taken when there is room.
        at_a_time: calls in flight.
    """
    import ray

    remote = ray.remote(num_cpus=1, max_retries=RETRIES, scheduling_strategy="SPREAD")(function)
    running: dict[Any, tuple] = {}
    while True:
        while len(running) < at_a_time and (call := next(calls, None)) is not None:
            running[remote.remote(*call)] = call
        if not running:
            return
        (done,), _ = ray.wait([*running], num_returns=1)
        call = running.pop(done)
        try:
            result = ray.get(done)
        except ray.exceptions.RayError as error:
            result = error
        yield call, result


def _require_answer(address: str) -> None:
    """Ray itself would try for minutes."""
    if address == "auto":
        return
    found = re.fullmatch(r"([\w.-]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})", address)
    if not found or not 0 < int(found[2]) < 65_536:
        raise StudyError(f"{address!r} is no address of a Ray cluster: give HOST:PORT, or auto.")
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), WAIT).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise StudyError(
            f"Nothing answers at {address} ({reason}): start a cluster there with `ray start --head`, or "
            "give its address."
        ) from error
