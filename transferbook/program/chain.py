"""A chain of model files: each with a record that holds the hash of its bytes and of the record before it.

So whoever knows the last record's hash knows that nothing before it was exchanged: not a file, not a score.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transferbook.data import files


class ChainError(ValueError):
    """A chain is broken; the message says where and what to do."""


@dataclass(frozen=True)
class Link:
    """One station.

    Attributes:
        file: with the model.
        record: what is known of it; `sha256` is the file's, `before` that of the record before it.
        digest: SHA-256 of the record as it is stored, which the next one holds.
    """

    file: Path
    record: dict[str, Any]
    digest: str

    @property
    def name(self) -> str:
        """The station's name."""
        return self.record["station"]


def add(
    folder: Path, before: Link | None, name: str, ending: str, write: Callable[[Path], object],
    known: Callable[[Path], Mapping[str, Any]], start: str = "",
) -> Link:  # fmt: skip
    """Write a model and, when it is whole, its record.

    Args:
        folder: of the chain.
        before: the station before, None for the first.
        name: of this one.
        ending: of its file, with the dot.
        write: called with the path of the file that it is to write.
        known: called with it afterwards; what the record is to say, as JSON can hold it.
        start: what the first record holds in the place of a hash: what the chain is about.
    """
    number = 1 if before is None else before.record["number"] + 1
    file = folder / f"{number}_{name}{ending}"
    write(file)
    record = {
        "station": name, "number": number, "file": file.name, "bytes": file.stat().st_size,
        "sha256": _hash(file.read_bytes()), "before": start if before is None else before.digest,
        **known(file),
    }  # fmt: skip
    content = (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()
    with files.replacing(_record(folder, number, name)) as opened:
        opened.write(content)
    return Link(file, record, _hash(content))


def read(folder: Path, names: Sequence[str], start: str = "") -> list[Link]:
    """The stations that are there, from the first one on, each compared with its hashes.

    Args:
        folder: of the chain; it may be missing or empty.
        names: of all stations in their order.
        start: see `add`.

    Raises:
        ChainError: if a file or record was changed or removed, or the chain was begun otherwise.
    """
    found: list[Link] = []
    for number, name in enumerate(names, start=1):
        place = _record(folder, number, name)
        if not place.exists():
            later = [_record(folder, k, n) for k, n in enumerate(names, start=1) if k > number]
            if follower := next((other for other in later if other.exists()), None):
                raise ChainError(f"{place} is missing, and {follower.name} builds on it; remove that too.")
            break
        content = place.read_bytes()
        try:
            record = json.loads(content)
            file, stated, before = folder / record["file"], record["sha256"], record["before"]
        except (ValueError, KeyError, TypeError) as error:
            raise ChainError(f"{place} is damaged; remove it and all that come after it.") from error
        expected = found[-1].digest if found else start
        if before != expected:
            what = f"{found[-1].name} has changed since" if found else "it was begun with other settings"
            raise ChainError(f"{place} does not follow from what is before it, for {what}; remove it.")
        if not file.is_file() or _hash(file.read_bytes()) != stated:
            raise ChainError(f"{file} is not the file that {place.name} tells of; remove both.")
        found.append(Link(file, record, _hash(content)))
    return found


def _record(folder: Path, number: int, name: str) -> Path:
    return folder / f"{number}_{name}.json"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
