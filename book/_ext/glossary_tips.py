"""Shows a term's definition where a page links to it: on hover, on focus and on the first tap.

The definitions go into one script, `_static/glossary_terms.js`, which pages with such links load together
with `_static/glossary_tips.js`. Without scripts, the links lead to the glossary as ever.
"""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

TAGS = {"emphasis": "em", "strong": "strong", "literal": "code", "subscript": "sub", "superscript": "sup"}
HOME = re.compile(
    r"\s*At home in .*", re.DOTALL
)  # the last line of an entry leads to a page: no part of a tip


def markup(node: nodes.Node) -> str:
    """The words of a definition, with no more markup than a tip needs."""
    if isinstance(node, nodes.Text):
        return escape(node.astext(), quote=False)
    inside = "".join(markup(child) for child in node.children)
    if isinstance(node, nodes.math):
        return f"<code>{inside}</code>"
    tag = TAGS.get(node.__class__.__name__)
    return f"<{tag}>{inside}</{tag}>" if tag else inside


def definitions(doctree: nodes.document) -> dict[str, str]:
    """Anchor of each term of a page's glossaries -> its definition as HTML."""
    found = {}
    for item in doctree.findall(nodes.definition_list_item):
        terms = [term for term in item.findall(nodes.term) if term["ids"]]
        text = " ".join(markup(part) for part in item.findall(nodes.paragraph))
        for term in terms:
            name = escape(term.astext(), quote=False)
            found[term["ids"][0]] = f"<strong>{name}</strong> {' '.join(HOME.sub('', text).split())}"
    return found


def write_definitions(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Put the definitions of all glossaries into one script."""
    if app.builder.format == "html":
        found: dict[str, str] = {}
        places = {place for _, _, kind, place, _, _ in env.get_domain("std").get_objects() if kind == "term"}
        for place in sorted(places):
            found |= definitions(env.get_doctree(place))
        script = Path(app.outdir, "_static", "glossary_terms.js")
        script.parent.mkdir(parents=True, exist_ok=True)
        listed = json.dumps(found, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        script.write_text(f"window.glossaryTerms={listed};\n", encoding="utf-8")
    return []


def add_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Load both scripts on the pages that link to a term."""
    if doctree is not None and any("std-term" in node["classes"] for node in doctree.findall(nodes.inline)):
        app.add_js_file("glossary_terms.js", loading_method="defer")
        app.add_js_file("glossary_tips.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("env-updated", write_definitions)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
