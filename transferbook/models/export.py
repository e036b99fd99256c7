"""A network as an ONNX file, which runs where there is no torch: written, made smaller, and run again.

ONNX says which operations are done on which numbers; ONNX Runtime does them. What the network does not say of
itself, such as the names of its classes, goes into the file's metadata as JSON.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transferbook.data import files

__all__ = ["OnnxModule", "metadata", "to_int8", "to_onnx"]

KEY = "transferbook"  # of what is known of the network, in the file's metadata


def to_onnx(
    module: nn.Module, example: Mapping[str, Tensor], path: str | os.PathLike[str], *,
    axes: Sequence[str] = ("batch",), output: str = "logits", known: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    """Write what a network computes, with its weights, as one ONNX file.

    Torch runs the network once on `example` with sizes that are letters instead of numbers, and writes down
    every operation.

    Args:
        module: called as `module(**example)`; it is written as it works in evaluation.
        example: inputs by name; the first axes of each, as many as `axes` names, have at least two entries
            (an axis of one may be taken for one that always has one).
        path: the file; one that is there is replaced when the new one is whole.
        axes: names of the leading axes, alike in all inputs, whose length may be another in each call.
        output: name of the result.
        known: what `metadata` is to return, as JSON can hold it.

    Returns:
        `path`.

    Raises:
        ValueError: if an input has too few axes or entries.
    """
    import onnx

    for name, tensor in example.items():
        if tensor.ndim < len(axes) or min(tensor.shape[: len(axes)]) < 2:
            raise ValueError(
                f"to_onnx needs at least 2 entries along {' and '.join(axes)} of {name}; its shape is "
                f"{tuple(tensor.shape)}."
            )
    modes = {part: part.training for part in module.modules()}
    varying = dict(enumerate(axes))
    try:
        with _quiet():
            program = torch.onnx.export(
                _ByName(module.eval()), (), kwargs={"inputs": dict(example)}, input_names=list(example),
                dynamic_shapes={"inputs": {name: dict(varying) for name in example}}, dynamo=True,
                output_names=[output], verbose=False,
            )  # fmt: skip
    finally:
        for part, mode in modes.items():
            part.training = mode
    proto = _without_places(program.model_proto)
    onnx.helper.set_model_props(proto, {KEY: json.dumps(known or {}, ensure_ascii=False)})
    with files.replacing(Path(path)) as file:
        file.write(proto.SerializeToString())
    return Path(path)


class _ByName(nn.Module):
    """Takes one dict, whose sizes every version of torch lets vary, also where a network takes `**named`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.module(**inputs)


def to_int8(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """Write an ONNX file again with its matrices, kernels and tables as integers of 8 bits.

    ONNX Runtime's *dynamic* quantisation: weights are rounded now, to steps of their own for each output,
    activations in each call, to steps that its numbers ask for; then products are those of integers.
    Processors without instructions for that (VNNI) are slower, and may add up to other last digits. The last
    matrix, a classifier's head, stays as it is: it is small, and its errors would meet nothing to even out.

    Args:
        path: from `to_onnx`.
        out: the file to write; what is known of the network goes along.

    Returns:
        `out`.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    products = [node.name for node in onnx.load(path).graph.node if node.op_type in ("Gemm", "MatMul")]
    last = [name + ending for name in products[-1:] for ending in ("", "_MatMul")]  # a Gemm gets a new name
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        made = Path(scratch) / "int8.onnx"
        quantize_dynamic(
            path, made, per_channel=True, weight_type=QuantType.QInt8, nodes_to_exclude=last
        )  # fmt: skip
        with files.replacing(Path(out)) as file:
            file.write(made.read_bytes())
    return Path(out)


def metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What is known of the network in an ONNX file; empty if `to_onnx` was told nothing.

    Raises:
        ValueError: if the file is missing, damaged, or was not written by `to_onnx`.
    """
    known = OnnxModule(path).session.get_modelmeta().custom_metadata_map
    if KEY not in known:
        raise ValueError(f"{os.fspath(path)} was not written by this book: it says nothing of its network.")
    return json.loads(known[KEY])


class OnnxModule(nn.Module):
    """An ONNX file that is called like the network that was written to it.

    It has no parameters and cannot be trained; `training.predict` takes it as it takes any network.

    Args:
        path: of the file.
        threads: that one call may use.

    Raises:
        ValueError: if the file is missing or no ONNX file that can be run.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 1) -> None:
        import onnxruntime

        super().__init__()
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"There is no file {file}; check the name.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common class but this one
            raise ValueError(f"{file} is no ONNX file that can be run here, or is damaged.") from error
        self.names = [given.name for given in self.session.get_inputs()]

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """The network's result, in float32 on the CPU; inputs in the order of the file or by name."""
        named = dict(zip(self.names, inputs, strict=False)) | named
        (result,) = self.session.run(None, {name: named[name].cpu().numpy() for name in self.names})
        return torch.from_numpy(result)


def _without_places(proto: Any) -> Any:
    """The model without the exporter's notes on each operation, which name folders of this machine.

    The shapes of weights go too: each weight says its own, and ONNX Runtime 1.23 turns a matrix for `to_int8`
    without turning what is noted of it.
    """
    weights = {weight.name for weight in proto.graph.initializer}
    computed = [noted for noted in proto.graph.value_info if noted.name not in weights]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(computed)
    parts = [*proto.graph.input, *proto.graph.output]
    for graph in (proto.graph, *proto.functions):
        parts += [*graph.node, *graph.value_info]
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes that the exporters write for their own authors; errors come through."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
