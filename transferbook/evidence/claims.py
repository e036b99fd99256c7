"""Claims: results that are asserted, printed and glued into the prose in one line.

A claim that stops being true raises `ClaimFailed` and so fails its notebook; a claim that could never fail,
or that rests on too little, raises `ClaimError`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch

from . import result_table
from .intervals import Interval

Kind = Literal["comparison", "chance", "agreement", "fact"]
MIN_SEEDS = 5
MAX_HALF_WIDTHS = 4.0
TOO_EASY = "which is too easy"


class ClaimFailed(AssertionError):
    """The claim does not hold."""


class ClaimError(ValueError):
    """The claim is not a fair one: it could hardly fail, or rests on too little."""


def claim(
    name: str,
    value: Interval | float,
    *,
    above: float | None = None,
    below: float | None = None,
    kind: Kind = "comparison",
    why: str | None = None,
) -> None:
    """Assert that an interval lies above and/or below a bound; print it and glue it.

    The claim holds when the *whole* interval does: its lower end above `above`, its upper end below `below`.
    Prints `name = 0.142 [0.118, 0.167] over 5 seeds   holds: above 0.05` and glues the floats NAME, NAME_low
    and NAME_high.

    Args:
        name: a Python identifier, under which the prose refers to the number.
        value: an `Interval`; for the kinds "fact" and "agreement" a single number will do.
        above: bound that the lower end must exceed.
        below: bound that the upper end must stay under.
        kind: "comparison" (over at least five seeds); "chance", better than guessing; "agreement", a live
            run equals a stored one; "fact", a count or an exact ratio. Broken labels must make half of a
            chapter's claims fail, where "chance" and "agreement" are not counted.
        why: the reason for a bound that lies more than four half-widths beyond the interval's end. Without
            it the line says that the bound is too easy, which no stored line of the book may say; another
            machine's interval can be narrower by chance, and there the claim still holds.

    Raises:
        ClaimFailed: if the claim does not hold.
        ClaimError: if the bounds, the name or the kind make no sense; if the interval has no width (nothing
            varied over seeds); if a comparison has fewer than five values.
    """
    _check_name(name)
    _check_bounds(name, above, below)
    if kind not in get_args(Kind):
        raise ClaimError(f"{name}: kind is {kind!r}; choose one of {', '.join(get_args(Kind))}")
    value = _number_or_interval(name, value)
    if isinstance(value, Interval):
        _check_interval(name, value, kind)
        low, high, width = value.low, value.high, value.half_width
    elif kind in ("fact", "agreement"):
        low, high, width = value, value, math.inf
    else:
        raise ClaimError(f"{name}: a claim of kind {kind} needs an Interval, not the single number {value:g}")
    room = {f"above {above:g}": low - above} if above is not None else {}
    room |= {f"below {below:g}": below - high} if below is not None else {}
    line, bounds = f"{name} = {_text(value)}", " and ".join(room)
    if min(room.values()) <= 0:
        raise ClaimFailed(f"{line}   FAILS: {bounds}")
    if max(room.values()) > MAX_HALF_WIDTHS * width and not why:
        far = max(room.values()) / width
        bounds += f", {TOO_EASY} ({far:.1f} half-widths inside; {MAX_HALF_WIDTHS:g} at most, or say why)"
    print(f"{line}   holds: {bounds}")
    _glue(name, value)


def claim_equal(
    name: str, actual: torch.Tensor, expected: torch.Tensor, *, rtol: float = 0.0, atol: float = 1e-6
) -> None:
    """Assert that two arrays agree, by `torch.testing.assert_close` in float64; print and glue how closely.

    Prints `name = 3.1e-08 largest difference over 640 values   holds: at most 1e-06` and glues that
    difference as NAME.

    Args:
        name: a Python identifier.
        actual: tensor, array or number, any shape.
        expected: what it should equal, of the same shape.
        rtol: tolerance relative to `expected`.
        atol: absolute tolerance.

    Raises:
        ClaimFailed: if an element differs by more than `atol + rtol * |expected|`.
        ClaimError: if the shapes differ, both are the same object, or the values are degenerate: none at
            all, all zero or all the same within `atol`, where two wrong programs would agree too.
    """
    _check_name(name)
    if actual is expected and not isinstance(actual, int | float):
        raise ClaimError(f"{name}: both sides are the same object, which equals itself whatever it holds")
    left, right = (torch.as_tensor(side).detach().to("cpu", torch.float64) for side in (actual, expected))
    if left.shape != right.shape:
        raise ClaimError(f"{name}: shapes {tuple(left.shape)} and {tuple(right.shape)} differ")
    spread = right.max() - right.min() if right.numel() > 1 else math.inf
    if right.numel() == 0 or right.abs().max() <= atol or spread <= atol:
        raise ClaimError(
            f"{name}: the expected values, shape {tuple(right.shape)}, are none, all zero or all the same "
            f"(within {atol:g}), so that agreement shows nothing; compare on values that vary"
        )
    difference = float((left - right).abs().max())
    tolerance = f"at most {atol:g}" + (f" + {rtol:g} of the expected value" if rtol else "")
    line = f"{name} = {difference:.2g} largest difference over {right.numel():,} values"
    try:
        torch.testing.assert_close(left, right, rtol=rtol, atol=atol)
    except AssertionError as error:
        raise ClaimFailed(f"{line}   FAILS: {tolerance}\n{error}") from None
    print(f"{line}   holds: {tolerance}")
    _glue(name, difference)


def show(name: str, value: Interval | float) -> None:
    """Print a number or an interval and glue it for the prose, asserting nothing.

    Raises:
        ClaimError: if `name` is not a Python identifier or `value` not a finite number.
    """
    _check_name(name)
    value = _number_or_interval(name, value)
    print(f"{name} = {_text(value)}")
    _glue(name, value)


def table(
    name: str, rows: Mapping[str, Mapping[str, Interval | float | str]], *, caption: str | None = None
) -> None:
    """Print a table of results and glue it as one object, asserting nothing.

    Prose shows it with the directive `{glue} NAME`: a table on the site, plain text elsewhere. An interval is
    written `0.142 [0.118, 0.167]`, and what intervals are over stands in the caption, if it is the same for
    all of them.

    Args:
        name: a Python identifier.
        rows: title of a row -> title of a column -> an `Interval`, a finite number or a text of at most 60
            characters; every row has the same columns, shown in the order of the first row.
        caption: a sentence that says what the table shows.

    Raises:
        ClaimError: if the name, a title, a cell or the caption is not of this kind; if there is no row or no
            column; if a row has other columns than the first.
    """
    _check_name(name)
    if not isinstance(rows, Mapping) or not all(
        isinstance(cells, Mapping) and cells for cells in rows.values()
    ):
        raise ClaimError(
            f"{name}: a table needs a mapping of row titles to mappings of column titles to cells"
        )
    if not rows:
        raise ClaimError(f"{name}: a table without rows shows nothing")
    if caption is not None and not (isinstance(caption, str) and caption.strip()):
        raise ClaimError(f"{name}: the caption is {caption!r}; give a sentence or leave it out")
    first, columns = next((title, list(cells)) for title, cells in rows.items())
    for title in (*rows, *columns):
        _check_text(name, "title", title)
    checked: dict[str, dict[str, Any]] = {}
    for row, cells in rows.items():
        if odd := sorted(map(str, set(columns) ^ set(cells))):
            raise ClaimError(f"{name}: rows {first!r} and {row!r} differ in the columns {', '.join(odd)}")
        checked[row] = {column: _cell(f"{name}, {row!r}, {column!r}", cells[column]) for column in columns}
    shown = result_table.lay_out(checked, caption)
    print(f"{name}:\n{shown}")
    _glue_as_is(name, shown)


def _cell(where: str, value: Any) -> Interval | float | str:
    if isinstance(value, str):
        _check_text(where, "text", value)
        return value
    return _number_or_interval(where, value)


def _check_text(where: str, what: str, value: Any) -> None:
    longest = result_table.LONGEST
    if not isinstance(value, str) or not value.strip() or "\n" in value or len(value) > longest:
        raise ClaimError(
            f"{where}: {value!r} is no {what} for a table; give one line of 1 to {longest} letters"
        )


def _check_name(name: str) -> None:
    if not (isinstance(name, str) and name.isidentifier()):
        raise ClaimError(f"{name!r} cannot be glued: a name has letters, digits and underscores only")


def _check_bounds(name: str, above: float | None, below: float | None) -> None:
    given = [bound for bound in (above, below) if bound is not None]
    if not given or not all(map(math.isfinite, given)):
        raise ClaimError(f"{name}: a claim needs a finite bound; give above= or below=")
    if len(given) == 2 and not given[0] < given[1]:
        raise ClaimError(f"{name}: nothing lies above {above:g} and below {below:g}")


def _check_interval(name: str, value: Interval, kind: Kind) -> None:
    if value.half_width <= 1e-12 * max(abs(value.low), abs(value.high)):
        raise ClaimError(f"{name}: {value} has no width; nothing varied over the {value.unit}")
    if kind == "comparison" and value.n < MIN_SEEDS:
        raise ClaimError(f"{name}: a comparison needs at least {MIN_SEEDS} {value.unit}, not {value.n}")


def _number_or_interval(name: str, value: Interval | float) -> Interval | float:
    """`value` as an Interval, int or float; scalars of NumPy and torch become Python's."""
    if isinstance(value, Interval):
        return value
    number = value.item() if hasattr(value, "item") else value
    if not isinstance(number, int | float) or isinstance(number, bool) or not math.isfinite(number):
        raise ClaimError(f"{name}: need an Interval or a finite number, not {number!r}")
    return number


def _text(value: Interval | float) -> str:
    if isinstance(value, Interval):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1_000 else f"{value:,.0f}"


def _glue(name: str, value: Interval | float) -> None:
    """Store the number in the outputs of the running notebook."""
    _glue_as_is(name, float(value.mean) if isinstance(value, Interval) else value)
    if isinstance(value, Interval):
        _glue_as_is(f"{name}_low", float(value.low))
        _glue_as_is(f"{name}_high", float(value.high))


def _glue_as_is(name: str, value: Any) -> None:
    """Store a value in the outputs of the running notebook; outside IPython there is nothing to do."""
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        return
    from myst_nb import glue

    glue(name, value, display=False)
