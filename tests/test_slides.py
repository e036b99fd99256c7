"""Slides from a page of the site: what becomes one, in which order, and what is refused in a sentence.

`test_site` makes those of all chapters, and `browser_slides` looks at them.
"""

from __future__ import annotations

import pytest

from coursework import slides

PAGE = """<html><head><title>x</title></head><body><article><section id="a">
<h1>A <em>title</em><a class="headerlink" href="#a">#</a></h1>
<p>Is it <a href="../x.html">so</a>?</p>
<div class="glance admonition"><p>At a glance</p></div>
<p>Not the question.</p>
<section id="b"><h2>One</h2>
<div class="predict admonition"><p class="admonition-title">Predict, then run</p><p>How many?</p></div>
<div class="cell"><details><figure><img src="../_images/hidden.svg" alt="Hidden."></figure></details>
<figure id="f"><img src="../../_images/a.svg" alt="A line."><figcaption>A caption.</figcaption></figure></div>
<table class="table"><caption>A result.</caption><tr><td>1 &lt; 2</td></tr></table>
<table class="dataframe"><tr><td>raw</td></tr></table></section>
<section id="c"><h2>Exercises</h2><section id="d"><h3>More</h3>
<figure><img src="../_images/b.svg" alt="A solution."></figure></section></section>
<section id="e"><h2>Summary</h2><ul><li>It is.</li></ul></section>
</section></article></body></html>"""


def test_slides_stand_in_the_order_of_the_page():
    made = slides.slides(PAGE)
    assert [slide.kind for slide in made] == ["title", "predict", "figure", "table", "text"]
    assert [slide.heading for slide in made] == [
        "A <em>title</em>",
        "Predict, then run",
        "One",
        "One",
        "Summary",
    ]
    assert made[0].body == "<p>Is it so?</p>" and made[1].body.strip() == "<p>How many?</p>"
    assert 'alt="A line."' in made[2].body and "A caption." in made[2].body and "id=" not in made[2].body
    assert "A result." in made[3].body and "1 &lt; 2" in made[3].body
    assert made[4].body == "<ul><li>It is.</li></ul>"
    assert "hidden" not in str(made) and "b.svg" not in str(made) and "raw" not in str(made)


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site/notebooks/part1_basics").mkdir(parents=True)
    (tmp_path / "site/notebooks/part1_basics/01_a_title.html").write_text(PAGE, encoding="utf-8")
    (tmp_path / "site/_images").mkdir()
    (tmp_path / "site/_images/a.svg").write_text("<svg/>", encoding="utf-8")
    (tmp_path / "site/_static/mathjax").mkdir(parents=True)
    (tmp_path / "site/_static/mathjax/tex-chtml.js").write_text("", encoding="utf-8")
    return tmp_path / "site"


def test_a_chapter_is_written_with_all_that_it_needs(site, tmp_path, capsys):
    for name in ("a_title", "01_a_title", "part1_basics/01_a_title"):
        assert slides.main([name, "--site", str(site), "--out", str(tmp_path / name)]) == 0
        assert "Slides of 1 chapter are listed in" in capsys.readouterr().out
        out = tmp_path / name
        text = (out / "part1_01_a_title.html").read_text(encoding="utf-8")
        assert "<title>A &lt;em" not in text and 'src="_images/a.svg"' in text and "{{" not in text
        for file in ("reveal.js", "reveal.css", "reset.css", "mathjax/tex-chtml.js", "_images/a.svg"):
            assert (out / file).is_file(), file
        assert 'href="part1_01_a_title.html"' in (out / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "given, said",
    [
        (["nothing"], "There is no chapter 'nothing'; there are 01_a_title."),
        (["--site", "nowhere"], "There is no site in nowhere; build it with `make book`."),
        (["--out", "site/_images/a.svg"], "The slides cannot be written into site/_images/a.svg ("),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence(given, said, site, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert slides.main(["--site", "site", "--out", "made", *given]) == 1
    assert capsys.readouterr().err.startswith(said)
    with pytest.raises(slides.SlidesError, match="no article"):
        slides.slides("<html></html>")
