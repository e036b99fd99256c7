"""Two ways to embed faster: texts sorted by length, and images in channels-last layout.

Both must give the features of the plain way, up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from benchmarks import measure
from transferbook.data import datasets
from transferbook.learning import training
from transferbook.models import backbones

INPUTS = ("benchmarks/measure.py", "benchmarks/embedding.py", "transferbook/**/*.py", "requirements.txt")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Settings:
    """Sizes of one comparison."""

    examples: int
    batch_size: int
    repetitions: int = 5


TEXT = Settings(examples=512, batch_size=128)
IMAGES = Settings(examples=64, batch_size=32)


def measure_text(settings: Settings = TEXT) -> measure.Measurement:
    """MiniLM on reviews as they come against `training.predict`, which sorts them by length.

    In both, a batch is as wide as its longest text.
    """
    backbone = backbones.minilm()
    inputs = backbone.prepare(datasets.rotten_tomatoes(limit=settings.examples).train.inputs)

    def unsorted() -> Tensor:
        with torch.inference_mode():
            return torch.cat([
                backbone.module(**{name: value[index] for name, value in inputs.items()})
                for index in torch.arange(settings.examples).split(settings.batch_size)
            ])  # fmt: skip

    def by_length() -> Tensor:
        return training.predict(backbone.module, inputs, batch_size=settings.batch_size, device=CPU)

    name = "unsorted over sorted by length, MiniLM on reviews"
    return _measure(name, {"unsorted": unsorted, "sorted": by_length}, settings)


def measure_images(settings: Settings = IMAGES, size: int = 224) -> measure.Measurement:
    """EfficientNet-Lite0 in torch's default layout against channels-last, which `ImageEncoder` sets."""
    backbone = backbones.efficientnet_lite0(size=size, crop=1)
    inputs = backbone.prepare(datasets.openmoji(limit=settings.examples).train.inputs)
    plain = copy.deepcopy(backbone.module.network).to(memory_format=torch.contiguous_format)

    def default() -> Tensor:
        return training.predict(plain, inputs, batch_size=settings.batch_size, device=CPU)

    def channels_last() -> Tensor:
        return training.predict(backbone.module, inputs, batch_size=settings.batch_size, device=CPU)

    name = "default layout over channels-last, EfficientNet-Lite0 on pictograms"
    return _measure(name, {"default": default, "channels-last": channels_last}, settings, size=size)


def _measure(
    name: str, ways: dict[str, Callable[[], Tensor]], settings: Settings, **more: int
) -> measure.Measurement:
    for way in ways.values():  # a round that does not count
        way()
    seconds, features = measure.interleave(ways, settings.repetitions)
    plain, faster = ways
    torch.testing.assert_close(features[faster], features[plain], rtol=1e-3, atol=1e-4)
    facts = {"settings": asdict(settings) | more, "checked": "features equal up to rounding"}
    return measure.compare(name, seconds, plain, faster, **facts)


if __name__ == "__main__":
    measure.record("embedding", INPUTS, [measure_text(), measure_images()])
