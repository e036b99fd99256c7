"""What does each step that makes a model smaller cost? (chapter: smaller and faster)

One model from pretrained to exported, as `python -m transferbook life` leads it, over seeds; and a network of
convolutions whose integers are slower than its floats.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from transferbook.evidence import stations
from transferbook.models import backbones, export
from transferbook.program import life

SEEDS = range(5)
QUICK = life.Settings(labels=48, tokens=16, epochs=(1, 1, 1), kept=(0.5,), scored=5)
STORIES = {"life": 60, "quick": 5}  # whose reading is timed
PICTURES = 20


@dataclass(frozen=True)
class Config:
    """What is measured.

    Attributes:
        method: "life"; "quick" for one with few stories, which shows nothing but that it works; or "pictures"
            for the times of EfficientNet in floats and integers.
    """

    method: str


def grid() -> list[tuple[Config, int]]:
    """Each method with five seeds."""
    return [(Config(method), seed) for method in ("life", "quick", "pictures") for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """Two quick lives."""
    return [(Config("quick"), seed) for seed in SEEDS[:2]]


def run(config: Config, seed: int) -> dict[str, float]:
    """Scores, bytes and seconds at each station; the last do not depend on what was learned."""
    with tempfile.TemporaryDirectory() as folder:
        if config.method == "pictures":
            return pictures(Path(folder))
        settings = life.Settings() if config.method == "life" else QUICK
        links = life.run(Path(folder), settings, seed, say=lambda line: None)
        found: dict[str, float] = {}
        for link in links:
            found |= {f"{link.name}_{name}": value for name, value in link.record["scores"].items()}
            found |= {f"{link.name}_{topic}": value for topic, value in link.record["recalls"].items()}
            found[f"{link.name}_bytes"] = float(link.record["bytes"])
        found["pretrained_strength"] = links[0].record["strength"]
        found["pruned_kept"] = links[3].record["kept"]
        adapted, exported = links[1].record["said"], links[5].record["said"]
        others = sum(before != after for before, after in zip(adapted, exported, strict=True))
        found["all_changed"] = others / len(adapted)
        for name, speed in life.speeds(links, settings, STORIES[config.method]).items():
            found |= {f"{name}_p50_seconds": speed.p50, f"{name}_p95_seconds": speed.p95}
            found[f"{name}_ratio_seconds"] = speed.ratio
        return found


def pictures(folder: Path) -> dict[str, float]:
    """Bytes and seconds of EfficientNet in floats and with integers of 8 bits, by ONNX Runtime."""
    network = backbones.efficientnet_lite0(size=96, crop=1.0).module
    whole = export.to_onnx(network, {"pixels": torch.zeros(2, 3, 96, 96)}, folder / "whole.onnx")
    small = export.to_int8(whole, folder / "small.onnx")
    pixels = torch.rand(PICTURES, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    works = {name: reader(path, pixels) for name, path in (("floats", whole), ("integers", small))}
    speeds = stations.speeds(stations.latencies(works, PICTURES))
    found = {"floats_bytes": float(whole.stat().st_size), "integers_bytes": float(small.stat().st_size)}
    return found | {f"{name}_ratio_seconds": speed.ratio for name, speed in speeds.items()}


def reader(path: Path, pixels: torch.Tensor) -> Callable[[int], torch.Tensor]:
    """What reads one picture after the other with the network in a file."""
    network = export.OnnxModule(path)
    return lambda number: network(pixels[number : number + 1])
