"""One model's whole life: pretrained, adapted, distilled, pruned, quantised, exported; each kept as a file.

MiniLM learns the topics of newswire stories, which are of very unequal size, and is made smaller step by
step. Validation stories choose the strength of the first head and how much is pruned; every station is scored
on the test stories once, when it is made.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transferbook.data import datasets
from transferbook.data.splits import Part
from transferbook.evidence import stations
from transferbook.learning import distillation, training, transfer
from transferbook.models import backbones, compression
from transferbook.program import chain, station_models

NAMES = ("pretrained", "adapted", "distilled", "pruned", "quantised", "exported")
STRENGTHS = (1e-2, 1e-1, 1.0, 10.0, 100.0)  # C of the first head; of equally good ones the smallest
LARGE = {"train": 400, "valid": 40, "test": 60}  # stories of each of the two large topics
FLOATS = "floats.onnx"  # beside the chain: the exported network before its numbers become integers
RARE = 3  # topics with the fewest stories for training
TORCH = """
import sys, torch
from pathlib import Path
from transferbook.program import station_models
torch.set_num_threads(1)
words = torch.arange(1000, 1048).reshape(1, 48)
with torch.inference_mode():
    station_models.read(Path(sys.argv[1]))(input_ids=words, attention_mask=torch.ones_like(words))
"""
RUNTIME = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
words = numpy.arange(1000, 1048).reshape(1, 48)
onnxruntime.InferenceSession(sys.argv[1], options).run(
    None, {"input_ids": words, "attention_mask": numpy.ones_like(words)}
)
"""


@dataclass(frozen=True)
class Settings:
    """How one life goes.

    Attributes:
        labels: training stories, in the shares of the topics.
        tokens: of a story; what comes after them is not read.
        epochs: of adapting, of distilling, and after each pruning.
        rate, student_rate: AdamW's, for the whole network and for the smaller ones; warmed up, then falling.
        batch: stories of a step.
        temperature, teacher: of `distillation.mixed_loss`; the teacher's share.
        kept: shares of the feed-forward units that pruning may leave; the smallest wins whose network is at
            most `loss` less accurate on the validation stories than before, or else the largest.
        scored: validation and test stories of each topic that are scored, at most; None for all.
    """

    labels: int = 320
    tokens: int = 24
    epochs: tuple[int, int, int] = (2, 3, 1)
    rate: float = 2e-4
    student_rate: float = 4e-4
    batch: int = 16
    temperature: float = 2.0
    teacher: float = 0.5
    kept: tuple[float, ...] = (0.5, 0.25)
    loss: float = 0.01
    scored: int | None = None


class Life:
    """The stories of one seed, and the steps from station to station.

    Args:
        settings: how it goes.
        seed: of the stories for training, their order and dropout.
    """

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.backbone = backbones.minilm(max_tokens=settings.tokens)
        splits = datasets.reuters_r8()
        self.classes = splits.class_names
        large = splits.train.labels.bincount().argsort(descending=True)[:2].tolist()
        parts = {side: _cut(getattr(splits, side), large, most) for side, most in LARGE.items()}
        train = datasets.subset(parts["train"], limit=settings.labels, seed=seed)
        self.rare = parts["train"].labels.bincount().argsort()[:RARE].tolist()
        valid, test = parts["valid"], parts["test"]
        if settings.scored is not None:
            valid, test = (_cut(part, range(len(self.classes)), settings.scored) for part in (valid, test))
        self.train, self.valid, self.test = (
            (self.backbone.prepare(part.inputs), part.labels) for part in (train, valid, test)
        )

    # --- the steps: from the model before to the next one, and what there is to say of it ---------------

    def pretrained(self, _: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """The published network as it is, under a head that reads its features."""
        encoder = copy.deepcopy(self.backbone.module)
        x, x_valid = (training.predict(encoder, inputs) for inputs, _ in (self.train, self.valid))
        count = len(self.classes)
        heads = {C: transfer.linear_probe(x, self.train[1], n_classes=count, C=C) for C in STRENGTHS}
        accuracy = {C: _accuracy(head(x_valid), self.valid[1]) for C, head in heads.items()}
        best = max(accuracy, key=accuracy.get)
        return transfer.Classifier(encoder, _tame(heads[best], x)), {"strength": best}

    def adapted(self, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """All layers trained further on the labels; the table of words stays as it was."""
        loss = nn.functional.cross_entropy
        self._fit(model, self.train[1], loss, self.settings.epochs[0], self.settings.rate)
        return model, {}

    def distilled(self, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Every second layer, taught by the whole network."""
        layers = model.encoder.bert.encoder.layer
        wanted = list(range(1, len(layers), 2))
        student = copy.deepcopy(model)
        student.encoder.bert.encoder.layer = nn.ModuleList(copy.deepcopy(layers[k]) for k in wanted)
        self._teach(student, self.settings.epochs[1])
        return student, {"layers": wanted}

    def pruned(self, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Feed-forward units really removed, the others taught again; validation says how many."""
        before = self.validate(model)
        tried: dict[float, float] = {}
        best = None
        for share in sorted(self.settings.kept, reverse=True):
            smaller = copy.deepcopy(model)
            for layer in smaller.encoder.bert.encoder.layer:
                up, down = layer.intermediate.dense, layer.output.dense
                count = max(1, round(share * up.out_features))
                keep = compression.unit_norms(up, down).topk(count).indices.sort().values
                layer.intermediate.dense, layer.output.dense = compression.drop_units(up, down, keep)
            self._teach(smaller, self.settings.epochs[2])
            tried[share] = self.validate(smaller)
            if best is None or tried[share] >= before - self.settings.loss:
                best = smaller, share
        return best[0], {"kept": best[1], "tried": {str(share): tried[share] for share in tried}}

    def quantised(self, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Every matrix and the table of words in 8 bits, with a step for each row."""
        return station_models.quantise(model), {"bits": station_models.BITS}

    def validate(self, model: nn.Module) -> float:
        """Accuracy on the validation stories."""
        return _accuracy(training.predict(model, self.valid[0]), self.valid[1])

    def score(self, file: Path, said: list[int] | None) -> dict[str, Any]:
        """What a station says of the test stories, read from its file, and how good that is.

        Args:
            file: of the station.
            said: what the one before said.
        """
        logits = training.predict(station_models.read(file), self.test[0])
        now = logits.argmax(dim=1).tolist()
        changed = 0.0 if said is None else sum(a != b for a, b in zip(said, now, strict=True)) / len(now)
        found, count = stations.station_scores(logits, self.test[1], self.rare), len(self.classes)
        return {
            "scores": found | {"changed": changed}, "said": now,
            "recalls": dict(zip(self.classes, stations.recalls(logits, self.test[1]).tolist(), strict=True)),
            "tested": dict(zip(self.classes, self.test[1].bincount(minlength=count).tolist(), strict=True)),
            "settings": json.loads(json.dumps(asdict(self.settings))), "seed": self.seed,
            "data": "reuters_r8",
        }  # fmt: skip

    @cached_property
    def _targets(self) -> Tensor:
        """The teacher's logits and, in the last column, the labels of the training stories."""
        logits = training.predict(self.teacher, self.train[0])
        return torch.cat([logits, self.train[1][:, None].float()], dim=1)

    def _teach(self, student: nn.Module, epochs: int) -> None:
        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            teacher, labels = targets[:, :-1], targets[:, -1].long()
            share, temperature = self.settings.teacher, self.settings.temperature
            return distillation.mixed_loss(outputs, teacher, labels, share, temperature)

        self._fit(student, self._targets, loss, epochs, self.settings.student_rate)

    def _fit(
        self, model: nn.Module, targets: Tensor, loss: training.Loss, epochs: int, rate: float
    ) -> None:
        model.requires_grad_(True)
        model.encoder.bert.embeddings.requires_grad_(False)
        steps = epochs * -(-len(targets) // self.settings.batch)
        optimizer = torch.optim.AdamW(transfer.parameter_groups(model, rate, weight_decay=0.01), fused=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            training.fit(
                model, (self.train[0], targets), optimizer=optimizer, epochs=epochs, loss=loss,
                batch_size=self.settings.batch, schedule=training.warmup_linear(optimizer, steps),
                clip_norm=1.0, seed=self.seed, progress=False,
            )  # fmt: skip
        model.eval().requires_grad_(False)


def run(
    folder: Path, settings: Settings, seed: int, say: Callable[[str], object] = print
) -> list[chain.Link]:
    """Make the stations that are missing in a folder; those that are there are checked and kept.

    Args:
        folder: of the files; made if it is missing.
        settings: how the life goes.
        seed: of all that is drawn.
        say: called with a line when a station is made.

    Returns:
        All stations.

    Raises:
        ChainError: if what is there was changed, or made with other settings or another seed.
    """
    start = hashlib.sha256(json.dumps([asdict(settings), seed]).encode()).hexdigest()
    links = chain.read(folder, NAMES, start)
    if len(links) == len(NAMES):
        return links
    folder.mkdir(parents=True, exist_ok=True)
    life = Life(settings, seed)
    for name in NAMES[len(links) :]:
        before = station_models.read(links[-1].file) if links else None
        if name in NAMES[2:4]:
            life.teacher = station_models.read(links[1].file)
        if name == "exported":
            ending, about = ".onnx", {"bits": station_models.BITS}
            plain = station_models.as_floats(before)
            write = lambda path, model=plain: station_models.write_onnx(  # noqa: E731
                model, path, folder / FLOATS
            )
        else:
            ending = ".safetensors"
            model, about = getattr(life, name)(before)
            write = lambda path, model=model: station_models.write(model, path)  # noqa: E731
        said = links[-1].record["said"] if links else None
        known = lambda path, about=about, said=said: about | life.score(path, said)  # noqa: E731
        links.append(chain.add(folder, links[-1] if links else None, name, ending, write, known, start))
        say(f"{name}: accuracy {links[-1].record['scores']['accuracy']:.3f}")
    return links


def speeds(links: list[chain.Link], settings: Settings, stories: int = 60) -> dict[str, stations.Speed]:
    """How fast the stations are, one test story at a time, and two more for comparison.

    `zeros` is the adapted network with nine in ten weights of its linear layers at zero; `floats` the
    quantised one in ONNX Runtime, its weights in 32 bits. Ratios are to the adapted network.
    """
    networks = {link.name: station_models.read(link.file) for link in links[1:]}
    zeros = copy.deepcopy(networks["adapted"])
    compression.prune(zeros, 0.9)
    networks["zeros"] = compression.finish(zeros).eval().requires_grad_(False)
    networks["floats"] = station_models.read(links[-1].file.with_name(FLOATS))
    prepare = backbones.minilm(settings.tokens).prepare
    given = [prepare([text]) for text in datasets.reuters_r8().test.inputs[:stories]]
    works = {name: partial(_answer, network, given) for name, network in networks.items()}
    with torch.inference_mode():
        return stations.speeds(stations.latencies(works, len(given)))


def memory(links: list[chain.Link]) -> dict[str, int]:
    """The most bytes that a process of its own holds which opens a station and has it read one story.

    The libraries count, as they would in use: torch for all but the exported model, which needs ONNX Runtime
    alone. The published network is that of `adapted`, and left out.
    """
    return {
        link.name: stations.peak_memory(RUNTIME if link.file.suffix == ".onnx" else TORCH, str(link.file))
        for link in links[1:]
    }


def _answer(network: nn.Module, given: list[dict[str, Tensor]], number: int) -> Tensor:
    return network(**given[number])


def _cut(part: Part, topics: Any, most: int) -> Part:
    """The part without what the given topics have beyond their first `most` stories."""
    kept = torch.ones(len(part), dtype=torch.bool)
    for topic in topics:
        kept[(part.labels == topic).nonzero().flatten()[most:]] = False
    return part.select(kept.nonzero().flatten())


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(dim=1) == labels).double().mean())


def _tame(head: nn.Linear, features: Tensor) -> nn.Linear:
    """The head without its huge weights, whose features, which hardly vary, it takes at their means.

    Some features of MiniLM have a spread of 1e-32; no gradient gets past the weights that undo that.
    """
    reach = head.weight.abs().amax(dim=0)
    wild = reach > 1e6 * reach.median()
    tame = copy.deepcopy(head)
    tame.bias += (head.weight[:, wild].double() @ features[:, wild].double().mean(dim=0)).float()
    tame.weight[:, wild] = 0
    return tame
