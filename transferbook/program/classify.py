"""Train a classifier on one's own pictures or texts, keep it in one file, and use it.

    model = classify.train("photographs", classify.Settings(seconds=300), save="photographs.model")
    model = classify.load("photographs.model")
    model.predict(["new/1.jpg", "new/2.jpg"], abstain_below=0.7)
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transferbook.data.splits import Part, Splits
from transferbook.evidence import intervals, metrics
from transferbook.program import calibration, candidates, model_file, own_parts, pairs, readers
from transferbook.program.predictor import Model, Predictions, load

__all__ = ["Model", "Predictions", "Settings", "load", "train"]

MISTAKES = 12  # that a file shows of the test part
EXCERPT = 300  # characters of a text there
THUMBNAIL = 96  # pixels of a picture there


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        seconds: the time that reading and training may take, about; None for as long as it takes. Heads on
            features are always trained, fine-tuning starts if the time suffices for it.
        backbone: a network of `readers.KINDS`; None for the usual one.
        size: pixels of a picture's side.
        max_tokens: of a text; what comes after them is not read.
        text, label, group: the columns of a table, see `datasets.text_table`.
        words: with texts, also try heads on words alone.
        pairs: with at most so many training texts a class, the network is also tuned by pairs of them, in
            half of the time that is left after the heads; 0 for never.
        max_epochs: of one fine-tuning; 0 for a network that is not trained further, by pairs neither.
        batch_size: examples of a training step.
        augment: show pictures cut, mirrored and lit differently each time; not for writing, which mirrors
            spoil.
        abstain_below: predictions of a lower probability than this are not given.
        cache: keep features of a network on disk, for the next training on the same data.
        seed: of everything that is drawn.

    Raises:
        ValueError: if a value is out of range; the message says which.
    """

    seconds: float | None = 120.0
    backbone: str | None = None
    size: int = 224
    max_tokens: int = 128
    text: str = "text"
    label: str = "label"
    group: str | None = None
    words: bool = True
    pairs: int = 64
    max_epochs: int = 10
    batch_size: int = 16
    augment: bool = True
    abstain_below: float = 0.0
    cache: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds >= 0:
            raise ValueError(f"seconds is {self.seconds}; it must be at least 0, or None for no limit.")
        if not 0 <= self.abstain_below <= 1:
            raise ValueError(f"abstain_below is {self.abstain_below}; it must lie between 0 and 1.")
        if self.pairs < 0 or self.max_epochs < 0 or self.batch_size < 1:
            raise ValueError(
                f"pairs ({self.pairs}) and max_epochs ({self.max_epochs}) must be at least 0 and batch_size "
                f"({self.batch_size}) at least 1."
            )
        if self.backbone is not None and self.backbone not in readers.KINDS:
            raise ValueError(
                f"There is no backbone {self.backbone!r}; there are {', '.join(readers.KINDS)}."
            )


def train(
    data: str | Path | Splits, settings: Settings | None = None, *,
    save: str | Path | None = None, source: str | Path | Splits | None = None,
    progress: bool | None = None,
) -> Model:  # fmt: skip
    """Train on a folder of pictures or a table of texts; validation chooses, the test part is scored once.

    Args:
        data: a folder with a sub-folder of pictures for each class (`datasets.image_folder`), a table with a
            column of texts and one of classes (`datasets.text_table`), or `Splits`.
        settings: by default `Settings()`.
        save: the file to keep the model in; whether that can work is looked at before the training.
        source: more labelled examples of the same classes, from elsewhere, such as older ones; heads are then
            also pulled towards one that was trained on these.
        progress: draw progress bars on stderr; by default only in a terminal.

    Raises:
        ValueError: if the data cannot be read or have too few examples, the classes of the source are others,
            or the model cannot be saved; the message says what to do.
    """
    started = time.perf_counter()
    settings = settings or Settings()
    if save is not None:
        model_file.check_target(save)
    columns = (settings.text, settings.label, settings.group)
    splits, left_out = own_parts.read(data, settings.size, columns)
    older = None
    if source is not None:
        older, more = own_parts.read(source, settings.size, columns)
        left_out += more
        if older.class_names != splits.class_names:
            raise ValueError(
                f"The source has the classes {', '.join(older.class_names)}, and the target "
                f"{', '.join(splits.class_names)}; they must be the same."
            )
    kind = "texts" if isinstance(splits.train.inputs, list) else "pictures"
    deadline = None if settings.seconds is None else started + settings.seconds
    tried = _try_all(kind, splits, None if older is None else older.train, settings, deadline, progress)
    measure = "f1" if candidates.is_unequal(splits.train.labels) else "accuracy"
    best = candidates.choose(tried, measure)
    features = best.reader.features(splits.test.inputs, progress=progress)
    logits = readers.apply_head(best.head, features)  # the one look at the test part
    probabilities = (logits.double() / best.temperature).softmax(dim=1)
    evidence = {"test.logits": logits, "test.labels": splits.test.labels}
    mistakes, thumbnails = _mistakes(kind, splits.test, probabilities)
    if thumbnails is not None:
        evidence["mistakes.pictures"] = thumbnails
    card = {
        "kind": kind,
        "classes": list(splits.class_names),
        "method": best.name,
        "reader": best.reader.describe(),
        "temperature": best.temperature,
        "settings": asdict(settings),
        "data": _about(splits, older, left_out),
        "measure": measure,
        "candidates": [{"name": c.name, "seconds": round(c.seconds, 2), **c.scores} for c in tried],
        "test": score(logits / best.temperature, probabilities, splits.test.labels, settings.abstain_below),
        "mistakes": mistakes,
        "versions": own_parts.versions(),
        "trained": time.strftime("%Y-%m-%d"),
        "seconds": round(time.perf_counter() - started, 1),
    }
    model = Model(json.loads(json.dumps(card)), best.reader, best.head, evidence)
    if save is not None:
        model.save(save)
    return model


def _try_all(
    kind: str, splits: Splits, source: Part | None, settings: Settings, deadline: float | None,
    progress: bool | None,
) -> list[candidates.Candidate]:  # fmt: skip
    name = settings.backbone or readers.default_backbone(kind)
    if readers.KINDS[name] != kind:
        raise ValueError(f"{name} reads {readers.KINDS[name]}, and the data are {kind}; name another.")
    reader = readers.network_reader(name, settings.max_tokens if kind == "texts" else settings.size)
    classes, train, valid = len(splits.class_names), splits.train, splits.valid
    tried: list[candidates.Candidate] = []
    if kind == "texts" and settings.words:
        seen = [*train.inputs, *(source.inputs if source else [])]
        words = readers.WordReader.of(seen)
        tried += candidates.probes(words, train, valid, classes, source=source)
    options = {"source": source, "cache": settings.cache, "progress": progress}
    heads = list(candidates.probes(reader, train, valid, classes, **options))
    if settings.max_epochs:
        measure = "f1" if candidates.is_unequal(train.labels) else "accuracy"
        start = candidates.choose(heads, measure).head
        common = {"test_size": len(splits.test), "seed": settings.seed, "progress": progress}
        if kind == "texts":
            now = time.perf_counter()
            half = None if deadline is None else (now + deadline) / 2
            most = settings.pairs
            heads += pairs.tunings(reader, train, valid, classes, most=most, deadline=half, **common)
        heads += candidates.fine_tunings(
            reader, start, train, valid, deadline=deadline, max_epochs=settings.max_epochs,
            batch_size=settings.batch_size, augment=settings.augment, **common,
        )  # fmt: skip
    return tried + heads


def score(logits: Tensor, probabilities: Tensor, labels: Tensor, abstain_below: float) -> dict[str, Any]:
    """The scores of N examples as a card keeps them: those of `metrics`, N, and what is left by abstaining.

    Args:
        logits: shape (N, C), of which `probabilities` are the softmax.
        probabilities: shape (N, C).
        labels: class indices, shape (N,).
        abstain_below: no class is given below this probability.
    """
    scores: dict[str, Any] = dict(metrics.classification_scores(logits, labels))
    right = probabilities.argmax(dim=1) == labels
    share = intervals.binomial(int(right.sum()), len(labels))
    kept = calibration.decide(probabilities, abstain_below) >= 0
    return scores | {
        "n": len(labels),
        "accuracy": [share.mean, share.low, share.high],
        "abstained": float((~kept).double().mean()),
        "accuracy_of_given": float(right[kept].double().mean()) if kept.any() else None,
    }


def _mistakes(
    kind: str, test: Part, probabilities: Tensor
) -> tuple[list[dict[str, Any]], Tensor | None]:
    """The test examples that are wrong with the greatest confidence, and pictures of them."""
    confidence, predicted = probabilities.max(dim=1)
    wrong = (predicted != test.labels).nonzero().flatten()
    rows = wrong[confidence[wrong].argsort(descending=True, stable=True)][:MISTAKES].tolist()
    found = [
        {
            "row": row, "said": int(predicted[row]), "truth": int(test.labels[row]),
            "confidence": float(confidence[row]), "place": own_parts.place(test, row),
            "text": test.inputs[row][:EXCERPT] if kind == "texts" else "",
        }
        for row in rows
    ]  # fmt: skip
    if kind == "texts" or not rows:
        return found, None
    pictures = torch.stack([torch.as_tensor(test.inputs[row]) for row in rows])
    return found, nn.functional.interpolate(pictures.float(), (THUMBNAIL, THUMBNAIL), mode="area").byte()


def _about(splits: Splits, source: Splits | None, left_out: list[str]) -> dict[str, Any]:
    sides = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    if source is not None:
        sides["source"] = source.train
    classes = len(splits.class_names)
    counts = {side: part.labels.bincount(minlength=classes).tolist() for side, part in sides.items()}
    return {
        "name": splits.name, "from": splits.provenance, "counts": counts, "left_out": left_out,
        "sha256": own_parts.digest(splits),
    }  # fmt: skip
