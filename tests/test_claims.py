from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

from transferbook.evidence import claims, intervals
from transferbook.evidence.claims import ClaimError, ClaimFailed, claim, claim_equal, show
from transferbook.evidence.intervals import Interval

GAIN = Interval(0.1424, 0.1179, 0.1669, 5, "seeds", "paired Student-t interval")  # half-width 0.0245


@pytest.fixture
def glued(monkeypatch):
    """What a notebook would hold: a running IPython, and `myst_nb.glue` writing into a dict."""
    import IPython
    import myst_nb

    stored = {}

    def glue(name: str, value: float, display: bool = True) -> None:
        assert not display
        stored[name] = value

    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(myst_nb, "glue", glue)
    return stored


def test_a_claim_that_holds_prints_and_glues(capsys, glued):
    claim("probe_minus_scratch", GAIN, above=0.05)
    assert capsys.readouterr().out == (
        "probe_minus_scratch = 0.142 [0.118, 0.167] over 5 seeds   holds: above 0.05\n"
    )
    expected = {"probe_minus_scratch": 0.1424}
    expected |= {"probe_minus_scratch_low": 0.1179, "probe_minus_scratch_high": 0.1669}
    assert glued == expected
    assert all(type(value) is float for value in glued.values())


def test_the_whole_interval_decides():
    claim("lower_end", GAIN, above=0.117)
    with pytest.raises(ClaimFailed, match="FAILS"):
        claim("lower_end", GAIN, above=0.119)  # below the mean, but above the lower end
    claim("upper_end", GAIN, below=0.168)
    with pytest.raises(ClaimFailed, match="FAILS"):
        claim("upper_end", GAIN, below=0.165)
    with pytest.raises(ClaimFailed, match="FAILS"):
        claim("exactly_at_the_bound", GAIN, above=0.1179)


def test_two_bounds_must_both_hold(capsys):
    claim("band", GAIN, above=0.1, below=0.2)
    assert capsys.readouterr().out.endswith("   holds: above 0.1 and below 0.2\n")
    for above, below in [(0.1, 0.16), (0.12, 0.2)]:
        with pytest.raises(ClaimFailed, match=f"FAILS: above {above} and below {below}"):
            claim("band", GAIN, above=above, below=below)


def test_a_claim_that_fails_says_so_and_glues_nothing(capsys, glued):
    with pytest.raises(ClaimFailed) as failure:
        claim("gain", GAIN, above=0.2)
    assert str(failure.value) == "gain = 0.142 [0.118, 0.167] over 5 seeds   FAILS: above 0.2"
    assert isinstance(failure.value, AssertionError)
    assert glued == {} and capsys.readouterr().out == ""


def test_a_bound_more_than_four_half_widths_away_needs_a_reason(capsys):
    claim("near", GAIN, above=0.1179 - 3.99 * GAIN.half_width)
    assert claims.TOO_EASY not in capsys.readouterr().out
    for far in ({"above": 0.1179 - 4.1 * GAIN.half_width}, {"below": 0.1669 + 4.1 * GAIN.half_width}):
        claim("far", GAIN, **far)
        said = capsys.readouterr().out
        assert "   holds: " in said and f"{claims.TOO_EASY} (4.1 half-widths inside; 4 at most," in said
    claim("far", GAIN, above=-1.0, why="a loss of everything is what the article predicts")
    assert capsys.readouterr().out == "far = 0.142 [0.118, 0.167] over 5 seeds   holds: above -1\n"


def test_zero_variance_is_an_error():
    with pytest.raises(ClaimError, match="no width; nothing varied over the seeds"):
        claim("constant", intervals.mean([0.7] * 5), above=0.5)
    rounding = intervals.paired_difference([0.1 + 0.2, 0.3, 0.3, 0.3, 0.3], [0.1] * 5)
    assert rounding.half_width > 0
    with pytest.raises(ClaimError, match="no width"):
        claim("constant_but_for_rounding", rounding, above=0.1)


@pytest.mark.parametrize("seeds", [2, 4])
def test_a_comparison_needs_five_seeds(seeds):
    few = intervals.mean(np.linspace(0.7, 0.8, seeds))
    with pytest.raises(ClaimError, match=f"needs at least 5 seeds, not {seeds}"):
        claim("few", few, above=few.low - 0.01)
    claim("few", few, above=few.low - 0.01, kind="agreement")
    five = intervals.mean(np.linspace(0.7, 0.8, 5))
    claim("five", five, above=five.low - 0.01)


def test_single_numbers_are_facts_or_agreements(capsys, glued):
    claim("parameters", torch.tensor(12_345), above=12_000, kind="fact")
    claim("live", np.float64(0.78125), above=0.75, below=0.8, kind="agreement")
    assert capsys.readouterr().out == (
        "parameters = 12,345   holds: above 12000\nlive = 0.7812   holds: above 0.75 and below 0.8\n"
    )
    assert glued == {"parameters": 12_345, "live": 0.78125}
    for kind in ("comparison", "chance"):
        with pytest.raises(ClaimError, match=f"of kind {kind} needs an Interval"):
            claim("bare", 0.7, above=0.5, kind=kind)
    with pytest.raises(ClaimFailed, match=r"ratio = 1\.5   FAILS: below 1\.5"):
        claim("ratio", 1.5, below=1.5, kind="fact")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: claim("probe-minus", GAIN, above=0.1), "'probe-minus' cannot be glued"),
        (lambda: claim("", GAIN, above=0.1), "letters, digits and underscores"),
        (lambda: claim("gain", GAIN), "needs a finite bound; give above= or below="),
        (lambda: claim("gain", GAIN, above=-math.inf), "needs a finite bound"),
        (lambda: claim("gain", GAIN, above=0.2, below=0.1), "nothing lies above 0.2 and below 0.1"),
        (lambda: claim("gain", GAIN, above=0.1, kind="hope"), "kind is 'hope'; choose one of comparison"),
        (lambda: claim("gain", math.nan, above=0.1, kind="fact"), "finite number, not nan"),
        (lambda: claim("gain", 0.3 > 0.2, above=0.1, kind="fact"), "finite number, not True"),
        (lambda: claim("gain", "0.3", above=0.1, kind="fact"), "finite number, not '0.3'"),
        (lambda: show("a-b", 1.0), "'a-b' cannot be glued"),
        (lambda: show("loss", math.inf), "finite number, not inf"),
        (lambda: claim_equal("a-b", torch.ones(2), torch.ones(2)), "'a-b' cannot be glued"),
    ],
)
def test_misuse_is_named(call, message):
    with pytest.raises(ClaimError, match=message) as error:
        call()
    assert isinstance(error.value, ValueError) and not isinstance(error.value, ClaimFailed)


def test_show_prints_and_glues_without_asserting(capsys, glued):
    show("seconds", 1234.56)
    show("accuracy", GAIN)
    assert capsys.readouterr().out == "seconds = 1,235\naccuracy = 0.142 [0.118, 0.167] over 5 seeds\n"
    assert glued == {"seconds": 1234.56, "accuracy": 0.1424, "accuracy_low": 0.1179, "accuracy_high": 0.1669}


def test_numbers_of_numpy_are_glued_as_plain_ones(glued):
    show("gap", Interval(*np.array([0.2, 0.1, 0.3]), 5, "seeds", "by hand"))
    assert glued == {"gap": 0.2, "gap_low": 0.1, "gap_high": 0.3}
    assert all(type(value) is float for value in glued.values())  # the site cannot read np.float64(0.2)


def test_equal_holds_within_the_tolerance_elementwise(capsys, glued):
    expected = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    actual = expected.clone()
    actual[2, 1] += 5e-7
    claim_equal("outputs", actual, expected)
    assert capsys.readouterr().out == (
        "outputs = 5e-07 largest difference over 12 values   holds: at most 1e-06\n"
    )
    assert glued["outputs"] == pytest.approx(5e-7)
    claim_equal("lists", [1.0, 2.0], np.array([1.0, 2.0]))
    claim_equal("numbers", 0.25, 0.25)
    claim_equal("relative", expected * (1 + 1e-4), expected, rtol=2e-4, atol=0)
    with pytest.raises(
        ClaimFailed, match=r"^outputs = 5e-07 largest difference over 12 values   FAILS: at most 4e-07"
    ):
        claim_equal("outputs", actual, expected, atol=4e-7)
    with pytest.raises(ClaimFailed, match="nan"):
        claim_equal("outputs", torch.full((4, 3), math.nan), expected)


def test_equal_compares_in_float64():
    """In float32 the two would be the same number."""
    with pytest.raises(ClaimFailed):
        claim_equal("parts", torch.tensor([1.0, 1e8 + 1], dtype=torch.float64), torch.tensor([1.0, 1e8]))


@pytest.mark.parametrize(
    "degenerate",
    [
        torch.zeros(3),
        torch.full((2, 2), 7.0),
        torch.empty(0),
        torch.tensor([0.0]),
        torch.tensor([2e-7, 9e-7]),
    ],
)
def test_equal_of_degenerate_values_is_an_error(degenerate):
    with pytest.raises(ClaimError, match="agreement shows nothing"):
        claim_equal("degenerate", degenerate.clone(), degenerate)


def test_equal_of_one_object_or_two_shapes_is_an_error():
    values = torch.arange(3.0)
    with pytest.raises(ClaimError, match="same object"):
        claim_equal("itself", values, values)
    with pytest.raises(ClaimError, match=r"shapes \(3,\) and \(1, 3\) differ"):
        claim_equal("broadcast", values.clone(), values[None])


def test_outside_ipython_nothing_is_glued(monkeypatch):
    monkeypatch.setitem(sys.modules, "myst_nb", None)  # importing it would raise
    claims.show("number", 3)


ROWS = {
    "probe": {"labels": 32, "gain": GAIN, "accuracy": 0.77149, "note": "ours"},
    "scratch": {
        "labels": 1_280,
        "gain": intervals.mean([0.1, 0.2, 0.3, 0.2, 0.1]),
        "accuracy": 0.5,
        "note": "<b>",
    },
}


@pytest.fixture
def glued_object(monkeypatch):
    """What `myst_nb.glue` is given, objects included."""
    import IPython
    import myst_nb

    stored = {}
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(myst_nb, "glue", lambda name, value, display: stored.setdefault(name, value))
    return stored


def test_a_table_is_printed_and_glued_as_one_object(capsys, glued_object):
    claims.table("gains", ROWS, caption="Two starts.")
    printed = capsys.readouterr().out
    assert printed == (
        "gains:\n"
        "         labels                  gain  accuracy  note\n"
        "probe        32  0.142 [0.118, 0.167]     0.771  ours\n"
        "scratch   1,280     0.18 [0.08, 0.28]     0.500  <b>\n"
        "Two starts. In brackets: 95 % intervals over 5 seeds.\n"
    )
    assert list(glued_object) == ["gains"]
    shown = glued_object["gains"]
    assert f"gains:\n{shown!r}\n" == printed
    claims.table("again", ROWS, caption="Two starts.")
    assert glued_object["again"]._repr_html_() == shown._repr_html_()


def test_a_table_says_in_html_what_heads_what(glued_object):
    from bs4 import BeautifulSoup

    claims.table("gains", ROWS, caption="Two <starts>.")
    page = BeautifulSoup(glued_object["gains"]._repr_html_(), "html.parser")
    assert page.caption.get_text() == "Two <starts>. In brackets: 95 % intervals over 5 seeds."
    heads = [(th.get_text(), th["scope"]) for th in page.find_all("th")]
    columns = [(title, "col") for title in ("labels", "gain", "accuracy", "note")]
    assert heads == [*columns, ("probe", "row"), ("scratch", "row")]
    assert [td.get_text() for td in page.tbody.find_all("td")][-4:] == [
        "1,280",
        "0.18 [0.08, 0.28]",
        "0.500",
        "<b>",
    ]
    assert [td.get("class") for td in page.tbody.find_all("td")][:4] == [["number"]] * 3 + [None]


def test_intervals_over_different_units_say_so_each(capsys):
    other = Interval(0.5, 0.4, 0.6, 900, "pictures", "Wilson")
    claims.table("mixed", {"a": {"x": GAIN}, "b": {"x": other}})
    assert capsys.readouterr().out.splitlines()[2:] == [
        "a    0.142 [0.118, 0.167] over 5 seeds",
        f"b  {other}",
        "In brackets: 95 % intervals.",
    ]


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        ([0.5, 0.77149], ["0.500", "0.771"]),
        ([12.345, 0.06], ["12.3", "0.06"]),
        ([1234.5, -3.0], ["1,234", "-3"]),
        ([2e-9, 0.0], ["2e-09", "0"]),
        ([0.0, 0.0], ["0.0", "0.0"]),
        ([0.5, -0.0], ["0.500", "0.000"]),
        ([7, 1_000_000], ["7", "1,000,000"]),
        ([torch.tensor(0.25), np.int64(3)], ["0.250", "3"]),
    ],
)
def test_numbers_of_a_column_are_written_alike(glued_object, column, texts):
    claims.table("t", {f"row {i}": {"x": value} for i, value in enumerate(column)})
    assert [cells for _, cells in glued_object["t"].rows] == [(text,) for text in texts]


def test_columns_stand_in_the_order_of_the_first_row(glued_object):
    claims.table("t", {"a": {"x": 1, "y": 2}, "b": {"y": 4, "x": 3}})
    assert glued_object["t"].rows == (("a", ("1", "2")), ("b", ("3", "4")))


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ({}, {}, "t: a table without rows"),
        ([1, 2], {}, "t: a table needs a mapping"),
        ({"a": {}}, {}, "t: a table needs a mapping"),
        ({"a": [1]}, {}, "t: a table needs a mapping"),
        ({"a": {"x": 1}, "b": {"y": 1}}, {}, "t: rows 'a' and 'b' differ in the columns x, y"),
        ({"a": {"x": 1}, "b": {"x": 1, "y": 1}}, {}, "t: rows 'a' and 'b' differ in the columns y"),
        ({"a": {"x": math.nan}}, {}, "t, 'a', 'x': need an Interval or a finite number, not nan"),
        ({"a": {"x": True}}, {}, "t, 'a', 'x': need an Interval or a finite number, not True"),
        ({"a": {"x": None}}, {}, "t, 'a', 'x': need an Interval or a finite number, not None"),
        ({"a": {"x": ""}}, {}, "t, 'a', 'x': '' is no text for a table"),
        ({"a": {"x": "w" * 61}}, {}, "is no text for a table; give one line of 1 to 60 letters"),
        ({"a": {"x": "two\nlines"}}, {}, "is no text for a table"),
        ({3: {"x": 1}}, {}, "t: 3 is no title for a table"),
        ({"a": {" ": 1}}, {}, "t: ' ' is no title for a table"),
        ({"a": {"x": 1}}, {"caption": ""}, "t: the caption is ''; give a sentence or leave it out"),
    ],
)
def test_a_table_of_something_else_is_refused(capsys, rows, options, message):
    with pytest.raises(ClaimError, match=message):
        claims.table("t", rows, **options)
    assert capsys.readouterr().out == ""


def test_a_table_needs_a_name_that_can_be_glued():
    with pytest.raises(ClaimError, match="'a-b' cannot be glued"):
        claims.table("a-b", {"a": {"x": 1}})
