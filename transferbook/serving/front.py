"""What stands before the routes: the patience with a connection; for each request its rate and its log.

Nothing that a client sends gets past it as a traceback: the answer is one sentence, or the connection ends.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time

import h11
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from transferbook.serving.limits import Rates, Refusal
from transferbook.serving.telemetry import Telemetry

BROKEN = "Something went wrong here; the fault is the server's."
GONE = 499  # of a client that left before it was answered; it is logged, and nobody sees it
HEADERS = {
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}  # fmt: skip
ADDED = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class Front:
    """Around everything: each request is counted, logged, held to its rate, and answered by one sentence.

    Args:
        app: what is inside.
        telemetry: metrics and log.
        rates: of each client.
        hosts: names that the server answers to; None for all.
    """

    def __init__(
        self, app: ASGIApp, telemetry: Telemetry, rates: Rates, hosts: frozenset[str] | None = None
    ) -> None:
        self.app, self.telemetry, self.rates, self.hosts = app, telemetry, rates, hosts
        self.numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, status = time.perf_counter(), 0
        scope["facts"] = facts = {}  # what the routes add to the line in the log

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *ADDED]
            await send(message)

        try:
            self._admit(scope)
            await self.app(scope, receive, watched)
        except Refusal as refusal:
            await refused(refusal)(scope, receive, watched)
        except ClientDisconnect:
            status = GONE
        except Exception as error:
            facts["failed"] = type(error).__name__
            if not status:
                await refused(Refusal(500, BROKEN))(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - started
            status = status or GONE
            route = self.telemetry.answered(scope["path"], status, seconds)
            texts, number = facts.pop("texts", ()), next(self.numbers)
            about = {"number": number, "method": scope["method"][:8], "route": route, "status": status}
            self.telemetry.log("request", texts, **about, ms=round(1_000 * seconds, 1), **facts)

    def _admit(self, scope: Scope) -> None:
        named = next((value.decode("latin-1") for key, value in scope["headers"] if key == b"host"), "")
        host = re.sub(r":\d*$", "", named).lower()
        if self.hosts is not None and host not in self.hosts:
            raise Refusal(421, "This server answers to 127.0.0.1 and localhost only.")
        if scope["method"] == "POST":
            self.rates.take(scope["client"][0] if scope["client"] else "")


def refused(refusal: Refusal) -> JSONResponse:
    """A refusal as an answer: one sentence, and when to come again."""
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    return JSONResponse({"error": refusal.sentence}, refusal.status, headers)


class Patient(H11Protocol):
    """uvicorn's protocol, with an end to its patience.

    It waits for ever for the head of a request, and for the rest of a body that was refused already.
    """

    head_seconds = 5.0
    timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client is there, and has so many seconds to say what it wants."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Something came; the clock stops where it is a whole head."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """All was said; what is still to come of the request is read for so many seconds more."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there to be waited for."""
        super().connection_lost(exc)
        self._stop()

    def _watch(self) -> None:
        begun = self.cycle is None or self.conn.trailing_data[0]
        refused = (self.conn.our_state, self.conn.their_state) == (h11.DONE, h11.SEND_BODY)
        if not refused and not (self.conn.their_state is h11.IDLE and begun):
            self._stop()
        elif self.timer is None:
            self.timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _give_up(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self.send_400_response("The head of the request did not come in time.")
        else:
            self.transport.close()
