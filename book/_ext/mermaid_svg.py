"""A `mermaid` directive: the diagram becomes inline SVG as the site is built, in the colours of the page."""

from __future__ import annotations

import hashlib
import html
import re
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# Mermaid computes with colours: it gets a recognisable one for each role, later replaced by a CSS variable.
ROLES = {
    "#111101": "surface",
    "#111102": "text",
    "#111103": "border",
    "#111104": "line",
    "#111105": "group",
    "#111106": "background",
}
SURFACE, TEXT, BORDER, LINE, GROUP, BACKGROUND = ROLES
THEME = {
    "primaryColor": SURFACE,
    "mainBkg": SURFACE,
    "primaryTextColor": TEXT,
    "textColor": TEXT,
    "titleColor": TEXT,
    "primaryBorderColor": BORDER,
    "nodeBorder": BORDER,
    "lineColor": LINE,
    "secondaryColor": SURFACE,
    "tertiaryColor": GROUP,
    "clusterBkg": GROUP,
    "clusterBorder": BORDER,
    "edgeLabelBackground": BACKGROUND,
}
SETTINGS = {
    "theme": "base",
    "fontFamily": "Arial, Helvetica, sans-serif",
    "htmlLabels": False,
    "flowchart": {"htmlLabels": False, "padding": 12},
    "themeVariables": THEME,
}


def svg(source: str, alt: str) -> str:
    """Return `source` as an SVG element whose colours are the CSS variables `--diagram-*`."""
    import mermaidx

    drawing = mermaidx.render(source, config=SETTINGS).svg()
    for color, role in ROLES.items():
        drawing = drawing.replace(color, f"var(--diagram-{role})")
    identifier = "diagram-" + hashlib.sha256(source.encode()).hexdigest()[:10]
    drawing = drawing.replace("my-svg", identifier)
    drawing = re.sub(r'\s(?:role|aria-roledescription)="[^"]*"', "", drawing, count=2)
    return drawing.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt)}"', 1)


class Mermaid(SphinxDirective):
    """`:alt:` is required; `:name:` makes the diagram a target; `:caption:` numbers it as a figure."""

    has_content = True
    option_spec: ClassVar[dict] = {
        "alt": directives.unchanged_required,
        "caption": directives.unchanged,
        "name": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        alt = self.options.get("alt", "")
        if len(alt) < 40:
            raise self.error("A mermaid diagram needs an :alt: text of at least 40 characters.")
        figure = nodes.figure("", classes=["diagram"])
        figure += nodes.raw("", svg("\n".join(self.content), alt), format="html")
        if caption := self.options.get("caption"):
            text, _ = self.state.inline_text(caption, self.lineno)
            figure += nodes.caption(caption, "", *text)
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("mermaid", Mermaid)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
