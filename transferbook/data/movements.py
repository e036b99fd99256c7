"""Movements that a watch recorded, with who made them and with which arm: the units to split by.

The wheel keeps the recordings in NumPy's format with a pickle inside. A pickle is a small program that may
call any function, so the reader here knows the four names that arrays need, and refuses every other.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from transferbook.data import assets

CHANNELS = ("ax", "ay", "az", "wx", "wy", "wz")  # acceleration along three axes, turning rate about them
RATE = 50  # samples in a second


@dataclass(frozen=True)
class Recording:
    """One exercise, repeated by one person with one arm.

    Attributes:
        signal: shape (samples, 6), `RATE` samples a second, columns as in `CHANNELS`: acceleration, of which
            gravity is about 1, and turning rate, whose unit the file does not state.
        exercise: short name of the exercise.
        person: 1 to 10.
        arm: `"left"` or `"right"`.
    """

    signal: np.ndarray
    exercise: str
    person: int
    arm: str


def shoulder_exercises() -> list[Recording]:
    """Seven exercises of the shoulder by ten healthy people with either arm: 140 recordings of 19 to 52 s.

    Nothing is cut or aligned; the left arm's signals are not mirrored.

    Returns:
        The recordings in the order of the file, each person, arm and exercise once.

    Raises:
        AssetError: if the wheel that holds the recordings cannot be had.
        ValueError: if the file asks for more than arrays need, or is damaged.

    Source: Burns et al. (2018).
    """
    return parse(assets.read_member("shoulder_exercises", "watch.npy"))


def parse(content: bytes) -> list[Recording]:
    """The recordings in a `.npy` file, of whose pickle nothing runs but what makes arrays.

    Args:
        content: the file.

    Raises:
        ValueError: if it asks for more than arrays need, or is damaged.
    """
    file = io.BytesIO(content)
    try:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        table = _Reader(file).load().item()
        names = [str(name) for name in table["y_labels"]]
        columns = zip(table["X"], table["y"], table["subject"], table["side"], strict=True)
        return [
            Recording(np.array(signal, dtype=np.float64).reshape(-1, 6), names[kind], int(person), _arm(side))
            for signal, kind, person, side in columns
        ]
    except _Refused as problem:
        raise ValueError(str(problem)) from None
    except Exception as problem:
        kind = type(problem).__name__
        raise ValueError(f"The recordings cannot be read ({kind}); fetch their wheel again.") from problem


class _Refused(Exception):
    """The pickle asks for something that no array needs."""


def _arm(side: float) -> str:
    return {0: "left", 1: "right"}[int(side)]


def _empty(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    """An array that the pickle fills afterwards, never of another class."""
    if kind is not np.ndarray:
        raise _Refused("The recordings ask for an array of another class; they were not read.")
    return np.ndarray.__new__(np.ndarray, shape, code)


def _bytes(text: str, encoding: str) -> bytes:
    """Bytes, which an old pickle writes as text."""
    if encoding != "latin1":
        raise _Refused(f"The recordings ask for the encoding {encoding}; they were not read.")
    return text.encode("latin-1")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _bytes,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in _KNOWN:
            problem = f"The recordings ask for {module}.{name}, which no array needs; they were not read."
            raise _Refused(problem)
        return _KNOWN[module, name]
