"""A trained classifier as an ONNX file, which runs without torch and without this book.

The file takes what the reader makes of texts or pictures and gives calibrated probabilities; beside it, for
texts, lies the tokenizer. What is written is run and compared before anybody relies on it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transferbook.data import files
from transferbook.models import export
from transferbook.program import card as cards
from transferbook.program.predictor import Model
from transferbook.program.readers import NetworkReader, WordReader

AT_A_TIME = 32  # examples of the check
LARGEST = 1e-3  # difference of two probabilities that rounding may make
PICTURES = "uint8, RGB, (N, 3, {0}, {0}): the shorter side scaled to {0} pixels, cropped at the centre"
TOKENS = "int64, (N, T), from the tokenizer beside this file"
WORDS = "float32, (N, V): how often each of the words occurs; a word: two letters or more, in lower case"


@dataclass(frozen=True)
class Check:
    """An exported model against its original.

    Attributes:
        examples: that both classified.
        changed: of them, those that got another class.
        largest: difference of two probabilities.
        before, after: bytes of the file with weights of 32 bits, and of the one that was written.
    """

    examples: int
    changed: int
    largest: float
    before: int
    after: int


def export_model(model: Model, out: str | Path, inputs: Sequence[Any], *, int8: bool = False) -> Check:
    """Write a classifier as an ONNX file, and run both on some inputs.

    Args:
        model: from `classify.load`.
        out: the file; for texts that a network reads, `tokenizer_file(out)` is written too.
        inputs: texts, or uint8 pictures (N, 3, S, S) of the size that the model reads.
        int8: see `export.to_int8`.

    Raises:
        ValueError: if there is no input, or a file with weights of 32 bits decides otherwise than the model
            does; then nothing was written.
    """
    out = Path(out)
    if not len(inputs):
        raise ValueError("export_model needs at least one text or picture to compare on.")
    module, example, axes = _written_out(model)
    with tempfile.TemporaryDirectory() as scratch:
        made = export.to_onnx(
            module, example, Path(scratch) / "float.onnx",
            axes=axes, output="probabilities", known=known(model),
        )  # fmt: skip
        before = made.stat().st_size
        if int8:
            made = export.to_int8(made, Path(scratch) / "int8.onnx")
        tokenizer = tokenizer_of(model)
        changed, largest = _compare(model, made, tokenizer, inputs)
        if not int8 and (changed or largest > LARGEST):
            raise ValueError(
                f"The ONNX file decides otherwise than the model on {changed} of {len(inputs)} examples, "
                f"with probabilities up to {largest:.1e} apart; nothing was written."
            )
        if tokenizer is not None:
            _place(tokenizer_file(out), tokenizer.to_str(pretty=True).encode())
        _place(out, made.read_bytes())
    return Check(len(inputs), changed, largest, before, out.stat().st_size)


def tokenizer_file(out: str | Path) -> Path:
    """Where the tokenizer of an exported model lies: beside it, with the ending `.tokenizer.json`."""
    return Path(out).with_suffix(".tokenizer.json")


def known(model: Model) -> dict[str, Any]:
    """What the metadata of an exported model say: classes, inputs, and where it comes from."""
    card, reader = model.card, model.reader
    if isinstance(reader, WordReader):
        inputs = {"counts": WORDS}
    elif model.kind == "texts":
        inputs = dict.fromkeys(("input_ids", "attention_mask"), TOKENS)
    else:
        inputs = {"pictures": PICTURES.format(reader.limit)}
    return {
        "kind": model.kind, "classes": model.classes, "abstain_below": card["settings"]["abstain_below"],
        "inputs": inputs, "reader": reader.describe(), "method": card["method"], "test": card["test"],
        "data": card["data"]["from"], "trained": card["trained"], "versions": card["versions"],
        "temperature": card["temperature"], "card": cards.facts(model),
    }  # fmt: skip


class _Calibrated(nn.Module):
    """From a reader's inputs to probabilities at the model's temperature."""

    def __init__(self, encoder: nn.Module, head: nn.Linear, temperature: float) -> None:
        super().__init__()
        self.encoder, self.head, self.temperature = encoder, head, temperature

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        return (self.head(self.encoder(*inputs, **named)) / self.temperature).softmax(dim=1)


class _Pixels(nn.Module):
    """An encoder that scales the brightness of uint8 pictures itself, as its backbone's `prepare` does."""

    def __init__(self, reader: NetworkReader) -> None:
        super().__init__()
        ends = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
        dark, bright = reader.backbone.prepare(ends.expand(2, 3, reader.limit, reader.limit).contiguous())
        self.encoder = reader.backbone.module
        self.register_buffer("offset", dark[:, :1, :1])  # (3, 1, 1)
        self.register_buffer("step", (bright - dark)[:, :1, :1] / 255)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.encoder(pictures.float() * self.step + self.offset)


class _Words(nn.Module):
    """Counts of words (N, V) as features, as `WordReader` computes them: dampened, weighted, of length 1."""

    def __init__(self, reader: WordReader) -> None:
        super().__init__()
        self.register_buffer("rarity", reader.rarity.float())

    def forward(self, counts: Tensor) -> Tensor:
        weighted = torch.where(counts > 0, 1 + counts.clamp(min=1).log(), 0.0) * self.rarity
        return weighted / weighted.norm(dim=1, keepdim=True).clamp(min=1e-12)


def _written_out(model: Model) -> tuple[nn.Module, dict[str, Tensor], tuple[str, ...]]:
    """The whole model as one module, inputs to try it with, and the axes that may vary."""
    reader, axes = model.reader, ("batch",)
    if isinstance(reader, WordReader):
        encoder, example = _Words(reader), {"counts": torch.ones(2, len(reader.vocabulary))}
    elif model.kind == "texts":
        encoder, axes = reader.backbone.module, ("batch", "length")
        example = reader.backbone.prepare(["two texts", "of two lengths"])
    else:
        encoder = _Pixels(reader)
        example = {"pictures": torch.zeros(2, 3, reader.limit, reader.limit, dtype=torch.uint8)}
    return _Calibrated(encoder, model.head, model.card["temperature"]), example, axes


def tokenizer_of(model: Model) -> Any:
    """The tokenizer of a network that reads texts, set to cut and to pad as it does; None for the others."""
    if model.kind != "texts" or isinstance(model.reader, WordReader):
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(model.reader.backbone.tokenizer.backend_tokenizer.to_str())
    tokenizer.enable_truncation(model.reader.limit)
    tokenizer.enable_padding()
    return tokenizer


def _compare(model: Model, made: Path, tokenizer: Any, inputs: Sequence[Any]) -> tuple[int, float]:
    """How many inputs get another class from the file than from the model, and the largest difference."""
    network = export.OnnxModule(made)
    changed, largest = 0, 0.0
    for start in range(0, len(inputs), AT_A_TIME):
        batch = inputs[start : start + AT_A_TIME]
        expected = model.predict(batch).probabilities
        found = network(*_given(model, tokenizer, batch)).double()
        changed += int((found.argmax(dim=1) != expected.argmax(dim=1)).sum())
        largest = max(largest, float((found - expected).abs().max()))
    return changed, largest


def _given(model: Model, tokenizer: Any, batch: Any) -> tuple[Tensor, ...]:
    """What an ONNX file is given for some inputs."""
    if model.kind == "pictures":
        return (torch.as_tensor(batch),)
    if tokenizer is None:
        from sklearn.feature_extraction.text import CountVectorizer

        counts = CountVectorizer(vocabulary=list(model.reader.vocabulary)).transform(batch)
        return (torch.from_numpy(counts.toarray()).float(),)
    read = tokenizer.encode_batch(list(batch))
    return torch.tensor([text.ids for text in read]), torch.tensor([text.attention_mask for text in read])


def kept_examples(model: Model) -> Any:
    """What a model's file keeps of its test examples, as inputs; where it made no mistake, stand-ins."""
    if model.kind == "texts":
        return [shown["text"] for shown in model.card["mistakes"]] + model.classes
    size = model.reader.limit
    shown = model.evidence.get("mistakes.pictures", torch.zeros(0, 3, size, size, dtype=torch.uint8))
    random = torch.Generator().manual_seed(0)
    patterns = torch.randint(256, (len(model.classes), 3, 4, 4), generator=random)
    parts = [part for part in (shown, patterns) if len(part)]
    return torch.cat([F.interpolate(part.float(), (size, size)).byte() for part in parts])


def _place(path: Path, content: bytes) -> None:
    with files.replacing(path) as file:
        file.write(content)
