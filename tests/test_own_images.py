"""The reader's own pictures: which are found, how they are read, and one sentence for what cannot be."""

from __future__ import annotations

import os
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from transferbook.data import datasets


@pytest.fixture
def pictures(tmp_path):
    """20 red and 40 blue pictures, 40 by 20 pixels, whose outer quarters are black, as PNG and JPEG.

    No two are equal: their left edges differ.
    """
    for name, count, color in (("red", 20, (250, 0, 0)), ("blue", 40, (0, 0, 250))):
        (tmp_path / name).mkdir()
        for i in range(count):
            pixels = np.zeros((20, 40, 3), dtype=np.uint8)
            pixels[:, 0], pixels[:, 10:30] = 5 * i, color
            Image.fromarray(pixels).save(tmp_path / name / f"{i:02d}.{'png' if i % 2 else 'jpg'}", quality=95)
    return tmp_path


def sides_of(splits):
    """Group -> the sides that it is on."""
    found = {}
    for side in ("train", "valid", "test"):
        for group in getattr(splits, side).groups:
            found.setdefault(group, set()).add(side)
    return found


def images_of(splits):
    """Group -> its image."""
    found = {}
    for part in (splits.train, splits.valid, splits.test):
        found |= dict(zip(part.groups, part.inputs, strict=True))
    return found


def test_image_folder_reads_classes_and_crops_the_centre(pictures):
    splits = datasets.image_folder(pictures, size=10)
    assert splits.class_names == ("blue", "red") and splits.name == pictures.name
    counts = [part.labels.bincount().tolist() for part in (splits.train, splits.valid, splits.test)]
    assert counts == [[26, 13], [6, 3], [8, 4]]
    assert splits.train.inputs.shape == (39, 3, 10, 10) and splits.train.inputs.dtype == torch.uint8
    blue, red = (splits.train.inputs[splits.train.labels == label].double() for label in (0, 1))
    assert red[:, 0].min() > 200 and red[:, 1:].max() < 40  # the centre alone: no black
    assert blue[:, 2].min() > 200 and blue[:, :2].max() < 40
    assert all(group.startswith("blue/") == (label == 0) for group, label in
               zip(splits.train.groups, splits.train.labels, strict=True))  # fmt: skip


def test_image_folder_split_does_not_move_with_seed_or_limit(pictures):
    whole = datasets.image_folder(pictures, size=8)
    scarce = datasets.image_folder(pictures, size=8, per_class=2, seed=3)
    assert scarce.train.labels.bincount().tolist() == [2, 2]
    assert scarce.test.groups == whole.test.groups and set(scarce.train.groups) < set(whole.train.groups)


def test_image_folder_turns_and_whitens(pictures):
    turned = Image.new("RGB", (20, 10), "black")
    turned.paste("white", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the stored left is the top
    turned.save(pictures / "red" / "turned.png", exif=exif)
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(pictures / "red" / "clear.png")
    splits = datasets.image_folder(pictures, size=10)
    images = images_of(splits)
    assert (images["red/clear.png"] == 255).all()
    assert images["red/turned.png"][:, :3].min() > 200 and images["red/turned.png"][:, -3:].max() < 50


def test_lazy_images_are_those_in_memory_and_load_in_batches(pictures):
    whole = datasets.image_folder(pictures, size=8, per_class=7, seed=2)
    lazy = datasets.image_folder(pictures, size=8, per_class=7, seed=2, lazy=True)
    for kept, listed in ((whole.train, lazy.train), (whole.valid, lazy.valid), (whole.test, lazy.test)):
        assert isinstance(listed.inputs, datasets.ImageFiles) and len(listed) == len(listed.inputs)
        assert listed.groups == kept.groups and torch.equal(listed.labels, kept.labels)
        loaded = torch.cat(list(torch.utils.data.DataLoader(listed.inputs, batch_size=5)))
        assert torch.equal(loaded, kept.inputs) and loaded.dtype == torch.uint8
    assert len(lazy.train) == 14 and lazy.train.inputs[-1].shape == (3, 8, 8)
    few = lazy.train.select([3, 1])
    assert few.inputs.files == (lazy.train.inputs.files[3], lazy.train.inputs.files[1])
    assert lazy.train.inputs[3:5].files == lazy.train.inputs.files[3:5]
    assert repr(few.inputs) == "ImageFiles(2 files, size=8)"


def test_a_lazy_image_that_is_broken_is_named_when_it_is_asked_for(pictures):
    for name in ("red", "blue"):
        (pictures / name / "00.jpg").write_bytes(b"hello " + name.encode())
    lazy = datasets.image_folder(pictures, size=8, lazy=True)
    with pytest.raises(ValueError, match=r"00\.jpg cannot be read as an image; mend or remove it"):
        for part in (lazy.train, lazy.valid, lazy.test):
            list(part.inputs)


def test_list_images_gives_files_labels_and_class_names(pictures):
    listing = datasets.list_images(pictures)
    assert len(listing) == len(listing.files) == 60 and listing.class_names == ("blue", "red")
    assert listing.labels == (0,) * 40 + (1,) * 20 and listing.sides is None and listing.left_out == ()
    assert listing.files[40] == pictures / "red" / "00.jpg" and listing.groups[40] == "red/00.jpg"
    assert "60 images, 2 classes" in repr(listing)


def test_a_broken_image_is_named(pictures):
    whole = (pictures / "red" / "00.jpg").read_bytes()
    (pictures / "red" / "00.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        ValueError, match=r"red/00\.jpg cannot be read as an image; mend or remove it \(.*[Tt]runcated"
    ):
        datasets.image_folder(pictures)
    (pictures / "red" / "00.jpg").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"red/00\.jpg cannot be read as an image"):
        datasets.image_folder(pictures)


def test_image_folder_without_classes_is_refused(pictures):
    with pytest.raises(ValueError, match="red needs at least two sub-folders, one per class; it has 0"):
        datasets.image_folder(pictures / "red")
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        datasets.image_folder(pictures / "nowhere")


def test_an_empty_class_is_named(pictures):
    (pictures / "green").mkdir()
    (pictures / "green" / "notes.txt").write_text("to do")
    with pytest.raises(ValueError, match=r"class folder .*green holds no image \(\.bmp, .*\); put some in"):
        datasets.image_folder(pictures)


def test_a_class_that_is_too_small_is_named(pictures):
    (pictures / "green").mkdir()
    Image.new("RGB", (9, 9)).save(pictures / "green" / "only.png")
    with pytest.raises(
        ValueError, match='the class "green" has 1 images, which leaves none for valid; add some'
    ):
        datasets.image_folder(pictures)


# --- depth of grey levels ----------------------------------------------------------------------------------

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def saved(path, values):
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sixteen.png", (RAMP * 65_535).astype(np.uint16)),
        ("sixteen.tif", (RAMP * 65_535).astype(np.uint16)),
        ("sixteen.pgm", (RAMP * 65_535).astype(np.uint16)),
        ("twelve.png", (RAMP * 4_095).astype(np.uint16)),
        ("eight_in_sixteen.tif", (RAMP * 255).round().astype(np.uint16)),
        ("few.tif", (RAMP * 9).round().astype(np.uint16)),
        ("signed.tif", (RAMP * 4_000).astype(np.int32) - 1_000),
        ("large.tif", (RAMP * 1e6).astype(np.int32)),
        ("fractions.tif", RAMP.astype(np.float32)),
        ("metres.tif", (RAMP * 20.5).astype(np.float32)),
        ("tiny.tif", (RAMP * 1e-4).astype(np.float32)),
        ("below_zero.tif", (RAMP - 0.5).astype(np.float32)),
        ("whole_floats.tif", (RAMP * 255).round().astype(np.float32)),
    ],
)
def test_deep_grey_levels_become_eight_bits_and_that_is_said(tmp_path, name, values):
    file = saved(tmp_path / name, values)
    with pytest.warns(UserWarning, match=rf"^1 image has more than eight bits .*{name}\.$"):
        image = datasets.read_image(file, 8)
    expected = np.round(values.astype(float) - values.min()) if name == "few.tif" else None
    wanted = RAMP * 255 if expected is None else expected / 9 * 255
    assert image.shape == (3, 8, 8) and image.dtype == np.uint8
    assert np.abs(image.astype(float) - wanted).max() <= 1.01


def test_deep_pictures_of_a_kind_stay_comparable(tmp_path):
    dark, light = ((RAMP * top).astype(np.uint16) for top in (20_000, 60_000))
    with pytest.warns(UserWarning, match="more than eight bits"):
        images = [datasets.read_image(saved(tmp_path / "x.png", values), 8) for values in (dark, light)]
    assert [int(image.max()) for image in images] == [round(20_000 / 257), round(60_000 / 257)]


def test_values_that_are_no_numbers_are_black(tmp_path):
    values = RAMP.astype(np.float32)
    values[0, 5], values[0, 6], values[0, 7] = np.nan, -np.inf, np.inf
    with pytest.warns(UserWarning, match="more than eight bits"):
        image = datasets.read_image(saved(tmp_path / "x.tif", values), 8)
    assert image[0, 0, 5:].tolist() == [0, 0, 255] and image[0, 7, 7] == 255
    with pytest.warns(UserWarning, match="more than eight bits"):
        empty = datasets.read_image(saved(tmp_path / "y.tif", np.full((4, 4), np.nan, np.float32)), 4)
    assert empty.max() == 0


def test_a_folder_says_once_how_many_pictures_were_rescaled(pictures):
    for i in range(5):
        saved(pictures / "red" / f"deep{i}.png", (RAMP * (65_535 - i)).astype(np.uint16))
    with pytest.warns(UserWarning) as said:
        datasets.image_folder(pictures, size=8)
    assert len(said) == 1 and said[0].filename == __file__
    assert str(said[0].message).startswith("5 images have more than eight bits a channel and were rescaled")
    assert str(said[0].message).endswith(f"for example {pictures / 'red' / 'deep0.png'}.")
    lazy = datasets.image_folder(pictures, size=8, lazy=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for image in (image for part in (lazy.train, lazy.valid, lazy.test) for image in part.inputs):
            assert image.max() > 200
    assert len(said) == 1 and f"images in {pictures / 'red'} have more than eight" in str(said[0].message)


# --- what is found -----------------------------------------------------------------------------------------


def test_hidden_files_and_folders_are_left_out_at_any_depth(pictures):
    for place in (".hidden", "red/.ipynb_checkpoints", "red/deeper/.thumbs", "blue/__MACOSX"):
        (pictures / place).mkdir(parents=True)
        Image.new("RGB", (9, 9), "green").save(pictures / place / "copy.png")
    Image.new("RGB", (9, 9), "yellow").save(pictures / "red" / "deeper" / "seen.png")
    for name in (".DS_Store", "red/._00.jpg", "blue/Thumbs.db", "red/deeper/desktop.ini"):
        (pictures / name).write_bytes(b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        listing = datasets.list_images(pictures)
    assert len(listing) == 61 and "red/deeper/seen.png" in listing.groups
    assert {reason for _, reason in listing.left_out} == {"hidden"}
    left_out = {file.relative_to(pictures).as_posix() for file, _ in listing.left_out}
    assert left_out == {
        ".hidden", "red/.ipynb_checkpoints", "red/deeper/.thumbs", "blue/__MACOSX", ".DS_Store",
        "red/._00.jpg", "blue/Thumbs.db", "red/deeper/desktop.ini",
    }  # fmt: skip


def test_what_is_left_out_is_said_and_listed(pictures):
    for name in ("red/a.HEIC", "red/b.heic", "blue/deeper/notes.txt", "blue/none", "stray.png"):
        (pictures / name).parent.mkdir(exist_ok=True)
        (pictures / name).write_bytes(b"x")
    said = r"5 files left out \(2 \.heic, 1 no ending, 1 \.txt, 1 in no class folder\), for example .*stray"
    with pytest.warns(UserWarning, match=said) as caught:
        datasets.image_folder(pictures, size=8)
    assert len(caught) == 1 and caught[0].filename == __file__
    with pytest.warns(UserWarning, match=said) as caught:
        listing = datasets.list_images(pictures)
    assert caught[0].filename == __file__ and len(listing) == 60
    assert dict(listing.left_out) == {
        pictures / "red/a.HEIC": "ending", pictures / "red/b.heic": "ending",
        pictures / "blue/none": "ending", pictures / "blue/deeper/notes.txt": "ending",
        pictures / "stray.png": "outside",
    }  # fmt: skip


def test_many_endings_are_summed_up(pictures):
    for i in range(9):
        (pictures / "red" / f"x.a{i}").write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"9 files left out \(1 \.a\d, .*, 4 of other endings\)"):
        datasets.list_images(pictures)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_linked_folder_is_said_to_be_left_out(pictures, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere")
    Image.new("RGB", (9, 9)).save(other / "x.png")
    (pictures / "red" / "more").symlink_to(other)
    with pytest.warns(UserWarning, match=r"1 file left out \(1 link to a folder\)"):
        assert len(datasets.list_images(pictures)) == 60


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_nowhere_is_named(pictures):
    (pictures / "red" / "gone.png").symlink_to(pictures / "nowhere.png")
    with pytest.raises(ValueError, match=r"red/gone\.png cannot be read as an image; mend or remove it"):
        datasets.list_images(pictures)


def test_equal_files_are_one_group_and_on_one_side(pictures):
    for i in range(40):
        for copy in range(3):
            (pictures / "blue" / f"copy{copy} of {i:02d}").mkdir()
            original = pictures / "blue" / f"{i:02d}.{'png' if i % 2 else 'jpg'}"
            (pictures / "blue" / f"copy{copy} of {i:02d}" / original.name).write_bytes(original.read_bytes())
    splits = datasets.image_folder(pictures, size=8, lazy=True)
    sides = sides_of(splits)
    assert len(sides) == 60 and all(len(on) == 1 for on in sides.values())
    assert sum(map(len, (splits.train, splits.valid, splits.test))) == 180
    assert "blue/07.png" in sides  # a group is called as its first file
    for part in (splits.train, splits.valid, splits.test):
        for file, group in zip(part.inputs.files, part.groups, strict=True):
            assert file.read_bytes() == (pictures / group).read_bytes()


def test_files_of_one_size_and_other_bytes_are_apart(pictures):
    for i in range(4):
        Image.new("RGB", (9, 9), (i, 0, 0)).save(pictures / "red" / f"same size {i}.bmp")
    assert len(set(datasets.list_images(pictures).groups)) == 64


# --- layouts with sides ------------------------------------------------------------------------------------


def lay_out(root, *sides, classes=("cat", "dog"), count=10):
    """`count` pictures of each class below each side, no two equal."""
    number = 0
    for side in sides:
        for name in classes:
            (root / side / name).mkdir(parents=True)
            for i in range(count):
                number += 1
                pixels = np.full((9, 9, 3), number % 250, dtype=np.uint8)
                pixels[0, 0] = number // 250
                Image.fromarray(pixels).save(root / side / name / f"{i}.png")
    return root


@pytest.mark.parametrize("names", [("train", "val", "test"), ("TRAIN", "Validation", "Test")])
def test_a_layout_with_sides_is_taken_as_it_is(tmp_path, names):
    splits = datasets.image_folder(lay_out(tmp_path / "pets", *names), size=8)
    assert splits.class_names == ("cat", "dog") and splits.name == "pets"
    for part, name in zip((splits.train, splits.valid, splits.test), names, strict=True):
        assert part.labels.tolist() == [0] * 10 + [1] * 10
        assert {group.split("/")[0] for group in part.groups} == {name}
    assert "60 images" in splits.provenance
    listing = datasets.list_images(tmp_path / "pets")
    assert listing.sides == ("train",) * 20 + ("valid",) * 20 + ("test",) * 20


@pytest.mark.parametrize(
    ("names", "sizes"),
    [(("train", "test"), (34, 6, 40)), (("train", "valid"), (32, 40, 8)), (("train",), (26, 6, 8))],
)
def test_sides_that_a_layout_lacks_are_cut_from_train(tmp_path, names, sizes):
    splits = datasets.image_folder(lay_out(tmp_path, *names, count=20), size=8, lazy=True)
    assert tuple(map(len, (splits.train, splits.valid, splits.test))) == sizes
    assert all(len(on) == 1 for on in sides_of(splits).values())
    assert {group.split("/")[0] for group in splits.train.groups} == {"train"}


def test_limits_shrink_the_train_side_of_a_layout_alone(tmp_path):
    splits = datasets.image_folder(lay_out(tmp_path, "train", "val", "test"), size=8, per_class=3)
    assert tuple(map(len, (splits.train, splits.valid, splits.test))) == (6, 20, 20)


def test_a_class_that_is_called_train_is_a_class(tmp_path):
    listing = datasets.list_images(lay_out(tmp_path, ".", classes=("bus", "car", "train")))
    assert listing.class_names == ("bus", "car", "train") and listing.sides is None


def test_equal_files_on_two_sides_of_a_layout_are_said(tmp_path):
    root = lay_out(tmp_path, "train", "test")
    (root / "test" / "cat" / "copy.png").write_bytes((root / "train" / "cat" / "3.png").read_bytes())
    with pytest.warns(UserWarning, match=r"1 image on two sides .* for example train/cat/3\.png; remove"):
        datasets.image_folder(root, size=8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "test" / "dog").rename(root / "test" / "hound"),
         r'test has no folder for the class "dog", which .*train has'),
        (lambda root: (root / "val" / "emu").mkdir(),
         r'train has no folder for the class "emu", which .*val has'),
        (lambda root: (root / "labels").mkdir(), r"sides \(train, val, test\) and beside them labels; move"),
        (lambda root: (root / "validation").mkdir(),
         r"two folders for one side, val and validation; keep one"),
        (lambda root: [file.unlink() for file in (root / "val" / "dog").iterdir()],
         r"class folder .*val.dog holds no image"),
    ],
    ids=["renamed", "one more", "beside", "twice", "empty"],
)  # fmt: skip
def test_a_layout_that_does_not_agree_gets_one_sentence(tmp_path, change, message):
    change(lay_out(tmp_path, "train", "val", "test"))
    with pytest.raises(ValueError, match=message):
        datasets.list_images(tmp_path)


def test_sides_without_classes_are_refused(tmp_path):
    lay_out(tmp_path, "train", "test", classes=(".",))
    with pytest.raises(ValueError, match=r"train needs at least two sub-folders, one per class; it has 0\."):
        datasets.image_folder(tmp_path)


# --- damaged files and odd names ---------------------------------------------------------------------------


def with_exif(path, exif):
    Image.new("RGB", (20, 10), "red").save(path, exif=exif)
    return path


@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0\0\0\x08\0\x05", b"Exif\0\0garbage", b"Exif\0\0"])
def test_a_picture_with_damaged_exif_is_kept(tmp_path, exif):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own
        image = datasets.read_image(with_exif(tmp_path / "x.jpg", exif), 8)
    assert image.shape == (3, 8, 8) and image[0].min() > 240


def test_a_picture_is_turned_although_another_note_is_damaged(tmp_path):
    turned = Image.new("RGB", (20, 10), "black")
    turned.paste("white", (0, 0, 10, 10))
    # Big-endian; two notes: orientation 6, and a width whose type is a text that cannot be one
    notes = b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\x01\0\0\x02\0\0\0\x04\xff\xfe\xfd\xfc"
    turned.save(tmp_path / "x.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + notes + b"\0\0\0\0", quality=95)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = datasets.read_image(tmp_path / "x.jpg", 10)
    assert image[:, :3].min() > 200 and image[:, -3:].max() < 50


def test_orientations_are_those_of_pillow(tmp_path):
    from PIL import ImageOps

    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    for orientation in range(10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
        with Image.open(tmp_path / "x.png") as opened:
            expected = np.asarray(ImageOps.exif_transpose(opened)).transpose(2, 0, 1)
        assert (datasets.read_image(tmp_path / "x.png", 12) == expected).all(), orientation


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_unicode_work_and_can_be_printed(pictures):
    odd = os.fsdecode(b"caf\xe9")
    (pictures / odd).mkdir()
    for i in range(20):
        Image.new("RGB", (9, 9), (i, 0, 0)).save(pictures / odd / f"{odd}{i}.png")
    splits = datasets.image_folder(pictures, size=8)
    said = f"{splits!r} {splits._repr_html_()} {splits.train!r} {splits.provenance} {splits.train.groups}"
    assert said.encode("utf-8") and r"caf\udce9" in splits.class_names
    assert any(group.startswith(r"caf\udce9/caf\udce9") for group in splits.train.groups)
    (pictures / odd / f"{odd}3.png").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"caf\\udce93\.png cannot be read as an image") as caught:
        datasets.image_folder(pictures, size=8)
    assert str(caught.value).encode("utf-8")
    moved = pictures.rename(pictures.parent / odd)
    assert datasets.list_images(moved / odd / "..") and datasets.image_folder(moved / "red/..", lazy=True)


def test_an_error_that_nobody_foresaw_names_the_file(pictures, monkeypatch):
    from PIL import ImageOps

    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(ImageOps, "fit", broken)
    with pytest.raises(ValueError, match=r"00\.jpg cannot be read as an image; .* \(ZeroDivisionError\)\."):
        datasets.read_image(pictures / "red" / "00.jpg")


def test_a_path_from_home_and_a_wrong_size(pictures, monkeypatch):
    monkeypatch.setenv("HOME", str(pictures))
    monkeypatch.setenv("USERPROFILE", str(pictures))
    assert datasets.read_image("~/red/00.jpg", 8).shape == (3, 8, 8)
    assert len(datasets.list_images("~")) == 60
    with pytest.raises(ValueError, match="is not a folder"):
        datasets.list_images("~nobody of this name/x")
    for size in (0, -3, 8.5):
        with pytest.raises(ValueError, match=rf"size is {size}; it must be a whole number of pixels"):
            datasets.image_folder(pictures, size)
        with pytest.raises(ValueError, match=rf"size is {size}; it must be a whole number of pixels"):
            datasets.read_image(pictures / "red" / "00.jpg", size)
