"""A table of results as one object: the same cells as plain text in a notebook and as HTML on the site."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from .intervals import LEVEL, Interval

Cell = Interval | float | str
LONGEST = 60  # characters of a title or of a cell that is a text
DIGITS = 3  # significant digits of the largest number of a column
MOST_DECIMALS = 6


@dataclass(frozen=True)
class Table:
    """A table as texts, ready to be shown; equal texts give equal bytes.

    Attributes:
        columns: titles of the columns.
        rows: title and cells of each row, as many cells as there are columns.
        numeric: for each column, whether it holds numbers, which are set to the right.
        caption: a sentence on the whole table, or "".
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    numeric: tuple[bool, ...]
    caption: str = ""

    def __repr__(self) -> str:
        lines = [("", *self.columns), *((title, *cells) for title, cells in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        right = (False, *self.numeric)
        text = [
            "  ".join(
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*text, *([self.caption] if self.caption else [])])

    def _repr_html_(self) -> str:
        """Headers carry their scope, so that a screen reader says which row and column a cell is in."""
        kinds = [' class="number"' if number else "" for number in self.numeric]
        head = "".join(
            f'<th scope="col"{kind}>{escape(title)}</th>'
            for title, kind in zip(self.columns, kinds, strict=True)
        )
        body = "".join(
            f'<tr><th scope="row">{escape(title)}</th>'
            + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(cells, kinds, strict=True))
            + "</tr>\n"
            for title, cells in self.rows
        )
        caption = f"<caption>{escape(self.caption)}</caption>\n" if self.caption else ""
        return (
            f'<div class="results pst-scrollable-table-container">\n<table class="table">\n{caption}'
            f"<thead>\n<tr><td></td>{head}</tr>\n</thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>"
        )


def lay_out(rows: dict[str, dict[str, Cell]], caption: str | None = None) -> Table:
    """Write the cells of a table as texts.

    An interval becomes `0.142 [0.118, 0.167]`; if all are over as many values of one unit, the caption says
    so once, else each cell does. The numbers of a column have as many decimals as give its largest three
    significant digits; one that this would put off by more than a tenth has three of its own. Whole numbers
    have none.

    Args:
        rows: title of a row -> title of a column -> cell; every row has the columns of the first.
        caption: a sentence on the whole table.
    """
    columns = tuple(next(iter(rows.values())))
    sizes = {
        f"{cell.n:,} {cell.unit}"
        for cells in rows.values()
        for cell in cells.values()
        if isinstance(cell, Interval)
    }
    texts = [_column([cells[title] for cells in rows.values()], len(sizes) > 1) for title in columns]
    said = [caption] if caption else []
    if sizes:
        over = f" over {sizes.pop()}" if len(sizes) == 1 else ""
        said.append(f"In brackets: {100 * LEVEL:.0f} % intervals{over}.")
    numeric = tuple(not any(isinstance(cells[title], str) for cells in rows.values()) for title in columns)
    by_row = zip(*texts, strict=True)
    return Table(columns, tuple(zip(rows, by_row, strict=True)), numeric, " ".join(said))


def _column(cells: list[Cell], say_size: bool) -> list[str]:
    """The texts of one column."""
    numbers = [cell for cell in cells if isinstance(cell, float)]
    largest = max(map(abs, numbers), default=0.0)
    decimals = max(DIGITS - 1 - math.floor(math.log10(largest)), 0) if largest > 0 else 1
    return [_text(cell, decimals, say_size) for cell in cells]


def _text(cell: Cell, decimals: int, say_size: bool) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Interval):
        return str(cell) if say_size else str(cell).partition(" over ")[0]
    if isinstance(cell, int):
        return f"{cell:,}"
    text = f"{cell:z,.{decimals}f}"
    far = abs(float(text.replace(",", "")) - cell) > abs(cell) / 10
    return f"{cell:.{DIGITS}g}" if far or decimals > MOST_DECIMALS else text
