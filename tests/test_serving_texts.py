"""A server of a text classifier as its users meet it: one is started, and stopped in the last test."""

from __future__ import annotations

import csv
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hostile
import httpx
import psutil
import pytest

from transferbook.program import classify
from transferbook.serving import load, running

GOOD, BAD = ("warm", "funny", "gripping", "lovely"), ("dull", "clumsy", "lifeless", "boring")
TEXTS = [f"{'a ' * (number % 5)}{(GOOD + BAD)[number % 8]} film, no. {number}" for number in range(12)]
WINDOW, WAITING = 0.3, 8  # seconds that the first request waits for others; requests that may wait


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[classify.Model, Path]:
    folder = tmp_path_factory.mktemp("served")
    with open(folder / "reviews.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(40):
            writer.writerow([f"a {GOOD[number % 4]} film, no. {number}", "good"])
            writer.writerow([f"a {BAD[number % 4]} film, no. {number}", "bad"])
    settings = classify.Settings(seconds=0, max_tokens=16, cache=False, pairs=0, abstain_below=0.6)
    path = folder / "reviews.model"
    return classify.train(folder / "reviews.csv", settings, save=path), path


@pytest.fixture(scope="module")
def server(model) -> Iterator[running.Running]:
    options = ("--window", 1_000 * WINDOW, "--batch", 32, "--waiting", WAITING, "--rate", 500, "--burst", 500)
    with running.served(model[1], *options) as found:
        yield found


def post(server: running.Running, content: object) -> httpx.Response:
    return httpx.post(f"{server.address}/predict", json=content, timeout=40, trust_env=False)


def metrics_of(server: running.Running) -> str:
    return httpx.get(f"{server.address}/metrics", timeout=40, trust_env=False).text


def test_it_says_what_the_model_in_the_file_says(model, server):
    said = post(server, {"texts": TEXTS}).json()
    wanted = model[0].predict(TEXTS)
    assert len(said["predictions"]) == len(TEXTS)
    rows = zip(said["predictions"], wanted.names, wanted.confidence, wanted.probabilities, strict=True)
    for found, name, sure, shares in rows:
        assert found["label"] == (name or None)
        assert found["confidence"] == pytest.approx(float(sure), abs=1e-5)
        assert list(found["probabilities"]) == ["bad", "good"]
        assert list(found["probabilities"].values()) == pytest.approx(shares.tolist(), abs=1e-5)
    card = httpx.get(f"{server.address}/model", timeout=40, trust_env=False).json()
    assert card["sha256"].startswith(said["model"]) and card["classes"] == ["bad", "good"]
    assert card["examples"]["train"] + card["examples"]["valid"] + card["examples"]["test"] == 80
    assert not hostile.SHOWN.search(json.dumps(card).replace("/predict", ""))


def test_one_by_one_or_together_the_decisions_are_the_same(server):
    texts = TEXTS[:WAITING]
    alone = [post(server, {"text": text}).json()["predictions"][0] for text in texts[:5]]
    payloads = [{"text": text} for text in texts]
    trace = load.closed_loop(f"{server.address}/predict", payloads, clients=len(texts))
    assert trace.served.all()
    together = [answer["predictions"][0] for answer in trace.answers]
    for one, other in zip(alone, together, strict=False):
        assert one["label"] == other["label"]
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-5)
    batches = [line["batch"] for line in server.log() if line.get("batch")]
    assert max(batches) >= 4 and batches.count(1) >= 5  # they were computed together, and alone


def test_under_pressure_some_are_told_when_to_come_again(server):
    payloads = [{"text": text} for text in TEXTS + TEXTS]
    trace = load.closed_loop(f"{server.address}/predict", payloads, clients=len(payloads))
    assert set(trace.status) == {200, 429} and WAITING <= (trace.status == 200).sum() < len(payloads)
    refused = [answer for answer, status in zip(trace.answers, trace.status, strict=True) if status == 429]
    assert all(re.search(r"try again in \d+ s\.$", answer["error"]) for answer in refused)
    assert post(server, {"text": "warm"}).status_code == 200


def test_hostile_requests_get_one_sentence_and_stop_nothing(server):
    cases = [*hostile.anywhere(), *hostile.texts()]
    assert len(cases) >= 40
    before = post(server, {"text": "a warm film"}).json()["predictions"][0]
    processes = {process.pid for process in psutil.Process(server.process.pid).children(recursive=True)}
    with ThreadPoolExecutor(8) as pool:
        tasks = {name: pool.submit(attack, server.port) for name, attack, _ in cases}
        wrong = []
        for name, _, allowed in cases:
            status = hostile.check(tasks[name].result())
            wrong += [(name, status)] if status not in allowed else []
    assert wrong == []
    after = post(server, {"text": "a warm film"}).json()["predictions"][0]
    assert after["label"] == before["label"] == "good"
    assert after["confidence"] == pytest.approx(before["confidence"], abs=1e-5)
    still = {process.pid for process in psutil.Process(server.process.pid).children(recursive=True)}
    assert still == processes
    assert not [line for line in server.log() if "failed" in line or line.get("status") == 500]
    health = httpx.get(f"{server.address}/health", timeout=40, trust_env=False)
    assert (health.status_code, health.json()) == (200, {"status": "ready"})


def test_pages_and_metrics_are_there_and_say_nothing_of_the_users(server):
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/try.js", "/try.css"):
        found = httpx.get(f"{server.address}{path}", timeout=40, trust_env=False)
        assert found.status_code == 200 and "no. 3" not in found.text
    counts = dict(re.findall(r'requests_total\{route="/predict",status="(\d+)"\} (\S+)', metrics_of(server)))
    assert float(counts["200"]) >= 17 and float(counts["429"]) >= 1 and float(counts["413"]) >= 3
    log = server.out.read_text(encoding="utf-8")
    assert "no. 3" not in log and "warm" not in log and "Traceback" not in log
    assert all(line["event"] != "printed" or line["line"].startswith("Loading") for line in server.log())


def test_told_to_stop_it_answers_what_it_has_and_ends(server):
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(post(server, {"text": "a warm film"})))
    children = psutil.Process(server.process.pid).children(recursive=True)
    asking.start()
    while not answers and "transferbook_waiting 1.0" not in metrics_of(server):
        time.sleep(0.01)  # until it waits for others
    assert server.stop() == 0
    asking.join(10)
    assert answers[0].status_code == 200 and answers[0].json()["predictions"][0]["label"] == "good"
    with pytest.raises(httpx.ConnectError):
        post(server, {"text": "a warm film"})
    assert server.log()[-1]["event"] == "stopped"
    _, left = psutil.wait_procs(children, timeout=10)
    assert left == []
