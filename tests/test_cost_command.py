"""The command `costs`, from the command line on."""

from __future__ import annotations

import json

import pytest

from transferbook.__main__ import main
from transferbook.models.known_models import KNOWN


def test_a_known_model_gets_a_page(capsys):
    assert main(["costs", "llama-2-70b", "--length", "4096"]) == 0
    page = capsys.readouterr().out
    assert "Llama 2 70B: decoder, 80 layers of width 8,192, 64 heads on 8 of keys" in page
    rows = {line[2:38].strip(): line[38:].split() for line in page.splitlines() if line.startswith("  ")}
    assert rows["all"] == ["68,976,648,192", "printed:", "70B"]
    assert rows["feed-forward"] == ["56,371,445,760", "81.7%"]
    assert rows["weights of 16 bits"] == ["137.95", "GB"]
    assert rows["cache of keys and values"] == ["1.34", "GB"]
    assert rows["training: weights, gradients, Adam"] == ["1.10", "TB"]
    assert rows["needed at least, to run it"] == ["2"]
    assert rows["operations"][0] == "8.28e+23"
    assert rows["hours"][:5] == ["1.5", "million", "to", "4.9", "million"]
    assert max(map(len, page.splitlines())) <= 110


def test_the_same_as_numbers(capsys):
    assert main(["costs", "mixtral-8x7b", "--batch", "2", "--bits", "4", "--train-on", "1e12", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    sizes = KNOWN["mixtral-8x7b"].sizes
    assert found["total"] == sizes.total == 46_702_792_704
    assert found["active"] == sizes.active == 12_879_925_248
    assert sum(found["parameters"].values()) == sizes.total
    assert found["bytes"]["weights"] == sizes.total // 2
    assert found["bytes"]["cache of keys and values"] == sizes.cache_bytes(1_024, 2, each=2)
    assert found["bytes"]["training: weights, gradients, Adam"] == 16 * sizes.total
    assert found["operations"]["training on it"] == sizes.training_operations(1_024, 2)
    assert found["training"]["operations"] == 6e12 * sizes.active  # only those that work
    assert "tokens per second at most" not in found["accelerator"]  # two texts choose other experts


def test_one_text_is_written_as_fast_as_memory_is_read(capsys):
    assert main(["costs", "llama-2-7b", "--length", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    sizes = KNOWN["llama-2-7b"].sizes
    seconds = (2 * sizes.total + sizes.cache_bytes(1, each=2)) / 2_039e9
    assert found["accelerator"]["tokens per second at most"] == pytest.approx(1 / seconds)


def test_an_encoder_has_no_cache_and_reads_no_more_than_it_can(capsys):
    assert main(["costs", "bert-base"]) == 0
    page = capsys.readouterr().out
    assert "encoder" in page and "1 text of 512 tokens" in page
    assert "cache" not in page and "a second" not in page and "Without the heads" in page


def test_the_list_names_every_model(capsys):
    assert main(["costs", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(KNOWN)
    assert lines[0].split() == ["gpt2", "124,439,808", "124,439,808", "117M"]


def test_a_file_of_ones_own(tmp_path, capsys):
    path = tmp_path / "config.json"
    sizes = {"vocabulary": 60, "width": 24, "layers": 2, "heads": 4, "hidden": 40}
    path.write_text(json.dumps(sizes))
    assert main(["costs", str(path), "--train-on", "1_000"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"{path}: decoder, 2 layers of width 24, 4 heads\n") and "printed" not in page
    assert "a training on 1,000 tokens there" in page


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["gpt-9"], "There is no model or file 'gpt-9'; give a config.json, or one of gpt2, "),
        (["gpt2", "--length", "1025"], "--length is 1025; gpt2 has 1024 positions."),
        (["gpt2", "--length", "many"], "--length is 'many'; it must be a whole number from 1 to "),
        (["gpt2", "--batch", "0"], "--batch is '0'; it must be a whole number from 1 to "),
        (["gpt2", "--batch", "1.5"], "--batch is '1.5'; it must be a whole number from 1 to "),
        (["gpt2", "--bits", "3"], "--bits is 3; it must be 32, 16, 8 or 4."),
        (["gpt2", "--length", ""], "--length is ''; it must be a whole number from 1 to "),
        (["gpt2", "--train-on", "inf"], "--train-on is 'inf'; it must be a whole number"),
        (["gpt2", "--on", "abacus"], "There is no accelerator 'abacus'; there are v100, a100, h100."),
    ],
)
def test_what_makes_no_sense_gets_one_sentence(given, said, capsys):
    assert main(["costs", *given]) == 1
    caught = capsys.readouterr()
    assert caught.out == "" and caught.err.startswith(said) and caught.err.count("\n") == 1
    assert caught.err.endswith(".\n")
