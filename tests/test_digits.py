"""The three domains of digits: what they hold, and what aligning them does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from transferbook.data import datasets, digits


def sides(splits: datasets.Splits) -> tuple[datasets.Part, ...]:
    return splits.train, splits.valid, splits.test


def test_optdigits_are_scikit_learns_scaled_to_bytes():
    from sklearn.datasets import load_digits

    digits = load_digits()
    ours = torch.cat([part.inputs.flatten(1) for part in sides(datasets.optdigits())]).double() / 255 * 16
    labels = torch.cat([part.labels for part in sides(datasets.optdigits())])
    for label in range(10):
        expected = digits.data[digits.target == label].mean(0)
        np.testing.assert_allclose(ours[labels == label].mean(0), expected, atol=0.03)


def test_mnist_images_stand_upright():
    train = datasets.mnist_5k().train
    assert train.inputs.shape == (3_500, 1, 28, 28)
    ones = train.inputs[train.labels == 1].double().mean(0)[0]  # a stroke: tall, narrow
    rows, columns = ones.sum(1) > ones.sum(1).max() / 4, ones.sum(0) > ones.sum(0).max() / 4
    assert rows.sum() > 1.4 * columns.sum()


def test_every_typeface_has_ten_digits_and_stands_on_one_side():
    parts = sides(datasets.rendered_digits())
    faces = [set(part.groups) for part in parts]
    assert not faces[0] & faces[1] and not faces[0] & faces[2] and not faces[1] & faces[2]
    assert set.union(*faces) == set(digits.FACES)
    for part in parts:
        for face in set(part.groups):
            mine = part.labels[[group == face for group in part.groups]]
            assert mine.bincount().tolist() == [8] * 10


def test_rendered_digits_are_whole_distinct_and_the_same_each_time():
    parts = sides(datasets.rendered_digits())
    images = torch.cat([part.inputs for part in parts])
    assert len(images.flatten(1).unique(dim=0)) == len(images)
    frame = torch.cat([images[..., 0], images[..., -1], images[:, :, 0], images[:, :, -1]], dim=-1)
    assert frame.max() == 0  # nothing is cut off
    assert torch.equal(datasets.rendered_digits().train.inputs, parts[0].inputs)


def test_rendered_digits_are_what_their_labels_say():
    from sklearn.neighbors import KNeighborsClassifier

    splits = datasets.rendered_digits()
    flat = [digits.align(part.inputs, 16).flatten(1).numpy() for part in sides(splits)]
    nearest = KNeighborsClassifier(3).fit(flat[0], splits.train.labels)
    assert nearest.score(flat[2], splits.test.labels) > 0.9  # typefaces that it has not seen


def test_align_undoes_moving_scaling_and_dimming():
    image = datasets.mnist_5k().test.inputs[:20]
    moved = torch.zeros(20, 1, 40, 40, dtype=torch.uint8)
    moved[:, :, 11:39, 3:31] = image
    torch.testing.assert_close(digits.align(moved, 16), digits.align(image, 16))
    dim = (image.float() / 2).round().to(torch.uint8)
    assert (digits.align(dim, 16).int() - digits.align(image, 16).int()).abs().max() <= 4
    large = image.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    assert (digits.align(large, 16).int() - digits.align(image, 16).int()).abs().float().mean() < 8


def test_align_keeps_proportions_fills_the_frame_and_centres():
    bar = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    bar[:, :, 2:22, 3:8] = 200  # 20 high, 5 wide
    aligned = digits.align(bar, 8)[0, 0]
    assert aligned.dtype == torch.uint8 and aligned[:, 3:5].min() == 255
    assert aligned.sum() == 255 * 16  # 8 high, 2 wide, nothing else
    assert digits.align(bar, 8, margin=1)[0, 0, 0].max() == 0


@pytest.mark.parametrize("aligned", [False, True])
def test_domains_have_one_size_and_keep_their_splits(aligned):
    found = digits.domains(8, aligned=aligned)
    assert list(found) == ["rendered", "optdigits", "mnist"]
    for splits, plain in zip(
        found.values(), (datasets.rendered_digits(), datasets.optdigits(), datasets.mnist_5k()), strict=True
    ):
        for part, other in zip(sides(splits), sides(plain), strict=True):
            assert part.inputs.shape == (len(other), 1, 8, 8) and part.inputs.dtype == torch.uint8
            assert torch.equal(part.labels, other.labels) and part.groups == other.groups
    same = torch.equal(found["optdigits"].test.inputs, datasets.optdigits().test.inputs)
    assert same is not aligned  # resizing 8 x 8 to 8 x 8 changes nothing, aligning does


def test_bad_pictures_are_refused():
    dark = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    dark[0, 0, 4, 4] = 9
    with pytest.raises(ValueError, match="picture 1 has no ink"):
        digits.align(dark, 8)
    with pytest.raises(ValueError, match="margin of 4 leaves no room in 8"):
        digits.align(dark[:1], 8, margin=4)
    for wrong in (dark.float(), dark[0], dark.expand(-1, 3, -1, -1)):
        with pytest.raises(ValueError, match="need uint8 images"):
            digits.resize(wrong, 8)
