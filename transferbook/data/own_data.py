"""What reading the reader's pictures and texts has in common: names that print, and classes on every side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from transferbook.data.splits import Part, Splits, split, subset


def own_path(path: str | Path) -> Path:
    """A path that the reader gave, `~` being their home folder."""
    return Path(os.path.expanduser(path))  # where there is no such home, the path stays as it is


def printable(name: str | Path) -> str:
    """A path or its name as text that can be printed: what is no Unicode is escaped, as `\\udce9`."""
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")


def unreadable(file: Path, what: str, error: BaseException) -> ValueError:
    """The error, to be raised, for a file that cannot be read as `what`; it names the file and the cause."""
    cause = printable(str(error)).rstrip(".") or type(error).__name__
    return ValueError(f"{printable(file)} cannot be read as {what}; mend or remove it ({cause}).")


def own_splits(
    path: Path,
    name: str,
    parts: dict[str, Part],
    class_names: Sequence[str],
    what: str,
    *,
    shares: tuple[float, float],
    scarcity: tuple[int | None, int | None, int],
) -> Splits:
    """The splits of one's own data, with every class on every side, and train made smaller.

    Args:
        path: the file or folder.
        name: what the data set is called.
        parts: "train", and "valid" or "test" where they are given; what is not is cut from train.
        class_names: in label order.
        what: what the examples are, in the plural.
        shares: of valid and of test, where they are cut from train.
        scarcity: `limit`, `per_class` and `seed` of `subset`, for train.

    Raises:
        ValueError: if a class is missing on a side; the message names the one of the fewest groups and
            counts its examples, and its groups where they are fewer.
    """
    whole = parts["train"]
    valid, test = (
        0 if side in parts else share for side, share in zip(("valid", "test"), shares, strict=True)
    )
    cut = zip(("train", "valid", "test"), split(whole, valid=valid, test=test), strict=True)
    sides = dict(cut) | {side: part for side, part in parts.items() if side != "train"}
    labels = set(range(len(class_names)))
    missing = [(side, label) for side, part in sides.items() for label in labels - set(part.labels.tolist())]
    if missing:
        side, label = min(missing, key=lambda pair: (_units(whole, pair[1]), pair[1]))
        raise ValueError(
            f'{printable(path)}: the class "{class_names[label]}" has {_counted(whole, label, what)}, which '
            f"leaves none for {side}; add some, remove the class, or change the shares valid and test."
        )
    provenance = f"{printable(path.name)}, {sum(map(len, sides.values())):,} {what} of the reader's own"
    limit, per_class, seed = scarcity
    train = subset(sides["train"], limit=limit, per_class=per_class, seed=seed)
    return Splits(printable(name), train, sides["valid"], sides["test"], tuple(class_names), provenance)


def _units(part: Part, label: int) -> int:
    """How many groups hold a class; how many examples are of it, where there are no groups."""
    rows = (part.labels == label).nonzero().flatten().tolist()
    return len(rows) if part.groups is None else len({part.groups[row] for row in rows})


def _counted(part: Part, label: int, what: str) -> str:
    """How many examples a class has, and in how many groups where these are fewer."""
    count, units = int((part.labels == label).sum()), _units(part, label)
    return f"{count} {what}" + f" in {units} group{'s' * (units != 1)}" * (units < count)
