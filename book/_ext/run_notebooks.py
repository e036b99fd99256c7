"""Runs every notebook as the site is built where `BOOK_EXECUTE=1`; elsewhere, pages show stored results."""

from __future__ import annotations

import os

from sphinx.application import Sphinx
from sphinx.config import Config


def choose(app: Sphinx, config: Config) -> None:
    if os.environ.get("BOOK_EXECUTE") == "1":
        config.nb_execution_mode = "force"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", choose)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
