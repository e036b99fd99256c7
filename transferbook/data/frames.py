"""Tables as pandas DataFrames, as they were published: text columns, units and missing values included.

A chapter that teaches what to do with a messy table starts here. `datasets` gives examples that are ready to
train on.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from transferbook.data import assets

if TYPE_CHECKING:
    from pandas import DataFrame


def penguins() -> DataFrame:
    """Palmer penguins: 344 birds of three species, measured in 2007 to 2009, one in each row.

    Nothing is cleaned: two birds were never measured, and the sex of eleven is missing (those two included).

    Returns:
        Shape (344, 8). Text: `species`, `island` and `sex`, missing where it is unknown. Numbers:
        `bill_length_mm`, `bill_depth_mm`, `flipper_length_mm` and `body_mass_g`, NaN where missing; `year`.

    Raises:
        AssetError: if the wheel that holds the table cannot be had.

    Source: Gorman, Williams and Fraser (2014).
    """
    import pandas as pd

    return pd.read_csv(io.BytesIO(assets.read_member("penguins", "penguins.csv")), na_values=["NA"])
