"""Tarballs of npm's registry, read through the methods of `zipfile.ZipFile` that `assets` uses."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_DAMAGE = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error)


class BadTarball(Exception):
    """A file that is no gzipped tarball, or a damaged one."""


@dataclass(frozen=True)
class Member:
    """A file of a tarball and its size in bytes."""

    file_size: int


class Tarball:
    """The files of a gzipped tarball by their names, open for reading.

    Raises:
        BadTarball: if it is damaged, here or when a member is read.
        OSError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        with _damage(), ExitStack() as closing:
            self._archive = closing.enter_context(tarfile.open(path, "r:gz"))
            self._members = {member.name: member for member in self._archive if member.isfile()}
            closing.pop_all()  # listed: it stays open

    def __enter__(self) -> Tarball:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def namelist(self) -> list[str]:
        """The names of all files, in the order of the archive."""
        return list(self._members)

    def getinfo(self, name: str) -> Member:
        """The size of a file; `KeyError` if there is none of that name."""
        return Member(self._members[name].size)

    def read(self, name: str) -> bytes:
        """The bytes of a file; `KeyError` if there is none of that name."""
        with _damage():
            file = self._archive.extractfile(self._members[name])
            assert file is not None  # only files are listed
            return file.read()

    def open(self, name: str) -> io.BytesIO:
        """The same, to be read like a file."""
        return io.BytesIO(self.read(name))


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise BadTarball(error) from error
