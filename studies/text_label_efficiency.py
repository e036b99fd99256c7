"""How many labelled reviews is a pretrained network worth? (chapter: BERT text classifier)

Four classifiers of film reviews at four label budgets, and the pretrained one with parts of it frozen. The
settings of each were chosen by the rows with `scored_on="valid"`: at one budget, on seeds of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from transferbook.data import datasets
from transferbook.evidence import metrics
from transferbook.learning import training, transfer
from transferbook.models import backbones

BUDGETS = {32: 20, 128: 10, 512: 5, 2_048: 2}  # labels: epochs
SEEDS = range(5)
TUNING_LABELS = 512
TUNING_SEEDS = (100, 101)
FROZEN = (4, 6)  # embeddings and the first three layers; all but the last layer
CANDIDATES = {  # the rate 1e-5 is the source article's
    ("tf-idf", 0): (1.0, 3.0, 10.0, 30.0, 100.0),
    ("probe", 0): (1e-3, 1e-2, 1e-1, 1.0),
    ("fine-tuned", 0): (1e-5, 5e-5, 1e-4, 2e-4, 4e-4),
    ("fine-tuned", 4): (5e-5, 1e-4, 2e-4, 4e-4),
    ("fine-tuned", 6): (5e-5, 1e-4, 2e-4, 4e-4),
    ("scratch", 0): (3e-5, 1e-4, 3e-4, 1e-3),
}

CHOSEN: dict[tuple[str, int], float] = {
    ("tf-idf", 0): 100.0,
    ("probe", 0): 0.01,
    ("fine-tuned", 0): 5e-05,
    ("fine-tuned", 4): 5e-05,
    ("fine-tuned", 6): 0.0002,
    ("scratch", 0): 0.0003,
}


@dataclass(frozen=True)
class Config:
    """One classifier at one budget.

    Attributes:
        method: "tf-idf", "probe", "fine-tuned" or "scratch".
        labels: labelled reviews used for training.
        strength: inverse penalty C of "tf-idf" and "probe", learning rate of the others.
        epochs: passes over the labelled reviews; 0 for the convex methods, which run to convergence.
        frozen: stages of the encoder that stay as they are, counted from the input (embeddings, then layers).
        scored_on: "test", or "valid" for the rows that choose `strength`.
    """

    method: str
    labels: int
    strength: float
    epochs: int
    frozen: int = 0
    scored_on: str = "test"


def grid() -> list[tuple[Config, int]]:
    """The rows that choose, then the comparison at every budget and the frozen variants at one."""
    tuning = [
        (Config(method, TUNING_LABELS, strength, epochs(method, TUNING_LABELS), frozen, "valid"), seed)
        for (method, frozen), candidates in CANDIDATES.items()
        for strength in candidates
        for seed in TUNING_SEEDS
    ]
    comparison = [
        (Config(method, labels, strength, epochs(method, labels), frozen), seed)
        for (method, frozen), strength in CHOSEN.items()
        for labels in (BUDGETS if frozen == 0 else (TUNING_LABELS,))
        for seed in SEEDS
    ]
    return tuning + comparison


def smallest() -> list[tuple[Config, int]]:
    """Everything at the smallest budget."""
    return [pair for pair in grid() if pair[0].scored_on == "test" and pair[0].labels == min(BUDGETS)]


def epochs(method: str, labels: int) -> int:
    """Passes over the data: fewer of them, yet more steps, for a larger budget."""
    return BUDGETS[labels] if method in ("fine-tuned", "scratch") else 0


def chosen(rows: pd.DataFrame) -> dict[tuple[str, int], float]:
    """For each classifier the candidate of the highest validation accuracy, a mean over the tuning seeds."""
    tuning = rows[rows["scored_on"] == "valid"]
    accuracy = tuning.groupby(["method", "frozen", "strength"])["accuracy"].mean()
    return {key: float(accuracy[key].idxmax()) for key in CANDIDATES}


def run(config: Config, seed: int) -> dict[str, float]:
    """Draw the labelled subset, train, and score once."""
    splits = datasets.rotten_tomatoes(limit=config.labels, seed=seed)
    held_out = splits.test if config.scored_on == "test" else splits.valid
    predict = {"tf-idf": tf_idf, "probe": probe}.get(config.method, neural)
    logits = predict(config, seed, splits.train, held_out.inputs)
    return metrics.classification_scores(logits, held_out.labels)


def tf_idf(config: Config, seed: int, train: datasets.Part, texts: list[str]) -> Tensor:
    """Logistic regression on words and pairs of words, weighted by how rare they are."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    features = vectorizer.fit_transform(train.inputs)
    model = LogisticRegression(C=config.strength, max_iter=2_000).fit(features, train.labels)
    return torch.from_numpy(model.predict_log_proba(vectorizer.transform(texts)))


def probe(config: Config, seed: int, train: datasets.Part, texts: list[str]) -> Tensor:
    """Logistic regression on the features of the frozen network."""
    backbone = backbones.minilm()
    head = transfer.linear_probe(transfer.embed(backbone, train.inputs), train.labels, C=config.strength)
    return head(transfer.embed(backbone, texts))


def neural(config: Config, seed: int, train: datasets.Part, texts: list[str]) -> Tensor:
    """The network with a new head, from its pretrained weights or from random ones, trained by AdamW."""
    backbone = backbones.minilm(pretrained=config.method == "fine-tuned", seed=seed)
    model = transfer.Classifier(backbone.module, nn.Linear(backbone.width, 2))
    transfer.freeze_stages(model.encoder, config.frozen)
    groups = transfer.parameter_groups(model, config.strength, weight_decay=0.01)
    optimizer = torch.optim.AdamW(groups, fused=True)
    steps = config.epochs * -(-len(train) // 16)
    training.fit(
        model,
        (backbone.prepare(train.inputs), train.labels),
        optimizer=optimizer,
        schedule=training.warmup_linear(optimizer, steps),
        epochs=config.epochs,
        batch_size=16,
        clip_norm=1.0,
        seed=seed,
    )
    return training.predict(model, backbone.prepare(texts))
