"""The table of vowels: who said what, and how often."""

from __future__ import annotations

import pytest
from sklearn.neighbors import KNeighborsClassifier

from transferbook.data import speech


@pytest.fixture(scope="module")
def vowels():
    return speech.vowels()


def test_each_speaker_said_each_word_in_six_slices(vowels):
    assert list(vowels) == ["speaker", "sex", "part", "word", *speech.AREAS] and len(vowels) == 990
    counts = vowels.groupby(["speaker", "word"]).size()
    assert len(counts) == 15 * 11 and set(counts) == {6}
    assert not vowels.isna().any(axis=None)


def test_speakers_of_both_sexes_stand_on_one_side_of_the_published_split(vowels):
    people = vowels.groupby("speaker")[["sex", "part"]].agg(["nunique", "first"])
    assert (people.loc[:, (slice(None), "nunique")] == 1).all(axis=None)
    counts = vowels.drop_duplicates("speaker").groupby(["part", "sex"]).size().to_dict()
    assert counts == {  # as Robinson describes the speakers
        ("train", "male"): 4, ("train", "female"): 4, ("test", "male"): 4, ("test", "female"): 3,
    }  # fmt: skip
    assert set(vowels.loc[vowels["part"] == "train", "speaker"]) == set(range(8))


def test_words_and_numbers_are_those_of_the_first_slices(vowels):
    assert vowels["word"].head(11).tolist() == list(speech.WORDS)
    assert vowels.loc[0, ["area_1", "area_2", "area_10"]].tolist() == [-3.639, 0.418, -0.814]


def test_a_published_result_comes_out(vowels):
    """Robinson's nearest neighbour had 260 of 462 test slices right, 56 percent."""
    areas, train = vowels[list(speech.AREAS)].to_numpy(), vowels["part"] == "train"
    nearest = KNeighborsClassifier(1).fit(areas[train], vowels.loc[train, "word"])
    assert (nearest.predict(areas[~train]) == vowels.loc[~train, "word"]).sum() == 260
