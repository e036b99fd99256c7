"""Reading the columns of a reader's table of texts, with the line of what is wrong in it."""

from __future__ import annotations

import codecs
import csv
import importlib
import io
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transferbook.data.own_data import printable, unreadable

SEPARATORS = (",", ";", "\t", "|")
PACKED = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip  # UTF-32 first: its mark begins as that of UTF-16 does
LONGEST_FIELD = 2**31 - 1
LONGEST_HEADER = 1_000_000
FEW_LINES = 5  # so many are named


class NoColumnError(ValueError):
    """A table lacks a column that was asked for."""


def columns_of(
    file: Path, wanted: list[str], sep: str | None, *, may_be_empty: bool = False
) -> list[list[str]]:
    """The wanted columns of a table, one field for each row that is not blank; see `own_texts.text_table`.

    Args:
        file: the table, with a header line.
        wanted: names of columns.
        sep: what separates the columns, or None to find it by the header.
        may_be_empty: give empty fields as "", where they are refused otherwise.

    Raises:
        ValueError: if the file is not such a table; the message names the file and the line.
    """
    if sep is not None and (len(sep) != 1 or sep in '"\r\n'):
        raise ValueError(f'sep is {sep!r}; it must be one character, for example "," or "\\t".')
    content = _content(file)
    with _long_fields():
        sep = sep or _separator(content, wanted)
        rows = _rows(file, content, sep)
        _, header = next(rows, (1, []))
        columns = [column.strip() for column in header]
        places = [_place(file, columns, column) for column in wanted]
        found: list[list[str]] = [[] for _ in wanted]
        empty: list[tuple[int, str]] = []
        for line, row in rows:
            if len(row) > len(columns):
                raise ValueError(
                    f"{printable(file)}, line {line} has more fields than the header; "
                    f"put texts that hold {_named(sep)} in double quotes."
                )
            for column, place, values in zip(wanted, places, found, strict=True):
                field = row[place] if place < len(row) else ""
                if not field.strip():
                    empty.append((line, column))
                values.append(field)
    if empty and not may_be_empty:
        raise ValueError(_said_of(printable(file), empty))
    return found


def _said_of(file: str, empty: list[tuple[int, str]]) -> str:
    """One sentence on all empty fields, each a line and a column, so that one look mends the table."""
    (line, column), others = empty[0], empty[1:]
    if not others:
        return f'{file}, line {line}: "{column}" is empty; fill it or remove the row.'
    lines = ", ".join(str(line) for line, _ in others[:FEW_LINES]) + ", …" * (len(others) > FEW_LINES)
    fields = "1 more field is" if len(others) == 1 else f"{len(others):,} more fields are"
    places = "line" if len(others) == 1 else "lines"
    return (
        f'{file}, line {line}: "{column}" is empty, and {fields} ({places} {lines}); '
        "fill them or remove the rows."
    )


def _content(file: Path) -> str:
    """The whole file as text, unpacked and decoded."""
    name = printable(file)
    if os.path.isdir(file):
        raise ValueError(f"{name} is a folder; text_table needs a file, image_folder takes folders.")
    packer = PACKED.get(file.suffix.lower())
    try:
        with importlib.import_module(packer).open(file) if packer else open(file, "rb") as opened:
            data = opened.read()
    except FileNotFoundError as error:
        raise ValueError(f"{name} does not exist; give the path of a table of texts.") from error
    except Exception as error:  # whatever the disk or an unpacker finds in a reader's file
        raise unreadable(file, "a table", error) from error
    encoding = next((encoding for mark, encoding in MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data[:4096]:
        raise ValueError(
            f"{name} holds zero bytes, so it is no table in UTF-8 (a workbook, or UTF-16 without its mark?); "
            "save it as CSV in UTF-8."
        )
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        bad = data[error.start] if error.start < len(data) else 0
        raise ValueError(
            f"{name} is not encoded in {encoding.removesuffix('-sig').upper()} (byte {bad:#04x}); "
            "save it as UTF-8."
        ) from error


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let the csv module read fields of any length, and put its limit back."""
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _separator(content: str, wanted: list[str]) -> str:
    """The separator by which the header has the most of the wanted columns, then the most columns at all."""

    start = content[:LONGEST_HEADER]

    def fit(sep: str) -> tuple[int, int]:
        try:
            rows = csv.reader(io.StringIO(start, newline=""), delimiter=sep, strict=True)
            header = next(filter(None, rows), [])
        except csv.Error:
            return -1, 0
        columns = [column.strip() for column in header]
        return sum(column in columns for column in wanted), len(columns)

    return max(SEPARATORS, key=fit)


def _rows(file: Path, content: str, sep: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of its last line."""
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=sep, strict=True)
    while True:
        before = reader.line_num
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines = list(itertools.islice(io.StringIO(content, newline=""), before, reader.line_num))
            opened = _quote_opens(lines, sep)
            if opened is None:
                place, said = reader.line_num, f"{error}"
            else:
                place, said = before + 1 + opened, "a double quote opens a field there and does not end it"
            raise ValueError(
                f"{printable(file)}, line {place} is not valid CSV ({said}); "
                "put such a text in double quotes and double those inside it."
            ) from error
        if row:
            yield reader.line_num, row


def _quote_opens(lines: list[str], sep: str) -> int | None:
    """Which line opens the last quoted field, counted from the first of a row; None if none is quoted."""
    opened, quoted, fresh, closed = None, False, True, False
    for number, line in enumerate(lines):
        for character in line:
            if quoted:
                quoted, closed = character != '"', character == '"'
            elif character == '"' and (fresh or closed):
                opened = opened if closed else number
                quoted, closed, fresh = True, False, False
            else:
                closed, fresh = False, character in (sep, "\n", "\r")
    return opened


def _place(file: Path, columns: list[str], column: str) -> int:
    if columns.count(column) == 1:
        return columns.index(column)
    if column in columns:
        raise ValueError(
            f'{printable(file)} has {columns.count(column)} columns named "{column}"; rename all but one.'
        )
    there = ", ".join(columns) or "none"
    raise NoColumnError(f'{printable(file)} has no column "{column}"; its columns are: {there}.')


def _named(sep: str) -> str:
    return {",": "a comma", ";": "a semicolon", "\t": "a tab"}.get(sep, f'"{sep}"')
