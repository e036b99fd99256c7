"""Contrastive tuning: texts of one class are drawn together, those of two apart, before a head is fitted.

What a few labels say of single texts is little; of pairs of texts they say much more, for N texts make
N (N - 1) / 2 pairs. A probe on the tuned network then classifies (Tunstall et al., 2022, SetFit):

    tuned, _ = contrastive.tune(backbone, texts, labels)
    head = transfer.linear_probe(transfer.embed(tuned, texts), labels)
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transferbook.learning import examples, training
from transferbook.learning.examples import Inputs
from transferbook.models.backbones import Backbone

TOGETHER = 8  # texts of like length that run together, to compute little padding


class NoPairsError(ValueError):
    """The labelled texts make no pair of two classes, or none within one; the message says what to add."""


def pair_loss(features: Tensor, labels: Tensor) -> Tensor:
    r"""How far the cosines of all pairs in a batch are from 1 within a class, and from 0 between two.

    $\frac12 \operatorname{mean}_{y_i = y_j} (1 - c_{ij})^2
    + \frac12 \operatorname{mean}_{y_i \ne y_j} c_{ij}^2$ over $i < j$, with the cosines $c_{ij}$ of the
    features: both kinds of pairs weigh the same, however many there are of each.
    If a batch has pairs of one kind only, their mean is the loss.

    Args:
        features: shape (B, D), B >= 2.
        labels: class indices, shape (B,).

    Returns:
        A scalar in float32 or float64, differentiable in the features.

    Raises:
        ValueError: if the shapes do not fit, or there is no pair.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1] or len(labels) < 2:
        raise ValueError(
            f"pair_loss needs features (B, D) and labels (B,), B >= 2; got {tuple(features.shape)} and "
            f"{tuple(labels.shape)}."
        )
    z = F.normalize(features if features.dtype == torch.float64 else features.float(), dim=1)
    first, second = torch.triu_indices(len(z), len(z), offset=1, device=z.device)
    with torch.autocast(z.device.type, enabled=False):
        cosines = (z @ z.T)[first, second]  # (B (B - 1) / 2,)
    alike = labels[first] == labels[second]
    kinds = [(1 - cosines[alike]) ** 2, cosines[~alike] ** 2]
    return torch.stack([kind.mean() for kind in kinds if len(kind)]).mean()


class PairBatches:
    """Batches for `training.fit` with `pair_loss`: few classes at a time, and of each as many texts.

    Every class counts alike, and gives two texts or more to a batch that it is in, as far as it has them; its
    texts take turns. No text is in a batch twice, and a text that a class repeats word for word counts once,
    so that no pair is a text with itself.

    Args:
        inputs: prepared texts.
        labels: class indices, shape (N,).
        steps: number of batches.
        batch_size: most texts of a batch, at least 4.
        seed: of what is drawn.

    Raises:
        NoPairsError: if the texts make no pairs of both kinds.
        ValueError: if the labels do not fit, or a number is out of range.
    """

    def __init__(
        self, inputs: Inputs, labels: Tensor, *, steps: int, batch_size: int = 32, seed: int = 0
    ) -> None:
        if steps < 1 or batch_size < 4:
            raise ValueError(
                f"steps must be at least 1 and batch_size at least 4, for two texts of each of two classes; "
                f"got {steps} and {batch_size}."
            )
        tokens = examples.first(inputs)
        if labels.ndim != 1 or labels.is_floating_point() or len(tokens) != len(labels):
            raise ValueError(
                f"PairBatches needs one class index a text, labels (N,); got {labels.dtype} of shape "
                f"{tuple(labels.shape)} for {len(tokens)} texts."
            )
        seen: dict[tuple[int, bytes], int] = {}
        for row, label in enumerate(labels.tolist()):
            seen.setdefault((label, tokens[row].cpu().numpy().tobytes()), row)
        kept = torch.tensor(sorted(seen.values()))
        self.classes = [kept[labels[kept] == label] for label in labels[kept].unique()]
        if len(self.classes) < 2:
            raise NoPairsError(
                f"Pairs need texts of two classes, and all {len(labels)} are of one: add texts of another."
            )
        if max(map(len, self.classes)) < 2:
            raise NoPairsError(
                f"No class has two different texts among the {len(labels)}, so no pair says what is alike: "
                "label a second text of a class, or fit a probe on the network as it is."
            )
        self.inputs, self.labels = inputs, labels
        self.steps, self.batch_size = steps, batch_size
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Inputs, Tensor]]:
        """Inputs of B texts and their labels (B,), B <= `batch_size`."""
        several = min(len(self.classes), self.batch_size // 2)
        each = self.batch_size // several
        numbers = torch.arange(len(self.classes))
        decks = [numbers[:0]] * (len(self.classes) + 1)  # what has not had its turn; the last is of classes
        for _ in range(self.steps):
            chosen, decks[-1] = self._deal(decks[-1], numbers, several)
            index = []
            for c in chosen.tolist():
                hand, decks[c] = self._deal(decks[c], self.classes[c], each)
                index.append(hand)
            rows = torch.cat(index)
            yield examples.rows(self.inputs, rows), self.labels[rows]

    def _deal(self, deck: Tensor, all_of: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """The next few, none twice, and the deck without them; a short one is filled up with all, mixed."""
        most = min(most, len(all_of))
        if len(deck) < most:
            fresh = all_of[torch.randperm(len(all_of), generator=self.generator)]
            waiting = torch.isin(fresh, deck)
            deck = torch.cat([deck, fresh[~waiting], fresh[waiting]])
        return deck[:most], deck[most:]


class ByLength(nn.Module):
    """A text encoder that runs the texts of a batch in groups of like length: less padding, same features.

    Args:
        encoder: takes `input_ids` and `attention_mask` (B, T), like `encoders.TextEncoder`.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Features (B, D), in the order of the texts."""
        order = examples.length_order({"attention_mask": attention_mask}).to(input_ids.device)
        groups = [self.encoder(input_ids[i], attention_mask[i]) for i in order.split(TOGETHER)]
        return torch.cat(groups)[order.argsort()]


def tune(
    backbone: Backbone,
    texts: Sequence[str],
    labels: Tensor,
    *,
    steps: int = 40,
    learning_rate: float = 3e-5,
    batch_size: int = 32,
    seed: int = 0,
    max_seconds: float | None = None,
    progress: bool | None = None,
) -> tuple[Backbone, int]:
    """Train a copy of a text encoder on the pairs of labelled texts; no text beside these takes part.

    Each of at most `batch_size` texts is read once in a step, and all pairs among them count: of 32 texts,
    496 pairs. Classes with one text have no pair within; they are only kept apart from the others.

    Args:
        backbone: from `backbones`, of texts; it is left as it was.
        texts: N training texts.
        labels: class indices, shape (N,), of at least two classes, one of them with two different texts.
        steps: of AdamW, whose rate rises in the first tenth of them and then falls to 0.
        learning_rate: its highest value.
        batch_size: most texts of a step.
        seed: of what is drawn, and of dropout.
        max_seconds: end after the step in which this much time is over; the rate then has not yet fallen.
        progress: draw a bar on stderr; by default only in a terminal.

    Returns:
        The backbone with weights of its own, in evaluation mode, and the number of steps that were done.

    Raises:
        NoPairsError: if the texts make no pairs of both kinds.
        ValueError: if texts and labels do not fit, or a number is out of range.
        FloatingPointError: if the loss is not finite, or a weight at the end.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError("tune needs a list of texts.")
    if len(texts) != len(labels):
        raise ValueError(f"tune needs one label a text; got {len(texts)} texts and {len(labels)} labels.")
    inputs = backbone.prepare(list(texts))
    batches = PairBatches(inputs, labels.cpu(), steps=steps, batch_size=batch_size, seed=seed)
    module = copy.deepcopy(backbone.module).requires_grad_(True)
    optimizer = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=0.01, fused=True)
    schedule = training.warmup_linear(optimizer, steps)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        training.fit(
            ByLength(module), batches, optimizer=optimizer, schedule=schedule, epochs=1, loss=pair_loss,
            clip_norm=1.0, max_seconds=max_seconds, progress=progress,
        )  # fmt: skip
    if not all(parameter.isfinite().all() for parameter in module.parameters()):
        raise FloatingPointError("the last step left weights that are not finite.")
    done = schedule.last_epoch
    provenance = f"{backbone.provenance}, then {done} steps on pairs of {len(texts)} texts"
    return replace(backbone, module=module.cpu().eval(), provenance=provenance), done
