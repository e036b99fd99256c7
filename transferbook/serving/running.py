"""A server in processes of its own, for as long as a block of code needs it: in tests and load tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transferbook.serving.serve_command import checked_port

HOST = "127.0.0.1"


@dataclass
class Running:
    """A server that runs.

    Attributes:
        address: such as `http://127.0.0.1:8000`.
        process: the one that was started, and will end the others.
        out: the file that its log goes to.
    """

    address: str
    process: subprocess.Popen[bytes]
    out: Path

    @property
    def port(self) -> int:
        """The port of the address."""
        return int(self.address.rpartition(":")[2])

    def log(self) -> list[dict[str, Any]]:
        """The whole lines of the log so far; whatever else was printed is an event of its own."""
        text = self.out.read_text(encoding="utf-8", errors="replace")
        lines = text[: text.rfind("\n") + 1].splitlines()  # the last may be half written
        return [json.loads(line) if line[:1] == "{" else {"event": "printed", "line": line} for line in lines]

    def stop(self, seconds: float = 60.0) -> int:
        """Say stop, wait until all is answered, and give the exit status; one that hangs is killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()


@contextmanager
def served(model: str | Path, *options: object, ready_within: float = 180.0) -> Iterator[Running]:
    """Serve a model on a free port of this machine; it is stopped at the end of the block.

    Args:
        model: as for `python -m transferbook serve`.
        options: of that command, such as `"--batch", 1`.
        ready_within: seconds.

    Raises:
        RuntimeError: if the server ends, or is not ready in time; the message ends with what it said.
    """
    address = f"http://{HOST}:{checked_port(HOST, 0)}"
    port = address.rpartition(":")[2]
    arguments = [str(model), "--port", port, *map(str, options)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "log"
        with open(out, "wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "transferbook", "serve", *arguments],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        running = Running(address, process, out)
        try:
            _wait(running, time.monotonic() + ready_within)
            yield running
        finally:
            running.stop()


def _wait(running: Running, end: float) -> None:
    while running.process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{running.address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    said = running.out.read_text(encoding="utf-8", errors="replace")[-2_000:].strip()
    raise RuntimeError(f"The server is not ready: {said or 'it said nothing'}")
