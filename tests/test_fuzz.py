"""Tables and pictures that Hypothesis makes up and damages: a right answer, or one sentence and no file.

They go through what `classify train` reads its examples with, and through `classify predict` itself.
"""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from transferbook.__main__ import main
from transferbook.data import datasets
from transferbook.data.own_tables import columns_of
from transferbook.program import classify

QUICK = classify.Settings(seconds=1, size=32, max_tokens=16, pairs=0)
# The same examples in every run. `make hardship` tries others, and more.
FUZZ = settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)

# Any character that UTF-8 can hold, but zero, which the reader refuses by a sentence of its own.
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ROWS = st.lists(st.tuples(WORDS, st.sampled_from(["good", "bad", "so so"]), WORDS), max_size=8)


@st.composite
def damage(draw, content: bytes) -> bytes:
    """The bytes cut off, changed in one place, or with something put in."""
    place = draw(st.integers(0, len(content)))
    kind = draw(st.sampled_from(["cut", "change", "insert", "double"]))
    if kind == "cut":
        return content[:place]
    if kind == "change":
        return content[:place] + draw(st.binary(min_size=1, max_size=3)) + content[place + 1 :]
    if kind == "insert":
        return content[:place] + draw(st.binary(min_size=1, max_size=8)) + content[place:]
    return content + content[place:]


@st.composite
def tables(draw) -> tuple[bytes, list[tuple[str, str, str]] | None]:
    """A table as bytes, and its rows if it was written as a table should be."""
    rows = draw(ROWS)
    separator = draw(st.sampled_from([",", ";", "\t"]))
    file = io.StringIO()
    end = draw(st.sampled_from(["\n", "\r\n"]))
    # Not all Pythons quote a lone carriage return of themselves.
    bare = any("\r" in field for row in rows for field in row)
    quoting = csv.QUOTE_ALL if bare or draw(st.booleans()) else csv.QUOTE_MINIMAL
    writer = csv.writer(file, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerow(["text", "label", "more"])
    writer.writerows(rows)
    content = file.getvalue().encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))
    if draw(st.booleans()):
        return draw(damage(content)), None
    return content, rows


def one_sentence(said: str) -> bool:
    """Whether this is one line that ends as a sentence does."""
    return (
        len(said.strip().splitlines()) == 1
        and said.strip().endswith((".", "!", "?"))
        and "Traceback" not in said
    )


@FUZZ
@given(tables())
@example((b"", None))
@example((b"text,label,more\n", []))
@example((b"\xff\xfe", None))
def test_a_table_is_read_as_it_was_written_or_refused(tmp_path, table):
    content, rows = table
    file = tmp_path / "made_up.csv"
    file.write_bytes(content)
    try:
        texts, labels = columns_of(file, ["text", "label"], None)
    except ValueError as error:
        assert one_sentence(str(error)), str(error)
        assert rows is None or any(not text.strip() for text, _, _ in rows) or not rows, str(error)
    else:
        assert len(texts) == len(labels)
        if rows is not None:
            assert [*zip(texts, labels, strict=True)] == [(text, label) for text, label, _ in rows]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            splits = datasets.text_table(file)
    except ValueError as error:
        assert one_sentence(str(error)), str(error)
    else:
        assert all(text.strip() for part in (splits.train, splits.valid, splits.test) for text in part.inputs)
    assert [path.name for path in tmp_path.iterdir()] == ["made_up.csv"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of texts."""
    folder = tmp_path_factory.mktemp("model")
    lines = [f"a {'fine' if i % 3 else 'dull'} film no. {i},{'good' if i % 3 else 'bad'}" for i in range(60)]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    classify.train(folder / "reviews.csv", QUICK, save=folder / "reviews.model")
    return folder / "reviews.model"


@settings(FUZZ, max_examples=60)
@given(tables())
def test_every_row_is_answered_or_nothing_is_written(model, tmp_path, capsys, table):
    content, rows = table
    given_to, out = tmp_path / "new.csv", tmp_path / "labels.csv"
    given_to.write_bytes(content)
    out.write_text("old")
    status = main(["classify", "predict", str(model), str(given_to), "--out", str(out)])
    said = capsys.readouterr()
    assert said.out == ""
    if out.read_text(encoding="utf-8") == "old":
        assert status == 1 and one_sentence(said.err), said.err
    else:
        with open(out, newline="", encoding="utf-8") as file:
            answers = [*csv.DictReader(file)]
        assert all(bool(row["label"]) != bool(row["problem"]) for row in answers)
        assert rows is None or len(answers) == len(rows)
        assert all(row["label"] in ("good", "bad") for row in answers if not row["problem"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.csv", "new.csv"]


LOSSLESS = ["BMP", "PNG", "PPM", "TIFF"]


@st.composite
def pictures(draw) -> tuple[bytes, np.ndarray | None]:
    """A picture as bytes, and its pixels (3, 8, 8) if nothing has changed them."""
    seed = draw(st.integers(0, 2**32 - 1))
    mode = draw(st.sampled_from(["RGB", "L", "P", "RGBA", "LA", "1", "CMYK"]))
    pixels = np.random.default_rng(seed).integers(256, size=(8, 8, 3), dtype=np.uint8)
    kind = draw(st.sampled_from([*LOSSLESS, "GIF", "JPEG", "WEBP"]))
    file = io.BytesIO()
    try:
        Image.fromarray(pixels).convert(mode).save(file, format=kind)
    except (OSError, KeyError, ValueError):  # this kind cannot hold this mode
        mode = "RGB"
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format=kind)
    if draw(st.booleans()):
        return draw(damage(file.getvalue())), None
    exact = mode in ("RGB", "RGBA") and kind in LOSSLESS
    return file.getvalue(), pixels.transpose(2, 0, 1) if exact else None


@FUZZ
@given(pictures())
@example((b"", None))
def test_a_picture_is_read_as_it_is_or_refused(tmp_path, picture):
    content, pixels = picture
    file = tmp_path / "made_up.png"  # whatever it holds
    file.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = datasets.read_image(file, 8)
    except ValueError as error:
        assert one_sentence(str(error)), str(error)
        assert pixels is None
    else:
        assert found.shape == (3, 8, 8) and found.dtype == np.uint8
        assert pixels is None or np.array_equal(found, pixels)
    assert [path.name for path in tmp_path.iterdir()] == ["made_up.png"]
