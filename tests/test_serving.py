"""The parts of a server in one process: limits, parsing, batches, routes before a stand-in, the log."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from litserve.utils import LitAPIStatus, WorkerSetupStatus
from PIL import Image
from uvicorn.config import Config
from uvicorn.server import ServerState

from transferbook.__main__ import _parser as transferbook_parser
from transferbook.__main__ import main
from transferbook.serving import front, load, pages, parsing, running, serve_command, server, workers
from transferbook.serving.limits import KNOWN_CLIENTS, Limits, Rates, Refusal, Room
from transferbook.serving.telemetry import Telemetry

ROOT = Path(__file__).parents[1]
JSON = "application/json"
ABOUT = {"kind": "texts", "name": "re<views>", "sha256": "ab" * 32, "classes": ["bad", "g&d"]}


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def refusal(function, *arguments, **options) -> Refusal:
    """What a function refuses with: one sentence."""
    with pytest.raises(Refusal) as caught:
        found = function(*arguments, **options)
        if asyncio.iscoroutine(found):
            asyncio.run(found)
    check_sentence(caught.value.sentence)
    return caught.value


def check_sentence(said: str) -> None:
    assert said[0].isupper() or said[0] == '"'
    assert said.endswith(".") and "\n" not in said and "Traceback" not in said and ".py" not in said


# --- limits ------------------------------------------------------------------------------------------------


def test_limits_are_above_zero_and_the_window_is_short():
    for wrong in ({"batch": 0}, {"rate": float("inf")}, {"waiting": -1}, {"body_bytes": "many"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; it must be a number above zero"):
            Limits(**wrong)
    assert Limits().window == Limits(window=0).window == 0
    for wrong in (-0.001, float("nan"), "0"):
        with pytest.raises(ValueError, match=r"window is .*; it must be a number from zero on"):
            Limits(window=wrong)
    with pytest.raises(ValueError, match="shorten the window"):
        Limits(window=2, answer_seconds=2)


def test_a_client_has_a_burst_and_then_its_rate():
    clock = Clock()
    rates = Rates(rate=2, burst=3, clock=clock)
    for _ in range(3):
        rates.take("a")
    said = refusal(rates.take, "a")
    assert (said.status, said.retry_after) == (429, 1) and "try again in 1 s" in said.sentence
    rates.take("b")  # another one is not held to it
    clock.now += 0.5  # one token came back
    rates.take("a")
    refusal(rates.take, "a")
    clock.now += 100  # no more than the burst
    for _ in range(3):
        rates.take("a")
    refusal(rates.take, "a")


def test_slow_rates_say_when_the_next_token_is_there_and_strangers_are_forgotten():
    clock = Clock()
    rates = Rates(rate=0.1, burst=1, clock=clock)
    rates.take("a")
    clock.now += 3
    assert refusal(rates.take, "a").retry_after == 7
    for number in range(KNOWN_CLIENTS + 5):
        rates.take(f"client {number}")
    assert len(rates.buckets) == KNOWN_CLIENTS and "a" not in rates.buckets


def test_one_more_than_there_is_room_for_is_turned_away_until_somebody_leaves():
    clock = Clock()
    room = Room(4, clock)
    entered = [room.enter() for _ in range(4)]
    assert refusal(room.check).retry_after == 1  # nothing is known of the speed yet
    for start in entered[:3]:
        clock.now += 20
        room.leave(start)
    assert room.taken == 1 and room.gap == pytest.approx(20 * (1 - 0.9**3))
    for _ in range(3):
        room.enter()
    said = refusal(room.enter)
    assert (said.status, said.retry_after) == (429, 22) and room.taken == 4  # 4 at 5.42 s each
    room.gap = 1e9
    assert refusal(room.check).retry_after == 30
    room = Room(1, clock)
    room.leave(room.enter())
    clock.now += 1_000  # idle time says nothing of the speed
    start = room.enter()
    clock.now += 1
    room.leave(start)
    assert room.gap == pytest.approx(0.1)


# --- parsing -----------------------------------------------------------------------------------------------


def test_texts_come_as_one_or_as_a_list():
    assert parsing.texts_of('{"text": "ä 😀\\u0000"}'.encode(), JSON, Limits()) == ["ä 😀\0"]
    kind = "Application/JSON; charset=UTF-8"
    assert parsing.texts_of(b'{"texts": ["a", "b"]}', kind, Limits()) == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"text": "a"}', "text/plain", 415),
        (b'{"text": "a"}', "application/json; charset=utf-16", 415),
        ('{"text": "ä"}'.encode("latin-1"), JSON, 422),
        ('{"text": "a"}'.encode("utf-16"), JSON, 422),
        (b'{"text": "a"', JSON, 422),
        (b"", JSON, 422),
        (b'"a"', JSON, 422),
        (b"[" * 100_000 + b"]" * 100_000, JSON, 422),
        (b'{"text":' * 100_000, JSON, 422),
        (b"9" * 100_000, JSON, 422),
        (b"{}", JSON, 422),
        (b'{"text": "a", "texts": ["a"]}', JSON, 422),
        (b'{"text": "a", "model": "../../etc/passwd"}', JSON, 422),
        (b'{"text": 1}', JSON, 422),
        (b'{"text": null}', JSON, 422),
        (b'{"text": " \\n"}', JSON, 422),
        (b'{"text": "\\ud800"}', JSON, 422),
        (b'{"texts": []}', JSON, 422),
        (b'{"texts": "a"}', JSON, 422),
        (b'{"texts": ["a", ["b"]]}', JSON, 422),
        (b'{"texts": ["a", "b", "c", "d"]}', JSON, 413),
        (b'{"text": "aaaaaa"}', JSON, 413),
    ],
)
def test_what_is_no_text_gets_one_sentence(body, kind, status):
    assert refusal(parsing.texts_of, body, kind, Limits(texts=3, characters=5)).status == status


def test_a_prompt_has_defaults_and_bounds():
    found = parsing.prompt_of(b'{"prompt": "Hi", "temperature": 1, "max_tokens": 8}', JSON, Limits())
    assert found == parsing.Prompt("Hi", True, 8, 1, 0, True)
    wrong = [
        {"question": "Hi"}, {"prompt": "Hi", "top_k": 3}, {"prompt": ""}, {"prompt": "Hi", "max_tokens": 9},
        {"prompt": "Hi", "max_tokens": True}, {"prompt": "Hi", "max_tokens": 0}, {"prompt": "Hi", "seed": -1},
        {"prompt": "Hi", "seed": 2**63}, {"prompt": "Hi", "temperature": float("nan")},
        {"prompt": "Hi", "temperature": "warm"}, {"prompt": "Hi", "temperature": -0.1},
        {"prompt": "Hi", "chat": 1}, {"prompt": "Hi", "stream": None}, {"prompt": ["Hi"]},
    ]  # fmt: skip
    for asked in wrong:
        assert refusal(parsing.prompt_of, json.dumps(asked).encode(), JSON, Limits(tokens=8)).status == 422
    long = json.dumps({"prompt": "a" * 11}).encode()
    assert refusal(parsing.prompt_of, long, JSON, Limits(prompt_characters=10)).status == 413


def test_a_picture_is_looked_at_before_it_is_unpacked():
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, "PNG")
    picture = file.getvalue()
    assert parsing.picture_of(picture, "image/png", Limits(pixels=600)) is picture
    assert refusal(parsing.picture_of, picture, "image/png", Limits(pixels=599)).status == 413
    assert refusal(parsing.picture_of, picture, "multipart/form-data; boundary=x", Limits()).status == 415
    bomb = png(60_000, 60_000)
    assert len(bomb) < 100 and refusal(parsing.picture_of, bomb, "image/png", Limits()).status == 413
    for content in (b"", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe", b"\0" * 100):
        assert refusal(parsing.picture_of, content, "image/png", Limits()).status == 422


def png(width: int, height: int) -> bytes:
    """The head of a picture that would be large, were it whole."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    whole = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + whole + struct.pack(">I", 9) + b"IDAT"


async def chunks(*parts: bytes, pause: float = 0.0):
    for part in parts:
        await asyncio.sleep(pause)
        yield part


def test_a_body_is_read_up_to_its_limit_and_its_time():
    limits = Limits(body_bytes=10, body_seconds=0.2)
    assert asyncio.run(parsing.read_body(chunks(b"12345", b"67890"), "10", limits)) == b"1234567890"
    assert asyncio.run(parsing.read_body(chunks(b"a"), "x" * 30, limits)) == b"a"  # a header may be anything
    assert refusal(parsing.read_body, chunks(), "11", limits).status == 413
    assert refusal(parsing.read_body, chunks(), "9" * 5_000, limits).status == 413
    assert refusal(parsing.read_body, chunks(b"123456", b"789012"), None, limits).status == 413
    assert refusal(parsing.read_body, chunks(b"1", pause=1), None, limits).status == 408


# --- workers -----------------------------------------------------------------------------------------------


def filled(*rows: object) -> Queue:
    queue: Queue = Queue()
    for row in rows:
        queue.put(row)
    return queue


def test_the_window_begins_with_the_first_request():
    queue = filled(1)
    threading.Timer(0.6, queue.put, [2]).start()
    threading.Timer(0.8, queue.put, [3]).start()
    assert workers.collect(queue, 8, 0.05) == [1]  # it is over long before the second
    started = time.monotonic()
    assert workers.collect(queue, 8, 1.0) == [2, 3]
    assert 1.2 < time.monotonic() - started < 5


def test_a_full_batch_waits_for_nobody_and_no_window_takes_what_is_there():
    started = time.monotonic()
    assert workers.collect(filled(1, 2, 3, 4, 5), 4, 30.0) == [1, 2, 3, 4]
    assert workers.collect(filled(1, 2, 3), 8, 0.0) == [1, 2, 3]
    assert time.monotonic() - started < 5


def test_what_waited_too_long_was_given_up_and_is_not_computed():
    now = time.monotonic()
    queue = filled((0, "late", now - 10, "a"), (0, "there", now, "b"))
    api = SimpleNamespace(max_batch_size=4, batch_timeout=0.0, request_timeout=5)
    assert workers.Window().get_batch_requests(api, queue, None) == ([(0, "there", "b")], [])


class Model:
    """Says good of even lengths, abstains at 4, fails at "boom"."""

    classes = ("bad", "good")

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.seen: list[list[int]] = []

    def predict(self, texts: list[str]) -> SimpleNamespace:
        self.calls.append(len(texts))
        self.seen.append([len(text) for text in texts])
        if "boom" in texts:
            raise KeyError("boom")
        good = torch.tensor([0.75 if len(text) % 2 == 0 else 0.25 for text in texts], dtype=torch.float64)
        names = ["" if len(text) == 4 else "good" if len(text) % 2 == 0 else "bad" for text in texts]
        shares = torch.stack([1 - good, good], dim=1)
        return SimpleNamespace(names=names, confidence=shares.max(dim=1).values, probabilities=shares)


def test_a_batch_is_computed_at_once_and_taken_apart_again():
    model = Model()
    unreadable = {"status": 422, "error": "Damaged."}
    first, second, third = workers.answer_batch(model, [["a", "bb"], unreadable, ["cccc"]])
    assert model.calls == [3] and second is unreadable
    assert [row["label"] for row in first["predictions"]] == ["bad", "good"]
    shares = {"bad": 0.25, "good": 0.75}
    assert third["predictions"] == [{"label": None, "confidence": 0.75, "probabilities": shares}]
    assert first["batch"] == third["batch"] == 2 and first["status"] == 200


def test_texts_of_like_length_are_computed_together():
    model = Model()
    texts = ["a" * length for length in (9, 1, 8, 2, 7, 3, 11, 6, 5)]
    (found,) = workers.answer_batch(model, [texts])
    assert model.seen == [[1, 2, 3, 5], [6, 7, 8, 9], [11]]
    said = ["bad", "bad", "good", "good", "bad", "bad", "bad", "good", "bad"]
    assert [row["label"] for row in found["predictions"]] == said
    lone, pair = workers.answer_batch(Model(), [["abcdefgh"], ["b", "cd"]])
    assert [row["label"] for row in lone["predictions"] + pair["predictions"]] == ["good", "bad", "good"]


def test_a_request_that_breaks_the_model_fails_alone():
    model = Model()
    found = workers.answer_batch(model, [["a"], ["boom"], ["bb", "c"]])
    assert [answer["status"] for answer in found] == [200, 500, 200] and model.calls == [4, 1, 1, 2]
    assert found[1]["kind"] == "KeyError" and "boom" not in found[1]["error"]
    assert workers.answer_batch(model, []) == []


def test_a_picture_is_read_as_from_its_file(tmp_path):
    from transferbook.data.datasets import read_image

    random = np.random.default_rng(0)
    Image.fromarray(random.integers(256, size=(40, 60, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    assert workers._pixels(content, 16).numpy().tolist() == read_image(tmp_path / "a.jpg", 16).tolist()
    said = workers._pixels(content[:300], 16)
    assert said["status"] == 422
    check_sentence(said["error"])


def test_processes_end_with_the_one_that_started_them():
    child = (
        "import time; from transferbook.serving import workers; workers.settle()\n"
        "print('settled', flush=True); time.sleep(120); print('still there', flush=True)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline() == b"settled\n"
    process.kill()
    assert process.stdout.read() == b""  # it ends when the child, too, is gone
    process.wait()


# --- the routes, with a stand-in for the workers -----------------------------------------------------------


class StandIn:
    """Answers like a worker, after a while."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause, self.payloads, self.pieces, self.closed = pause, [], [{"text": "Hi"}, {"done": "stop"}], 0

    async def handle_request(self, payload):
        self.payloads.append(payload)
        await asyncio.sleep(self.pause)
        rows = [{"label": "bad", "confidence": 1.0, "probabilities": {}}] * len(payload.get("texts", "1"))
        return {"status": 200, "predictions": rows, "batch": 3}

    async def stream(self, payload):
        self.payloads.append(payload)
        try:
            for piece in self.pieces:
                await asyncio.sleep(self.pause)
                yield piece
        finally:
            self.closed += 1


def service(kind: str = "texts", log_texts: bool = False, pause: float = 0.0, **bounds) -> server.Service:
    limits = Limits(**bounds)
    api = workers.LanguageWriter() if kind == "language" else workers.Classifier("a.model", limits)
    telemetry = Telemetry((*server.ROUTES, api.api_path), log_texts, io.StringIO())
    found = server.Service(api, ABOUT | {"kind": kind}, limits, telemetry)
    found.handler = StandIn(pause)
    found.workers_setup_status = {"predict_0": WorkerSetupStatus.READY}
    return found


@asynccontextmanager
async def client_of(made: server.Service, host: str = "127.0.0.1"):
    transport = httpx.ASGITransport(app=made.app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}:8000") as client:
        yield client


def ask(made: server.Service, method: str, path: str, host: str = "127.0.0.1", **content) -> httpx.Response:
    async def once() -> httpx.Response:
        async with client_of(made, host) as client:
            return await client.request(method, path, **content)

    return asyncio.run(once())


def lines(made: server.Service) -> list[dict]:
    return [json.loads(line) for line in made.telemetry.out.getvalue().splitlines()]


def test_an_answer_has_predictions_and_the_hash_of_the_model():
    made = service()
    said = ask(made, "POST", "/predict", json={"texts": ["a secret", "b"]})
    assert said.status_code == 200 and said.json()["model"] == "abababababab"
    assert len(said.json()["predictions"]) == 2 and made.handler.payloads == [{"texts": ["a secret", "b"]}]
    assert made.room.taken == 0
    (line,) = lines(made)
    wanted = {"route": "/predict", "status": 200, "inputs": 2, "batch": 3, "method": "POST"}
    assert wanted.items() <= line.items()
    assert "secret" not in made.telemetry.out.getvalue()


def test_texts_are_logged_only_where_that_was_asked_for():
    made = service(log_texts=True)
    ask(made, "POST", "/predict", json={"text": "a secret" * 100})
    assert lines(made)[0]["texts"] == [("a secret" * 100)[:200]]


def test_every_answer_forbids_what_comes_from_elsewhere():
    for path in ("/", "/docs", "/nothing", "/health"):
        headers = ask(service(), "GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "http" not in policy


def test_addresses_and_methods_that_are_none():
    made = service()
    for method, path, status in [
        ("GET", "/secret-of-a-user", 404), ("GET", "/predict", 405), ("POST", "/", 405),
        ("GET", "/..%2f..%2fetc/passwd", 404), ("GET", "/docs/../try.css/x", 404), ("PUT", "/predict", 405),
        ("GET", "/info", 404), ("POST", "/shutdown", 404),
    ]:  # fmt: skip
        said = ask(made, method, path)
        assert said.status_code == status
        check_sentence(said.json()["error"])
    assert {line["route"] for line in lines(made)} == {"other", "/predict", "/"}
    assert "secret" not in made.telemetry.out.getvalue() + made.telemetry.page().decode()


def test_it_answers_to_names_of_this_machine_only():
    made = service()
    assert ask(made, "GET", "/health", host="localhost").status_code == 200
    assert ask(made, "GET", "/health", host="[::1]").status_code == 200
    said = ask(made, "GET", "/health", host="elsewhere.example")
    assert said.status_code == 421
    check_sentence(said.json()["error"])


def test_a_client_that_asks_too_often_is_told_when_to_come_again():
    made = service(rate=0.5, burst=2)
    said = [ask(made, "POST", "/predict", json={"text": "a"}) for _ in range(3)]
    assert [answer.status_code for answer in said] == [200, 200, 429]
    assert said[2].headers["retry-after"] == "2" and len(made.handler.payloads) == 2
    assert ask(made, "GET", "/health").status_code == 200  # only what costs is counted


def test_under_pressure_the_last_to_come_are_told_to_come_again():
    made = service(pause=0.3, waiting=3)

    async def burst() -> list[httpx.Response]:
        async with client_of(made) as client:
            return await asyncio.gather(*(client.post("/predict", json={"text": "a"}) for _ in range(8)))

    said = asyncio.run(burst())
    assert sorted(answer.status_code for answer in said) == [200] * 3 + [429] * 5
    assert all(answer.headers["retry-after"] == "1" for answer in said if answer.status_code == 429)
    assert made.room.taken == 0 and ask(made, "POST", "/predict", json={"text": "a"}).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up():
    made = service(pause=5, answer_seconds=0.1)
    said = ask(made, "POST", "/predict", json={"text": "a"})
    assert said.status_code == 504 and made.room.taken == 0
    check_sentence(said.json()["error"])


def test_what_breaks_inside_is_one_sentence_outside_and_a_name_in_the_log():
    made = service()

    async def fail(payload):
        raise ZeroDivisionError("/home/secret/place.py")

    made.handler.handle_request = fail
    said = ask(made, "POST", "/predict", json={"text": "a"})
    assert said.status_code == 500 and said.json() == {"error": front.BROKEN} and made.room.taken == 0
    assert lines(made)[0]["failed"] == "ZeroDivisionError" and "secret" not in made.telemetry.out.getvalue()


def test_what_a_worker_refuses_keeps_its_status():
    made = service("pictures")

    async def refuse(payload):
        return {"status": 422, "error": "The picture is damaged."}

    made.handler.handle_request = refuse
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    said = ask(made, "POST", "/predict", content=file.getvalue(), headers={"Content-Type": "image/png"})
    assert (said.status_code, said.json()) == (422, {"error": "The picture is damaged."})


def test_a_text_is_written_in_pieces_or_at_once():
    made = service("language")
    said = ask(made, "POST", "/generate", json={"prompt": "Hi"})
    assert said.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in said.text.splitlines()] == [{"text": "Hi"}, {"done": "stop"}]
    said = ask(made, "POST", "/generate", json={"prompt": "Hi", "stream": False})
    assert said.json() == {"text": "Hi", "done": "stop"}
    assert [payload["number"] for payload in made.handler.payloads] == [1, 2]
    assert made.handler.closed == 2 and made.room.taken == 0 and not any(made.api.given_up[1:3])
    assert b"transferbook_inputs_total 2.0" in made.telemetry.page()


def test_a_text_that_takes_too_long_ends_with_a_sentence_and_is_given_up():
    made = service("language", pause=0.6, answer_seconds=1.0)
    said = ask(made, "POST", "/generate", json={"prompt": "Hi"})
    first, last = (json.loads(line) for line in said.text.splitlines())
    assert first == {"text": "Hi"} and made.room.taken == 0
    check_sentence(last["error"])
    made = service("language", pause=5, answer_seconds=0.1)
    assert ask(made, "POST", "/generate", json={"prompt": "Hi"}).status_code == 504
    assert made.api.given_up[1] == 1 and made.handler.closed == 1


def test_health_says_whether_the_model_is_loaded():
    made = service()
    assert ask(made, "GET", "/health").json() == {"status": "ready"}
    made.workers_setup_status = {"predict_0": WorkerSetupStatus.STARTING}
    said = ask(made, "GET", "/health")
    assert (said.status_code, said.json()) == (503, {"status": "loading"})


def test_a_server_whose_workers_end_does_not_wait_for_ever():
    made = service()
    made.workers_setup_status = {"predict_0": WorkerSetupStatus.STARTING}
    made.inference_workers = [SimpleNamespace(is_alive=lambda: False)]
    with pytest.raises(RuntimeError, match="no worker could load the model"):
        made.verify_worker_status()


def test_the_way_to_the_workers_and_back_leaves_nothing_behind():
    made = service()
    handler = server.Handler(made.api, made)
    made.app.response_queue_id = 0
    made.litapi_request_queues["/predict"] = queue = Queue()

    async def once(status: str) -> object:
        task = asyncio.create_task(handler.handle_request({"texts": ["a"]}))
        await asyncio.sleep(0)
        _, uid, _, payload = queue.get_nowait()
        item = made.response_buffer[uid]
        item.response = (payload, status)
        item.event.set()
        return await task

    assert asyncio.run(once(LitAPIStatus.OK)) == {"texts": ["a"]}
    with pytest.raises(RuntimeError, match="a worker failed"):
        asyncio.run(once(LitAPIStatus.ERROR))
    assert made.response_buffer == {}


def test_metrics_count_by_route_and_status():
    made = service()
    for _ in range(2):
        ask(made, "POST", "/predict", json={"texts": ["a", "b", "c"]})
    ask(made, "GET", "/x")
    said = ask(made, "GET", "/metrics")
    assert said.headers["content-type"].startswith("text/plain")
    for row in (
        'transferbook_requests_total{route="/predict",status="200"} 2.0',
        'transferbook_requests_total{route="other",status="404"} 1.0',
        'transferbook_request_seconds_count{route="/predict"} 2.0',
        "transferbook_inputs_total 6.0",
        'transferbook_batch_requests_bucket{le="2.0"} 0.0',
        'transferbook_batch_requests_bucket{le="4.0"} 2.0',
        "transferbook_waiting 0.0",
    ):
        assert row in said.text.splitlines()


# --- pages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["texts", "pictures", "language"])
def test_the_page_to_try_it_is_labelled_and_loads_nothing_from_elsewhere(kind):
    about = {name: value for name, value in ABOUT.items() if kind != "language" or name != "classes"}
    found = pages.fixed_pages(about | {"kind": kind}, Limits())
    page = BeautifulSoup(found["/"][1], "html.parser")
    assert page.html["lang"] == "en" and page.h1.text == "Try re<views>" and "[[" not in str(page)
    fields = page.select("textarea, input")
    assert len(fields) == 1 and page.select_one(f'label[for="{fields[0]["id"]}"]').text
    assert page.select_one("[aria-live=polite]")["aria-labelledby"] == page.select_one("h2")["id"]
    addresses = [tag.get("src") or tag.get("href") for tag in page.select("[src], [href]")]
    assert addresses and all(address in found for address in addresses)
    assert not page.select("script:not([src]), style, [onclick], [style]")
    if kind == "pictures":
        # With `capture`, a phone would open its camera alone; without it, it offers camera and files.
        assert fields[0]["accept"] == "image/*" and "capture" not in fields[0].attrs
    if kind != "language":
        assert "bad, g&d" in page.text
    for _, content in found.values():
        assert b"http://" not in content and b"https://" not in content


def test_the_script_and_the_style_are_whole():
    assert b'fetch("/predict"' in (pages.FILES / "try.js").read_bytes()
    style = (pages.FILES / "try.css").read_text(encoding="utf-8")
    colours = [dict(part.split(": ") for part in block.split("; ") if ": #" in part) for block in
               (style.split(":root { color-scheme: light dark; ")[1].split("}")[0].replace(";", "; "),
                style.split("  :root { ")[1].split("}")[0].replace(";", "; "))]  # fmt: skip
    for known in colours:
        known = {name.strip(): value.strip(" ;") for name, value in known.items()}
        pairs = [("--ink", "--paper"), ("--blue", "--paper"), ("--on", "--blue"), ("--bad", "--paper")]
        for one, other in pairs:
            assert contrast(known[one], known[other]) >= 4.5, (one, other)


def contrast(one: str, other: str) -> float:
    """The ratio of two colours as WCAG 2 counts it."""

    def light(colour: str) -> float:
        digits = colour.strip("# ")
        digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("kind", ["texts", "pictures", "language"])
def test_the_description_names_what_is_read_and_every_refusal(kind):
    found = pages.openapi(ABOUT | {"kind": kind}, Limits(texts=7, tokens=9, body_bytes=11))
    path = "/generate" if kind == "language" else "/predict"
    post = found["paths"][path]["post"]
    assert set(post["responses"]) == {"200", "408", "413", "415", "422", "429", "500", "504"}
    bound = {"texts": '"maxItems": 7', "pictures": '"maxLength": 11', "language": '"maximum": 9'}[kind]
    assert bound in json.dumps(post["requestBody"])
    assert set(found["paths"]) == {path, "/health", "/metrics", "/model", "/openapi.json"}
    page = pages.docs_page(found)
    assert "re&lt;views&gt;" in page and "<views>" not in page and page.count("<tr>") == 8
    if kind != "pictures":
        example = post["requestBody"]["content"][JSON]["example"]
        read = parsing.prompt_of if kind == "language" else parsing.texts_of
        assert read(json.dumps(example).encode(), JSON, Limits())


# --- connections -------------------------------------------------------------------------------------------


class Wire:
    """A stand-in for a connection."""

    def __init__(self) -> None:
        self.sent, self.closed = b"", False

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> None:
        return None


@pytest.mark.parametrize(
    ("said", "closed"),
    [(b"", True), (b"GET / HT", True), (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", False)],
)
def test_a_head_that_does_not_come_ends_the_connection(said, closed):
    async def app(scope, receive, send):
        await asyncio.sleep(10)

    async def once() -> tuple[bool, bytes]:
        state = ServerState()
        protocol = front.Patient(Config(app, http=front.Patient, ws="none", log_config=None), state, {})
        protocol.head_seconds = 0.1
        wire = Wire()
        protocol.connection_made(wire)
        if said:
            protocol.data_received(said)
        await asyncio.sleep(0.3)
        return wire.closed, wire.sent  # before what still runs is cancelled

    sentence = b"The head of the request did not come in time."
    found, sent = asyncio.run(once())
    assert found is closed and (sentence in sent) is closed


# --- the command -------------------------------------------------------------------------------------------


def options(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve_command.add_to(parser)
    return parser.parse_args(["a.model", *given])


def test_options_become_limits():
    assert serve_command.limits_of(options()) == Limits()
    given = "--batch 4 --window 20 --waiting 9 --rate 3 --burst 6 --seconds 8".split()
    wanted = Limits(batch=4, window=0.02, waiting=9, rate=3, burst=6, answer_seconds=8, body_bytes=1_500_000)
    assert serve_command.limits_of(options(*given, "--megabytes", "1.5")) == wanted


def test_what_cannot_begin_gets_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(serve_command, "_serve", lambda *_: pytest.fail("it began"))
    (tmp_path / "no.model").write_text("nothing")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, said in [
            ((tmp_path / "missing.model",), "There is no model"),
            ((tmp_path / "no.model",), "is no model that this program saved"),
            (("smollm2", "--port", 80), "--port is 80; it must lie between 1024 and 65535"),
            (("smollm2", "--port", port), f"Port {port} cannot be had"),
            (("smollm2", "--host", "example.org"), "--host is 'example.org'"),
            (("smollm2", "--workers", 0), "--workers is 0"),
            (("smollm2", "--batch", 0), "batch is 0"),
            (("smollm2", "--window", 60_000), "shorten the window"),
        ]:
            assert main(["serve", *map(str, arguments)]) == 1
            printed = capsys.readouterr().err
            assert said in printed and printed.count("\n") == 1
    assert 1024 <= serve_command.checked_port("127.0.0.1", 0) <= 65535


def test_the_language_model_is_known_by_its_hash():
    about = serve_command.describe("smollm2")
    assert about["kind"] == "language" and len(about["sha256"]) == 64 and about["licence"]


def test_a_server_that_does_not_come_up_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"The server is not ready: There is no model .*missing\.model"):
        with running.served(tmp_path / "missing.model"):
            pass


def test_what_runs_is_found_by_its_address_and_its_log(tmp_path):
    half = '{"event": "answered", "rou'  # a line that the server is writing at this moment
    (tmp_path / "log").write_text(f'Loading\n{{"event": "ready"}}\n{half}')
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    found = running.Running("http://127.0.0.1:8123", process, tmp_path / "log")
    assert found.port == 8123
    assert found.log() == [{"event": "printed", "line": "Loading"}, {"event": "ready"}]
    assert found.stop() == -15 and found.stop() == -15
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    command = [sys.executable, "-c", stubborn]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    process.stdout.readline()
    assert running.Running("http://127.0.0.1:8123", process, tmp_path / "log").stop(0.2) == -9


# --- the container -----------------------------------------------------------------------------------------


def test_the_container_copies_what_is_there_and_starts_what_is_tested():
    steps = re.findall(r"^([A-Z]+) (.+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    for name in (name for step, rest in steps if step == "COPY" for name in rest.split()[:-1]):
        assert (ROOT / name).exists() and name in allowed
    assert {"transferbook", "requirements.txt"} <= allowed and not {"notebooks", "tests", ".git"} & allowed
    kept = {step: rest for step, rest in steps}
    command = json.loads(kept["ENTRYPOINT"]) + json.loads(kept["CMD"])
    assert command[:4] == ["python", "-m", "transferbook", "serve"]
    parsed = transferbook_parser().parse_args(command[3:])
    assert (parsed.model, parsed.host, parsed.port) == ("/models/own.model", "0.0.0.0", int(kept["EXPOSE"]))
    (fetched,) = (rest for step, rest in steps if step == "RUN" and " assets fetch " in rest)
    assert transferbook_parser().parse_args(fetched.split()[3:]).names == [
        "minilm", "efficientnet_lite0", "smollm2",
    ]  # fmt: skip
    assert steps[[rest for _, rest in steps].index(fetched) - 2][0] == "USER"  # nothing runs as root
    assert f":{kept['EXPOSE']}/health" in kept["HEALTHCHECK"]


# --- load --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def echo():
    """A server that answers one at a time, 20 ms each; it notes how many are inside, and connections."""
    lock, inside, most, connections = threading.Lock(), [], [], []

    class Echo(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            inside.append(1)
            most.append(len(inside))
            connections.append(self.client_address)
            with lock:
                time.sleep(0.02)
            inside.pop()
            self.send_response(429 if b"full" in body else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{found.server_port}/", most, connections
    found.shutdown()
    found.server_close()


def test_clients_in_a_closed_loop_wait_for_their_answers(echo):
    address, most, _ = echo
    most.clear()
    payloads = [{"n": number} for number in range(12)]
    trace = load.closed_loop(address, payloads, clients=3)
    assert trace.answers == payloads and trace.served.all() and max(most) <= 3
    assert trace.throughput < 50 and trace.quantile(1.0) == trace.seconds.max()
    assert 1 < trace.waiting() <= 3 + 1e-9


def test_in_an_open_loop_requests_come_when_they_come(echo):
    address, most, _ = echo
    most.clear()
    at = np.linspace(0.0, 0.04, 10)
    trace = load.open_loop(address, ["full" if number % 2 else "a" for number in range(10)], at)
    assert (trace.sent >= at).all() and max(most) > 3
    assert trace.status.tolist() == [200, 429] * 5 and len(trace.seconds) == 5
    span = trace.answered.max() - trace.sent.min()
    assert trace.waiting() == pytest.approx((trace.answered - trace.sent).sum() / span)  # Little's law


def test_a_client_gives_an_idle_connection_up_before_the_server_does(echo, monkeypatch):
    address, _, connections = echo
    for idle, wanted in ((0.1, 2), (20.0, 1)):
        monkeypatch.setattr(load, "IDLE", idle)
        connections.clear()
        load.open_loop(address, ["a", "b"], np.array([0.0, 0.6]))
        assert len(connections) == 2 and len(set(connections)) == wanted
    monkeypatch.undo()
    assert load.IDLE <= 5 / 2  # of a server: `timeout_keep_alive`, half of it to spare


def test_a_connection_that_breaks_has_no_status():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    trace = load.closed_loop(f"http://127.0.0.1:{port}/", ["a", "b"], 1)  # nobody listens there
    assert trace.status.tolist() == [0, 0] and trace.answers == [None, None] and trace.throughput == 0
