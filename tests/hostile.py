"""Requests that no server should mind: each is some bytes on a connection, and what may come back."""

from __future__ import annotations

import io
import json
import re
import socket
import struct
import time
import zlib
from collections.abc import Callable
from http.client import HTTPResponse
from types import SimpleNamespace

from PIL import Image

SENTENCE = re.compile(r'["A-Z][^\n]{5,160}\.')
# What a server must not show: a traceback, a file of its own, the folder that it lies in.
PLACES = r"/(root|home|tmp|usr|work|etc)\b|site-packages|litserve|uvicorn"
SHOWN = re.compile(rf'Traceback|File "|\.py\b|{PLACES}', re.I)


def post(body: bytes, kind: str = "application/json", path: str = "/predict", more: str = "") -> bytes:
    """A request as bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nConnection: close\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def head(line: str, more: str = "") -> bytes:
    """A request without a body."""
    return f"{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n".encode("latin-1")


def send(port: int, *parts: bytes, pause: float = 0.0, close: bool = False, wait: float = 40.0) -> bytes:
    """Send parts one after the other; what came back, or nothing where we left or the server did."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as wire:
        try:
            for part in parts:
                wire.sendall(part)
                time.sleep(pause)
            if close:
                return b""
            found = b""
            while chunk := wire.recv(65_536):
                found += chunk
            return found
        except (ConnectionError, TimeoutError) as error:
            assert not isinstance(error, TimeoutError), "the server neither answered nor closed"
            return b""


def check(answer: bytes) -> int:
    """The status of an answer that is one sentence and shows nothing; 0 where the connection was closed."""
    if not answer:
        return 0
    read = HTTPResponse(SimpleNamespace(makefile=lambda _: io.BytesIO(answer)))  # the first, of several
    read.begin()
    status, text = read.status, read.read().decode("utf-8")
    assert 400 <= status < 500 or status in (503, 504), answer[:300]
    said = json.loads(text)["error"] if text.startswith("{") else text
    assert SENTENCE.fullmatch(said) or said == "Service Unavailable", said
    assert not SHOWN.search(answer.decode("latin-1")), answer[:300]
    return status


def bomb() -> bytes:
    """A whole PNG of 30,000 x 30,000 pixels in 110 kB or so."""
    side, packer = 30_000, zlib.compressobj(9)
    row = b"\0" * (side // 8 + 1)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + end

    start = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def picture(kind: str = "PNG", side: int = 64) -> bytes:
    """A picture that is whole."""
    file = io.BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(file, kind)
    return file.getvalue()


Case = tuple[str, Callable[[int], bytes], tuple[int, ...]]


def anywhere() -> list[Case]:
    """What is wrong with any server: name, what is done with a port, the statuses that are right."""
    chunked = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunked += b"Transfer-Encoding: chunked\r\n\r\n"
    half = post(b"x" * 1_000)[:-500]
    return [
        ("declares 10 GB", lambda p: send(p, head("POST /predict", "Content-Length: 10000000000\r\n")),
         (413,)),
        ("sends 30 MB", lambda p: send(p, post(b"x" * 30_000_000)), (413, 0)),
        ("chunks without end", lambda p: send(p, chunked, *[b"80000\r\n" + b"x" * 524_288 + b"\r\n"] * 60),
         (413, 408, 0)),
        ("a chunk of no size", lambda p: send(p, chunked + b"zz\r\nabc\r\n0\r\n\r\n"), (400, 422, 0)),
        ("a negative length", lambda p: send(p, head("POST /predict", "Content-Length: -5\r\n")), (400,)),
        ("two lengths", lambda p: send(p, head("POST /", "Content-Length: 5\r\nContent-Length: 6\r\n")),
         (400,)),
        ("length and chunks", lambda p: send(p, chunked[:-2] + b"Content-Length: 3\r\n\r\n0\r\n\r\n"),
         (400, 422, 415)),
        ("says nothing", lambda p: send(p), (400, 408, 0)),
        ("half a head", lambda p: send(p, b"POST /predict HTT"), (400, 408, 0)),
        ("half a body", lambda p: send(p, half), (408,)),
        ("half a body, then gone", lambda p: send(p, half, close=True), (0,)),
        ("gone before the answer", lambda p: send(p, post(b'{"text": "warm"}'), close=True), (0,)),
        ("drips its head", lambda p: send(p, *[bytes([b]) for b in head("GET /health")[:16]], pause=0.5),
         (400, 408, 0)),
        ("no HTTP", lambda p: send(p, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)), (400,)),
        ("no version", lambda p: send(p, b"GET /\r\n\r\n"), (400,)),
        ("an old version", lambda p: send(p, b"GET /x HTTP/0.9\r\n\r\n"), (400, 404, 421)),
        ("a head of a megabyte", lambda p: send(p, head("GET /", "X: " + "a" * 10**6 + "\r\n")), (400, 0)),
        ("100,000 headers", lambda p: send(p, head("GET /", "X-A: b\r\n" * 100_000)), (400, 0)),
        ("a header of control characters", lambda p: send(p, head("GET /", "X: \x00\x01\r\n")), (400,)),
        ("a header of letters from elsewhere", lambda p: send(p, head("GET /no", "X-ä: ü\r\n")), (400, 404)),
        ("a folded header", lambda p: send(p, head("GET /no", "X: a\r\n b\r\n")), (400, 404)),
        ("another host", lambda p: send(p, b"GET / HTTP/1.1\r\nHost: e.example\r\nConnection: close\r\n\r\n"),
         (421,)),
        ("no host", lambda p: send(p, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"), (400, 421)),
        ("a wrong method", lambda p: send(p, head("DELETE /predict")), (405,)),
        ("a method of a thousand letters", lambda p: send(p, head("A" * 1_000 + " /predict")), (405,)),
        ("up the folders", lambda p: send(p, head("GET /../../../../etc/passwd")), (404,)),
        ("up the folders in code", lambda p: send(p, head("GET /%2e%2e/%2e%2e/etc/passwd%00.css")), (404,)),
        ("another server's address", lambda p: send(p, head("GET http://evil.example/x")), (404, 400, 421)),
        ("a path of 50,000 letters", lambda p: send(p, head("GET /" + "a" * 50_000)), (404,)),
        ("asks for a websocket", lambda p: send(p, (
            b"GET /predict HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"), close=True), (0,)),
        ("two requests at once, the second broken", lambda p: send(p, post(b"{}", more="X: y\r\n").replace(
            b"Connection: close\r\n", b"") + b"\0\0\0\r\n\r\n"), (422,)),
        ("a form", lambda p: send(p, post(b"--x\r\n\r\na\r\n--x--", "multipart/form-data; boundary=x")),
         (415,)),
        ("packed, and says so", lambda p: send(p, post(zlib.compress(b"[" * 10**6), more=(
            "Content-Encoding: deflate\r\n"))), (422, 415)),
        ("no type", lambda p: send(p, post(b"{}", "")), (415,)),
    ]  # fmt: skip


def texts() -> list[Case]:
    """What is wrong with texts."""
    deep = b'{"text":' + b"[" * 500_000 + b"]" * 500_000 + b"}"
    return [
        (name, lambda p, body=body, kind=kind: send(p, post(body, kind)), statuses)
        for name, body, kind, statuses in [
            ("JSON a million deep", deep, "application/json", (422,)),
            ("a number of a million digits", b"1" * 1_000_000, "application/json", (422,)),
            ("half a JSON", b'{"text": "warm', "application/json", (422,)),
            ("another encoding", '{"text": "wärm"}'.encode("latin-1"), "application/json", (422,)),
            ("UTF-16", '{"text": "warm"}'.encode("utf-16"), "application/json", (422,)),
            ("half of a pair", b'{"text": "\\udc00"}', "application/json", (422,)),
            ("a number for a text", b'{"text": 1e999}', "application/json", (422,)),
            ("a thousand texts", json.dumps({"texts": ["a"] * 1_000}).encode(), "application/json", (413,)),
            ("a text of a million letters", json.dumps({"text": "a " * 500_000}).encode(),
             "application/json", (413,)),
            ("a text where a picture is", picture(), "image/png", (415,)),
        ]
    ]  # fmt: skip


def pictures() -> list[Case]:
    """What is wrong with pictures."""
    whole = picture("JPEG", 200)
    return [
        (name, lambda p, body=body, kind=kind: send(p, post(body, kind)), statuses)
        for name, body, kind, statuses in [
            ("cut short", whole[: len(whole) // 3], "image/jpeg", (422,)),
            ("only a head", picture()[:33], "image/png", (422,)),
            ("a bomb", bomb(), "image/png", (413,)),
            ("damaged in the middle", whole[:300] + b"\xff\xd9" + whole[302:320], "image/jpeg", (422,)),
            ("a drawing that is a program", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image/png",
             (422,)),
            ("a page", b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>", "image/svg+xml", (422,)),
            ("nothing", b"", "image/png", (422,)),
            ("JSON", b'{"text": "warm"}', "application/json", (415,)),
        ]
    ]  # fmt: skip
