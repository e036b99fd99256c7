"""The state of a training run: its record, and what it needs to go on bit for bit after it was killed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Inputs = Tensor | Mapping[str, Tensor]
Data = tuple[Inputs, Tensor] | Iterable[tuple[Inputs, Tensor]]

_KEPT = (
    "settings",
    "epoch",
    "batch",
    "steps",
    "losses",
    "sizes",
    "best",
    "best_loss",
    "waited",
    "stopped",
    "epoch_random",
)


@dataclass
class History:
    """What a run of `fit` recorded.

    Attributes:
        rows: one dict per finished epoch: `epoch` (from 1), `train_loss` (mean over examples, measured while
            the weights move), `learning_rate` (of the first group, at the epoch's end), `seconds`, and with
            validation data `valid_loss` and, for class labels, `valid_accuracy`.
        best_epoch: the epoch whose weights early stopping restored; None without early stopping.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None

    def column(self, name: str) -> list[float]:
        """The values of one measure, an epoch after the other."""
        if not self.rows or name not in self.rows[0]:
            known = ", ".join(self.rows[0]) if self.rows else "nothing yet"
            raise ValueError(f"No column {name!r} was recorded; this history holds {known}.")
        return [row[name] for row in self.rows]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw training and, where there is one, validation loss against the epoch."""
        from transferbook.evidence import plotting

        if ax is None:
            _, ax = plotting.figure()
        epochs = self.column("epoch")
        ax.plot(epochs, self.column("train_loss"), marker="o", label="training")
        if "valid_loss" in self.rows[0]:
            ax.plot(epochs, self.column("valid_loss"), marker="s", linestyle="--", label="validation")
        if self.best_epoch is not None:
            ax.axvline(self.best_epoch, color="0.6", linewidth=1)
        ax.set(xlabel="epoch", ylabel="loss (nats)")
        ax.legend()
        return ax


class RunState:
    """Everything that a run of `fit` must remember to go on bit for bit after it was killed."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler | None,
        loader: torch.Generator | None,
        settings: dict[str, Any],
    ) -> None:
        self.model, self.optimizer, self.schedule, self.settings = model, optimizer, schedule, settings
        self.loader = loader  # the generator of a DataLoader that has one of its own
        self.order = torch.Generator().manual_seed(settings["seed"])  # shuffles resident tensors
        self.history = History()
        self.epoch = self.batch = self.steps = 0  # finished epochs; finished batches of this one; all steps
        self.losses: list[Tensor] = []  # of the batches of this epoch
        self.sizes: list[int] = []
        self.best: dict[str, Tensor] | None = None
        self.best_loss, self.waited, self.stopped = float("inf"), 0, False
        self.epoch_random: dict[str, Any] | None = None  # random state at the start of this epoch
        self.step_random: dict[str, Any] | None = None  # random state to go on with, after a resume

    def batches(self, train: Data, batch_size: int) -> Iterator[tuple[Inputs, Tensor]]:
        """The batches of this epoch that are still to do, on the model's device."""
        if self.step_random is None:
            self.epoch_random = self._random()
        else:
            self._set_random(self.epoch_random)
        if isinstance(train, tuple):
            inputs, labels = train
            order = torch.randperm(len(labels), generator=self.order).to(labels.device).split(batch_size)
            source = ((rows(inputs, index), labels[index]) for index in order[self.batch :])
        else:
            iterator = iter(train)
            for _ in range(self.batch):
                next(iterator)
            device = next(self.model.parameters()).device
            source = ((move(inputs, device), labels.to(device)) for inputs, labels in iterator)
        if self.step_random is not None:
            self._set_random(self.step_random)
            self.step_random = None
        return source

    def end_epoch(self, seconds: float) -> dict[str, float]:
        """Close the epoch: the new row of the history, with the mean training loss over its examples."""
        if not self.sizes:
            raise ValueError("The training data gave no batch: pass tensors, a list or a DataLoader.")
        sizes = torch.tensor(self.sizes, dtype=torch.float64)
        mean = float((torch.stack(self.losses).double().cpu() * sizes).sum() / sizes.sum())
        if not np.isfinite(mean):
            raise FloatingPointError(
                f"The training loss became {mean} in epoch {self.epoch + 1}: lower the learning rate or clip."
            )
        self.epoch, self.batch, self.losses, self.sizes = self.epoch + 1, 0, [], []
        rate = float(self.optimizer.param_groups[0]["lr"])
        row = {"epoch": self.epoch, "train_loss": mean, "learning_rate": rate, "seconds": seconds}
        self.history.rows.append(row)
        return row

    def watch(self, valid_loss: float, patience: int) -> None:
        """Keep the weights if they are the best so far; stop after `patience` epochs that are not."""
        if valid_loss < self.best_loss:
            self.best_loss, self.waited, self.history.best_epoch = valid_loss, 0, self.epoch
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        else:
            self.waited += 1
            self.stopped = self.waited >= patience

    def save(self, path: Path) -> None:
        """Write the whole state; the file at `path` is at any moment a complete one."""
        state = {name: getattr(self, name) for name in _KEPT} | {
            "rows": self.history.rows,
            "best_epoch": self.history.best_epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "step_random": self._random(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def load(self, path: Path, device: torch.device) -> None:
        """Take up the state that `save` wrote."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["settings"] != self.settings:
            raise ValueError(
                f"{path.name} belongs to a run with {state['settings']}, this one has {self.settings}: "
                "delete the file or pass the same settings."
            )
        for name in _KEPT:
            setattr(self, name, state[name])
        self.losses = [value.to(device) for value in self.losses]
        self.history = History(state["rows"], state["best_epoch"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.step_random = state["step_random"]
        if self.batch == 0:  # between two epochs there is nothing to replay
            self._set_random(self.step_random)
            self.step_random = None

    def _random(self) -> dict[str, Any]:
        kind, keys, *rest = np.random.get_state()  # noqa: NPY002  (the global state is what must be kept)
        return {
            "order": self.order.get_state(),
            "loader": None if self.loader is None else self.loader.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
            "python": random.getstate(),
        }

    def _set_random(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["torch"])
        if state["cuda"]:
            torch.cuda.set_rng_state_all(state["cuda"])
        kind, keys, *rest = state["numpy"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
        self.order.set_state(state["order"])
        if self.loader is not None:
            self.loader.set_state(state["loader"])


def move(inputs: Inputs, device: torch.device) -> Inputs:
    """The inputs on another device."""
    if isinstance(inputs, Mapping):
        return {name: value.to(device) for name, value in inputs.items()}
    return inputs.to(device)


def rows(inputs: Inputs, index: Tensor) -> Inputs:
    """The examples that `index` names, from a tensor or from every tensor of a dict."""
    if isinstance(inputs, Mapping):
        return {name: value[index] for name, value in inputs.items()}
    return inputs[index]
