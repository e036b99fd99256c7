"""The licences of all packages of the lock, from the metadata of those that are installed.

    .venv/bin/python .ci/licences.py         writes requirements-licences.md
    .venv/bin/python .ci/licences.py check   says what is out of date in it

A licence that no metadata names is said by hand, in `.ci/packages.toml`. What is installed differs by system
and Python: the row of a package that is not here, or is locked in several versions, stands while these do.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from email.message import Message
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "requirements-licences.md"
LONGEST = 80  # some packages put the whole text where the name belongs
HEAD = """# Licences of the packages

`make licences` writes this table from the metadata of the packages that `requirements.txt` locks. A note says
where a licence was read that no metadata names. The book ships none of these packages; pip fetches them. Data
sets and pretrained models have a page of their own, [Data and models](book/data_and_models.md).

| package | version | licence | note |
|---|---|---|---|
"""


def pins(lock: str) -> dict[str, str]:
    """Package -> its locked version, or versions, of which each is for other Pythons."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([\w.+!]+)", lock, re.MULTILINE):
        found.setdefault(name, []).append(version)
    return {name: ", ".join(versions) for name, versions in found.items()}


def licence(of: Message) -> str | None:
    """What the metadata of a package names: an SPDX expression, else classifiers, else a short text."""
    classifiers = [line.split(" :: ") for line in of.get_all("Classifier", [])]
    named = {parts[-1] for parts in classifiers if parts[0] == "License" and parts[-1] != "OSI Approved"}
    short = " ".join((of.get("License") or "").split())
    short = short if len(short) <= LONGEST and short.upper() != "UNKNOWN" else ""
    return of.get("License-Expression") or ", ".join(sorted(named)) or short or None


def standing(page: str) -> dict[str, str]:
    """Package -> its row on the page."""
    return {row[1]: row[0] for row in re.finditer(r"^\| (\S+) \| \d.* \|$", page, re.MULTILINE)}


def rows(lock: str, by_hand: dict[str, dict[str, str]], page: str) -> Iterable[str]:
    """A row of the table for each package of the lock.

    Raises:
        ValueError: if a licence is unknown, or said by hand without need.
    """
    locked, before = pins(lock), standing(page)
    if strangers := sorted(by_hand.keys() - locked.keys()):
        raise ValueError(f".ci/packages.toml speaks of {', '.join(strangers)}, which the lock does not have.")
    for name, version in locked.items():
        installed = None
        with suppress(metadata.PackageNotFoundError):
            installed = metadata.distribution(name)
        here = installed is not None and installed.version in version.split(", ")
        found = licence(installed.metadata) if here else None
        if found and name in by_hand:
            raise ValueError(f"{name} names its licence, {found}: take it out of .ci/packages.toml.")
        kept = before.get(name, "")
        if kept.startswith(f"| {name} | {version} | ") and (", " in version or not here):
            yield kept
        elif found or name in by_hand:
            said = by_hand.get(name, {"licence": found, "said": ""})
            yield f"| {name} | {version} | {said['licence']} | {said['said']} |"
        else:
            raise ValueError(f"{name} names no licence: read it, and say it in .ci/packages.toml.")


def main(check: bool) -> str | None:
    """Write the page, or say in a sentence what is wrong."""
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    by_hand = tomllib.loads((ROOT / ".ci/packages.toml").read_text(encoding="utf-8"))["licences"]
    before = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    try:
        page = HEAD + "".join(f"{row}\n" for row in rows(lock, by_hand, before))
    except ValueError as error:
        return str(error)
    if check:
        return None if page == before else f"{PAGE.name} is out of date: make licences."
    PAGE.write_text(page, encoding="utf-8")
    print(f"Wrote {PAGE.name}: {len(pins(lock))} packages.")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] == ["check"]))
