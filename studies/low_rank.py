"""How low may the rank of an update be, and what is lost? (chapter: low-rank adaptation)

MiniLM learns to tell film reviews apart: all of its weights, low-rank updates of its queries and values, or
its head alone. The settings of each were chosen by the rows with `scored_on="valid"`, on seeds of their own.
Afterwards the update of full fine-tuning is cut down to a low rank and scored again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from transferbook.data import datasets
from transferbook.evidence import metrics
from transferbook.learning import training, transfer
from transferbook.models import backbones, lora

LABELS = 256
EPOCHS = 3
BATCH = 16
HEAD_RATE = 1e-3
LAYERS = ("query", "value")  # the choice of Hu et al. (2022)
ALPHA = 16.0
RANKS = (1, 2, 4, 8, 16, 32, 64)
MORE_LABELS = 512  # for the probe, LoRA of rank 8 and all weights, with the same settings
SPECTRUM = (1, 2, 4, 8, 16, 32, 64)  # ranks at which the share of the squared norm is recorded
KEPT = (0, 1, 4, 16)  # ranks to which the update of full fine-tuning is cut
SEEDS = range(5)
TUNING_SEEDS = (100, 101)
REVIEWS = {"test": 1_000, "valid": 600}  # scored
QUICK = {"labels": 32, "epochs": 2, "reviews": 100}  # rows that the book's tests can afford to run again
CANDIDATES = {
    ("probe", 0): (1e-3, 1e-2, 1e-1, 1.0),
    ("fine-tuned", 0): (5e-5, 1e-4, 2e-4, 4e-4),
    ("lora", 1): (2e-3, 4e-3, 8e-3),
    ("lora", 8): (2e-3, 4e-3, 8e-3),
    ("lora", 64): (2e-3, 4e-3, 8e-3),
}

# In two statements: the fingerprint of `run` goes by names and would take the choices for a part of `run`.
CHOSEN: dict[tuple[str, int], float] = {}
CHOSEN.update(
    {
        ("probe", 0): 0.01,
        ("fine-tuned", 0): 2e-4,
        ("lora", 1): 4e-3,
        ("lora", 8): 4e-3,
        ("lora", 64): 4e-3,
    }
)


@dataclass(frozen=True)
class Config:
    """One way to adapt the network.

    Attributes:
        method: "probe", "fine-tuned" or "lora".
        rank: of each update of "lora"; 0 for the others.
        strength: inverse penalty C of "probe", learning rate of the encoder's weights of the others.
        labels: labelled reviews used for training.
        epochs: passes over them; 0 for the probe, which runs to convergence.
        kept: ranks to which the trained update is cut, for "fine-tuned".
        reviews: how many held-out reviews are scored, the same in every row of a kind.
        scored_on: "test", or "valid" for the rows that choose `strength`.
    """

    method: str
    rank: int
    strength: float
    labels: int = LABELS
    epochs: int = EPOCHS
    kept: tuple[int, ...] = ()
    reviews: int = REVIEWS["test"]
    scored_on: str = "test"


def grid() -> list[tuple[Config, int]]:
    """The rows that choose, the comparison, and small rows of each method."""
    tuning = [
        (config(*key, candidate, scored_on="valid"), seed)
        for key, candidates in CANDIDATES.items()
        for candidate in candidates
        for seed in TUNING_SEEDS
    ]
    if not CHOSEN:
        return tuning
    final = [config(method, rank, strength(method, rank)) for method, rank in methods()]
    some = [(method, rank) for method, rank in methods() if rank in (0, 8)]
    quick = [config(method, rank, strength(method, rank), **QUICK) for method, rank in some]
    return tuning + [(each, seed) for each in final + more() + quick for seed in SEEDS]


def more() -> list[Config]:
    """The probe, LoRA of rank 8 and full fine-tuning with twice the labels."""
    pairs = (("probe", 0), ("lora", 8), ("fine-tuned", 0))
    return [config(method, rank, strength(method, rank), labels=MORE_LABELS) for method, rank in pairs]


def smallest() -> list[tuple[Config, int]]:
    """The probe and LoRA of rank 8 with the larger number of labels."""
    return [(each, seed) for each in more() if each.method != "fine-tuned" for seed in SEEDS]


def methods() -> list[tuple[str, int]]:
    """Method and rank of all that is compared."""
    return [("probe", 0), ("fine-tuned", 0), *(("lora", rank) for rank in RANKS)]


def strength(method: str, rank: int) -> float:
    """What the tuning rows chose, for a rank between two tuned ones what they chose for the lower one."""
    tuned = max(r for m, r in CHOSEN if m == method and r <= rank)
    return CHOSEN[method, tuned]


def config(method: str, rank: int, strength: float, **other: Any) -> Config:
    """A config with what follows from the method filled in."""
    if other.get("scored_on") == "valid":
        other["reviews"] = REVIEWS["valid"]
    elif method == "fine-tuned":
        other["kept"] = KEPT
    if method == "probe":
        other["epochs"] = 0
    return Config(method, rank, strength, **other)


def chosen(rows: pd.DataFrame) -> dict[tuple[str, int], float]:
    """For each method the candidate of the highest validation accuracy, a mean over the tuning seeds."""
    accuracy = rows[rows["scored_on"] == "valid"].groupby(["method", "rank", "strength"])["accuracy"].mean()
    return {key: float(accuracy[key].idxmax()) for key in CANDIDATES}


def run(config: Config, seed: int) -> dict[str, float]:
    """Draw the labelled reviews, train, score; then cut the update to each kept rank, and score again."""
    splits = datasets.rotten_tomatoes(limit=config.labels, seed=seed)
    held_out = splits.test if config.scored_on == "test" else splits.valid
    held_out = datasets.subset(held_out, limit=config.reviews)
    backbone = backbones.minilm()
    if config.method == "probe":
        features = transfer.embed(backbone, splits.train.inputs)
        head = transfer.linear_probe(features, splits.train.labels, C=config.strength)
        return scores(head(transfer.embed(backbone, held_out.inputs)), held_out.labels)
    model = transfer.Classifier(backbone.module, nn.Linear(backbone.width, 2))
    start = linear_weights(model.encoder)
    if config.method == "lora":
        lora.add_lora(model.encoder, LAYERS, config.rank, ALPHA)
    train(model, (backbone.prepare(splits.train.inputs), splits.train.labels), config, seed)
    inputs = backbone.prepare(held_out.inputs)
    found = scores(training.predict(model, inputs), held_out.labels)
    if config.kept:
        found |= cut(model, start, config.kept, inputs, held_out.labels)
    return found


def train(model: nn.Module, data: training.Data, config: Config, seed: int) -> None:
    """What needs a gradient, by AdamW; the new head has a rate of its own, the same for every method."""
    groups = transfer.parameter_groups(
        model, config.strength, weight_decay=0.01, head_learning_rate=HEAD_RATE
    )
    optimizer = torch.optim.AdamW(groups, fused=True)
    training.fit(
        model,
        data,
        optimizer=optimizer,
        schedule=training.warmup_linear(optimizer, config.epochs * -(-config.labels // BATCH)),
        epochs=config.epochs,
        batch_size=BATCH,
        clip_norm=1.0,
        seed=seed,
    )


def scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy and mean negative log-likelihood."""
    found = metrics.classification_scores(logits, labels)
    return {name: found[name] for name in ("accuracy", "nll")}


def linear_weights(encoder: nn.Module) -> dict[str, Tensor]:
    """Copies of the weights of the encoder's linear layers, by name."""
    layers = encoder.named_modules()
    return {name: layer.weight.detach().clone() for name, layer in layers if isinstance(layer, nn.Linear)}


def cut(
    model: transfer.Classifier,
    start: dict[str, Tensor],
    kept: tuple[int, ...],
    inputs: dict[str, Tensor],
    labels: Tensor,
) -> dict[str, float]:
    """Size and spectrum of the update of the linear layers, and accuracy with only its largest parts left.

    The other weights (embeddings, biases, normalisation, the head) stay as they were trained.
    """
    parts = {
        name: torch.linalg.svd(weight - start[name], full_matrices=False)
        for name, weight in linear_weights(model.encoder).items()
    }
    norms = [s.norm() / start[name].norm() for name, (_, s, _) in parts.items()]
    found = {"relative_norm": float(torch.stack(norms).mean())}
    for rank in SPECTRUM:
        shares = [s[:rank].square().sum() / s.square().sum() for _, s, _ in parts.values()]
        found[f"energy_{rank}"] = float(torch.stack(shares).mean())
    for rank in kept:
        for name, (u, s, vt) in parts.items():
            weight = start[name] + (u[:, :rank] * s[:rank]) @ vt[:rank]
            model.encoder.get_submodule(name).weight.detach().copy_(weight)
        found[f"cut_to_{rank}"] = scores(training.predict(model, inputs), labels)["accuracy"]
    return found
