"""Rules for the built site: each function returns one sentence per violation."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup, Tag

ALT_LENGTH = 40
# What a browser fetches by itself, tag by tag. Links that a reader may click are no loads.
LOADS = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "embed": ("src",),
    "audio": ("src",),
    "video": ("src", "poster"),
    "track": ("src",),
    "object": ("data",),
    "input": ("src",),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
    "feimage": ("href", "xlink:href"),
    "base": ("href",),
}
LINKS_THAT_LOAD = {
    "stylesheet",
    "preload",
    "modulepreload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "icon",
    "apple-touch-icon",
    "manifest",
}
HOSTS = (
    "cdn.jsdelivr.net",
    "unpkg.com",
    "cdnjs.cloudflare.com",
    "esm.sh",
    "cdn.skypack.dev",
    "jspm.",
    "fonts.googleapis.com",
    "fonts.gstatic.com",
    "ajax.googleapis.com",
    "googletagmanager.com",
    "google-analytics.com",
    "plausible.io",
    "hypothes.is",
    "utteranc.es",
    "code.jquery.com",
    "polyfill.io",
    "fontawesome.com",
    "cdn.mathjax.org",
    "mybinder.org",
)
SCRIPT_LOADS = re.compile(
    r"""(?:\bimport\s*\(?|\bfrom|\bfetch\s*\(|\bimportScripts\s*\(|\bWebSocket\s*\(|\bWorker\s*\(|\.(?:src|href)\s*=|"""
    r"""\.open\s*\(\s*["'][A-Z]+["']\s*,)\s*["'`]((?:https?:|wss?:)?//[^"'`]+)"""
)
STYLE_LOADS = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)
RAW_SYNTAX = re.compile(r"\{[a-z]+(?:[:-][a-z]+)*\}`|\{\{\s*\w+\s*\}\}|:::+\s*\{")


def is_foreign(address: str) -> bool:
    """Whether an address, as it stands in an attribute, names a host."""
    return re.match(r"\s*(?:(?:https?|wss?|ftp):)?//", address, re.IGNORECASE) is not None


def parsed_pages(site: Path) -> Iterator[tuple[str, BeautifulSoup]]:
    """Every HTML page of the site with its name."""
    for page in sorted(site.rglob("*.html")):
        if not page.is_relative_to(site / "_static"):
            yield (
                page.relative_to(site).as_posix(),
                BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser"),
            )


def style_loads(css: str) -> list[str]:
    """Addresses on other hosts that a stylesheet loads."""
    return STYLE_LOADS.findall(re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL))


def script_loads(code: str) -> list[str]:
    """Addresses on other hosts that a script loads, and hosts in it that serve nothing but loads."""
    return SCRIPT_LOADS.findall(code) + [host for host in HOSTS if f"//{host}" in code or f".{host}" in code]


def markup_loads(markup: BeautifulSoup) -> list[str]:
    """Addresses on other hosts that a page or an SVG file loads."""
    found = []
    for tag in markup.find_all(True):
        attributes = LOADS.get(tag.name.lower(), ())
        if tag.name == "link" and LINKS_THAT_LOAD.intersection(tag.get_attribute_list("rel")):
            attributes = ("href",)
        for name in attributes:
            addresses = (part.strip() for part in str(tag.get(name, "")).split(","))
            found += [address for address in addresses if is_foreign(address)]
        if tag.name == "meta" and str(tag.get("http-equiv", "")).lower() == "refresh":
            found += re.findall(r"url=\s*((?:https?:)?//\S+)", str(tag.get("content", "")), re.IGNORECASE)
        found += style_loads(str(tag.get("style", "")))
    for style in markup.find_all("style"):
        found += style_loads(style.get_text())
    for script in markup.find_all("script"):
        found += script_loads(script.get_text())
    return found


def foreign_loads(site: Path) -> list[str]:
    """Scripts, styles, fonts, images and frames that some page would fetch from another host."""
    found = [(name, address) for name, page in parsed_pages(site) for address in markup_loads(page)]
    readers = {
        ".css": style_loads,
        ".js": script_loads,
        ".svg": lambda text: markup_loads(BeautifulSoup(re.sub(r"<\?xml.*?\?>", "", text), "html.parser")),
    }
    for path in sorted(site.rglob("*")):
        if path.suffix in readers and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [(path.relative_to(site).as_posix(), address) for address in readers[path.suffix](text)]
    return [f"{name} loads {address} from another host." for name, address in found]


def unresolved(site: Path) -> list[str]:
    """References, citations, glue and directives that reached the page as they were written."""
    problems = []
    for name, page in parsed_pages(site):
        article = page.find("article") or page
        errors = [mark.get_text()[:80] for mark in article.select(".problematic, .system-message")]
        problems += [f"{name} shows an error of the build: {error!r}." for error in errors]
        references = [mark.get_text() for mark in article.select(".xref") if mark.find_parent("a") is None]
        problems += [f"{name} has an unresolved reference: {reference!r}." for reference in references]
        empty = [mark for mark in article.select(".pasted-text") if not mark.get_text(strip=True)]
        problems += [f"{name} has a glued number that is empty." for _ in empty]
        for code in article.find_all(["pre", "code", "script", "style"]):
            code.extract()
        raw = RAW_SYNTAX.findall(article.get_text())
        problems += [f"{name} shows syntax that was not understood: {syntax!r}." for syntax in raw]
    return problems


def image_problems(site: Path) -> list[str]:
    """Figures without an alt text of their own of at least 40 characters that is no file name."""
    problems = []
    owners: dict[str, str] = {}
    for name, page in parsed_pages(site):
        for image in page.select("article img, article svg[role=img]"):
            alt = str(image.get("alt" if image.name == "img" else "aria-label", "")).strip()
            if len(alt) < ALT_LENGTH or re.fullmatch(r"\S+\.\w{2,4}", alt):
                problems.append(
                    f"{name} has an image with the alt text {alt!r}; it needs {ALT_LENGTH} characters."
                )
                continue
            picture = picture_identity(site, name, image)
            if owners.setdefault(alt, picture) != picture:
                problems.append(
                    f"{name} has an image that shares its alt text with another picture: {alt!r}."
                )
    return problems


def picture_identity(site: Path, page: str, image: Tag) -> str:
    """Equal for the same picture on two pages, which may share an alt text."""
    if image.name == "svg":
        return str(image)
    path = (site / page).parent / str(image.get("src", "")).partition("?")[0]
    # The two writers of a stored picture end its lines differently.
    return str(hash(b"".join(path.read_bytes().split()))) if path.is_file() else str(image.get("src"))


def mathjax_problems(site: Path) -> list[str]:
    """Pages with formulas that do not load MathJax, and pages without any that do."""
    loaded, needed = set(), set()
    for name, page in parsed_pages(site):
        if page.select_one('script[src*="mathjax/"]'):
            loaded.add(name)
        if page.select_one("article .math"):
            needed.add(name)
    return [f"{name} has formulas but not MathJax." for name in sorted(needed - loaded)] + [
        f"{name} loads MathJax without a formula." for name in sorted(loaded - needed)
    ]


def first_load(site: Path, page: str) -> int:
    """Compressed bytes that a browser needs to show a page for the first time, MathJax apart."""
    path = site / page
    html = path.read_text(encoding="utf-8")
    needed = {path}
    for tag in BeautifulSoup(html, "html.parser").select(
        "script[src], link[rel=stylesheet], link[rel=icon], img[src]"
    ):
        address = str(tag.get("src") or tag.get("href"))
        if not address.startswith("data:") and "mathjax/" not in address:
            needed.add((path.parent / address.partition("?")[0]).resolve())
    fonts = {font for font in site.rglob("*.woff*") if "mathjax" not in font.parts}
    return sum(len(gzip.compress(file.read_bytes(), 6)) for file in needed | fonts)
