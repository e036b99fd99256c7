"""The server: LitServe's processes and queues, with our routes, limits, metrics, logs and a clean stop."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from litserve import LitServer
from litserve.server import BaseRequestHandler
from litserve.utils import LitAPIStatus, ResponseBufferItem, WorkerSetupStatus
from starlette.exceptions import HTTPException

from transferbook.serving import pages, parsing, workers
from transferbook.serving.front import Front, Patient
from transferbook.serving.limits import Limits, Rates, Refusal, Room
from transferbook.serving.telemetry import Telemetry

SENTENCES = {
    404: "There is nothing at this address; / and /docs say what there is.",
    405: "This address takes another method; /docs says which.",
}
ROUTES = ("/", "/docs", "/openapi.json", "/model", "/try.css", "/try.js", "/health", "/metrics")
LATE = "The answer took too long; send less at a time, or try again later."


class Handler(BaseRequestHandler):
    """LitServe's way into the queue of the workers, and back; what was given up leaves nothing behind."""

    async def handle_request(self, request: Any, request_type: Any = dict) -> Any:
        """The answer of a worker to a payload."""
        async with self._place(request) as item:
            await item.event.wait()
            answer, status = item.response
        if status == LitAPIStatus.ERROR:
            raise RuntimeError("a worker failed")
        return answer

    async def stream(self, payload: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The pieces of a worker's answer."""
        async with self._place(payload) as item:
            pieces = self.server.data_streamer(item.response_queue, item.event, send_status=True)
            async for data, status in pieces:
                if status == LitAPIStatus.ERROR:
                    raise RuntimeError("a worker failed")
                yield data

    @asynccontextmanager
    async def _place(self, payload: Any) -> AsyncIterator[ResponseBufferItem]:
        uid, _ = await self._submit_request(payload)
        item = ResponseBufferItem(event=asyncio.Event(), response_queue=deque())
        self.server.response_buffer[uid] = item
        try:
            yield item
        finally:
            self.server.response_buffer.pop(uid, None)


class Service(LitServer):
    """A model behind routes.

    Args:
        api: what the workers do.
        about: what is known of the model: `kind`, `name`, `sha256`, …
        limits: of the server.
        telemetry: metrics and log.
        workers: processes that hold the model.
        loopback: answer to names of this machine only.
    """

    def __init__(
        self, api: workers.Classifier | workers.LanguageWriter, about: Mapping[str, Any], limits: Limits,
        telemetry: Telemetry, *, workers: int = 1, loopback: bool = True,
    ) -> None:  # fmt: skip
        self.about, self.limits, self.telemetry, self.api = dict(about), limits, telemetry, api
        self.room, self.numbers = Room(limits.waiting), itertools.count(1)
        hosts = frozenset({"127.0.0.1", "localhost", "[::1]"}) if loopback else None
        rates = Rates(limits.rate, limits.burst)
        front = {"telemetry": telemetry, "rates": rates, "hosts": hosts}
        super().__init__(
            api, accelerator="cpu", devices=1, workers_per_device=workers, timeout=limits.answer_seconds,
            middlewares=[(Front, front)], disable_openapi_url=True, restart_workers=True,
        )  # fmt: skip
        self.uvicorn_graceful_timeout = limits.stop_seconds

    def register_endpoints(self) -> None:
        """Our routes in the place of LitServe's."""
        self.handler = Handler(self.api, self)
        self.app.add_exception_handler(HTTPException, self._plain)
        answer = self.generate if self.about["kind"] == "language" else self.predict
        self.app.add_api_route(self.api.api_path, answer, methods=["POST"])
        self.app.add_api_route("/health", self.health, methods=["GET"])
        self.app.add_api_route("/metrics", self.metrics, methods=["GET"])
        fixed = pages.fixed_pages(self.about, self.limits)
        for path, (kind, content) in fixed.items():
            self.app.add_api_route(path, _shown(content, kind), methods=["GET"])

    @staticmethod
    async def _plain(_: Request, error: HTTPException) -> JSONResponse:
        sentence = SENTENCES.get(error.status_code, "This request cannot be answered.")
        return JSONResponse({"error": sentence}, error.status_code, error.headers)

    async def health(self, request: Request) -> JSONResponse:
        """Whether the model is loaded, so that requests can be sent."""
        states = self.workers_setup_status.values()
        ready = any(state == WorkerSetupStatus.READY for state in states)
        return JSONResponse({"status": "ready" if ready else "loading"}, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        self.telemetry.waiting.set(self.room.taken)
        return Response(self.telemetry.page(), media_type="text/plain; version=0.0.4")

    async def predict(self, request: Request) -> JSONResponse:
        """Classify texts or a picture."""
        body, kind = await self._body(request)
        facts = request.scope["facts"]
        facts["bytes"] = len(body)
        if self.about["kind"] == "texts":
            texts = parsing.texts_of(body, kind, self.limits)
            payload = {"texts": texts}
            facts["texts"], inputs = texts, len(texts)
        else:
            picture = await asyncio.to_thread(parsing.picture_of, body, kind, self.limits)
            payload, inputs = {"picture": picture}, 1
        entered = self.room.enter()
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                found = dict(await self.handler.handle_request(payload))
        except TimeoutError as error:
            raise Refusal(504, LATE) from error
        finally:
            self.room.leave(entered)
        if "kind" in found:
            facts["failed"] = found.pop("kind")
        if found["status"] != 200:
            raise Refusal(found["status"], found["error"])
        facts["inputs"], facts["batch"] = inputs, found["batch"]
        self.telemetry.computed(inputs, found["batch"])
        return JSONResponse({"predictions": found["predictions"], "model": self.about["sha256"][:12]})

    async def generate(self, request: Request) -> Response:
        """Let the model write: in pieces as lines of JSON, or all at once."""
        body, kind = await self._body(request)
        asked = parsing.prompt_of(body, kind, self.limits)
        request.scope["facts"] |= {"bytes": len(body), "texts": [asked.prompt]}
        written = self._written(asked)
        if asked.stream:
            first = await anext(written)  # so that what fails at once has a status
            return StreamingResponse(_lines(first, written), media_type="application/x-ndjson")
        found = [piece async for piece in written]
        text = "".join(piece.get("text", "") for piece in found)
        if "error" in found[-1]:
            raise Refusal(504, found[-1]["error"])
        return JSONResponse({"text": text, **found[-1]})

    async def _written(self, asked: parsing.Prompt) -> AsyncIterator[dict[str, Any]]:
        number = next(self.numbers)
        pieces = self.handler.stream({**asked.payload(), "number": number})
        entered, done = self.room.enter(), False
        end = time.monotonic() + self.limits.answer_seconds
        sent = 0
        try:
            while not done:
                try:
                    async with asyncio.timeout(end - time.monotonic()):
                        piece = await anext(pieces)
                except TimeoutError as error:
                    if not sent:
                        raise Refusal(504, LATE) from error
                    piece = {"error": LATE}
                done = "text" not in piece
                sent += 1
                if "done" in piece:
                    self.telemetry.computed(1, 1)
                yield piece
        finally:
            self.room.leave(entered)
            if not done or not sent:
                self.api.given_up[number % workers.PLACES] = number
            await pieces.aclose()

    async def _body(self, request: Request) -> tuple[bytes, str]:
        self.room.check()
        declared = request.headers.get("content-length")
        body = await parsing.read_body(request.stream(), declared, self.limits)
        return body, request.headers.get("content-type", "")

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """In the process that answers: LitServe's way back from the workers, and lines in the log."""
        workers.end_with_parent()
        async with super().lifespan(app):
            self.telemetry.log("ready", model=self.about["name"], sha256=self.about["sha256"][:12])
            yield
            self.telemetry.log("stopped")

    def verify_worker_status(self) -> None:
        """Wait until a worker has loaded the model.

        Raises:
            RuntimeError: if all of them ended before.
        """
        while not any(state == WorkerSetupStatus.READY for state in self.workers_setup_status.values()):
            if not any(process.is_alive() for process in self.inference_workers):
                raise RuntimeError("no worker could load the model")
            time.sleep(0.05)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told_to_stop)
        self.main = os.getpid()

    def _told_to_stop(self, number: int, _: Any) -> None:
        if os.getpid() != self.main:  # a process that was forked from the server, and is ended by it
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        # In a thread of its own: here, the connection to the event may be in the middle of a message.
        threading.Thread(target=self._shutdown_event.set, daemon=True).start()

    def serve(self, host: str, port: int) -> None:
        """Answer until a signal says stop; then answer what is there already, and end."""
        patient = type("Protocol", (Patient,), {"head_seconds": self.limits.head_seconds})
        self.run(
            host=host, port=port, num_api_servers=1, log_level="critical", generate_client_file=False,
            http=patient, ws="none", access_log=False, server_header=False, proxy_headers=False,
            timeout_keep_alive=5, limit_concurrency=self.limits.connections,
        )  # fmt: skip


def _shown(content: bytes, kind: str) -> Any:
    async def show(request: Request) -> Response:
        return Response(content, media_type=kind)

    return show


async def _lines(first: dict[str, Any], rest: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    try:
        yield json.dumps(first) + "\n"
        async for piece in rest:
            yield json.dumps(piece) + "\n"
    finally:
        await rest.aclose()
