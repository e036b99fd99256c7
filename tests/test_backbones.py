"""Backbones: parity with their libraries, the mapped weights proven on photographs, and honest loading."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.testing import assert_close

from transferbook.data import assets
from transferbook.models import backbones

TEXTS = [
    "A film to love.",
    "Dull.",
    "It is long, it is loud, and nobody in it seems to know why they are there.",
]


@pytest.fixture(scope="module")
def photographs() -> list[torch.Tensor]:
    """China (a palace) and flower, (1, 3, 427, 640) uint8 each."""
    from sklearn.datasets import load_sample_images

    return [torch.tensor(image.copy()).permute(2, 0, 1)[None] for image in load_sample_images().images]


@pytest.fixture(scope="module")
def minilm() -> backbones.Backbone:
    return backbones.minilm()


@pytest.fixture(scope="module")
def lite0() -> backbones.Backbone:
    return backbones.efficientnet_lite0()


def covered(encoder) -> list[int]:
    return [id(p) for stage in encoder.stages() for module in stage for p in module.parameters()]


# Text


@torch.no_grad()
def test_minilm_agrees_with_transformers_mean_pooling(minilm):
    from transformers import AutoModel, AutoTokenizer

    folder = assets.unpack("minilm")
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    batch = minilm.prepare(TEXTS)
    features = minilm.module(**batch)
    assert features.shape == (3, minilm.width) == (3, 384)
    for text, feature in zip(TEXTS, features, strict=True):
        alone = tokenizer(text, return_tensors="pt")
        assert_close(feature, model(**alone).last_hidden_state[0].mean(0), atol=2e-6, rtol=1e-4)


@torch.no_grad()
def test_minilm_knows_which_sentences_mean_the_same(minilm):
    texts = ["The movie was wonderful.", "I loved this film.", "The stock market fell on Monday."]
    features = torch.nn.functional.normalize(minilm.module(**minilm.prepare(texts)))
    similarity = features @ features.T
    assert similarity[0, 1] > 0.6 > 0.2 > similarity[0, 2]


@torch.no_grad()
def test_padding_changes_nothing_and_is_dropped(minilm):
    batch = minilm.prepare(TEXTS)
    padded = {name: torch.nn.functional.pad(tensor, (0, 40)) for name, tensor in batch.items()}
    seen = []
    handle = minilm.module.bert.register_forward_hook(
        lambda module, args, kwargs, output: seen.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    assert_close(minilm.module(**padded), minilm.module(**batch))
    handle.remove()
    assert seen == [batch["input_ids"].shape[1]] * 2


def test_prepare_pads_to_the_longest_and_truncates():
    batch = backbones.minilm(max_tokens=8, pretrained=False).prepare(TEXTS)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (3, 8)
    assert batch["attention_mask"].sum(1).tolist() == [7, 4, 8]
    assert batch["input_ids"][:, 0].tolist() == [101] * 3 and batch["input_ids"][2, -1] == 102  # [CLS], [SEP]


@pytest.mark.parametrize("texts", ["a text that is not in a list", []])
def test_prepare_refuses_what_is_no_list_of_texts(minilm, texts):
    with pytest.raises(ValueError, match="prepare needs a list of at least one text"):
        minilm.prepare(texts)


@pytest.mark.parametrize("max_tokens", [2, 513])
def test_max_tokens_out_of_range_is_refused(max_tokens):
    with pytest.raises(ValueError, match=f"max_tokens is {max_tokens}; minilm takes from 3 to 512"):
        backbones.minilm(max_tokens=max_tokens)


def test_loading_is_silent_and_leaves_transformers_settings_alone(capfd):
    from transformers.utils import logging

    logging.set_verbosity_info()
    try:
        backbones.minilm()
        assert logging.get_verbosity() == logging.INFO and logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity_warning()
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


# Images


@torch.no_grad()
def test_lite0_recognises_two_photographs(lite0, photographs):
    found = []
    for photograph in photographs:
        logits = lite0.source_head(lite0.module(lite0.prepare(photograph)))
        probability, label = logits.softmax(-1).max(-1)
        found.append((lite0.source_classes[int(label)], probability.item()))
    assert [name for name, _ in found] == ["palace", "daisy"]
    assert min(probability for _, probability in found) > 0.25


@torch.no_grad()
def test_lite0_preprocessing_agrees_with_timm(lite0, photographs):
    import timm
    from PIL import Image
    from timm.data import create_transform, resolve_model_data_config

    transform = create_transform(**resolve_model_data_config(timm.create_model("tf_efficientnet_lite0")))
    theirs = transform(Image.fromarray(photographs[0][0].permute(1, 2, 0).numpy()))
    ours = lite0.prepare(photographs[0])[0]
    assert ours.shape == theirs.shape == (3, 224, 224)
    assert_close(ours, theirs, atol=2 * 2 / 255, rtol=0)  # two grey levels


def test_image_size_and_crop_are_arguments():
    backbone = backbones.efficientnet_lite0(size=64, crop=1.0, pretrained=False)
    framed = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    framed[:, :, :, :4] = 255
    prepared = backbone.prepare(framed)
    assert prepared.shape == (2, 3, 64, 64)
    assert (prepared[:, :, :, :4] > 0.9).all() and (prepared[:, :, :, 20:] < -0.9).all()  # the border is kept
    assert backbone.module(prepared).shape == (2, 1280) == (2, backbone.width)


def test_grey_images_become_three_equal_channels(lite0):
    grey = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    prepared = lite0.prepare(grey)
    assert prepared.shape == (2, 3, 224, 224)
    assert torch.equal(prepared[:, 0], prepared[:, 1]) and torch.equal(prepared[:, 0], prepared[:, 2])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, 8, 8), r"got torch\.float32 of shape \(2, 3, 8, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"got torch\.uint8 of shape \(3, 8, 8\)"),
        (torch.zeros(2, 8, 8, 3, dtype=torch.uint8), r"got torch\.uint8 of shape \(2, 8, 8, 3\)"),
    ],
)
def test_prepare_refuses_what_are_no_images(lite0, images, message):
    with pytest.raises(ValueError, match=message):
        lite0.prepare(images)


@pytest.mark.parametrize("settings", [{"size": 16}, {"crop": 0.0}, {"crop": 1.1}])
def test_impossible_image_settings_are_refused(settings):
    with pytest.raises(ValueError, match=r"must be at least 32 and crop .* above 0 and at most 1"):
        backbones.efficientnet_lite0(pretrained=False, **settings)


# Both


@pytest.mark.parametrize("make", [backbones.minilm, backbones.efficientnet_lite0, backbones.resnet50])
def test_random_weights_depend_on_the_seed_alone(make):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, again, other = (make(pretrained=False, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)  # the global random state is as it was
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.provenance == "random weights, seed 1" and first.source_head is None
    assert not first.module.training


def test_stages_cover_every_parameter_once(minilm, lite0):
    for backbone, stages in ((minilm, 7), (lite0, 9), (backbones.resnet50(pretrained=False), 5)):
        encoder = backbone.module
        assert len(encoder.stages()) == stages
        assert covered(encoder) == [id(p) for p in encoder.parameters()]  # and in the order of the network
        assert backbone.parameters == sum(p.numel() for p in encoder.parameters())
    assert minilm.parameters == 22_565_376 and lite0.parameters == 3_371_008


def test_stages_survive_a_copy(lite0):
    encoder = copy.deepcopy(lite0.module)
    assert covered(encoder) == [id(p) for p in encoder.parameters()]


def test_fingerprint_follows_weights_and_settings(minilm, lite0):
    backbone = backbones.efficientnet_lite0()
    before = backbone.fingerprint
    assert before == lite0.fingerprint != backbones.efficientnet_lite0(crop=1.0).fingerprint
    backbone.module.network.bn1.running_mean[0] += 1e-6
    assert backbone.fingerprint != before
    assert backbones.minilm(max_tokens=32).fingerprint != minilm.fingerprint


def test_each_call_makes_a_module_of_its_own(minilm):
    other = backbones.minilm()
    with torch.no_grad():
        next(other.module.parameters()).zero_()
    assert next(minilm.module.parameters()).any()


# Scale full, offline: the libraries' own loading code on local checkpoints in their own formats


@pytest.fixture
def tiny_bert(tmp_path):
    """A folder with a BERT of width 16, saved by transformers with its masked-language head."""
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    config = BertConfig(
        vocab_size=9, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=20,
    )  # fmt: skip
    torch.manual_seed(3)
    model = BertForMaskedLM(config)
    model.save_pretrained(tmp_path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "film"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path)
    return tmp_path, model.eval()


@torch.no_grad()
def test_bert_base_loads_a_checkpoint_of_transformers(tiny_bert):
    folder, model = tiny_bert
    backbone = backbones.bert_base(folder, max_tokens=6)
    batch = backbone.prepare(["a good film", "bad", "a bad film a bad film a bad film"])
    assert batch["input_ids"].tolist() == [[2, 5, 6, 8, 3, 0], [2, 7, 3, 0, 0, 0], [2, 5, 7, 8, 5, 3]]
    hidden = model.bert(**batch).last_hidden_state
    features = backbone.module(**batch)
    assert features.shape == (3, backbone.width) == (3, 16) and len(backbone.module.stages()) == 4
    for row, length in enumerate((5, 3, 6)):
        assert_close(features[row], hidden[row, :length].mean(0))


def test_bert_base_refuses_a_checkpoint_that_lacks_weights(tiny_bert):
    from safetensors.torch import load_file, save_file

    folder, _ = tiny_bert
    weights = load_file(folder / "model.safetensors")
    weights.pop("bert.encoder.layer.1.output.dense.bias")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 weights of bert_base, such as encoder\.layer\.1\.output"):
        backbones.bert_base(folder, max_tokens=6)


@pytest.fixture
def resnet_checkpoint(tmp_path, monkeypatch):
    """torch's cache with a file under the name that torchvision looks for; yields the network saved in it."""
    from torchvision import models

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(4)
    network = models.resnet50(weights=None).eval()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / "resnet50-0676ba61.pth")
    return network


@torch.no_grad()
def test_resnet50_loads_a_checkpoint_of_torchvision(resnet_checkpoint, photographs):
    from PIL import Image
    from torchvision.models import ResNet50_Weights

    backbone = backbones.resnet50()
    pixels = backbone.prepare(photographs[0])
    image = Image.fromarray(photographs[0][0].permute(1, 2, 0).numpy())
    assert_close(pixels[0], ResNet50_Weights.IMAGENET1K_V1.transforms()(image), atol=0.04, rtol=0)
    pixels = pixels.double()  # in float32 the two layouts in memory round differently on some processors
    features = backbone.module.double()(pixels)
    assert features.shape == (1, backbone.width) == (1, 2048)
    assert_close(backbone.source_head.double()(features), resnet_checkpoint.double()(pixels))
    assert len(backbone.source_classes) == 1000


def test_resnet50_without_weights_or_network_says_so(tmp_path, monkeypatch):
    import urllib.error

    def unreachable(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    with pytest.raises(
        OSError, match=r"ResNet-50's weights are neither in .* no route to host.*network once"
    ):
        backbones.resnet50()
