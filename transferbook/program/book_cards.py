"""The cards of what the book itself trains: a model card for each study, a data card for each set.

Scores, seeds and times come from the studies' recorded rows, licences from the catalogue; what no run can
know stands in `data/cards.toml`. `python -m transferbook catalogue` writes them into `book/cards.md`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transferbook.data import assets
from transferbook.evidence import intervals, studies
from transferbook.program.card import _bracketed

FACTS = Path(assets.__file__).with_name("cards.toml")
TRAINED_ON = ("data", "table", "corpus")  # kinds of assets
MODEL = ("title", "studies", "sets", "chapter", "purpose", "learned", "never")
SET = ("unit", "within", "without", "leaks", "errors")
DIGITS = 3


def facts() -> dict[str, dict[str, dict[str, Any]]]:
    """What `cards.toml` says: `models` and `sets`, by name."""
    return tomllib.loads(FACTS.read_text(encoding="utf-8"))


def known_sets() -> dict[str, dict[str, Any]]:
    """Every set that can be trained on, but the reader's own: its title and licence, by name."""
    table = tomllib.loads(Path(assets.__file__).with_name("assets.toml").read_text(encoding="utf-8"))
    every = {name: vars(asset) for name, asset in assets.catalogue().items()} | table["also"]
    return {name: one for name, one in every.items() if one["kind"] in TRAINED_ON and name != "own"}


def problems(said: Mapping[str, Any], sets: Sequence[str], names: Sequence[str]) -> list[str]:
    """What is missing, or is too much, in what is said of models and sets; empty if nothing is.

    Args:
        said: as from `facts`.
        sets: the sets that need a data card.
        names: the studies that need a model card.
    """
    models, cards = said["models"], said["sets"]
    found = [f"The set {name} has no data card." for name in sets if name not in cards]
    found += [f"There is a data card of {name}, but no such set." for name in cards if name not in sets]
    told = [study for one in models.values() for study in one.get("studies", [])]
    found += [f"The study {name} has no model card." for name in names if name not in told]
    found += [f"There is a model card of {name}, but no such study." for name in told if name not in names]
    for kind, wanted, every in (("model", MODEL, models), ("data", SET, cards)):
        for name, one in every.items():
            lacks = [field for field in wanted if one.get(field) in (None, "")]
            found += [f"The {kind} card of {name} lacks {', '.join(lacks)}."] if lacks else []
    for name, one in models.items():
        if bool(one.get("rows")) == bool(one.get("unscored")):
            found.append(f"The model card of {name} needs either rows or the reason why it is unscored.")
        groups = one.get("weakest", {})
        if "names" in groups and len(set(groups["names"])) != len(groups.get("columns", [])):
            found.append(f"The model card of {name} needs one name for each column of its weakest group.")
        found += [f"{name} is trained on {data}, which has no data card." for data in one.get("sets", [])
                  if data not in cards]  # fmt: skip
    return found


def page() -> str:
    """All cards in Markdown.

    Raises:
        ValueError: if a study or a set has no card, or a card lacks a part; the message names all.
    """
    said, sets = facts(), known_sets()
    if found := problems(said, list(sets), studies.names()):
        raise ValueError(f"{' '.join(found)} Mend {FACTS.name}.")
    models = "\n".join(model_card(one, sets) for one in said["models"].values())
    cards = "\n".join(data_card(one, sets[name]) for name, one in said["sets"].items())
    return f"\n## Models\n\n{models}\n## Data\n\n{cards}"


def model_card(about: Mapping[str, Any], sets: Mapping[str, Mapping[str, Any]]) -> str:
    """The card of one model.

    Args:
        about: an entry of `models`.
        sets: as from `known_sets`.
    """
    lines = {"Not to be used": about["never"], "Made for": about["purpose"]}
    if begun := [assets.lookup(name) for name in about.get("networks", [])]:
        lines["Begun from"] = "; ".join(f"{network.title} ({network.licence})" for network in begun)
    lines["Learned from"] = about["learned"]
    licences = "; ".join(
        f"{sets[name]['title'].partition(':')[0]}: {sets[name]['licence']}" for name in about["sets"]
    )
    lines["Licences of the data"] = licences or "no data"
    rows = {study: studies.load(study) for study in about["studies"]}
    lines["Runs recorded"] = "; ".join(
        f"{len(table):,} of the study `{study}`, of `{table['seconds'].min():.1f}` to "
        f"`{table['seconds'].max():.1f}` seconds each"
        for study, table in rows.items()
    )
    table = next(iter(rows.values()))
    scores = [(row["title"], score(table, about, row)) for row in about.get("rows", [])]
    if weakest := about.get("weakest"):
        lines["Weakest group"] = _weakest(table, about, weakest)
    else:
        lines["Weakest group"] = "not recorded; the mean may hide one"
    lines["Chapter"] = f"[](../notebooks/{about['chapter']}.ipynb)"
    said = "\n".join(f"- {label}: {text}" for label, text in lines.items())
    if not scores:
        return f"### {about['title']}\n\nNo score is shown: {about['unscored']}.\n\n{said}\n"
    body = "\n".join(f"| {title} | `{_bracketed(one, DIGITS)}` | {one.n} |" for title, one in scores)
    head = "accuracy" if about["metric"].endswith("accuracy") else "score"
    table = f"| on the test part | {head} | seeds |\n| --- | --- | --- |\n{body}"
    return f"### {about['title']}\n\n{table}\n\n{said}\n"


def score(table: Any, about: Mapping[str, Any], row: Mapping[str, Any]) -> intervals.Interval:
    """Mean over seeds of what a row of a card shows, with its interval; a seed counts once, by its mean.

    Args:
        table: the study's rows, as from `studies.load`.
        about: the card's entry, for its `metric`.
        row: `where`, column = value, and perhaps a `metric` of its own.

    Raises:
        ValueError: if no run is meant, or one without that score.
    """
    values = meant(table, row)[["seed", row.get("metric", about["metric"])]]
    if values.empty or values.isna().any(axis=None):
        raise ValueError(
            f"No run, or one without a score, is meant by {row['title']!r} of {about['title']!r}."
        )
    return intervals.mean(values.groupby("seed").mean().iloc[:, 0].tolist())


def meant(table: Any, row: Mapping[str, Any]) -> Any:
    """The rows of a study whose columns have the values that `where` says."""
    for column, value in row["where"].items():
        table = table[table[column] == value]
    return table


def _weakest(table: Any, about: Mapping[str, Any], weakest: Mapping[str, Any]) -> str:
    row = about["rows"][weakest["row"]]
    if "columns" in weakest:
        columns = weakest["columns"]
        names = weakest.get("names") or [column.rpartition("_")[2] for column in columns]
        named = zip(names, columns, strict=True)
        found = {name: score(table, about, row | {"metric": column}) for name, column in named}
    else:
        by = list(weakest["by"])
        groups = [dict(zip(by, values, strict=True)) for values, _ in meant(table, row).groupby(by)]
        found = {
            ", ".join(f"{name} `{value}`" for name, value in group.items()): score(
                table, about, row | {"where": row["where"] | group}
            )
            for group in groups
        }
    name = min(found, key=lambda name: found[name].mean)
    return f"of “{row['title']}”: {name}, `{_bracketed(found[name], DIGITS)}`, of {len(found)} groups"


def data_card(about: Mapping[str, str], of: Mapping[str, Any]) -> str:
    """The card of one set.

    Args:
        about: an entry of `sets`.
        of: its entry in the catalogue, for title and licence.
    """
    labels = {
        "unit": "One row is", "within": "Who is in it", "without": "Who is not",
        "leaks": "What must not be split", "errors": "Known errors",
    }  # fmt: skip
    said = "\n".join(f"- {label}: {about[field]}" for field, label in labels.items())
    return f"### {of['title']}\n\n{said}\n- Licence: {of['licence']}\n"
