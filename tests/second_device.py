"""What `make test-device` runs: every chapter on a device that is not the CPU, without a GPU.

A GPU refuses a tensor that was left on the CPU; on a CPU alone, that mistake is never seen. Here a second
device is made of the CPU (`second_device.cpp`): it computes the same, but its tensors and those of the CPU
do not meet, and NumPy gets none of them. `runtime.device()` names it, and the chapter's code runs as a
script, with no features in its cache. Any error fails the test; claims are written down, as the order of
sums differs a little. What a chapter does in other processes, it does on the CPU.

It takes an hour or two, so that it is no part of `make test`, and needs ninja and a C++ compiler. A chapter
gets DEVICE_MINUTES=… (15). `_build/second_device.json` keeps what each chapter said.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import cpp_extension

from benchmarks import chapters, gpu, measure
from transferbook import runtime

MINUTES = float(os.environ.get("DEVICE_MINUTES", "15"))
pytestmark = pytest.mark.timeout(60 * MINUTES + 300)
NAME = "second"
TABLE = measure.ROOT / "_build" / "second_device.json"
SOURCE = Path(__file__).with_suffix(".cpp")


def start() -> torch.device:
    """Make the device, compiling it if its source has changed, and let `runtime` name it."""
    folder = measure.ROOT / "_build" / "second_device"
    folder.mkdir(parents=True, exist_ok=True)
    place = {"build_directory": str(folder), "extra_cflags": ["-O1"]}
    cpp_extension.load("second_device", [str(SOURCE)], **place).start()
    torch.utils.rename_privateuse1_backend(NAME)
    module = types.ModuleType(f"torch.{NAME}")
    module.is_available = lambda: True
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module.device = contextlib.nullcontext
    module.manual_seed_all = lambda seed: None  # its numbers are those of the CPU's generator
    module._is_in_bad_fork = lambda: False
    module.get_rng_state = lambda device=None: torch.get_rng_state()
    module.set_rng_state = lambda state, device=None: torch.set_rng_state(state)
    torch._register_device_module(NAME, module)
    torch.utils.generate_methods_for_privateuse1_backend()
    device, facts = torch.device(NAME, 0), runtime.describe()
    runtime.device = lambda: device
    runtime.describe = lambda: facts | {"device": NAME}
    return device


# --- the device --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def device() -> torch.device:
    return start()


REFUSED: dict[str, Callable[[Tensor, Tensor], object]] = {  # of a CPU tensor (4, 3), and one of the device
    "a sum": lambda x, d: x + d,
    "a product": lambda x, d: d @ x.T,
    "a layer": lambda x, d: nn.Linear(3, 2).to(d.device)(x),
    "a layer on the CPU": lambda x, d: nn.Linear(3, 2)(d),
    "a convolution": lambda x, d: nn.Conv1d(4, 2, 3).to(d.device)(x),
    "normalisation": lambda x, d: nn.BatchNorm1d(3)(d),
    "a recurrent network": lambda x, d: nn.LSTM(3, 4)(d[None]),
    "a loss": lambda x, d: F.cross_entropy(d, x.argmax(1)),
    "joining": lambda x, d: torch.cat([x, d]),
    "gathering": lambda x, d: d.gather(1, x.argmax(1, keepdim=True)),
    "an index from the device": lambda x, d: x[d.argmax(0)],
    "a mask from the device": lambda x, d: x[d > 0],
    "the CPU's random numbers": lambda x, d: torch.randn(3, device=d.device, generator=torch.Generator()),
    "NumPy": lambda x, d: d.numpy(),
}


@pytest.mark.parametrize("what", REFUSED)
def test_tensors_of_two_devices_do_not_meet(device: torch.device, what: str) -> None:
    x = torch.randn(4, 3)
    with pytest.raises((RuntimeError, TypeError), match=r"device|cpu|CPU"):
        REFUSED[what](x, x.to(device))


def test_what_a_gpu_accepts_is_accepted(device: torch.device) -> None:
    x = torch.randn(4, 3)
    d = x.to(device)
    assert d.device == (d * torch.tensor(2.0)).device == d[torch.tensor([0, 2])].device == device
    assert torch.equal((d @ d.T).cpu(), x @ x.T) and d.tolist() == x.tolist()
    d[1:3].zero_()  # a view of the same memory
    x[:3] = d[:3]
    assert x[1:3].abs().sum() == 0


def test_training_is_that_of_the_cpu(device: torch.device) -> None:
    torch.manual_seed(0)
    here = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(2), nn.LSTM(36, 5))
    there = copy.deepcopy(here)
    images, labels = torch.randn(6, 1, 8, 8), torch.randint(5, (6,))
    losses: dict[str, list[float]] = {}
    for network, where in ((here, "cpu"), (there, device)):
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
        network.to(where)  # the parameters stay those of the optimiser
        for _ in range(5):
            loss = F.cross_entropy(network(images.to(where))[0].mean(1), labels.to(where))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.setdefault(str(where), []).append(loss.item())
    assert losses["cpu"] == pytest.approx(losses[str(device)], abs=1e-5)
    assert losses["cpu"][-1] < losses["cpu"][0]


# --- the chapters ------------------------------------------------------------------------------------------


def run(notebook: Path, folder: Path) -> dict[str, Any]:
    """What `benchmarks.as_script` reports of a notebook in a process of its own, on the second device."""
    report = folder / "report.json"
    where = {"PYTHONPATH": os.pathsep.join([str(measure.ROOT), os.environ.get("PYTHONPATH", "")])}
    environment = os.environ | where | {"OMP_NUM_THREADS": "1"} | gpu.own_cache(folder / "cache")
    command = [sys.executable, __file__, str(notebook), str(report)]
    try:
        done = subprocess.run(command, cwd=measure.ROOT, env=environment, capture_output=True, text=True,
                              timeout=60 * MINUTES)  # fmt: skip
    except subprocess.TimeoutExpired:
        end = f"not ended after {MINUTES:g} minutes"
    else:
        end = f"status {done.returncode}: {done.stderr[-2_000:]}"
    found = {"claims": [], "seconds": None, "error": "before the first cell"}
    if report.exists():
        found = json.loads(report.read_text(encoding="utf-8"))
    if found["seconds"] is None:
        found["error"] += f", {end}"
    return found


@pytest.mark.parametrize("notebook", chapters.notebooks(), ids=lambda path: path.stem)
def test_chapter_runs_on_a_second_device(notebook: Path, tmp_path: Path) -> None:
    found = run(notebook, tmp_path)
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    TABLE.write_text(json.dumps(table | {notebook.stem: found}, indent=1) + "\n", encoding="utf-8")
    fails = [entry["said"] for entry in found["claims"] if not entry["holds"]]
    print(f"{len(found['claims']) - len(fails)} of {len(found['claims'])} claims hold", *fails, sep="\n")
    assert found["error"] is None


if __name__ == "__main__":
    import second_device  # a second time: the notebook's names overwrite those of this one

    from benchmarks import as_script

    second_device.start()
    sys.exit(as_script.main())
