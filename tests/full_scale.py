"""What `make test-full` runs: every chapter that differs at scale full, offline, in a process of its own.

The networks and photographs that only scale full loads are stood in for: random weights and made-up pictures,
in the formats and folders of transformers, torchvision and the Hugging Face hub. So claims of a chapter that
loads one of them are recorded and may fail; those of every other chapter must hold.

It takes hours, so that it is no part of `make test`. A chapter gets FULL_MINUTES=… (8); one that has not
ended by then is skipped, as neither pass nor fail. `_build/full_scale.json` keeps what is known of each.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell
from PIL import Image

from benchmarks import chapters, gpu, measure
from transferbook.data import assets

MINUTES = float(os.environ.get("FULL_MINUTES", "8"))
pytestmark = pytest.mark.timeout(60 * MINUTES + 300)
TABLE = measure.ROOT / "_build" / "full_scale.json"
# Settings that are made smaller, with ResNet-50 on a CPU in mind.
SHRUNK = {"01_image_classifier": {"size": 64, "per_class": 3, "epochs": 1}}
BREEDS = [f"breed_{number:02}" for number in range(37)]
# Python's start-up file in every process of a chapter: it notes which stand-in was opened.
NOTE = """
import sys

def note(event, given):
    if event == "open":
        for name in {names!r}:
            if name in str(given[0]):
                with open({file!r}, "a") as file:
                    file.write(name + "\\n")

sys.addaudithook(note)
"""


@dataclass(frozen=True)
class StandIns:
    """The environment that leads to the stand-ins, and the file that says which of them were opened."""

    environment: dict[str, str]
    opened: Path


def _bert(folder: Path) -> None:
    """A small random BERT with the layers, words and names of BERT-base, in the cache of the hub."""
    from safetensors.torch import save_file
    from transformers import BertConfig, BertForPreTraining, BertTokenizer

    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(snapshot.name)
    words = (assets.unpack("minilm") / "vocab.txt").read_text(encoding="utf-8")  # those of BERT-base
    (snapshot / "vocab.txt").write_text(words, encoding="utf-8")
    BertTokenizer.from_pretrained(snapshot).save_pretrained(snapshot)
    torch.manual_seed(0)
    model = BertForPreTraining(BertConfig(hidden_size=128, intermediate_size=512, num_attention_heads=2))
    model.config.architectures = ["BertForMaskedLM"]
    model.config.save_pretrained(snapshot)
    # As the file on the hub: normalisations under their names of TensorFlow, the tied words once.
    older = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    weights = {re.sub("LayerNorm.(weight|bias)", lambda found: older[found[0]], name): tensor
               for name, tensor in model.state_dict().items() if ".decoder." not in name}  # fmt: skip
    save_file(weights, snapshot / "model.safetensors", metadata={"format": "pt"})


def _resnet50(file: Path) -> None:
    from torchvision import models

    file.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(models.resnet50(weights=None).state_dict(), file)


def _pets(folder: Path) -> None:
    """A few pictures of 37 breeds, in the folders that torchvision unpacks the Oxford-IIIT Pets into."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    random = torch.Generator().manual_seed(0)
    for side, count in (("trainval", 8), ("test", 3)):
        lines = []
        for label, breed in enumerate(BREEDS, start=1):
            for number in range(count):
                name = f"{breed}_{side}{number}"
                pixels = torch.randint(256, (90, 120, 3), dtype=torch.uint8, generator=random)
                pixels[:, :, label % 3] = 6 * label
                Image.fromarray(pixels.numpy()).save(folder / "images" / f"{name}.jpg")
                lines.append(f"{name} {label} {1 + label % 2} 1")
        (folder / "annotations" / f"{side}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> StandIns:
    folder = tmp_path_factory.mktemp("stand_ins")
    cache = gpu.own_cache(folder / "cache")  # features of the stand-ins stay out of the reader's
    hub, resnet = "models--bert-base-uncased", "resnet50-0676ba61.pth"
    _bert(folder / "hugging_face" / "hub" / hub)
    _resnet50(folder / "torch" / "hub" / "checkpoints" / resnet)
    _pets(folder / "cache" / "torchvision" / "oxford-iiit-pet")
    opened = folder / "opened"
    note = NOTE.format(names=(hub, resnet, "oxford-iiit-pet"), file=str(opened))
    (folder / "sitecustomize.py").write_text(note)
    environment = {
        "TRANSFERBOOK_SCALE": "full", "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hugging_face"),
        "TORCH_HOME": str(folder / "torch"), "PYTHONPATH": os.pathsep.join([str(folder), str(measure.ROOT)]),
    }  # fmt: skip
    return StandIns(cache | environment | gpu.CPU_ALONE, opened)


def source(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def differs(path: Path) -> bool:
    """Whether a chapter asks for the scale."""
    return bool(re.search(r"\bruntime\.(pick|scale)\b", source(path)))


def shrink(path: Path, folder: Path) -> Path:
    """The chapter, or a copy whose settings are smaller after the cell that chooses them."""
    if path.stem not in SHRUNK:
        return path
    notebook = nbformat.read(path, as_version=4)
    (place,) = (i for i, cell in enumerate(notebook.cells) if "config = runtime.pick(" in cell.source)
    changes = f"import dataclasses\nconfig = dataclasses.replace(config, **{SHRUNK[path.stem]})"
    notebook.cells.insert(place + 1, new_code_cell(changes))
    nbformat.write(notebook, folder / path.name)
    return folder / path.name


def row_of(report: dict[str, Any], opened: list[str], shrunk: dict[str, int]) -> dict[str, Any]:
    """What is known of a chapter, from the report on its run."""
    ended = not (report["error"] or "").startswith("stopped after")
    holding = sum(claim["holds"] for claim in report["claims"])
    return {
        "ended": ended, "seconds": report["seconds"], "claims": len(report["claims"]), "hold": holding,
        "fail": [claim["said"] for claim in report["claims"] if not claim["holds"]],
        "stand_ins": opened, "shrunk": shrunk, "error": report["error"],
    }  # fmt: skip


def keep(chapter: str, row: dict[str, Any]) -> None:
    """Put a row into the table beside those of earlier runs."""
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    TABLE.parent.mkdir(exist_ok=True)
    table = dict(sorted((table | {chapter: row}).items()))
    TABLE.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def judge(row: dict[str, Any]) -> None:
    """Fail for an error or a false claim; of a run that was stopped too, but without either it is a skip.

    Claims count only where nothing was stood in for and nothing was made smaller.
    """
    assert row["error"] is None or not row["ended"], row["error"]
    assert row["stand_ins"] or row["shrunk"] or not row["fail"], row["fail"]
    if not row["ended"]:
        pytest.skip(f"not ended: {row['error']}; {row['hold']} of {row['claims']} claims hold so far")


@pytest.fixture(scope="module", autouse=True)
def print_the_table(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n\n{TABLE.relative_to(measure.ROOT)}, rows of earlier runs included:")
        for chapter, row in json.loads(TABLE.read_text(encoding="utf-8")).items() if TABLE.exists() else ():
            seconds = f"{row['seconds']:.0f} s" if row["ended"] and row["seconds"] else row["error"]
            claims = f"{row['hold']} of {row['claims']} claims hold"
            print(f"{chapter}: {seconds}, {claims}", *row["stand_ins"], row["shrunk"] or "")


CHAPTERS = [path for path in chapters.notebooks() if differs(path)]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_chapter_at_scale_full(path: Path, stand_ins: StandIns, tmp_path: Path):
    stand_ins.opened.unlink(missing_ok=True)
    report = gpu.run_chapter(shrink(path, tmp_path), stand_ins.environment, 60 * MINUTES)
    opened = sorted(set(stand_ins.opened.read_text().split())) if stand_ins.opened.exists() else []
    row = row_of(report, opened, SHRUNK.get(path.stem, {}))
    keep(f"{path.parent.name}/{path.stem}", row)
    judge(row)


def test_the_judge_tells_errors_claims_and_stops_apart():
    claims = [{"said": "gain holds", "holds": True}, {"said": "loss FAILS", "holds": False}]
    good = {"claims": claims[:1], "seconds": 3.0, "error": None}
    judge(row_of(good, [], {}))
    judge(row_of(good | {"claims": claims}, ["a stand-in"], {}))
    with pytest.raises(AssertionError, match="loss"):
        judge(row_of(good | {"claims": claims}, [], {}))
    with pytest.raises(AssertionError, match="KeyError"):
        judge(row_of(good | {"error": "cell 4: KeyError: 'x'"}, ["a stand-in"], {}))
    with pytest.raises(pytest.skip.Exception, match="cell 9 of 10; 1 of 1 claims"):
        judge(row_of(good | {"seconds": None, "error": "stopped after 9 seconds, in cell 9 of 10"}, [], {}))
