"""What pictures and texts of the reader's have in common: names that print, and what a failure is called."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from transferbook.data.own_data import own_splits, printable, unreadable
from transferbook.data.splits import Part


def part(*labels: int, groups: str | None = None) -> Part:
    names = None if groups is None else tuple(groups)
    return Part([f"text {i}" for i in range(len(labels))], torch.tensor(labels), names)


def splits_of(parts: dict[str, Part], names=("a", "b"), shares=(0.25, 0.25), scarcity=(None, None, 0)):
    return own_splits(Path("x.csv"), "x", parts, names, "texts", shares=shares, scarcity=scarcity)


def test_what_is_no_unicode_prints_as_an_escape():
    assert printable(Path("a") / "caf\udce9 é 咖") == str(Path("a")) + str(Path("/"))[-1] + "caf\\udce9 é 咖"


@pytest.mark.parametrize(
    ("error", "cause"), [(OSError("bad \udce9."), "bad \\udce9"), (MemoryError(), "MemoryError")]
)
def test_an_unreadable_file_is_named_with_the_cause(error, cause):
    said = str(unreadable(Path("caf\udce9.png"), "an image", error))
    assert said == f"caf\\udce9.png cannot be read as an image; mend or remove it ({cause})."


def test_sides_that_are_given_are_kept_and_the_others_cut_from_train():
    train, test = part(*[0, 1] * 20), part(0, 1, 1)
    splits = splits_of({"train": train, "test": test})
    assert splits.test is test and [len(splits.train), len(splits.valid)] == [30, 10]
    assert splits.provenance == "x.csv, 43 texts of the reader's own"
    assert len(splits_of({"train": train, "test": test}, scarcity=(6, None, 1)).train) == 6


@pytest.mark.parametrize(
    ("groups", "count"),
    [(None, "1 texts"), ("abcdefghij", "1 texts"), ("abcdefghii", "1 texts")],
)
def test_a_class_that_is_too_small_is_counted(groups, count):
    with pytest.raises(ValueError, match=rf'x\.csv: the class "b" has {count}, which leaves none for'):
        splits_of({"train": part(*[0] * 9, 1, groups=groups)})


def test_a_class_of_fewer_groups_than_examples_is_counted_in_both():
    with pytest.raises(ValueError, match=r'the class "b" has 4 texts in 2 groups, which leaves none for'):
        splits_of({"train": part(*[0] * 6, 1, 1, 1, 1, groups="abcdefgghh")})


def test_the_class_of_the_fewest_groups_is_the_one_that_is_named():
    with pytest.raises(ValueError, match=r'the class "c" has 5 texts in 1 group, which leaves none for'):
        whole = part(*[0] * 9, 1, 1, 1, *[2] * 5, groups="abcdefghiijjkkkkk")
        splits_of({"train": whole}, names=("a", "b", "c"))
