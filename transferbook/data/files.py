"""Files that are never seen half-written, and what the disk says about them in words.

What is written goes beside its place first and takes it by a rename. `lock` and `scratch_folder` are for what
takes long to make and is worth waiting for; `replacing` is for one file that is made in one go.
"""

from __future__ import annotations

import errno
import os
import pickle
import platform
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ROOT = Path(__file__).resolve().parents[2]  # the folder of the book
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, pickle.UnpicklingError)
_BROKEN += (EOFError, KeyError, RuntimeError, ValueError)  # from torch, for files of another make


class DamagedError(ValueError):
    """A file is not what was written; the message names it."""


def full(error: OSError) -> bool:
    """Whether the disk or the user's share of it is used up."""
    return error.errno in FULL


def reason(error: OSError) -> str:
    """What the disk says, without the number and the path."""
    return "no space is left" if full(error) else error.strerror or str(error) or type(error).__name__


def remedy(error: OSError) -> str:
    """What a reader can do if the cache cannot be written."""
    if full(error):
        return "free some space or set TRANSFERBOOK_CACHE to a folder on another disk"
    return "set TRANSFERBOOK_CACHE to a folder that you can write to"


def folder_of(variable: str) -> Path | None:
    """The folder that an environment variable names; None if it is unset or empty.

    A relative one starts at the folder of the book, the one with `pyproject.toml`, not at the current one,
    which differs from notebook to notebook.

    Raises:
        ValueError: if it is relative and the package does not lie in the book's folder, or begins with `~`
            and a name that is no user's.
    """
    named = os.environ.get(variable)
    if not named:
        return None
    try:
        folder = Path(named).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{variable} is {named}, the folder of nobody known here.") from error
    if not folder.is_absolute() and not (ROOT / "pyproject.toml").is_file():
        raise ValueError(f"{variable} is {named}, which is relative to no known folder; give the whole path.")
    return (ROOT / folder).resolve()


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


def require_writable(path: Path) -> None:
    """Make the folder of a file and see that something can be put there.

    Raises:
        OSError: if not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` at the end; `path` is whole at any moment.

    If anything goes wrong, nothing is left of the new file; what killed processes of this machine left is
    cleared away.

    Raises:
        OSError: if the file cannot be stored, whatever the writing library makes of that.
    """
    import psutil

    path.parent.mkdir(parents=True, exist_ok=True)
    mine = f"{path.name}.{platform.node()}-"
    for stale in path.parent.glob("*.partial"):
        owner = stale.name.removeprefix(mine).removesuffix(".partial")
        if stale.name.startswith(mine) and owner.isdigit() and not psutil.pid_exists(int(owner)):
            stale.unlink(missing_ok=True)
    partial = path.with_name(f"{mine}{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            watched = _Watched(file)
            try:
                yield watched
            except RuntimeError as error:  # torch forgets why it could not write
                if watched.problem is None:
                    raise
                raise watched.problem from error
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_tensors(path: Path) -> Any:
    """What `torch.save` wrote, on the CPU, after its checksums were compared, which torch does not do.

    Raises:
        DamagedError: if the file was cut short, has changed or is of another kind.
        OSError: if it cannot be read.
    """
    import torch

    def refuse(why: object, cause: Exception | None = None) -> NoReturn:
        text = " ".join(str(why).split()).partition(". ")[0].rstrip(".")
        raise DamagedError(f"{path} is damaged ({text})") from cause

    try:
        with zipfile.ZipFile(path) as archive:
            changed = archive.testzip()
        if changed is None:
            return torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        refuse(str(error) or type(error).__name__, error)
    refuse(f"{changed} in it has changed")


class _Watched:
    """A file that remembers why it could not be written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.problem: OSError | None = None

    def write(self, content: bytes) -> int:
        try:
            return self.file.write(content)
        except OSError as error:
            self.problem = error
            raise

    def flush(self) -> None:
        self.file.flush()
