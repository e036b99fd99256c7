"""A model card and a data card in Markdown, from what the training wrote into the model's file.

Nothing is computed anew and nothing is typed: what the run does not know, the card says that it does not.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transferbook.data import assets
from transferbook.data.own_data import printable
from transferbook.evidence import intervals
from transferbook.program import verdict
from transferbook.program.predictor import Model
from transferbook.program.report import STYLE, confusion

LEFT_OUT = ("mistakes", "reader")  # of what the file says: single examples, and a list of all words


def facts(model: Model) -> dict[str, Any]:
    """What a card shows, as JSON can hold it: what the file says, and for each class what became of it.

    Args:
        model: from `classify.train` or `classify.load`.
    """
    card, reader = model.card, model.card["reader"]
    logits, labels = model.evidence["test.logits"], model.evidence["test.labels"]
    counts = confusion(logits.argmax(dim=1), labels, len(model.classes))
    reads = "words, weighted by how rare they are" if "words" in reader else reader["backbone"]
    return {name: value for name, value in card.items() if name not in LEFT_OUT} | {
        "reads": {"by": reads, "tuned": reader["tuned"], "limit": reader.get("limit")},
        "tested": counts.sum(dim=1).tolist(),
        "found": counts.diag().tolist(),
        "said": counts.sum(dim=0).tolist(),
    }


def page(path: str | Path) -> str:
    """The card of a model's file in Markdown.

    Args:
        path: what `classify train` saved, or `export` made of it; or the record of a station of a `life`.

    Raises:
        ValueError: if the file is missing, damaged, or no such model.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        return _station(path)
    about = _exported(path) if path.suffix.lower() == ".onnx" else facts(_load(path))
    content = path.read_bytes()
    parts = [
        f"# Model card: {_safe(path.stem)}",
        "Made from what the training wrote into the file; nothing here was typed by hand.",
        "## The model", _table(("", ""), _model(about, path, content)),
        "## What it was trained and tested on", _table(("", ""), _data(about)), _classes(about),
        "## How well it does", _table(("on the test part", ""), _scores(about)), _each_class(about),
        _reach(about["settings"]["seed"]),
        "## What it cost", _table(("", ""), _costs(about)),
        "## What it must not be used for", "\n".join(f"- {sentence}" for sentence in _bounds(about)),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _station(path: Path) -> str:
    """The card of a station of a life, from its record; the file beside it must be the one it tells of."""
    try:
        record = json.loads(path.read_bytes())
        file, stated, tested = path.with_name(record["file"]), record["sha256"], record["tested"]
    except FileNotFoundError as error:
        raise ValueError(f"There is no record {path}; check the name.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no record of a life that this version of the book wrote.") from error
    if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != stated:
        raise ValueError(f"{file} is not the file that {path.name} tells of; make this station anew.")
    data, network, scores = assets.lookup(record["data"]), assets.lookup("minilm"), record["scores"]
    right = {name: round(share * tested[name]) for name, share in record["recalls"].items() if tested[name]}
    recalls = {name: intervals.binomial(found, tested[name]) for name, found in right.items()}
    whole = intervals.binomial(sum(right.values()), sum(tested.values()))
    model = [
        ("Says", f"one of {len(tested)} topics of newswire stories: {', '.join(tested)}"),
        ("Station", f"{record['number']}, {record['station']}; after what has SHA-256 {record['before']}"),
        ("Begun as", f"minilm ({network.licence}; {network.source})"),
        ("File", f"{file.name}, {record['bytes']:,} bytes, SHA-256 {stated}"),
    ]
    learned = [
        ("From", data.provenance), ("Licence", data.licence), ("Split", "as the collection is split"),
        ("Settings", ", ".join(f"{name} = {value}" for name, value in record["settings"].items())),
    ]  # fmt: skip
    fared = [
        ("Accuracy", _bracketed(whole, 3)), ("Calibration error", f"{scores['calibration_error']:.3f}"),
        ("Rare topics found", f"{scores['rare_recall']:.3f}, the mean of the rarest in training"),
        ("Decides otherwise", f"than the station before it on {scores['changed']:.1%} of the stories"),
    ]  # fmt: skip
    each = [(name, tested[name], _bracketed(recall, 2)) for name, recall in recalls.items()]
    parts = [
        f"# Model card: {_safe(path.stem)}",
        "Made from the record that the program wrote when it made the file; nothing here was typed by hand.",
        "## The model", _table(("", ""), model),
        "## What it was trained and tested on", _table(("", ""), learned),
        "## How well it does", _table(("on the test part", ""), fared),
        _table(("topic", "tested", "share found"), each), _reach(record["seed"]),
        "## What it must not be used for",
        f"- Stories of another origin or time than those above.\n- {_worst(recalls)}\n"
        "- Comparisons by less than these intervals, unless the same stories are looked at one by one.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def as_html(text: str) -> str:
    """A card as one HTML page, with the style of the report."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    title = re.match(r"# (.*)", text)[1]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body>{body}</body></html>\n"
    )


def _load(path: Path) -> Model:
    from transferbook.program import predictor

    return predictor.load(path)


def _exported(path: Path) -> dict[str, Any]:
    from transferbook.models import export

    known = export.metadata(path).get("card")
    if known is None:
        raise ValueError(f"{path} holds no card; export the model again with this version of the book.")
    return known


def _model(about: Mapping[str, Any], path: Path, content: bytes) -> Iterable[tuple[str, str]]:
    by, tuned = about["reads"]["by"], about["reads"]["tuned"]
    known = assets.catalogue().get(by)
    network = by if known is None else f"{by} ({known.licence}; {known.source})"
    yield "Says", f"one of {len(about['classes'])} classes of {about['kind']}: {', '.join(about['classes'])}"
    below = about["settings"]["abstain_below"]
    yield "Abstains", f"below a probability of {below:g}" if below else "never"
    yield "Reads by", network + (", trained further" if tuned else "")
    unit = "tokens" if about["kind"] == "texts" else "pixels of a picture's side"
    if about["reads"]["limit"]:
        yield "Reads", f"{about['reads']['limit']} {unit}; what is beyond is cut off or scaled down"
    tried = len(about["candidates"])
    yield "Method", f"{about['method']}, the best of {tried} by {about['measure']} on validation"
    yield "File", f"{path.name}, {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}"
    if path.suffix.lower() == ".onnx":
        yield "Exported", "all numbers below are those of the model that it was made from"
    yield "Versions", ", ".join(f"{name} {value}" for name, value in about["versions"].items())


def _data(about: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    data, group = about["data"], about["settings"]["group"]
    totals = {side: sum(counts) for side, counts in data["counts"].items()}
    asset = next((one for one in assets.catalogue().values() if one.provenance == data["from"]), None)
    yield "From", data["from"]
    yield "Licence", "not known here; it is that of whoever gave the data" if asset is None else asset.licence
    yield "Hash", f"SHA-256 {data['sha256']} of all examples and labels" if "sha256" in data else "not kept"
    learned = totals["train"] + totals.get("source", 0)
    choose, score = totals["valid"], totals["test"]
    yield "Labels", f"{learned:,} to learn from, {choose:,} to choose by, {score:,} to score once"
    unit = f"whole groups of the column {group}" if group else "by single examples, or as the data came"
    yield "Split", unit
    yield "Left out", " ".join(data["left_out"]) or "nothing"


def _classes(about: Mapping[str, Any]) -> str:
    counts = about["data"]["counts"]
    return _table(("examples", *counts), zip(about["classes"], *counts.values(), strict=True))


def _scores(about: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    test = about["test"]
    share = intervals.Interval(*test["accuracy"], test["n"], "test examples", "Wilson score interval")
    yield "Accuracy", _bracketed(share, 3)
    largest = max(about["tested"]) / test["n"]
    yield "Always the most frequent class", f"{largest:.3f}"
    yield "Macro F1", f"{test['f1']:.3f}"
    yield "Calibration error", f"{test['calibration_error']:.3f}"
    if test["abstained"]:
        right = test["accuracy_of_given"]
        rest = "" if right is None else f"; {right:.1%} of the others are right"
        yield "Abstains", f"on {test['abstained']:.1%}{rest}"


def _recalls(about: Mapping[str, Any]) -> dict[str, intervals.Interval]:
    """Of each class that was tested, the share that was found."""
    shares = verdict.recalls(about["found"], about["tested"])
    return {about["classes"][row]: share for row, share in shares.items()}


def _each_class(about: Mapping[str, Any]) -> str:
    rows = []
    recalls = _recalls(about)
    for row, name in enumerate(about["classes"]):
        found, tested, said = (about[key][row] for key in ("found", "tested", "said"))
        recall = recalls.get(name)
        share = "not tested" if recall is None else _bracketed(recall, 2)
        rows.append((name, tested, share, f"{found / said:.2f}" if said else "never said"))
    return _table(("class", "tested", "share found", "share right where said"), rows)


def _reach(seed: int) -> str:
    return (
        "In brackets: 95 % intervals over test examples. It was trained once, with the seed "
        f"{seed}; what another seed or other labels would change, they do not say."
    )


def _bracketed(share: intervals.Interval, digits: int) -> str:
    return f"{share.mean:.{digits}f} [{share.low:.{digits}f}, {share.high:.{digits}f}]"


def _worst(recalls: Mapping[str, intervals.Interval]) -> str:
    worst = min(recalls, key=lambda name: recalls[name].mean)
    low, high = recalls[worst].low, recalls[worst].high
    return (
        f'Uses in which it does harm to miss "{_safe(worst)}", the class that it finds least often: '
        f"{recalls[worst].mean:.0%} [{low:.0%}, {high:.0%}]."
    )


def _costs(about: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    on, tried = about["versions"]["device"], about["candidates"]
    yield "Trained", f"{about['trained']}, in {about['seconds']:.0f} seconds on this kind of device: {on}"
    yield "Candidates", f"{len(tried)}, in {sum(one['seconds'] for one in tried):.0f} seconds"


def _bounds(about: Mapping[str, Any]) -> Iterable[str]:
    """What the run itself gives reason to warn of."""
    kind, recalls = about["kind"], _recalls(about)
    yield f"{kind.capitalize()} of another origin than those above: the scores say nothing of them."
    yield "Anything that is in none of its classes: it names one of them all the same" + (
        ", unless it abstains." if about["settings"]["abstain_below"] else "."
    )
    yield _worst(recalls)
    counts = zip(about["classes"], about["tested"], strict=True)
    few = [f'"{_safe(name)}"' for name, count in counts if count < verdict.FEW]
    if few:
        yield f"Promises about {', '.join(few)}: fewer than {verdict.FEW} test examples stand behind each."
    if not verdict.beats_one_answer(about["found"], about["tested"]):
        yield "Any use at all, yet: it is not surely better than always naming the most frequent class."
    yield "Decisions about people that nobody can have looked at again: it gives no reasons."


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *([_safe(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _safe(value: Any) -> str:
    """A name or number as Markdown that shows it and does nothing else, in one line."""
    said = f"{value:,}" if isinstance(value, int) else " ".join(printable(str(value)).split())
    said = said.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", said)
