"""A whole life at toy size: a chain that goes on where it stopped, and stations that are what they say."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import shutil
import types

import pytest
import torch
from torch import nn

from transferbook.__main__ import main
from transferbook.evidence import intervals, stations
from transferbook.learning.transfer import Classifier
from transferbook.models import backbones
from transferbook.program import card, chain, life, life_command, station_models

TOY = life.Settings(labels=48, tokens=12, epochs=(1, 1, 1), kept=(0.5, 0.25), loss=1.0, scored=4)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    folder = tmp_path_factory.mktemp("life")
    said: list[str] = []
    return folder, life.run(folder, TOY, 3, said.append), said


@pytest.fixture(scope="module")
def stories():
    return backbones.minilm(12).prepare(["wheat and maize are dear", "the bank raised its rate again today"])


def test_every_station_follows_from_the_one_before(lived):
    folder, links, said = lived
    assert [link.name for link in links] == list(life.NAMES) and len(said) == 6
    assert all(link.record["before"] == before.digest for before, link in itertools.pairwise(links))
    endings = [path.suffix for path in folder.iterdir()]
    assert sorted(endings) == [".json"] * 6 + [".onnx"] * 2 + [".safetensors"] * 5
    sizes = [link.record["bytes"] for link in links]
    assert sizes[0] == sizes[1] > sizes[2] > sizes[3] > sizes[4] > sizes[5] > 14e6
    assert links[2].record["layers"] == [1, 3, 5] and links[3].record["kept"] == 0.25
    assert links[3].record["tried"].keys() == {"0.5", "0.25"}
    for link in links:
        assert len(link.record["said"]) == 32 and link.record["recalls"].keys() >= {"earn", "grain"}
        assert 0 <= link.record["scores"]["worst_recall"] <= link.record["scores"]["accuracy"] <= 1


def test_a_station_has_a_card_from_its_record(lived, tmp_path):
    folder, links, _ = lived
    page = card.page(folder / "3_distilled.json")
    found = dict(re.findall(r"^\| ([^|]+?) \| (.+) \|$", page, re.MULTILINE))
    record = links[2].record
    assert record["sha256"] in found["File"] and links[1].digest in found["Station"]
    assert f"{record['bytes']:,} bytes" in found["File"] and "Apache-2.0" in found["Begun as"]
    right = sum(record["recalls"][name] * count for name, count in record["tested"].items())
    assert sum(record["tested"].values()) == len(record["said"]) == 32
    assert right == pytest.approx(32 * record["scores"]["accuracy"])
    assert found["Accuracy"].startswith(f"{record['scores']['accuracy']:.3f} \\[")
    low = intervals.binomial(round(record["recalls"]["grain"] * 4), 4).low
    assert found["grain"].startswith(f"4 | {record['recalls']['grain']:.2f} \\[{low:.2f}, ")
    assert "labels = 48" in found["Settings"] and "with the seed 3;" in page
    worst = min(record["recalls"], key=record["recalls"].get)
    assert f'it does harm to miss "{worst}"' in page
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "3_distilled.safetensors").write_bytes(b"another")
    (tmp_path / "4_pruned.json").write_text("{}")
    for name, said in (
        ("3_distilled", r"is not the file that 3_distilled\.json tells of; make this station anew\."),
        ("4_pruned", r"4_pruned\.json is no record of a life that this version of the book wrote\."),
        ("7_none", r"There is no record .*7_none\.json; check the name\."),
    ):
        with pytest.raises(ValueError, match=said):
            card.page(tmp_path / f"{name}.json")


def test_what_is_there_is_kept_and_the_rest_comes_out_the_same(lived, tmp_path):
    folder, links, _ = lived
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    assert life.run(tmp_path, TOY, 3, pytest.fail) == [
        dataclasses.replace(link, file=tmp_path / link.file.name) for link in links
    ]
    for name in ("4_pruned.json", "5_quantised.json", "5_quantised.safetensors", "6_exported.json"):
        (tmp_path / name).unlink()
    again = life.run(tmp_path, TOY, 3, lambda line: None)
    assert [link.digest for link in again] == [link.digest for link in links]


def test_a_changed_station_stops_the_life(lived, tmp_path, capsys):
    folder, _, _ = lived
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    with open(tmp_path / "2_adapted.safetensors", "r+b") as file:
        file.seek(-3, 2)
        file.write(b"\0")
    with pytest.raises(chain.ChainError, match=r"2_adapted\.safetensors is not the file that"):
        life.run(tmp_path, TOY, 3)
    with pytest.raises(chain.ChainError, match=r"1_pretrained\.json does not follow .* other settings"):
        life.run(folder, TOY, 4)
    assert main(["life", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["life", "--out", str(tmp_path / "1_pretrained.json")]) == 1
    assert capsys.readouterr().err.endswith("is a file; give the name of a folder.\n")


def test_networks_come_back_from_their_files(lived, stories):
    links = {link.name: station_models.read(link.file) for link in lived[1]}
    published = backbones.minilm(12).module
    assert torch.equal(links["pretrained"].encoder(**stories), published(**stories))
    assert not torch.equal(links["adapted"].encoder(**stories), published(**stories))
    words = "encoder.bert.embeddings.word_embeddings.weight"
    assert torch.equal(links["pruned"].state_dict()[words], links["pretrained"].state_dict()[words])
    layers = links["pruned"].encoder.bert.encoder.layer
    assert [layer.intermediate.dense.weight.shape for layer in layers] == [(384, 384)] * 3
    assert [layer.output.dense.weight.shape for layer in layers] == [(384, 384)] * 3
    logits = {name: network(**stories) for name, network in links.items()}
    spread = logits["pruned"].std()
    assert 0 < (logits["quantised"] - logits["pruned"]).abs().max() < 0.2 * spread
    assert 0 < (logits["exported"] - logits["quantised"]).abs().max() < 0.5 * spread
    plain = station_models.as_floats(links["quantised"])
    assert torch.equal(plain(**stories), logits["quantised"])
    assert {type(part) for part in plain.modules()} & {station_models.QuantizedTable} == set()


def test_a_quantised_network_is_a_quarter_in_its_file_and_is_the_same_one(tmp_path, stories):
    torch.manual_seed(0)
    encoder = backbones.minilm(12, pretrained=False).module
    encoder.bert.encoder.layer = encoder.bert.encoder.layer[:1]
    model = Classifier(encoder, nn.Linear(384, 3)).eval()
    small = station_models.quantise(model)
    station_models.write(model, tmp_path / "whole.safetensors")
    station_models.write(small, tmp_path / "small.safetensors")
    with torch.no_grad():
        assert torch.equal(station_models.read(tmp_path / "small.safetensors")(**stories), small(**stories))
        assert torch.equal(station_models.read(tmp_path / "whole.safetensors")(**stories), model(**stories))
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "small")]
    assert 3.7 < sizes[0] / sizes[1] < 4
    table = model.encoder.bert.embeddings.word_embeddings.weight
    step = table.abs().amax(dim=1, keepdim=True) / 127
    rounded = small.encoder.bert.embeddings.word_embeddings(torch.arange(len(table)))
    assert ((rounded - table).abs() <= 0.56 * step).all()


@pytest.mark.parametrize(
    ("accuracy", "kept"),
    [
        ({1.0: 0.9, 0.5: 0.89, 0.25: 0.8}, 0.5),
        ({1.0: 0.9, 0.5: 0.8, 0.25: 0.895}, 0.25),
        ({1.0: 0.9, 0.5: 0.8, 0.25: 0.85}, 0.5),
        ({1.0: 0.9, 0.5: 0.95, 0.25: 0.89}, 0.25),
    ],
)
def test_the_smallest_network_that_is_good_enough_is_kept(monkeypatch, accuracy, kept):
    encoder = backbones.minilm(12, pretrained=False).module
    encoder.bert.encoder.layer = encoder.bert.encoder.layer[:1]
    model = Classifier(encoder, nn.Linear(384, 3))
    alive = life.Life.__new__(life.Life)
    alive.settings = life.Settings(loss=0.0101)
    units = lambda network: network.encoder.bert.encoder.layer[0].intermediate.dense.out_features  # noqa: E731
    monkeypatch.setattr(life.Life, "validate", lambda self, network: accuracy[units(network) / 1536])
    monkeypatch.setattr(life.Life, "_teach", lambda self, network, epochs: None)
    smaller, about = alive.pruned(model)
    assert about["kept"] == kept and units(smaller) == 1536 * kept and units(model) == 1536
    assert about["tried"] == {"0.5": accuracy[0.5], "0.25": accuracy[0.25]}


def test_the_student_begins_as_every_second_layer(monkeypatch, stories):
    model = Classifier(backbones.minilm(12).module, nn.Linear(384, 3)).eval()
    alive = life.Life.__new__(life.Life)
    alive.settings = TOY
    monkeypatch.setattr(life.Life, "_teach", lambda self, network, epochs: None)
    student, _ = alive.distilled(model)
    layers, whole = student.encoder.bert.encoder.layer, model.encoder.bert.encoder.layer
    for mine, theirs in zip(layers, (whole[1], whole[3], whole[5]), strict=True):
        assert torch.equal(mine.output.dense.weight, theirs.output.dense.weight)
        assert mine.output.dense.weight is not theirs.output.dense.weight


def test_the_stories_are_unequal_and_the_rare_topics_are_named():
    alive = life.Life(dataclasses.replace(TOY, scored=None), 0)
    counts = alive.train[1].bincount()
    assert counts.sum() == 48 and counts.max() > 4 * counts.min()
    assert {alive.classes[topic] for topic in alive.rare} == {"grain", "ship", "interest"}
    tested = dict(zip(alive.classes, alive.test[1].bincount().tolist(), strict=True))
    assert tested["earn"] == tested["acq"] == 60 and tested["grain"] == 10 and tested["ship"] == 36


def test_the_table_has_a_line_for_each_station():
    scores = dict.fromkeys(("accuracy", "rare_recall", "worst_recall", "calibration_error", "changed"), 0.25)
    record = {"scores": scores, "bytes": 12_300_000}
    links = [types.SimpleNamespace(name=name, record=record) for name in ("pretrained", "adapted")]
    speeds = {"adapted": stations.Speed(0.01, 0.02, 0.5)}
    lines = life_command.table(links, speeds, {"adapted": 7e8}).splitlines()
    assert lines[1].split() == ["pretrained", "0.250", "0.250", "0.250", "0.250", "25.0%", "12.3"]
    assert lines[2].split()[-4:] == ["10.0", "20.0", "0.50", "700"]
    assert len(set(map(len, (lines[0], lines[2])))) == 1


def test_speed_and_memory_are_those_of_the_files(lived):
    _, links, _ = lived
    found = life.speeds(links, TOY, stories=3)
    assert list(found) == ["adapted", "distilled", "pruned", "quantised", "exported", "zeros", "floats"]
    assert found["adapted"].ratio == 1 and all(speed.p50 > 0 for speed in found.values())
    memory = life.memory([links[0], links[5]])
    assert memory.keys() == {"exported"} and 30e6 < memory["exported"] < 400e6


def test_the_command_does_it_all(lived, tmp_path, monkeypatch, capsys):
    folder, links, _ = lived
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    toy = lambda labels=48: dataclasses.replace(TOY, labels=labels)  # noqa: E731
    monkeypatch.setattr(life, "Settings", toy)
    monkeypatch.setattr(life, "speeds", lambda links, settings: {})
    monkeypatch.setattr(life, "memory", lambda links: {})
    assert main(["life", "--out", str(tmp_path), "--seed", "3", "--labels", "48"]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"6 models, each with a record; the last record's hash is {links[-1].digest}\n$", out)
    assert out.count("\n") == 8 and json.loads((tmp_path / "1_pretrained.json").read_text())["number"] == 1
