"""A server of a picture classifier as its users meet it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hostile
import httpx
import numpy as np
import pytest
from PIL import Image

from transferbook.program import classify
from transferbook.serving import running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures each of rows, of columns and of noise."""
    root = tmp_path_factory.mktemp("pictures") / "patterns"
    random = np.random.default_rng(0)
    for name in ("columns", "noise", "rows"):
        (root / name).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(256, size=(48, 64, 3))
            stripes = np.arange(64) // (3 + number % 3) % 2 * 255
            pattern = {"rows": stripes[:48, None, None], "columns": stripes[None, :, None]}.get(name, pixels)
            mixed = (pixels // 4 + pattern * 3 // 4).astype(np.uint8)
            Image.fromarray(mixed).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def model(folder: Path) -> tuple[classify.Model, Path]:
    path = folder.parent / "patterns.model"
    return classify.train(folder, classify.Settings(seconds=0, size=32, cache=False), save=path), path


@pytest.fixture(scope="module")
def server(model) -> Iterator[running.Running]:
    with running.served(model[1], "--window", 100, "--rate", 500, "--burst", 500) as found:
        yield found


def post(server: running.Running, content: bytes, kind: str = "image/png") -> httpx.Response:
    address, headers = f"{server.address}/predict", {"Content-Type": kind}
    return httpx.post(address, content=content, headers=headers, timeout=40, trust_env=False)


def test_it_says_what_the_model_in_the_file_says(model, server, folder):
    files = sorted(folder.rglob("[0-3].png"))
    wanted = model[0].predict(files)
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda file: post(server, file.read_bytes()).json(), files))
    alone = [post(server, file.read_bytes()).json() for file in files[:3]]
    for row, answer in enumerate(found):
        (said,) = answer["predictions"]
        shares = wanted.probabilities[row].tolist()
        assert said["label"] == wanted.names[row]
        assert list(said["probabilities"].values()) == pytest.approx(shares, abs=1e-4)
    for one, other in zip(alone, found, strict=False):
        assert one["predictions"][0]["label"] == other["predictions"][0]["label"]
    batches = [line["batch"] for line in server.log() if line.get("batch")]
    assert max(batches) > 1 and 1 in batches


def test_other_formats_and_a_type_that_is_not_named(model, server, folder):
    with Image.open(folder / "rows" / "0.png") as opened:
        for kind in ("JPEG", "WEBP", "GIF", "BMP", "TIFF"):
            file = io.BytesIO()
            opened.save(file, kind)
            said = post(server, file.getvalue(), "application/octet-stream")
            assert said.status_code == 200 and said.json()["predictions"][0]["label"] == "rows", kind


def test_hostile_pictures_get_one_sentence_and_spoil_no_other(server, folder):
    whole = (folder / "columns" / "0.png").read_bytes()
    cases = hostile.pictures()
    with ThreadPoolExecutor(len(cases) + 4) as pool:
        tasks = [pool.submit(attack, server.port) for _, attack, _ in cases]
        beside = [pool.submit(post, server, whole) for _ in range(4)]
        statuses = [hostile.check(task.result()) for task in tasks]
    wrong = [(case[0], status) for case, status in zip(cases, statuses, strict=True) if status not in case[2]]
    assert wrong == []
    assert {task.result().json()["predictions"][0]["label"] for task in beside} == {"columns"}
    assert not [line for line in server.log() if "failed" in line]
