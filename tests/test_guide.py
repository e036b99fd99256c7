"""The decision guide: what its tables advise, and that the page shows what the studies say today."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from transferbook.data import datasets
from transferbook.evidence import guide, studies

ROOT = Path(__file__).resolve().parents[1]
SPREAD = np.array([-0.01, 0.0, 0.0, 0.0, 0.01])


def way(name: str, accuracy: float, seconds: float = 1.0) -> guide.Way:
    return guide.Way(name, accuracy + SPREAD, seconds, "")


def glued(chapter: str, name: str) -> float:
    (path,) = (ROOT / "notebooks/part5_walkthroughs").glob(f"{chapter}_*.ipynb")
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == name:
                return float(output["data"]["application/papermill.record/text/plain"])
    raise AssertionError(f"{path.name} has no number {name}")


def named(found: guide.Found, kind: str, n: int) -> dict[str, guide.Way]:
    return {one.name: one for one in found[kind, n]}


def test_the_page_shows_what_the_studies_say() -> None:
    written = {path.stem: path.read_text(encoding="utf-8") for path in guide.FOLDER.iterdir()}
    fresh = {name: f"{text}\n" for name, text in guide.tables()}
    assert written == fresh, "run `python -m transferbook.evidence.guide`"
    page = guide.FOLDER.with_suffix(".md").read_text(encoding="utf-8")
    shown = re.findall(r"^:file: which_strategy/(\w+)\.html$", page, re.MULTILINE)
    assert sorted(shown) == sorted(written)


def test_tables_are_written_where_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guide, "tables", lambda: iter([("one", "<table>"), ("two", "<table>")]))
    assert guide.write_tables(tmp_path / "new") == [tmp_path / "new/one.html", tmp_path / "new/two.html"]
    assert (tmp_path / "new/one.html").read_text() == "<table>\n"


def test_the_sizes_of_the_test_sets_are_those_of_the_data() -> None:
    shift = studies.open_study("newsgroups_shift").module
    posts = shift.domain(datasets.newsgroups(), "test", shift.TARGET)
    photographs = studies.open_study("photographs").module
    sizes = {
        "photos": photographs.CLASSES * photographs.TESTED,
        "pictograms": len(datasets.openmoji(size=64, per_class=5).test),
        "digits": len(datasets.mnist_5k(per_class=10).test),
        "reviews": len(datasets.rotten_tomatoes(limit=32).test),
        "posts": len(datasets.subset(posts, per_class=shift.TEST_PER_TOPIC)),
    }
    assert sizes == guide.TESTED


def test_a_lead_counts_in_other_labels_and_other_test_examples() -> None:
    found = guide.lead_of(way("a", 0.8), guide.Way("b", np.full(5, 0.7), 1.0, ""), 400)
    seeds = 2.776445 * np.std(SPREAD, ddof=1) / 5**0.5
    shares = [guide.intervals.binomial(count, 400).half_width for count in (320, 280)]
    assert found.mean == pytest.approx(0.1)
    assert found.half_width == pytest.approx((seeds**2 + shares[0] ** 2 + shares[1] ** 2) ** 0.5, rel=1e-6)
    assert found.low == pytest.approx(0.1 - found.half_width)


def test_the_cheapest_of_those_that_cannot_be_told_apart_is_advised() -> None:
    cheap, dear, poor = way("cheap", 0.80, 1.0), way("dear", 0.81, 9.0), way("poor", 0.5, 0.1)
    assert guide.advise([poor, dear, cheap], 1_000) == (cheap, dear)
    assert guide.advise([poor, dear, cheap], 1_000_000) == (dear, dear)  # one point can be told there


def test_a_way_that_any_other_is_ahead_of_is_not_advised() -> None:
    """The best mean may be too unsure to be told from a way that a surer one is ahead of."""
    unsure = guide.Way("unsure", np.array([0.5, 0.6, 0.7, 0.8, 0.9]), 9.0, "")
    sure, low = way("sure", 0.69, 3.0), way("low", 0.6, 1.0)
    assert guide.lead_of(unsure, low, 10_000).low < 0 < guide.lead_of(sure, low, 10_000).low
    assert guide.advise([low, sure, unsure], 10_000) == (sure, unsure)


def test_nothing_to_choose_from_is_said() -> None:
    with pytest.raises(ValueError, match=r"^There is no way to choose from; give at least one\.$"):
        guide.advise([], 100)


def test_settings_say_where_they_lie() -> None:
    assert guide.at_an_end(0.01, (0.001, 0.01, 0.1)) == "0.01"
    assert guide.at_an_end(0.1, (0.001, 0.01, 0.1)) == "0.1, end"
    assert guide.at_an_end(0.001, (0.001, 0.01, 0.1)) == "0.001, end"
    assert guide.most_chosen([1, 2, 1, 1, 0], (3.0, 30.0, 300.0)) == "30 (3 of 5)"
    assert guide.most_chosen([2, 2, 1, 2, 0], (3.0, 30.0, 300.0)) == "300, end (3 of 5)"


def test_the_strength_that_validates_best_is_chosen_and_the_first_of_equals() -> None:
    tried = pd.DataFrame(
        {"valid_0": [0.1, 0.5], "test_0": [0.2, 0.3], "valid_1": [0.5, 0.4], "test_1": [0.7, 0.9]}
    )
    assert guide.choose_strength(tried, 2) == (0.7, 1)
    assert guide.choose_strength(tried.iloc[::-1], 2) == (0.3, 0)


def test_the_rows_are_those_of_the_chapters() -> None:
    def mean(found: guide.Found, kind: str, n: int, first: str, second: str) -> float:
        ways = named(found, kind, n)
        return guide.lead_of(ways[first], ways[second], guide.TESTED[kind]).mean

    pictures, texts = guide.pictogram_ways() | guide.digit_ways(), guide.review_ways() | guide.post_ways()
    assert mean(pictures, "pictograms", 15, "cached features", "scratch") == pytest.approx(
        glued("01", "cached_gain")
    )
    photos = guide.photograph_ways()
    assert mean(photos, "photos", 20, "probe", "small CNN") == pytest.approx(glued("07", "head_over_cnn"))
    assert mean(photos, "photos", 80, "probe", "fine-tuned") == pytest.approx(
        glued("07", "enlarged_over_tuned")
    )
    assert mean(pictures, "digits", 10, "fine-tuned", "small CNN") == pytest.approx(
        glued("04", "tuned_over_cnn_10")
    )
    assert mean(pictures, "digits", 10, "fine-tuned", "probe") == pytest.approx(
        glued("04", "tuning_over_probe")
    )
    assert mean(pictures, "digits", 10, "SVM on pixels", "probe") == pytest.approx(
        glued("04", "svm_over_probe")
    )
    assert mean(texts, "reviews", 1_024, "fine-tuned", "probe") == pytest.approx(
        glued("05", "finetuning_over_probe")
    )
    assert mean(texts, "reviews", 256, "lower half frozen", "probe") == pytest.approx(
        glued("05", "half_over_probe")
    )
    for n, name in ((16, "frozen_leads"), (64, "frozen_at_64"), (256, "frozen_at_256")):
        assert mean(texts, "posts", n, "probe", "word counts") == pytest.approx(glued("03", name), abs=2e-3)
    assert mean(texts, "posts", 64, "fine-tuned", "probe") == pytest.approx(
        glued("03", "tuned_minus_frozen_64")
    )


def test_what_the_page_says_of_its_tables_holds() -> None:
    gains = [cells["source's less batch's"] for cells in guide.batchnorm_table().values()]
    assert all(gain.low < 0 < gain.high for gain in gains)  # "for none of these could it be told"
    table = guide.first_table(guide.post_ways())
    assert table["posts, 64"]["try first"] == "word counts"  # "this table cannot"
    of_pictures = (guide.photograph_ways(), guide.pictogram_ways(), guide.digit_ways())
    for found in (*of_pictures, guide.review_ways(), guide.post_ways()):
        for (kind, _), ways in found.items():
            first, best = guide.advise(ways, guide.TESTED[kind])
            assert best is first or guide.lead_of(best, first, guide.TESTED[kind]).low <= 0


def test_a_cell_without_a_study_says_so() -> None:
    table = guide.unmeasured({"a": {"x": 1.0, "y": "z"}}, ("b",))
    assert table == {"a": {"x": 1.0, "y": "z"}, "b": {"x": "not measured", "y": "not measured"}}
    settings = guide.settings_table(guide.post_ways())
    assert settings["posts, 4"]["tuned"] == "not measured"
    assert settings["posts, 4"]["seconds"].endswith(", –")
    assert settings["posts, 16"]["epochs"] == "8"


def test_what_uses_no_transfer_is_not_held_against_itself() -> None:
    plain, probe = way("word counts", 0.8, 0.1), way("probe", 0.7)
    table = guide.first_table({("posts", 64): [plain, probe]})
    assert table == {
        "posts, 64": {
            "try first": "word counts",
            "gain": "no transfer",
            "best mean": "the same",
            "its lead": "–",
        }
    }
