"""What is each habit of training worth? (chapter: the training loop)

One recipe with everything that people do, and the same recipe with one thing left out or exchanged, on a
picture task and a text task. Each gets its learning rate from the same candidates, on seeds kept apart.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from transferbook.data import datasets, digits
from transferbook.learning import schedules, training
from transferbook.models import backbones

TASKS = ("digits", "reviews")
METHODS = (
    "all", "warm-up", "decay", "weight decay", "clipping", "augmentation", "label smoothing", "normalisation",
    "averaging", "early stopping", "SGD", "Adagrad", "bare",
)  # fmt: skip
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
SEEDS = range(10)
TUNING_SEEDS = (100, 101)
LABELS = {"digits": 200, "reviews": 800}
BATCH = {"digits": 20, "reviews": 40}
EPOCHS = {"digits": 30, "reviews": 10}
SCORED = 1_000  # test examples of each task
WATCHED = 500  # validation examples of each task
BLOCKS = 20  # of the test examples
TOKENS, WIDTH, HEADS = 28, 32, 4

CHOSEN: dict[tuple[str, str], float] = {
    ("digits", "all"): 0.03,
    ("digits", "warm-up"): 0.01,
    ("digits", "decay"): 0.01,
    ("digits", "weight decay"): 0.03,
    ("digits", "clipping"): 0.01,
    ("digits", "augmentation"): 0.03,
    ("digits", "label smoothing"): 0.01,
    ("digits", "normalisation"): 0.01,
    ("digits", "averaging"): 0.03,
    ("digits", "early stopping"): 0.03,
    ("digits", "SGD"): 0.1,
    ("digits", "Adagrad"): 0.03,
    ("digits", "bare"): 0.003,
    ("reviews", "all"): 0.001,
    ("reviews", "warm-up"): 0.003,
    ("reviews", "decay"): 0.001,
    ("reviews", "weight decay"): 0.001,
    ("reviews", "clipping"): 0.001,
    ("reviews", "augmentation"): 0.01,
    ("reviews", "label smoothing"): 0.003,
    ("reviews", "normalisation"): 0.003,
    ("reviews", "averaging"): 0.001,
    ("reviews", "early stopping"): 0.001,
    ("reviews", "SGD"): 0.1,
    ("reviews", "Adagrad"): 0.01,
    ("reviews", "bare"): 0.0003,
}


@dataclass(frozen=True)
class Config:
    """One way to train on one task.

    Attributes:
        task: "digits" or "reviews".
        method: "all" for the whole recipe; "SGD" or "Adagrad" for it with that optimiser in the place of
            AdamW; "bare" for AdamW at a constant rate and nothing else; otherwise what is left out.
        rate: the learning rate.
        scored_on: "test", or "valid" for the rows that choose `rate`.
    """

    task: str
    method: str
    rate: float
    scored_on: str = "test"


def grid() -> list[tuple[Config, int]]:
    """The rows that choose, then each method at the rate that was chosen for it."""
    tuning = [
        (Config(task, method, rate, "valid"), seed)
        for task in TASKS
        for method in METHODS
        for rate in RATES
        for seed in TUNING_SEEDS
    ]
    final = [(Config(task, method, rate), seed) for (task, method), rate in CHOSEN.items() for seed in SEEDS]
    return tuning + final


def smallest() -> list[tuple[Config, int]]:
    """What counted on the digits: all, without augmentation, without normalisation, and the bare loop."""
    shown = ("all", "augmentation", "normalisation", "bare")
    final = [pair for pair in grid() if pair[0].task == "digits" and pair[0].scored_on == "test"]
    return [pair for pair in final if pair[0].method in shown]


def chosen(rows: pd.DataFrame) -> dict[tuple[str, str], float]:
    """For each task and method the rate of the highest validation accuracy, a mean over the tuning seeds."""
    tuning = rows[rows["scored_on"] == "valid"]
    accuracy = tuning.groupby(["task", "method", "rate"])["accuracy"].mean()
    return {(task, method): float(accuracy[task, method].idxmax()) for task in TASKS for method in METHODS}


def run(config: Config, seed: int) -> dict[str, float]:
    """Draw the labelled examples, train, and score: all test examples together, and in blocks of fifty.

    The blocks are always the same examples, so that the luck of the test set can be told from their scores.
    """
    train, valid, test, model = digits_task(seed) if config.task == "digits" else reviews_task(seed)
    trained = fit(config, seed, model, train, valid)
    inputs, labels = test if config.scored_on == "test" else valid
    right = training.predict(trained, inputs).nan_to_num().argmax(dim=1) == labels
    scores = {"accuracy": right.double().mean().item()}
    if config.scored_on == "test":
        scores |= {f"block_{i:02}": part.double().mean().item() for i, part in enumerate(right.chunk(BLOCKS))}
    return scores


def fit(config: Config, seed: int, model: nn.Module, train: tuple, valid: tuple) -> nn.Module:
    """Train with all that the config leaves in; the model, or the copy that was averaged or kept.

    A run that diverges keeps what it was at its best, or ends as it is.
    """
    out = config.method
    bare = out == "bare"
    epochs, batch_size = EPOCHS[config.task], BATCH[config.task]
    steps = epochs * -(-len(train[1]) // batch_size)
    if out == "normalisation":
        without_normalisation(model)
    optimizer = optimiser(model, config)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95), use_buffers=True)
    optimizer.register_step_post_hook(lambda *_: averaged.update_parameters(model))
    result = model if bare or out == "averaging" else averaged.module
    best: dict[str, object] = {"loss": float("inf"), "weights": None}

    def keep_best(epoch: int) -> None:
        if epoch and not bare and out != "early stopping":
            loss = training.evaluate(result, valid)["loss"]
            if loss < best["loss"]:
                best.update(loss=loss, weights=copy.deepcopy(result.state_dict()))

    with contextlib.suppress(FloatingPointError):
        training.fit(
            model,
            Batches(*train, batch_size, seed, augmented=not bare and out != "augmentation"),
            optimizer=optimizer,
            schedule=schedule(optimizer, steps, rise=not bare and out != "warm-up",
                              fall=not bare and out != "decay"),
            epochs=epochs,
            loss=nn.CrossEntropyLoss(label_smoothing=0.0 if bare or out == "label smoothing" else 0.1),
            clip_norm=None if bare or out == "clipping" else 1.0,
            on_epoch_start=keep_best,
        )  # fmt: skip
        keep_best(epochs)
    if best["weights"] is not None:
        result.load_state_dict(best["weights"])
    return result


def optimiser(model: nn.Module, config: Config) -> torch.optim.Optimizer:
    """AdamW, or the one that the config names, with weight decay unless that is left out."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if config.method == "SGD":
        return torch.optim.SGD(parameters, config.rate, momentum=0.9, weight_decay=5e-4)
    if config.method == "Adagrad":
        return torch.optim.Adagrad(parameters, config.rate, weight_decay=5e-4)
    decay = 0.0 if config.method in ("weight decay", "bare") else 0.05
    return torch.optim.AdamW(parameters, config.rate, weight_decay=decay)


def schedule(
    optimizer: torch.optim.Optimizer, steps: int, *, rise: bool, fall: bool
) -> torch.optim.lr_scheduler.LRScheduler:
    """A tenth of the steps to rise, the others to fall to 0; either may be left out."""
    if fall:
        return schedules.warmup_linear(optimizer, steps, warmup=0.1 if rise else 0.0)
    rising = round(0.1 * steps) if rise else 0
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (rising + 1)))


class Batches:
    """Shuffled batches; with `augmented`, digits are moved by up to a pixel and words are left out."""

    def __init__(self, inputs, labels: Tensor, batch_size: int, seed: int, *, augmented: bool) -> None:
        self.inputs, self.labels, self.batch_size, self.augmented = inputs, labels, batch_size, augmented
        self.random = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple]:
        for index in torch.randperm(len(self.labels), generator=self.random).split(self.batch_size):
            if isinstance(self.inputs, Tensor):
                yield self.moved(self.inputs[index]), self.labels[index]
            else:
                batch = {name: value[index] for name, value in self.inputs.items()}
                yield self.thinned(batch), self.labels[index]

    def moved(self, images: Tensor) -> Tensor:
        if not self.augmented:
            return images
        padded, size = F.pad(images, (1, 1, 1, 1)), images.shape[-1]
        down, right = torch.randint(3, (2, len(images)), generator=self.random).tolist()
        return torch.stack([image[:, d : d + size, r : r + size]
                            for image, d, r in zip(padded, down, right, strict=True)])  # fmt: skip

    def thinned(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if not self.augmented:
            return batch
        mask = batch["mask"]
        kept = torch.rand(mask.shape, generator=self.random) > 0.15
        kept[:, 0] = True
        return batch | {"mask": mask & kept}


def without_normalisation(model: nn.Module) -> None:
    """Put the identity in the place of every BatchNorm and LayerNorm."""
    for name, part in list(model.named_modules()):
        if isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, nn.Identity())


def digits_task(seed: int) -> tuple[tuple, tuple, tuple, nn.Module]:
    """Digits of 14 × 14 pixels and a convolutional network of two layers."""
    splits = whole("digits")
    train = datasets.subset(splits.train, limit=LABELS["digits"], seed=seed)
    parts = [train, splits.valid, splits.test]
    counts = (None, WATCHED, SCORED)
    images = [digits.resize(part.inputs[:n], 14).float() / 255 for part, n in zip(parts, counts, strict=True)]
    pairs = [(x, part.labels[:n]) for x, part, n in zip(images, parts, counts, strict=True)]
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 9, 10),
    )  # fmt: skip
    return (*pairs, model)


def reviews_task(seed: int) -> tuple[tuple, tuple, tuple, nn.Module]:
    """Reviews as MiniLM's word vectors, which are not trained, and a transformer of one small block."""
    splits = whole("reviews")
    train = datasets.subset(splits.train, limit=LABELS["reviews"], seed=seed)
    valid = datasets.subset(splits.valid, limit=WATCHED)
    test = datasets.subset(splits.test, limit=SCORED)
    table, prepare = words()
    pairs = []
    for part in (train, valid, test):
        tokens = prepare(part.inputs)
        inputs = {"x": F.embedding(tokens["input_ids"], table), "mask": tokens["attention_mask"].bool()}
        pairs.append((inputs, part.labels))
    torch.manual_seed(seed)
    return (*pairs, Reader(table.shape[1]))


@functools.cache
def whole(task: str) -> datasets.Splits:
    """All of a data set, read once in a process."""
    return datasets.mnist_5k() if task == "digits" else datasets.rotten_tomatoes()


@functools.cache
def words() -> tuple[Tensor, object]:
    """The word vectors of MiniLM, (V, 384), each of mean 0 and variance 1, and its tokeniser."""
    backbone = backbones.minilm(max_tokens=TOKENS)
    weights = dict(backbone.module.named_parameters())
    table = next(weights[name] for name in weights if name.endswith("word_embeddings.weight")).detach()
    return F.layer_norm(table, table.shape[1:]), backbone.prepare


class Reader(nn.Module):
    """A transformer block over projected word vectors, the mean over the words, two logits."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.project = nn.Linear(features, WIDTH)
        self.places = nn.Parameter(0.1 * torch.randn(TOKENS, WIDTH))
        self.block = Block()
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, 384), (B, T)
        x = self.block(self.project(x) + self.places[: x.shape[1]], mask)
        weights = mask.float().unsqueeze(-1)
        return self.head((x * weights).sum(dim=1) / weights.sum(dim=1))


class Block(nn.Module):
    """Attention and a network for each word, each added to its input and then normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.inner = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH))
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, D), (B, T)
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = self.norm1(x + self.out(attended.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.inner(x))
