"""How much of what a source is worth is the strength of a penalty? (chapter: newsgroups)

The posts, the draws and the features are those of the study newsgroups_shift. There, each use of the source
has one strength for all numbers of target labels. Here, every number of labels has its own choice, and all
uses choose from equally many strengths. A row fits all of them, and scores each on validation and on test
posts, so that the choice can be made from validation posts alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from transferbook.data import datasets
from transferbook.evidence import studies
from transferbook.learning import transfer

PER_TOPIC = (1, 4, 16, 64, 256)  # target labels
SEEDS = range(5)
STRENGTHS = {
    "target": (0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0),
    "pooled": (0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0),
    "ridge": (10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0),
}
SOURCE_STRENGTH = {"tf-idf": 100.0, "probe": 1.0}


@dataclass(frozen=True)
class Config:
    """One use of the source with one number of target labels, at every strength.

    Attributes:
        method: how a post is read: "tf-idf" or "probe" (the frozen network).
        use: of the source: "target" (none), "pooled" (more training posts) or "ridge" (a penalty towards it).
        per_topic: labelled target posts of each topic.
        stop_words: whether TF-IDF leaves out scikit-learn's list of English stop words.
    """

    method: str
    use: str
    per_topic: int
    stop_words: bool = False


def grid() -> list[tuple[Config, int]]:
    """Every use at every budget; words with and without the list of stop words."""
    readers = [("tf-idf", False), ("tf-idf", True), ("probe", False)]
    configs = [
        Config(method, use, n, stop_words)
        for method, stop_words in readers
        for use in STRENGTHS
        for n in PER_TOPIC
    ]
    return [(config, seed) for config in configs for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """Words at a small budget."""
    return [(config, seed) for config, seed in grid() if config.method == "tf-idf" and config.per_topic == 4]


def run(config: Config, seed: int) -> dict[str, float]:
    """Draw the labelled posts, fit at each strength, and score on validation and on test posts."""
    shift = studies.open_study("newsgroups_shift").module
    splits = datasets.newsgroups()
    source = datasets.subset(
        shift.domain(splits, "train", shift.SOURCE), per_class=shift.SOURCE_PER_TOPIC, seed=seed
    )
    pool = shift.domain(splits, "train", shift.TARGET)
    target = datasets.subset(pool, per_class=config.per_topic, seed=seed)
    test = datasets.subset(shift.domain(splits, "test", shift.TARGET), per_class=shift.TEST_PER_TOPIC)
    held_out = {"valid": shift.domain(splits, "valid", shift.TARGET), "test": test}
    parts = [target] if config.use == "target" else [source, target]
    read = shift.words if config.method == "tf-idf" else shift.vectors
    how = shift.Config(
        config.method, config.use, config.per_topic, 0.0, 0.0, 0,
        0 if config.method == "tf-idf" else 64, config.stop_words,
    )  # fmt: skip
    texts = [text for part in held_out.values() for text in part.inputs]
    *inputs, scored = read(how, [part.inputs for part in parts], texts)
    answers = np.concatenate([part.labels.numpy() for part in held_out.values()])
    metrics = {}
    for place, strength in enumerate(STRENGTHS[config.use]):
        right = predictions(config, strength, inputs, parts, scored) == answers
        first = len(held_out["valid"])
        metrics |= {
            f"valid_{place}": float(right[:first].mean()),
            f"test_{place}": float(right[first:].mean()),
        }
    return metrics


def predictions(
    config: Config,
    strength: float,
    inputs: list[sparse.csr_matrix],
    parts: list[datasets.Part],
    scored: sparse.csr_matrix,
) -> np.ndarray:
    """The predicted topics of the posts to be scored, one for each."""
    labels = [part.labels.numpy() for part in parts]
    if config.use == "ridge":
        model = LogisticRegression(C=SOURCE_STRENGTH[config.method], max_iter=5_000)
        start = studies.open_study("newsgroups_shift").module.layer(model.fit(inputs[0], labels[0]))
        head = transfer.ridge_to_source(inputs[1], parts[1].labels, start, C=strength)
        weight, bias = head.weight.double().numpy(), head.bias.double().numpy()
        return (scored @ weight.T + bias).argmax(axis=1)
    largest = max(map(len, parts))
    weights = np.repeat([largest / len(part) for part in parts], [len(part) for part in parts])
    model = LogisticRegression(C=strength, max_iter=5_000)
    model.fit(sparse.vstack(inputs), np.concatenate(labels), weights)
    return model.predict(scored)
