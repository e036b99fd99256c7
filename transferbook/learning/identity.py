"""What makes two runs of `fit` the same run: model, optimiser, schedule, settings and data, in brief."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

SAMPLE = 4_000_000  # bytes of the inputs that are looked at: under 1 % of an epoch
FEWEST = 64
_BLOCK = 1_024  # of 8 bytes each
_SPEED = ("foreach", "fused", "capturable", "differentiable")  # settings that change no result
_MOVING = ("last_epoch", "T_cur", "T_i", "base_lrs", "lr_lambdas", "verbose")  # where a schedule has got to

Facts = dict[str, Any]


def of_run(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    settings: Facts,
    data: Mapping[str, Any],
) -> Facts:
    """What a checkpoint records of its run, in plain values.

    Args:
        model: its parameters and buffers count by name, shape and type.
        optimizer: its class, and of each group the initial learning rate, all other settings and the shapes.
        schedule: its class and settings. What a `LambdaLR` (`warmup_linear`) computes cannot be seen.
        settings: arguments of `fit` by name.
        data: name -> data, or None.
    """
    return {
        "settings": settings,
        "model": shapes(model.state_dict()),
        "optimizer": type(optimizer).__name__,
        "groups": [_group(group) for group in optimizer.param_groups],
        "schedule": "no schedule" if schedule is None else type(schedule).__name__,
        "schedule settings": {} if schedule is None else _schedule_settings(schedule),
        "data": {name: fingerprint(value) for name, value in data.items()},
    }


def mismatch(there: Facts, here: Facts) -> str | None:
    """The first thing in which the run of a checkpoint is another one, in words; None if it is the same."""
    for name, value in here["settings"].items():
        before = there["settings"].get(name, 1 if name == "processes" else None)
        if before != value:
            return f"with {name} {before}, this one has {value}"
    if there["model"] != here["model"]:
        old, new = there["model"], here["model"]
        name = next(n for n in [*new, *old] if old.get(n) != new.get(n))
        before, now = _tensor(old.get(name)), _tensor(new.get(name))
        return f"of another model, in which {name} is {before}; here it is {now}"
    for name in ("optimizer", "schedule"):
        if there[name] != here[name]:
            return f"with {there[name]}, this one has {here[name]}"
    if len(there["groups"]) != len(here["groups"]):
        return f"with {len(there['groups'])} parameter groups, this one has {len(here['groups'])}"
    pairs = [*zip(there["groups"], here["groups"], strict=True)]
    for old, new in [*pairs, (there["schedule settings"], here["schedule settings"])]:
        for name in old.keys() & new.keys():  # another version of torch may know more settings
            if old[name] != new[name]:
                return f"with {name} {old[name]}, this one has {new[name]}"
    for name, value in here["data"].items():
        if there["data"].get(name) != value:
            return f"on other {name} data"
    return None


def shapes(state: Mapping[str, Any]) -> Facts:
    """Name -> shape and type of each tensor."""
    return {name: [[*t.shape], str(t.dtype)] for name, t in state.items() if isinstance(t, Tensor)}


def fingerprint(data: tuple[Any, Tensor] | Iterable[Any] | None) -> Any:
    """A short value that changes with the data: with their shapes, types, order, labels and inputs.

    Inputs of more than `SAMPLE` bytes are sampled at even distances, `FEWEST` examples at least. Of batches,
    only the number is known.
    """
    if data is None:
        return None
    if not isinstance(data, tuple):
        return len(data) if hasattr(data, "__len__") else "batches"
    inputs, labels = data
    digest = hashlib.sha256()
    for name, value in [*(inputs.items() if isinstance(inputs, Mapping) else [("", inputs)]), ("y", labels)]:
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        if value.layout == torch.strided:
            every = min(-(-value.numel() * value.element_size() // SAMPLE), len(value) // FEWEST)
            for part in _sums(value if value is labels else value[:: max(1, every)]):
                digest.update(part.cpu().numpy())
    return digest.hexdigest()


def _sums(values: Tensor) -> list[Tensor]:
    """Sums over the rows and the columns of a tensor's bytes, as a table of whole numbers, and what is over.

    They are exact, and several times faster than a hash of the bytes.
    """
    content = values.detach().contiguous().reshape(-1).view(torch.uint8)
    if content.storage_offset() % 8:
        content = content.clone()
    even = len(content) // (8 * _BLOCK) * (8 * _BLOCK)
    table = content[:even].view(torch.int64).reshape(-1, _BLOCK)
    return [table.sum(dim=0), table.sum(dim=1), content[even:]]


def _group(group: Facts) -> Facts:
    """The settings of a parameter group as they were before the first step."""
    moving = ("momentum", "betas") if "base_momentum" in group else ()  # by a schedule that cycles them
    skipped = {"params", "param_names", "lr", "initial_lr", *_SPEED, *moving}
    rate = _plain(group.get("initial_lr", group["lr"]))
    kept = {name: _plain(value) for name, value in group.items() if name not in skipped}
    return {"learning rate": rate, **kept, "parameters of shape": [[*p.shape] for p in group["params"]]}


def _schedule_settings(schedule: torch.optim.lr_scheduler.LRScheduler) -> Facts:
    state = schedule.state_dict()
    return {n: _plain(v) for n, v in state.items() if n not in _MOVING and not n.startswith("_")}


def _plain(value: Any) -> Any:
    """Numbers, texts and lists of them; None for what is none of these."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Mapping):
        return sorted([_plain(name), _plain(content)] for name, content in value.items())
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, int | float | str) else None


def _tensor(facts: list[Any] | None) -> str:
    return "missing" if facts is None else f"{tuple(facts[0])} in {facts[1]}"
