"""Slides from the chapters of the built site: `make slides`, or `python -m coursework.slides --out FOLDER`.

A chapter gives a slide of its title and question, one for each "Predict, then run", each figure and each
table of results, in the order of the page, and its summary. All of it is taken from the built page, where
numbers, terms, citations and references are resolved already. reveal.js, from the package `sphinx-revealjs`,
shows the slides; MathJax, from the site, the formulas. Nothing comes from another host.
"""

from __future__ import annotations

import argparse
import html
import importlib.resources
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bs4 import BeautifulSoup, Tag

HERE, SITE = Path(__file__).parent, Path(__file__).parents[1] / "_build" / "html"
REVEAL = ("dist/reset.css", "dist/reveal.css", "dist/reveal.js")
LAST = ("Summary", "What this does not show")  # sections of which the text is shown
WITHOUT = ("Self-check", "Check yourself", "Exercises", "Further reading", "If you liked this, read …")
FOLDED = ("dropdown", "exercise", "solution")
BLOCKS = ("p", "ul", "ol", "dl", "div")


class SlidesError(ValueError):
    """No slides can be made; the message says why and what to do."""


@dataclass(frozen=True)
class Slide:
    """One slide.

    Args:
        kind: title, predict, figure, table or text.
        heading: of the slide, as HTML.
        body: what stands below it, as HTML.
    """

    kind: str
    heading: str
    body: str


def slides(page: str) -> list[Slide]:
    """The slides of a chapter.

    Args:
        page: HTML of the chapter as the site shows it.

    Returns:
        In the order of the page; what is asked stands before what came out.

    Raises:
        SlidesError: if it is not a page of the site.
    """
    article = BeautifulSoup(page, "html.parser").select_one("article")
    top = article.find("h1") if article else None
    if article is None or top is None:
        raise SlidesError("The page has no article with a title; build the site with `make book`.")
    for found in article.select(".headerlink, script, .cell_input"):
        found.decompose()
    for link in article.find_all("a"):
        link.unwrap()
    question = [
        found for found in top.find_next_siblings("p") if found.find_previous(class_="glance") is None
    ]
    made = [Slide("title", _inside(top), "".join(map(str, question)))]
    for section in article.select("section"):
        made += _of_section(section)
    return made


def _of_section(section: Tag) -> Iterator[Slide]:
    """The slides of what stands in a section, but not in a section of it."""
    head = section.find(["h2", "h3"], recursive=False)
    title = head.get_text().strip() if head else ""
    if title in WITHOUT or any(_title(outer) in WITHOUT for outer in section.find_parents("section")):
        return
    heading = _inside(head or section.find("h1", recursive=False) or section)
    for found in section.select(".predict, figure, table"):
        if found.find_parent("section") is not section or found.find_parent(["figure", "table"]):
            continue
        if found.find_parent("details") or found.find_parent(class_=FOLDED):
            continue
        if "predict" in found.get("class", []):
            name = found.select_one(".admonition-title")
            said = "".join(str(part) for part in found.children if part is not name)
            yield Slide("predict", _inside(name) if name else "Predict", said)
        elif found.name == "figure":
            yield Slide("figure", heading, _bare(found))
        elif found.find("caption"):
            yield Slide("table", heading, _bare(found))
    if title in LAST:
        said = [found for found in section.find_all(BLOCKS, recursive=False) if _is_text(found)]
        if said:
            yield Slide("text", heading, "".join(map(_bare, said)))


def _title(section: Tag) -> str:
    head = section.find(["h1", "h2", "h3"], recursive=False)
    return head.get_text().strip() if head else ""


def _is_text(found: Tag) -> bool:
    if found.name != "div":
        return True
    return "math" in found.get("class", [])


def _inside(found: Tag) -> str:
    return found.decode_contents().strip()


def _bare(found: Tag) -> str:
    """An element without the names that links go to, for there are no links here."""
    if not found.find("svg"):  # a diagram's own rules go by its name
        for part in [found, *found.find_all(id=True)]:
            part.attrs.pop("id", None)
    return str(found)


def _text(code: str) -> str:
    return BeautifulSoup(code, "html.parser").get_text()


def document(title: str, made: list[Slide]) -> str:
    """The page that shows some slides."""
    shown = "\n".join(
        f'<section class="{slide.kind}">\n<{"h1" if slide.kind == "title" else "h2"}>{slide.heading}'
        f"</{'h1' if slide.kind == 'title' else 'h2'}>\n{slide.body}\n</section>"
        for slide in made
    )
    template = (HERE / "slides.html").read_text(encoding="utf-8")
    return template.replace("{{ title }}", html.escape(title)).replace("{{ slides }}", shown)


def write(site: Path, out: Path, names: list[str] | None = None) -> list[Path]:
    """Write the slides of chapters, an overview, and all that they need, into a folder.

    Args:
        site: folder of the built site, with `notebooks/` and `_static/`.
        out: where `CHAPTER.html` and `index.html` go.
        names: endings of the names of chapters, such as `linear_fine_tuning`; all by default.

    Returns:
        The pages with slides, in the order of the book.

    Raises:
        SlidesError: if the site is not built, a chapter does not exist, or the folder cannot be written.
    """
    pages = sorted(site.glob("notebooks/*/*.html"))
    if not pages:
        raise SlidesError(f"There is no site in {site}; build it with `make book`.")
    for name in names or []:
        if not any(_is_called(page, name) for page in pages):
            known = ", ".join(page.stem for page in pages)
            raise SlidesError(f"There is no chapter {name!r}; there are {known}.")
    chosen = [page for page in pages if not names or any(_is_called(page, name) for name in names)]
    try:
        (out / "_images").mkdir(parents=True, exist_ok=True)
        shutil.copytree(site / "_static" / "mathjax", out / "mathjax", dirs_exist_ok=True)
        for file in REVEAL:
            source = importlib.resources.files("sphinx_revealjs") / "_static" / "revealjs" / file
            (out / Path(file).name).write_bytes(source.read_bytes())
        written = {_write(page, out): page for page in chosen}
        _write_overview(out)
    except OSError as error:
        raise SlidesError(f"The slides cannot be written into {out} ({error}).") from None
    return list(written)


def _is_called(page: Path, name: str) -> bool:
    return name in (page.stem, page.stem.partition("_")[2], f"{page.parent.name}/{page.stem}")


def _write(page: Path, out: Path) -> Path:
    """Write the slides of one page, with its pictures."""
    made = slides(page.read_text(encoding="utf-8"))
    shown = BeautifulSoup(document(_text(made[0].heading), made), "html.parser")
    for image in shown.find_all("img"):
        source = (page.parent / image["src"]).resolve()
        shutil.copyfile(source, out / "_images" / source.name)
        image["src"] = f"_images/{source.name}"
    path = out / f"{page.parent.name.partition('_')[0]}_{page.stem}.html"
    path.write_text(str(shown), encoding="utf-8")
    return path


def _write_overview(out: Path) -> None:
    """A list of all slides that lie in the folder."""
    lines = []
    for path in sorted(out.glob("part*.html")):
        title = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").title
        printed = f'<a href="{path.name}?print-pdf">to print</a>'
        lines.append(f'<li><a href="{path.name}">{_inside(title)}</a> ({printed})</li>')
    text = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Slides</title>\n'
        "<style>body { font: 1.1rem/1.6 sans-serif; max-width: 45rem; margin: 2rem auto; }</style></head>\n"
        "<body><h1>Slides</h1>\n<ul>\n" + "\n".join(lines) + "\n</ul></body></html>\n"
    )
    (out / "index.html").write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; 0 if it was done, 1 with one sentence if not."""
    parser = argparse.ArgumentParser(
        prog="python -m coursework.slides", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "chapters", nargs="*", metavar="CHAPTER", help="such as linear_fine_tuning (default: all)"
    )
    parser.add_argument("--site", type=Path, default=SITE, help="folder of the built site")
    parser.add_argument("--out", type=Path, default=SITE.parent / "slides", help="folder for the slides")
    given = parser.parse_args(arguments)
    try:
        written = write(given.site, given.out, given.chapters)
    except SlidesError as error:
        print(error, file=sys.stderr)
        return 1
    overview = (given.out / "index.html").resolve().as_uri()
    print(f"Slides of {len(written)} chapter{'s' * (len(written) != 1)} are listed in {overview}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
