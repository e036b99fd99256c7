"""Values as JSON and back: how questions get into the sandbox and answers come out of it.

An array is `{"array": [dtype, shape, base64]}`; None, true, false, numbers, strings, lists and objects are
themselves. Reading checks all that a hostile answer could get wrong, builds nothing else, and runs nothing.
The sandbox reads this file too, so it imports only what Python and numpy have.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

import numpy as np

DTYPES = ("bool", "int64", "float64")
DEEPEST = 20


def dumps(value: Any) -> str:
    """A value as one line of JSON.

    Args:
        value: None, a truth value, a number, a string, an array or a numpy scalar, or lists, tuples and
            mappings with strings as keys of these.

    Raises:
        ValueError: if something else is in it; the message names its type.
    """
    return json.dumps(_plain(value, 0), allow_nan=True)


def loads(line: str | bytes) -> Any:
    """The value of one line of JSON that `dumps` wrote, or that somebody claims it did.

    Raises:
        ValueError: if it is not of that form, nested deeper than `DEEPEST`, or an array's bytes do not fit
            its shape.
    """
    try:
        return _value(json.loads(line), 0)
    except RecursionError:
        raise ValueError("The answer is nested too deeply.") from None


def _plain(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError("The value is nested too deeply.")
    if hasattr(value, "detach"):  # a tensor
        value = value.detach().cpu().numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain_array(np.asarray(value))
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(part, depth + 1) for part in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"object": {key: _plain(part, depth + 1) for key, part in value.items()}}
    raise ValueError(f"A {type(value).__name__} cannot be an answer; return numbers, text, arrays or lists.")


def _plain_array(array: np.ndarray) -> Any:
    if array.ndim == 0 and array.dtype.kind in "biuf":
        return array.item()
    if array.dtype.kind in "US" and array.ndim <= 1:
        return array.astype(str).tolist()
    kinds = {"b": "bool", "i": "int64", "u": "int64", "f": "float64"}
    if array.dtype.kind not in kinds:
        raise ValueError(f"An array of {array.dtype} cannot be an answer; return one of numbers.")
    exact = np.ascontiguousarray(array, dtype=np.dtype(kinds[array.dtype.kind]).newbyteorder("<"))
    coded = base64.b64encode(exact.tobytes()).decode("ascii")
    return {"array": [kinds[array.dtype.kind], list(array.shape), coded]}


def _value(plain: Any, depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError("The answer is nested too deeply.")
    if isinstance(plain, list):
        return [_value(part, depth + 1) for part in plain]
    if isinstance(plain, int) and not -(2**63) <= plain < 2**63:
        raise ValueError("The answer holds a whole number that is too large.")
    if not isinstance(plain, dict):
        return plain
    if set(plain) == {"object"} and isinstance(plain["object"], dict):
        return {key: _value(part, depth + 1) for key, part in plain["object"].items()}
    if set(plain) == {"array"}:
        return _array(plain["array"])
    raise ValueError("The answer holds an object that is neither an array nor a mapping.")


def _array(parts: Any) -> np.ndarray:
    if not (isinstance(parts, list) and len(parts) == 3):
        raise ValueError("The answer holds an array without type, shape and values.")
    dtype, shape, coded = parts
    sizes = shape if isinstance(shape, list) else [None]
    if dtype not in DTYPES or not isinstance(coded, str) or len(sizes) > 8:
        raise ValueError("The answer holds an array of an unknown form.")
    if not all(type(size) is int and 0 <= size < 2**31 for size in sizes):
        raise ValueError("The answer holds an array of an impossible shape.")
    try:
        content = base64.b64decode(coded, validate=True)
    except binascii.Error:
        raise ValueError("The answer holds an array whose values cannot be read.") from None
    if math.prod(sizes) * np.dtype(dtype).itemsize != len(content):
        raise ValueError(f"The answer holds an array of shape {tuple(sizes)} with {len(content)} bytes.")
    return np.frombuffer(content, dtype=np.dtype(dtype).newbyteorder("<")).reshape(sizes).astype(dtype)
