"""The reader's own texts: a table as `Splits`."""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from transferbook.data.own_data import own_splits
from transferbook.data.splits import Part, Splits


def text_table(
    path: str | Path,
    text: str = "text",
    label: str = "label",
    group: str | None = None,
    *,
    valid: float = 0.15,
    test: float = 0.2,
    limit: int | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> Splits:
    """Texts of a CSV file in UTF-8 with a header line; the classes are the values of a column, sorted.

    Args:
        path: the file.
        text: name of the column of texts.
        label: name of the column of classes.
        group: name of a column whose values must not be on two sides (an author, a film). Without it, equal
            texts are a group, so that none is on two sides.
        valid: share of the groups that goes to the validation part.
        test: share of the groups that goes to the test part.
        limit: see `subset`, as for `per_class` and `seed`; they act on train only.

    Raises:
        ValueError: if the file is not such a table, a column is missing, a row has an empty text, label or
            group, or a class is too small for three parts; the message names the file and the place.
    """
    file = Path(path)
    wanted = [text, label] if group is None else [text, label, group]
    try:
        rows = _read_columns(file, wanted)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} is not encoded in UTF-8 (byte {error.object[error.start]:#04x}); save it as UTF-8."
        ) from error
    class_names = sorted({row[1] for row in rows})
    if len(class_names) < 2:
        raise ValueError(
            f'{file}: the column "{label}" holds {len(class_names)} classes in {len(rows)} rows; '
            "a classifier needs at least two."
        )
    labels = torch.tensor([class_names.index(row[1]) for row in rows])
    groups = tuple(row[0] if group is None else row[2] for row in rows)
    whole = Part([row[0] for row in rows], labels, groups)
    return own_splits(
        file,
        file.stem,
        {"train": whole},
        class_names,
        "texts",
        shares=(valid, test),
        scarcity=(limit, per_class, seed),
    )


def _read_columns(file: Path, wanted: list[str]) -> list[list[str]]:
    """The wanted columns of a CSV file, row by row, none of them empty."""
    rows = []
    with open(file, encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        try:
            columns = list(reader.fieldnames or [])
            for column in wanted:
                if column not in columns:
                    there = ", ".join(columns) or "none"
                    raise ValueError(f'{file} has no column "{column}"; its columns are: {there}.')
            for row in reader:
                if None in row:
                    raise ValueError(
                        f"{file}, line {reader.line_num} has more fields than the header; "
                        "put texts that hold a comma in double quotes."
                    )
                for column in wanted:
                    if not (row[column] or "").strip():
                        raise ValueError(
                            f'{file}, line {reader.line_num}: "{column}" is empty; fill it or remove the row.'
                        )
                rows.append([row[column] for column in wanted])
        except csv.Error as error:
            raise ValueError(f"{file}, line {reader.reader.line_num} is not valid CSV ({error}).") from error
    return rows
