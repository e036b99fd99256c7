"""SmolLM2 as the package reads it, against transformers' own reading of the same file."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from transferbook.data import assets
from transferbook.models import language_models
from transferbook.models.decoder import Cache

TEXTS = ["The capital of France is", "1, 2, 3,", "Once upon a time there was a small, grey"]


@pytest.fixture(scope="module")
def smollm2() -> language_models.LanguageModel:
    return language_models.smollm2()


@pytest.fixture(scope="module")
def folder():
    return assets.unpack("smollm2")


def test_logits_are_transformers_on_a_ragged_batch(smollm2, folder):
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file="smollm2.gguf", dtype=torch.float32
    ).eval()
    tokens, present = smollm2.encode(TEXTS)
    assert not present.all()
    positions = (present.long().cumsum(dim=1) - 1).clamp_min(0)
    with torch.no_grad():
        expected = theirs(tokens, attention_mask=present.long(), position_ids=positions).logits[present]
        cache, read = Cache(), []
        for piece, part in ((tokens[:, :4], present[:, :4]), (tokens[:, 4:], present[:, 4:])):
            read.append(smollm2.decoder(piece, part, cache))
        assert_close(smollm2.decoder(tokens, present)[present], expected, atol=2e-3, rtol=0)
        assert_close(torch.cat(read, dim=1)[present], expected, atol=2e-3, rtol=0)
    assert cache.bytes == 3 * tokens.shape[1] * 46_080


def test_sizes(smollm2):
    assert smollm2.parameters == 134_515_008 and smollm2.decoder.config.cache_bytes() == 46_080
    assert (smollm2.stop, smollm2.padding) == (2, 2) and not smollm2.decoder.training
    assert smollm2.provenance == assets.catalogue()["smollm2"].provenance


def test_tokens_are_transformers(smollm2, folder):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder, gguf_file="smollm2.gguf")
    texts = [
        *TEXTS,
        "Zahlen: 2026, 3.14\n\n  naïve 漢字 🙂\t" + smollm2.chat("Why?", system="Be brief."),
        "<|im_end|>",
    ]
    for text in texts:
        ids = theirs(text)["input_ids"]
        assert smollm2.tokenizer.encode(text).ids == ids
        assert smollm2.tokenizer.decode(ids, skip_special_tokens=False) == text
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    chat = theirs.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert smollm2.chat("Why?", system="Be brief.") == chat


def test_encode_pads_on_the_left_and_decode_ends_at_the_stop(smollm2):
    tokens, present = smollm2.encode(["one two three", "four"])
    assert tokens.shape == present.shape == (2, 3) and present.tolist() == [[True] * 3, [False, False, True]]
    assert tokens[1, :2].tolist() == [2, 2]
    assert smollm2.decode(tokens[:1]) == ["one two three"]
    assert smollm2.decode(torch.tensor([[*tokens[0].tolist(), 2, 5]])) == ["one two three"]
    for wrong in ([], "one", ["one", ""]):
        with pytest.raises(ValueError, match="encode needs a list of at least one text"):
            smollm2.encode(wrong)


def test_it_knows_a_capital_and_writes_in_batches_what_it_writes_alone(smollm2):
    together = smollm2.write(TEXTS, steps=5)
    assert together[0].startswith(" Paris") and together[1].startswith(" 4")
    assert together == [smollm2.write([text], steps=5)[0] for text in TEXTS]


def test_random_weights_follow_their_seed_and_leave_the_global_state(smollm2):
    state = torch.get_rng_state()
    first, second = (language_models.smollm2(pretrained=False, seed=seed) for seed in (1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    weights = [model.decoder.blocks[3].attention.query.weight for model in (first, second, smollm2)]
    assert not torch.equal(weights[0], weights[1]) and weights[0].shape == weights[2].shape
    assert first.provenance == "random weights, seed 1" and first.parameters == smollm2.parameters
