"""The reader's own data: what is read, and one clear sentence for what cannot be."""

from __future__ import annotations

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


@pytest.fixture
def table(tmp_path):
    """Writes lines to a CSV file and gives its path."""

    def write(*lines: str, encoding: str = "utf-8"):
        path = tmp_path / "reviews.csv"
        path.write_bytes("\n".join(lines).encode(encoding))
        return path

    return write


ROWS = [f'"good, no. {i}",pos,film {i % 10}' for i in range(40)] + [
    f"bad {i},neg,film {i % 10}" for i in range(20)
]


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
    images = {}
    for part in (splits.train, splits.valid, splits.test):
        images |= dict(zip(part.groups, part.inputs, strict=True))
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


def test_text_table_reads_texts_and_classes(table):
    splits = datasets.text_table(table("text,label,film", *ROWS))
    assert splits.class_names == ("neg", "pos") and splits.name == "reviews"
    counts = [part.labels.bincount().tolist() for part in (splits.train, splits.valid, splits.test)]
    assert counts == [[13, 26], [3, 6], [4, 8]]
    for part in (splits.train, splits.valid, splits.test):
        assert all(text.startswith("good, no.") == bool(label) for text, label in
                   zip(part.inputs, part.labels, strict=True))  # fmt: skip
    assert "60 texts" in splits.provenance


def test_text_table_keeps_a_group_on_one_side(table):
    splits = datasets.text_table(table("text,label,film", *ROWS), group="film")
    films = [set(part.groups) for part in (splits.train, splits.valid, splits.test)]
    assert sum(map(len, films)) == len(set.union(*films)) == 10


def test_text_table_keeps_equal_texts_on_one_side(table):
    rows = [f"word {i // 2},{'ab'[i % 4 // 2]}" for i in range(200)]
    splits = datasets.text_table(table("text,label", *rows))
    texts = [set(part.inputs) for part in (splits.train, splits.valid, splits.test)]
    assert sum(map(len, texts)) == 100 and sum(map(len, (splits.train, splits.valid, splits.test))) == 200


def test_text_table_reads_other_column_names_and_a_byte_order_mark(table):
    path = table("sentence,stars", *[f"text {i},{i % 3}" for i in range(60)], encoding="utf-8-sig")
    splits = datasets.text_table(path, text="sentence", label="stars", limit=6, seed=1)
    assert splits.class_names == ("0", "1", "2") and splits.train.labels.bincount().tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["review,label", "a,b"], r'reviews\.csv has no column "text"; its columns are: review, label\.'),
        ([], r'reviews\.csv has no column "text"; its columns are: none\.'),
        (
            ["text,label", "good,pos", " ,neg"],
            r'reviews\.csv, line 3: "text" is empty; fill it or remove the row',
        ),
        (["text,label", "good,pos", "bad"], r'reviews\.csv, line 3: "label" is empty'),
        (
            ["text,label", "good, or not,pos"],
            r"reviews\.csv, line 2 has more fields than the header; put texts",
        ),
        (
            ["text,label", "good,pos", "bad,pos"],
            r'reviews\.csv: the column "label" holds 1 classes in 2 rows',
        ),
        (
            ["text,label", "good,pos", "bad,neg"],
            r'reviews\.csv: the class "neg" has 1 texts, which leaves none for',
        ),
        (["text,label", 'good,"pos" yes'], r"reviews\.csv, line 2 is not valid CSV"),
    ],
)
def test_a_bad_table_gets_one_sentence_with_the_place(table, lines, message):
    with pytest.raises(ValueError, match=message):
        datasets.text_table(table(*lines))


def test_a_wrong_encoding_is_named(table):
    with pytest.raises(
        ValueError, match=r"reviews\.csv is not encoded in UTF-8 \(byte 0xe9\); save it as UTF-8"
    ):
        datasets.text_table(table("text,label", "un café,pos", encoding="latin-1"))
