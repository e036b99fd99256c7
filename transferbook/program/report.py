"""A page on one model: what it is, how well it does, what it gets wrong and what it has not seen.

One HTML file that asks nothing of the network: pictures are inside it, drawings are SVG.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from transferbook.program import verdict
from transferbook.program.calibration import Bin, reliability
from transferbook.program.predictor import Model

MOST_CLASSES = 25  # of a confusion matrix; with more, the pairs that are confused most are listed
PAIRS = 20
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.25rem .6rem;border:1px solid #ccc;text-align:left}
td.n{text-align:right}caption{text-align:left;color:#444;padding-bottom:.3rem}
figure{display:inline-block;vertical-align:top;width:11rem;margin:.5rem}figcaption{font-size:.85rem}
.wide{overflow-x:auto}
"""


def page(model: Model) -> str:
    """The report of a model as one HTML page, from what its file holds; nothing is computed anew.

    Args:
        model: from `classify.train` or `classify.load`.
    """
    card, test = model.card, model.card["test"]
    logits, labels = model.evidence["test.logits"], model.evidence["test.labels"]
    probabilities = (logits.double() / card["temperature"]).softmax(dim=1)
    title = f"A classifier of {card['kind']}: {card['data']['name']}"
    confused = confusion(probabilities.argmax(dim=1), labels, len(model.classes))
    parts = [
        f"<h1>{_safe(title)}</h1>",
        "<h2>In short</h2>",
        _table("", ["", ""], _summary(card, test)),
        f"<p>{_safe(' '.join(verdict.sentences(model.classes, *counted(confused))))}</p>",
        "<h2>What is taken for what</h2>",
        _confusion(confused, model.classes),
        "<h2>How far its probabilities can be trusted</h2>",
        _calibration(reliability(probabilities, labels), test),
        "<h2>The surest mistakes</h2>",
        _mistakes(model),
        "<h2>The data</h2>",
        _data(card),
        "<h2>What was tried</h2>",
        _candidates(card),
        "<h2>How it was made</h2>",
        _table("", ["", ""], _making(card)),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_safe(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n<body>'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def confusion(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts (C, C) of test examples by true class (rows) and predicted class (columns)."""
    return torch.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def counted(confused: Tensor) -> tuple[list[int], list[int]]:
    """Of counts (C, C), how many examples of each class were named rightly, and how many there are."""
    return confused.diag().tolist(), confused.sum(dim=1).tolist()


def _summary(card: Any, test: Any) -> list[tuple[str, str]]:
    mean, low, high = test["accuracy"]
    below, given = card["settings"]["abstain_below"], test["accuracy_of_given"]
    rows = [
        ("Method", card["method"]),
        ("Test accuracy", f"{mean:.3f}, 95 % interval [{low:.3f}, {high:.3f}], {test['n']:,} examples"),
        ("Macro F1", f"{test['f1']:.3f}"),
        ("Calibration error", f"{test['calibration_error']:.3f}: so far apart, on average, are a probability "
         "and the share that is right"),
    ]
    if below > 0:
        right = "" if given is None else f"; {given:.1%} of the others are right"
        rows.append(("Abstains", f"on {test['abstained']:.1%}, below a probability of {below:g}{right}"))
    return rows


def _confusion(counts: Tensor, classes: Sequence[str]) -> str:
    if len(classes) > MOST_CLASSES:
        wrong = counts.clone().fill_diagonal_(0).flatten()
        most = wrong.argsort(descending=True, stable=True)[:PAIRS].tolist()
        pairs = [(divmod(index, len(classes)), int(wrong[index])) for index in most if wrong[index]]
        rows = [(classes[true], classes[said], count) for (true, said), count in pairs]
        return _table("The pairs that are confused most.", ["true", "predicted", "times"], rows)
    head = "".join(f'<th scope="col">{_safe(name)}</th>' for name in classes)
    body = ""
    for name, row in zip(classes, counts.tolist(), strict=True):
        cells = ""
        for count in row:
            share = count / max(1, sum(row))
            ink = "#fff" if share > 0.5 else "#222"
            shade = f"background:rgba(8,81,156,{share:.2f});color:{ink}"
            cells += f'<td class="n" style="{shade}">{count}</td>'
        recall = row[classes.index(name)] / max(1, sum(row))
        body += f'<tr><th scope="row">{_safe(name)}</th>{cells}<td class="n">{recall:.2f}</td></tr>'
    return (
        '<div class="wide"><table><caption>Test examples by true class (rows) and predicted class (columns), '
        "and the share of each row that is found.</caption>"
        f"<tr><td></td>{head}<th>found</th></tr>{body}</table></div>"
    )


def _calibration(bins: Iterable[Bin], test: Any) -> str:
    side, dots, rows = 260, "", []
    for found in bins:
        x, y = 40 + found.confidence * side, 10 + (1 - found.accuracy) * side
        radius = 3 + 12 * (found.count / test["n"]) ** 0.5
        dots += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="#0072B2" fill-opacity="0.6"/>'
        rows.append((f"{found.confidence:.2f}", f"{found.accuracy:.2f}", found.count))
    drawing = (
        f'<svg width="{side + 60}" height="{side + 60}" role="img" aria-label="Accuracy against '
        'confidence, one dot for each tenth of confidence; on the diagonal, probabilities are right.">'
        f'<rect x="40" y="10" width="{side}" height="{side}" fill="none" stroke="#666"/>'
        f'<line x1="40" y1="{side + 10}" x2="{side + 40}" y2="10" stroke="#999" stroke-dasharray="4"/>{dots}'
        f'<text x="40" y="{side + 28}">0</text><text x="{side + 32}" y="{side + 28}">1</text>'
        f'<text x="{side // 2}" y="{side + 48}">confidence</text>'
        f'<text x="24" y="20">1</text><text x="12" y="{side // 2 + 40}" '
        f'transform="rotate(-90 20 {side // 2 + 40})">accuracy</text></svg>'
    )
    note = "<p>Below the diagonal the model is surer than it is right, above it less sure.</p>"
    return note + drawing + _table("", ["mean confidence", "share right", "examples"], rows)


def _mistakes(model: Model) -> str:
    classes, shown = model.classes, model.card["mistakes"]
    if not shown:
        return "<p>It made no mistake on the test part.</p>"
    pictures = model.evidence.get("mistakes.pictures")
    if pictures is None:
        rows = [
            (classes[m["truth"]], classes[m["said"]], f"{m['confidence']:.2f}", m["text"]) for m in shown
        ]
        return _table("", ["true", "predicted", "probability", "beginning of the text"], rows)
    figures = ""
    for mistake, picture in zip(shown, pictures, strict=True):
        said, truth = _safe(classes[mistake["said"]]), _safe(classes[mistake["truth"]])
        figures += (
            f'<figure><img src="{_data_address(picture)}" width="160" alt="A picture of {truth}">'
            f"<figcaption>{said} ({mistake['confidence']:.2f}), but {truth}<br>{_safe(mistake['place'])}"
            "</figcaption></figure>"
        )
    return figures


def _data(card: Any) -> str:
    counts = card["data"]["counts"]
    rows = [(name, *numbers) for name, *numbers in zip(card["classes"], *counts.values(), strict=True)]
    rows.append(("all", *(sum(numbers) for numbers in counts.values())))
    left_out = "".join(f"<li>{_safe(sentence)}</li>" for sentence in card["data"]["left_out"])
    noted = "<p>Nothing was left out.</p>"
    if left_out:
        noted = f"<p>What was left out, and what is to be known of the rest:</p><ul>{left_out}</ul>"
    return f"<p>{_safe(card['data']['from'])}.</p>" + _table("", ["class", *counts], rows) + noted


def _candidates(card: Any) -> str:
    rows = [
        (c["name"], *(f"{c[key]:.3f}" for key in ("accuracy", "f1", "nll")), f"{c['seconds']:.1f}")
        for c in card["candidates"]
    ]
    words = "macro F1, for the classes are unequal" if card["measure"] == "f1" else "accuracy"
    caption = f"Scores on the validation part. Chosen by {words}; among equals, by the likelihood."
    return _table(caption, ["candidate", "accuracy", "macro F1", "neg. log-likelihood", "seconds"], rows)


def _making(card: Any) -> list[tuple[str, str]]:
    reader, settings = card["reader"], card["settings"]
    if "words" in reader:
        reads = f"{len(reader['words']):,} words, weighted by rarity"
    else:
        reads = f"{reader['backbone']} {reader['fingerprint'][:12]}…: {reader['preprocessing']}"
    return [
        ("Reads", reads),
        ("Trained", f"{card['trained']}, in {card['seconds']:.0f} seconds"),
        ("Temperature", f"{card['temperature']:.2f}, by which its logits are divided for the probabilities"),
        ("Settings", ", ".join(f"{name} = {value}" for name, value in settings.items())),
        ("Versions", ", ".join(f"{name} {value}" for name, value in card["versions"].items())),
        ("Good for", f"{card['kind']} like those that it was trained on; the scores say nothing of others."),
    ]


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    titles = "".join(f'<th scope="col">{_safe(name)}</th>' for name in head)
    top = f"<tr>{titles}</tr>" if any(head) else ""
    body = ""
    for first, *others in rows:
        cells = "".join(f'<td{_kind(value)}>{_safe(value)}</td>' for value in others)
        body += f'<tr><th scope="row">{_safe(first)}</th>{cells}</tr>'
    heading = f"<caption>{_safe(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{heading}{top}{body}</table></div>'


def _kind(value: Any) -> str:
    return ' class="n"' if isinstance(value, int) else ""


def _safe(value: Any) -> str:
    return html.escape(f"{value:,}" if isinstance(value, int) else str(value))


def _data_address(picture: Tensor) -> str:
    """A uint8 picture (3, H, W) as the address of a PNG that is inside the page."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
