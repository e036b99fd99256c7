"""The site: built once, strictly, into a temporary folder, and held to the rules of `site_rules`.

Each rule is tried on a planted violation as well.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import site_rules
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
BUILD = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
STRICT = ["-W", "-n", "--keep-going", "--all"]
FIRST_LOAD_LIMIT = 350_000


REFUSE = """import importlib.metadata, re, sys
class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {modules}:
            raise ModuleNotFoundError('The lock of the site has no ' + name, name=name)
sys.meta_path.insert(0, Refusal())
everything = importlib.metadata.Distribution.discover
def discover(**context):
    for found in everything(**context):
        if re.sub('[-_.]+', '-', found.metadata['Name']).lower() in {site}:
            yield found
importlib.metadata.Distribution.discover = discover
"""


def packages_of_the_site() -> set[str]:
    """Names of the packages that the lock of the site alone installs."""
    locked = (ROOT / "requirements-site.txt").read_text(encoding="utf-8")
    return set(re.findall(r"^([\w-]+)(?:\[\w,-]+\])?==", locked, re.MULTILINE)) | {"pip"}


def beyond_the_site(site: set[str]) -> list[str]:
    """Modules that are installed here, but not by the packages of the site; the helper package too."""
    owners = importlib.metadata.packages_distributions().items()
    return sorted(
        module
        for module, packages in owners
        if site.isdisjoint(re.sub(r"[-_.]+", "-", package).lower() for package in packages)
    )


def run_with_the_site_s_lock(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run in a folder as if no more were installed than what the lock of the site names."""
    (folder / "refusal").mkdir(exist_ok=True)
    site = packages_of_the_site()
    refusal = REFUSE.format(modules=beyond_the_site(site), site=sorted(site))
    (folder / "refusal/sitecustomize.py").write_text(refusal)
    environment = os.environ | {"PYTHONPATH": str(folder / "refusal")}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def build(source: Path, output: Path) -> subprocess.CompletedProcess[str]:
    return run_with_the_site_s_lock([*BUILD, str(source), *STRICT, "--path-output", str(output)], output)


@pytest.mark.parametrize("module", ["torch", "numpy", "matplotlib.pyplot", "pytest", "transferbook.runtime"])
def test_the_build_sees_no_more_than_the_packages_of_the_site(tmp_path: Path, module: str) -> None:
    result = run_with_the_site_s_lock([sys.executable, "-c", f"import myst_nb, {module}"], tmp_path)
    assert f"The lock of the site has no {module.partition('.')[0]}" in result.stderr


def test_the_build_is_offered_no_plugin_of_a_package_that_the_site_lacks(tmp_path: Path) -> None:
    names = "import importlib.metadata as m; print(*{d.metadata['Name'] for d in m.distributions()})"
    result = run_with_the_site_s_lock([sys.executable, "-c", names], tmp_path)
    found = {re.sub(r"[-_.]+", "-", name).lower() for name in result.stdout.split()}
    assert "sphinx" in found and found <= packages_of_the_site()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("site")
    result = build(ROOT, output)
    assert result.returncode == 0, result.stderr[-6_000:]
    return output / "_build/html"


def notebooks() -> list[str]:
    """Names of all notebooks in the table of contents, without their endings."""
    pages = re.findall(r"(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [page for page in pages if (ROOT / f"{page}.ipynb").is_file()]


# The rules, on the book itself


def test_nothing_comes_from_another_host(site: Path) -> None:
    assert site_rules.foreign_loads(site) == []


def test_nothing_is_unresolved(site: Path) -> None:
    assert site_rules.unresolved(site) == []


def test_every_image_has_an_alt_text(site: Path) -> None:
    assert site_rules.image_problems(site) == []


def test_mathjax_is_loaded_where_there_are_formulas(site: Path) -> None:
    assert site_rules.mathjax_problems(site) == []


@pytest.mark.parametrize("page", ["book/introduction.html", "book/how_to_use.html"])
def test_first_load_is_small(site: Path, page: str) -> None:
    assert site_rules.first_load(site, page) < FIRST_LOAD_LIMIT


def test_only_the_search_page_loads_the_index_of_the_search(site: Path) -> None:
    loading = {page.name for page in site.rglob("*.html") if "searchindex.js" in page.read_text("utf-8")}
    assert loading == {"search.html"}


def test_every_notebook_can_be_downloaded(site: Path) -> None:
    assert notebooks()
    for notebook in notebooks():
        page = (site / f"{notebook}.html").read_text(encoding="utf-8")
        assert re.search(r'href="[^"]*_sources/' + notebook + r'\.ipynb"', page), notebook
        assert json.loads((site / f"_sources/{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]


def test_icons_of_the_pages_are_in_the_font(site: Path) -> None:
    from fontTools.ttLib import TTFont

    css = (site / "_static/styles/pydata-sphinx-theme.css").read_text(encoding="utf-8")
    glyphs = TTFont(site / "_static/icons.woff").getBestCmap()
    pages = "".join(page.read_text(encoding="utf-8") for page in site.glob("book/*.html"))
    icons = set(re.findall(r'class="[^"]*\b(fa-(?!solid\b|lg\b)[a-z-]+)', pages))
    assert "fa-bars" in icons
    for icon in icons:
        code = re.search(rf'\.{icon}:before[^{{]*\{{content:"\\([0-9a-f]+)"', css)
        assert code, f"the stylesheet has no rule for {icon}"
        assert int(code[1], 16) in glyphs, f"the font has no {icon}"


def test_a_second_build_of_unchanged_pages_leaves_the_site_as_it_is(site: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(site.rglob("*")) if path.suffix in (".css", ".js")}
    again = [*BUILD, str(ROOT), "-W", "-n", "--path-output", str(site.parents[1])]
    result = run_with_the_site_s_lock(again, site.parents[1])
    assert result.returncode == 0, result.stderr[-6_000:]
    assert "targets for 0 source files that are out of date" in result.stdout
    after = {path: path.read_bytes() for path in sorted(site.rglob("*")) if path.suffix in (".css", ".js")}
    assert after == before


def test_every_chapter_has_slides_that_ask_before_they_answer(site: Path, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from coursework import slides; "
        f"sys.exit(slides.main(['--site', {str(site)!r}, '--out', {str(tmp_path / 'slides')!r}]))"
    )
    made = run_with_the_site_s_lock([sys.executable, "-c", program], tmp_path)
    assert made.returncode == 0, made.stderr
    assert f"Slides of {len(notebooks())} chapters are listed in" in made.stdout
    assert site_rules.foreign_loads(tmp_path / "slides") == []
    for notebook in notebooks():
        part, _, name = notebook.removeprefix("notebooks/").partition("/")
        text = (tmp_path / "slides" / f"{part.partition('_')[0]}_{name}.html").read_text(encoding="utf-8")
        shown = BeautifulSoup(text, "html.parser").select(".slides > section")
        kinds = [slide["class"][0] for slide in shown]
        page = BeautifulSoup((site / f"{notebook}.html").read_text(encoding="utf-8"), "html.parser")
        assert kinds[0] == "title" and kinds[-1] in ("text", "table", "figure")
        assert kinds.count("predict") == len(page.select("article .predict")) >= 2
        assert 0 < kinds.index("predict") < len(kinds) - 1 and "figure" in kinds and "text" in kinds, notebook
        for slide in shown:
            heading, *rest = slide.find_all(True, recursive=False)
            assert heading.get_text().strip() and rest, notebook
            assert all(
                image["alt"] and (tmp_path / "slides" / image["src"]).is_file()
                for image in slide.select("img")
            )
        assert not re.search(r"\{(glue|term|cite|numref|eq)|href=\"http|src=\"http", text), notebook


def test_documented_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document in ("README.md", "book/how_to_use.md"):
        named = set(
            re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE)
        )
        assert named
        assert named <= targets, f"{document} names {named - targets}, which the Makefile does not have"


# Planted violations


PAGE = "<html><head>{head}</head><body><article>{body}</article></body></html>"


def planted(folder: Path, *, head: str = "", body: str = "", **files: str) -> Path:
    (folder / "page.html").write_text(PAGE.format(head=head, body=body), encoding="utf-8")
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "violation",
    [
        {"head": '<script src="https://cdn.example.org/x.js"></script>'},
        {"head": '<script src="//cdn.example.org/x.js"></script>'},
        {"head": '<link rel="stylesheet" href="https://example.org/x.css">'},
        {"head": '<link rel="preconnect" href="https://fonts.example.org">'},
        {"head": "<style>@import 'https://example.org/x.css';</style>"},
        {"head": "<style>body { background: url(//example.org/x.png) }</style>"},
        {"head": '<meta http-equiv="refresh" content="0; url=https://example.org/">'},
        {"head": "<script>import('https://example.org/x.js')</script>"},
        {
            "head": "<script>const s = document.createElement('script'); s.src = 'https://example.org/x.js';</script>"
        },
        {"head": '<script>const THEBE = "https://unpkg.com/thebe@0.8.2/lib/index.js"</script>'},
        {"body": '<img src="https://example.org/x.png" alt="">'},
        {"body": '<img src="x.png" srcset="x.png 1x, https://example.org/x.png 2x" alt="">'},
        {"body": '<iframe src="http://example.org/"></iframe>'},
        {"body": '<svg><image xlink:href="https://example.org/x.png"/></svg>'},
        {"body": '<p style="background: url(https://example.org/x.png)">text</p>'},
        {"x__css": '@font-face { src: url("https://example.org/x.woff2") }'},
        {"x__js": 'fetch("https://example.org/data.json")'},
        {"x__svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="https://example.org/x.png"/></svg>'},
    ],
)
def test_a_load_from_another_host_is_found(tmp_path: Path, violation: dict[str, str]) -> None:
    assert len(site_rules.foreign_loads(planted(tmp_path, **violation))) == 1


def test_links_and_local_loads_are_no_violation(tmp_path: Path) -> None:
    page = planted(
        tmp_path,
        head='<link rel="canonical" href="https://example.org/"><script src="_static/x.js"></script>',
        body='<a href="https://example.org/">a link</a><img src="data:image/png;base64,AAAA" alt="">',
        x__css="/* https://example.org */ a { background: url('data:image/svg+xml,x=http://w3.org/') }",
        x__svg='<svg xmlns="http://www.w3.org/2000/svg"><a href="https://example.org/">x</a></svg>',
    )
    assert site_rules.foreign_loads(page) == []


@pytest.mark.parametrize(
    "body",
    [
        '<span class="xref myst">nowhere</span>',
        '<p>Accuracy <span class="pasted-text"></span></p>',
        "<p>Accuracy {glue:text}`accuracy:.2f`</p>",
        "<p>See {numref}`figure`</p>",
        "<p>::: {note}</p>",
        '<div class="system-message">Unknown directive</div>',
    ],
)
def test_an_unresolved_reference_is_found(tmp_path: Path, body: str) -> None:
    assert len(site_rules.unresolved(planted(tmp_path, body=body))) == 1


def test_resolved_references_and_code_are_no_violation(tmp_path: Path) -> None:
    body = '<a href="#x"><span class="xref">here</span></a><code>{glue:text}`x`</code>'
    body += '<span class="pasted-text">0.8</span>'
    assert site_rules.unresolved(planted(tmp_path, body=body)) == []


LONG_ALT = "A line that rises from left to right and ends at the top."


@pytest.mark.parametrize(
    "body",
    [
        '<img src="a.png">',
        '<img src="a.png" alt="A short text.">',
        '<img src="a.png" alt="../../_images/0847a2b9595a6e625e46b6e1205d301193d07915.svg">',
        f'<img src="a.png" alt="{LONG_ALT}"><img src="b.png" alt="{LONG_ALT}">',
        '<svg role="img"></svg>',
    ],
)
def test_a_missing_alt_text_is_found(tmp_path: Path, body: str) -> None:
    assert len(site_rules.image_problems(planted(tmp_path, body=body))) == 1


def test_the_same_picture_may_be_shown_twice(tmp_path: Path) -> None:
    image = f'<img src="a.png" alt="{LONG_ALT}">'
    assert site_rules.image_problems(planted(tmp_path, body=image + image, a__png="picture")) == []


def test_mathjax_missing_or_needless_is_found(tmp_path: Path) -> None:
    formula = '<span class="math notranslate">\\(x\\)</span>'
    script = '<script src="_static/mathjax/tex-chtml.js"></script>'
    assert len(site_rules.mathjax_problems(planted(tmp_path, body=formula))) == 1
    assert len(site_rules.mathjax_problems(planted(tmp_path, head=script))) == 1
    assert site_rules.mathjax_problems(planted(tmp_path, head=script, body=formula)) == []


def test_first_load_counts_what_a_page_links(tmp_path: Path) -> None:
    head = '<script src="x.js?v=1"></script><script src="_static/mathjax/tex-chtml.js"></script>'
    bare = site_rules.first_load(planted(tmp_path, head=head, x__js=""), "page.html")
    noise = "".join(chr(33 + i * i * 7919 % 89) for i in range(20_000))
    assert site_rules.first_load(planted(tmp_path, head=head, x__js=noise), "page.html") > bare + 100


# The build itself is strict


BROKEN = {
    "A link to [nowhere](nowhere.md).": "nowhere.md",
    "A glued number {glue:text}`no_such_number:.2f`.": "no_such_number",
    "A citation {cite:t}`nobody1900nothing`.": "nobody1900nothing",
    "A term {term}`no such term`.": "no such term",
    ":::{mermaid}\nflowchart LR\n  A --> B\n:::": "needs an :alt: text of at least 40 characters",
    ":::{chapter-figure} nowhere.ipynb figure\n:::": "There is no notebook",
}


def test_the_build_refuses_broken_pages(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "book", tmp_path / "book", ignore=shutil.ignore_patterns("*.md", "__pycache__"))
    shutil.copy(ROOT / "_config.yml", tmp_path)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/introduction\n")
    (tmp_path / "book/introduction.md").write_text("# Broken\n\n" + "\n\n".join(BROKEN) + "\n")
    result = build(tmp_path, tmp_path)
    assert result.returncode != 0
    for text, message in BROKEN.items():
        assert message in result.stderr, f"the build says nothing about: {text}"
