"""Known models against transformers' own networks of the same sizes, and sizes read from files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from transferbook.models import known_models, training_bill
from transferbook.models.costs import Transformer
from transferbook.models.known_models import KNOWN

REFERENCES = Path(__file__).parents[1] / "book" / "references.bib"


def config_of(sizes: Transformer):
    """The configuration of transformers that has these sizes."""
    import transformers

    shared = dict(
        vocab_size=sizes.vocabulary, hidden_size=sizes.width, num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads, intermediate_size=sizes.hidden,
    )  # fmt: skip
    if sizes.pooler:
        return transformers.BertConfig(**shared, max_position_embeddings=sizes.positions)
    if sizes.positions:
        return transformers.GPT2Config(
            vocab_size=sizes.vocabulary, n_embd=sizes.width, n_layer=sizes.layers, n_head=sizes.heads,
            n_positions=sizes.positions,
        )  # fmt: skip
    shared |= dict(num_key_value_heads=sizes.key_heads, tie_word_embeddings=sizes.head == "tied")
    if sizes.experts > 1:
        experts = dict(num_local_experts=sizes.experts, num_experts_per_tok=sizes.chosen)
        return transformers.MixtralConfig(**shared, **experts)
    return transformers.LlamaConfig(**shared)


def network_of(config) -> torch.nn.Module:
    from transformers import AutoModel, AutoModelForCausalLM

    kind = AutoModel if config.model_type == "bert" else AutoModelForCausalLM
    with torch.device("meta"):
        return kind.from_config(config)


@pytest.mark.parametrize("name", KNOWN)
def test_totals_are_those_of_transformers_networks(name, tmp_path):
    sizes = KNOWN[name].sizes
    config = config_of(sizes)
    assert sizes.total == sum(parameter.numel() for parameter in network_of(config).parameters())
    config.save_pretrained(tmp_path)
    assert known_models.read_sizes(tmp_path).total == sizes.total
    assert known_models.read_sizes(tmp_path / "config.json").operations(9) == sizes.operations(9)


def test_a_model_with_biases_of_its_own_kind_is_read(tmp_path):
    from transformers import Qwen2Config

    config = Qwen2Config(
        vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=40, tie_word_embeddings=True,
    )  # fmt: skip
    config.save_pretrained(tmp_path)
    own = sum(parameter.numel() for parameter in network_of(config).parameters())
    assert known_models.read_sizes(tmp_path).total == own


def test_heads_may_be_wider_than_their_share(tmp_path):
    from transformers import LlamaConfig

    config = LlamaConfig(
        vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=40, head_dim=10,
    )  # fmt: skip
    config.save_pretrained(tmp_path)
    sizes = known_models.read_sizes(tmp_path)
    assert sizes.total == sum(parameter.numel() for parameter in network_of(config).parameters())
    assert sizes.cache_bytes(5) == 2 * 2 * 2 * 10 * 4 * 5


def printed(text: str) -> tuple[float, float]:
    """The number that a text such as 117M prints, and one unit of its last digit."""
    number, scale = text[:-1], {"M": 1e6, "B": 1e9}[text[-1]]
    return float(number) * scale, scale * 10.0 ** -len(number.partition(".")[2])


@pytest.mark.parametrize("name", KNOWN)
def test_printed_numbers_are_near_and_each_that_rounds_otherwise_has_a_note(name):
    known = KNOWN[name]
    number, unit = printed(known.printed)
    off = abs(number - known.sizes.total) / unit
    assert off <= 0.5 or known.note or (off <= 1.1 and unit == 1e9)  # 70B: 69.0, in whole billions
    assert number == pytest.approx(known.sizes.total, rel=0.07)
    assert f"{{{known.source}," in REFERENCES.read_text(encoding="utf-8")
    assert (known.hours is None) == (known.accelerator == "")
    assert known.accelerator in {"", *training_bill.ACCELERATORS}


def test_a_file_may_name_the_sizes_as_the_book_does(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"vocabulary": 60, "width": 24, "layers": 2, "heads": 4, "hidden": 40}))
    assert known_models.lookup(str(path)) == (Transformer(60, 24, 2, 4, 40), None)
    given = {"vocabulary": 60, "width": 24, "layers": 2, "heads": 4, "hidden": 40, "positions": 0}
    given |= {"norm": "layer", "gated": False, "kv_heads": 2, "pooler": True, "head": "none"}
    path.write_text(json.dumps(given))
    assert known_models.read_sizes(path) == Transformer(**given)


def test_names_are_found_in_any_case():
    sizes, known = known_models.lookup("Llama-2-7B")
    assert known is KNOWN["llama-2-7b"] and sizes.total == 6_738_415_616
    with pytest.raises(ValueError, match=r"There is no model or file 'gpt-9'; give a config\.json, or"):
        known_models.lookup("gpt-9")


LLAMA = {
    "model_type": "llama", "vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 40,
}  # fmt: skip
BAD = {
    "not JSON": ("{", "is not a JSON file"),
    "not UTF-8": (b"\xff\xfe{}", "is not a JSON file"),
    "nested without end": ("[" * 100_000, "is not a JSON file"),
    "a list": ("[1]", "holds no JSON object"),
    "another kind": ('{"model_type": "t5"}', "describes a 't5'; this book can count bert, gpt2, llama"),
    "a kind that is no word": ('{"model_type": ["t5"]}', "describes a "),
    "a size missing": (json.dumps({**LLAMA, "hidden_size": None}), "lacks hidden_size; it must be a whole"),
    "a size in words": (json.dumps({**LLAMA, "hidden_size": "24"}), "has '24' for hidden_size"),
    "half a layer": (json.dumps({**LLAMA, "num_hidden_layers": 2.5}), "has 2.5 for num_hidden_layers"),
    "true layers": (json.dumps({**LLAMA, "num_hidden_layers": True}), "has True for num_hidden_layers"),
    "no layers": (json.dumps({**LLAMA, "num_hidden_layers": 0}), "has 0 for num_hidden_layers"),
    "too large": (json.dumps({**LLAMA, "vocab_size": 10**9}), "whole number from 1 to 999,999,999"),
    "a number without end": ('{"vocabulary": 1' + "0" * 5_000 + "}", "has inf for vocabulary"),
    "heads": (json.dumps({**LLAMA, "num_attention_heads": 5}), "5 heads do not divide the width 24"),
    "biases": (json.dumps({**LLAMA, "attention_bias": True}), "has attention_bias"),
    "tied by a word": (json.dumps({**LLAMA, "tie_word_embeddings": "yes"}), "it must be true or false"),
    "strange size": ('{"vocabulary": 60, "depth": 3}', "an unknown size 'depth'; the sizes are vocabulary"),
    "no size at all": ("{}", "lacks vocabulary"),
    "a choice": (
        '{"vocabulary": 60, "width": 24, "layers": 2, "heads": 4, "hidden": 40, "norm": 3}', "norm is 3",
    ),
    "a large file": (" " * 1_000_001, "is too large for a description of sizes"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_one_sentence_with_its_name(name, tmp_path):
    content, said = BAD[name]
    path = tmp_path / "config.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"config\.json") as error:
        known_models.read_sizes(path)
    text = str(error.value)
    assert said in text and text.endswith(".") and "\n" not in text and text.count(". ") == 0


def test_a_folder_without_a_file_gets_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"config\.json cannot be read \(No such file or directory\)\."):
        known_models.lookup(str(tmp_path))


def test_a_name_that_no_file_can_have_gets_one_sentence():
    with pytest.raises(ValueError, match=r"There is no model or file 'x{77}\.\.\.'; give a config\.json, or"):
        known_models.lookup("x" * 5_000)
    with pytest.raises(ValueError, match=r"There is no model or file 'a\\x00b'; give"):
        known_models.lookup("a\0b")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are a matter of Unix")
def test_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "config.json"
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"config\.json is no ordinary file; give the config\.json\."):
        known_models.lookup(str(path))
