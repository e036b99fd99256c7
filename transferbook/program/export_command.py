"""The command `python -m transferbook export MODEL [OUT.onnx]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from transferbook.program import commands


def add_to(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `export` its arguments."""
    parser.add_argument("model", metavar="MODEL", help="a file that `classify train --save` wrote")
    parser.add_argument("out", metavar="OUT", nargs="?", help="default: MODEL with the ending .onnx")
    parser.add_argument("--int8", action="store_true", help="weights of 8 bits instead of 32")
    parser.add_argument(
        "--on", metavar="FILE", nargs="+",
        help="compare on these inputs; default: on the test examples that the model keeps",
    )  # fmt: skip
    parser.add_argument("--text", metavar="COL", help="column of texts; default: as in the training")
    parser.set_defaults(command=commands.run, step=_export)


def _export(options: argparse.Namespace) -> int:
    import torch

    from transferbook.program import exported
    from transferbook.program.predictor import load

    out = Path(options.out or Path(options.model).with_suffix(".onnx"))
    if out.suffix.lower() != ".onnx":
        raise ValueError(f"{out} has another ending than .onnx; give it that one.")
    commands._check_folder(out)
    model = load(options.model)
    if options.on:
        column = options.text or model.card["settings"]["text"]
        found = [one for given in options.on for one in commands._inputs(Path(given), model.kind, column)]
        inputs = [commands._opened(model, name, value) for name, value in found]
        if not inputs:
            raise ValueError(f"{', '.join(options.on)}: no {model.kind} there.")
        inputs = torch.stack(inputs) if model.kind == "pictures" else inputs
    else:
        inputs = exported.kept_examples(model)
    check = exported.export_model(model, out, inputs, int8=options.int8)
    print(f"{out}: {check.after / 1e6:.1f} MB, classes {', '.join(model.classes)}")
    if exported.tokenizer_of(model) is not None:
        print(f"{exported.tokenizer_file(out)}: its tokenizer")
    if options.int8:
        print(f"{check.before / 1e6:.1f} MB with weights of 32 bits, {check.after / 1e6:.1f} MB with 8")
    count = f"{check.examples} {'given' if options.on else 'kept'} examples"
    said = f"otherwise on {check.changed} of the {count}" if check.changed else f"alike on all {count}"
    print(f"decides {said}; probabilities differ by at most {check.largest:.1e}")
    return 0
