"""What a transformer costs, computed from its sizes: parameters, operations, and bytes.

`Transformer` describes decoders and encoders, with or without grouped queries, gates and experts. Its counts
are those of `sum(p.numel() for p in model.parameters())` and of `torch.utils.flop_counter`: an operation is
one multiplication or one addition inside a product of matrices, and a product (m, k) times (k, n) takes
2 m n k of them. Biases, norms, activations and look-ups in tables count as none. `layer_costs` does the same
for networks without attention, and `metering` measures what is predicted here.

Letters as in `transformer`: B batch, T new tokens, S tokens that are looked at, H heads, D width, d width of
a head, h hidden width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from torch import nn

from transferbook.models.decoder import Decoder
from transferbook.models.transformer import Encoder

__all__ = ["Transformer", "describe"]


@dataclass(frozen=True)
class Transformer:
    """The sizes of a transformer.

    Attributes:
        vocabulary: number of tokens V.
        width: of the network, D.
        layers: number of blocks L.
        heads: of queries, H.
        hidden: width in the middle of each feed-forward half, h.
        kv_heads: of keys and values; None means as many as `heads`.
        head_width: d; None means `width` / `heads`.
        positions: rows of the table of learned positions; 0 where positions are turned in (rotary).
        segments: rows of the table of segments.
        norm: "layer" (a scale and a shift each) or "rms" (a scale).
        gated: whether the feed-forward half has a gate, hence three matrices in the place of two.
        biases: of which linear layers in the blocks: "all", "qkv" (queries, keys, values) or "none".
        head: what guesses tokens: "tied" (the table of tokens), "own" (a matrix of its own) or "none".
        pooler: whether a BERT's pooler follows.
        experts: number of feed-forward halves in each layer, behind a router where there are several.
        chosen: how many of them work on each token.

    Raises:
        ValueError: if a size is below 1, heads do not divide, or more experts are chosen than there are.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    hidden: int
    kv_heads: int | None = None
    head_width: int | None = None
    positions: int = 0
    segments: int = 0
    norm: Literal["layer", "rms"] = "rms"
    gated: bool = True
    biases: Literal["all", "qkv", "none"] = "none"
    head: Literal["tied", "own", "none"] = "tied"
    pooler: bool = False
    experts: int = 1
    chosen: int = 1

    def __post_init__(self) -> None:
        sizes = {part.name: getattr(self, part.name) for part in fields(self)}
        for name, size in sizes.items():
            least = 0 if name in ("positions", "segments") else 1
            if type(size) is int and size < least:
                raise ValueError(f"{name} is {size}; it must be at least {least}.")
        if self.head_width is None and self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide the width {self.width}; give head_width.")
        if self.heads % self.key_heads:
            raise ValueError(f"{self.key_heads} heads of keys do not divide {self.heads} heads of queries.")
        if self.chosen > self.experts:
            raise ValueError(f"{self.chosen} experts cannot be chosen among {self.experts}.")
        kinds = {"norm": ("layer", "rms"), "biases": ("all", "qkv", "none"), "head": ("tied", "own", "none")}
        for name, choices in kinds.items():
            if sizes[name] not in choices:
                raise ValueError(f"{name} is {sizes[name]!r}; it is one of {', '.join(choices)}.")

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def head_size(self) -> int:
        """Width of a head, d."""
        return self.width // self.heads if self.head_width is None else self.head_width

    def parameters(self) -> dict[str, int]:
        """Number of parameters, term by term; terms that a network lacks are 0."""
        queries, keys = self.heads * self.head_size, self.key_heads * self.head_size
        attention, one_expert = self._matrices()
        if self.biases != "none":
            attention += queries + 2 * keys
        if self.biases == "all":
            attention += self.width
            one_expert += (2 if self.gated else 1) * self.hidden + self.width
        table = self.vocabulary * self.width
        return {
            "tokens": table,
            "positions": self.positions * self.width,
            "segments": self.segments * self.width,
            "attention": self.layers * attention,
            "feed-forward": self.layers * self.experts * one_expert,
            "router": self.layers * self._router(),
            "norms": (2 * self.layers + 1) * self.width * (2 if self.norm == "layer" else 1),
            "head": table if self.head == "own" else 0,
            "pooler": (self.width + 1) * self.width if self.pooler else 0,
        }

    @property
    def total(self) -> int:
        """Number of all parameters, N."""
        return sum(self.parameters().values())

    @property
    def active(self) -> int:
        """Number of the parameters that work on a token: all but those of the experts not chosen."""
        halves = self.parameters()["feed-forward"]
        return self.total - halves * (self.experts - self.chosen) // self.experts

    def operations(self, tokens: int, batch: int = 1, past: int = 0, last: bool = False) -> dict[str, int]:
        """Operations of one forward pass, term by term.

        Args:
            tokens: T, read now by each text of the batch; every one looks at all S = `past` + T, as the
                products of matrices are computed in full and masked afterwards.
            batch: B.
            past: tokens in the cache.
            last: whether only the last token of each text gets logits.
        """
        attention, one_expert = self._matrices()
        read, looked_at = batch * tokens, past + tokens
        guessed = 0 if self.head == "none" else batch if last else read
        return {
            "projections": 2 * read * self.layers * attention,
            "attention": 4 * read * looked_at * self.layers * self.heads * self.head_size,
            "feed-forward": 2 * read * self.layers * self.chosen * one_expert,
            "router": 2 * read * self.layers * self._router(),
            "head": 2 * guessed * self.vocabulary * self.width,
            "pooler": 2 * batch * self.width**2 if self.pooler else 0,
        }

    def training_operations(self, tokens: int, batch: int = 1) -> int:
        """Operations of one step, forward and backward: three times those of a forward pass.

        Each product has two factors, and the gradient of each is a product of the same size.
        """
        return 3 * sum(self.operations(tokens, batch).values())

    def cache_bytes(self, tokens: int, batch: int = 1, each: int = 4) -> int:
        """Bytes of the cache of keys and values, `each` bytes a number."""
        return 2 * self.layers * self.key_heads * self.head_size * each * tokens * batch

    def kept_bytes(self, tokens: int, batch: int = 1, each: int = 4) -> int:
        """Bytes that a forward pass keeps for the way back, beside the parameters.

        They are those of this book's `Decoder` and `Encoder`, with the weights of attention kept: fused
        kernels keep less. A decoder is counted up to its cross-entropy, an encoder up to its states. For
        experts, that of the `chosen` ones: a sketch.
        """
        read = batch * tokens
        wide = read * self.width
        heads = read * self.heads * self.head_size
        norm = (wide + read if self.norm == "rms" else 2 * read) + wide  # what came in, and its statistics
        middle = (4 if self.gated else 2) * read * self.hidden * self.chosen
        turned = 0 if self.positions else 2 * read * self.head_size  # sines and cosines, of queries and keys
        weights = batch * self.heads * tokens**2
        block = 2 * (norm + wide) + turned + 3 * heads + weights + heads + middle
        around = norm if self.head == "none" else norm + wide + read * self.vocabulary
        mask = 0 if self.head == "none" else self.layers * batch * tokens**2 + each  # a byte each
        indices = 8 * read * (1 if self.head == "none" else 2)  # what is read, and what is to be guessed
        return each * (self.layers * block + around) + mask + indices

    def training_bytes(self, tokens: int, batch: int = 1, each: int = 4) -> dict[str, int]:
        """Bytes of a step with Adam, term by term, all numbers of `each` bytes."""
        weights = each * self.total
        kept = self.kept_bytes(tokens, batch, each)
        return {"weights": weights, "gradients": weights, "moments": 2 * weights, "activations": kept}

    def peak_bytes(self, tokens: int, batch: int = 1, each: int = 4) -> int:
        """The most bytes that tensors take at a time in a step of a `Decoder` with Adam.

        Weights and moments are always there. Activations and gradients are not there in full at the same
        time: the way back frees the ones while it makes the others. So the peak is one of these moments: the
        loss is differentiated (two more tables of logits); the head is (a gradient of its matrix); the last
        block's feed-forward half is (two more tables of its middle); its attention is (two more of its
        weights); Adam steps (copies of matrices). For a narrow layer and long texts it is a bit too high.
        """
        read, table = batch * tokens, self.vocabulary * self.width
        wide, logits, square = read * self.width, read * self.vocabulary, batch * self.heads * tokens**2
        kept = self.kept_bytes(tokens, batch, each) // each
        half = 3 * wide + read + 4 * read * self.hidden  # kept by a feed-forward half, freed before attention
        matrix = self.width * self.hidden
        moments = [
            kept + 2 * logits,
            kept + table + wide,
            kept + table - logits + matrix + 2 * read * (self.hidden - self.width),
            kept + table + wide - logits - half + 3 * matrix + 2 * square,
            self.total + max(2 * table, 3 * matrix),
        ]
        return each * (3 * self.total + max(moments))

    def _matrices(self) -> tuple[int, int]:
        """Entries of the matrices of one layer's attention, and of one feed-forward half."""
        ends = 2 * self.width * self.head_size * (self.heads + self.key_heads)
        return ends, (3 if self.gated else 2) * self.width * self.hidden

    def _router(self) -> int:
        return self.width * self.experts if self.experts > 1 else 0


def describe(model: nn.Module) -> Transformer:
    """The sizes of one of the book's transformers.

    Raises:
        ValueError: if the model is neither a `Decoder` nor an `Encoder`.
    """
    if not isinstance(model, Decoder | Encoder):
        raise ValueError(
            f"describe takes the book's Decoder or Encoder, not {type(model).__name__}; "
            "for a network without attention take layer_costs.walk_layers."
        )
    sizes = model.config
    shared = {name: getattr(sizes, name) for name in ("vocabulary", "width", "layers", "heads", "hidden")}
    if isinstance(model, Decoder):
        return Transformer(**shared, kv_heads=sizes.kv_heads)
    return Transformer(
        **shared, positions=sizes.positions, segments=2, norm="layer", gated=False, biases="all", head="none"
    )
