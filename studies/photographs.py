"""With how many labelled photographs does pretraining stop paying? (chapter: photographs)

Ways to a classifier of CIFAR-10 at four label budgets. A budget counts every label: about a fifth is set
aside to choose one of some settings, which every row does anew for itself. It needs the optional asset
`cifar10`.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transferbook.data import photographs
from transferbook.data.splits import Splits, subset
from transferbook.learning import training, transfer
from transferbook.models import backbones
from transferbook.models.backbones import Backbone

NEEDS = ("cifar10",)
CLASSES = 10
SEEDS = range(5)
BUDGETS = (5, 20, 80, 320)  # labels a class
TESTED = 200  # photographs a class
HELD_OUT = 5  # one label of so many chooses the setting
BATCH = 32
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C of a probe
SETTINGS = {  # tried in every row: strengths, or learning rates
    "head": STRENGTHS,
    "untrained head": STRENGTHS,
    "fine-tuned": (1e-4, 3e-4, 1e-3),
    "scratch": (3e-4, 1e-3, 3e-3),
    "small CNN": (1e-3, 3e-3, 1e-2),
    "SVM on pixels": (0.1, 1.0, 10.0, 100.0),
}
EPOCHS = {
    "fine-tuned": {5: 20, 20: 12, 80: 8, 320: 5},
    "scratch": {20: 12},
    "small CNN": {5: 60, 20: 60, 80: 40, 320: 25},
}
SIZES = {"head": (64, 128, 224), "untrained head": (128,)}  # others see 64 pixels, or 32 as they are
SHIFT = 4  # pixels of 32 that a photograph may move by in training, each way


@dataclass(frozen=True)
class Config:
    """One way at one budget.

    Attributes:
        method: a key of `SETTINGS`. "head" is a probe on features of the network that learned from ImageNet,
            and "untrained head" on those of the network with random weights. "scratch" is "fine-tuned" from
            random weights, with the batch's statistics in BatchNorm.
        per_class: labels a class, those that choose the setting included.
        pixels: width and height that the photographs are scaled to.
        epochs: passes over the labels that train; 0 where training runs to convergence.
    """

    method: str
    per_class: int
    pixels: int
    epochs: int


def grid() -> list[tuple[Config, int]]:
    """Every way at every budget; at 20 labels a class also from random weights, enlarged, and for longer."""
    configs = [
        Config(method, per_class, pixels, EPOCHS.get(method, {}).get(per_class, 0))
        for method in SETTINGS
        for pixels in SIZES.get(method, (32 if method in ("small CNN", "SVM on pixels") else 64,))
        for per_class in EPOCHS.get(method, BUDGETS)
    ]
    configs.append(Config("fine-tuned", 20, 128, EPOCHS["fine-tuned"][20]))
    configs += [
        Config(method, 20, pixels, 2 * EPOCHS[method][20])
        for method, pixels in (("fine-tuned", 64), ("small CNN", 32))
    ]
    return [(config, seed) for config in configs for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """The head at every size and what is trained from nothing, with 20 labels a class."""
    methods = ("head", "untrained head", "small CNN", "SVM on pixels")
    return [
        (config, seed)
        for config, seed in grid()
        if config.per_class == 20
        and config.method in methods
        and config.epochs == EPOCHS.get(config.method, {}).get(20, 0)
    ]


def run(config: Config, seed: int) -> dict[str, float]:
    """Train with every setting, keep the model that validates best, and score it once on the test set.

    `train_seconds` is what the kept model took, features of the labelled photographs included.
    """
    splits = drawn(config.per_class, seed)
    cut = CLASSES * (config.per_class - max(1, config.per_class // HELD_OUT))
    started = time.process_time()
    learner = learner_of(config, seed, splits)
    known = splits.train.labels  # a subset lists one example of each class in turn
    learn, valid = (learner.inputs[:cut], known[:cut]), (learner.inputs[cut:], known[cut:])
    preparing = time.process_time() - started
    found: dict[str, float] = {}
    best, seconds = None, []
    for number, setting in enumerate(SETTINGS[config.method]):
        started = time.process_time()
        model = learner.fit(*learn, setting)
        seconds.append(time.process_time() - started)
        found |= {f"valid_{name}_{number}": value for name, value in scored(model, *valid).items()}
        if choose(found) == number:
            best = model
    assert best is not None
    test, labels = learner.prepare(splits.test.inputs), splits.test.labels
    found["train_seconds"] = preparing + seconds[choose(found)]
    found["accuracy"] = scored(best, test, labels)["accuracy"]
    found["train_accuracy"] = scored(best, *learn)["accuracy"]
    for label in range(CLASSES):
        own = labels == label
        found[f"class_{label}"] = scored(best, test[own], labels[own])["accuracy"]
    return found


@functools.cache
def whole() -> Splits:
    """All photographs, read once in a process; the test part is the same `TESTED` of each class."""
    splits = photographs.cifar10()
    test = subset(splits.test, per_class=TESTED)
    return Splits(splits.name, splits.train, splits.valid, test, splits.class_names, splits.provenance)


def drawn(per_class: int, seed: int) -> Splits:
    """The data with so many labels a class to train on."""
    splits = whole()
    train = subset(splits.train, per_class=per_class, seed=seed)
    return Splits(splits.name, train, splits.valid, splits.test, splits.class_names, splits.provenance)


def choose(found: dict[str, float]) -> int:
    """The number of the setting with the highest validation accuracy; of equals, the lowest loss."""
    tried = range(sum(name.startswith("valid_loss_") for name in found))
    return max(tried, key=lambda number: (found[f"valid_accuracy_{number}"], -found[f"valid_loss_{number}"]))


Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Learner:
    """How a method sees photographs, and how it learns.

    Attributes:
        inputs: the labelled photographs as it sees them, shape (N, ...).
        prepare: turns photographs (N, 3, 32, 32) in uint8 into such inputs.
        fit: inputs, labels and a setting to a model.
    """

    inputs: Tensor
    prepare: Callable[[Tensor], Tensor]
    fit: Callable[[Tensor, Tensor, float], Model]


def scored(model: Model, inputs: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy and loss of the model's logits."""
    logits = model(inputs)
    right = (logits.argmax(dim=1) == labels).float().mean().item()
    return {"accuracy": right, "loss": nn.functional.cross_entropy(logits, labels).item()}


def learner_of(config: Config, seed: int, splits: Splits) -> Learner:
    """The learner of a row. What all labelled photographs share, it takes from them alone."""
    photos = splits.train.inputs
    if config.method == "SVM on pixels":
        return Learner(pixels(photos), pixels, svm)
    if config.method == "small CNN":
        mean, spread = photos.float().mean(), photos.float().std()

        def scaled(images: Tensor) -> Tensor:
            return (images.float() - mean) / spread

        return Learner(scaled(photos), scaled, functools.partial(network, config, seed, None))
    trained = config.method in ("head", "fine-tuned")
    backbone = backbones.efficientnet_lite0(config.pixels, crop=1, pretrained=trained, seed=seed)
    if config.method in ("fine-tuned", "scratch"):
        fit = functools.partial(network, config, seed, backbone)
        return Learner(backbone.prepare(photos), backbone.prepare, fit)
    features = training.predict(backbone.module, backbone.prepare(photos))
    return Learner(features, functools.partial(transfer.embed, backbone), head)


def head(features: Tensor, labels: Tensor, strength: float) -> Model:
    """A probe on features of a frozen network."""
    return transfer.linear_probe(features, labels, n_classes=CLASSES, C=strength)


def pixels(images: Tensor) -> Tensor:
    """Photographs as rows of numbers from 0 to 1."""
    return images.flatten(1).float() / 255


def svm(inputs: Tensor, labels: Tensor, strength: float) -> Model:
    """A support vector machine with a Gaussian kernel."""
    from sklearn.svm import SVC

    machine = SVC(C=strength).fit(inputs.numpy(), labels.numpy())
    return lambda rows: torch.from_numpy(machine.decision_function(rows.numpy()))


class Varied:
    """Batches in a new order each time: photographs mirrored or not, and those of a batch moved alike.

    Args:
        inputs: photographs (N, C, H, W).
        labels: class indices (N,).
        shift: farthest move in pixels, each way; zeros come in at the border.
        seed: of order, mirrors and moves.
    """

    def __init__(self, inputs: Tensor, labels: Tensor, shift: int, seed: int) -> None:
        self.inputs = nn.functional.pad(inputs, [shift] * 4)
        self.labels, self.shift, self.size = labels, shift, inputs.shape[-1]
        self.random = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return -(-len(self.labels) // BATCH)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(self.labels), generator=self.random).split(BATCH):
            place = torch.randint(2 * self.shift + 1, (2,), generator=self.random).tolist()
            batch = self.inputs[rows, :, place[0] : place[0] + self.size, place[1] : place[1] + self.size]
            mirror = torch.rand(len(rows), generator=self.random) < 0.5
            yield torch.where(mirror[:, None, None, None], batch.flip(-1), batch), self.labels[rows]


def network(
    config: Config, seed: int, backbone: Backbone | None, inputs: Tensor, labels: Tensor, rate: float
) -> Model:
    """All weights of a copy of the backbone with a head, or of a small network if there is none."""
    torch.manual_seed(seed)
    if backbone is None:
        model: nn.Module = small_cnn().to(memory_format=torch.channels_last)  # faster
    else:
        encoder = copy.deepcopy(backbone.module)
        model = transfer.Classifier(encoder, nn.Linear(backbone.width, CLASSES))
        if config.method == "fine-tuned":  # BatchNorm keeps what the source taught it
            for part in encoder.modules():
                if isinstance(part, nn.BatchNorm2d):
                    transfer.freeze(part)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, rate, weight_decay=0.01)
    batches = Varied(inputs, labels, SHIFT * config.pixels // 32, seed)
    schedule = training.warmup_linear(optimizer, config.epochs * len(batches))
    how = {"optimizer": optimizer, "schedule": schedule, "epochs": config.epochs, "clip_norm": 1.0}
    training.fit(model, batches, **how)
    return functools.partial(training.predict, model)


def small_cnn(width: int = 24) -> nn.Sequential:
    """Six convolutions of 3 by 3 with BatchNorm, for (N, 3, 32, 32), and the mean over what is left of it."""
    layers: list[nn.Module] = []
    channels = 3
    for stage in range(3):
        for _ in range(2):
            layers += [nn.Conv2d(channels, width << stage, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(width << stage), nn.ReLU()]
            channels = width << stage
        layers.append(nn.MaxPool2d(2) if stage < 2 else nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, CLASSES))
