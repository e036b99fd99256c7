"""The networks of a life as files, and back.

What has fewer layers, units or bits than MiniLM is built again from the shapes of its tensors.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from transferbook.data import assets, files
from transferbook.learning.transfer import Classifier
from transferbook.models import compression, export
from transferbook.models.compression import QuantizedLinear
from transferbook.models.encoders import TextEncoder

BITS = 8
TABLE = "encoder.bert.embeddings.word_embeddings"


class QuantizedTable(nn.Module):
    """A table of words whose rows are stored as integers with a step each, and made floats when looked up.

    Args:
        table: shape (V, D).
    """

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        integers, scales = compression.quantize(table, BITS)
        self.register_buffer("integers", integers)
        self.register_buffer("scales", scales)

    def forward(self, words: Tensor) -> Tensor:
        """Rows (..., D) of word numbers (...)."""
        return self.integers[words] * self.scales[words].float()


def quantise(model: Classifier) -> Classifier:
    """A copy with every linear layer and the table of words in 8 bits."""
    small = copy.deepcopy(model)
    compression.replace_linear(small, lambda layer: QuantizedLinear(layer, BITS))
    embeddings = small.encoder.bert.embeddings
    embeddings.word_embeddings = QuantizedTable(embeddings.word_embeddings.weight)
    return small


def as_floats(model: Classifier) -> Classifier:
    """A copy of a quantised model with the weights that it computes with in ordinary layers."""
    plain = copy.deepcopy(model)
    for name, layer in list(plain.named_modules()):
        if isinstance(layer, QuantizedLinear):
            parent, _, child = name.rpartition(".")
            linear = nn.Linear(layer.weight.shape[1], layer.weight.shape[0])
            linear.load_state_dict({"weight": layer.weight, "bias": layer.bias})
            setattr(plain.get_submodule(parent), child, linear)
    table = plain.encoder.bert.embeddings.word_embeddings
    weights = compression.dequantize(table.integers, table.scales)
    plain.encoder.bert.embeddings.word_embeddings = nn.Embedding.from_pretrained(weights)
    return plain.eval().requires_grad_(False)


def write(model: nn.Module, path: Path) -> None:
    """Write a network's tensors as safetensors."""
    from safetensors.torch import save

    content = save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    with files.replacing(path) as file:
        file.write(content)


def write_onnx(model: Classifier, path: Path, floats: Path) -> None:
    """Write a network for ONNX Runtime: with integers of 8 bits, and before that with floats, to compare."""
    words = torch.arange(6).reshape(2, 3)
    example = {"input_ids": words, "attention_mask": torch.ones_like(words)}
    export.to_int8(export.to_onnx(model, example, floats, axes=("batch", "length")), path)


def read(path: Path) -> nn.Module:
    """The network in a file that `write` or `write_onnx` wrote, in evaluation mode; it predicts as before.

    Layers, units (as many in each layer), classes and bits follow from the tensors.
    """
    if path.suffix == ".onnx":
        return export.OnnxModule(path).eval()
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    tensors = load_file(path)
    small = "head.integers" in tensors
    ending = "integers" if small else "weight"
    layers = [name for name in tensors if name.endswith(f"intermediate.dense.{ending}")]
    table = f"{TABLE}.{ending}"
    config = AutoConfig.from_pretrained(assets.unpack("minilm"), local_files_only=True)
    config.num_hidden_layers, config.intermediate_size = len(layers), tensors[layers[0]].shape[0]
    config.vocab_size = 1 if small else len(tensors[table])  # no room for what is not needed
    classes, width = tensors[f"head.{ending}"].shape
    with torch.random.fork_rng(devices=[]):
        encoder = TextEncoder(AutoModel.from_config(config, add_pooling_layer=False))
        model = Classifier(encoder, nn.Linear(width, classes))
    if small:
        model = quantise(model)
        rows = model.get_submodule(TABLE)
        rows.integers, rows.scales = tensors[table], tensors[f"{TABLE}.scales"]
    model.load_state_dict(tensors, assign=True)
    return model.eval().requires_grad_(False)
