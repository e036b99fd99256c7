"""The slides of all chapters in a real browser: `make test-browser`, which needs Chromium and the site."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browser_try_page import Page, page  # noqa: F401  (a fixture)

from coursework import slides

SITE = Path(os.environ.get("SITE") or slides.SITE)
SMALLEST = 15  # pixels of a slide of 1280 x 720, for the smallest text of the densest table
LARGE = "[...document.querySelectorAll('.slides > section')]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("slides")
    slides.write(SITE, out)
    return out


def show(tab: Page, path: Path, query: str = "") -> None:
    tab.do("Emulation.setDeviceMetricsOverride", width=1280, height=720, deviceScaleFactor=1, mobile=False)
    tab.events.clear()
    tab.do("Page.navigate", url="about:blank")
    tab.do("Page.navigate", url=path.as_uri() + query)
    tab.until("document.body?.dataset.ready === 'yes'")


def test_every_slide_fits_and_can_be_read(page, folder):  # noqa: F811
    found = []
    for path in sorted(folder.glob("part*.html")):
        show(page, path)
        page.check("file://")
        assert page.run("document.querySelectorAll('mjx-merror').length") == 0, path.name
        assert page.run("[...document.images].every(image => image.naturalWidth > 0)"), path.name
        number = page.run("Reveal.getTotalSlides()")
        assert number == page.run(f"{LARGE}.length") >= 6
        found += [
            (path.name, *slide)
            for slide in page.run(
                f"{LARGE}.map((slide, place) => [place + 1, slide.dataset.fits === 'true', "
                "parseFloat(slide.style.fontSize) || 28, "
                "parseFloat(slide.style.getPropertyValue('--picture')) || 430])"
            )
        ]
    assert [slide for slide in found if not slide[2]] == []
    assert [slide for slide in found if slide[3] < SMALLEST or slide[4] < 250] == []


def test_they_are_led_by_the_keyboard(page, folder):  # noqa: F811
    show(page, sorted(folder.glob("part*.html"))[1])
    for key, code, place in (
        ("ArrowRight", 39, 1),
        ("ArrowRight", 39, 2),
        ("ArrowLeft", 37, 1),
        ("End", 35, -1),
    ):
        page.key(key, code)
        last = page.run("Reveal.getTotalSlides() - 1")
        page.until(f"Reveal.getIndices().h === {last if place < 0 else place}")
    page.until("location.hash.startsWith('#/')")  # a slide has an address, written a moment later


def test_printed_they_take_a_page_each(page, folder):  # noqa: F811
    show(page, sorted(folder.glob("part*.html"))[1], "?print-pdf")
    page.until("document.querySelectorAll('.pdf-page').length === Reveal.getTotalSlides()")
    import base64

    printed = base64.b64decode(
        page.do("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"]
    )
    assert printed.count(b"/Type /Page\n") == page.run("Reveal.getTotalSlides()")
