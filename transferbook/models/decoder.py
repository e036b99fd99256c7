"""A decoder: a transformer that reads from left to right and guesses the next token, with a cache.

It has the parts of today's language models: RMSNorm, rotary positions, grouped queries, SwiGLU, and one table
of tokens for reading and for guessing. `generation` lets it write. Letters of shapes as in `transformer`, and
V for the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transferbook.models.transformer import Block, MultiHeadAttention

__all__ = ["Cache", "Decoder", "DecoderConfig", "SwiGLU", "rotate"]


class SwiGLU(nn.Module):
    r"""A feed-forward half with a gate, $W_d\,(\operatorname{silu}(W_g x) \odot W_u x)$, without biases.

    Args:
        width: of the network.
        hidden: of the layer in between.

    Source: Shazeer (2020), GLU variants improve transformer.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """States (..., D) of states (..., D)."""
        return self.down(F.silu(self.gate(x)) * self.up(x))


def rotate(x: Tensor, positions: Tensor, base: float = 10_000.0) -> Tensor:
    r"""Turn each pair of numbers $(x_i, x_{i + d/2})$ by the angle $t\,b^{-2i/d}$ of its position $t$.

    The product of a query at t with a key at s then depends on the positions through t - s alone.

    Args:
        x: queries or keys, shape (B, H, T, d), d even.
        positions: of the tokens, shape (B, T) or (T,).
        base: b.

    Raises:
        ValueError: if d is odd.

    Source: Su et al. (2024), RoFormer; the pairing is that of Llama's weights in `transformers`.
    """
    width = x.shape[-1]
    if width % 2:
        raise ValueError(f"The width of a head must be even to be turned in pairs; got {width}.")
    kind = torch.promote_types(x.dtype, torch.float32)
    frequencies = base ** (-torch.arange(0, width, 2, dtype=kind, device=x.device) / width)  # (d/2,)
    angles = positions.to(kind).unsqueeze(-1) * frequencies  # (B, T, d/2)
    cos, sin = (f(angles).unsqueeze(-3).to(x.dtype) for f in (torch.cos, torch.sin))  # (B, 1, T, d/2)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Cache:
    """The keys and values of the tokens that a decoder has read, layer by layer; it grows with each call.

    Attributes:
        keys: for each layer, shape (B, kv_heads, S, d).
        values: likewise.
        present: (B, S), False where a token is padding; None before the first call.
    """

    def __init__(self) -> None:
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.present: Tensor | None = None

    @property
    def bytes(self) -> int:
        """Bytes that its keys and values take."""
        return sum(tensor.numel() * tensor.element_size() for tensor in (*self.keys, *self.values))

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append the keys and values of new tokens to those of a layer, and return all of them."""
        if layer == len(self.keys):
            self.keys.append(keys)
            self.values.append(values)
        else:
            self.keys[layer] = torch.cat([self.keys[layer], keys], dim=2)
            self.values[layer] = torch.cat([self.values[layer], values], dim=2)
        return self.keys[layer], self.values[layer]


@dataclass(frozen=True)
class DecoderConfig:
    """The sizes of a decoder; as they stand, those of SmolLM2-135M.

    Attributes:
        vocabulary: number of tokens V.
        width: of the network, D.
        layers: number of blocks.
        heads: of queries, in each.
        kv_heads: of keys and values.
        hidden: width in the middle of each feed-forward half.
        base: of the rotary positions.
        epsilon: of the RMSNorms.
    """

    vocabulary: int = 49_152
    width: int = 576
    layers: int = 30
    heads: int = 9
    kv_heads: int = 3
    hidden: int = 1_536
    base: float = 100_000.0
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        sizes = (self.vocabulary, self.width, self.layers, self.heads, self.kv_heads, self.hidden)
        if min(sizes) < 1:
            raise ValueError(f"All sizes must be at least 1; got {self}.")
        if self.width % (2 * self.heads):
            raise ValueError(f"{self.heads} heads of even width must divide the width {self.width}.")

    def cache_bytes(self, tokens: int = 1, bytes_per_number: int = 4) -> int:
        """What the `Cache` of one text takes: a key and a value in each layer, for each of its heads."""
        return 2 * self.layers * self.kv_heads * (self.width // self.heads) * bytes_per_number * tokens


class Decoder(nn.Module):
    """A language model in the manner of Llama: from tokens to the logits of the token that follows each.

    Args:
        config: its sizes.

    Source: Touvron et al. (2023), LLaMA; Ainslie et al. (2023) for grouped queries.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        width, epsilon = config.width, config.epsilon
        self.token = nn.Embedding(config.vocabulary, width)  # read with it, and guessed with it
        self.blocks = nn.ModuleList(
            Block(
                MultiHeadAttention(width, config.heads, config.kv_heads, bias=False),
                SwiGLU(width, config.hidden),
                (nn.RMSNorm(width, epsilon), nn.RMSNorm(width, epsilon)),
                norm_first=True,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.RMSNorm(width, epsilon)
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02)

    def forward(
        self, tokens: Tensor, present: Tensor | None = None, cache: Cache | None = None, last: bool = False
    ) -> Tensor:
        """Logits (B, T, V) of the token after each of `tokens` (B, T).

        Args:
            tokens: indices.
            present: (B, T), true or 1 for a token, false or 0 for padding; None where all are tokens.
                Padding may stand anywhere: nobody listens to it, and it takes no position. Its own logits
                mean nothing.
            cache: what was read before; the new tokens are added to it.
            last: only the logits after the last token, (B, 1, V).

        Raises:
            ValueError: if `present` has another shape than `tokens`, or the cache another batch.
        """
        present = torch.ones_like(tokens, dtype=torch.bool) if present is None else present.bool()
        if present.shape != tokens.shape:
            raise ValueError(f"present is {tuple(present.shape)}, tokens are {tuple(tokens.shape)}.")
        if cache is not None and cache.present is not None:
            if cache.present.shape[0] != tokens.shape[0]:
                raise ValueError(f"The cache holds {cache.present.shape[0]} texts, not {tokens.shape[0]}.")
            present = torch.cat([cache.present, present], dim=1)  # (B, S)
        length, seen = tokens.shape[1], present.shape[1]
        positions = (present.cumsum(dim=1) - 1).clamp_min(0)[:, -length:]  # (B, T)
        column = torch.arange(seen, device=tokens.device)
        before, itself = column <= column[-length:, None], column == column[-length:, None]  # (T, S)
        allowed = (before & present[:, None, None, :]) | itself  # (B, 1, T, S); padding sees itself alone
        turn = partial(rotate, positions=positions, base=self.config.base)
        x = self.token(tokens)
        for i, block in enumerate(self.blocks):
            x = block(x, allowed=allowed, rotate=turn, remember=cache and partial(cache.extend, i))
        if cache is not None:
            cache.present = present
        return F.linear(self.norm(x[:, -1:] if last else x), self.token.weight)
