"""A question: what the student writes, on which hidden inputs it is tried, and what a right answer is.

A question is the same for everybody up to its *constants*, which are drawn for each student. The truth is
computed anew from them, so nothing about a student has to be stored but the name.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Constants = Mapping[str, Any]
Inputs = dict[str, Any]


def generator(secret: str, *names: str) -> np.random.Generator:
    """Random numbers that follow from a course's secret and some names, and from nothing else.

    Without the secret nobody can compute the hidden inputs of another student, or of their own.
    """
    said = "\0".join(names).encode("utf-8")
    digest = hmac.new(secret.encode("utf-8"), said, hashlib.sha256).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def several(found: Any) -> list[Any]:
    """The values of an answer that should be several: of a list, or along the first axis of an array."""
    if isinstance(found, np.ndarray) and found.ndim > 0:
        return list(found) if len(found) <= 100 else []
    return found if isinstance(found, list) else []


def only_numbers(found: Any) -> bool:
    """Whether a value is made of numbers alone.

    It is asked before numpy is, which would make room for the longest text at every place of a list.
    """
    if isinstance(found, (list, tuple)):
        return all(only_numbers(part) for part in found)
    return isinstance(found, (bool, int, float, np.ndarray, np.generic))


def axes(count: int) -> str:
    """A number of axes in words."""
    return {0: "a single number", 1: "an array with 1 axis"}.get(count, f"an array with {count} axes")


def close(found: Any, truth: Any, relative: float = 1e-6, absolute: float = 1e-8) -> str:
    """Whether two values agree up to rounding.

    Args:
        found: what the student's function returned: numbers, arrays or lists of them.
        truth: the right answer: a number, an array, or a tuple of them.
        relative: largest deviation, as a share of the right value.
        absolute: largest deviation beside it.

    Returns:
        Empty if they do, otherwise one sentence on the first difference, without the right value, and without
        anything of what was found in which a hidden input could be written down.
    """
    if isinstance(truth, (tuple, list)):
        found = several(found)
        if len(found) != len(truth):
            return f"It should return {len(truth)} values."
        said = (close(mine, right, relative, absolute) for mine, right in zip(found, truth, strict=True))
        wrong = [(number, what) for number, what in enumerate(said, start=1) if what]
        return f"Value {wrong[0][0]} of {len(truth)}: {wrong[0][1]}" if wrong else ""
    right = np.asarray(truth)
    if not only_numbers(found):
        return "It should return numbers."
    try:
        mine = np.asarray(found)
    except ValueError:
        return "It should return numbers, in a regular shape."
    if mine.dtype.kind not in "bif":
        return "It should return numbers."
    if mine.ndim != right.ndim:
        return f"It should return {axes(right.ndim)}, not {axes(mine.ndim)}."
    if mine.shape != right.shape:
        place = next(place for place in range(mine.ndim) if mine.shape[place] != right.shape[place])
        longer = "long" if mine.shape[place] > right.shape[place] else "short"
        return f"Its array is too {longer} along axis {place}."
    if not np.isfinite(mine).all() and np.isfinite(right).all():
        return "Not all of its numbers are finite."
    if np.allclose(mine, right, rtol=relative, atol=absolute, equal_nan=True):
        return ""
    return "Its numbers are wrong."


@dataclass(frozen=True)
class Question:
    """One function that is to be written.

    Args:
        name: of the function, and of the cell that carries its points.
        inputs: draws one hidden input from random numbers and the student's constants.
        truth: the right answer for an input and the constants.
        cases: how many hidden inputs are tried.
        compare: says what is wrong with an answer, in one sentence; empty if nothing is.
        together: says what is wrong with the answers to all cases at once, for answers that are random;
            its own rate of failing right answers is shown by simulation in the tests.
        seconds: for all its cases together, the notebook's own cells included.
    """

    name: str
    inputs: Callable[[np.random.Generator, Constants], Inputs]
    truth: Callable[[Inputs, Constants], Any]
    cases: int = 6
    compare: Callable[[Any, Any], str] = close
    together: Callable[[list[Any], list[Any]], str] | None = None
    seconds: float = 20.0


@dataclass(frozen=True)
class Assignment:
    """The questions of one notebook, and what is drawn for each student.

    Args:
        name: of its folder and its notebook.
        constants: draws what differs from student to student; the notebook's text shows it.
        questions: those that are graded by running.
        memory: address space of a run, in bytes.
    """

    name: str
    constants: Callable[[np.random.Generator], dict[str, Any]]
    questions: tuple[Question, ...] = field(default_factory=tuple)
    memory: int = 2 << 30
