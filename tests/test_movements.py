"""Movements recorded by a watch, read from a pickle of which nothing runs but what makes arrays."""

from __future__ import annotations

import io
import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from transferbook.data import assets, movements


@pytest.fixture(scope="module")
def recordings():
    return movements.shoulder_exercises()


@pytest.fixture(scope="module")
def content():
    return assets.read_member("shoulder_exercises", "watch.npy")


class Runs:
    """A pickle that makes a file while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


class Encodes:
    def __reduce__(self) -> tuple:
        import _codecs

        return _codecs.encode, ("", "rot13")


def saved(pickled: bytes) -> bytes:
    """A `.npy` file of one object with this pickle."""
    file = io.BytesIO()
    np.save(file, np.empty((), dtype=object), allow_pickle=True)
    header, end, _ = file.getvalue().partition(b"\n")
    return header + end + pickled


def test_each_person_does_each_exercise_once_with_each_arm(recordings):
    assert len(recordings) == 140
    made = Counter((r.person, r.arm, r.exercise) for r in recordings)
    assert set(made.values()) == {1}
    assert {r.person for r in recordings} == set(range(1, 11))
    assert Counter(r.exercise for r in recordings) == dict.fromkeys(
        ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"), 20
    )
    assert Counter(r.arm for r in recordings) == {"left": 70, "right": 70}


def test_signals_are_those_of_the_file(recordings):
    first = recordings[0]
    assert (first.exercise, first.person, first.arm) == ("PEN", 7, "right")
    assert first.signal.shape == (1333, len(movements.CHANNELS)) and first.signal.dtype == np.float64
    assert first.signal[0] == pytest.approx(
        [-1.083608, -0.018609, -0.02726, 0.41141, -1.603097, -2.488642], abs=1e-12
    )
    third = recordings[2]
    assert (third.exercise, third.person, third.arm) == ("FEL", 8, "left")
    lengths = [len(r.signal) for r in recordings]
    assert (min(lengths), max(lengths), sum(lengths)) == (947, 2618, 244102)
    assert all(np.isfinite(r.signal).all() for r in recordings)


def test_gravity_is_one(recordings):
    """A forearm at rest weighs one; while it moves, the median is near."""
    size = np.concatenate([np.linalg.norm(r.signal[:, :3], axis=1) for r in recordings])
    assert 0.9 < np.median(size) < 1.1


def test_numpy_reads_the_same(recordings, content):
    table = np.load(io.BytesIO(content), allow_pickle=True).item()
    for recording, signal in zip(recordings, table["X"], strict=True):
        assert np.array_equal(recording.signal, signal)


def test_a_pickle_that_runs_something_is_refused(tmp_path):
    made = tmp_path / "made"
    with pytest.raises(ValueError, match=r"^The recordings ask for \w+\.mkdir, which no array needs; .*\.$"):
        movements.parse(saved(pickle.dumps({"X": [Runs(made)]})))
    assert not made.exists()


@pytest.mark.parametrize("name", ["numpy\nload", "numpy\nmemmap", "_codecs\ndecode", "builtins\neval"])
def test_names_near_the_known_ones_are_refused(name):
    with pytest.raises(ValueError, match="which no array needs"):
        movements.parse(saved(b"c" + name.encode() + b"\n."))


def test_other_encodings_and_classes_are_refused():
    with pytest.raises(ValueError, match="the encoding rot13"):
        movements.parse(saved(pickle.dumps(Encodes(), protocol=0)))
    call = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR."
    with pytest.raises(ValueError, match="another class"):
        movements.parse(saved(call))


@pytest.mark.parametrize("keep", [0, 5, 100, 128, 200, 10_000])
def test_a_damaged_file_is_one_sentence(content, keep):
    with pytest.raises(ValueError, match=r"^The recordings cannot be read \(\w+\); fetch their wheel"):
        movements.parse(content[:keep])
