"""What a convolutional network assumes about pictures, and what it can be shown (part 2, chapter 3)

A small convolutional network and a fully connected one with as many parameters, on pictures as they are and
on the same pictures with their pixels shuffled, in one order for all; and the convolutional network with
pictures changed at random while it trains, by one kind of change at a time. The learning rate of each was
chosen by the rows with `scored_on="valid"`, on seeds of their own. Pictures and recipe are those of the study
`which_layers`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transferbook.data import splits
from transferbook.evidence import studies

SEEDS = range(8)
TUNING_SEEDS = (100, 101)
RATES = (1e-3, 3e-3, 1e-2)
SIZE = 20  # pixels
PER_CLASS = {"digits": 20, "pictograms": 30}
WIDTHS = (16, 24, 32, 32)
STEPS = 300
BATCH = 50
DATA = ("digits", "pictograms")
CHANGES = ("none", "shift", "turn", "scale", "noise", "mirror", "all but mirror")

CHOSEN: dict[tuple[str, str, str, str], float] = {
    ("fully connected", "digits", "in place", "none"): 0.001,
    ("fully connected", "digits", "shuffled", "none"): 0.001,
    ("convolutional", "digits", "shuffled", "none"): 0.003,
    ("convolutional", "digits", "in place", "none"): 0.003,
    ("convolutional", "digits", "in place", "shift"): 0.01,
    ("convolutional", "digits", "in place", "turn"): 0.003,
    ("convolutional", "digits", "in place", "scale"): 0.003,
    ("convolutional", "digits", "in place", "noise"): 0.003,
    ("convolutional", "digits", "in place", "mirror"): 0.01,
    ("convolutional", "digits", "in place", "all but mirror"): 0.01,
    ("fully connected", "pictograms", "in place", "none"): 0.001,
    ("fully connected", "pictograms", "shuffled", "none"): 0.01,
    ("convolutional", "pictograms", "shuffled", "none"): 0.003,
    ("convolutional", "pictograms", "in place", "none"): 0.01,
    ("convolutional", "pictograms", "in place", "shift"): 0.003,
    ("convolutional", "pictograms", "in place", "turn"): 0.01,
    ("convolutional", "pictograms", "in place", "scale"): 0.003,
    ("convolutional", "pictograms", "in place", "noise"): 0.01,
    ("convolutional", "pictograms", "in place", "mirror"): 0.01,
    ("convolutional", "pictograms", "in place", "all but mirror"): 0.003,
}


@dataclass(frozen=True)
class Config:
    """One network on one data set.

    Attributes:
        method: "convolutional" or "fully connected".
        data: "digits" (of MNIST) or "pictograms" (seven categories of OpenMoji, in grey).
        pixels: "in place" or "shuffled".
        change: what happens at random to a picture each time that it is trained on, one of `CHANGES`.
        rate: the learning rate.
        scored_on: "test", or "valid" for the rows that choose `rate`.
    """

    method: str
    data: str
    pixels: str
    change: str
    rate: float
    scored_on: str = "test"


def arms() -> list[tuple[str, str, str, str]]:
    """Method, data, pixels and change of all that is compared."""
    return [
        arm
        for data in DATA
        for arm in (
            ("fully connected", data, "in place", "none"),
            ("fully connected", data, "shuffled", "none"),
            ("convolutional", data, "shuffled", "none"),
            *(("convolutional", data, "in place", change) for change in CHANGES),
        )
    ]


def grid() -> list[tuple[Config, int]]:
    """The rows that choose the rates, then the comparison."""
    tuning = [
        (Config(*arm, rate, scored_on="valid"), seed)
        for arm in arms()
        for rate in RATES
        for seed in TUNING_SEEDS
    ]
    return tuning + [(Config(*arm, rate), seed) for arm, rate in CHOSEN.items() for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """The digits: both networks with pixels in place and shuffled, and the changes that matter most."""
    return [
        (config, seed)
        for config, seed in grid()
        if config.scored_on == "test"
        and config.data == "digits"
        and config.change in ("none", "shift", "mirror", "all but mirror")
    ]


def chosen(rows: pd.DataFrame) -> dict[tuple[str, str, str, str], float]:
    """For each arm the rate of the highest validation accuracy, a mean over the tuning seeds."""
    tuning = rows[rows["scored_on"] == "valid"]
    accuracy = tuning.groupby(["method", "data", "pixels", "change", "rate"])["accuracy"].mean()
    return {arm: float(accuracy[arm].idxmax()) for arm in arms()}


def run(config: Config, seed: int) -> dict[str, float]:
    """Draw the labelled pictures, train, score once."""
    layers = studies.open_study("which_layers").module
    train, valid, test = parts(config.data)
    train = splits.subset(train, per_class=PER_CLASS[config.data], seed=seed)
    held_out = test if config.scored_on == "test" else valid
    inputs, scored = standardised(train.inputs, train.inputs), standardised(held_out.inputs, train.inputs)
    if config.pixels == "shuffled":
        order = torch.randperm(SIZE * SIZE, generator=torch.Generator().manual_seed(seed))
        inputs, scored = (x.flatten(1)[:, order].view_as(x) for x in (inputs, scored))
    torch.manual_seed(seed)
    network = nn.Sequential(Changed(config.change), new_network(config.method, len(train.labels.unique())))
    fit(network, inputs, train.labels, config.rate, seed)
    return layers.scores(network, scored, held_out.labels, in_pieces=config.scored_on == "test")


class Changed(nn.Module):
    """Changes each picture at random while the network is in training mode; shape (N, 1, H, W)."""

    def __init__(self, change: str) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        """A shift by up to 2 pixels, a turn by up to 15 degrees, a scale of 0.8 to 1.25, noise, a mirror."""
        if not self.training or self.change == "none":
            return x
        if self.change == "noise":
            return x + 0.3 * torch.randn_like(x)
        n, everything = len(x), self.change == "all but mirror"
        angle, scale, shift, mirror = torch.zeros(n), torch.ones(n), torch.zeros(n, 2), torch.ones(n)
        if self.change == "turn" or everything:
            angle = math.radians(15) * (2 * torch.rand(n) - 1)
        if self.change == "scale" or everything:
            scale = 1.25 ** (2 * torch.rand(n) - 1)
        if self.change == "shift" or everything:
            shift = torch.randint(-2, 3, (n, 2)) * (2 / SIZE)
        if self.change == "mirror":
            mirror = 2.0 * torch.randint(0, 2, (n,)) - 1
        cosine, sine = scale * angle.cos(), scale * angle.sin()
        rows = torch.stack([mirror * cosine, -sine, shift[:, 0], mirror * sine, cosine, shift[:, 1]], dim=1)
        places = F.affine_grid(rows.view(n, 2, 3), list(x.shape), align_corners=False)
        ground = x.amin()  # beyond the edge there is ground, not grey
        return F.grid_sample(x - ground, places, align_corners=False) + ground


def new_network(method: str, classes: int) -> nn.Sequential:
    """Four convolutions and a linear layer, or one hidden layer wide enough for as many parameters."""
    if method == "fully connected":
        wanted = parameters(new_network("convolutional", classes)) - classes
        width = round(wanted / (SIZE * SIZE + 1 + classes))
        return nn.Sequential(
            nn.Flatten(), nn.Linear(SIZE * SIZE, width), nn.ReLU(), nn.Linear(width, classes)
        )
    layers: list[nn.Module] = []
    channels = 1
    for number, width in enumerate(WIDTHS):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if number < 2 else []
        channels = width
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(25 * channels, classes))
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return network


def parameters(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(weight.numel() for weight in network.parameters())


def fit(network: nn.Module, inputs: Tensor, labels: Tensor, rate: float, seed: int) -> None:
    """The recipe of `which_layers`, with the steps and the batches of this study."""
    layers = studies.open_study("which_layers").module
    layers.fit(network, inputs, labels, rate, STEPS, seed, BATCH)


def standardised(images: Tensor, reference: Tensor) -> Tensor:
    """Pixels with the mean 0 and the deviation 1 of the reference's."""
    return studies.open_study("which_layers").module.standardised(images, reference)


@functools.cache
def parts(data: str) -> tuple[splits.Part, splits.Part, splits.Part]:
    """Train, valid and test, grey and bright on dark; labels are drawn from train."""
    whole, _ = studies.open_study("which_layers").module.pictures(data)
    return splits.split(whole, valid=0.15, test=0.4)
