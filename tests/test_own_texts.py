"""The reader's own texts: which tables are read, and one sentence with the place for what cannot be."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import warnings

import numpy as np
import pytest

from transferbook.data import datasets


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
        (["review,label", "a,b"], r'reviews\.csv has no column "text"; its columns are: review, label\.$'),
        ([], r'reviews\.csv has no column "text"; its columns are: none\.$'),
        (
            ["text,label", "good,pos", " ,neg"],
            r'reviews\.csv, line 3: "text" is empty; fill it or remove the row',
        ),
        (["text,label", "good,pos", "bad"], r'reviews\.csv, line 3: "label" is empty'),
        (
            ["text,label", "good,pos", "bad", ",neg"],
            r'line 3: "label" is empty, and 1 more field is \(line 4\); fill them or remove the rows\.$',
        ),
        (
            ["text,label", *["bad,"] * 8],
            r'line 2: "label" is empty, and 7 more fields are \(lines 3, 4, 5, 6, 7, …\); fill them',
        ),
        (
            ["text,label", "3.5,pos", "1e-2,neg", '" -7,25",neg'],
            r'reviews\.csv: the column "text" holds numbers alone, where texts are needed; name another',
        ),
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


@pytest.fixture
def kept_apart():
    """Turns warnings into errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def parts_of(splits):
    return splits.train, splits.valid, splits.test


def classes_of(path, **options):
    """Text -> the name of its class."""
    splits = datasets.text_table(path, **options)
    pairs = {}
    for part in parts_of(splits):
        names = (splits.class_names[label] for label in part.labels)
        pairs |= dict(zip(part.inputs, names, strict=True))
    return pairs


def numbered(*labels, count=10):
    """`count` rows of a text and a label for each label."""
    return [f"text {name} {i},{name}" for name in labels for i in range(count)]


# --- labels and groups -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("pos", "pos ", " pos", "neg"), ("neg", "pos")),
        (("1", "1.0", "0", "0.00"), ("0", "1")),
        (("1.0", "2.0", "+1"), ("1", "2")),
        (("1.000e+00", "2.000e+00", "1"), ("1", "2")),
        (("-1", "-1.0", "1"), ("-1", "1")),
        (("01", "02", "1"), ("01", "02", "1")),
        (("1e5", "2e5"), ("1e5", "2e5")),
        (("v1.0", "v1"), ("v1", "v1.0")),
        (("1.5", "3.10"), ("1.5", "3.10")),
        (("caf\u00e9", "cafe\u0301", "bar"), ("bar", "caf\u00e9")),
        (("٣", "3"), ("3", "٣")),
    ],
)
def test_labels_that_are_the_same_are_one_class(table, kept_apart, labels, names):
    path = table("text,label", *numbered(*labels))
    assert datasets.text_table(path).class_names == names
    for text, name in classes_of(path).items():
        label = text.removeprefix("text ").rpartition(" ")[0]
        assert name in (label.strip(), "caf\u00e9") or float(name) == float(label)


def test_labels_that_differ_by_case_only_are_said(table):
    path = table("text,label", *numbered("Pos", "pos", "neg", "NEG", "so so"))
    said = r'classes "NEG" and "neg"; "Pos" and "pos" differ by case only and are kept apart; if they are one'
    with pytest.warns(UserWarning, match=said) as caught:
        splits = datasets.text_table(path)
    assert len(splits.class_names) == 5 and len(caught) == 1 and caught[0].filename == __file__


def test_fractions_that_are_one_number_are_said(table):
    with pytest.warns(UserWarning, match=r'labels "3\.1" and "3\.10" are the same number') as caught:
        splits = datasets.text_table(table("text,label", *numbered("3.1", "3.10", "3.11")))
    assert splits.class_names == ("3.1", "3.11") and caught[0].filename == __file__


def test_spaces_around_a_group_do_not_make_another(table):
    rows = [f"good {i},{'ab'[i % 2]},film {i % 20}{' ' * (i // 20 % 2)}" for i in range(200)]
    splits = datasets.text_table(table("text,label,film", *rows), group="film")
    films = [set(part.groups) for part in parts_of(splits)]
    assert sum(map(len, films)) == len(set.union(*films)) == 20


def test_authors_of_few_topics_each_can_be_split(table):
    random = np.random.default_rng(0)
    rows = []
    for a in range(40):
        topics = random.choice(10, size=random.integers(2, 5), replace=False)
        rows += [f"author {a} post {i},topic {random.choice(topics)},author {a}" for i in range(30)]
    splits = datasets.text_table(table("text,label,author", *rows), group="author")
    authors = [set(part.groups) for part in parts_of(splits)]
    assert sum(map(len, authors)) == len(set.union(*authors)) == 40
    assert all(len(set(part.labels.tolist())) == 10 for part in parts_of(splits))


def test_a_class_of_too_few_groups_is_counted_in_groups(table):
    rows = [f"good {i},pos,film {i % 10}" for i in range(40)] + [f"bad {i},neg,only film" for i in range(30)]
    with pytest.raises(ValueError, match=r'class "neg" has 30 texts in 1 group, which leaves none for valid'):
        datasets.text_table(table("text,label,film", *rows), group="film")
    rows = [f"word {i},pos" for i in range(40)] + [f"bad {i % 2},neg" for i in range(30)]
    with pytest.raises(ValueError, match=r'class "neg" has 30 texts in 2 groups, which leaves none for'):
        datasets.text_table(table("text,label", *rows))


# --- forms of a table --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_the_separator_is_found_by_the_header(table, sep):
    lines = [sep.join(("id", "text", "label"))]
    lines += [sep.join((str(i), f'"one, two; three\t| {i}"', "ab"[i % 2])) for i in range(40)]
    assert classes_of(table(*lines)) == {f"one, two; three\t| {i}": "ab"[i % 2] for i in range(40)}


def test_blank_lines_do_not_count(table):
    lines = ["", "", "text\tlabel", "", *[f"one, two {i}\t{'ab'[i % 2]}" for i in range(40)], "", ""]
    assert len(classes_of(table(*lines))) == 40
    lines[-4] = "one\t"
    with pytest.raises(ValueError, match=r'line 43: "label" is empty'):
        datasets.text_table(table(*lines))


def test_a_separator_can_be_given(table):
    lines = ["text:label", *[f"one, two {i}:{'ab'[i % 2]}" for i in range(40)]]
    assert classes_of(table(*lines), sep=":") == {f"one, two {i}": "ab"[i % 2] for i in range(40)}
    with pytest.raises(ValueError, match=r'has no column "text"; its columns are: text:label\.'):
        datasets.text_table(table(*lines))
    for sep in ("", "::", '"', "\n"):
        with pytest.raises(ValueError, match=r"sep is .*; it must be one character"):
            datasets.text_table(table(*lines), sep=sep)


def test_a_comma_in_a_column_name_and_spaces_around_names(table):
    lines = ["all, in full, as said ; label", *[f"one, two {i};{'ab'[i % 2]}" for i in range(40)]]
    assert len(classes_of(table(*lines), text="all, in full, as said")) == 40


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_encodings_with_their_mark_are_read(table, encoding):
    path = table("text,label", *[f"un café 咖啡 {i},{'ab'[i % 2]}" for i in range(40)], encoding=encoding)
    assert classes_of(path) == {f"un café 咖啡 {i}": "ab"[i % 2] for i in range(40)}


@pytest.mark.parametrize(("ending", "packer"), [(".gz", gzip), (".bz2", bz2), (".xz", lzma)])
def test_packed_tables_are_read(table, ending, packer):
    path = table("text,label", *numbered("a", "b"))
    packed = path.with_name(path.name + ending)
    packed.write_bytes(packer.compress(path.read_bytes()))
    splits = datasets.text_table(packed)
    assert splits.name == "reviews" and splits.class_names == ("a", "b")
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(ValueError, match=rf"reviews\.csv\{ending} cannot be read as a table; mend or remove"):
        datasets.text_table(packed)
    packed.write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=rf"reviews\.csv\{ending} cannot be read as a table; mend or remove"):
        datasets.text_table(packed)


def test_a_long_text_is_read_and_the_limit_of_csv_left_as_it_was(table):
    before = csv.field_size_limit()
    path = table("text,label", *numbered("a", "b"), f'"{"word, " * 50_000}",a')
    assert max(map(len, classes_of(path))) == 300_000 and csv.field_size_limit() == before
    with pytest.raises(ValueError, match="has no column"):
        datasets.text_table(path, text="words")
    assert csv.field_size_limit() == before


def test_a_path_from_home_is_read(table, monkeypatch):
    path = table("text,label", *numbered("a", "b"))
    monkeypatch.setenv("HOME", str(path.parent))
    monkeypatch.setenv("USERPROFILE", str(path.parent))
    assert datasets.text_table("~/reviews.csv").class_names == ("a", "b")


def test_a_name_that_is_no_unicode_is_printed_with_escapes(table):
    path = table("text,label", *numbered("a", "b"))
    odd = path.with_name("caf\udce9.csv")
    try:
        path.rename(odd)
    except (OSError, UnicodeEncodeError):
        pytest.skip("this system has no such names")
    splits = datasets.text_table(odd)
    assert splits.name == r"caf\udce9" and repr(splits).encode("utf-8")
    with pytest.raises(ValueError, match=r"caf\\udce9\.csv has no column") as caught:
        datasets.text_table(odd, text="x")
    assert str(caught.value).encode("utf-8")


# --- what cannot be read -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "options", "said"),
    [
        ("text,text,label", {}, r'has 2 columns named "text"; rename all but one\.'),
        ("text,label, label", {}, r'has 2 columns named "label"; rename'),
        ("text,label,film,film,film", {"group": "film"}, r'has 3 columns named "film"; rename'),
    ],
)
def test_a_column_that_is_there_twice_is_named(table, header, options, said):
    with pytest.raises(ValueError, match=said):
        datasets.text_table(table(header, "a,b,c,d,e"[: 2 * header.count(",") + 1]), **options)


def test_two_columns_of_a_name_that_nobody_asks_for_do_not_matter(table):
    rows = [f"text {i},x,y,{'ab'[i % 2]}" for i in range(40)]
    assert len(classes_of(table("text,note,note,label", *rows))) == 40


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (["good,pos", '"bad,neg', "good,pos", "good,pos"], 3),
        (["good,pos", '"bad,neg', "good,pos", '"good, too",pos'], 3),
        (['"two', 'lines","pos', "good,pos"], 3),
        (["good,pos", '"bad', 'and ""worse"", they say', "good,pos"], 3),
        (['"two ""quoted""', 'lines",pos', '"three', "", 'lines" more,pos'], 4),
        (['5" screen,pos', '"bad', "neg"], 3),
        (['good,"pos" yes'], 2),
    ],
    ids=["to the end", "to another", "second in row", "doubled", "two lines", "after a literal one", "one"],
)
def test_a_quote_that_is_not_closed_is_reported_where_it_opens(table, rows, line):
    said = rf"reviews\.csv, line {line} is not valid CSV \(a double quote opens a field there and does not"
    with pytest.raises(ValueError, match=said):
        datasets.text_table(table("text,label", *rows))


def test_too_many_fields_name_the_separator(table):
    with pytest.raises(ValueError, match="line 3 has more fields than the header; put texts that hold a tab"):
        datasets.text_table(table("text\tlabel", "good\tpos", "bad\tor not\tneg"))


def test_a_missing_file_and_a_folder_get_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.csv does not exist; give the path of a table of texts\."):
        datasets.text_table(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match=r"is a folder; text_table needs a file, image_folder takes folders"):
        datasets.text_table(tmp_path)
    with pytest.raises(ValueError, match=r"~nobody of this name/x\.csv does not exist"):
        datasets.text_table("~nobody of this name/x.csv")


def test_zero_bytes_and_half_a_character_get_a_sentence(table):
    path = table("text,label", "good,pos", encoding="utf-16-le")
    with pytest.raises(ValueError, match=r"holds zero bytes, so it is no table in UTF-8 .*; save it as CSV"):
        datasets.text_table(path)
    path.write_bytes("text,label\n".encode("utf-16") + b"a")
    with pytest.raises(ValueError, match=r"is not encoded in UTF-16 \(byte 0x61\); save it as UTF-8\."):
        datasets.text_table(path)


def test_an_error_that_nobody_foresaw_names_the_file(table, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    path = table("text,label", "good,pos").rename(table().with_name("x.csv.gz"))
    monkeypatch.setattr(gzip, "open", broken)
    with pytest.raises(ValueError, match=r"x\.csv\.gz cannot be read as a table; .* \(ZeroDivisionError\)\."):
        datasets.text_table(path)


def test_a_wrong_encoding_is_named(table):
    with pytest.raises(
        ValueError, match=r"reviews\.csv is not encoded in UTF-8 \(byte 0xe9\); save it as UTF-8"
    ):
        datasets.text_table(table("text,label", "un café,pos", encoding="latin-1"))
