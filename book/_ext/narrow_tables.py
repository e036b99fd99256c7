"""Lets a cell `0.142 [0.118, 0.167]` of a table of results break before its interval, as phones need it."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

CELL = re.compile(r"(?P<estimate><td(?: class=\"number\")?>[^<\[]+)(?P<interval>\[[^<\]]+\])")


def mark_intervals(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put each interval into a `span` of its own, which custom.css keeps together as long as it fits."""
    if "body" in context:
        context["body"] = CELL.sub(r'\g<estimate><span class="interval">\g<interval></span>', context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", mark_intervals)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
