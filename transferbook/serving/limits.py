"""What a server lets in: sizes, times, a rate for each client, and how many may wait."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields

KNOWN_CLIENTS = 10_000
LONGEST_RETRY = 30  # seconds that a client is asked to wait, at most


class Refusal(Exception):
    """A request that gets no answer: the HTTP status and one sentence for the client.

    Args:
        status: from 400 on.
        sentence: what is wrong and what to do.
        retry_after: seconds to wait before another try; None where waiting does not help.
    """

    def __init__(self, status: int, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after = status, sentence, retry_after


@dataclass(frozen=True)
class Limits:
    """All bounds of a server; each is above zero, but for the window.

    Attributes:
        batch: requests that are computed together, at most.
        window: seconds that the first request of a batch waits for others; with 0, a batch is what waits in
            line when the model is free.
        waiting: requests that are taken in and not yet answered, at most; one more gets 429.
        rate: requests a second from one client, on average.
        burst: requests that a client may send at once after a rest.
        connections: open at a time.
        body_bytes: of a request.
        texts: of a request.
        characters: of a text.
        prompt_characters: of a prompt, which a language model reads token by token.
        tokens: that a language model writes.
        pixels: of a picture.
        head_seconds: in which the head of a request must have come.
        body_seconds: in which its body must have come.
        answer_seconds: in which it is answered, or gets 504.
        stop_seconds: that a server which was told to stop takes to answer what it has.
    """

    batch: int = 16
    window: float = 0.0
    waiting: int = 64
    rate: float = 50.0
    burst: int = 100
    connections: int = 100
    body_bytes: int = 8_000_000
    texts: int = 64
    characters: int = 20_000
    prompt_characters: int = 4_000
    tokens: int = 256
    pixels: int = 40_000_000
    head_seconds: float = 5.0
    body_seconds: float = 10.0
    answer_seconds: float = 30.0
    stop_seconds: float = 30.0

    def __post_init__(self) -> None:
        for bound in fields(self):
            value = getattr(self, bound.name)
            window = bound.name == "window"
            if not (isinstance(value, int | float) and 0 <= value < math.inf and (value or window)):
                least = "from zero on" if window else "above zero"
                raise ValueError(f"{bound.name} is {value!r}; it must be a number {least}.")
        if self.window >= self.answer_seconds:
            raise ValueError(
                f"A request would wait {self.window:g} s for others, but must be answered in "
                f"{self.answer_seconds:g} s; shorten the window."
            )


class Rates:
    """A bucket of tokens for each client: a request takes one, and `rate` a second come back, up to `burst`.

    Args:
        rate: tokens a second.
        burst: that a bucket holds.
        clock: seconds.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self.clock = rate, burst, clock
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when that was

    def take(self, client: str) -> None:
        """Take a token from the client's bucket.

        Raises:
            Refusal: 429 if there is none; it says when there will be.
        """
        now = self.clock()
        tokens, then = self.buckets.pop(client, (float(self.burst), now))
        tokens = min(self.burst, tokens + (now - then) * self.rate)
        self.buckets[client] = (tokens - 1 if tokens >= 1 else tokens, now)
        while len(self.buckets) > KNOWN_CLIENTS:
            self.buckets.popitem(last=False)  # the one that has been quiet for longest
        if tokens < 1:
            wait = max(1, math.ceil((1 - tokens) / self.rate))
            raise Refusal(429, f"Too many requests from one client; try again in {wait} s.", wait)


class Room:
    """Counts the requests that wait for an answer, and refuses one more than there is room for.

    Args:
        places: requests at most.
        clock: seconds.
    """

    def __init__(self, places: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.places, self.clock = places, clock
        self.taken = 0
        self.gap = 0.0  # seconds between two answers while there is something to answer, on average
        self.last = -math.inf

    def check(self) -> None:
        """Refuse where there is no place, before anything of the request is read.

        Raises:
            Refusal: 429, with the time that those who wait will take, from 1 to 30 seconds.
        """
        if self.taken >= self.places:
            wait = min(LONGEST_RETRY, max(1, math.ceil(self.taken * self.gap)))
            raise Refusal(429, f"The server has all that it can do; try again in {wait} s.", wait)

    def enter(self) -> float:
        """Take a place; what comes back is for `leave`.

        Raises:
            Refusal: as for `check`.
        """
        self.check()
        self.taken += 1
        return self.clock()

    def leave(self, entered: float) -> None:
        """Give the place back."""
        now = self.clock()
        self.taken -= 1
        self.gap += 0.1 * (now - max(self.last, entered) - self.gap)
        self.last = now
