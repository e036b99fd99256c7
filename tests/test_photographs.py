"""Photographs that are optional, on pictures made here; the archive itself is looked at where it is."""

from __future__ import annotations

import io

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
