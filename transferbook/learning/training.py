"""The training loop: plain torch steps, sample-weighted metrics, early stopping, exact resume."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from transferbook import runtime
from transferbook.data import files
from transferbook.learning import examples, identity, processes, schedules
from transferbook.learning.checkpoints import History, RunState, storing
from transferbook.learning.examples import Data, Inputs
from transferbook.learning.schedules import warmup_linear

__all__ = ["Data", "History", "Inputs", "Loss", "evaluate", "fit", "predict", "warmup_linear"]

Loss = Callable[[Tensor, Tensor], Tensor]


def fit(
    model: nn.Module,
    train: Data,
    *,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    batch_size: int = 32,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    loss: Loss = F.cross_entropy,
    valid: Data | None = None,
    patience: int | None = None,
    max_seconds: float | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 100,
    device: torch.device | None = None,
    progress: bool | None = None,
    on_epoch_start: Callable[[int], None] | None = None,
) -> History:
    """Train `model` in place; on the way out it holds the last weights, or the best ones with `patience`.

    Started in several processes by `torchrun` or `accelerate launch`, all make the same call with the same
    data, and each step is that of one process, but for dropout and BatchNorm, which see a process's part of
    a batch. The processes end with equal weights; the first one alone writes the checkpoint.

    Args:
        model: called as `model(inputs)`, or `model(**inputs)` where the inputs are a dict of tensors.
        train: `(inputs, labels)` tensors of equal length N, kept on the device and reshuffled every epoch,
            or a re-iterable of such pairs, one per batch (a `DataLoader`, a list), used in its own order.
        optimizer: built over the model's parameters; any parameter groups.
        epochs: passes over the training data.
        batch_size: examples per batch, over all processes; used only where `train` is a pair of tensors. The
            last batch has what is left over; if that is one example and the model trains a BatchNorm, which
            cannot do with one (nor can a process), it joins the batch before: an epoch has a step less.
        schedule: a learning-rate scheduler, stepped once per optimiser step.
        loss: mean loss of the examples of a batch, `loss(outputs, labels)`.
        valid: data scored after each epoch, in either of the forms of `train`.
        patience: stop after this many epochs without a lower validation loss, and restore the best weights.
        max_seconds: stop at the end of the first optimiser step at which this call has trained for so long,
            the scoring of `valid` included. An epoch that is then unfinished has no row in the history, and
            its weights are none that `patience` could restore; with a `checkpoint`, a later call goes on from
            that step.
        clip_norm: largest Euclidean norm of the whole gradient.
        accumulate: batches whose gradients are averaged, by examples, into one optimiser step.
        seed: of the order of the examples.
        checkpoint: file that keeps the whole state of the run; if it exists, the run goes on from there, for
            more epochs too. It must be the same run: model, optimiser with its rates and settings, schedule,
            data. Only a `LambdaLR`, such as `warmup_linear`, may be another (one with more steps, say); it
            takes effect from the step that the run has reached.
        checkpoint_every: optimiser steps between two checkpoints; one is also written after every epoch.
        device: where to train; by default `runtime.device()`. Of several processes each has a GPU of its own.
        progress: draw a progress bar on stderr; by default only in a terminal.
        on_epoch_start: called with the epoch (from 0) before it starts, and again when a run is resumed
            within it; what it does must depend on the epoch alone.

    Returns:
        The history of all epochs, those before a resume included; `stopped_by` says what ended the run.

    Raises:
        ValueError: for data of unequal length, a one-shot iterator, no epoch, no time, `patience` without
            `valid`, a checkpoint that is damaged or of another run, a schedule that is spent, an optimiser of
            parameters that the model lacks, or processes that differ in data or arguments or cannot share a
            batch evenly; the message says which.
        OSError: if the checkpoint cannot be read or stored; what was stored before stays whole.
        FloatingPointError: if the training loss of an epoch, or of its part before the stop, is not finite,
            or with `clip_norm` the norm of a gradient.
    """
    if epochs < 1 or batch_size < 1 or accumulate < 1 or checkpoint_every < 1:
        raise ValueError(
            f"epochs, batch_size, accumulate and checkpoint_every must be at least 1; got {epochs}, "
            f"{batch_size}, {accumulate}, {checkpoint_every}."
        )
    if max_seconds is not None and not max_seconds > 0:
        raise ValueError(f"max_seconds must be a positive number, or None for no limit; got {max_seconds}.")
    if patience is not None and valid is None:
        raise ValueError("patience needs validation data to watch: pass valid=(inputs, labels).")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if strangers := len({id(p) for p in parameters} - {id(p) for p in model.parameters()}):
        raise ValueError(
            f"The optimizer holds {strangers} parameters that are not the model's: make it after the last "
            "change of the model, such as a new head."
        )
    # One process trains with plain torch steps. Several hand model, batches and sums to an Accelerator here;
    # the optimiser sees the whole gradient in each of them.
    team = processes.team(device)
    device = team.device
    model.to(device)
    train = examples.on_device(train, device)
    valid = None if valid is None else examples.on_device(valid, device)
    path = None if checkpoint is None else Path(checkpoint)
    team.require_same(epochs=epochs, batch_size=batch_size if isinstance(train, tuple) else None, seed=seed,
                      accumulate=accumulate, patience=patience, max_seconds=max_seconds, clip_norm=clip_norm,
                      checkpoint=path, checkpoint_every=checkpoint_every)  # fmt: skip
    network = team.wrap(model)
    run = RunState(model, optimizer, schedule, getattr(train, "generator", None), seed, team)
    if path is not None:
        settings = {"batch_size": batch_size, "accumulate": accumulate, "seed": seed, "patience": patience}
        settings |= {"clip_norm": clip_norm, "processes": team.size}
        data = {"training": train, "validation": valid}
        run.facts = identity.of_run(model, optimizer, schedule, settings, data)
        run.load(path, device)
        if run.epoch < epochs and team.rank == 0:
            with storing(path):
                files.require_writable(path)
    if schedule is not None and run.epochs < epochs and not run.stopped:
        schedules.refuse_spent(schedule, train, batch_size, accumulate, epochs - run.epoch)
    run.epochs = max(run.epochs, epochs)

    norms: list[Tensor] = []  # of this epoch's gradients, read at its end since that waits for the device

    def step(count: int) -> None:
        if accumulate > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.div_(count)
        if clip_norm is not None:
            norms.append(nn.utils.clip_grad_norm_(parameters, clip_norm))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if schedule is not None:
            schedule.step()
        run.steps += 1

    begun = time.perf_counter()

    def late() -> bool:
        return max_seconds is not None and team.any(time.perf_counter() - begun >= max_seconds)

    show = sys.stderr.isatty() if progress is None else progress
    with tqdm(total=epochs, initial=run.epoch, unit="epoch", disable=not show or team.rank > 0) as bar:
        while run.epoch < epochs and not run.stopped:
            started = time.perf_counter()
            if on_epoch_start is not None:
                on_epoch_start(run.epoch)
            model.train()
            gathered = 0  # examples whose gradients wait for the next step
            fresh = team.begin_epoch(run.step_random is None, run.loader)
            batches = team.parts(run.batches(train, batch_size), fresh)
            for number, (inputs, labels, own, whole) in enumerate(batches, start=run.batch):
                with runtime.autocast(device):
                    batch_loss = loss(examples.call(network, inputs), labels)
                run.losses.append(batch_loss.detach())
                run.sizes.append(own)
                gathered += whole
                team.backward(batch_loss if accumulate == 1 else batch_loss * whole, own / whole)
                if (number + 1) % accumulate == 0:
                    step(gathered)
                    gathered = 0
                    run.batch = number + 1
                    stop = late()
                    if path is not None and (stop or run.steps % checkpoint_every == 0):
                        run.save(path)
                    if stop:
                        break
            if gathered:
                step(gathered)
            if late() and next(batches, None) is not None:  # within the epoch
                run.mean_loss()
                _refuse_infinite(norms, run.epoch + 1)
                break
            row = run.end_epoch(time.perf_counter() - started)
            _refuse_infinite(norms, run.epoch)
            norms.clear()
            team.settle(model)
            if valid is not None:
                scores = _scores(model, valid, loss, 256, team)
                row |= {f"valid_{name}": scores[name] for name in ("loss", "accuracy") if name in scores}
            row |= team.first(row)
            if patience is not None:
                run.watch(row["valid_loss"], patience)
            if path is not None:
                run.save(path)
            bar.update()
            bar.set_postfix({name: f"{row[name]:.3f}" for name in row if name.endswith(("loss", "accuracy"))})
            if late():
                break
    if run.best is not None:
        model.load_state_dict(run.best)
    run.history.stopped_by = "patience" if run.stopped else "time" if run.epoch < epochs else "epochs"
    return run.history


def _refuse_infinite(norms: list[Tensor], epoch: int) -> None:
    """Raise if the norm of a gradient was not finite: clipping divides by it, and nothing is left."""
    if norms and not (finite := torch.stack(norms).isfinite()).all():
        norm = float(norms[int(finite.int().argmin())])
        raise FloatingPointError(
            f"The norm of a gradient became {norm} in epoch {epoch}, and clipping leaves nothing of it: "
            "lower the learning rate, or look for weights and inputs of extreme size."
        )


def predict(
    model: nn.Module, inputs: Inputs, *, batch_size: int = 256, device: torch.device | None = None
) -> Tensor:
    """The model's outputs for every example, in evaluation mode, in the order of `inputs`.

    Tokenised texts (a dict with an `attention_mask`) run sorted by length, to compute little padding.

    Args:
        inputs: a tensor or a dict of tensors whose first axis counts the N examples.
        batch_size: examples per batch; it changes the speed, not the result beyond rounding.
        device: where to compute; by default `runtime.device()`.

    Returns:
        Outputs of shape (N, ...) in float32, on the CPU.
    """
    device = device or runtime.device()
    model.to(device)
    order = examples.length_order(inputs)
    outputs = []
    with _evaluation_mode(model), torch.inference_mode(), runtime.autocast(device):
        for index in order.split(batch_size):
            index = index.to(examples.first(inputs).device)
            batch = examples.move(examples.rows(inputs, index), device)
            outputs.append(examples.call(model, batch).float().cpu())
    joined = torch.cat(outputs)
    result = torch.empty_like(joined)
    result[order] = joined
    return result


def evaluate(
    model: nn.Module,
    data: Data,
    *,
    loss: Loss = F.cross_entropy,
    batch_size: int = 256,
    device: torch.device | None = None,
) -> dict[str, float]:
    """Loss and, for class labels, accuracy over all examples at once: no mean of batch means.

    Args:
        data: `(inputs, labels)` tensors, or a re-iterable of such pairs.
        loss: mean loss over the examples that it is given.

    Returns:
        `loss`, `n` (examples) and, if the labels are integers of shape (N,), `accuracy` in [0, 1].
    """
    return _scores(model, data, loss, batch_size, processes.Alone(device or runtime.device()))


def _scores(
    model: nn.Module, data: Data, loss: Loss, batch_size: int, team: processes.Alone
) -> dict[str, float]:
    def outputs_of(inputs: Inputs) -> Tensor:
        return predict(model, inputs, batch_size=batch_size, device=team.device)

    pairs = [data] if isinstance(data, tuple) else data
    scored = [(team.predictions(outputs_of, x, y), y.cpu()) for x, y in pairs]
    outputs, labels = (torch.cat(parts) for parts in zip(*scored, strict=True))
    scores = {"loss": float(loss(outputs, labels)), "n": float(len(labels))}
    if not labels.is_floating_point() and labels.ndim == 1:
        scores["accuracy"] = float((outputs.argmax(1) == labels).double().mean())
    return scores


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch every module to evaluation and, afterwards, each one back to the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
