"""What is a source worth when its topics are the target's but its newsgroups are not? (chapter: newsgroups)

Posts are sorted into four topics. Source and target share the topics and no newsgroup. Three ways to read a
post (words, a frozen network, the network fine-tuned) meet five uses of the source. The strength of each was
chosen by the rows scored on validation posts: at one budget, on seeds of their own.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer

from transferbook import runtime
from transferbook.data import assets, datasets
from transferbook.evidence import metrics
from transferbook.learning import training, transfer
from transferbook.models import backbones

TOPICS = ("comp", "rec", "sci", "talk")
SOURCE = (
    "comp.sys.ibm.pc.hardware", "comp.sys.mac.hardware", "rec.autos", "rec.motorcycles",
    "sci.crypt", "sci.electronics", "talk.politics.guns", "talk.politics.misc",
)  # fmt: skip
TARGET = (
    "comp.graphics", "comp.windows.x", "rec.sport.baseball", "rec.sport.hockey",
    "sci.med", "sci.space", "talk.politics.mideast", "talk.religion.misc",
)  # fmt: skip
SOURCE_PER_TOPIC = 256
TEST_PER_TOPIC = 250
PER_TOPIC = (1, 4, 16, 64, 256)  # target labels
EPOCHS = {1: 20, 4: 15, 16: 8, 64: 3, 256: 2}  # of fine-tuning, by target labels a topic
TUNED = {"target": (1, 16, 64)}  # target labels for the network, fine-tuned
SEEDS = range(5)
TUNING_PER_TOPIC = 16
TUNING_SEEDS = (100, 101)
WINDOWS = (32, 128, 256)  # tokens read, beside 64
WINDOW_PER_TOPIC = 64
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1_000.0)
WEAK_PENALTIES = (10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)
RATES = (1.0, 3.0, 10.0, 30.0, 100.0)
CANDIDATES = {
    ("tf-idf", "source"): PENALTIES,
    ("tf-idf", "target"): PENALTIES,
    ("tf-idf", "pooled"): PENALTIES,
    ("tf-idf", "warm"): RATES,
    ("tf-idf", "ridge"): WEAK_PENALTIES,
    ("probe", "source"): PENALTIES,
    ("probe", "target"): PENALTIES,
    ("probe", "pooled"): PENALTIES,
    ("probe", "warm"): RATES,
    ("probe", "ridge"): WEAK_PENALTIES,
    ("fine-tuned", "source"): (1e-4, 2e-4),
    ("fine-tuned", "target"): (5e-5, 1e-4, 2e-4),
    ("fine-tuned", "warm"): (5e-5, 1e-4, 2e-4),
}
SOURCE_STRENGTH = {"tf-idf": 100.0, "probe": 1.0, "fine-tuned": 1e-4}  # in the rows that choose

CHOSEN: dict[tuple[str, str], float] = {
    ("tf-idf", "source"): 100.0,
    ("tf-idf", "target"): 100.0,
    ("tf-idf", "pooled"): 0.1,
    ("tf-idf", "warm"): 30.0,
    ("tf-idf", "ridge"): 100000.0,
    ("probe", "source"): 1.0,
    ("probe", "target"): 1.0,
    ("probe", "pooled"): 0.1,
    ("probe", "warm"): 30.0,
    ("probe", "ridge"): 10000.0,
    ("fine-tuned", "source"): 0.0002,
    ("fine-tuned", "target"): 0.0002,
    ("fine-tuned", "warm"): 0.0001,
}


@dataclass(frozen=True)
class Config:
    """One classifier with one number of target labels.

    Attributes:
        method: how a post is read: "tf-idf", "probe" (the frozen network) or "fine-tuned".
        use: of the source: "source" (nothing else), "target" (none), "pooled" (both at once), "warm" (a few
            epochs of training from the source's weights) or "ridge" (a penalty towards them).
        per_topic: labelled target posts of each topic; 0 for "source".
        strength: inverse penalty C or, for "warm" and "fine-tuned", learning rate.
        source_strength: the same for the training on the source; 0 where there is none.
        epochs: passes over the target posts; 0 for the convex methods, which run to convergence.
        tokens: read of each post, at most; 0 for the whole post.
        stop_words: whether TF-IDF leaves out scikit-learn's list of English stop words.
        scored_on: "target" or "source" (test posts), or "target valid" or "source valid" for the rows that
            choose `strength`.
    """

    method: str
    use: str
    per_topic: int
    strength: float
    source_strength: float
    epochs: int
    tokens: int
    stop_words: bool = False
    scored_on: str = "target"


def config(method: str, use: str, per_topic: int, strength: float, **other: Any) -> Config:
    """A config with what follows from the method and the use filled in."""
    if method == "fine-tuned":
        epochs = 1 if use == "source" else EPOCHS[per_topic]
    else:
        epochs = 10 if use == "warm" else 0
    fields = {
        "per_topic": 0 if use == "source" else per_topic,
        "source_strength": SOURCE_STRENGTH[method] if use in ("warm", "ridge") else 0.0,
        "epochs": epochs,
        "tokens": 0 if method == "tf-idf" else 64,
    }
    return Config(method=method, use=use, strength=strength, **fields | other)


def grid() -> list[tuple[Config, int]]:
    """The rows that choose, the comparison at every budget, and variations at one."""
    tuning = [
        (config(*key, TUNING_PER_TOPIC, strength, scored_on=f"{scored_on(key[1])} valid"), seed)
        for key, candidates in CANDIDATES.items()
        for strength in candidates
        for seed in TUNING_SEEDS
    ]
    final = []
    for (method, use), strength in CHOSEN.items():
        if method == "fine-tuned":
            final += [config(method, use, n, strength) for n in TUNED.get(use, ())]
        elif use == "source":
            final += [config(method, use, 0, strength, scored_on=side) for side in ("source", "target")]
        else:
            other = {"source_strength": CHOSEN[method, "source"]} if use in ("warm", "ridge") else {}
            final += [config(method, use, n, strength, **other) for n in PER_TOPIC]
    for method in ("tf-idf", "probe") if CHOSEN else ():
        strength = CHOSEN[method, "target"]
        final += [config(method, "target", WINDOW_PER_TOPIC, strength, tokens=tokens) for tokens in WINDOWS]
    if CHOSEN:
        words = functools.partial(config, "tf-idf", "target", strength=CHOSEN["tf-idf", "target"])
        final += [words(n, tokens=64) for n in PER_TOPIC]
        final += [words(n, stop_words=True) for n in PER_TOPIC]
    return tuning + [(each, seed) for each in final for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """Words at a small budget, however the source is used, and the two networks with the target alone."""
    few = {("tf-idf", 0), ("tf-idf", 4), ("probe", 4), ("fine-tuned", 1)}
    return [
        (config, seed)
        for config, seed in grid()
        if (config.method, config.per_topic) in few
        and not config.scored_on.endswith("valid")
        and (config.method == "tf-idf" or config.use == "target")
    ]


def scored_on(use: str) -> str:
    """The side whose posts choose a strength: the source's own for the model of the source."""
    return "source" if use == "source" else "target"


def chosen(rows: pd.DataFrame) -> dict[tuple[str, str], float]:
    """For each classifier the candidate of the highest validation accuracy, a mean over the tuning seeds."""
    tuning = rows[rows["scored_on"].str.endswith("valid")]
    accuracy = tuning.groupby(["method", "use", "strength"])["accuracy"].mean()
    return {key: float(accuracy[key].idxmax()) for key in CANDIDATES}


def run(config: Config, seed: int) -> dict[str, float]:
    """Draw the labelled posts of source and target, train, and score once."""
    splits = datasets.newsgroups()
    source = datasets.subset(domain(splits, "train", SOURCE), per_class=SOURCE_PER_TOPIC, seed=seed)
    pool = domain(splits, "train", TARGET)
    target = datasets.subset(pool, per_class=config.per_topic, seed=seed) if config.per_topic else None
    side = SOURCE if config.scored_on.startswith("source") else TARGET
    if config.scored_on.endswith("valid"):
        held_out = domain(splits, "valid", side)
    else:
        held_out = datasets.subset(domain(splits, "test", side), per_class=TEST_PER_TOPIC)
    if config.method == "fine-tuned":
        logits = fine_tuned(config, seed, source, target, held_out.inputs)
    else:
        logits = linear(config, seed, source, target, held_out.inputs)
    return metrics.classification_scores(logits, held_out.labels)


def domain(splits: datasets.Splits, part: str, groups: tuple[str, ...]) -> datasets.Part:
    """The posts of some newsgroups, labelled by topic."""
    whole = getattr(splits, part)
    names = [splits.class_names[label] for label in whole.labels]
    rows = [row for row, name in enumerate(names) if name in groups]
    topics = torch.tensor([TOPICS.index(names[row].split(".")[0]) for row in rows])
    return datasets.Part([whole.inputs[row] for row in rows], topics)


def linear(
    config: Config, seed: int, source: datasets.Part, target: datasets.Part | None, texts: list[str]
) -> Tensor:
    """Logistic regression on fixed features: one learner for words and for the frozen network."""
    parts = {"source": [source], "target": [target]}.get(config.use, [source, target])
    features = words if config.method == "tf-idf" else vectors
    *inputs, held_out = features(config, [part.inputs for part in parts], texts)
    labels = [part.labels.numpy() for part in parts]
    if config.use not in ("warm", "ridge"):
        model = LogisticRegression(C=config.strength, max_iter=5_000)
        largest = max(map(len, parts))
        weights = np.repeat([largest / len(part) for part in parts], [len(part) for part in parts])
        model.fit(sparse.vstack(inputs), np.concatenate(labels), weights)
        return torch.from_numpy(model.predict_log_proba(held_out))
    start = layer(LogisticRegression(C=config.source_strength, max_iter=5_000).fit(inputs[0], labels[0]))
    if config.use == "ridge":
        head = transfer.ridge_to_source(inputs[1], target.labels, start, C=config.strength)
    else:
        head = start.requires_grad_()
        dense = torch.from_numpy(inputs[1].toarray()).float()
        optimizer = torch.optim.SGD(head.parameters(), lr=config.strength)
        training.fit(
            head, (dense, target.labels), optimizer=optimizer, epochs=config.epochs, batch_size=16, seed=seed
        )
    weight, bias = head.weight.detach().double().cpu().numpy(), head.bias.detach().double().cpu().numpy()
    return torch.from_numpy(held_out @ weight.T + bias)


def words(config: Config, parts: list[list[str]], held_out: list[str]) -> list[sparse.csr_matrix]:
    """TF-IDF, its vocabulary and weights from the labelled posts at hand."""
    cut = functools.partial(first_tokens, tokens=config.tokens) if config.tokens else list
    vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english" if config.stop_words else None)
    vectorizer.fit([text for part in parts for text in cut(part)])
    return [vectorizer.transform(cut(part)) for part in (*parts, held_out)]


def first_tokens(texts: list[str], tokens: int) -> list[str]:
    """The texts, cut where the network with that many tokens stops reading."""
    tokenizer = AutoTokenizer.from_pretrained(assets.unpack("minilm"))
    pieces = tokenizer(texts, truncation=True, max_length=tokens, return_offsets_mapping=True)
    ends = [max(end for _, end in offsets) for offsets in pieces["offset_mapping"]]
    return [text[:end] for text, end in zip(texts, ends, strict=True)]


def vectors(config: Config, parts: list[list[str]], held_out: list[str]) -> list[sparse.csr_matrix]:
    """Features of the frozen network, each scaled to unit length, as TF-IDF is."""
    backbone = backbones.minilm(max_tokens=config.tokens)
    embedded = (transfer.embed(backbone, part) for part in (*parts, held_out))
    return [sparse.csr_matrix(F.normalize(each).double().numpy()) for each in embedded]


def layer(model: LogisticRegression) -> nn.Linear:
    """A fitted logistic regression as a torch layer."""
    head = nn.Linear(model.coef_.shape[1], len(model.coef_)).requires_grad_(False)
    head.weight.copy_(torch.from_numpy(model.coef_))
    head.bias.copy_(torch.from_numpy(model.intercept_))
    return head


def fine_tuned(
    config: Config, seed: int, source: datasets.Part, target: datasets.Part | None, texts: list[str]
) -> Tensor:
    """The network with a new head, trained on the source, on the target, or on one after the other."""
    if config.use == "source":
        model = trained_on_source(config.strength, seed, tuple(source.inputs), tuple(source.labels.tolist()))
    else:
        if config.use == "warm":
            arguments = seed, tuple(source.inputs), tuple(source.labels.tolist())
            model = copy.deepcopy(trained_on_source(config.source_strength, *arguments))
        else:
            model = new_classifier(seed)
        train(model, target, config.strength, config.epochs, seed)
    return training.predict(model, backbones.minilm(max_tokens=config.tokens).prepare(texts))


def new_classifier(seed: int) -> transfer.Classifier:
    """The pretrained network with a head of random weights."""
    runtime.seed_everything(seed)
    backbone = backbones.minilm()
    return transfer.Classifier(backbone.module, nn.Linear(backbone.width, len(TOPICS)))


@functools.lru_cache(maxsize=9)
def trained_on_source(
    learning_rate: float, seed: int, texts: tuple[str, ...], labels: tuple[int, ...]
) -> transfer.Classifier:
    """The network after one pass over the source; rows of one seed share it."""
    model = new_classifier(seed)
    train(model, datasets.Part(list(texts), torch.tensor(labels)), learning_rate, 1, seed)
    return model


def train(model: nn.Module, part: datasets.Part, learning_rate: float, epochs: int, seed: int) -> None:
    """AdamW with warm-up, everything random seeded, whatever ran before."""
    runtime.seed_everything(seed)
    groups = transfer.parameter_groups(model, learning_rate, weight_decay=0.01)
    optimizer = torch.optim.AdamW(groups, fused=True)
    schedule = training.warmup_linear(optimizer, epochs * -(-len(part) // 16))
    inputs = backbones.minilm().prepare(part.inputs)
    training.fit(
        model, (inputs, part.labels), optimizer=optimizer, schedule=schedule, epochs=epochs,
        batch_size=16, clip_norm=1.0, seed=seed,
    )  # fmt: skip
