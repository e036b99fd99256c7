"""The commands `python -m transferbook classify train|predict|test|report`."""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transferbook.program.predictor import Model

TEXT_SUFFIXES = {".md", ".text", ".txt"}
TABLE_SUFFIXES = {".csv", ".tsv"}
AT_A_TIME = 256  # inputs


def add_to(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `classify` its four commands."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    action = actions.add_parser("train", help="train on a folder of pictures or a table of texts")
    action.add_argument("path", metavar="PATH", help="a folder with a sub-folder per class, or a CSV file")
    action.add_argument("--save", metavar="MODEL", help="the file to keep the model in")
    action.add_argument("--seconds", type=float, default=120.0, help="time for it, about (default 120)")
    action.add_argument("--text", default="text", metavar="COL", help="column of texts (default text)")
    action.add_argument("--label", default="label", metavar="COL", help="column of classes (default label)")
    action.add_argument("--group", metavar="COL", help="column of what must not be on two sides")
    action.add_argument("--size", type=int, default=224, help="pixels of a picture's side (default 224)")
    action.add_argument("--tokens", type=int, default=128, help="tokens of a text (default 128)")
    action.add_argument("--backbone", metavar="NAME", help="the network; default: the usual one")
    action.add_argument(
        "--pairs", type=int, default=64, metavar="N",
        help="also tune by pairs of texts where a class has at most N on average (default 64; 0: never)",
    )  # fmt: skip
    action.add_argument("--source", metavar="PATH", help="older examples of the same classes")
    action.add_argument("--abstain-below", type=float, default=0.0, metavar="P", help="give no class below P")
    action.add_argument("--seed", type=int, default=0, help="of all that is drawn (default 0)")
    action.set_defaults(command=run, step=_train)

    action = actions.add_parser("predict", help="classify files, folders or tables; CSV comes out")
    action.add_argument("model", metavar="MODEL", help="a file that `train --save` wrote")
    action.add_argument("inputs", metavar="FILE", nargs="+", help="pictures, texts, CSV files, or folders")
    action.add_argument("--text", metavar="COL", help="column of texts; default: as in the training")
    action.add_argument("--abstain-below", type=float, metavar="P", help="default: as in the training")
    action.add_argument("--out", metavar="CSV", help="the file to write; default: print")
    action.set_defaults(command=run, step=_predict)

    action = actions.add_parser("test", help="score a model on other labelled examples, such as newer ones")
    action.add_argument("model", metavar="MODEL", help="a file that `train --save` wrote")
    action.add_argument("path", metavar="PATH", help="a folder with a sub-folder per class, or a CSV file")
    action.add_argument("--text", metavar="COL", help="column of texts; default: as in the training")
    action.add_argument("--label", metavar="COL", help="column of classes; default: as in the training")
    action.add_argument("--abstain-below", type=float, metavar="P", help="default: as in the training")
    action.set_defaults(command=run, step=_test)

    action = actions.add_parser("report", help="write a page on a model")
    action.add_argument("model", metavar="MODEL", help="a file that `train --save` wrote")
    action.add_argument("--out", metavar="HTML", help="the page; default: MODEL with the ending .html")
    action.set_defaults(command=run, step=_report)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Warnings as lines on stderr; what the disk says as one sentence."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"Note: {message}", file=sys.stderr)
        try:
            yield
        except OSError as error:
            name = error.filename or "A file"
            raise ValueError(f"{name} cannot be read or written ({error.strerror or error}).") from error


def run(options: argparse.Namespace) -> int:
    """Run a parsed command; 0, or 1 after one sentence on stderr, or 130 where it was interrupted."""
    try:
        with _plain_errors():
            return options.step(options)
    except ValueError as error:
        hint = " Name the one that you mean, with --text or --label." if _no_column(error) else ""
        print(f"{error}{hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing was written.", file=sys.stderr)
        return 130


def _no_column(error: ValueError) -> bool:
    from transferbook.data.own_tables import NoColumnError

    return isinstance(error, NoColumnError)


def _train(options: argparse.Namespace) -> int:
    from transferbook.program import classify

    settings = classify.Settings(
        seconds=options.seconds, backbone=options.backbone, size=options.size, max_tokens=options.tokens,
        text=options.text, label=options.label, group=options.group, abstain_below=options.abstain_below,
        seed=options.seed, pairs=options.pairs,
    )  # fmt: skip
    model = classify.train(options.path, settings, save=options.save, source=options.source)
    print(model)
    print(*_verdict(model), sep="\n")
    if options.save:
        size = os.path.getsize(options.save) / 1e6
        print(f"{options.save}: {size:.1f} MB; `python -m transferbook classify report {options.save}`")
    return 0


def _verdict(model: Model) -> list[str]:
    """What the test part says of a model, beyond its scores."""
    from transferbook.program import report, verdict

    said, truth = model.evidence["test.logits"].argmax(dim=1), model.evidence["test.labels"]
    counts = report.confusion(said, truth, len(model.classes))
    return verdict.sentences(model.classes, *report.counted(counts))


def _predict(options: argparse.Namespace) -> int:
    from transferbook.program import classify

    _check_folder(options.out)
    model = classify.load(options.model)
    column = options.text or model.card["settings"]["text"]
    found = [one for given in options.inputs for one in _inputs(Path(given), model.kind, column)]
    if not found:
        raise ValueError(f"{', '.join(options.inputs)}: no {model.kind} there.")
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(["input", "label", "confidence", *(f"p({name})" for name in model.classes), "problem"])
    problems = 0
    for start in range(0, len(found), AT_A_TIME):
        rows = found[start : start + AT_A_TIME]
        for row, problem, answer in _answers(model, rows, options.abstain_below):
            problems += bool(problem)
            writer.writerow([row, *(answer or [""] * (2 + len(model.classes))), problem])
    if options.out is None:
        sys.stdout.write(lines.getvalue())
    else:
        _write(Path(options.out), lines.getvalue())
    if problems:
        said = f"{problems} of {len(found)} inputs could not be read; the last column says why."
        print(said, file=sys.stderr)
    return int(problems > 0)


def _answers(
    model: Model, rows: list[tuple[str, Any]], abstain_below: float | None
) -> Iterator[tuple[str, str, list[str] | None]]:
    """For each input its name and either what is wrong with it or the fields of its prediction."""
    whole: dict[int, Any] = {}
    problems: dict[int, str] = {}
    for number, (name, value) in enumerate(rows):
        try:
            whole[number] = _opened(model, name, value)
        except ValueError as error:
            problems[number] = str(error)
    answers: dict[int, list[str]] = {}
    if whole:
        inputs = list(whole.values())
        if model.kind == "pictures":
            import torch

            inputs = torch.stack(inputs)
        said = model.predict(inputs, abstain_below)
        fields = zip(whole, said.names, said.confidence.tolist(), said.probabilities.tolist(), strict=True)
        for number, name, sure, shares in fields:
            answers[number] = [name, f"{sure:.4f}", *(f"{share:.4f}" for share in shares)]
    for number, (name, _) in enumerate(rows):
        yield name, problems.get(number, ""), answers.get(number)


def _opened(model: Model, name: str, value: Any) -> Any:
    if model.kind == "pictures":
        import torch

        from transferbook.data.datasets import read_image

        return torch.from_numpy(read_image(value, model.reader.limit))
    if isinstance(value, Path):
        try:
            value = value.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{value} is not encoded in UTF-8; save it as UTF-8.") from error
    if not (value or "").strip():
        raise ValueError(f"{name}: the text is empty.")
    return value


def _inputs(path: Path, kind: str, column: str) -> Iterator[tuple[str, Any]]:
    """Name and content of each input below a path: a file, or the text in a row of a table."""
    if not path.exists():
        raise ValueError(f"There is no file or folder {path}; check the name.")
    if path.is_dir():
        from transferbook.data.own_listing import IMAGE_SUFFIXES

        suffixes = IMAGE_SUFFIXES if kind == "pictures" else TEXT_SUFFIXES
        inside = (file for file in path.rglob("*") if file.suffix.lower() in suffixes)
        for file in sorted(file for file in inside if not file.name.startswith(".")):
            yield str(file), file
    elif kind == "texts" and TABLE_SUFFIXES & {suffix.lower() for suffix in path.suffixes}:
        from transferbook.data.own_tables import columns_of

        (texts,) = columns_of(path, [column], None, may_be_empty=True)
        yield from ((f"{path}, row {number}", text) for number, text in enumerate(texts, start=1))
    else:
        yield str(path), path


def _test(options: argparse.Namespace) -> int:
    from transferbook.program import classify, examine

    model = classify.load(options.model)
    part = examine.labelled(model, options.path, options.text, options.label)
    print(examine.examine(model, part, options.abstain_below))
    return 0


def _report(options: argparse.Namespace) -> int:
    from transferbook.program import classify, report

    out = Path(options.out or Path(options.model).with_suffix(".html"))
    _check_folder(out)
    _write(out, report.page(classify.load(options.model)))
    print(f"{out}: open it in a browser.")
    return 0


def _check_folder(out: str | Path | None) -> None:
    """Refuse a place that cannot be written to before the work is done."""
    if out is None:
        return
    folder = Path(out).parent
    if not folder.is_dir():
        raise ValueError(f"{out} cannot be written, for there is no folder {folder}; make it first.")
    if Path(out).is_dir():
        raise ValueError(f"{out} is a folder; give the name of a file in it.")


def _write(out: Path, content: str) -> None:
    from transferbook.data import files

    with files.replacing(out) as file:
        file.write(content.encode())
