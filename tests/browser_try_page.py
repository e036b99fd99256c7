"""The page of `transferbook serve` in a real browser: `make test-browser`, which needs Chromium.

It is not part of `make test`, for not every machine has a browser. The browser is spoken to by its own
protocol, over a websocket.
"""

from __future__ import annotations

import base64
import csv
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from transferbook.program import classify
from transferbook.serving import running

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FOUND = next((path for name in NAMES if (path := shutil.which(name))), None)
if FOUND is None:
    pytest.exit("There is no Chromium here, which this test needs; install it, or test by hand.", 1)
SHOTS = os.environ.get("SCREENSHOTS")  # a folder to keep pictures of the pages in
QUICK = classify.Settings(seconds=0, max_tokens=12, size=32, cache=False, pairs=0)


class Page:
    """One tab."""

    def __init__(self, wire: ClientConnection) -> None:
        self.wire = wire
        self.numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "DOM", "Accessibility", "Log"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        self.wire.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self.wire.recv(timeout=60))
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]
            self.events.append(said)

    def run(self, script: str) -> Any:
        said = self.do("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def open(self, address: str, width: int = 1_000) -> None:
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                mobile=width < 500)  # fmt: skip
        self.events.clear()
        self.do("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && document.getElementById('go') !== null")

    def until(self, condition: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < end, self.run("document.body.innerText")
            time.sleep(0.05)

    def key(self, name: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            which = {"key": name, "code": name, "windowsVirtualKeyCode": code}
            self.do("Input.dispatchKeyEvent", type=kind, **which, **more)

    def roles(self) -> dict[str, list[str]]:
        """Role -> the names of what has it, as a screen reader meets them."""
        found: dict[str, list[str]] = {}
        for node in self.do("Accessibility.getFullAXTree")["nodes"]:
            if not node.get("ignored"):
                role = node.get("role", {}).get("value", "")
                found.setdefault(role, []).append(node.get("name", {}).get("value", ""))
        return found

    def shot(self, name: str) -> None:
        if SHOTS:
            data = self.do("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
            Path(SHOTS, f"{name}.png").write_bytes(base64.b64decode(data))

    def check(self, address: str) -> None:
        """Nothing came from elsewhere, nothing was complained of, and nothing scrolls sideways."""
        asked = [event["params"]["request"]["url"] for event in self.events
                 if event.get("method") == "Network.requestWillBeSent"]  # fmt: skip
        assert asked and all(url.startswith((address, "blob:", "data:")) for url in asked), asked
        logged = [event["params"]["entry"] for event in self.events
                  if event.get("method") == "Log.entryAdded"]  # fmt: skip
        assert [entry for entry in logged if "favicon" not in entry.get("url", "")] == []
        assert not [event for event in self.events if event.get("method") == "Runtime.exceptionThrown"]
        assert self.run("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("browser")
    process = subprocess.Popen(
        [FOUND, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
         f"--user-data-dir={folder}", "about:blank"],
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while not (folder / "DevToolsActivePort").exists() and time.monotonic() < end:
            time.sleep(0.1)
        port = (folder / "DevToolsActivePort").read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
            tab = next(tab for tab in json.load(answer) if tab["type"] == "page")
        with connect(tab["webSocketDebuggerUrl"], max_size=2**26, ping_interval=None) as wire:
            yield Page(wire)
    finally:
        process.terminate()
        process.wait(30)


def test_a_text_by_keyboard_alone(page, tmp_path):
    with open(tmp_path / "reviews.csv", "w", newline="", encoding="utf-8") as file:
        rows = [(f"a {word} film, no. {n}", label) for n in range(20)
                for word, label in (("warm", "good"), ("dull", "bad"))]  # fmt: skip
        csv.writer(file).writerows([("text", "label"), *rows])
    classify.train(tmp_path / "reviews.csv", QUICK, save=tmp_path / "reviews.model")
    with running.served(tmp_path / "reviews.model") as server:
        for width in (1_000, 390):
            page.open(f"{server.address}/", width)
            roles = page.roles()
            named = {role: roles[role][0] for role in ("textbox", "button", "status")}
            assert named == {"textbox": "A text", "button": "Classify", "status": "Answer"}
            assert page.run("document.querySelector('[role=status]').ariaLive") == "polite"
            page.key("Tab", 9)
            assert page.run("document.activeElement.id") == "text"
            page.key("Tab", 9)
            assert page.run("document.activeElement.id") == "go"
            assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
            page.key("Enter", 13, "\r")
            page.until("document.getElementById('answer').innerText.includes('Write something first.')")
            assert page.run("document.activeElement.id") == "text"
            page.do("Input.insertText", text="a warm film <b>no. 1</b>")
            page.key("Tab", 9)
            page.key("Enter", 13, "\r")
            page.until("document.querySelector('#answer caption') !== null")
            assert page.run("document.querySelector('#answer caption').innerText").startswith("good (")
            assert page.run("document.activeElement.id") == "go"  # the focus stays
            page.shot(f"texts_{width}")
            page.check(server.address)
        page.run("document.getElementById('text').value = ' '.repeat(9) + 'x'.repeat(30000)")
        page.run("document.getElementById('go').click()")
        page.until("document.querySelector('#answer .bad') !== null")
        assert "at most 20,000 are read." in page.run("document.getElementById('answer').innerText")
        page.do("Page.navigate", url=f"{server.address}/docs")
        page.until("document.title.startsWith('Addresses')")
        page.shot("docs")
        assert page.run("document.documentElement.scrollWidth <= window.innerWidth")
    page.run("history.back()")


def test_a_picture_by_file_and_by_drop(page, tmp_path):
    random = np.random.default_rng(0)
    for name in ("dark", "light"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(60, size=(48, 48, 3)) + (190 if name == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pictures" / name / f"{number}.png")
    classify.train(tmp_path / "pictures", QUICK, save=tmp_path / "pictures.model")
    with running.served(tmp_path / "pictures.model") as server:
        page.open(f"{server.address}/", 390)
        assert any("choose a file, take one with the camera, or drop" in name
                   for names in page.roles().values() for name in names)  # fmt: skip
        page.run("document.getElementById('go').click()")
        page.until("document.getElementById('answer').innerText.includes('Choose a picture first.')")
        root = page.do("DOM.getDocument")["root"]["nodeId"]
        field = page.do("DOM.querySelector", nodeId=root, selector="#picture")["nodeId"]
        file = tmp_path / "pictures" / "dark" / "0.png"
        page.do("DOM.setFileInputFiles", nodeId=field, files=[str(file)])
        page.until("document.getElementById('shown').naturalWidth === 48")
        page.run("document.getElementById('go').click()")
        page.until("document.querySelector('#answer caption') !== null")
        assert page.run("document.querySelector('#answer caption').innerText").startswith("dark (")
        content = base64.b64encode((tmp_path / "pictures" / "light" / "0.png").read_bytes()).decode()
        page.run(f"""(async () => {{
          const bytes = Uint8Array.from(atob("{content}"), (letter) => letter.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], "dropped.png", {{ type: "image/png" }}));
          const drop = document.getElementById("drop");
          const facts = {{ dataTransfer: data, bubbles: true, cancelable: true }};
          for (const name of ["dragover", "drop"]) drop.dispatchEvent(new DragEvent(name, facts));
        }})()""")
        page.until("document.getElementById('answer').innerText.includes('dropped.png is chosen.')")
        page.run("document.getElementById('go').click()")
        page.until("document.querySelector('#answer caption') !== null")
        assert page.run("document.querySelector('#answer caption').innerText").startswith("light (")
        page.shot("pictures_390")
        page.check(server.address)


def test_a_question_is_answered_in_pieces(page):
    with running.served("smollm2") as server:
        page.open(f"{server.address}/")
        page.run("document.getElementById('prompt').focus()")
        page.do("Input.insertText", text="Name three fruits.")
        page.run("document.getElementById('go').click()")
        page.until("document.getElementById('answer').ariaBusy === 'true'")
        page.until("document.getElementById('answer').ariaBusy === 'false'")
        assert len(page.run("document.getElementById('answer').innerText")) > 20
        page.shot("language")
        page.check(server.address)
