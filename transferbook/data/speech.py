"""Measured speech, one slice of a sound in each row, with its speaker: the unit to split by."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from transferbook.data import assets

if TYPE_CHECKING:
    from pandas import DataFrame

WORDS = ("heed", "hid", "head", "had", "hud", "hard", "hod", "hoard", "hood", "who'd", "heard")
AREAS = tuple(f"area_{number}" for number in range(1, 11))


def vowels() -> DataFrame:
    """Eleven steady vowels of British English by fifteen speakers, ten numbers for each slice of a vowel.

    Every speaker said every word once. Six slices of 51 ms were cut out of the
    steady part of its vowel, and each is a row: six rows are one sound, 66 rows are one person.

    Returns:
        Shape (990, 14). `speaker`, 0 to 14; `sex`, text; `part`, `train` or `test` in the published
        comparison (speakers 0 to 7, 8 to 14); `word`, text, one of `WORDS`, whose vowel is heard; the
        logarithms of ten area ratios of the vocal tract, `area_1` to `area_10`, without a unit.

    Raises:
        AssetError: if the wheel that holds the table cannot be had.

    Source: Deterding (1989), as Robinson (1989) measured and published it.
    """
    import pandas as pd

    content = io.BytesIO(assets.read_member("vowels", "vowel.dat"))
    table = pd.read_csv(content, header=None, names=["part", "speaker", "sex", *AREAS, "word"])
    table["part"] = table["part"].map({0: "train", 1: "test"})
    table["sex"] = table["sex"].map({0: "male", 1: "female"})
    table["word"] = table["word"].map(dict(enumerate(WORDS)))
    return table[["speaker", "sex", "part", "word", *AREAS]]
