"""The state of a training run: its record, and what it needs to go on bit for bit after it was killed."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from transferbook.data import files
from transferbook.learning import identity, processes, schedules
from transferbook.learning.examples import Data, Inputs, move, rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KEPT = (
    "epochs",
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
        stopped_by: what ended the last call of `fit`: "epochs" (all were done), "patience" or "time".
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    stopped_by: str | None = None

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
        seed: int,
        team: processes.Alone | None = None,
    ) -> None:
        self.team = team or processes.Alone(torch.device("cpu"))
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.loader = loader  # the generator of a DataLoader that has one of its own
        self.order = torch.Generator().manual_seed(seed)  # shuffles resident tensors
        self.facts: identity.Facts = {}  # of `identity`, for the checkpoint
        self.epochs = 0  # of the run that was asked for
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
            order = torch.randperm(len(labels), generator=self.order).to(labels.device)
            sizes = sizes_of_batches(len(labels), batch_size, self.model, self.team.size)
            if self.schedule is not None and len(sizes) < -(-len(labels) // batch_size):
                warnings.warn(
                    "The last batch of one example joins the one before, for BatchNorm cannot be trained on "
                    f"one: count {len(sizes)} batches an epoch for the steps of the schedule.",
                    stacklevel=3,
                )
            parts = order.split(sizes)
            source = ((rows(inputs, index), labels[index]) for index in parts[self.batch :])
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
        mean = self.mean_loss()
        self.epoch, self.batch, self.losses, self.sizes = self.epoch + 1, 0, [], []
        rate = float(self.optimizer.param_groups[0]["lr"])
        row = {"epoch": self.epoch, "train_loss": mean, "learning_rate": rate, "seconds": seconds}
        self.history.rows.append(row)
        return row

    def mean_loss(self) -> float:
        """The mean training loss of this epoch up to now, over its examples.

        Raises:
            ValueError: if there was no batch.
            FloatingPointError: if the mean is not finite.
        """
        if not self.sizes:
            raise ValueError("The training data gave no batch: pass tensors, a list or a DataLoader.")
        sizes = torch.tensor(self.sizes, dtype=torch.float64)
        sums = torch.stack([(torch.stack(self.losses).double().cpu() * sizes).sum(), sizes.sum()])
        mean = float(torch.div(*self.team.total(sums)))
        if not np.isfinite(mean):
            raise FloatingPointError(
                f"The training loss became {mean} in epoch {self.epoch + 1}: lower the learning rate or clip."
            )
        return mean

    def watch(self, valid_loss: float, patience: int) -> None:
        """Keep the weights if they are the best so far; stop after `patience` epochs that are not."""
        if valid_loss < self.best_loss:
            self.best_loss, self.waited, self.history.best_epoch = valid_loss, 0, self.epoch
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        else:
            self.waited += 1
            self.stopped = self.waited >= patience

    def save(self, path: Path) -> None:
        """Write the whole state; the file at `path` is at any moment a complete one.

        Raises:
            OSError: if it cannot be stored; the message names the file, and the one before is still there.
        """
        state = {name: getattr(self, name) for name in _KEPT} | {
            "identity": self.facts,
            "rows": self.history.rows,
            "best_epoch": self.history.best_epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "step_random": self._random(),
        }
        state = self.team.collect(state)
        if self.team.rank > 0:
            return
        with storing(path), files.replacing(path) as file:
            torch.save(state, file)

    def load(self, path: Path, device: torch.device) -> None:
        """Take up the state that `save` wrote, if there is one; if it cannot be used, nothing is changed.

        Raises:
            ValueError: if the file is damaged, or belongs to another run; the message says in what.
            OSError: if it cannot be read.
        """
        state = _read(path)
        if state is None:
            return
        if other := identity.mismatch(state["identity"], self.facts):
            raise ValueError(
                f"{path} belongs to a run {other}: pass the same, name another file, or delete this one."
            )
        state = self.team.own(state)
        for name in _KEPT:
            setattr(self, name, state[name])
        self.losses = [value.to(device) for value in self.losses]
        self.history = History(state["rows"], state["best_epoch"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
            schedules.go_on(self.schedule)
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


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Say in one sentence that a checkpoint cannot be stored, and why."""
    try:
        yield
    except OSError as error:
        help_ = "free some space" if files.full(error) else "choose a folder that you can write to"
        kept = "; the one that was stored there before is whole" if os.path.isfile(path) else ""
        raise OSError(
            f"The checkpoint {path} cannot be stored ({files.reason(error)}): {help_} or name another "
            f"file{kept}."
        ) from error


def _read(path: Path) -> dict[str, Any] | None:
    """The state in a checkpoint, with all of its parts; None if there is no file."""
    try:
        state = files.load_tensors(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except files.DamagedError as error:
        raise ValueError(
            f"The checkpoint {error}: put a copy in its place, or delete it to train from the start."
        ) from error
    except OSError as error:
        raise OSError(
            f"The checkpoint {path} cannot be read ({files.reason(error)}): mend that or name another file."
        ) from error
    parts = {*_KEPT, "identity", "rows", "best_epoch", "model", "optimizer", "schedule", "step_random"}
    if not isinstance(state, dict) or not state.keys() >= parts - {"identity", "epochs"}:
        raise ValueError(f"{path} is no checkpoint of `fit`: name another file.")
    if not state.keys() >= parts:
        raise ValueError(
            f"{path} was written by an earlier version of the book, which did not keep on what data and at "
            "what rates it was trained: name another file, or delete this one to train from the start."
        )
    return state


def sizes_of_batches(examples: int, batch_size: int, model: nn.Module, parts: int = 1) -> list[int]:
    """How many examples each batch of an epoch has: `batch_size`, and what is left over.

    BatchNorm cannot be trained on one example; where a model trains it, a last batch of one, or of fewer
    than two for each of its `parts`, joins the one before.
    """
    sizes = [batch_size] * (examples // batch_size)
    if left := examples % batch_size:
        sizes.append(left)
    if 0 < left < 2 * parts and len(sizes) > 1 and any(map(_trains_batchnorm, model.modules())):
        sizes[-2:] = [batch_size + left]
    return sizes


def _trains_batchnorm(part: nn.Module) -> bool:
    """Whether a module is a BatchNorm that takes the statistics of the batch, and is not held back."""
    held = any(getattr(hook, "keeps_evaluation", False) for hook in part._forward_pre_hooks.values())
    return isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training and not held
