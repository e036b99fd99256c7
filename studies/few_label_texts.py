"""What do few labelled texts teach a pretrained network? (chapter: adapting a language model)

Two tasks, film reviews and topics of newsgroups, with 0 to 64 labels a class. SmolLM2 reads the labelled
texts in its prompt and is not trained, or a probe reads its states; MiniLM stays as it is below a probe, is
fine-tuned, or is tuned by pairs. Every seed draws its own labelled texts and its own test texts, so an
interval over seeds is about both. What is chosen for a method was chosen with eight labels a class, on seeds
of its own, labelled and scored texts both from the validation part. All read the first words of a text only.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import time
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from transferbook.data import datasets
from transferbook.data.splits import Part
from transferbook.learning import contrastive, training, transfer
from transferbook.models import backbones, language_models
from transferbook.models.decoder import Cache

TASKS = ("reviews", "topics")
OTHER = {"reviews": "topics", "topics": "reviews"}
TOPICS = {
    "comp.graphics": 0, "comp.windows.x": 0, "rec.sport.baseball": 1, "rec.sport.hockey": 1,
    "sci.med": 2, "sci.space": 2, "talk.politics.mideast": 3, "talk.politics.guns": 3,
}  # fmt: skip
WORDS_READ = 24  # of each text
SCORED = 200  # test texts of a seed
PROMPTED = 60  # the first of them, all that the language model reads
TOKENS = 48  # that MiniLM reads
AT_ONCE = 8  # texts that the language model reads
SHOTS = (2, 8)  # labels a class, in a prompt
BUDGETS = (2, 8, 64)  # labels a class, for training
STEPS = {2: 20, 8: 20, 64: 30}  # of training, by labels a class
PER_STEP = 16  # texts
SEEDS = range(5)
TUNED_AT = 8  # labels a class
TUNING_SEEDS = (100, 101, 102)
RATES = (1e-5, 3e-5, 1e-4, 3e-4)  # of fine-tuning and of pairs
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # C of every probe
LAYERS = (10, 20, 30)  # after which a probe reads the language model
ELSEWHERE_C = 0.01  # of the probe that asks what is forgotten, for all methods
ANSWERS = {
    "reviews": (" negative", " positive"),
    "topics": (" computers", " sports", " science", " politics"),
}
WORDINGS = {
    "reviews": (
        "Review: {}\nSentiment:", "Text: {}\nThe text is", "{}\nThis film review is",
    ),
    "topics": (
        "Post: {}\nTopic:", "Text: {}\nThe text is about", "{}\nThis message is about",
    ),
}  # fmt: skip
ORDERS = {"reviews": 4, "topics": 2}  # of the same labelled texts in a prompt
EMPTY = "N/A"  # a text that says nothing, for the calibrated answers (Zhao et al., 2021)

CHOSEN: dict[tuple[str, str], dict[str, float]] = {
    ("reviews", "prompt"): {"wording": 0},
    ("reviews", "states"): {"C": 0.001, "layer": 30},
    ("reviews", "probe"): {"C": 1.0},
    ("reviews", "fine-tuned"): {"rate": 0.0001},
    ("reviews", "pairs"): {"C": 0.1, "rate": 3e-05},
    ("topics", "prompt"): {"wording": 1},
    ("topics", "states"): {"C": 1.0, "layer": 30},
    ("topics", "probe"): {"C": 0.001},
    ("topics", "fine-tuned"): {"rate": 0.0001},
    ("topics", "pairs"): {"C": 0.001, "rate": 0.0001},
}


@dataclass(frozen=True)
class Config:
    """One way of teaching one task with so many labels.

    Attributes:
        task: "reviews" or "topics".
        method: "prompt", "states" (a probe on the language model's), "probe", "fine-tuned" or "pairs".
        per_class: labelled texts of each class; 0 for none.
        rate: learning rate of "fine-tuned" and "pairs".
        C: inverse penalty of "states", "probe" and "pairs".
        layer: after which "states" reads.
        wording: which of the task's `WORDINGS`.
        order: of the labelled texts in the prompt.
        labels: "right", or "random" for labels in the prompt that were drawn by lot.
        scored_on: "test", or "valid" for the rows that choose; these score all of `LAYERS` and `PENALTIES`.
    """

    task: str
    method: str
    per_class: int
    rate: float = 0.0
    C: float = 0.0
    layer: int = 0
    wording: int = 0
    order: int = 0
    labels: str = "right"
    scored_on: str = "test"


def grid() -> list[tuple[Config, int]]:
    """The rows that choose; then what was chosen, at every budget; then the prompts."""
    rows = [(config, seed) for task in TASKS for config in tuning(task) for seed in TUNING_SEEDS]
    for labels in BUDGETS:
        rows += [
            (Config(task, method, labels, **options), seed)
            for (task, method), options in CHOSEN.items()
            if method != "prompt"
            for seed in SEEDS
        ]
    prompts = [
        config
        for task, method in CHOSEN
        if method == "prompt"
        for config in [
            *(Config(task, "prompt", 0, wording=wording) for wording in range(3)),
            *(Config(task, "prompt", labels, **CHOSEN[task, method]) for labels in SHOTS),
            *(
                Config(task, "prompt", max(SHOTS), order=order, **CHOSEN[task, method])
                for order in range(1, ORDERS[task])
            ),
            Config(task, "prompt", max(SHOTS), labels="random", **CHOSEN[task, method]),
        ]
    ]
    rows += [(config, seed) for config in prompts for seed in SEEDS]
    return rows


def tuning(task: str) -> list[Config]:
    """What validation chooses from; penalties and layers are tried within a row."""
    return [
        *(Config(task, "prompt", 0, wording=wording, scored_on="valid") for wording in range(3)),
        Config(task, "states", TUNED_AT, scored_on="valid"),
        Config(task, "probe", TUNED_AT, scored_on="valid"),
        *(
            Config(task, method, TUNED_AT, rate=rate, scored_on="valid")
            for method in ("fine-tuned", "pairs")
            for rate in RATES
        ),
    ]


def smallest() -> list[tuple[Config, int]]:
    """Prompts and probes with two labels a class."""
    return [
        (config, seed)
        for config, seed in grid()
        if (config.scored_on, config.per_class) == ("test", 2) and config.method in ("prompt", "probe")
    ]


def chosen(rows: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    """For each task and method the options of the highest validation accuracy, a mean over seeds.

    The wording of a prompt is chosen without labels in it, by the calibrated answers.
    """
    found = {}
    for task in TASKS:
        for method in ("prompt", "states", "probe", "fine-tuned", "pairs"):
            tried = rows[(rows["scored_on"] == "valid") & (rows["task"] == task) & (rows["method"] == method)]
            means = tried.groupby(["rate", "wording"]).mean(numeric_only=True)
            if method == "prompt":
                found[task, method] = {"wording": int(means["calibrated"].idxmax()[1])}
            elif method == "fine-tuned":
                found[task, method] = {"rate": float(means["accuracy"].idxmax()[0])}
            else:
                pairs = {option(*pair): pair for pair in itertools.product(layers(method), PENALTIES)}
                rate, _, name = means[list(pairs)].stack().idxmax()
                layer, C = pairs[name]
                found[task, method] = {"C": C} | {
                    key: value for key, value in (("rate", float(rate)), ("layer", layer)) if value
                }
    return found


def layers(method: str) -> tuple[int, ...]:
    """After which layers a probe may read; 0 stands for the network's own summary of a text."""
    return LAYERS if method == "states" else (0,)


def option(layer: int, C: float) -> str:
    """The name of a metric of the rows that choose."""
    return f"accuracy_layer{layer}_C{C:g}"


def run(config: Config, seed: int) -> dict[str, float]:
    """Draw labelled and test texts, teach, and score once."""
    train, held_out = drawn(config.task, config.per_class, seed, config.scored_on)
    if config.method == "prompt":
        return prompted(config, seed, train, held_out)
    network = smollm2() if config.method == "states" else minilm()
    begun = time.process_time()
    if config.method == "states":
        held_out = held_out.select(torch.arange(PROMPTED))
        read = functools.partial(states, network, wording=WORDINGS[config.task][0])
    else:
        if config.method == "pairs":
            network, _ = contrastive.tune(
                network, train.inputs, train.labels, steps=STEPS[config.per_class],
                learning_rate=config.rate, batch_size=PER_STEP, seed=seed,
            )  # fmt: skip
        elif config.method == "fine-tuned":
            network, model = fine_tuned(network, train, config, seed)
        read = functools.partial(features, network)
    x = {} if config.method == "fine-tuned" else read(train.inputs)
    taught = time.process_time()
    z = {} if config.method == "fine-tuned" else read(held_out.inputs)
    if config.scored_on == "valid" and config.method != "fine-tuned":
        return {
            option(layer, C): mean(probed(x[layer], train.labels, z[layer], C) == held_out.labels)
            for layer in x
            for C in PENALTIES
        }
    if config.method == "fine-tuned":
        answers = training.predict(model, network.prepare(held_out.inputs)).argmax(dim=1)
    else:
        answers = probed(x[config.layer], train.labels, z[config.layer], config.C)
    right = answers == held_out.labels
    scores = {"accuracy_first": mean(right[:PROMPTED])}
    scores["teaching_seconds"] = taught - begun  # its probe apart, which takes milliseconds
    scores["reading_seconds"] = (time.process_time() - taught) / len(right)  # of one text
    if config.method != "states":
        scores["accuracy"] = mean(right)
        if config.per_class == TUNED_AT and config.scored_on == "test":
            scores["elsewhere"] = elsewhere(network, OTHER[config.task], seed)
    return scores


def mean(right: Tensor) -> float:
    """The share of right answers."""
    return float(right.double().mean())


@functools.cache
def task_parts(task: str) -> dict[str, Part]:
    """The parts of a task, every text cut to its first words."""
    splits = datasets.rotten_tomatoes() if task == "reviews" else datasets.newsgroups()
    parts = {}
    for name in ("train", "valid", "test"):
        part = getattr(splits, name)
        classes = part.labels.tolist()
        if task == "topics":
            classes = [TOPICS.get(splits.class_names[label], -1) for label in classes]
        kept = [row for row, label in enumerate(classes) if label >= 0]
        texts = [" ".join(part.inputs[row].split()[:WORDS_READ]) for row in kept]
        parts[name] = Part(texts, torch.tensor(classes)[kept])
    return parts


def drawn(task: str, per_class: int, seed: int, scored_on: str) -> tuple[Part, Part]:
    """Labelled texts, as many of each class, and the texts to score, in an order of the seed.

    Where the scores choose, both are of the validation part, and none is in both.
    """
    random = torch.Generator().manual_seed(seed)
    held_out = task_parts(task)[scored_on]
    order = torch.randperm(len(held_out), generator=random)
    held_out, rest = held_out.select(order[:SCORED]), held_out.select(order[SCORED:])
    train = rest if scored_on == "valid" else task_parts(task)["train"]
    order = torch.randperm(len(train), generator=random)
    rows = [order[train.labels[order] == label][:per_class] for label in train.labels.unique()]
    return train.select(torch.cat(rows)), held_out


@functools.cache
def minilm() -> backbones.Backbone:
    """The text encoder, which no row changes."""
    return backbones.minilm(TOKENS)


def features(network: backbones.Backbone, texts: list[str]) -> dict[int, Tensor]:
    """Vectors (N, D) of texts, as the network sums them up."""
    return {0: transfer.embed(network, texts, cache=False)}


def probed(x: Tensor, labels: Tensor, z: Tensor, C: float) -> Tensor:
    """Classes that logistic regression on labelled features says of others."""
    return transfer.linear_probe(x, labels, C=C)(z).argmax(dim=1)


def fine_tuned(
    network: backbones.Backbone, train: Part, config: Config, seed: int
) -> tuple[backbones.Backbone, nn.Module]:
    """A copy of the network with all weights trained below a new head, and the two as one model."""
    network = dataclasses.replace(network, module=copy.deepcopy(network.module).requires_grad_(True))
    head = nn.Linear(network.width, int(train.labels.max()) + 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    model = transfer.Classifier(contrastive.ByLength(network.module), head)
    steps = STEPS[config.per_class]
    batches = contrastive.PairBatches(
        network.prepare(train.inputs), train.labels, steps=steps, batch_size=PER_STEP, seed=seed
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.rate, weight_decay=0.01, fused=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        training.fit(
            model, batches, optimizer=optimizer, epochs=1, clip_norm=1.0,
            schedule=training.warmup_linear(optimizer, steps),
        )  # fmt: skip
    model.cpu().eval()
    return network, model


def elsewhere(network: backbones.Backbone, task: str, seed: int) -> float:
    """Accuracy of a probe on the other task, by what is left of the network."""
    train, held_out = drawn(task, TUNED_AT, seed, "test")
    x, z = (features(network, part.inputs)[0] for part in (train, held_out))
    return mean(probed(x, train.labels, z, ELSEWHERE_C) == held_out.labels)


@functools.cache
def smollm2() -> language_models.LanguageModel:
    """The language model, which no row changes."""
    return language_models.smollm2()


def prompted(config: Config, seed: int, train: Part, held_out: Part) -> dict[str, float]:
    """Score the words of the answers after a prompt; its labelled texts are read once and kept."""
    model, answers = smollm2(), ANSWERS[config.task]
    wording = WORDINGS[config.task][config.wording]
    random = torch.Generator().manual_seed(1_000 * config.order + seed)
    order = torch.randperm(len(train), generator=random)
    labels = train.labels[order]
    if config.labels == "random":
        labels = torch.randint(len(answers), labels.shape, generator=random)
    shown = [
        wording.format(train.inputs[row]) + answers[label] + "\n\n"
        for row, label in zip(order.tolist(), labels.tolist(), strict=True)
    ]
    first = torch.tensor([model.tokenizer.encode(answer).ids[0] for answer in answers])
    texts = held_out.inputs[:PROMPTED]
    begun = time.process_time()
    cache = Cache()
    if shown:
        with torch.inference_mode():
            model.decoder(*model.encode(["".join(shown)]), cache=cache, last=True)
    taught = time.process_time()
    logits = answered(model, cache, [wording.format(text) for text in [*texts, EMPTY]])[:, first]
    read = time.process_time()
    log_p = logits.log_softmax(dim=1)
    truth = held_out.labels[:PROMPTED]
    plain, calibrated = log_p[:-1].argmax(dim=1), (log_p[:-1] - log_p[-1]).argmax(dim=1)
    shares = plain.bincount(minlength=len(answers)) / len(plain)
    return {
        "accuracy": mean(plain == truth),
        "calibrated": mean(calibrated == truth),
        "largest_share": float(shares.max()),  # of one answer among all
        "teaching_seconds": taught - begun,
        "reading_seconds": (read - taught) / len(texts),
    }


@torch.inference_mode()
def answered(model: language_models.LanguageModel, cache: Cache, asked: list[str]) -> Tensor:
    """Logits (N, V) of the token after each of N texts, all of them after what the cache has read."""
    found = torch.empty(len(asked), model.decoder.config.vocabulary)
    for rows in groups(model, asked):
        tokens, present = model.encode([asked[row] for row in rows])
        copies = Cache()
        if cache.present is not None:
            copies.keys = [part.expand(len(tokens), -1, -1, -1) for part in cache.keys]
            copies.values = [part.expand(len(tokens), -1, -1, -1) for part in cache.values]
            copies.present = cache.present.expand(len(tokens), -1)
        found[rows] = model.decoder(tokens, present, copies, last=True)[:, -1]
    return found


@torch.inference_mode()
def states(model: language_models.LanguageModel, texts: list[str], wording: str) -> dict[int, Tensor]:
    """The state (N, D) of the last token of each text in its wording, after each of `LAYERS`."""
    asked = [wording.format(text) for text in texts]
    found = {layer: torch.empty(len(asked), model.decoder.config.width) for layer in LAYERS}
    for rows in groups(model, asked):
        hooks = [
            model.decoder.blocks[layer - 1].register_forward_hook(functools.partial(keep, kept, rows))
            for layer, kept in found.items()
        ]
        model.decoder(*model.encode([asked[row] for row in rows]), last=True)
        for hook in hooks:
            hook.remove()
    return found


def keep(kept: Tensor, rows: list[int], block: nn.Module, given: tuple, out: Tensor) -> None:
    """Keep the states of the last tokens that a block returns."""
    kept[rows] = out[:, -1]


def groups(model: language_models.LanguageModel, texts: list[str]) -> list[list[int]]:
    """The numbers of the texts, those of like length together, as many as are read at once."""
    lengths = [len(model.tokenizer.encode(text).ids) for text in texts]
    order = sorted(range(len(texts)), key=lengths.__getitem__)
    return [order[start : start + AT_ONCE] for start in range(0, len(order), AT_ONCE)]
