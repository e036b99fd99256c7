"""A trained classifier: what it predicts, and the file that keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from transferbook.evidence import intervals
from transferbook.program import calibration, model_file, own_parts, readers


@dataclass(frozen=True)
class Predictions:
    """What a model says of N inputs.

    Attributes:
        names: the predicted classes; "" where the model abstains.
        confidence: the calibrated probability of the likeliest class, shape (N,).
        probabilities: of all classes, shape (N, C), in the order of the model's `classes`.
    """

    names: list[str]
    confidence: Tensor
    probabilities: Tensor

    @property
    def abstained(self) -> float:
        """The share of the inputs for which no class is given."""
        return sum(not name for name in self.names) / len(self.names)


@dataclass(frozen=True, repr=False)
class Model:
    """A trained classifier and all that is known of it.

    Attributes:
        card: what the file says of the model: classes, data, settings, candidates, scores, versions.
        reader: from inputs to features.
        head: from features to logits, before the temperature.
        evidence: what the report shows: `test.logits` and `test.labels`, `mistakes.pictures`.
    """

    card: Mapping[str, Any]
    reader: readers.Reader
    head: nn.Linear
    evidence: Mapping[str, Tensor]

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of the probabilities."""
        return list(self.card["classes"])

    @property
    def kind(self) -> str:
        """`"texts"` or `"pictures"`."""
        return self.reader.kind

    def predict(self, inputs: Sequence[Any], abstain_below: float | None = None) -> Predictions:
        """Classify texts, or pictures: files, or a uint8 tensor (N, 3, H, W).

        Args:
            inputs: N >= 1 of them, in a list or a tensor.
            abstain_below: give no class where its probability is lower; by default as it was trained.

        Raises:
            ValueError: if there is no input, or a file cannot be read as a picture.
        """
        if isinstance(inputs, str | Path) or not len(inputs):
            raise ValueError("predict needs a list of at least one text or picture.")
        if self.kind == "pictures":
            inputs = own_parts.pictures(inputs, self.reader.limit)
        logits = readers.apply_head(self.head, self.reader.features(inputs))
        probabilities = (logits.double() / self.card["temperature"]).softmax(dim=1)
        below = self.card["settings"]["abstain_below"] if abstain_below is None else abstain_below
        chosen = calibration.decide(probabilities, below).tolist()
        names = ["" if row < 0 else self.classes[row] for row in chosen]
        return Predictions(names, probabilities.max(dim=1).values, probabilities)

    def save(self, path: str | Path) -> None:
        """Write the one file that `load` reads.

        Raises:
            ModelFileError: if it cannot be written there.
        """
        tensors = {f"head.{name}": tensor for name, tensor in self.head.state_dict().items()}
        model_file.write(path, self.card, {**tensors, **self.reader.tensors(), **self.evidence})

    def __repr__(self) -> str:
        """What it is in a line: a card and weights would fill pages of a notebook."""
        name, count = self.card["data"]["name"], len(self.classes)
        return f'Model("{name}": {self.card["method"]}; {count} classes of {self.kind})'

    def __str__(self) -> str:
        """What was chosen, on how much, and the test scores, in two lines."""
        test = self.card["test"]
        share = intervals.Interval(*test["accuracy"], test["n"], "test examples", "Wilson score interval")
        examples = sum(self.card["data"]["counts"]["train"])
        return (
            f"{self.card['method']}, the best of {len(self.card['candidates'])} on validation; "
            f"trained on {examples:,} {self.kind}\n"
            f"test accuracy {share}, macro F1 {test['f1']:.3f}, calibration error "
            f"{test['calibration_error']:.3f}, abstains on {test['abstained']:.0%}"
        )


def load(path: str | Path) -> Model:
    """The model in a file that `train` or `Model.save` wrote; it predicts what it did before.

    Raises:
        ModelFileError: if the file is missing, no model, damaged or of a newer format.
        ValueError: if the backbone here is another one than the model was trained on.
    """
    card, tensors = model_file.read(path)
    head = nn.Linear(*reversed(tensors["head.weight"].shape)).requires_grad_(False)
    head.load_state_dict({name: tensors[f"head.{name}"] for name in ("weight", "bias")})
    evidence = {n: t for n, t in tensors.items() if n.startswith(("test.", "mistakes."))}
    return Model(card, readers.open_reader(card["reader"], tensors), head, evidence)
