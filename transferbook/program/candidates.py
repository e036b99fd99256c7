"""The classifiers that a training run tries, and which of them it keeps.

Heads on features that are computed once, heads on words, heads that are pulled towards those of a source,
and the whole network trained further, as far as the time allows; for few texts, `pairs` has another way of
that. Validation examples choose: the best score, whatever made it, and among equals the likeliest.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from transferbook.data.splits import Part
from transferbook.evidence import metrics
from transferbook.learning import training, transfer
from transferbook.program import calibration
from transferbook.program.readers import NetworkReader, Reader, WordReader, apply_head

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # C of heads on features whose variances are 1 on average
WORD_STRENGTHS = (1.0, 1e2, 1e4)  # the same on rows of length 1
RATES = {"texts": (5e-5, 2e-4), "pictures": (3e-4, 1e-3)}  # of the last stage of a network
UNEQUAL = 1.5  # the largest class is that many times the smallest: accuracy is no fair judge then
WILD = 1e6  # times the usual weight: of a feature that hardly varies, which standardising blows up
FORWARD = 1 / 3  # of the time of a training step is spent in its forward pass, about


@dataclass(frozen=True)
class Candidate:
    """One way to classify, with what it says on the validation part.

    Attributes:
        name: what it is, in words.
        reader: from inputs to features.
        head: from features to logits.
        valid_logits: shape (N, C).
        temperature: fitted to them.
        scores: of `metrics.classification_scores` on the validation part, at that temperature.
        seconds: that it took.
    """

    name: str
    reader: Reader
    head: nn.Linear
    valid_logits: Tensor
    temperature: float
    scores: dict[str, float]
    seconds: float

    @property
    def method(self) -> str:
        """`"words"`, `"probe"`, `"pairs"` or `"fine-tuned"`."""
        return self.name.partition(",")[0]


def judge(
    name: str, reader: Reader, head: nn.Linear, valid_features: Any, labels: Tensor, started: float
) -> Candidate:
    """Score a head on the validation part; `started` is a `time.perf_counter()`."""
    logits = apply_head(head, valid_features)
    temperature = calibration.fit_temperature(logits, labels)
    scores = metrics.classification_scores(logits / temperature, labels)
    return Candidate(name, reader, head, logits, temperature, scores, time.perf_counter() - started)


def is_unequal(labels: Tensor) -> bool:
    """Whether the largest class has more than one and a half times as many examples as the smallest."""
    counts = labels.bincount()
    return bool(counts.max() > UNEQUAL * counts[counts > 0].min())


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Weights (C,) for the loss under which every class counts alike; their mean over the examples is 1."""
    return len(labels) / (classes * labels.bincount(minlength=classes).clamp(min=1)).float()


def choose(candidates: list[Candidate], measure: str) -> Candidate:
    """The best by `"accuracy"` or `"f1"` on the validation part; among equals, the likeliest."""
    return max(candidates, key=lambda candidate: (candidate.scores[measure], -candidate.scores["nll"]))


def probes(
    reader: Reader, train: Part, valid: Part, classes: int, *,
    source: Part | None = None, cache: bool = True, progress: bool | None = None,
) -> Iterator[Candidate]:  # fmt: skip
    """Heads on features that are computed once, one for each strength of the penalty.

    Features of a network are divided by one number, not each by its own spread: what hardly varies among a
    few labelled examples may vary a lot among others.

    Where the classes are unequal, each head also comes with its biases lowered by the logarithms of the
    classes' shares, so that a rare class is not passed over for being rare (Menon et al., 2021).

    Args:
        reader: of words, or of a network that stays as it is.
        train: labelled examples.
        valid: those that choose.
        classes: their number C.
        source: labelled examples of the same classes from elsewhere; heads are then also pulled towards a
            head that was trained on these (`transfer.ridge_to_source`).
        cache: keep features of a network on disk.
        progress: draw a bar on stderr.
    """
    started = time.perf_counter()
    x, x_valid = (reader.features(part.inputs, cache=cache, progress=progress) for part in (train, valid))
    method = "words" if isinstance(reader, WordReader) else "probe"
    shares = train.labels.bincount(minlength=classes).clamp(min=1) / len(train)
    for name, head in _heads(method, reader, x, train, classes, source, cache):
        yield judge(name, reader, head, x_valid, valid.labels, started)
        if is_unequal(train.labels):
            fair = copy.deepcopy(head)
            fair.bias -= shares.log()
            yield judge(f"{name}, equal classes", reader, fair, x_valid, valid.labels, started)
        started = time.perf_counter()


def _heads(
    method: str, reader: Reader, x: Any, train: Part, classes: int, source: Part | None, cache: bool
) -> Iterator[tuple[str, nn.Linear]]:
    nothing = nn.Linear(x.shape[1], classes).requires_grad_(False)
    nothing.weight.zero_()
    nothing.bias.zero_()
    for C in WORD_STRENGTHS if method == "words" else STRENGTHS:
        if method == "words":
            head = transfer.ridge_to_source(x, train.labels, nothing, C=C)
        else:
            head = transfer.linear_probe(x, train.labels, n_classes=classes, C=C, standardise=False)
        yield f"{method}, C = {C:g}", head
    if source is None:
        return
    x_source = reader.features(source.inputs, cache=cache)
    if method == "words":
        start = transfer.ridge_to_source(x_source, source.labels, nothing, C=10.0)
        for C in WORD_STRENGTHS:
            head = transfer.ridge_to_source(x, train.labels, start, C=C)
            yield f"words, pulled to the source, C = {C:g}", head
        return
    center, spread = x_source.mean(dim=0), x_source.std(dim=0)
    spread[spread <= 1e-6 * center.abs()] = torch.inf  # what is constant in the source weighs nothing
    z_source, z = (x_source - center) / spread, (x - center) / spread
    start = transfer.ridge_to_source(z_source, source.labels, nothing, C=1e-2)
    for C in STRENGTHS:
        head = transfer.ridge_to_source(z, train.labels, start, C=C)
        head.weight /= spread  # the head reads features as they come
        head.bias -= head.weight @ center
        yield f"probe, pulled to the source, C = {C:g}", head


def plan(available: float | None, epoch_seconds: float, max_epochs: int, rates: int) -> tuple[int, int]:
    """How many fine-tunings fit into the time, and with how many epochs each.

    Args:
        available: seconds; None for as many as it takes.
        epoch_seconds: of one epoch, what comes with it included.
        max_epochs: the most epochs of one fine-tuning.
        rates: the most fine-tunings, each with another learning rate.

    Returns:
        Runs and epochs of each; (0, 0) where the time does not suffice for two epochs.
    """
    if available is None:
        return rates, max_epochs
    total = max(0, int(available / epoch_seconds))
    runs = min(rates, max(1, total // max_epochs))
    epochs = min(max_epochs, total // runs)
    return (runs, epochs) if epochs >= min(2, max_epochs) else (0, 0)


def fine_tunings(
    reader: NetworkReader, head: nn.Linear, train: Part, valid: Part, *, test_size: int,
    deadline: float | None, max_epochs: int = 10, batch_size: int = 16, augment: bool = True, seed: int = 0,
    progress: bool | None = None,
) -> Iterator[Candidate]:  # fmt: skip
    """The whole network trained further, from a head that was fitted to its features (Kumar et al., 2022).

    A few steps on a copy say how long an epoch takes; the learning rates and epochs follow from that and are
    cut short should the time run out all the same. BatchNorm keeps the statistics that the head was fitted
    to. Where the classes are unequal, the loss weighs them alike.

    Args:
        reader: of a network.
        head: a probe.
        train: labelled examples.
        valid: those that choose.
        test_size: examples of the test part, for whose turn some time is kept.
        deadline: a `time.perf_counter()` by which all is to be done, or None.
        max_epochs: of one run.
        batch_size: examples of a step.
        augment: vary the pictures.
        seed: of the order, the variation and dropout.
        progress: draw bars on stderr.
    """
    weights = class_weights(train.labels, head.out_features) if is_unequal(train.labels) else None
    settings = {"batch_size": batch_size, "augment": augment, "seed": seed}
    rates = RATES[reader.kind]
    steps = -(-len(train) // batch_size)
    if deadline is not None and time.perf_counter() > deadline:
        return
    head = _steady(reader, head, train)
    step = _step_seconds(reader, head, train, weights, settings, deadline)
    scoring = step / batch_size * FORWARD * (test_size + len(rates) * len(valid))
    left = None if deadline is None else deadline - time.perf_counter() - scoring
    runs, epochs = plan(left, step * steps, max_epochs, len(rates))
    for rate in rates[:runs]:
        started = time.perf_counter()
        share = None if deadline is None else started + left / runs
        model = _start(reader, head)
        try:
            done = _train(model, reader, train, weights, rate, epochs, share, settings, progress)
            tuned = reader.trained(model.encoder.cpu().eval())
            features = tuned.features(valid.inputs, progress=progress)
            if not features.isfinite().all():
                raise FloatingPointError("the last step left features that are not finite.")
        except FloatingPointError as error:
            warnings.warn(f"Fine-tuning at {rate:g} was given up: {error}", stacklevel=2)
            continue
        name = f"fine-tuned, {done} {'epoch' if done == 1 else 'epochs'} at {rate:g}"
        tuned_head = model.head.cpu().requires_grad_(False)
        yield judge(name, tuned, tuned_head, features, valid.labels, started)


class _OutOfTimeError(Exception):
    """The share of a run is used up."""


def _steady(reader: NetworkReader, head: nn.Linear, train: Part) -> nn.Linear:
    """The head without its wild weights, whose features it takes at their means.

    MiniLM has features with a spread of 1e-32; a gradient that comes back through the weights of these is
    infinite, and clipping it would leave nothing of the others.
    """
    reach = head.weight.abs().amax(dim=0)
    wild = reach > WILD * reach.median()
    if not wild.any():
        return head
    some = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:64]
    means = reader.features(train.select(some).inputs)[:, wild].double().mean(dim=0)
    head = copy.deepcopy(head)
    head.bias += (head.weight[:, wild].double() @ means).float()
    head.weight[:, wild] = 0
    return head


def _start(reader: NetworkReader, head: nn.Linear) -> transfer.Classifier:
    """A copy of network and head in which everything learns but BatchNorm's statistics."""
    model = transfer.Classifier(copy.deepcopy(reader.backbone.module), copy.deepcopy(head))
    model.requires_grad_(True)
    for part in model.encoder.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            transfer.freeze(part).requires_grad_(True)
    return model


def _train(
    model: transfer.Classifier, reader: NetworkReader, train: Part, weights: Tensor | None, rate: float,
    epochs: int, stop_at: float | None, settings: dict[str, Any], progress: bool | None,
) -> int:  # fmt: skip
    """Fine-tune in place, for no longer than `stop_at` and an epoch; how many epochs were done."""
    loader = reader.batches(train.inputs, train.labels, **settings)
    optimizer = torch.optim.AdamW(transfer.parameter_groups(model, rate, weight_decay=0.01))
    schedule = training.warmup_linear(optimizer, epochs * len(loader))

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        chosen = None if weights is None else weights.to(outputs.device)
        return nn.functional.cross_entropy(outputs, labels, weight=chosen)

    done = 0

    def watch(epoch: int) -> None:
        nonlocal done
        done = epoch
        if stop_at is not None and epoch > 0 and time.perf_counter() > stop_at:
            raise _OutOfTimeError

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings["seed"])
        try:
            training.fit(
                model, loader, optimizer=optimizer, schedule=schedule, epochs=epochs, loss=loss,
                clip_norm=1.0, progress=progress, on_epoch_start=watch,
            )  # fmt: skip
        except _OutOfTimeError:
            return done
    return epochs


def _step_seconds(
    reader: NetworkReader, head: nn.Linear, train: Part, weights: Tensor | None, settings: dict[str, Any],
    deadline: float | None,
) -> float:  # fmt: skip
    """Seconds of one step, from a few on a copy; the first, which warms up, counts only if it is hopeless."""
    batch = settings["batch_size"]
    few = train.select(torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[: 3 * batch])
    model = _start(reader, head)
    started = time.perf_counter()
    _train(model, reader, few.select(range(min(batch, len(few)))), weights, 1e-5, 1, None, settings, False)
    first = time.perf_counter() - started
    if deadline is not None and first * len(train) / batch > deadline - time.perf_counter():
        return first  # it may have been twice as slow as the others, and two epochs are needed
    started = time.perf_counter()
    _train(model, reader, few, weights, 1e-5, 1, None, settings, False)
    return (time.perf_counter() - started) / -(-len(few) // batch)
