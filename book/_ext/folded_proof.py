"""Folds a `prf:proof` of class `dropdown`, which sphinx-proof leaves without the title of a toggle button."""

from __future__ import annotations

from docutils import nodes
from html_element import html_element
from sphinx.application import Sphinx
from sphinx_proof.nodes import proof_node

PREFIX = "Proof. "  # which sphinx-proof puts before the first line


def fold(app: Sphinx, doctree: nodes.document) -> None:
    """Make a `details` element of each proof that is to be folded."""
    for proof in list(doctree.findall(proof_node)):
        body = proof.children[0]
        if "dropdown" not in body["classes"]:
            continue
        first = next(body.findall(nodes.Text))
        if first.startswith(PREFIX.strip()):
            first.parent.replace(first, nodes.Text(first[len(PREFIX) :]))
        title = html_element("summary", nodes.Text("Proof"))
        # The script that opens folded things for print knows them by this class.
        proof.replace_self(
            html_element("details", title, *body.children, classes=["proof", "toggle-details"])
        )


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("html_element")
    app.connect("doctree-read", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
