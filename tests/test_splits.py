"""Parts and their cutting: subsets are stratified and nested, splits keep groups together."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from transferbook.data.grouping import mended
from transferbook.data.splits import Part, Splits, split, subset, subset_rows


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


def by_strata(part: Part, valid: float, test: float) -> list[list[str]]:
    """The rule for groups that share their classes with others, written out: inputs of each side."""
    held = {group: frozenset() for group in part.groups}
    for group, label in zip(part.groups, part.labels.tolist(), strict=True):
        held[group] |= {label}
    side = {}
    for classes in set(held.values()):
        members = [group for group in held if held[group] == classes]
        members.sort(key=lambda group: hashlib.sha256(group.encode()).hexdigest())
        bounds = round(valid * len(members)), round((valid + test) * len(members))
        side |= {g: 1 if i < bounds[0] else 2 if i < bounds[1] else 0 for i, g in enumerate(members)}
    pairs = list(zip(part.inputs, part.groups, strict=True))
    return [[one for one, group in pairs if side[group] == number] for number in range(3)]


def test_the_rule_of_strata_stands_wherever_it_puts_every_class_on_every_side():
    for seed in range(20):
        random = np.random.default_rng(seed)
        groups = tuple(f"group {number}" for number in random.integers(0, 60, 500))
        labels = torch.tensor([(int(group[6:]) + int(random.integers(0, 2))) % 3 for group in groups])
        part = Part([str(i) for i in range(500)], labels, groups)
        assert [side.inputs for side in split(part, valid=0.1, test=0.2)] == by_strata(part, 0.1, 0.2)


def authors(seed: int) -> Part:
    """1,200 posts of 40 authors, each of whom writes on two to four of ten topics."""
    random = np.random.default_rng(seed)
    topics = [random.choice(10, size=random.integers(2, 5), replace=False) for _ in range(40)]
    labels = torch.tensor(np.concatenate([random.choice(chosen, size=30) for chosen in topics]))
    names = tuple(f"author {i}" for i in range(40) for _ in range(30))
    return Part([str(i) for i in range(1_200)], labels, names)


def apart(labels: torch.Tensor, part: Part) -> torch.Tensor:
    """How far a side is from a fifth of each of ten classes."""
    return (labels.bincount(minlength=10) / part.labels.bincount() - 0.2).abs()


def test_groups_of_many_mixtures_are_split_as_well_as_scikit_learn_does():
    ours, reference = [], []
    for seed in range(12):
        part = authors(seed)
        by_rule = (part.labels[[int(i) for i in side]] for side in by_strata(part, 0.2, 0.2))
        assert min(len(labels.unique()) for labels in by_rule) < 10
        train, valid, test = split(part, valid=0.2, test=0.2)
        assert sorted(map(int, train.inputs + valid.inputs + test.inputs)) == list(range(1_200))
        assert len({*train.groups}) + len({*valid.groups}) + len({*test.groups}) == 40
        assert all(len(side.labels.unique()) == 10 for side in (train, valid, test))
        ours += [apart(side.labels, part) for side in (valid, test)]
        folds = StratifiedGroupKFold(5).split(part.inputs, part.labels, part.groups)
        reference += [apart(part.labels[rows], part) for _, rows in folds]
    ours, reference = torch.stack(ours), torch.stack(reference)
    assert ours.square().mean() < reference.square().mean() and ours.max() < 0.2


def test_a_split_of_mixtures_depends_on_names_only():
    part = authors(0)
    moved = part.select(np.random.default_rng(1).permutation(1_200))
    for one, other in zip(split(part, valid=0.1, test=0.2), split(moved, valid=0.1, test=0.2), strict=True):
        assert set(one.inputs) == set(other.inputs)


def test_a_split_of_mixtures_without_a_validation_part_leaves_it_empty():
    sizes = [len(side) for side in split(authors(2), valid=0, test=0.3)]
    assert sizes[1] == 0 and 240 < sizes[2] < 480


def test_a_rare_class_comes_to_every_side_and_moves_no_other():
    common = numbered(100, 40)
    rare = Part([*common.inputs, "x", "y", "z"], torch.cat([common.labels, torch.full((3,), 2)]))
    pairs = zip(*(split(part, valid=0.1, test=0.2) for part in (common, rare)), strict=True)
    for before, after in pairs:
        assert after.inputs[:-1] == before.inputs and after.labels.tolist().count(2) == 1


def test_a_class_of_two_groups_leaves_the_split_as_it_was():
    part = Part([""] * 42, torch.tensor([0] * 40 + [1] * 2))
    assert [side.labels.tolist().count(1) for side in split(part, valid=0.15, test=0.2)] == [1, 0, 1]
    side = {"a": 1, "b": 0, "c": 0, "d": 2}
    held = {"a": {0, 1}, "b": {0}, "c": {0}, "d": {0}}
    examples = [(group, label) for group, labels in held.items() for label in labels]
    assert mended(side, held, examples, (0.5, 0.25, 0.25)) == side


def test_groups_with_names_that_are_no_unicode_are_split():
    part = numbered(30, groups=tuple(f"caf\udce9 {i}" for i in range(30)))
    assert [len(side) for side in split(part, valid=0.1, test=0.2)] == [21, 3, 6]


class Drawers:
    """Inputs that are not in memory."""

    def __init__(self, names):
        self.names = names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return self.names[index]

    def select(self, indices):
        return Drawers([self.names[i] for i in indices])


def test_inputs_that_are_not_in_memory_are_cut_like_others():
    here = numbered(30, 12)
    there = Part(Drawers(here.inputs), here.labels)
    for one, other in zip(split(here, valid=0.2, test=0.2), split(there, valid=0.2, test=0.2), strict=True):
        assert isinstance(other.inputs, Drawers) and other.inputs.names == one.inputs
    assert subset(there, per_class=3, seed=1).inputs.names == subset(here, per_class=3, seed=1).inputs


TEXTS = ["<b>bold</b> & " + "long " * 100, *["short"] * 29]


def shown(inputs, count: int = 2) -> Splits:
    train = Part(inputs, torch.arange(30) % count, tuple(f"group {i // 2}" for i in range(30)))
    names = tuple(f"<{i}>" for i in range(count))
    return Splits("mine", train, train.select([0, 1, 2]), train.select([4]), names, "somewhere <else>")


def test_parts_and_splits_are_shown_in_short():
    splits = shown(TEXTS)
    text = "<b>bold</b> & " + "long " * 12 + "long…"
    said = '30 inputs, the first "' + text + '"'
    assert repr(splits.train) == f"Part({said}; labels 0: 15, 1: 15; 15 groups)"
    assert repr(splits) == f'Splits("mine": 30 train, 3 valid, 1 test; 2 classes: <0>, <1>; train {said})'
    assert repr(Part([], torch.zeros(0))) == "Part(inputs: none; labels )"
    images = shown(torch.zeros(30, 3, 8, 8, dtype=torch.uint8), 15)
    assert repr(images.train) == "Part(inputs (30, 3, 8, 8), uint8; 15 classes of 2 to 2; 15 groups)"
    assert "咖" * 79 + "…" in repr(shown(["咖" * 1_000] * 30))


def cells(html: str) -> list[list[str]]:
    rows = BeautifulSoup(html, "html.parser").find_all("tr")
    return [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in rows]


def test_splits_are_shown_in_a_notebook_as_a_table_with_all_names_escaped():
    html = shown(TEXTS)._repr_html_()
    assert "<b>" not in html and "&lt;b&gt;bold&lt;/b&gt; &amp; long" in html and len(html) < 2_000
    assert "<0>" not in html and "&lt;0&gt;" in html and "somewhere &lt;else&gt;" in html
    assert cells(html) == [
        ["", "examples", "<0>", "<1>"], ["train", "30", "15", "15"], ["valid", "3", "2", "1"],
        ["test", "1", "1", "0"],
    ]  # fmt: skip
    assert cells(shown(TEXTS, 15)._repr_html_())[:3] == [
        ["", "examples", "fewest in a class", "most in a class"], ["train", "30", "2", "2"],
        ["valid", "3", "0", "1"],
    ]  # fmt: skip


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
