"""Networks as ONNX files: they compute what torch does, for other batches and lengths too, and in int8."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from transferbook.learning import training, transfer
from transferbook.models import backbones, export


class Words(nn.Module):
    """Tables of words and places, the mean over the words that are there, two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.inner = nn.Embedding(50, 16), nn.Linear(16, 32)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(32, 3)

    def forward(self, words: Tensor, there: Tensor) -> Tensor:  # (B, T), (B, T)
        mean = (self.table(words) * there[..., None]).sum(dim=1) / there.sum(dim=1, keepdim=True)
        return self.head(self.drop(self.inner(mean).relu()))


@pytest.fixture(scope="module")
def network() -> Words:
    torch.manual_seed(0)
    return Words().train()


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "words.onnx"
    known = {"classes": ["ä", "b", "c"]}
    return export.to_onnx(network, batch(2, 3), path, axes=("batch", "length"), output="z", known=known)


def batch(rows: int, length: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(rows)
    words = torch.randint(50, (rows, length), generator=random)
    return {"words": words, "there": (torch.rand(rows, length, generator=random) > 0.3).float() + 1e-3}


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (7, 2), (2, 40)])
def test_a_file_computes_what_the_network_does_for_any_batch_and_length(network, file, rows, length):
    given, ran = batch(rows, length), export.OnnxModule(file)
    expected = training.predict(network, given)
    assert torch.allclose(ran(**given), expected, atol=1e-6) and expected.shape == (rows, 3)
    assert torch.equal(ran(given["words"], given["there"]), ran(**given))
    assert torch.allclose(training.predict(ran, given, batch_size=2), expected, atol=1e-6)


def test_a_file_says_what_it_was_told_and_the_network_is_left_as_it_was(network, file):
    assert export.metadata(file) == {"classes": ["ä", "b", "c"]}
    assert network.training and network.drop.training
    session = export.OnnxModule(file).session
    assert [given.name for given in session.get_inputs()] == ["words", "there"]
    assert [given.shape for given in session.get_inputs()] == [["batch", "length"]] * 2
    assert session.get_outputs()[0].name == "z"


def test_a_file_says_nothing_of_the_machine_that_wrote_it(file):
    import onnx

    content = file.read_bytes()
    assert b"test_export" not in content and str(Path(__file__).parents[1]).encode() not in content
    assert b"site-packages" not in content
    onnx.checker.check_model(onnx.load(file))


def test_int8_is_nearly_the_same_in_a_quarter_and_keeps_the_head(network, file, tmp_path):
    import onnx
    from onnx import numpy_helper

    small = export.to_int8(file, tmp_path / "int8.onnx")
    given = batch(64, 10)
    expected = training.predict(network, given)
    off = (export.OnnxModule(small)(**given) - expected).abs().max()
    assert 0 < off < 0.05 * expected.std()
    assert export.metadata(small) == export.metadata(file)
    arrays = [numpy_helper.to_array(given) for given in onnx.load(small).graph.initializer]
    kinds = {tuple(array.shape): array.dtype.name for array in arrays if array.ndim == 2}
    assert kinds[16, 32] == "int8" and "int8" in kinds[50, 16]
    assert kinds.get((3, 32), kinds.get((32, 3))) == "float32"
    steps = [array for array in arrays if array.dtype.name == "float32" and array.shape == (32,)]
    largest = network.inner.weight.abs().amax(dim=1) / 127
    assert any(torch.allclose(torch.tensor(step), largest, rtol=1e-5) for step in steps)  # one a row


def test_text_encoders_are_written_with_their_padding(tmp_path):
    backbone = backbones.minilm(max_tokens=16, pretrained=False)
    backbone.module.bert.encoder.layer = backbone.module.bert.encoder.layer[:1]
    torch.manual_seed(1)
    model = transfer.Classifier(backbone.module, nn.Linear(backbone.width, 4)).eval()
    example = backbone.prepare(["one text", "another text of more words"])
    file = export.to_onnx(model, example, tmp_path / "bert.onnx", axes=("batch", "length"))
    texts = ["short", "a text that is longer than what may be read at once by the network, which cuts it"]
    given = backbone.prepare(texts)
    padded = {name: nn.functional.pad(value, (0, 9)) for name, value in given.items()}
    ran = export.OnnxModule(file)
    with torch.no_grad():
        expected = model(**given)
    assert torch.allclose(ran(**given), expected, atol=1e-5)
    assert torch.allclose(ran(**padded), expected, atol=1e-5)
    first = {name: value[:1, :3] for name, value in given.items()}  # without its padding
    assert torch.allclose(ran(**first), expected[:1], atol=1e-5)


def test_nothing_is_said_on_the_way_and_warnings_are_as_they_were(network, tmp_path, capfd):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        file = export.to_onnx(network, batch(2, 3), tmp_path / "a.onnx", axes=("batch", "length"))
        export.to_int8(file, tmp_path / "b.onnx")
    assert not caught and capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET


def test_what_cannot_be_written_or_run_gets_one_sentence(network, file, tmp_path):
    with pytest.raises(ValueError, match=r"2 entries along batch and length of words; .* \(2, 1\)\.$"):
        export.to_onnx(network, batch(2, 1), tmp_path / "a.onnx", axes=("batch", "length"))
    assert not (tmp_path / "a.onnx").exists()
    with pytest.raises(ValueError, match=r"There is no file .*a\.onnx; check the name\.$"):
        export.OnnxModule(tmp_path / "a.onnx")
    (tmp_path / "half.onnx").write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"half\.onnx is no ONNX file that can be run here"):
        export.metadata(tmp_path / "half.onnx")
    import onnx

    stranger = onnx.load(file)
    del stranger.metadata_props[:]
    onnx.save(stranger, tmp_path / "stranger.onnx")
    with pytest.raises(ValueError, match=r"stranger\.onnx was not written by this book"):
        export.metadata(tmp_path / "stranger.onnx")
    assert json.dumps(export.metadata(file))
