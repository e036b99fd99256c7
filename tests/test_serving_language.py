"""A server of the language model as its users meet it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import hostile
import httpx
import pytest
import torch

from transferbook.models import language_models
from transferbook.serving import running, workers

QUESTION = {"prompt": "Name three fruits.", "max_tokens": 12}


@pytest.fixture(scope="module")
def server() -> Iterator[running.Running]:
    with running.served("smollm2", "--waiting", 2) as found:
        yield found


@pytest.fixture(scope="module")
def model() -> language_models.LanguageModel:
    return language_models.smollm2()


def ask(server: running.Running, **more: object) -> httpx.Response:
    address, content = f"{server.address}/generate", QUESTION | more
    return httpx.post(address, json=content, timeout=60, trust_env=False)


def test_pieces_joined_are_what_the_model_writes(model):
    for temperature in (0.0, 1.0):
        asked = {"prompt": "In 1805 é 😀", "chat": False, "max_tokens": 8, "seed": 3}
        asked["temperature"] = temperature
        *parts, end = workers.stream_pieces(model, asked)
        how = {"temperature": temperature, "generator": torch.Generator().manual_seed(3)}
        (wanted,) = model.write([asked["prompt"]], 8, **how)
        assert "".join(part["text"] for part in parts) == wanted and end["tokens"] <= 8
        assert end["done"] == ("stop" if end["tokens"] < 8 else "length")


class Letters:
    """A stand-in for a model whose characters take two tokens, or end."""

    stop = 9

    def __init__(self, *tokens: int) -> None:
        self.tokens = iter(tokens)

    def encode(self, texts):
        return torch.zeros(1, 2, dtype=torch.int64), torch.ones(1, 2, dtype=torch.bool)

    def decoder(self, read, mask, cache, last):
        return torch.nn.functional.one_hot(torch.tensor([[next(self.tokens)]]), 10).float()

    def decode(self, tokens):
        return [bytes(b"\xc3\xa4\xc3\xb6ab"[token] for token in row).decode(errors="replace") for row in
                tokens.tolist()]  # fmt: skip


def test_half_of_a_character_is_not_sent():
    asked = {"prompt": "x", "chat": False, "max_tokens": 5, "temperature": 0.0, "seed": 0}
    found = list(workers.stream_pieces(Letters(4, 0, 1, 2, 3), asked))
    assert found == [{"text": "a"}, {"text": "ä"}, {"text": "ö"}, {"done": "length", "tokens": 5}]
    found = list(workers.stream_pieces(Letters(4, 5, 9), asked))
    assert found == [{"text": "a"}, {"text": "b"}, {"done": "stop", "tokens": 2}]
    found = list(workers.stream_pieces(Letters(4, 0, 9), asked))
    assert found == [{"text": "a"}, {"text": "\ufffd"}, {"done": "stop", "tokens": 2}]


def test_a_text_comes_in_pieces_and_at_once(model, server):
    (wanted,) = model.write([model.chat(QUESTION["prompt"])], QUESTION["max_tokens"])
    times, pieces = [], []
    address = f"{server.address}/generate"
    with httpx.stream("POST", address, json=QUESTION, timeout=60, trust_env=False) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        for line in answer.iter_lines():
            times.append(time.monotonic())
            pieces.append(json.loads(line))
    assert "".join(piece.get("text", "") for piece in pieces) == wanted and "done" in pieces[-1]
    assert len(pieces) > 4 and times[-1] - times[0] > 0.02  # as it was written
    whole = ask(server, stream=False).json()
    assert whole["text"] == wanted and whole["tokens"] == pieces[-1]["tokens"]


def test_what_nobody_waits_for_is_not_written(server):
    long = {"prompt": "Write a long story.", "max_tokens": 256}
    with httpx.stream("POST", f"{server.address}/generate", json=long, timeout=60, trust_env=False) as answer:
        next(answer.iter_lines())
    started = time.monotonic()
    assert ask(server).status_code == 200
    soon = time.monotonic() - started
    assert ask(server, prompt=long["prompt"], max_tokens=64, stream=False).status_code == 200
    assert soon < time.monotonic() - started - soon  # 12 tokens, and not what was left of 256 before them


def test_prompts_that_are_none_get_one_sentence(server):
    for body in (b"{}", b'{"prompt": ""}', b'{"prompt": "a", "max_tokens": 1e9}', b"[" * 90_000):
        answer = hostile.send(server.port, hostile.post(body, path="/generate"))
        assert hostile.check(answer) == 422
    answer = hostile.send(server.port, hostile.post(b'{"prompt": "' + b"a" * 5_000 + b'"}', path="/generate"))
    assert hostile.check(answer) == 413
    assert hostile.check(hostile.send(server.port, hostile.post(b"{}"))) == 404  # there is no /predict
    assert not [line for line in server.log() if "failed" in line]
