"""The reader's own texts: a table as `Splits`."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import torch

from transferbook.data.own_data import own_path, own_splits, printable
from transferbook.data.own_tables import PACKED, columns_of
from transferbook.data.splits import Part, Splits

NUMBER = re.compile(r"[+-]?(0|[1-9]\d{0,14})(\.\d{1,30})?(e[+-]?\d{1,2})?", re.ASCII | re.IGNORECASE)


def text_table(
    path: str | Path,
    text: str = "text",
    label: str = "label",
    group: str | None = None,
    *,
    sep: str | None = None,
    valid: float = 0.15,
    test: float = 0.2,
    limit: int | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> Splits:
    """Texts of a table with a header line, as CSV or TSV; the classes are the values of a column, sorted.

    The file is in UTF-8, or in another Unicode encoding that its first bytes (the byte order mark) tell, and
    may be packed (`.gz`, `.bz2`, `.xz`). Spaces around labels and groups do not count, and labels that are
    the same number (1 and 1.0) are one class; labels that differ by case only are kept apart, with a warning.

    Args:
        path: the file.
        text: name of the column of texts.
        label: name of the column of classes.
        group: name of a column whose values must not be on two sides (an author, a film). Without it, equal
            texts are a group, so that none is on two sides.
        sep: what separates the columns. Without it, the one of comma, semicolon, tab and `|` that finds the
            named columns in the header.
        valid: share of the groups that goes to the validation part.
        test: share of the groups that goes to the test part.
        limit: see `subset`, as for `per_class` and `seed`; they act on train only.

    Raises:
        ValueError: if the file is not such a table, a column is missing or there twice, a row has an empty
            text, label or group, all texts are numbers, or a class is too small for three parts; the message
            names the file and the place.
    """
    file = own_path(path)
    texts, values, *rest = columns_of(file, [text, label] if group is None else [text, label, group], sep)
    if texts and all(_is_number(one) for one in texts):
        raise ValueError(
            f'{printable(file)}: the column "{text}" holds numbers alone, where texts are needed; '
            "name another column, or use a library for tables of numbers, such as scikit-learn."
        )
    name_of = classes_of_labels(printable(file), set(values))
    class_names = sorted(set(name_of.values()))
    if len(class_names) < 2:
        raise ValueError(
            f'{printable(file)}: the column "{label}" holds {len(class_names)} classes in {len(texts)} rows; '
            "a classifier needs at least two."
        )
    index = {name: i for i, name in enumerate(class_names)}
    labels = torch.tensor([index[name_of[value]] for value in values])
    groups = tuple(value.strip() for value in (rest[0] if rest else texts))
    return own_splits(
        file,
        file.with_suffix("").stem if file.suffix.lower() in PACKED else file.stem,
        {"train": Part(texts, labels, groups)},
        class_names,
        "texts",
        shares=(valid, test),
        scarcity=(limit, per_class, seed),
    )


def _is_number(text: str) -> bool:
    """Whether a text is a number, with a point or a comma."""
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return False
    return True


def classes_of_labels(file: str, values: Iterable[str]) -> dict[str, str]:
    """For each value of a column of labels the name of its class; warns of what may be a slip.

    Args:
        file: what the table is called in a warning.
        values: all that the column holds; the same number in two spellings is one class.
    """
    plain = {value: unicodedata.normalize("NFC", value.strip()) for value in values}
    same: dict[str | Decimal, list[str]] = {}
    for value in sorted(set(plain.values())):
        same.setdefault(Decimal(value) if NUMBER.fullmatch(value) else value, []).append(value)
    name = {value: _shortest(key, spellings) for key, spellings in same.items() for value in spellings}
    by_case: dict[str, list[str]] = {}
    for class_name in sorted(set(name.values())):
        by_case.setdefault(class_name.casefold(), []).append(class_name)
    alike = [_listed(names) for names in by_case.values() if len(names) > 1]
    if alike:
        warnings.warn(
            f"{file}: the classes {'; '.join(alike)} differ by case only and are kept apart; "
            "if they are one class, write them alike.",
            stacklevel=3,
        )
    fractions = [_listed(names) for key, names in same.items() if len(names) > 1 and _fraction(key)]
    if fractions:
        warnings.warn(
            f"{file}: the labels {'; '.join(fractions)} are the same number and became one class; "
            "if they are not numbers, give them names.",
            stacklevel=3,
        )
    return {value: name[stripped] for value, stripped in plain.items()}


def _listed(names: list[str]) -> str:
    return " and ".join(f'"{name}"' for name in names)


def _fraction(key: str | Decimal) -> bool:
    return isinstance(key, Decimal) and key != key.to_integral_value()


def _shortest(key: str | Decimal, spellings: list[str]) -> str:
    """The name of a class: its shortest spelling, a whole number without its zeros."""
    if isinstance(key, Decimal) and not _fraction(key) and any("." in one for one in spellings):
        return str(int(key))
    return min(spellings, key=len)
