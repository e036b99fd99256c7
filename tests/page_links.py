"""Whether the links and the glued numbers of a page of prose lead to something that exists."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import nbformat
from markdown_it.tree import SyntaxTreeNode
from myst_parser.mdit_to_docutils.base import compute_unique_slug, default_slugify
from prose_rules import parse

ADDRESS = re.compile(r"\]\(([^)\s]+)\)")
GLUED = re.compile(r"\{glue:text\}`([^`:]+)::(\w+)(?::[^`]*)?`")


@cache
def anchors(path: Path) -> frozenset[str]:
    """What a link from another page may name after the `#`: the headings, down to the third level."""
    slugs: set[str] = set()
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for node in SyntaxTreeNode(parse(text)).children:
        if node.type == "heading" and int(node.tag[1]) <= 3:
            slugs.add(compute_unique_slug(node, slugs, default_slugify))
    return frozenset(slugs)


def dead_links(cell: str, page: Path) -> list[str]:
    """One sentence for each link within the book whose page or heading does not exist."""
    found = []
    for address in ADDRESS.findall(cell):
        name, _, anchor = address.partition("#")
        path = Path(os.path.normpath(page.parent / name)) if name else page
        if re.match(r"[a-z]+:", address):
            continue
        if not path.is_file():
            found.append(f"there is no page {address}")
        elif anchor and anchor not in anchors(path):
            found.append(f"{path.name} has no heading #{anchor}")
    return found


@cache
def numbers(path: Path) -> frozenset[str]:
    """The names that a notebook has glued, as stored in its outputs."""
    cells = nbformat.read(path, as_version=4).cells
    stored = [
        output.get("metadata", {}).get("scrapbook") for cell in cells for output in cell.get("outputs", [])
    ]
    return frozenset(entry["name"] for entry in stored if entry)


def missing_numbers(text: str, page: Path) -> list[str]:
    """One sentence for each number of a notebook that a text glues and the notebook has not stored."""
    found = []
    for name, number in GLUED.findall(text):
        path = Path(os.path.normpath(page.parent / name))
        if not path.is_file():
            found.append(f"there is no notebook {name}")
        elif number not in numbers(path):
            found.append(f"{path.name} has no number {number}")
    return found
