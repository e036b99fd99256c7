"""Which pictures a folder of the reader's holds, of which class and side, before any of them is opened."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from transferbook.data.own_data import own_path, printable, unreadable

IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
SIDES = {
    "train": "train", "training": "train", "val": "valid", "valid": "valid", "validation": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
FEW_ENDINGS = 5  # so many are named
SYSTEM_FILES = {"__macosx", "desktop.ini", "thumbs.db"}


@dataclass(frozen=True)
class ImageListing:
    """The pictures below a folder, none of which has been opened.

    Attributes:
        root: the folder.
        files: the N pictures, in the order of sides, classes and names.
        labels: class index of each.
        groups: name of each below `root`; of files with equal bytes, the first one's, so that they are one
            group. Bytes of a name that are no Unicode are escaped.
        class_names: the names of the folders, in label order.
        sides: "train", "valid" or "test" for each, or None where the folder is not laid out so.
        left_out: files and folders that are not read, each with the reason: "hidden", "ending" (not one of
            an image), "outside" (in no class folder) or "link" (a folder that lies elsewhere).
    """

    root: Path
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    groups: tuple[str, ...]
    class_names: tuple[str, ...]
    sides: tuple[str, ...] | None
    left_out: tuple[tuple[Path, str], ...]

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return (
            f"ImageListing({printable(self.root)}: {len(self):,} images, {len(self.class_names)} classes, "
            f"{len(self.left_out):,} files or folders left out)"
        )

    def rows(self, side: str) -> list[int]:
        """Positions of the pictures of a side; all are "train" where there are no sides."""
        sides = self.sides or ("train",) * len(self)
        return [row for row, its_side in enumerate(sides) if its_side == side]


def list_images(path: str | Path) -> ImageListing:
    """The pictures in one sub-folder per class, or in such folders below `train`, `valid` and `test`.

    The layout with sides is recognised by its names, in any case: `train`, `val`, `valid` or `validation`,
    and `test`; the first must be there. Folders of a class are read at any depth. Hidden files and folders
    are left out; what else is left out is said in one warning. Files with equal bytes are one group.

    Raises:
        ValueError: if there are fewer than two classes, a class has no picture, or the sides do not have the
            same classes; the message names the folder.
    """
    listing = find_images(path)
    say(listing, stacklevel=3)
    return listing


def find_images(path: str | Path) -> ImageListing:
    """As `list_images`, without a warning."""
    root = own_path(path)
    if not os.path.isdir(root):
        raise ValueError(
            f"{printable(root)} is not a folder; image_folder needs one with a sub-folder per class."
        )
    left_out: list[tuple[Path, str]] = []
    folders = _inside(root, left_out)
    sides = _sides(root, folders)
    if sides:
        classes = {side: _inside(folder, left_out) for side, folder in sides.items()}
    else:
        classes = {"train": folders}
    names = [folder.name for folder in classes["train"]]
    if len(names) < 2:
        raise ValueError(
            f"{printable(sides.get('train', root))} needs at least two sub-folders, one per class; "
            f"it has {len(names)}."
        )
    _check_agreement(classes, sides)
    files: list[Path] = []
    labels: list[int] = []
    of_side: list[str] = []
    for side, found in classes.items():
        for folder in found:
            inside = sorted(_pictures(folder, left_out))
            if not inside:
                raise ValueError(
                    f"the class folder {printable(folder)} holds no image "
                    f"({', '.join(sorted(IMAGE_SUFFIXES))}); put some in or remove it."
                )
            files += inside
            labels += [names.index(folder.name)] * len(inside)
            of_side += [side] * len(inside)
    return ImageListing(
        root,
        tuple(files),
        tuple(labels),
        _groups(root, files),
        tuple(printable(name) for name in names),
        tuple(of_side) if sides else None,
        tuple(left_out),
    )


def say(listing: ImageListing, stacklevel: int) -> None:
    """Warn of what a listing leaves out without being hidden, and of copies on two sides of a layout."""
    unread = [(file, reason) for file, reason in listing.left_out if reason != "hidden"]
    if unread:
        endings = Counter(file.suffix.lower() or "no ending" for file, reason in unread if reason == "ending")
        counts = endings.most_common(FEW_ENDINGS)
        reasons = [f"{count} {printable(ending)}" for ending, count in counts]
        others = endings.total() - sum(count for _, count in counts)
        outside, links = (sum(reason == why for _, reason in unread) for why in ("outside", "link"))
        reasons += [f"{others} of other endings"] * (others > 0)
        reasons += [f"{outside} in no class folder"] * (outside > 0)
        reasons += [f"{_many(links, 'link')} to a folder"] * (links > 0)
        warnings.warn(
            f"{printable(listing.root)}: {_many(len(unread), 'file')} left out ({', '.join(reasons)}), "
            f"for example {printable(unread[0][0])}.",
            stacklevel=stacklevel,
        )
    seen: dict[str, set[str]] = {}
    for group, side in zip(listing.groups, listing.sides or ("train",) * len(listing), strict=True):
        seen.setdefault(group, set()).add(side)
    shared = [group for group, sides in seen.items() if len(sides) > 1]
    if shared:
        warnings.warn(
            f"{printable(listing.root)}: {_many(len(shared), 'image')} on two sides with equal bytes, "
            f"for example {shared[0]}; remove the copies, or scores will be too good.",
            stacklevel=stacklevel,
        )


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_FILES


@contextmanager
def _listing(folder: Path) -> Iterator[None]:
    """Name the folder in what the disk says."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{printable(folder)} cannot be listed ({printable(str(error))}).") from error


def _inside(folder: Path, left_out: list[tuple[Path, str]]) -> list[Path]:
    """The sub-folders that are not hidden, in order; everything else is noted as left out."""
    with _listing(folder):
        entries = sorted(folder.iterdir())
    hidden = [entry for entry in entries if _hidden(entry.name)]
    folders = [entry for entry in entries if entry.is_dir() and entry not in hidden]
    left_out += [(entry, "hidden") for entry in hidden]
    left_out += [(entry, "outside") for entry in entries if entry not in hidden and entry not in folders]
    return folders


def _pictures(folder: Path, left_out: list[tuple[Path, str]]) -> list[Path]:
    """The pictures of a class, at any depth; what is not one is noted as left out."""

    def stop(error: OSError) -> None:
        raise error

    found = []
    with _listing(folder):
        for place, folders, files in os.walk(folder, onerror=stop):
            here = Path(place)
            left_out += [(here / name, "hidden") for name in folders + files if _hidden(name)]
            folders[:] = sorted(name for name in folders if not _hidden(name))
            left_out += [(here / name, "link") for name in folders if (here / name).is_symlink()]
            for file in (here / name for name in files if not _hidden(name)):
                if file.suffix.lower() in IMAGE_SUFFIXES:
                    found.append(file)
                else:
                    left_out.append((file, "ending"))
    return found


def _sides(root: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """Side -> folder, in the order train, valid, test, where the folders are laid out so; else empty."""
    found: dict[str, Path] = {}
    for folder in folders:
        side = SIDES.get(folder.name.lower())
        if side in found:
            raise ValueError(
                f"{printable(root)} has two folders for one side, {printable(found[side].name)} and "
                f"{printable(folder.name)}; keep one."
            )
        if side:
            found[side] = folder
    if "train" not in found or (len(found) == 1 and len(folders) > 1):
        return {}
    ordered = {side: found[side] for side in ("train", "valid", "test") if side in found}
    others = [folder for folder in folders if folder not in found.values()]
    if others:
        names = ", ".join(folder.name for folder in ordered.values())
        raise ValueError(
            f"{printable(root)} has sides ({names}) and beside them {printable(others[0].name)}; "
            "move that elsewhere."
        )
    return ordered


def _check_agreement(classes: dict[str, list[Path]], sides: dict[str, Path]) -> None:
    """Refuse sides of other classes than train's."""
    names = {side: {folder.name for folder in found} for side, found in classes.items()}
    for side in names:
        for name in sorted(names[side] ^ names["train"]):
            there, not_there = (side, "train") if name in names[side] else ("train", side)
            raise ValueError(
                f'{printable(sides[not_there])} has no folder for the class "{printable(name)}", which '
                f"{printable(sides[there])} has; every side needs the same classes."
            )


def _groups(root: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """For each file its name below the root, or that of the first file with the same bytes."""
    first: dict[tuple[int, bytes], str] = {}
    names = [printable(file.relative_to(root).as_posix()) for file in files]
    try:
        sizes = [(file := path).stat().st_size for path in files]
        shared = Counter(sizes)
        for i, (file, size) in enumerate(zip(files, sizes, strict=True)):
            if shared[size] > 1:
                with open(file, "rb") as opened:
                    names[i] = first.setdefault((size, file_digest(opened, "sha256").digest()), names[i])
    except OSError as error:
        raise unreadable(file, "an image", error) from error
    return tuple(names)
