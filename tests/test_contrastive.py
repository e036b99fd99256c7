"""Contrastive tuning: the loss by hand and what leaves it alone, the batches, and a network that is tuned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from transferbook.learning import contrastive, training
from transferbook.models import backbones
from transferbook.models.backbones import Backbone

GOOD = ["a warm film", "funny and warm, a lovely film from first to last", "lovely"]
BAD = ["dull", "a clumsy, lifeless film", "boring, and far too long for what it has to say"]
LABELS = torch.tensor([1, 1, 1, 0, 0, 0])


@pytest.fixture(scope="module")
def minilm() -> Backbone:
    return backbones.minilm(16)


def random_batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Seven vectors of three classes: four of one, two of another, one of the last."""
    random = torch.Generator().manual_seed(seed)
    features = torch.randn(7, 5, generator=random, dtype=torch.float64)
    return features, torch.tensor([2, 0, 2, 1, 2, 0, 2])


# --- the loss ----------------------------------------------------------------------------------------------


def test_the_loss_is_what_two_loops_in_numpy_say():
    features, labels = random_batch()
    z, within, between = features.numpy(), [], []
    for i in range(7):
        for j in range(i + 1, 7):
            cosine = z[i] @ z[j] / np.sqrt((z[i] @ z[i]) * (z[j] @ z[j]))
            if labels[i] == labels[j]:
                within.append((1 - cosine) ** 2)
            else:
                between.append(cosine**2)
    assert (len(within), len(between)) == (7, 14)
    expected = (np.mean(within) + np.mean(between)) / 2
    assert float(contrastive.pair_loss(features, labels)) == pytest.approx(expected, abs=1e-14)


def test_its_gradient_is_the_one_of_finite_differences():
    features, labels = random_batch(1)
    assert torch.autograd.gradcheck(lambda z: contrastive.pair_loss(z, labels), features.requires_grad_())


def test_what_does_not_change_the_loss():
    features, labels = random_batch(2)
    loss = contrastive.pair_loss(features, labels)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    lengths = torch.rand(7, 1, dtype=torch.float64) + 0.1
    order = torch.randperm(7)
    for same in (
        contrastive.pair_loss(features @ rotation, labels),
        contrastive.pair_loss(features * lengths, labels),
        contrastive.pair_loss(features[order], labels[order]),
        contrastive.pair_loss(features, 5 - labels),
    ):
        torch.testing.assert_close(same, loss, rtol=1e-12, atol=1e-12)


def test_the_lowest_loss_is_one_direction_a_class_at_right_angles():
    labels = torch.tensor([0, 1, 0, 2, 1])
    assert float(contrastive.pair_loss(3 * torch.eye(4)[labels], labels)) == 0
    assert float(contrastive.pair_loss(torch.ones(5, 4), labels)) == pytest.approx(0.5)  # all alike
    assert float(contrastive.pair_loss(torch.eye(5), labels)) == pytest.approx(0.5)  # none alike


def test_both_kinds_of_pairs_weigh_the_same_and_one_may_be_missing():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    labels = torch.tensor([0, 0, 1, 1])
    # Within: cosines 0 and 1. Between: 1, 1, 0 and 0.
    assert float(contrastive.pair_loss(features, labels)) == pytest.approx((0.5 + 0.5) / 2)
    assert float(contrastive.pair_loss(features[:3], labels[:3])) == pytest.approx((1 + 0.5) / 2)
    assert float(contrastive.pair_loss(features[:2], labels[:2])) == pytest.approx(1)
    assert float(contrastive.pair_loss(features[:2], torch.tensor([0, 1]))) == 0


@pytest.mark.parametrize(
    ("features", "labels", "said"),
    [
        (torch.zeros(1, 3), torch.zeros(1), r"got \(1, 3\) and \(1,\)"),
        (torch.zeros(2, 3), torch.zeros(3), r"got \(2, 3\) and \(3,\)"),
        (torch.zeros(4), torch.zeros(4), r"got \(4,\) and \(4,\)"),
    ],
)
def test_a_loss_needs_two_rows_of_features(features, labels, said):
    with pytest.raises(ValueError, match=said):
        contrastive.pair_loss(features, labels.long())


# --- the batches -------------------------------------------------------------------------------------------


def numbered(count: int) -> dict[str, torch.Tensor]:
    """Texts of two tokens, of which the first is the text's number."""
    tokens = torch.stack([torch.arange(count), torch.zeros(count, dtype=torch.int64)], dim=1)
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def drawn(labels: torch.Tensor, **options: int) -> list[list[int]]:
    """The numbers of the texts in each batch; a text must have kept its label."""
    batches = contrastive.PairBatches(numbered(len(labels)), labels, **options)
    found = []
    for inputs, said in batches:
        rows = inputs["input_ids"][:, 0]
        assert torch.equal(labels[rows], said)
        found.append(rows.tolist())
    assert len(found) == len(batches)
    return found


def test_classes_of_any_size_count_alike_and_no_text_meets_itself():
    labels = torch.tensor([0] * 50 + [1] * 5 + [2] * 2 + [3])
    batches = drawn(labels, steps=60, batch_size=16)
    for rows in batches:
        assert len(set(rows)) == len(rows)
        assert labels[rows].bincount(minlength=4).tolist() == [4, 4, 2, 1]
    turns = torch.tensor([row for rows in batches for row in rows]).bincount(minlength=58)
    assert set(turns[:50].tolist()) <= {4, 5, 6} and turns[:50].sum() == 240
    assert turns[50:].tolist() == [48] * 5 + [60] * 3


def test_with_many_classes_each_in_a_batch_has_two_texts():
    labels = torch.arange(20).repeat(3)
    batches = drawn(labels, steps=30, batch_size=12)
    for rows in batches:
        assert sorted(labels[rows].bincount().tolist())[-6:] == [2] * 6 and len(rows) == 12
    assert set(labels[torch.tensor(batches)].flatten().bincount().tolist()) == {18}


def test_the_seed_decides_what_is_drawn():
    labels = torch.arange(4).repeat(10)
    once = drawn(labels, steps=5, batch_size=8, seed=3)
    assert drawn(labels, steps=5, batch_size=8, seed=3) == once
    assert drawn(labels, steps=5, batch_size=8, seed=4) != once


def test_a_text_that_a_class_repeats_counts_once():
    inputs = numbered(6)
    inputs["input_ids"][1] = inputs["input_ids"][0]
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    for rows, said in contrastive.PairBatches(inputs, labels, steps=5, batch_size=6):
        assert sorted(rows["input_ids"][:, 0].tolist()) == [0, 2, 3, 4, 5] and len(said) == 5
    with pytest.raises(ValueError, match="No class has two different texts among the 3"):
        contrastive.PairBatches({n: t[[0, 1, 3]] for n, t in inputs.items()}, labels[1:4], steps=1)


def test_a_text_of_two_classes_counts_in_both():
    inputs = numbered(6)
    inputs["input_ids"][3] = inputs["input_ids"][0]
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    for _, said in contrastive.PairBatches(inputs, labels, steps=5, batch_size=6):
        assert said.bincount().tolist() == [3, 3]


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        ([0, 1, 2], {}, "No class has two different texts among the 3, so no pair says what is alike"),
        ([1, 1, 1], {}, "Pairs need texts of two classes, and all 3 are of one"),
        ([0, 0, 1], {"steps": 0}, "got 0 and 32"),
        ([0, 0, 1], {"batch_size": 3}, "got 4 and 3"),
        ([0, 0], {}, r"got torch.int64 of shape \(2,\) for 3 texts"),
        ([0.0, 0.0, 1.0], {}, r"got torch.float32 of shape \(3,\) for 3 texts"),
    ],
)
def test_what_makes_no_pairs(labels, options, said):
    with pytest.raises(ValueError, match=said):
        contrastive.PairBatches(numbered(3), torch.tensor(labels), **{"steps": 4} | options)


def test_no_other_text_is_read(minilm):
    read: list[str] = []
    prepare = minilm.prepare
    watched = replace(minilm, prepare=lambda texts: read.extend(texts) or prepare(texts))
    contrastive.tune(watched, GOOD + BAD, LABELS, steps=1)
    assert read == GOOD + BAD


# --- the network -------------------------------------------------------------------------------------------


def test_groups_of_like_length_give_the_same_features_in_the_same_order(minilm):
    inputs = minilm.prepare([("film " * (1 + 7 * i % 13)).strip() for i in range(19)])
    with torch.no_grad():
        found = contrastive.ByLength(minilm.module)(**inputs)
        torch.testing.assert_close(found, minilm.module(**inputs), rtol=1e-4, atol=1e-5)


def test_tuning_draws_classes_together_and_leaves_the_backbone_alone(minilm):
    before, state = minilm.fingerprint, torch.get_rng_state()
    tuned, steps = contrastive.tune(minilm, GOOD + BAD, LABELS, steps=12, learning_rate=1e-4)
    assert steps == 12 and minilm.fingerprint == before and torch.equal(torch.get_rng_state(), state)
    assert not tuned.module.training and not any(p.grad is not None for p in minilm.module.parameters())
    assert tuned.provenance.endswith(", then 12 steps on pairs of 6 texts")
    with torch.no_grad():
        old, new = (
            contrastive.pair_loss(b.module(**b.prepare(GOOD + BAD)), LABELS) for b in (minilm, tuned)
        )
    assert new < old / 3


def test_a_seed_makes_the_same_network_again(minilm):
    first, second, other = (
        contrastive.tune(minilm, GOOD + BAD, LABELS, steps=2, seed=seed)[0].fingerprint for seed in (0, 0, 1)
    )
    assert first == second != other


class Tiny(nn.Module):
    """The mean of short vectors: a cosine hangs on their directions, so its gradients are long."""

    def __init__(self) -> None:
        super().__init__()
        vectors = torch.randn(31_000, 6, generator=torch.Generator().manual_seed(0)) / 50
        self.embedding, self.dropout = nn.Embedding.from_pretrained(vectors, freeze=False), nn.Dropout(0.3)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Features (B, 6)."""
        mask = attention_mask.unsqueeze(-1).float()
        return (self.dropout(self.embedding(input_ids)) * mask).sum(dim=1) / mask.sum(dim=1)


def tuned_by_hand(
    minilm: Backbone, *, clip: float = 1.0, decay: float = 0.01, seed: int = 3
) -> tuple[torch.Tensor, list[float]]:
    """The vectors after four steps of AdamW at 0.05 in a plain loop, and the norms of the gradients."""
    module, inputs, norms = Tiny(), minilm.prepare(GOOD + BAD), []
    encoder = contrastive.ByLength(module).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.05, weight_decay=decay, fused=True)
    schedule = training.warmup_linear(optimizer, 4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for batch, labels in contrastive.PairBatches(inputs, LABELS, steps=4, batch_size=4, seed=3):
            contrastive.pair_loss(encoder(**batch), labels).backward()
            norms.append(float(nn.utils.clip_grad_norm_(module.parameters(), clip)))
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return module.embedding.weight.detach(), norms


def test_tuning_clips_decays_and_drops_as_a_plain_loop_does(minilm):
    tiny = replace(minilm, module=Tiny(), width=6)
    tuned, steps = contrastive.tune(
        tiny, GOOD + BAD, LABELS, steps=4, learning_rate=0.05, batch_size=4, seed=3
    )
    expected, norms = tuned_by_hand(minilm)
    assert steps == 4 and max(norms) > 10 > 5 * min(norms)
    torch.testing.assert_close(tuned.module.embedding.weight.detach(), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("other", [{"clip": 1e9}, {"decay": 0.0}, {"seed": 0}])
def test_each_of_these_three_would_be_seen(minilm, other):
    usual, changed = tuned_by_hand(minilm)[0], tuned_by_hand(minilm, **other)[0]
    assert (usual - changed).abs().max() > 1e-5


def test_it_ends_when_the_time_is_over(minilm):
    tuned, steps = contrastive.tune(minilm, GOOD + BAD, LABELS, steps=50, max_seconds=1e-9)
    assert steps == 1 and tuned.provenance.endswith("then 1 steps on pairs of 6 texts")


def test_a_class_with_one_text_is_only_kept_apart(minilm):
    tuned, steps = contrastive.tune(minilm, [*GOOD, BAD[0]], LABELS[:4], steps=2)
    assert steps == 2 and tuned.fingerprint != minilm.fingerprint


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        ("one text", LABELS, "tune needs a list of texts"),
        (torch.zeros(6, 3, 8, 8), LABELS, "tune needs a list of texts"),
        (GOOD, LABELS, "got 3 texts and 6 labels"),
        (GOOD, LABELS[:3], "all 3 are of one: add texts of another"),
        ([GOOD[0], BAD[0]], LABELS[2:4], "label a second text of a class, or fit a probe"),
    ],
)
def test_texts_that_cannot_be_tuned_on(minilm, texts, labels, said):
    with pytest.raises(ValueError, match=said):
        contrastive.tune(minilm, texts, labels)
