"""Keeps the built site small and on its own host: few icons, no source maps, one bundle of MathJax."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

FONT = "vendor/fontawesome/webfonts/fa-solid-900.ttf"
# What tex-chtml.js can ask for while it typesets; everything else repeats the same code in other bundles.
MATHJAX_KEPT = ("tex-chtml.js", "output/chtml", "input/tex/extensions", "ui", "a11y", "sre")


def subset_icons(site: Path) -> None:
    """Cut the icon font down to the icons that the pages and stylesheets name, and its rules with it."""
    from fontTools import subset

    logging.getLogger("fontTools").setLevel("WARNING")
    static = site / "_static"
    pages = "".join(page.read_text(encoding="utf-8") for page in site.rglob("*.html"))
    names = set(re.findall(r"\bfa-[a-z0-9-]+", pages))
    theme = static / "styles/pydata-sphinx-theme.css"
    css = theme.read_text(encoding="utf-8")

    def keep_used(rule: re.Match[str]) -> str:
        selectors = re.findall(r"fa-[a-z0-9-]+", rule["selectors"])
        return rule[0] if names.intersection(selectors) else ""

    css = re.sub(r'(?P<selectors>(?:\.fa-[a-z0-9-]+:?:before,?)+)\{content:"[^"]*"\}', keep_used, css)
    css = re.sub(r"@font-face\{[^}]*fa-(?:regular|brands)-400[^}]*\}", "", css)
    css, faces = re.subn(
        r"src:url\([^)]*fa-solid-900\.woff2\)[^}]*", 'src:url(../icons.woff) format("woff")', css
    )
    if faces != 1:
        raise ExtensionError("The theme's stylesheet names its icon font in a new way: adapt subset_icons.")
    theme.write_text(css, encoding="utf-8")
    sheets = "".join(sheet.read_text(encoding="utf-8") for sheet in static.rglob("*.css"))
    characters = {int(code, 16) for code in re.findall(r"\\(f[0-9a-f]{3})", sheets)}
    characters |= {ord(char) for char in sheets if 0xE000 <= ord(char) <= 0xF8FF}

    options = subset.Options(flavor="woff", layout_features=[], notdef_outline=True)
    font = subset.load_font(str(static / FONT), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=characters)
    subsetter.subset(font)
    subset.save_font(font, str(static / "icons.woff"), options)


def trim_mathjax(folder: Path) -> None:
    """Keep the one bundle in use, and blank the addresses that it holds for Internet Explorer."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and not path.relative_to(folder).as_posix().startswith(MATHJAX_KEPT):
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for script in folder.rglob("*.js"):
        text = script.read_text(encoding="utf-8")
        if "https://cdn.jsdelivr.net/" in text:
            script.write_text(text.replace("https://cdn.jsdelivr.net/", ""), encoding="utf-8")


def add_addresses(app: Sphinx, config: Config) -> None:
    """A site map and link previews need the site's own address: there are some only where it is known."""
    if config.html_baseurl:
        app.setup_extension("sphinx_sitemap")
        config.sitemap_url_scheme = "{link}"
        app.setup_extension("sphinxext.opengraph")
        config.ogp_site_url = config.html_baseurl
        config.ogp_social_cards = {"enable": False}


def drop_unused_mathjax(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Sphinx loads MathJax on the first page if any page below it has formulas; it may have none itself."""
    if doctree is None or not any(
        doctree.findall(lambda node: isinstance(node, nodes.math | nodes.math_block))
    ):
        scripts = context["script_files"]
        scripts[:] = [
            script for script in scripts if "mathjax/" not in str(getattr(script, "filename", script))
        ]


def finish(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    site = Path(app.outdir)
    trim_mathjax(site / "_static/mathjax")  # which is copied anew each time
    if not (site / "_static" / FONT).exists():
        return  # no page has changed, so that Sphinx has copied nothing else anew
    subset_icons(site)
    for path in (site / "_static").rglob("*.map"):
        path.unlink()
    (site / "_static/scripts/fontawesome.js").unlink(missing_ok=True)
    for folder in ("vendor", "locales"):
        shutil.rmtree(site / "_static" / folder, ignore_errors=True)
    (site / ".nojekyll").touch()


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", add_addresses)
    app.connect("html-page-context", drop_unused_mathjax, priority=900)  # after sphinx.ext.mathjax
    app.connect("build-finished", finish, priority=900)  # after the extensions that copy their files
    return {"parallel_read_safe": True, "parallel_write_safe": True}
