"""The time to a fixed accuracy: the book's recipe beside what other libraries' documentation recommends.

Two tasks: film reviews with MiniLM and pictograms with EfficientNet-Lite0. All contestants have the same
weights, labelled examples, validation and test parts, tokens or pixels. Two marks are set beforehand, on
seeds of their own: the validation accuracy of a plain script on features that are computed once, and that of
the best that the book's recipe finds, each on average and less a point. The clock runs from examples and
weights in memory to the first look, after an epoch or a candidate, at which the validation accuracy is at the
mark. Scoring is off the clock for all; but the recipe, which chooses by the validation part, pays for the
features of that part. Seconds are those of the CPU, on one thread.

Who never reaches a mark is said to, and its time then counts as that of its whole recipe, which is too
little. Where the book's recipe never reaches it, the ratio counts as 0.
"""

from __future__ import annotations

import argparse
import functools
import gc
import math
import statistics
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from benchmarks import frameworks, measure, rivals
from benchmarks.rivals import Classify, Clock, Task
from transferbook.data import datasets
from transferbook.data.datasets import Splits
from transferbook.models import backbones
from transferbook.models.backbones import Backbone

INPUTS = (
    "benchmarks/frameworks.py", "benchmarks/measure.py", "benchmarks/peers.py", "benchmarks/program.py",
    "benchmarks/rivals.py", "transferbook/**/*.py", "requirements.txt",
)  # fmt: skip
BOOK = "the book's recipe"
README = measure.ROOT / "benchmarks" / "README.md"
START, END = "<!-- peers -->", "<!-- end of peers -->"
Contestant = Callable[[Task, Clock], Classify]


@dataclass(frozen=True)
class Settings:
    """One task.

    Attributes:
        task: `"reviews"` or `"pictograms"`.
        train: labels that train, in all (reviews) or of each class (pictograms).
        valid: examples that validate.
        test: examples of the test part.
        limit: tokens of a review, or pixels of a pictogram's side.
        rates: fine-tunings of the book's recipe, each with another learning rate: as many as its usual two
            minutes leave room for.
        epochs: of each of these.
        seeds: that are measured, from 0.
        apart: seeds from 100, which set the mark.
        most: see `rivals.Task`.
    """

    task: str
    train: int
    valid: int
    test: int
    limit: int
    rates: int
    epochs: int
    seeds: int
    apart: int
    most: int = 1_000


MEASURED = (
    Settings("pictograms", train=15, valid=175, test=231, limit=64, rates=2, epochs=10, seeds=5, apart=3),
    Settings("reviews", train=512, valid=256, test=500, limit=32, rates=1, epochs=3, seeds=3, apart=2),
)
FEW = 3  # seeds of the contestants that take longest
SLOW = ("fastai, 1 + 20 epochs", "torchvision, last layer, 25 epochs", "torchvision, 25 epochs")
RIVALS: dict[str, dict[str, Contestant]] = {
    "reviews": {
        "scikit-learn on features computed once": rivals.features_once,
        "Keras, features computed once": rivals.keras_features,
        "Keras, 2 + 1 epochs": functools.partial(rivals.keras, frozen=2, tuned=1),
        "fastai, 1 + 4 epochs": functools.partial(rivals.fastai, epochs=4),
        "Hugging Face Trainer, 3 epochs": functools.partial(rivals.hugging_face, epochs=3),
        "Lightning, 3 epochs": rivals.lightning_text,
    },
    "pictograms": {
        "scikit-learn on features computed once": rivals.features_once,
        "Keras, features computed once": rivals.keras_features,
        "Keras, 20 + 10 epochs": functools.partial(rivals.keras, frozen=20, tuned=10),
        "fastai, 1 + 4 epochs": functools.partial(rivals.fastai, epochs=4),
        "fastai, 1 + 20 epochs": functools.partial(rivals.fastai, epochs=20),
        "Hugging Face Trainer, 3 epochs": functools.partial(rivals.hugging_face, epochs=3),
        "Lightning, 10 + 5 epochs": rivals.lightning_pictures,
        "torchvision, last layer, 25 epochs": functools.partial(rivals.torchvision, frozen=True),
        "torchvision, 25 epochs": functools.partial(rivals.torchvision, frozen=False),
    },
}


@dataclass(frozen=True)
class Outcome:
    """One contestant on one seed.

    Attributes:
        curve: seconds and validation accuracy at each look.
        whole: seconds of the whole recipe.
        test: test accuracy at its end.
    """

    curve: tuple[tuple[float, float], ...]
    whole: float
    test: float

    @property
    def best(self) -> float:
        """The highest validation accuracy that was seen."""
        return max(accuracy for _, accuracy in self.curve)

    def seconds_to(self, mark: float) -> float:
        """Until the first look at which the accuracy is at the mark; infinite if it never is."""
        return next((seconds for seconds, accuracy in self.curve if accuracy >= mark), math.inf)


def measure_peers(settings: Settings, contestants: dict[str, Contestant]) -> list[measure.Measurement]:
    """For each mark the seconds of the book's recipe, and over them those of each contestant.

    The contestants take turns within each seed, another one first each time; a round with a few labels and
    an epoch or two of each stage comes before and does not count.
    """
    recipe = functools.partial(rivals.book, rates=settings.rates, epochs=settings.epochs)
    everyone: dict[str, Contestant] = {BOOK: recipe} | contestants
    names = list(everyone)
    trial = {"reviews": 8, "pictograms": 2}[settings.task]
    for name in names:
        run(everyone[name], replace(settings, train=trial, valid=14, test=14, most=2), seed=99)
    marks = {}
    for kind, contestant in (("plain", rivals.features_once), ("book", recipe)):
        best = [run(contestant, settings, seed=100 + n).best for n in range(settings.apart)]
        marks[kind] = statistics.mean(best) - 0.01
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    for seed in range(settings.seeds):
        first = seed % len(names)
        for name in names[first:] + names[:first]:
            if seed < FEW or name not in SLOW:
                done = run(everyone[name], settings, seed)
                outcomes[name].append(done)
                found = f"{done.whole:.1f} s, {done.best:.3f} of {marks}, test {done.test:.3f}"
                print(f"{settings.task}, seed {seed}, {name}: {found}", flush=True)
    return [_row(name, outcomes, kind, mark, settings) for kind, mark in marks.items() for name in names]


def run(contestant: Contestant, settings: Settings, seed: int) -> Outcome:
    """One contestant on one seed, with weights of its own."""
    splits, backbone = examples(settings, seed), pretrained(settings)
    gc.collect()
    task = Task(splits, backbone, settings.limit, seed, settings.most)
    clock = Clock(splits)
    classify = contestant(task, clock)
    whole = clock.read()
    return Outcome(tuple(clock.curve), whole, rivals.accuracy(classify, splits.test))


def examples(settings: Settings, seed: int) -> Splits:
    """Other labelled examples for each seed; the same ones validate and test for all."""
    if settings.task == "reviews":
        whole = datasets.rotten_tomatoes(limit=settings.train, seed=seed)
    else:
        whole = datasets.openmoji(size=settings.limit, per_class=settings.train, seed=seed)
    sizes = {"valid": settings.valid, "test": settings.test}
    parts = {name: datasets.subset(getattr(whole, name), limit=size, seed=0) for name, size in sizes.items()}
    return replace(whole, **parts)


def pretrained(settings: Settings) -> Backbone:
    """The network of a task, anew."""
    if settings.task == "reviews":
        return backbones.minilm(settings.limit)
    return backbones.efficientnet_lite0(settings.limit, crop=1)


def _row(
    name: str, outcomes: dict[str, list[Outcome]], kind: str, mark: float, settings: Settings
) -> measure.Measurement:
    """What is kept of a contestant: of the book's recipe its seconds, of another one its ratio to these."""
    mine = outcomes[name]
    reached = [outcome.seconds_to(mark) for outcome in mine]
    seconds = [min(s, outcome.whole) for s, outcome in zip(reached, mine, strict=True)]
    facts = asdict(settings) | {
        "contestant": name,
        "mark": [kind, round(mark, 4)],
        "seconds to the mark": [round(s, 2) if math.isfinite(s) else None for s in reached],
        "seconds in all": [round(outcome.whole, 2) for outcome in mine],
        "best validation accuracy": [round(outcome.best, 4) for outcome in mine],
        "test accuracy": [round(outcome.test, 4) for outcome in mine],
    }
    checked = "weights, labels, validation and test examples"
    if name == BOOK:
        title, middle = f"{BOOK}, to the {kind} mark, {settings.task}", statistics.median(seconds)
        return measure.Measurement(title, round(middle, 2), "s", facts, checked=checked)
    book = [outcome.seconds_to(mark) for outcome in outcomes[BOOK]]
    ratios = [round(s / other, 4) for s, other in zip(seconds, book, strict=False)]  # some have fewer seeds
    low, middle, high = (round(q, 4) for q in statistics.quantiles(ratios, n=4, method="inclusive"))
    return measure.Measurement(
        f"{name} over {BOOK}, to the {kind} mark, {settings.task}",
        middle,
        "times",
        facts,
        at_least=2.0,
        quartiles=(low, high),
        ratios=ratios,
        checked=checked,
    )


def table(rows: list[measure.Measurement]) -> str:
    """The record for readers, in Markdown: a table for each task, with both marks."""
    parts = []
    for task in dict.fromkeys(row.settings["task"] for row in rows):
        by_mark: dict[str, list[measure.Measurement]] = {}
        for row in rows:
            if row.settings["task"] == task:
                by_mark.setdefault(row.settings["mark"][0], []).append(row)
        marks = {kind: chosen[0].settings["mark"][1] for kind, chosen in by_mark.items()}
        lines = [
            f"| {task} | to {marks['plain']:.3f}, s | times the book's | to {marks['book']:.3f}, s "
            "| times the book's | in all, s | test accuracy |",
            "|---|---|---|---|---|---|---|",
        ]
        for plain, other in zip(by_mark["plain"], by_mark["book"], strict=True):
            facts = plain.settings
            whole, test = statistics.median(facts["seconds in all"]), statistics.mean(facts["test accuracy"])
            cells = [facts["contestant"], *_cells(plain), *_cells(other), f"{whole:.1f}", f"{test:.3f}"]
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cells(row: measure.Measurement) -> list[str]:
    """The seconds to a mark, and the ratio to the book's."""
    every = row.settings["seconds to the mark"]
    reached = [seconds for seconds in every if seconds is not None]
    to_it = f"{statistics.median(reached):.1f} ({len(reached)} of {len(every)})" if reached else "never"
    if row.unit == "s":
        return [to_it, "1"]
    least = "at least " if len(reached) < len(every) else ""
    return [to_it, f"{least}{row.value:.2g} [{row.quartiles[0]:.2g}, {row.quartiles[1]:.2g}]"]


def write_table() -> None:
    """Put the table of the record into the README."""
    page = README.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    found = table(measure.load("peers"))
    README.write_text(f"{before}{START}\n{found}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", action="store_true", help="only write the record's table into the README")
    if not parser.parse_args().table:
        warnings.simplefilter("ignore")  # the libraries warn of each other's deprecations
        with frameworks.installed():
            found = []
            for settings in MEASURED:
                found += measure_peers(settings, RIVALS[settings.task])
                measure.record("peers", INPUTS, found)
    write_table()
