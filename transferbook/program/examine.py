"""Examine a classifier on other labelled examples than those it was made of: is it as good as it was?

    model = classify.load("reviews.model")
    print(examine.examine(model, examine.labelled(model, "march.csv")))
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from transferbook.data.own_data import own_path, printable
from transferbook.data.own_images import read_image
from transferbook.data.own_listing import find_images, say
from transferbook.data.own_tables import columns_of
from transferbook.data.own_texts import classes_of_labels
from transferbook.data.splits import Part
from transferbook.evidence import intervals
from transferbook.evidence.intervals import Interval
from transferbook.program import classify, report, verdict
from transferbook.program.predictor import Model


@dataclass(frozen=True)
class Examination:
    """What became of n labelled examples.

    Attributes:
        classes: names, in the order of the model.
        confused: examples by true class (rows) and predicted class (columns), shape (C, C).
        scores: as a model's card has them of its test part: `accuracy`, `f1`, `calibration_error`, …
        change: accuracy here less that of the test part.
    """

    classes: list[str]
    confused: Tensor
    scores: dict
    change: Interval

    def __str__(self) -> str:
        """The scores, what they show, and the change since the training."""
        scores = self.scores
        share = Interval(*scores["accuracy"], scores["n"], "labelled examples", "Wilson score interval")
        given = scores["accuracy_of_given"]
        right = f", {given:.1%} of the others are right" if scores["abstained"] and given is not None else ""
        low, high = self.change.low, self.change.high
        told = "worse" if high < 0 else "better" if low > 0 else "which may be luck of the examples"
        return "\n".join((
            f"accuracy {share}, macro F1 {scores['f1']:.3f}, calibration error "
            f"{scores['calibration_error']:.3f}, abstains on {scores['abstained']:.0%}{right}",
            *verdict.sentences(self.classes, *report.counted(self.confused)),
            f"Against the test part in training: {self.change.mean:+.3f} [{low:+.3f}, {high:+.3f}], {told}.",
        ))  # fmt: skip


def labelled(model: Model, path: str | Path, text: str | None = None, label: str | None = None) -> Part:
    """Labelled examples of a model's classes: a table of texts, or a folder with a sub-folder per class.

    Args:
        model: whose classes they are; it need not be all of them.
        path: of the table or the folder.
        text: the column of texts; by default as in the training.
        label: the column of classes, likewise.

    Raises:
        ValueError: if there is nothing of that kind, a field is empty, or a class is none of the model's.
    """
    file, settings = own_path(path), model.card["settings"]
    if not file.exists():
        raise ValueError(f"There is no folder or table {printable(file)}; check the name.")
    if file.is_dir() != (model.kind == "pictures"):
        wanted = "a folder of pictures" if model.kind == "pictures" else "a table of texts"
        raise ValueError(f"{printable(file)}: the model takes {model.kind}; give {wanted}.")
    if model.kind == "texts":
        inputs, values = columns_of(file, [text or settings["text"], label or settings["label"]], None)
        name_of = classes_of_labels(printable(file), set(values))
        return Part(inputs, _indices(file, model, [name_of[value] for value in values]))
    listing = find_images(file)
    if listing.sides is not None:
        raise ValueError(f"{printable(file)} holds sides; give the folder of one, such as {file / 'test'}.")
    say(listing, stacklevel=3)
    kept = [row for row, one in enumerate(listing.files) if _is_readable(one, model.reader.limit)]
    names = [listing.class_names[listing.labels[row]] for row in kept]
    return Part([listing.files[row] for row in kept], _indices(file, model, names))


def _is_readable(file: Path, size: int) -> bool:
    """Whether a picture can be opened; warns, as the training does, where it is left out."""
    try:
        read_image(file, size)
    except ValueError as error:
        warnings.warn(str(error).replace("; mend or remove it", ", so it was left out"), stacklevel=4)
        return False
    return True


def _indices(file: Path, model: Model, names: list[str]) -> Tensor:
    """Class indices of the model, shape (N,)."""
    if not names:
        raise ValueError(f"{printable(file)} holds no example.")
    strange = sorted(set(names) - set(model.classes))
    if strange:
        raise ValueError(
            f'{printable(file)} has the class "{strange[0]}", which the model does not know; it knows '
            f"{', '.join(model.classes)}."
        )
    return torch.tensor([model.classes.index(name) for name in names])


def examine(model: Model, part: Part, abstain_below: float | None = None) -> Examination:
    """Classify labelled examples and compare the share that is right with that of the model's test part.

    The two shares are taken for independent, so the examples must be others than those of the training.

    Args:
        model: from `classify.train` or `classify.load`.
        part: N >= 1 examples, see `labelled`.
        abstain_below: as for `Model.predict`.
    """
    below = model.card["settings"]["abstain_below"] if abstain_below is None else abstain_below
    probabilities = model.predict(part.inputs, below).probabilities
    confused = report.confusion(probabilities.argmax(dim=1), part.labels, len(model.classes))
    scores = classify.score(probabilities.log(), probabilities, part.labels, below)
    before = model.card["test"]
    then = intervals.binomial(round(before["accuracy"][0] * before["n"]), before["n"])
    now = intervals.binomial(int(confused.diag().sum()), len(part))
    change = intervals.weighted_sum([now, then], [1, -1])
    return Examination(model.classes, confused, scores, change)
