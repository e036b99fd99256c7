"""Attention, heads, blocks and the encoder, against torch's own and against transformers."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from transferbook.data import assets
from transferbook.models import backbones
from transferbook.models import transformer as tf

B, T, S, C, H = 3, 5, 7, 12, 4
TEXTS = [
    "A short one.",
    "A film that is longer than it has to be, and better than it looks.",
    "Dull, dull, dull",
]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mask(*shape: int, seed: int = 1) -> Tensor:
    """Random booleans, at least one in each row."""
    found = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    found[..., 0] |= ~found.any(dim=-1)
    return found


def shake(module: nn.Module, seed: int = 2) -> nn.Module:
    """The module in float64, all parameters drawn anew, so that no bias is 0 and no gain 1."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.double().parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2
    return module


# Attention


@pytest.mark.parametrize("allowed", [None, mask(T, S), mask(B, 1, T, S), mask(B, H, 1, S)])
def test_attention_is_torch_s(allowed):
    queries, keys, values = random(B, H, T, 3), random(B, H, S, 3, seed=3), random(B, H, S, 2, seed=4)
    theirs = F.scaled_dot_product_attention(queries, keys, values, attn_mask=allowed)
    assert_close(tf.attention(queries, keys, values, allowed), theirs)
    weights = tf.attention_weights(queries, keys, allowed)
    assert_close(weights.sum(dim=-1), torch.ones(B, H, T, dtype=torch.float64))
    if allowed is not None:
        assert not weights[~allowed.expand_as(weights)].any()


def test_attention_by_hand():
    weights = tf.attention_weights(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 5.0], [0.0, 7.0]]))
    odds = math.exp(2 / math.sqrt(2))
    assert_close(weights, torch.tensor([[odds / (odds + 1), 1 / (odds + 1)]]))


def test_attention_refuses_other_shapes_and_masks():
    with pytest.raises(ValueError, match=r"Queries \(5, 3\) and keys \(7, 2\) differ in width"):
        tf.attention(random(T, 3), random(S, 2), random(S, 2))
    with pytest.raises(ValueError, match=r"must hold booleans; got torch\.int64"):
        tf.attention_weights(random(T, 3), random(S, 3), torch.ones(T, S, dtype=torch.int64))


def test_causal_mask_is_torch_s():
    x = random(B, T, 3)
    theirs = F.scaled_dot_product_attention(x, x, x, is_causal=True)
    assert_close(tf.attention(x, x, x, tf.causal_mask(T)), theirs)


def test_sinusoidal_values_and_shift():
    waves = tf.sinusoidal(50, 8, base=100.0).double()
    assert_close(waves[3, 2:4], torch.tensor([math.sin(3 * 100 ** -0.25), math.cos(3 * 100 ** -0.25)]).double(), atol=1e-6, rtol=0)  # fmt: skip  # noqa: E501
    products = waves @ waves.T  # depends on the distance alone
    for distance in (1, 7, 20):
        diagonal = products.diagonal(distance)
        assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="must be even"):
        tf.sinusoidal(5, 7)


# Heads


def test_heads_are_torch_s():
    ours = shake(tf.MultiHeadAttention(C, H))
    theirs = nn.MultiheadAttention(C, H, batch_first=True, dtype=torch.float64)
    parts = (ours.query, ours.key, ours.value)
    theirs.in_proj_weight.data = torch.cat([part.weight for part in parts])
    theirs.in_proj_bias.data = torch.cat([part.bias for part in parts])
    theirs.out_proj.load_state_dict(ours.output.state_dict())
    x, padding, causal = (
        random(B, T, C),
        torch.arange(T) >= torch.tensor([5, 3, 1])[:, None],
        tf.causal_mask(T),
    )
    seen = []
    ours.weights.register_forward_hook(lambda _, given, weights: seen.append(weights))
    allowed = ~padding[:, None, None, :] & causal
    expected, weights = theirs(x, x, x, padding, attn_mask=~causal, average_attn_weights=False)
    assert_close(ours(x, allowed), expected)
    assert_close(seen[0], weights)


def test_grouped_heads_are_full_ones_with_copies():
    few = shake(tf.MultiHeadAttention(C, H, kv_heads=2, bias=False))
    full = tf.MultiHeadAttention(C, H, bias=False).double()
    full.query.load_state_dict(few.query.state_dict())
    full.output.load_state_dict(few.output.state_dict())
    for ours, theirs in ((few.key, full.key), (few.value, full.value)):
        theirs.weight.data = ours.weight.unflatten(0, (2, 3)).repeat_interleave(2, dim=0).flatten(0, 1)
    x = random(B, T, C)
    assert_close(few(x, tf.causal_mask(T)), full(x, tf.causal_mask(T)))


def test_a_hook_can_silence_a_head():
    ours = shake(tf.MultiHeadAttention(C, H))
    x = random(B, T, C)

    def silence(_: nn.Module, given: tuple[Tensor], heads: Tensor) -> Tensor:
        return heads * torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)[:, None, None]

    handle = ours.heads.register_forward_hook(silence)
    silenced = ours(x)
    handle.remove()
    ours.output.weight.data[:, 3:6] = 0.0  # the columns that read the second head
    assert_close(silenced, ours(x))


@pytest.mark.parametrize(("width", "heads", "kv_heads"), [(12, 5, None), (12, 4, 3)])
def test_heads_refuse_what_does_not_divide(width, heads, kv_heads):
    with pytest.raises(ValueError, match=f"{heads} heads must divide the width {width}"):
        tf.MultiHeadAttention(width, heads, kv_heads)


# Blocks


@pytest.mark.parametrize("norm_first", [True, False])
def test_block_is_torch_s(norm_first):
    ours = tf.Block(
        tf.MultiHeadAttention(C, H), tf.FeedForward(C, 20), (nn.LayerNorm(C), nn.LayerNorm(C)), norm_first
    )
    shake(ours)
    theirs = nn.TransformerEncoderLayer(
        C, H, 20, dropout=0.0, activation="gelu", batch_first=True, norm_first=norm_first, dtype=torch.float64
    )
    heads = ours.attention
    parts = (heads.query, heads.key, heads.value)
    theirs.self_attn.in_proj_weight.data = torch.cat([part.weight for part in parts])
    theirs.self_attn.in_proj_bias.data = torch.cat([part.bias for part in parts])
    theirs.self_attn.out_proj.load_state_dict(heads.output.state_dict())
    theirs.linear1.load_state_dict(ours.feed_forward.up.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.down.state_dict())
    theirs.norm1.load_state_dict(ours.attention_norm.state_dict())
    theirs.norm2.load_state_dict(ours.feed_forward_norm.state_dict())
    padding = torch.arange(T) >= torch.tensor([5, 3, 1])[:, None]
    x = random(B, T, C)
    expected = theirs(x, src_key_padding_mask=padding)
    assert_close(ours(x, allowed=~padding[:, None, None, :])[~padding], expected[~padding])


# The encoder


def minilm_weights() -> dict[str, Tensor]:
    return load_file(assets.unpack("minilm") / "model.safetensors")


@pytest.fixture(scope="module")
def ours() -> tf.Encoder:
    return tf.Encoder(tf.EncoderConfig()).load_bert(minilm_weights()).eval()


def test_encoder_with_minilm_s_weights_is_transformers(ours):
    backbone = backbones.minilm()
    batch = backbone.prepare(TEXTS)
    present = batch["attention_mask"]
    assert not present.all()  # ragged
    theirs = backbone.module.bert(**batch).last_hidden_state
    assert_close(ours(batch["input_ids"], present)[present.bool()], theirs[present.bool()], atol=1e-5, rtol=0)
    exact = ours.double()(batch["input_ids"], present)
    theirs = backbone.module.bert.double()(**batch).last_hidden_state
    assert_close(exact[present.bool()], theirs[present.bool()], atol=1e-11, rtol=0)
    ours.float()


def test_encoder_does_not_see_padding(ours):
    batch = backbones.minilm().prepare(TEXTS[:1])
    alone = ours(batch["input_ids"])
    padded = F.pad(batch["input_ids"], (0, 4), value=17)
    present = torch.arange(padded.shape[1]) < alone.shape[1]
    assert_close(ours(padded, present[None])[:, : alone.shape[1]], alone, atol=1e-5, rtol=0)


def test_encoder_says_what_does_not_fit(ours):
    with pytest.raises(ValueError, match="513 tokens are more than the 512 positions"):
        ours(torch.zeros(1, 513, dtype=torch.long))
    with pytest.raises(ValueError, match="at least 1"):
        tf.EncoderConfig(layers=0)
    weights = minilm_weights()
    with pytest.raises(
        ValueError, match=r"token.weight needs shape \(99, 384\); the weights have \(30522, 384\)"
    ):
        tf.Encoder(tf.EncoderConfig(vocabulary=99)).load_bert(weights)
    del weights["encoder.layer.2.output.dense.bias"]
    with pytest.raises(
        ValueError, match=r"blocks.2.feed_forward.down.bias needs shape \(384,\); the .* None"
    ):
        tf.Encoder(tf.EncoderConfig()).load_bert(weights)
