"""A document node for one HTML element, which the book's own directives are built of."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator


class html_element(nodes.General, nodes.Element):
    """`html_element("legend")`: its children stand inside `<legend>`; its classes and ids are the tag's."""

    def __init__(self, tag: str = "div", *children: nodes.Node, **attributes: Any) -> None:
        classes = attributes.pop("classes", [])
        super().__init__("", *children, tag=tag, html=attributes, classes=classes)

    def copy(self) -> html_element:
        return html_element(self["tag"], classes=list(self["classes"]), **self["html"])


def visit(translator: HTML5Translator, node: html_element) -> None:
    attributes = {name.rstrip("_").replace("_", "-"): value for name, value in node["html"].items()}
    translator.body.append(translator.starttag(node, node["tag"], "", **attributes))


def depart(translator: HTML5Translator, node: html_element) -> None:
    if node["tag"] != "input":
        translator.body.append(f"</{node['tag']}>")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(html_element, html=(visit, depart))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
