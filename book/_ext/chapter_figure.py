"""A `chapter-figure` directive: shows a notebook's stored figure on another page, with its alt text."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FORMATS = {"image/svg+xml": "svg", "image/png": "png"}


def find_cell(notebook: dict[str, Any], figure: str) -> dict[str, Any] | None:
    """Return the code cell whose `mystnb.figure.name` is `figure`."""
    for cell in notebook["cells"]:
        if cell["metadata"].get("mystnb", {}).get("figure", {}).get("name") == figure:
            return cell
    return None


def stored_image(cell: dict[str, Any]) -> tuple[bytes, str] | None:
    """Return the first stored image of a cell and its file ending, vector graphics before pixels."""
    for mime, ending in FORMATS.items():
        for output in cell["outputs"]:
            if mime in output.get("data", {}):
                text = "".join(output["data"][mime])
                return (text.encode() if ending == "svg" else base64.b64decode(text)), ending
    return None


class ChapterFigure(SphinxDirective):
    """Takes the notebook, relative to this page, and the name of the figure; the content is the caption."""

    required_arguments = 2
    has_content = True
    option_spec: ClassVar[dict] = {"name": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        if not Path(path).is_file():
            raise self.error(f"There is no notebook {relative}.")
        cell = find_cell(json.loads(Path(path).read_text(encoding="utf-8")), self.arguments[1])
        image = stored_image(cell) if cell else None
        if cell is None or image is None:
            raise self.error(
                f"{relative} has no cell with a stored image and the figure name {self.arguments[1]}."
            )

        data, ending = image
        folder = Path(self.env.doctreedir).parent / "chapter_figures"
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / f"{hashlib.sha256(data).hexdigest()[:20]}.{ending}"
        copy.write_bytes(data)
        page = Path(self.env.doc2path(self.env.docname)).parent
        alt = cell["metadata"]["mystnb"].get("image", {}).get("alt", "")
        figure = nodes.figure("", nodes.image(uri=os.path.relpath(copy, page), alt=alt))
        if self.content:
            caption = nodes.Element()
            self.state.nested_parse(self.content, self.content_offset, caption)
            figure += nodes.caption("", "", *caption[0].children)
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("chapter-figure", ChapterFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
