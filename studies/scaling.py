"""How does the loss fall with size, data and compute, and does transfer follow? (chapter: pretraining)

Small decoders learn to guess the next character of Shakespeare's plays: six sizes, four budgets of
operations, five seeds. The loss of the largest budget is predicted from the three smaller ones before it is
run: `CHOSEN` holds the prediction and a hash of the rows that it comes from, and the rows of the largest
budget carry a hash of the prediction in their config. So they could not be recorded before it was fixed, and
whoever changes it afterwards asks for other rows.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transferbook.data import corpora, datasets
from transferbook.evidence import intervals, scaling
from transferbook.learning import linear
from transferbook.models.decoder import Decoder, DecoderConfig

WIDTHS = (8, 12, 16, 24, 32, 48)
BUDGETS = (1.5e9, 6e9, 2.4e10, 9.6e10)  # operations of training; the last is predicted
SEEDS = range(5)
LAYERS, CONTEXT = 2, 64
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))  # line end and printable ASCII; all else is read as "?"
SCORED, BLOCKS = 400, 20  # stretches of a text that are scored, and in how many blocks
FURTHER = (16, 64)  # stretches in a batch and steps of further training on the reviews
PROBED = (20, 600, 2)  # posts a topic to learn from, posts to score, stretches of each
BATCH, RATE = 0.5, 0.35  # the rules of `plan` and `run`, from a pilot on other seeds and the plays of valid

CHOSEN: dict[str, Any] = {
    "rows": "9e90c9d5e27511da",
    "loss": {
        8: (2.246, 2.108, 2.384),
        12: (2.142, 2.002, 2.282),
        16: (2.113, 1.974, 2.252),
        24: (2.112, 1.975, 2.249),
        32: (2.131, 1.994, 2.267),
        48: (2.18, 2.043, 2.317),
    },
    "best": 24,
}


@dataclass(frozen=True)
class Config:
    """One decoder, trained on plays.

    Attributes:
        width: of the network.
        budget: operations of its training; 0 for none.
        registered: hash of the prediction that was made before, where there was one.
    """

    width: int
    budget: float
    registered: str = ""


def grid() -> list[tuple[Config, int]]:
    """Untrained and trained decoders and, once the prediction stands, those of the largest budget."""
    configs = [Config(width, budget) for width in WIDTHS for budget in (0.0, *BUDGETS[:-1])]
    if CHOSEN:
        configs += [Config(width, BUDGETS[-1], registered=fingerprint(CHOSEN)) for width in WIDTHS]
    return [(config, seed) for config in configs for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """All sizes at the smallest budget."""
    return [pair for pair in grid() if pair[0].budget == BUDGETS[0]]


def chosen(rows: pd.DataFrame) -> dict[str, Any]:
    """The prediction for the largest budget, from the rows of the others alone.

    A surface is fitted to the mean losses of all sizes and budgets. The half-width of an interval joins two
    errors: how far the same way is off for the last of these budgets, predicted from those before it (root
    mean square over the sizes, times the quantile of t for six of them); and the half-width of a t interval
    over the predictions from each seed alone.
    """
    known = BUDGETS[:-1]
    cells = rows.set_index(["width", "budget", "seed"])["loss"]
    losses = np.array([[[cells[w, b, seed] for seed in SEEDS] for b in known] for w in WIDTHS])
    predicted = extrapolated(losses.mean(axis=2), BUDGETS)
    off = extrapolated(losses[:, :-1].mean(axis=2), known) - losses[:, -1].mean(axis=1)
    alone = np.array([extrapolated(losses[..., i], BUDGETS) for i in range(len(SEEDS))])
    half = np.hypot(2.571 * np.sqrt(np.square(off).mean()), [intervals.mean(x).half_width for x in alone.T])
    return {
        "rows": fingerprint(losses.tolist()),
        "loss": {
            width: tuple(round(float(value), 3) for value in (mean, mean - h, mean + h))
            for width, mean, h in zip(WIDTHS, predicted, half, strict=True)
        },
        "best": WIDTHS[int(predicted.argmin())],
    }


def extrapolated(losses: np.ndarray, budgets: tuple[float, ...]) -> np.ndarray:
    """What a surface fitted to losses (sizes, budgets but the last) says of each size at the last budget."""
    sizes = np.array([flops(width) / 6 for width in WIDTHS])
    data = np.array([[characters(width, budget) for budget in budgets] for width in WIDTHS])
    known = data[:, :-1]
    surface = scaling.fit(np.broadcast_to(sizes[:, None], known.shape).ravel(), known.ravel(), losses.ravel())
    return surface(sizes, data[:, -1])


def fingerprint(value: Any) -> str:
    """The first 16 hex digits of the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def run(config: Config, seed: int) -> dict[str, float]:
    """Train, and score: on plays, on reviews before and after further training, on topics by a probe."""
    model, rate = decoder(config.width, seed), RATE / config.width
    if config.budget:
        batch, steps = plan(config.width, config.budget)
        cut = stretches(text("plays", "train"), seed)[: batch * steps]
        train(model, cut.split(batch), steps, rate)
    return {
        "loss": losses_on(model, text("plays", "test")).mean().item(),
        "reviews": losses_on(model, text("reviews", "test")).mean().item(),
        "topics": topics(model, seed),
        "reviews_after": further(model, seed, rate),
    }


def flops(width: int) -> int:
    """Operations that training on one character takes: products of matrices, forward and twice backward."""
    weights = LAYERS * (4 * width**2 + 3 * width * hidden(width)) + len(ALPHABET) * width
    attention = LAYERS * 2 * CONTEXT * width
    return 6 * (weights + attention)


def hidden(width: int) -> int:
    """The width in the middle of a feed-forward half: 8/3 of the network's, in steps of four."""
    return round(8 * width / 3 / 4) * 4


def plan(width: int, budget: float) -> tuple[int, int]:
    """Stretches in a batch, and steps: batches of half the square root of all characters."""
    characters = budget / flops(width)
    batch = max(1, round(BATCH * characters**0.5 / CONTEXT))
    return batch, max(1, round(characters / batch / CONTEXT))


def characters(width: int, budget: float) -> int:
    """What it reads."""
    batch, steps = plan(width, budget)
    return batch * steps * CONTEXT


def decoder(width: int, seed: int) -> Decoder:
    """A decoder whose weights start at a scale that suits its width; those that add to the sum, at half."""
    torch.manual_seed(seed)
    heads = max(1, width // 16)
    model = Decoder(DecoderConfig(len(ALPHABET), width, LAYERS, heads, heads, hidden(width), 10_000.0))
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            adds = name.endswith(("output.weight", "down.weight"))
            nn.init.normal_(weight, std=(0.5 if adds else 1.0) / weight.shape[1] ** 0.5)
    return model


def encode(text: str) -> Tensor:
    """Indices into ALPHABET."""
    codes = np.frombuffer(text.encode("ascii", "replace"), dtype=np.uint8)  # "?" for what is not ASCII
    table = np.full(128, ALPHABET.index(" "))
    table[[ord(letter) for letter in ALPHABET]] = np.arange(len(ALPHABET))
    return torch.from_numpy(table[codes])


def stretches(tokens: Tensor, seed: int | None = None) -> Tensor:
    """A text in stretches of CONTEXT + 1 characters, (n, 65); the last of one is the first of the next.

    With a seed, the first cut is at random, and so is the order.
    """
    if seed is None:
        return tokens.unfold(0, CONTEXT + 1, CONTEXT)
    random = torch.Generator().manual_seed(seed)
    start = int(torch.randint(CONTEXT, (), generator=random))
    cut = tokens[start:].unfold(0, CONTEXT + 1, CONTEXT)
    return cut[torch.randperm(len(cut), generator=random)]


def train(model: Decoder, batches: Iterable[Tensor], steps: int, rate: float) -> None:
    """One step a batch; the rate rises over a tenth of the steps and falls to a tenth of its height."""
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    rise = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: (i + 1) / rise if i < rise else 1 - 0.9 * (i - rise) / (steps - rise)
    )
    for batch in batches:
        loss = F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def losses_on(model: Decoder, tokens: Tensor) -> Tensor:
    """Mean cross-entropy of a character, in nats, in each block of the stretches that are scored."""
    cut = stretches(tokens)
    cut = cut[torch.linspace(0, len(cut) - 1, SCORED).long()]  # evenly spread
    blocks = cut.chunk(BLOCKS)
    return torch.stack(
        [F.cross_entropy(model(part[:, :-1]).flatten(0, 1), part[:, 1:].flatten()) for part in blocks]
    ).double()


@torch.no_grad()
def states(model: Decoder, texts: Tensor) -> Tensor:
    """The mean of the last states over each text of several stretches (n, s, 64); (n, D)."""
    seen: list[Tensor] = []
    hook = model.norm.register_forward_hook(lambda module, inputs, output: seen.append(output.mean(dim=1)))
    for part in texts.flatten(0, 1).split(100):
        model(part)
    hook.remove()
    return torch.cat(seen).unflatten(0, texts.shape[:2]).mean(dim=1)


def further(model: Decoder, seed: int, rate: float) -> float:
    """The loss on reviews after a few steps of further training on other reviews."""
    batch, steps = FURTHER
    cut = stretches(text("reviews", "valid"), seed)[: batch * steps]
    train(model, cut.split(batch), steps, rate)
    return losses_on(model, text("reviews", "test")).mean().item()


def topics(model: Decoder, seed: int) -> float:
    """How often a linear probe of the states tells the topic of a post right."""
    labelled = datasets.subset(posts().train, per_class=PROBED[0], seed=seed)
    test = datasets.subset(posts().test, limit=PROBED[1])
    probe = linear.linear_probe(states(model, opening(labelled.inputs)), labelled.labels)
    guesses = probe(states(model, opening(test.inputs))).argmax(dim=1)
    return (guesses == test.labels).double().mean().item()


def opening(texts: list[str]) -> Tensor:
    """The first characters of each text, as stretches that follow one another."""
    length = PROBED[2] * CONTEXT
    return encode("".join(one[:length].ljust(length) for one in texts)).view(len(texts), -1, CONTEXT)


@functools.cache
def text(corpus: str, side: str) -> Tensor:
    """The plays or the reviews of one side, as one list of characters."""
    if corpus == "plays":
        return encode("".join(getattr(corpora.shakespeare(), side).values()))
    return encode("\n".join(getattr(datasets.rotten_tomatoes(), side).inputs))


@functools.cache
def posts() -> datasets.Splits:
    return datasets.newsgroups()
