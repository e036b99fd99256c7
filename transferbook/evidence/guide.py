"""Which way to use a pretrained network, by kind of data and number of labels: tables from recorded studies.

`python -m transferbook.evidence.guide` writes them for the page `book/which_strategy.md`. A row advises the
cheapest way that none of the others can be told to be ahead of, among all that the studies have at this
number of labels, those without transfer included.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas
from numpy.typing import NDArray

from transferbook.evidence import intervals, result_table, studies
from transferbook.evidence.intervals import Interval
from transferbook.evidence.result_table import Cell

FOLDER = Path(__file__).resolve().parents[2] / "book" / "which_strategy"
TESTED = {"photos": 2_000, "pictograms": 231, "digits": 1_000, "reviews": 2_590, "posts": 1_000}  # examples
NOT_MEASURED = "not measured"
WITHOUT = {"scratch", "small CNN", "SVM on pixels", "word counts"}  # ways that use no pretrained weights
HEADS = {"cached features", "probe"}  # ways that train a head on features that are computed once
PHOTO_PIXELS = {"probe": 224, "fine-tuned": 64}  # what photographs are enlarged to, where nothing is said
POSTS = (1, 4, 16, 64, 256)  # labels a topic


@dataclass(frozen=True)
class Way:
    """One way to train on one kind of data, with one number of labels.

    Attributes:
        name: as the tables show it.
        right: test accuracy of each seed, shape (seeds,), in the order of the seeds.
        seconds: that one run took, on average.
        setting: learning rate or inverse penalty.
        epochs: passes over the labels, or "" for ways that run to convergence.
    """

    name: str
    right: NDArray[np.float64]
    seconds: float
    setting: str
    epochs: str = ""


Found = dict[tuple[str, int], list[Way]]  # kind of data, labels a class -> the ways that were measured


def lead_of(first: Way, second: Way, tested: int) -> Interval:
    """Accuracy of `first` less that of `second`, should both labels and test examples be drawn anew.

    The squared half-widths over seeds and of both binomial intervals add up. This takes the errors of the
    two for unrelated, so it is too wide where they fail on the same examples.

    Args:
        first: a way.
        second: another one, with the same seeds.
        tested: number of test examples, which all seeds share.

    Raises:
        ValueError: if the two have not equally many seeds.
    """
    seeds = intervals.paired_difference(first.right, second.right)
    shares = (intervals.binomial(round(way.right.mean() * tested), tested) for way in (first, second))
    half = math.hypot(seeds.half_width, *(share.half_width for share in shares))
    low, high = seeds.mean - half, seeds.mean + half
    return replace(seeds, low=low, high=high, method="squared half-widths added")


def advise(ways: list[Way], tested: int) -> tuple[Way, Way]:
    """The cheapest way that no other can be told to be ahead of, and the one with the best mean.

    Raises:
        ValueError: if there is no way.
    """
    if not ways:
        raise ValueError("There is no way to choose from; give at least one.")
    level = [
        way for way in ways if all(lead_of(other, way, tested).low <= 0 for other in ways if other is not way)
    ]
    return min(level, key=lambda way: way.seconds), max(ways, key=lambda way: way.right.mean())


def pictogram_ways() -> Found:
    """OpenMoji's seven categories, from a network of photographs."""
    study, rows = studies.open_study("image_strategies").module, studies.load("image_strategies")
    found: Found = {}
    for (method, n), group in rows.groupby(["method", "per_class"], sort=False):
        usual = group[group["epochs"] == study.EPOCHS[n]].sort_values("seed")
        usual = usual[[rates == study.RATES[method] for rates in usual["rates"]]].dropna(axis="columns")
        if method == "last layer":  # the same head as "cached features", for more seconds
            continue
        picked = [study.choose(row) for row in usual.to_dict("records")]
        setting = most_chosen(picked, study.RATES[method])
        right, seconds = usual["accuracy"].to_numpy(), usual["train_seconds"].mean()
        name = method.replace("zero-initialised", "zero")
        way = Way(name, right, seconds, setting, str(study.EPOCHS[n]))
        found.setdefault(("pictograms", int(n)), []).append(way)
    return found


def photograph_ways() -> Found:
    """CIFAR-10's ten kinds of things, from the same network, which sees them enlarged."""
    study, rows = studies.open_study("photographs").module, studies.load("photographs")
    found: Found = {}
    for (method, n, pixels), group in rows[rows["method"] != "untrained head"].groupby(
        ["method", "per_class", "pixels"], sort=False
    ):
        usual = group[group["epochs"] == group["epochs"].min()].sort_values("seed")
        setting = most_chosen(list(map(study.choose, usual.to_dict("records"))), study.SETTINGS[method])
        name = {"head": "probe"}.get(method, method)
        name += f", {pixels} px" if pixels != PHOTO_PIXELS.get(name, pixels) else ""
        right, seconds = usual["accuracy"].to_numpy(), usual["train_seconds"].mean()
        way = Way(name, right, seconds, setting, str(usual["epochs"].iloc[0]))
        found.setdefault(("photos", int(n)), []).append(way)
    return found


def digit_ways() -> Found:
    """MNIST, from the same network; networks train as long as validation digits chose."""
    study, rows = studies.open_study("mnist_surgery").module, studies.load("mnist_surgery")
    longer, timed = studies.open_study("mnist_epochs").module, studies.load("mnist_epochs")
    found: Found = {}
    for n in longer.SCORED:
        ways = found.setdefault(("digits", int(n)), [])
        for method, name in (("svm", "SVM on pixels"), ("probe", "probe")):
            own = rows[(rows["method"] == method) & (rows["per_class"] == n) & (rows["scored_on"] == "test")]
            own = own[(own["input"] == "source") & (own["size"] == 64)].sort_values("seed")
            setting = at_an_end(study.CHOSEN[method, "source"], study.CANDIDATES[method, "source"])
            ways.append(Way(name, own["accuracy"].to_numpy(), own["seconds"].mean(), setting))
        for method, name in (
            ("fine-tuned", "fine-tuned"),
            ("small cnn", "small CNN"),
            ("scratch", "scratch"),
        ):
            of_method = timed[(timed["method"] == method) & (timed["per_class"] == n)]
            scored = of_method[of_method["scored_on"] == "test"].sort_values("seed")["accuracy"]
            if method == "small cnn":  # it was scored in the rows of the fine-tuned network
                beside = timed[(timed["rival"] == method) & (timed["per_class"] == n)]
                scored = beside.sort_values("seed")["rival_accuracy"]
            if scored.empty:
                continue
            epochs = longer.CHOSEN[method, n]
            alone = of_method[(of_method["epochs"] == epochs) & (of_method["scored_on"] == "valid")]
            setting = at_an_end(study.CHOSEN[method, "source"], study.CANDIDATES[method, "source"])
            passes = at_an_end(epochs, longer.candidates(method, n))
            ways.append(Way(name, scored.to_numpy(), alone["seconds"].mean(), setting, passes))
    return found


def review_ways() -> Found:
    """Short film reviews, for or against, from MiniLM."""
    study, rows = studies.open_study("text_label_efficiency").module, studies.load("text_label_efficiency")
    names = {
        ("tf-idf", 0): "word counts",
        ("probe", 0): "probe",
        ("fine-tuned", 0): "fine-tuned",
        ("fine-tuned", 4): "lower half frozen",
        ("fine-tuned", 6): "all but last frozen",
        ("scratch", 0): "scratch",
    }
    found: Found = {}
    scored = rows[rows["scored_on"] == "test"].sort_values("seed")
    for (method, frozen, labels), own in scored.groupby(["method", "frozen", "labels"], sort=False):
        setting = at_an_end(study.CHOSEN[method, frozen], study.CANDIDATES[method, frozen])
        seconds, epochs = own["seconds"].mean(), str(own["epochs"].iloc[0])
        way = Way(names[method, frozen], own["accuracy"].to_numpy(), seconds, setting, epochs)
        found.setdefault(("reviews", int(labels) // 2), []).append(way)
    return found


def post_ways() -> Found:
    """Newsgroup posts in four topics, from MiniLM, which reads the first 64 tokens."""
    study, rows = studies.open_study("newsgroups_strengths").module, studies.load("newsgroups_strengths")
    shift, older = studies.open_study("newsgroups_shift").module, studies.load("newsgroups_shift")
    strengths, found = study.STRENGTHS["target"], {}
    for n in POSTS:
        ways = found.setdefault(("posts", n), [])
        for method, name in (("tf-idf", "word counts"), ("probe", "probe")):
            own = rows[(rows["method"] == method) & (rows["per_topic"] == n) & (rows["use"] == "target")]
            chosen = [choose_strength(tried, len(strengths)) for _, tried in own.groupby("seed")]
            right = np.array([score for score, _ in chosen])
            setting = most_chosen([place for _, place in chosen], strengths)
            ways.append(Way(name, right, own["seconds"].mean(), setting))
        tuned = older[(older["method"] == "fine-tuned") & (older["scored_on"] == "target")]
        tuned = tuned[(tuned["use"] == "target") & (tuned["per_topic"] == n)].sort_values("seed")
        if not tuned.empty:
            key = ("fine-tuned", "target")
            setting = at_an_end(shift.CHOSEN[key], shift.CANDIDATES[key])
            right, epochs = tuned["accuracy"].to_numpy(), str(tuned["epochs"].iloc[0])
            ways.append(Way("fine-tuned", right, tuned["seconds"].mean(), setting, epochs))
    return found


def choose_strength(tried: pandas.DataFrame, strengths: int) -> tuple[float, int]:
    """Test accuracy and place of the strength that validates best, over all rows; the first of equals."""
    places = [(row, place) for row in tried.to_dict("records") for place in range(strengths)]
    row, place = max(places, key=lambda one: one[0][f"valid_{one[1]}"])
    return row[f"test_{place}"], place


def at_an_end(chosen: float, candidates: tuple[float, ...]) -> str:
    """A setting, and whether it is the smallest or the largest of those that were tried."""
    return f"{chosen:g}" + (", end" if chosen in (min(candidates), max(candidates)) else "")


def most_chosen(picked: list[int], candidates: tuple[float, ...]) -> str:
    """The setting that most seeds chose, whether it is an end of its grid, and in how many of them."""
    place, count = Counter(picked).most_common(1)[0]
    end = ", end" if candidates[place] in (min(candidates), max(candidates)) else ""
    return f"{candidates[place]:g}{end} ({count} of {len(picked)})"


def in_seconds(way: Way) -> str:
    """Seconds to two digits."""
    return f"{way.seconds:.0f}" if way.seconds >= 10 else f"{way.seconds:.2g}"


def first_table(found: Found) -> dict[str, dict[str, Cell]]:
    """What to try first at each number of labels, what that is worth, and what may be better."""
    table: dict[str, dict[str, Cell]] = {}
    for (kind, n), ways in found.items():
        first, best = advise(ways, TESTED[kind])
        plain = max((way for way in ways if way.name in WITHOUT), key=lambda way: way.right.mean())
        table[f"{kind}, {n:,}"] = {
            "try first": first.name,
            "gain": "no transfer" if first.name in WITHOUT else lead_of(first, plain, TESTED[kind]),
            "best mean": "the same" if best is first else best.name,
            "its lead": "–" if best is first else lead_of(best, first, TESTED[kind]),
        }
    return table


def settings_table(found: Found) -> dict[str, dict[str, Cell]]:
    """Settings and seconds of a head on stored features, and of fine-tuning, at each number of labels."""
    table: dict[str, dict[str, Cell]] = {}
    for (kind, n), ways in found.items():
        head = next(way for way in ways if way.name in HEADS)
        tuned = next((way for way in ways if way.name == "fine-tuned"), None)
        table[f"{kind}, {n:,}"] = {
            "head": head.setting,
            "tuned": tuned.setting if tuned else NOT_MEASURED,
            "epochs": tuned.epochs if tuned else NOT_MEASURED,
            "seconds": f"{in_seconds(head)}, {in_seconds(tuned) if tuned else '–'}",
        }
    return table


def batchnorm_table() -> dict[str, dict[str, Cell]]:
    """Fine-tuning with the source's statistics in BatchNorm, less fine-tuning with those of the batch."""
    table: dict[str, dict[str, Cell]] = {}
    for (kind, n), ways in pictogram_ways().items():
        named = {way.name: way for way in ways}
        gain = lead_of(named["fine-tuned"], named["batch statistics"], TESTED[kind])
        table[f"{kind}, {n:,}"] = {"source's less batch's": gain}
    rows = studies.load("mnist_surgery")
    rows = rows[(rows["scored_on"] == "test") & (rows["per_class"] == 10) & (rows["input"] == "source")]
    kept, batch = (
        Way(name, rows[rows["method"] == name].sort_values("seed")["accuracy"].to_numpy(), 0.0, "")
        for name in ("frozen statistics", "fine-tuned")
    )
    table["digits, 10"] = {"source's less batch's": lead_of(kept, batch, TESTED["digits"])}
    return table


def unmeasured(table: dict[str, dict[str, Cell]], titles: tuple[str, ...]) -> dict[str, dict[str, Cell]]:
    """The table with a row for each title of which nothing is known."""
    columns = next(iter(table.values()))
    return table | {title: dict.fromkeys(columns, NOT_MEASURED) for title in titles}


def tables() -> Iterator[tuple[str, str]]:
    """Name and HTML of each table of the page."""
    yield from _pair("pictures", photograph_ways() | pictogram_ways() | digit_ways(), ("more labels",))
    yield from _pair("texts", review_ways() | post_ways(), ("other languages", "more labels"))
    caption = "Accuracy, by kind and labels a class; other test pictures are counted in."
    yield "batchnorm", result_table.lay_out(batchnorm_table(), caption)._repr_html_()


def _pair(name: str, found: Found, unknown: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    caption = "By kind and labels a class; other test examples are counted in."
    table = unmeasured(first_table(found), unknown)
    yield f"{name}_first", result_table.lay_out(table, caption)._repr_html_()
    caption = "Inverse penalty or learning rate that validation chose, and seconds of one run."
    table = unmeasured(settings_table(found), unknown)
    yield f"{name}_settings", result_table.lay_out(table, caption)._repr_html_()


def write_tables(folder: Path = FOLDER) -> list[Path]:
    """Write each table into a file of its own, and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in tables():
        paths.append(folder / f"{name}.html")
        paths[-1].write_text(text + "\n", encoding="utf-8")
    return paths


if __name__ == "__main__":
    print(*write_tables(), sep="\n")
