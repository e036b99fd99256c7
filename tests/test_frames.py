"""Tables as they were published, mess included."""

from __future__ import annotations

import pytest

from transferbook.data import frames

COLUMNS = [
    "species", "island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex", "year",
]  # fmt: skip


@pytest.fixture(scope="module")
def penguins():
    return frames.penguins()


def test_every_bird_and_column_is_there(penguins):
    assert list(penguins) == COLUMNS and len(penguins) == 344
    assert penguins["species"].value_counts().to_dict() == {"Adelie": 152, "Gentoo": 124, "Chinstrap": 68}
    assert penguins.groupby("species")["island"].nunique().to_dict() == {
        "Adelie": 3,
        "Chinstrap": 1,
        "Gentoo": 1,
    }
    assert sorted(penguins["year"].unique()) == [2007, 2008, 2009]


def test_what_is_missing_stays_missing(penguins):
    missing = {name: int(count) for name, count in penguins.isna().sum().items() if count}
    assert missing == {
        "bill_length_mm": 2, "bill_depth_mm": 2, "flipper_length_mm": 2, "body_mass_g": 2, "sex": 11,
    }  # fmt: skip
    assert set(penguins["sex"].dropna()) == {"female", "male"}


def test_measurements_keep_their_units(penguins):
    first = penguins.iloc[0]
    assert first[COLUMNS[2:6]].tolist() == [39.1, 18.7, 181, 3750]
    assert (first["species"], first["island"], first["sex"], first["year"]) == (
        "Adelie", "Torgersen", "male", 2007,
    )  # fmt: skip
    assert all(penguins[name].dtype.kind == "f" for name in COLUMNS[2:6])


def test_each_call_gives_a_table_of_its_own():
    one = frames.penguins()
    one.loc[0, "body_mass_g"] = 0
    assert frames.penguins().loc[0, "body_mass_g"] == 3750
