"""Features that are kept on disk: what is not well there is said, computed anew and loses nothing."""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from transferbook.data import assets, files
from transferbook.learning import transfer
from transferbook.models.backbones import Backbone

IMAGES = torch.randint(0, 256, (7, 3, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def backbone() -> Backbone:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)).eval()
    return Backbone("tiny", module, lambda images: images.float() / 255, 5, "made here", "divided by 255")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(assets, "cache_dir", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "features"


def warned(call) -> tuple[torch.Tensor, str]:
    """What the call returns, and its only warning: one sentence."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    (warning,) = caught
    message = str(warning.message)
    assert message.endswith(".") and "\n" not in message and warning.filename == __file__
    return result, message


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[content.index(torch.load(file).numpy().tobytes()) + 9] ^= 1
    file.write_bytes(content)


def other(file: Path) -> None:
    torch.save(torch.zeros(3, 5), file)


@pytest.mark.parametrize("damage", [cut, flip, other])
def test_a_damaged_file_is_computed_anew_and_replaced(cache, damage):
    first = transfer.embed(backbone(), IMAGES)
    (file,) = cache.iterdir()
    damage(file)
    again, message = warned(lambda: transfer.embed(backbone(), IMAGES))
    assert file.name in message and "computed anew" in message
    assert torch.equal(again, first) and torch.equal(torch.load(file), first)
    assert list(cache.iterdir()) == [file]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(transfer.embed(backbone(), IMAGES), first)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_features_that_cannot_be_stored_are_returned(cache, monkeypatch, number):
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    expected = transfer.embed(backbone(), IMAGES, cache=False)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        found, message = warned(lambda: transfer.embed(backbone(), IMAGES))
    assert torch.equal(found, expected) and list(cache.iterdir()) == []
    assert message.startswith(f"The features cannot be stored in {cache}") and "TRANSFERBOOK_CACHE" in message
    assert ("free some space" in message) == (number == errno.ENOSPC)


def test_a_cache_that_is_no_folder_does_not_keep_the_features_back(cache):
    cache.parent.write_text("in the way")
    found, message = warned(lambda: transfer.embed(backbone(), IMAGES))
    assert torch.equal(found, transfer.embed(backbone(), IMAGES, cache=False)) and str(cache) in message


def test_a_file_that_cannot_be_read_is_computed_anew(cache, monkeypatch):
    expected = transfer.embed(backbone(), IMAGES)

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files, "load_tensors", refuse)
    found, message = warned(lambda: transfer.embed(backbone(), IMAGES))
    assert torch.equal(found, expected) and "cannot be read (Permission denied)" in message


def test_numpy_pictures_are_taken_as_they_are(cache):
    expected = transfer.embed(backbone(), IMAGES, cache=False)
    array = IMAGES.numpy()
    assert torch.equal(transfer.embed(backbone(), array), expected)
    backwards = np.ascontiguousarray(array[::-1])[::-1]
    backwards.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(transfer.embed(backbone(), backwards), expected)
    assert len(list(cache.iterdir())) == 1  # the same inputs, whatever holds them


def broken_images(value: float) -> torch.Tensor:
    images = torch.zeros(5, 3, 2, 2)
    images[3, 1, 0, 1] = value
    return images


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["good", None, "fine"], "row 1 is None"),
        (["good", "fine", float("nan")], "row 2 is NaN"),
        (["good", 3.5], "row 1 is of type float"),
        ([np.zeros((3, 2, 2), np.uint8)] * 2, "row 0 is of type ndarray"),
        (("good", b"bytes"), "row 1 is of type bytes"),
        ("one text", "not one str"),
        ({"input_ids": torch.zeros(2, 3)}, "not one dict"),
        (iter(["good"]), "not one list_iterator"),
        ([], "at least one input"),
        (np.zeros((2, 3, 4, 4)), r"got a NumPy array of float64 with shape \(2, 3, 4, 4\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"shape \(N, 1 or 3, H, W\).* \(2, 4, 4, 3\)"),
        (np.array(["a", "b"]), "NumPy array of <U1"),
        (broken_images(float("nan")), "row 3 holds NaN"),
        (broken_images(float("-inf")), "row 3 holds NaN or an infinite"),
    ],
)
def test_an_input_that_is_none_is_named_by_its_row(cache, inputs, message):
    with pytest.raises(ValueError, match=message) as caught:
        transfer.embed(backbone(), inputs)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert not cache.exists()
