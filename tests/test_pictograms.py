"""Pictograms and their names belong together."""

import numpy as np
import pytest
import torch

from transferbook.data import datasets, pictograms


@pytest.fixture(scope="module")
def named():
    return pictograms.named_pictograms(size=32)


def test_names_belong_to_their_codes(named):
    name = dict(zip(named.codes, named.names, strict=True))
    kind = dict(zip(named.codes, named.kinds.tolist(), strict=True))
    assert name["1F405"] == "tiger" and kind["1F405"] == "animal-mammal"
    assert name["1F552"] == "clock face three oclock" and kind["1F552"] == "time"
    assert name["2708"] == "airplane"  # listed with a variant selector


def test_each_object_is_there_once_and_in_order(named):
    splits = datasets.openmoji(size=32)
    assert len(named) == sum(len(part) for part in (splits.train, splits.valid, splits.test))
    assert len(set(named.names)) == len(set(named.codes)) == len(named)
    assert list(named.codes) == sorted(named.codes)
    assert all(name == name.lower() for name in named.names)


def test_pictures_and_categories_are_those_of_the_data_set(named):
    splits = datasets.openmoji(size=32)
    row = {code: number for number, code in enumerate(named.codes)}
    for part in (splits.train, splits.valid, splits.test):
        rows = [row[code] for code in part.groups]
        assert torch.equal(named.images[rows], part.inputs)
        of_labels = [splits.class_names[label] for label in part.labels]
        assert np.array_equal(named.categories[rows], of_labels)


def test_line_drawings_are_the_same_objects(named):
    lines = pictograms.named_pictograms("line", 32)
    assert lines.names == named.names
    assert not torch.equal(lines.images, named.images)
    with pytest.raises(ValueError, match='style is "ink"'):
        pictograms.named_pictograms("ink")
