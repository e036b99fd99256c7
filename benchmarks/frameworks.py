"""`training.fit`, a bare loop and the usual training libraries on the 256-512-512-10 network.

The libraries are no part of the book's environment: pip puts them, without what they depend on, into a
temporary folder. All see resident tensors, through a `DataLoader` where they want one, with logging,
checkpoints, validation, progress bars and gradient clipping turned off.
"""

from __future__ import annotations

import functools
import importlib
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from benchmarks import fit, measure
from benchmarks.fit import Run, Settings

INPUTS = (*fit.INPUTS, "benchmarks/frameworks.py")
# The libraries and of their dependencies those that the book does not have.
PINNED = (
    "skorch==1.4.0", "tabulate==0.10.0",
    "pytorch-lightning==2.6.6", "lightning-utilities==0.15.3", "torchmetrics==1.9.0",
    "accelerate==1.15.0",
    "fastai==2.8.12", "fastcore==2.2.39", "fastprogress==1.0.5", "fastdownload==0.0.8",
    "fasttransform==0.0.5", "plum-dispatch==2.9.0", "beartype==0.23.1",
)  # fmt: skip
NETWORK = Settings(examples=20_000, epochs=5, batch_size=128, repetitions=5)
# Of the Hugging Face Trainer: on the CPU, with nothing written and nothing shown.
QUIET_TRAINER = {
    "use_cpu": True, "report_to": "none", "save_strategy": "no", "logging_strategy": "no",
    "disable_tqdm": True, "remove_unused_columns": False, "dataloader_pin_memory": False,
}  # fmt: skip


def measure_frameworks(
    libraries: dict[str, Callable[[Tensor, Tensor, Settings], Run]], settings: Settings = NETWORK
) -> list[measure.Measurement]:
    """`fit` and each of `libraries` over the bare loop. Some libraries draw an order of their own."""
    data = fit.network_data(settings)
    contestants = {"bare loop": fit.bare_loop(*data, settings), "fit": fit.fit(*data, settings)}
    contestants |= {name: make(*data, settings) for name, make in libraries.items()}
    seconds = fit.run_all(contestants, fit.network, settings, equal=False)
    facts = {"settings": asdict(settings) | {"installed": PINNED}, "checked": "number of batches"}
    return [
        measure.compare(f"{name} over a bare loop, same network", seconds, name, "bare loop", **facts)
        for name in contestants
        if name != "bare loop"
    ]


@contextmanager
def installed() -> Iterator[None]:
    """The libraries can be imported, from a folder that exists as long as this context.

    Raises:
        RuntimeError: if pip cannot install them; the message ends with its last words.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = "--quiet --disable-pip-version-check --no-input --no-deps --target".split()
        command = [sys.executable, "-m", "pip", "install", *options, folder, *PINNED]
        pip = subprocess.run(command, capture_output=True, text=True)
        if pip.returncode:
            raise RuntimeError(f"pip cannot install the training libraries: {pip.stderr[-500:]}")
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(folder)


def skorch(inputs: Tensor, labels: Tensor, settings: Settings) -> Run:
    """skorch's `NeuralNet`."""
    from skorch import NeuralNet

    def run(model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
        net = NeuralNet(
            model,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.AdamW,
            lr=1e-3,
            max_epochs=settings.epochs,
            batch_size=settings.batch_size,
            iterator_train__shuffle=True,
            train_split=None,
            callbacks="disable",
            verbose=0,
        )
        return net.fit(inputs, labels).module_

    return run


def lightning(inputs: Tensor, labels: Tensor, settings: Settings) -> Run:
    """PyTorch Lightning's `Trainer`."""
    import pytorch_lightning

    class Module(pytorch_lightning.LightningModule):
        def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
            super().__init__()
            self.model, self.chosen = model, optimizer

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            return F.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return self.chosen

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    def run(model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
        trainer = pytorch_lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=settings.epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Module(model, optimizer), fit.loader_in_order(inputs, labels, settings))
        return model

    return run


def hugging_face(inputs: Tensor, labels: Tensor, settings: Settings) -> Run:
    """The `Trainer` of transformers."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    class WithLoss(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.model(inputs)
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    def collate(pairs: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        batch, targets = zip(*pairs, strict=True)
        return {"inputs": torch.stack(batch), "labels": torch.stack(targets)}

    def run(model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                num_train_epochs=settings.epochs,
                per_device_train_batch_size=settings.batch_size,
                max_grad_norm=0.0,
                **QUIET_TRAINER,
            )
            constant = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
            trainer = Trainer(
                WithLoss(model),
                arguments,
                data_collator=collate,
                train_dataset=TensorDataset(inputs, labels),
                optimizers=(optimizer, constant),
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        return model

    return run


def fastai(inputs: Tensor, labels: Tensor, settings: Settings) -> Run:
    """fastai's `Learner`."""
    from fastai.basics import Callback, CancelValidException, DataLoaders, Learner, OptimWrapper, Recorder

    class NoValidation(Callback):
        def before_validate(self) -> None:
            raise CancelValidException

    def run(model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
        loader = fit.loader_in_order(inputs, labels, settings)
        learner = Learner(
            DataLoaders(loader, loader),
            model,
            loss_func=F.cross_entropy,
            opt_func=functools.partial(OptimWrapper, opt=torch.optim.AdamW),
            cbs=NoValidation(),
        )
        learner.remove_cb(Recorder)
        learner.fit(settings.epochs, 1e-3)
        return model

    return run


LIBRARIES: dict[str, Callable[[Tensor, Tensor, Settings], Run]] = {
    "DataLoader loop": fit.loader_loop,
    "skorch": skorch,
    "Lightning": lightning,
    "Hugging Face Trainer": hugging_face,
    "fastai": fastai,
}


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the libraries warn of each other's deprecations
    with installed():
        measure.record("frameworks", INPUTS, measure_frameworks(LIBRARIES))
