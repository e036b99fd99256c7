"""The book's recipe and what else one would use, each as its own documentation recommends.

Every contestant gets a task and a clock. It trains, lets the clock look at what it has learned, as a rule
after each epoch, and returns how it classifies at the end. All have one linear head on the same network.
"""

from __future__ import annotations

import copy
import functools
import itertools
import logging
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks import frameworks, program
from transferbook.data.datasets import Part, Splits
from transferbook.learning import transfer
from transferbook.models.backbones import Backbone
from transferbook.program import candidates, readers

Classify = Callable[[Any], Tensor]  # inputs -> logits (N, C)


def accuracy(classify: Classify, part: Part) -> float:
    """The share of the examples that are classified rightly."""
    return float((classify(part.inputs).argmax(dim=1) == part.labels).double().mean())


@dataclass
class Clock:
    """CPU seconds of this process since the start, without those that looking takes.

    Attributes:
        curve: at each look, the seconds so far and the accuracy on the validation part.
    """

    splits: Splits
    curve: list[tuple[float, float]] = field(default_factory=list)
    started: float = field(default_factory=lambda: time.process_time())

    def read(self) -> float:
        """Seconds so far."""
        return time.process_time() - self.started

    def look(self, classify: Classify) -> None:
        """Note the accuracy now; scoring is off the clock."""
        seconds = self.read()
        self.curve.append((seconds, accuracy(classify, self.splits.valid)))
        self.started = time.process_time() - seconds


@dataclass(frozen=True)
class Task:
    """What all contestants get.

    Attributes:
        splits: labelled examples, those that validate, and those that test.
        backbone: a network of its own for each contestant.
        limit: tokens of a text, or pixels of a picture's side.
        seed: of the head, the order and the variation.
        most: epochs of a stage that are trained at most; less than a recipe has for trials only.
    """

    splits: Splits
    backbone: Backbone
    limit: int
    seed: int
    most: int = 1_000

    @property
    def reader(self) -> readers.NetworkReader:
        """What turns the examples into batches, and into features."""
        kind = "texts" if isinstance(self.splits.train.inputs, list) else "pictures"
        return readers.NetworkReader(kind, self.limit, self.backbone, "")

    @property
    def head(self) -> nn.Linear:
        """A new head."""
        torch.manual_seed(self.seed)
        return nn.Linear(self.backbone.width, len(self.splits.class_names))

    def batches(self, size: int) -> DataLoader:
        """Shuffled batches of the labelled examples, texts padded to the longest of their batch."""
        train = self.splits.train
        return self.reader.batches(train.inputs, train.labels, batch_size=size, seed=self.seed)

    def classify(self, encoder: nn.Module, head: nn.Linear) -> Classify:
        """How a network classifies as it is now; what is done with it later does not matter."""
        frozen = replace(self.backbone, module=copy.deepcopy(encoder).eval())
        reader, head = replace(self.reader, backbone=frozen), copy.deepcopy(head)
        return lambda inputs: readers.apply_head(head, reader.features(inputs, progress=False))


class Network(transfer.Classifier):
    """An encoder and its head as libraries like it: one argument, with or without labels."""

    def forward(self, inputs: Any, labels: Tensor | None = None) -> Any:
        """Logits; with labels the loss and the logits, as the `Trainer` of transformers wants it."""
        features = self.encoder(**inputs) if isinstance(inputs, dict) else self.encoder(inputs)
        logits = self.head(features)
        return logits if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


def book(task: Task, clock: Clock, rates: int, epochs: int) -> Classify:
    """What `classify.train` does, candidate by candidate; the validation part's features are on the clock.

    Args:
        task: what to learn.
        clock: notes each candidate when it has been judged.
        rates: fine-tunings, each with another learning rate.
        epochs: of each.
    """
    splits, reader, tried = task.splits, task.reader, []
    classes, train, valid = len(splits.class_names), splits.train, splits.valid
    measure = "f1" if candidates.is_unequal(train.labels) else "accuracy"

    def judged(found: Any) -> None:
        for candidate in found:
            tried.append(candidate)
            clock.curve.append((clock.read(), candidate.scores["accuracy"]))

    if reader.kind == "texts":
        words = readers.WordReader.of(train.inputs)
        judged(candidates.probes(words, train, valid, classes))
    first = len(tried)
    judged(candidates.probes(reader, train, valid, classes, cache=False, progress=False))
    start = candidates.choose(tried[first:], measure).head
    tunings = candidates.fine_tunings(
        reader, start, train, valid, test_size=len(splits.test), deadline=None, seed=task.seed,
        max_epochs=min(epochs, task.most), progress=False,
    )  # fmt: skip
    judged(itertools.islice(tunings, rates))
    best = candidates.choose(tried, measure)
    return lambda inputs: readers.apply_head(best.head, best.reader.features(inputs))


def features_once(task: Task, clock: Clock) -> Classify:
    """A plain script: features in the given order, then scikit-learn's logistic regression as it comes."""
    from sklearn.linear_model import LogisticRegression

    features, labels = _plain_features(task, task.splits.train.inputs), task.splits.train.labels
    fitted = LogisticRegression(max_iter=1_000).fit(features.numpy(), labels.numpy())

    def classify(inputs: Any) -> Tensor:
        return torch.from_numpy(fitted.predict_proba(_plain_features(task, inputs).numpy()))

    clock.look(classify)
    return classify


def fastai(task: Task, clock: Clock, epochs: int) -> Classify:
    """`Learner.fine_tune`: an epoch of the head alone, then all, with its own rates and one-cycle schedule.

    docs.fast.ai/callback.schedule.html; four epochs as for the 150 pictures of bears in fastai's book.
    """
    import fastai.callback.progress
    import fastai.callback.schedule  # these two give `Learner` more methods  # noqa: F401
    from fastai.basics import Callback, CancelValidException, DataLoaders, Learner, params

    class Look(Callback):
        def before_validate(self) -> None:
            raise CancelValidException

        def after_epoch(self) -> None:
            clock.look(task.classify(model.encoder, model.head))

    model = Network(task.backbone.module, task.head)
    loader = task.batches(16)  # its usual 64 would leave a single batch of few pictures
    learner = Learner(
        DataLoaders(loader, loader),
        model,
        loss_func=F.cross_entropy,
        splitter=lambda whole: [params(whole.encoder), params(whole.head)],
        cbs=Look(),
    )
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(min(epochs, task.most))
    return task.classify(model.encoder, model.head)


def hugging_face(task: Task, clock: Clock, epochs: int) -> Classify:
    """The `Trainer` of transformers as it comes: AdamW at 5e-5, falling linearly, batches of 8, 3 epochs.

    huggingface.co/docs/transformers/main_classes/trainer
    """
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    class Look(TrainerCallback):
        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            clock.look(task.classify(model.encoder, model.head))

    def collate(rows: list[tuple[Any, Tensor]]) -> dict[str, Any]:
        inputs, labels = as_batch(rows)
        return {"inputs": inputs, "labels": labels}

    model, ours = Network(task.backbone.module, task.head), task.batches(8)
    as_batch = ours.collate_fn
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=min(epochs, task.most),
            seed=task.seed,
            **frameworks.QUIET_TRAINER,
        )
        trainer = Trainer(
            model, arguments, data_collator=collate, train_dataset=ours.dataset, callbacks=[Look()]
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return task.classify(model.encoder, model.head)


def lightning_text(task: Task, clock: Clock) -> Classify:
    """AdamW at 2e-5, falling linearly, batches of 32, three epochs, all weights.

    lightning.ai/docs/pytorch/stable/notebooks/lightning_examples/text-transformers.html (its run on MRPC)
    """

    def optimizers(module: Any) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(module.parameters(), lr=2e-5, eps=1e-8, weight_decay=0.0)
        steps = module.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=int(steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    return _lightning(task, clock, optimizers, batch=32, epochs=3, callbacks=lambda: [])


def lightning_pictures(task: Task, clock: Clock) -> Classify:
    """`BackboneFinetuning` as it comes: ten epochs of the head at 1e-3, then all, each epoch twice as fast.

    lightning.ai/docs/pytorch/stable/advanced/finetuning.html; 15 epochs as in its example of transfer
    learning in computer vision.
    """

    def unfreezing() -> list[Any]:
        from pytorch_lightning.callbacks import BackboneFinetuning

        return [BackboneFinetuning(unfreeze_backbone_at_epoch=min(10, task.most - 1))]

    def optimizers(module: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=1e-3)

    return _lightning(task, clock, optimizers, batch=16, epochs=15, callbacks=unfreezing)


def _lightning(
    task: Task, clock: Clock, optimizers: Callable[[Any], Any], batch: int, epochs: int,
    callbacks: Callable[[], list[Any]],
) -> Classify:  # fmt: skip
    import pytorch_lightning

    class Module(pytorch_lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = task.backbone.module, task.head

        def training_step(self, batch: tuple[Any, Tensor], _: int) -> Tensor:
            inputs, labels = batch
            features = self.backbone(**inputs) if isinstance(inputs, dict) else self.backbone(inputs)
            return F.cross_entropy(self.head(features), labels)

        def configure_optimizers(self) -> Any:
            return optimizers(self)

        def on_train_epoch_end(self) -> None:
            clock.look(task.classify(self.backbone, self.head))

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    module = Module().train()
    trainer = pytorch_lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=min(epochs, task.most),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks(),
    )
    trainer.fit(module, task.batches(batch))
    return task.classify(module.backbone, module.head)


def keras(task: Task, clock: Clock, frozen: int, tuned: int) -> Classify:
    """The guide of Keras: the head by Adam at 1e-3, dropout before it; then all at 1e-5, in evaluation mode.

    keras.io/guides/transfer_learning, which has 2 + 1 epochs, and had 20 + 10. The network is wrapped by
    `keras.layers.TorchModuleWrapper`.
    """
    keras = _keras()
    keras.utils.set_random_seed(task.seed)

    class Guide(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.base = keras.layers.TorchModuleWrapper(_Shaped(task.backbone))
            self.dropout = keras.layers.Dropout(0.2)
            self.dense = keras.layers.Dense(len(task.splits.class_names))

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            features = self.base(inputs, training=False)
            return self.dense(self.dropout(features, training=training))

    model = Guide()

    def classify() -> Classify:
        return task.classify(model.base.module.encoder, _of_dense(model.dense))

    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: clock.look(classify()))
    model.base.trainable = False
    for rate, epochs in ((1e-3, frozen), (1e-5, tuned)):
        _compile(keras, model, rate)
        model.fit(task.batches(32), epochs=min(epochs, task.most), callbacks=[look], verbose=0)
        model.base.trainable = True
    return classify()


def keras_features(task: Task, clock: Clock) -> Classify:
    """The guide's lightweight workflow: the network's outputs are recorded once, a head learns of them."""
    keras = _keras()
    keras.utils.set_random_seed(task.seed)
    features = _plain_features(task, task.splits.train.inputs)
    dense = keras.layers.Dense(len(task.splits.class_names))
    model = keras.Sequential([keras.layers.Dropout(0.2), dense])

    @functools.cache
    def recorded() -> Tensor:  # off the clock, like all that scores
        return _plain_features(task, task.splits.valid.inputs)

    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: clock.look(lambda _: readers.apply_head(_of_dense(dense), recorded()))
    )
    _compile(keras, model, 1e-3)
    epochs = min(20, task.most)
    model.fit(features, task.splits.train.labels, batch_size=32, epochs=epochs, callbacks=[look], verbose=0)
    return task.classify(task.backbone.module, _of_dense(dense))


def _keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    return keras


def _compile(keras: Any, model: Any, rate: float) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss=loss, jit_compile=False)


class _Shaped(nn.Module):
    """An encoder that also answers the question for shapes which Keras asks without numbers."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.encoder, self.width = backbone.module, backbone.width

    def forward(self, inputs: Any) -> Tensor:
        first = inputs["input_ids"] if isinstance(inputs, dict) else inputs
        if first.device.type == "meta":
            return torch.empty(len(first), self.width, device="meta")
        return self.encoder(**inputs) if isinstance(inputs, dict) else self.encoder(inputs)


def torchvision(task: Task, clock: Clock, frozen: bool) -> Classify:
    """The tutorial on transfer learning: SGD, 25 epochs; all weights, or those of the head alone.

    pytorch.org/tutorials/beginner/transfer_learning_tutorial.html
    """
    train, head = task.splits.train, task.head
    task.backbone.module.requires_grad_(not frozen)
    epochs = min(25, task.most)
    for _ in program.torchvision_epochs(task.backbone, head, train.inputs, train.labels, task.limit, epochs):
        clock.look(task.classify(task.backbone.module, head))
    return task.classify(task.backbone.module, head)


def _plain_features(task: Task, inputs: Any) -> Tensor:
    """Features of examples in their order, 32 at a time, texts padded to the longest of their batch."""
    module, found = task.backbone.module, []
    with torch.no_grad():
        for first in range(0, len(inputs), 32):
            batch = task.backbone.prepare(inputs[first : first + 32])
            found.append(module(**batch) if isinstance(batch, dict) else module(batch))
    return torch.cat(found)


def _of_dense(dense: Any) -> nn.Linear:
    kernel, bias = dense.kernel.value.detach(), dense.bias.value.detach()
    head = nn.Linear(*kernel.shape).requires_grad_(False)
    head.weight.copy_(kernel.T)
    head.bias.copy_(bias)
    return head
