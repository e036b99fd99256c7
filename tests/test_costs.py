"""What a transformer costs: counted, kept and at the peak, against torch and against transformers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transferbook.models import backbones, costs, language_models, metering
from transferbook.models.decoder import Cache, Decoder, DecoderConfig
from transferbook.models.transformer import Encoder, EncoderConfig

# (sizes, batch, tokens): short and long texts, small and large vocabularies, one head of keys and all
CASES = {
    "tiny": (DecoderConfig(vocabulary=97, width=32, layers=2, heads=4, kv_heads=2, hidden=80), 3, 7),
    "long": (DecoderConfig(vocabulary=256, width=96, layers=4, heads=6, kv_heads=1, hidden=256), 2, 192),
    "words": (DecoderConfig(vocabulary=5_000, width=64, layers=2, heads=4, kv_heads=2, hidden=160), 8, 32),
    "batch": (DecoderConfig(vocabulary=300, width=64, layers=5, heads=4, kv_heads=4, hidden=176), 16, 48),
    "wide": (DecoderConfig(vocabulary=64, width=256, layers=3, heads=4, kv_heads=4, hidden=768), 2, 16),
    "thick": (DecoderConfig(vocabulary=20, width=64, layers=1, heads=4, kv_heads=4, hidden=512), 8, 32),
    "few": (DecoderConfig(vocabulary=50, width=64, layers=1, heads=4, kv_heads=4, hidden=256), 1, 8),
}


def tokens(config: DecoderConfig | EncoderConfig, batch: int, length: int) -> Tensor:
    return torch.randint(config.vocabulary, (batch, length), generator=torch.Generator().manual_seed(0))


def loss(model: Decoder, read: Tensor) -> Tensor:
    guessed = read.flip(1).contiguous().flatten()  # memory of its own, as the next tokens have
    return F.cross_entropy(model(read).flatten(0, 1), guessed)


@pytest.mark.parametrize("name", CASES)
def test_a_decoder_is_counted_as_torch_counts_it(name):
    config, batch, length = CASES[name]
    model, read = Decoder(config), tokens(config, batch, length)
    sizes = costs.describe(model)
    assert sizes.total == sum(parameter.numel() for parameter in model.parameters())
    assert sum(sizes.operations(length, batch).values()) == metering.count_operations(lambda: model(read))
    last = sizes.operations(length, batch, last=True)
    assert sum(last.values()) == metering.count_operations(lambda: model(read, last=True))
    counted = metering.count_operations(lambda: loss(model, read).backward())
    assert sizes.training_operations(length, batch) == counted


@pytest.mark.parametrize("name", CASES)
def test_what_a_decoder_keeps_for_the_way_back_is_known_to_the_byte(name):
    config, batch, length = CASES[name]
    model, read = Decoder(config), tokens(config, batch, length)
    kept = metering.kept_bytes(lambda: loss(model, read), model.parameters())
    assert costs.describe(model).kept_bytes(length, batch) == kept


@pytest.mark.parametrize("name", CASES)
def test_the_peak_of_a_training_step_is_known_to_five_percent(name):
    config, batch, length = CASES[name]
    read = tokens(config, batch, length)

    def train() -> None:
        model = Decoder(config)
        optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
        for _ in range(2):
            loss(model, read).backward()
            optimizer.step()
            optimizer.zero_grad()

    peak = int(metering.memory_curve(train).max())
    on_paper = costs.describe(Decoder(config)).peak_bytes(length, batch)
    assert on_paper == pytest.approx(peak, rel=0.05)
    if name in ("wide", "few"):  # when Adam steps, nothing is left to guess
        assert on_paper == pytest.approx(peak, rel=1e-3)


def test_reading_on_from_a_cache_is_counted_and_the_cache_weighed():
    config, batch, _ = CASES["tiny"]
    model, sizes, cache = Decoder(config), costs.describe(Decoder(config)), Cache()
    model(tokens(config, batch, 9), cache=cache)
    assert cache.bytes == sizes.cache_bytes(9, batch) == batch * config.cache_bytes(9)
    one = tokens(config, batch, 1)
    counted = metering.count_operations(lambda: model(one, cache=cache, last=True))
    assert sum(sizes.operations(1, batch, past=9, last=True).values()) == counted


def test_an_encoder_is_counted_as_torch_counts_it():
    config = EncoderConfig(vocabulary=100, width=24, layers=3, heads=4, hidden=40, positions=20)
    model, read = Encoder(config), tokens(config, 3, 11)
    sizes = costs.describe(model)
    assert sizes.total == sum(parameter.numel() for parameter in model.parameters())
    assert sum(sizes.operations(11, 3).values()) == metering.count_operations(lambda: model(read))
    counted = metering.count_operations(lambda: model(read).sum().backward())
    assert sizes.training_operations(11, 3) == counted
    assert sizes.kept_bytes(11, 3) == metering.kept_bytes(lambda: model(read).sum(), model.parameters())


def test_the_models_that_the_book_loads_are_counted():
    smollm2 = language_models.smollm2()
    sizes = costs.describe(smollm2.decoder)
    assert sizes.total == smollm2.parameters == 134_515_008
    read = tokens(smollm2.decoder.config, 2, 12)
    with torch.no_grad():
        counted = metering.count_operations(lambda: smollm2.decoder(read, last=True))
    assert sum(sizes.operations(12, 2, last=True).values()) == counted
    minilm = backbones.minilm()
    sizes = costs.describe(Encoder(EncoderConfig()))
    assert sizes.total == minilm.parameters
    read = torch.randint(30_522, (2, 12))
    counted = metering.count_operations(lambda: minilm.module(read, torch.ones_like(read)))
    assert sum(sizes.operations(12, 2).values()) == counted


def test_experts_are_counted_as_transformers_counts_them():
    from transformers import MixtralConfig, MixtralForCausalLM

    mixtral = MixtralForCausalLM(
        MixtralConfig(
            vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=40, num_local_experts=5, num_experts_per_tok=2,
        )
    ).eval()  # fmt: skip
    mixtral.config._experts_implementation = "eager"  # each expert reads its own tokens
    sizes = costs.Transformer(60, 24, 2, 4, 40, kv_heads=2, head="own", experts=5, chosen=2)
    assert sizes.total == sum(parameter.numel() for parameter in mixtral.parameters())
    assert sizes.total - sizes.active == 2 * 3 * 3 * 24 * 40  # layers, experts that rest, matrices
    read = torch.arange(14).view(2, 7)
    places, rotary = torch.arange(7)[None], mixtral.model.rotary_emb
    with torch.no_grad():
        counted = metering.count_operations(lambda: mixtral(read))
        angles = metering.count_operations(lambda: rotary(torch.zeros(1, 7, 24), places))
    assert sum(sizes.operations(7, 2).values()) == counted - angles  # a product in older transformers


def test_a_pooler_and_biases_are_counted_as_transformers_counts_them():
    from transformers import BertConfig, BertModel

    bert = BertModel(
        BertConfig(
            vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40,
            max_position_embeddings=16,
        )
    )  # fmt: skip
    sizes = costs.Transformer(
        60, 24, 2, 4, 40, positions=16, segments=2, norm="layer", gated=False, biases="all", head="none",
        pooler=True,
    )  # fmt: skip
    assert sizes.total == sum(parameter.numel() for parameter in bert.parameters())
    counted = metering.count_operations(lambda: bert(torch.arange(14).view(2, 7)))
    assert sum(sizes.operations(7, 2).values()) == counted


def test_the_terms_of_training_add_up():
    sizes = costs.describe(Decoder(CASES["tiny"][0]))
    terms = sizes.training_bytes(7, 3)
    assert terms["weights"] == terms["gradients"] == terms["moments"] / 2 == 4 * sizes.total
    assert terms["activations"] == sizes.kept_bytes(7, 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"layers": 0}, "layers is 0; it must be at least 1"),
        ({"positions": -1}, "positions is -1; it must be at least 0"),
        ({"heads": 5}, "5 heads do not divide the width 24; give head_width"),
        ({"kv_heads": 3}, "3 heads of keys do not divide 4 heads"),
        ({"chosen": 2}, "2 experts cannot be chosen among 1"),
        ({"norm": "batch"}, "norm is 'batch'; it is one of layer, rms"),
    ],
)
def test_sizes_that_make_no_network_are_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        replace(costs.Transformer(60, 24, 2, 4, 40), **changed)


def test_other_networks_are_sent_to_the_other_module():
    with pytest.raises(ValueError, match=r"not Linear; for .* without attention take layer_costs\.walk"):
        costs.describe(nn.Linear(2, 2))
