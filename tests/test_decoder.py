"""The decoder and its parts against torch and transformers, on ragged batches, with and without a cache."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM

from transferbook.models import decoder as dec

CONFIG = dec.DecoderConfig(vocabulary=50, width=24, layers=3, heads=6, kv_heads=2, hidden=40, base=100.0)
LENGTHS = torch.tensor([7, 4, 1])
LEFT = torch.arange(7) >= (7 - LENGTHS)[:, None]  # (B, T), padding on the left
RIGHT = LEFT.flip(1)
HOLES = torch.tensor([[1, 0, 1, 1, 0, 1, 1], [0, 1, 0, 0, 0, 1, 0], [1, 1, 1, 1, 1, 1, 1]]).bool()


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tokens(*shape: int, seed: int = 5) -> Tensor:
    return torch.randint(50, shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def ours() -> dec.Decoder:
    torch.manual_seed(0)
    model = dec.Decoder(CONFIG).double()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) / 4 + (parameter.ndim == 1)
    return model


@pytest.fixture(scope="module")
def theirs(ours: dec.Decoder) -> LlamaForCausalLM:
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50, hidden_size=24, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
            intermediate_size=40, rms_norm_eps=CONFIG.epsilon, tie_word_embeddings=True, attention_bias=False,
            rope_parameters={"rope_type": "default", "rope_theta": 100.0},
        )
    ).double()  # fmt: skip
    names = {
        "attention.query": "self_attn.q_proj", "attention.key": "self_attn.k_proj",
        "attention.value": "self_attn.v_proj", "attention.output": "self_attn.o_proj",
        "attention_norm": "input_layernorm", "feed_forward.gate": "mlp.gate_proj",
        "feed_forward.up": "mlp.up_proj", "feed_forward.down": "mlp.down_proj",
        "feed_forward_norm": "post_attention_layernorm",
    }  # fmt: skip
    state = {"model.embed_tokens.weight": ours.token.weight, "lm_head.weight": ours.token.weight}
    state["model.norm.weight"] = ours.norm.weight
    for i, block in enumerate(ours.blocks):
        for mine, name in names.items():
            state[f"model.layers.{i}.{name}.weight"] = block.get_submodule(mine).weight
    llama.load_state_dict(state)
    return llama.eval()


def test_rotated_products_depend_on_the_distance_alone():
    query, key = random(1, 1, 1, 8), random(1, 1, 1, 8, seed=1)

    def product(t: int, s: int) -> Tensor:
        turned = dec.rotate(query, torch.tensor([t])), dec.rotate(key, torch.tensor([s]))
        return (turned[0] * turned[1]).sum()

    assert_close(product(9, 4), product(105, 100))
    assert (product(9, 4) - product(9, 5)).abs() > 1e-3
    assert_close(dec.rotate(query, torch.tensor([0])), query)
    assert_close(dec.rotate(query, torch.tensor([7])).norm(), query.norm())


def test_rotate_by_hand():
    turned = dec.rotate(
        torch.tensor([1.0, 0.0, 0.0, 1.0]).double()[None, None, None], torch.tensor([3]), base=16.0
    )
    slow = torch.tensor(3 / 4).double()  # the second pair turns by 16 ** (-2 / 4) = 1/4 a position
    fast = torch.tensor(3.0).double()
    assert_close(turned.flatten(), torch.stack([fast.cos(), -slow.sin(), fast.sin(), slow.cos()]))
    with pytest.raises(ValueError, match="must be even to be turned in pairs; got 3"):
        dec.rotate(random(1, 1, 1, 3), torch.tensor([0]))


@pytest.mark.parametrize("present", [None, LEFT, RIGHT])
def test_logits_are_transformers(ours, theirs, present):
    batch = tokens(3, 7)
    mask = torch.ones_like(batch) if present is None else present.long()
    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
    expected = theirs(batch, attention_mask=mask, position_ids=positions).logits
    real = mask.bool()
    # transformers computes its angles in float32
    assert_close(ours(batch, present)[real], expected[real], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pieces", [[7], [1] * 7, [3, 1, 3]])
@pytest.mark.parametrize("present", [None, LEFT])
def test_a_cache_changes_nothing(ours, pieces, present):
    batch, cache, found = tokens(3, 7), dec.Cache(), []
    mask = torch.ones_like(LEFT) if present is None else present
    for piece, part in zip(batch.split(pieces, dim=1), mask.split(pieces, dim=1), strict=True):
        found.append(ours(piece, part, cache))
    assert_close(torch.cat(found, dim=1)[mask], ours(batch, present)[mask])
    assert cache.present.shape == (3, 7) and cache.bytes == 3 * CONFIG.cache_bytes(7, bytes_per_number=8)


def test_each_row_of_a_ragged_batch_is_what_it_is_alone(ours):
    batch = tokens(3, 7)
    for present in (LEFT, RIGHT, HOLES):
        logits = ours(batch, present)
        for row in range(3):
            alone = ours(batch[row][present[row]][None])
            assert_close(logits[row][present[row]], alone[0])


def test_nobody_sees_what_comes_later(ours):
    batch = tokens(2, 6)
    other = batch.clone()
    other[:, 4:] = (other[:, 4:] + 1) % 50
    assert_close(ours(batch)[:, :4], ours(other)[:, :4])
    assert (ours(batch)[:, 4:] - ours(other)[:, 4:]).abs().max() > 1e-3


def test_last_is_the_last_of_all(ours):
    batch = tokens(2, 6)
    assert_close(ours(batch, last=True), ours(batch)[:, -1:])


def test_a_fresh_decoder_guesses_nearly_evenly():
    torch.manual_seed(0)
    fresh = dec.Decoder(CONFIG)
    for weight in fresh.parameters():
        if weight.ndim == 2:
            assert 0.015 < weight.std() < 0.025
        else:
            assert (weight == 1).all()
    probabilities = fresh(tokens(3, 7)).softmax(dim=-1)
    assert 0.5 / 50 < probabilities.min() and probabilities.max() < 2 / 50


def test_gradients_flow_to_every_parameter(ours):
    ours.zero_grad()
    ours(tokens(2, 6)).logsumexp(dim=-1).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in ours.parameters())


def test_decoder_says_what_does_not_fit(ours):
    with pytest.raises(ValueError, match=r"present is \(3, 7\), tokens are \(3, 6\)"):
        ours(tokens(3, 6), LEFT)
    cache = dec.Cache()
    ours(tokens(3, 2), cache=cache)
    with pytest.raises(ValueError, match="The cache holds 3 texts, not 2"):
        ours(tokens(2, 1), cache=cache)
    with pytest.raises(ValueError, match="at least 1"):
        dec.DecoderConfig(layers=0)
    with pytest.raises(ValueError, match="7 heads of even width must divide the width 24"):
        dec.DecoderConfig(width=24, heads=7, kv_heads=7)
