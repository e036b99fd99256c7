"""Where and how the book's code runs: device, precision, scale and seeds.

A notebook never names a device or a size: it asks this module. Nothing here runs at import.
"""

from __future__ import annotations

import contextlib
import os
import platform
import random
from pathlib import Path
from typing import TypeVar

import joblib
import numpy as np
import psutil
import torch

SCALES = ("small", "full")

T = TypeVar("T")


def device() -> torch.device:
    """The device everything runs on: the first CUDA GPU if there is one, else the CPU.

    Of several processes that `torchrun` or `accelerate launch` started on a machine, each has its own GPU.
    With a GPU, cuBLAS is asked for its reproducible workspace (`CUBLAS_WORKSPACE_CONFIG`, unless it is set
    already), which it reads when it is first used: call this before the first computation on the GPU.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def scale() -> str:
    """`"small"` or `"full"`, from the environment variable `TRANSFERBOOK_SCALE` (default `"small"`).

    Raises:
        ValueError: if the variable holds anything else.
    """
    value = os.environ.get("TRANSFERBOOK_SCALE", "small")
    if value not in SCALES:
        raise ValueError(f'TRANSFERBOOK_SCALE is "{value}"; set it to "small" or "full", or unset it.')
    return value


def pick(*, small: T, full: T) -> T:
    """The argument that belongs to the current `scale`, such as a frozen config dataclass."""
    return small if scale() == "small" else full


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices), and ask torch for deterministic algorithms.

    An operation that has no deterministic form warns and runs on: results on a GPU may then differ in their
    last bits.

    Args:
        seed: from 0 up to 2**32 - 1, the range NumPy accepts.

    Raises:
        ValueError: if the seed is outside that range.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"The seed is {seed}; it must lie between 0 and 2**32 - 1.")
    device()  # settles the cuBLAS workspace before the first matrix product
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that draw from the global generator need it
    torch.manual_seed(seed)
    # As use_deterministic_algorithms(True, warn_only=True), which also imports the compiler, for seconds.
    torch.set_deterministic_debug_mode("warn")
    # Filling fresh memory guards against reading it uninitialised; it costs time and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False


def autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """A context: matrix products in bfloat16 on a GPU that has it in hardware; on a CPU it does nothing."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def describe() -> dict[str, str | int | float]:
    """This machine in a few words, to be stored beside results.

    Returns:
        `python`, `platform`, `torch` (versions), `device` (`"cpu"` or `"cuda"`), `device_name`, `cores` (that
        this process may use), `memory_gb` (main memory), `scale`; on a GPU also `device_memory_gb`. Sizes are
        in 2**30 bytes.
    """
    where = device()
    facts: dict[str, str | int | float] = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "device": where.type,
        "device_name": _cpu_name() if where.type == "cpu" else torch.cuda.get_device_name(where),
        "cores": joblib.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "scale": scale(),
    }
    if where.type == "cuda":
        facts["device_memory_gb"] = round(torch.cuda.get_device_properties(where).total_memory / 2**30, 1)
    return facts


def _cpu_name() -> str:
    """The processor's model name where Linux tells it, else what Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
