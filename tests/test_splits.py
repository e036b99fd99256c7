"""Parts and their cutting: subsets are stratified and nested, splits keep groups together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression

from transferbook.data.splits import Part, split, subset, subset_rows


def numbered(*counts: int, groups: tuple[str, ...] | None = None) -> Part:
    """A part with `counts[c]` examples of class c, whose inputs are their own positions."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Part([str(i) for i in range(len(labels))], labels, groups)


def test_part_select_takes_inputs_labels_and_groups_together():
    images = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1)
    part = Part(images, torch.arange(5), tuple("abcde")).select([3, 1])
    assert part.inputs.flatten().tolist() == [3, 1] and part.labels.tolist() == [3, 1]
    assert part.groups == ("d", "b") and len(part) == 2


def test_part_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="'inputs': 2, 'labels': 3"):
        Part(["a", "b"], torch.zeros(3))


def test_subset_keeps_class_proportions_at_every_size():
    part = numbered(600, 300, 100)
    for limit in (10, 50, 99, 200, 997):
        counts = subset(part, limit=limit, seed=limit).labels.bincount(minlength=3)
        assert counts.sum() == limit
        assert (counts - torch.tensor([0.6, 0.3, 0.1]) * limit).abs().max() <= 1, (limit, counts)


def test_subset_gives_a_rare_class_one_example():
    assert subset(numbered(1_000, 1), limit=2).labels.tolist().count(1) == 1


@pytest.mark.parametrize("asked", ["limit", "per_class"])
def test_subsets_are_nested_and_reproducible(asked):
    part = numbered(40, 70, 25)
    sizes = (3, 8, 21, 25)
    subsets = [subset(part, seed=7, **{asked: size}).inputs for size in sizes]
    for smaller, larger in itertools.pairwise(subsets):
        assert set(smaller) < set(larger) and len(set(larger)) == len(larger)
    assert subset(part, seed=7, **{asked: 8}).inputs == subsets[1]
    assert subset(part, seed=8, **{asked: 8}).inputs != subsets[1]


@pytest.mark.parametrize("asked", [{"limit": 40}, {"per_class": 4}])
def test_rows_of_a_subset_select_it(asked):
    part = numbered(5, 50, 500)
    rows = subset_rows(part.labels, seed=3, **asked)
    assert rows.dtype == torch.int64
    assert part.select(rows).inputs == subset(part, seed=3, **asked).inputs
    assert rows.tolist() != subset_rows(part.labels, seed=4, **asked).tolist()


def test_rows_of_a_subset_without_a_size_are_refused():
    with pytest.raises(ValueError, match="neither"):
        subset_rows(numbered(5, 10).labels)


def test_subset_per_class_takes_as_many_of_each():
    chosen = subset(numbered(5, 50, 500), per_class=5)
    assert chosen.labels.bincount().tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"limit": 16}, "limit is 16; it must be from 2 .* to 15"),
        ({"limit": 1}, "limit is 1; it must be from 2 "),
        ({"per_class": 6}, r"per_class is 6; it must be from 1 to 5, .* smallest class \(label 0\)"),
        ({"per_class": 0}, "per_class is 0; it must be from 1 to 5"),
        ({"limit": 4, "per_class": 2}, r"give limit \(4\) or per_class \(2\), not both"),
    ],
)
def test_subset_of_a_wrong_size_is_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        subset(numbered(5, 10), **asked)


def test_split_keeps_groups_together_and_loses_nothing():
    groups = tuple(f"g{i % 40}" for i in range(400))
    train, valid, test = split(numbered(200, 200, groups=groups), valid=0.1, test=0.2)
    assert [len(set(part.groups)) for part in (train, valid, test)] == [28, 4, 8]
    assert not set(train.groups) & set(valid.groups + test.groups)
    assert not set(valid.groups) & set(test.groups)
    assert sorted(map(int, train.inputs + valid.inputs + test.inputs)) == list(range(400))


def test_split_is_stratified_where_examples_stand_alone():
    parts = split(numbered(100, 40), valid=0.1, test=0.2)
    assert [part.labels.bincount().tolist() for part in parts] == [[70, 28], [10, 4], [20, 8]]


def test_split_depends_on_the_names_of_groups_only():
    groups = tuple(f"film {i}" for i in range(50))
    part = numbered(50, groups=groups)
    backwards = part.select(range(49, -1, -1))
    assert set(split(part, valid=0.2, test=0.2)[2].groups) == set(
        split(backwards, valid=0.2, test=0.2)[2].groups
    )


def test_split_with_impossible_shares_is_refused():
    with pytest.raises(ValueError, match=r"valid \(0.5\) and test \(0.5\)"):
        split(numbered(10), valid=0.5, test=0.5)


def test_noise_stays_noise_when_selection_sees_the_training_part_alone():
    scores = {"before": [], "inside": []}
    for seed in range(12):
        random = np.random.default_rng(seed)
        x, y = random.standard_normal((80, 1_000)), np.arange(80) % 2
        whole = Part(torch.from_numpy(x), torch.from_numpy(y), tuple(f"{seed} {i}" for i in range(80)))
        train, _, test = split(whole, valid=0, test=0.5)
        for way in scores:
            seen = train if way == "inside" else whole
            chosen = SelectKBest(f_classif, k=10).fit(seen.inputs.numpy(), seen.labels.numpy())
            model = LogisticRegression().fit(chosen.transform(train.inputs.numpy()), train.labels.numpy())
            scores[way].append(model.score(chosen.transform(test.inputs.numpy()), test.labels.numpy()))
    assert abs(np.mean(scores["inside"]) - 0.5) < 0.07
    assert np.mean(scores["before"]) > 0.65
