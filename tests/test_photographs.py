"""Photographs that are optional, on pictures made here; the archive itself is looked at where it is."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from transferbook.data import assets, photographs
from transferbook.data.assets import AssetError

LABELS = """images/cell0001.png  1.0                 mono
images/cell0002.png  0.3333333333333333  mono
images/cell0003.png  0.6666666666666666  poly

images/cell0004.png  0.0                 mono
"""


def drawn(shade: int, size: int = 300, mode: str = "L") -> bytes:
    made = io.BytesIO()
    Image.new(mode, (size, size), shade).save(made, "png")
    return made.getvalue()


@pytest.fixture
def members(monkeypatch) -> dict[str, bytes]:
    """The archive, with four pictures of four shades."""
    content = {f"images/cell000{i}.png": drawn(10 * i) for i in range(1, 5)}
    content["labels.csv"] = LABELS.encode()
    monkeypatch.setattr(assets, "read_members", lambda name: content)
    return content


def test_every_cell_keeps_its_own_label(members):
    cells = photographs.solar_cells()
    assert len(cells) == 4 and cells.pictures.shape == (4, 1, 300, 300)
    assert cells.pictures[:, 0, 0, 0].tolist() == [10, 20, 30, 40]
    assert cells.defect.tolist() == pytest.approx([1, 1 / 3, 2 / 3, 0])
    assert cells.poly.tolist() == [False, False, True, False]
    assert cells.stretch.tolist() == [0, 0, 1, 2]


def test_stretches_end_where_the_kind_changes():
    assert photographs.stretches(["mono", "poly", "poly", "mono"]).tolist() == [0, 1, 1, 2]
    assert photographs.stretches(["poly"]).tolist() == [0]


def test_modules_are_equal_pieces_of_a_stretch():
    stretch = torch.tensor([0] * 2 + [1] * 7 + [2] * 3)
    assert photographs.guessed_modules(stretch, cells=3).tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert photographs.guessed_modules(stretch, cells=60).tolist() == stretch.tolist()
    assert len(photographs.guessed_modules(stretch[:0])) == 0
    with pytest.raises(ValueError, match=r"at least one cell, not 0\.$"):
        photographs.guessed_modules(stretch, cells=0)


@pytest.mark.parametrize(
    "line", ["images/a.png 0.5 mono", "images/a.png 1.0 thin", "images/a.png 1.0", "images/a.png many mono"]
)
def test_a_line_that_is_no_label_is_named(line):
    with pytest.raises(ValueError, match=r"^labels\.csv, line 2: expected file, probability and kind, found"):
        photographs.read_labels(f"images/b.png 1.0 mono\n{line}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no picture", r"images/cell0002\.png cannot be read as a picture; fetch the wheel again\.$"),
        (drawn(9, size=200), r"images/cell0002\.png has shape \(200, 200\) of uint8, not \(300, 300\)"),
    ],
)
def test_a_picture_that_is_none_is_named(members, content, said):
    members["images/cell0002.png"] = content
    with pytest.raises(ValueError, match=said):
        photographs.solar_cells()


def test_a_picture_that_is_missing_is_named(members):
    del members["images/cell0003.png"]
    with pytest.raises(ValueError, match=r"names images/cell0003\.png, which the archive lacks"):
        photographs.solar_cells()


def test_the_archive_is_whole_or_says_how_to_fetch_it():
    if not assets.is_ready("solar_cells"):
        with pytest.raises(AssetError, match=r"CC-BY-NC-SA-4\.0.*assets fetch solar_cells`\.$"):
            photographs.solar_cells()
        return
    cells = photographs.solar_cells()
    thirds = np.bincount(np.round(3 * cells.defect.numpy()).astype(int))
    assert thirds.tolist() == [1_508, 295, 106, 715] and int(cells.poly.sum()) == 1_550
    lengths = np.bincount(cells.stretch.numpy())
    assert lengths.tolist() == [60, 300, 180, 360, 714, 530, 72, 180, 48, 180]
    assert cells.pictures.float().std() > 10
    modules = photographs.guessed_modules(cells.stretch)
    kinds = [cells.poly[modules == module].unique().tolist() for module in modules.unique()]
    assert kinds.count([False]) == 18 and kinds.count([True]) == 26 and len(kinds) == 44  # as published


# CIFAR-10


def rows_of_pixels(shades: list[int]) -> bytes:
    """A picture with one row for each shade: 32 x 32 pixels of that red, but for a blue one, the second."""
    pixels = np.zeros((len(shades), 1_024, 3), dtype=np.uint8)
    pixels[:, :, 0] = np.array(shades)[:, None]
    pixels[:, 1] = (0, 0, 255)
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, "png")
    return made.getvalue()


@pytest.fixture
def small_cifar(monkeypatch) -> dict[str, bytes]:
    """Two photographs in each batch of training, of classes 0 and 1 in turn, and three to test."""
    content = {f"train_{n}.png": rows_of_pixels([10 * n, 10 * n + 1]) for n in range(1, 6)}
    content |= {"test.png": rows_of_pixels([200, 201, 202]), "test_labels.json": b"[9, 8, 7]"}
    content["train_labels.json"] = json.dumps([0, 1] * 5).encode()
    monkeypatch.setattr(assets, "read_members", lambda name: content)
    return content


def test_every_photograph_keeps_its_own_label(small_cifar):
    splits = photographs.cifar10()
    assert splits.train.inputs[:, 0, 0, 0].tolist() == [10, 11, 20, 21, 30, 31, 40, 41]
    assert splits.train.labels.tolist() == [0, 1] * 4
    assert splits.valid.inputs[:, 0, 0, 0].tolist() == [50, 51] and splits.valid.labels.tolist() == [0, 1]
    assert splits.test.inputs[:, 0, 0, 0].tolist() == [200, 201, 202]
    assert splits.test.labels.tolist() == [9, 8, 7] and splits.class_names[9] == "truck"


def test_pixels_stand_line_by_line(small_cifar):
    picture = photographs.cifar10().test.inputs[0]
    assert picture.shape == (3, 32, 32) and picture.dtype == torch.uint8
    assert picture[:, 0, 1].tolist() == [0, 0, 255] and picture[:, 1, 0].tolist() == [200, 0, 0]


def test_a_few_labels_of_each_class(small_cifar):
    few = photographs.cifar10(per_class=2, seed=1).train
    assert few.labels.bincount().tolist() == [2, 2]
    more = photographs.cifar10(per_class=3, seed=1).train.inputs[:, 0, 0, 0].tolist()
    assert set(few.inputs[:, 0, 0, 0].tolist()) < set(more)


@pytest.mark.parametrize(
    ("member", "content", "said"),
    [
        ("train_2.png", b"no picture", r"train_2\.png cannot be read as a picture; fetch"),
        ("test.png", drawn(3), r"test\.png has shape \(300, 300\) of uint8, not \(N, 1024, 3\)"),
        ("train_labels.json", b"[0, 1]", r"train_labels\.json has not one class .* each of 10 pictures\.$"),
        ("test_labels.json", b"[3, 8", r"test_labels\.json is no list of numbers; fetch"),
        ("test_labels.json", b"[0, 1, 10]", r"test_labels\.json has not one class from 0 to 9 for each of 3"),
    ],
)
def test_what_is_not_as_expected_is_named(small_cifar, member, content, said):
    small_cifar[member] = content
    with pytest.raises(ValueError, match=said):
        photographs.cifar10()


def test_cifar10_is_whole_or_says_how_to_fetch_it():
    if not assets.is_ready("cifar10"):
        with pytest.raises(AssetError, match=r"none stated.*assets fetch cifar10`\.$"):
            photographs.cifar10()
        return
    splits = photographs.cifar10()
    for part, each in ((splits.test, 1_000), (splits.train, 4_000), (splits.valid, 1_000)):
        counts = part.labels.bincount()
        assert counts.sum() == 10 * each and (counts - each).abs().max() < each / 20
    assert splits.test.labels[:8].tolist() == [3, 8, 8, 0, 6, 6, 1, 6]  # as its authors publish it
    means = splits.test.inputs.float().mean(dim=(0, 2, 3))
    assert torch.allclose(means, torch.tensor([126.0, 123.7, 114.9]), atol=0.1)
