"""The transformer: attention, heads, blocks, and an encoder that can take the weights of a BERT.

Every part is written out, so that each number between input and output can be read or changed by a hook: the
weights of attention pass through `MultiHeadAttention.weights`, the heads' outputs through `.heads`. Letters
of shapes: B batch, T tokens that ask, S tokens that are asked, H heads, D width of the network, d width of
one head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Block", "Encoder", "EncoderConfig", "FeedForward", "MultiHeadAttention"]
__all__ += ["attention", "attention_weights", "causal_mask", "sinusoidal"]


def attention_weights(queries: Tensor, keys: Tensor, allowed: Tensor | None = None) -> Tensor:
    r"""How much each token listens to each other one, $\operatorname{softmax}(Q K^\top / \sqrt{d})$.

    Args:
        queries: shape (..., T, d).
        keys: shape (..., S, d).
        allowed: booleans that broadcast to (..., T, S); a weight where it is False is exactly 0. Every row
            needs at least one True, or its weights are not numbers.

    Returns:
        Weights (..., T, S); each row is positive and sums to 1.

    Raises:
        ValueError: if the widths of queries and keys differ, or `allowed` does not hold booleans.

    Source: Vaswani et al. (2017), Attention is all you need.
    """
    if queries.shape[-1] != keys.shape[-1]:
        raise ValueError(f"Queries {tuple(queries.shape)} and keys {tuple(keys.shape)} differ in width.")
    if allowed is not None and allowed.dtype != torch.bool:
        raise ValueError(f"allowed must hold booleans; got {allowed.dtype}.")
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(keys.shape[-1])
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    return scores.softmax(dim=-1)


def attention(queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor | None = None) -> Tensor:
    """The values (..., S, d), averaged for each query with its `attention_weights`; shape (..., T, d).

    Raises:
        ValueError: as `attention_weights`.
    """
    return attention_weights(queries, keys, allowed) @ values


def causal_mask(length: int) -> Tensor:
    """Booleans (T, T): token t may look at itself and at what stands before it."""
    return torch.ones(length, length, dtype=torch.bool).tril()


def sinusoidal(length: int, width: int, base: float = 10_000.0) -> Tensor:
    r"""Positions as waves: $\sin(t\,\omega_i)$ and $\cos(t\,\omega_i)$ in turn, $\omega_i = b^{-2i/D}$.

    Returns:
        Shape (T, D), in torch's default precision.

    Raises:
        ValueError: if the width is odd.

    Source: Vaswani et al. (2017), Attention is all you need.
    """
    if width % 2:
        raise ValueError(f"width must be even: each wave takes a sine and a cosine; got {width}.")
    frequencies = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)  # (D/2,)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), frequencies)  # (T, D/2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).to(torch.get_default_dtype())


class MultiHeadAttention(nn.Module):
    """Attention in several heads side by side, each with queries, keys and values of its own.

    Args:
        width: of the network, D; a multiple of `heads`.
        heads: of queries, H.
        kv_heads: of keys and values; each serves H / kv_heads neighbouring heads of queries. None means H.
        bias: whether the four linear layers have one.

    Raises:
        ValueError: if the heads do not divide the width, or the heads of keys those of queries.

    Source: Vaswani et al. (2017); Ainslie et al. (2023) for heads of queries that share keys and values.
    """

    def __init__(self, width: int, heads: int, kv_heads: int | None = None, bias: bool = True) -> None:
        super().__init__()
        kv_heads = heads if kv_heads is None else kv_heads
        if width % heads or heads % kv_heads:
            raise ValueError(f"{heads} heads must divide the width {width}, and {kv_heads} those {heads}.")
        self.size, self.groups = width // heads, heads // kv_heads
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(width, kv_heads * self.size, bias=bias)
        self.value = nn.Linear(width, kv_heads * self.size, bias=bias)
        self.output = nn.Linear(width, width, bias=bias)
        self.weights = nn.Identity()  # sees (B, H, T, S)
        self.heads = nn.Identity()  # sees (B, H, T, d)

    def forward(
        self,
        x: Tensor,
        allowed: Tensor | None = None,
        rotate: Callable[[Tensor], Tensor] | None = None,
        remember: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        """New states (B, T, D) of states (B, T, D).

        Args:
            x: what the tokens hold.
            allowed: booleans that broadcast to (B, H, T, S).
            rotate: turns queries and keys (B, heads, T, d) by their positions.
            remember: takes the keys and values of these tokens and gives those of all tokens, old and new.
        """
        split = (*x.shape[:-1], -1, self.size)  # (B, T, heads, d)
        queries, keys, values = (f(x).view(split).transpose(1, 2) for f in (self.query, self.key, self.value))
        if rotate is not None:
            queries, keys = rotate(queries), rotate(keys)
        if remember is not None:
            keys, values = remember(keys, values)  # (B, kv_heads, S, d)
        if self.groups > 1:
            keys, values = (part.repeat_interleave(self.groups, dim=1) for part in (keys, values))
        mixed = self.heads(self.weights(attention_weights(queries, keys, allowed)) @ values)  # (B, H, T, d)
        return self.output(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them, applied to each token alone.

    Args:
        width: of the network.
        hidden: of the layer in between.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """States (..., D) of states (..., D)."""
        return self.down(F.gelu(self.up(x)))


class Block(nn.Module):
    """One layer of a transformer: tokens listen to each other, then each thinks alone; both are added on.

    Args:
        attention: called as `MultiHeadAttention`.
        feed_forward: from states to states.
        norms: two normalisations, of attention's half and of the other.
        norm_first: normalise what goes into each half (pre-norm); False: the sum that comes out (post-norm).
    """

    def __init__(
        self,
        attention: nn.Module,
        feed_forward: nn.Module,
        norms: tuple[nn.Module, nn.Module],
        norm_first: bool,
    ) -> None:
        super().__init__()
        self.attention, self.feed_forward, self.norm_first = attention, feed_forward, norm_first
        self.attention_norm, self.feed_forward_norm = norms

    def forward(self, x: Tensor, **how: object) -> Tensor:
        """States (B, T, D) of states (B, T, D); `how` goes to the attention."""
        if self.norm_first:
            x = x + self.attention(self.attention_norm(x), **how)
            return x + self.feed_forward(self.feed_forward_norm(x))
        x = self.attention_norm(x + self.attention(x, **how))
        return self.feed_forward_norm(x + self.feed_forward(x))


@dataclass(frozen=True)
class EncoderConfig:
    """The sizes of an encoder; as they stand, those of MiniLM.

    Attributes:
        vocabulary: number of tokens.
        width: of the network, D.
        layers: number of blocks.
        heads: of each.
        hidden: width in the middle of each feed-forward half.
        positions: the longest text.
        epsilon: of the LayerNorms.
    """

    vocabulary: int = 30_522
    width: int = 384
    layers: int = 6
    heads: int = 12
    hidden: int = 1_536
    positions: int = 512
    epsilon: float = 1e-12

    def __post_init__(self) -> None:
        if min(self.vocabulary, self.width, self.layers, self.heads, self.hidden, self.positions) < 1:
            raise ValueError(f"All sizes must be at least 1; got {self}.")


class Encoder(nn.Module):
    """A BERT: every token sees every other one; learned positions, post-norm, GELU.

    Args:
        config: its sizes.

    Source: Devlin et al. (2019), BERT.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.token = nn.Embedding(config.vocabulary, width)
        self.position = nn.Embedding(config.positions, width)
        self.segment = nn.Embedding(2, width)  # first text or second; the book always gives the first
        self.norm = nn.LayerNorm(width, config.epsilon)
        self.blocks = nn.ModuleList(
            Block(
                MultiHeadAttention(width, config.heads),
                FeedForward(width, config.hidden),
                (nn.LayerNorm(width, config.epsilon), nn.LayerNorm(width, config.epsilon)),
                norm_first=False,
            )
            for _ in range(config.layers)
        )

    def forward(self, tokens: Tensor, present: Tensor | None = None) -> Tensor:
        """States (B, T, D) of tokens (B, T).

        Args:
            tokens: indices.
            present: (B, T), true or 1 for a token, false or 0 for padding, which no token listens to.

        Raises:
            ValueError: if there are more tokens than positions.
        """
        length = tokens.shape[1]
        if length > self.config.positions:
            raise ValueError(f"{length} tokens are more than the {self.config.positions} positions.")
        allowed = None if present is None else present.bool()[:, None, None, :]  # (B, 1, 1, S)
        x = self.norm(self.token(tokens) + self.position.weight[:length] + self.segment.weight[0])
        for block in self.blocks:
            x = block(x, allowed=allowed)
        return x

    def load_bert(self, weights: Mapping[str, Tensor]) -> Encoder:
        """Take the weights of a BERT by their names in `transformers`; a pooler or head beside them is left.

        Args:
            weights: name -> tensor, such as `safetensors.torch.load_file` of a folder's `model.safetensors`.

        Raises:
            ValueError: if a weight is missing or has another shape.
        """
        found = {ours: weights.get(theirs) for ours, theirs in _bert_names(self.config.layers).items()}
        own = self.state_dict()
        for ours, tensor in found.items():
            there = None if tensor is None else tuple(tensor.shape)
            if there != tuple(own[ours].shape):
                raise ValueError(f"{ours} needs shape {tuple(own[ours].shape)}; the weights have {there}.")
        self.load_state_dict(found)
        return self


def _bert_names(layers: int) -> dict[str, str]:
    """Our name of each weight -> the name that it has in `transformers`."""
    names = {
        f"{part}.weight": f"embeddings.{theirs}_embeddings.weight"
        for part, theirs in (("token", "word"), ("position", "position"), ("segment", "token_type"))
    }
    parts = {
        "attention.query": "attention.self.query", "attention.key": "attention.self.key",
        "attention.value": "attention.self.value", "attention.output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm", "feed_forward.up": "intermediate.dense",
        "feed_forward.down": "output.dense", "feed_forward_norm": "output.LayerNorm",
    }  # fmt: skip
    for kind in ("weight", "bias"):
        names[f"norm.{kind}"] = f"embeddings.LayerNorm.{kind}"
        for i in range(layers):
            for ours, theirs in parts.items():
                names[f"blocks.{i}.{ours}.{kind}"] = f"encoder.layer.{i}.{theirs}.{kind}"
    return names
