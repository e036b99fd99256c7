"""Domain adaptation: losses against closed forms and finite differences, repairs against known answers."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from transferbook.learning import adaptation, training, transfer

WIDTH = 3


def draws(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(seed: int, n: int, mean: list[float], root: torch.Tensor) -> torch.Tensor:
    return draws(seed, n, len(mean)) @ root + torch.tensor(mean, dtype=torch.float64)


ROOTS = draws(7, 2, WIDTH, WIDTH)
MEANS = [0.0, 0.5, -0.3], [0.4, 0.0, 0.2]
COVARIANCES = [root.T @ root for root in ROOTS]


@pytest.mark.parametrize("loss", [adaptation.coral_loss, adaptation.mmd])
def test_losses_have_the_gradient_of_their_finite_differences(loss):
    source, target = draws(1, 5, WIDTH).requires_grad_(), draws(2, 4, WIDTH).requires_grad_()
    if loss is adaptation.mmd:  # the bandwidth is not differentiated through, so fix it
        assert torch.autograd.gradcheck(lambda s, t: loss(s, t, [0.7, 2.0]), (source, target))
    else:
        assert torch.autograd.gradcheck(loss, (source, target))


@pytest.mark.parametrize("loss", [adaptation.coral_loss, adaptation.mmd])
@pytest.mark.parametrize("shapes", [((5, 3), (5, 2)), ((5,), (5,)), ((1, 3), (5, 3)), ((5, 3), (1, 3))])
def test_losses_refuse_other_shapes_and_name_them(loss, shapes):
    with pytest.raises(ValueError, match=r"source \(n, d\).*" + str(shapes[0]).replace("(", r"\(")[:-1]):
        loss(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


# --- CORAL -------------------------------------------------------------------------------------------------


def test_coral_loss_is_the_formula_with_unbiased_covariances():
    source, target = draws(1, 6, WIDTH), draws(2, 9, WIDTH)
    gap = np.cov(source.numpy(), rowvar=False) - np.cov(target.numpy(), rowvar=False)
    expected = np.linalg.norm(gap, "fro") ** 2 / (4 * WIDTH**2)
    assert float(adaptation.coral_loss(source, target)) == pytest.approx(expected)
    assert float(adaptation.coral_loss(source, source + 5)) == pytest.approx(0, abs=1e-12)


def test_coral_loss_tends_to_its_closed_form_on_gaussians():
    source, target = (gaussian(s, 40_000, MEANS[s], ROOTS[s]) for s in (0, 1))
    expected = (COVARIANCES[0] - COVARIANCES[1]).square().sum() / (4 * WIDTH**2)
    torch.testing.assert_close(adaptation.coral_loss(source, target), expected, rtol=0.03, atol=0)


def test_coral_transform_gives_the_source_the_targets_mean_and_covariance():
    source, target = gaussian(3, 50, MEANS[0], ROOTS[0]), gaussian(4, 60, MEANS[1], ROOTS[1])
    moved = adaptation.coral_transform(source, target, ridge=1e-9)
    assert moved.shape == source.shape and moved.dtype == source.dtype
    torch.testing.assert_close(moved.mean(dim=0), target.mean(dim=0))
    torch.testing.assert_close(moved.T.cov(), target.T.cov(), rtol=1e-5, atol=1e-6)
    assert adaptation.coral_transform(source.float(), target.float()).dtype == torch.float32
    torch.testing.assert_close(adaptation.coral_transform(source, source, ridge=1.0), source)


def test_coral_transform_lives_with_fewer_rows_than_columns_and_refuses_no_ridge():
    assert adaptation.coral_transform(draws(1, 4, 10), draws(2, 5, 10)).isfinite().all()
    with pytest.raises(ValueError, match="ridge"):
        adaptation.coral_transform(draws(1, 4, 10), draws(2, 5, 10), ridge=0)


# --- MMD ---------------------------------------------------------------------------------------------------


def kernel_mean(covariance: torch.Tensor, shift: torch.Tensor, b: float) -> float:
    """E exp(-‖z‖² / 2b) for a Gaussian z."""
    wide = covariance + b * torch.eye(WIDTH, dtype=torch.float64)
    return float(torch.linalg.det(wide / b) ** -0.5 * torch.exp(-shift @ torch.linalg.solve(wide, shift) / 2))


def closed_form(b: float) -> float:
    """MMD² of the two Gaussians under exp(-‖x - y‖² / 2b)."""
    shift = torch.tensor(MEANS[0], dtype=torch.float64) - torch.tensor(MEANS[1], dtype=torch.float64)
    within = sum(kernel_mean(2 * covariance, 0 * shift, b) for covariance in COVARIANCES)
    return within - 2 * kernel_mean(sum(COVARIANCES), shift, b)


def test_mmd_tends_to_its_closed_form_on_gaussians():
    source, target = (gaussian(s, 3_000, MEANS[s], ROOTS[s]) for s in (0, 1))
    expected = np.mean([closed_form(b) for b in (0.5, 2.0)])
    assert float(adaptation.mmd(source, target, [0.5, 2.0])) == pytest.approx(expected, rel=0.05)


def test_mmd_is_unbiased_on_small_batches():
    found = [
        float(adaptation.mmd(*(gaussian(10 * s + 1_000 + k, 4, MEANS[s], ROOTS[s]) for s in (0, 1)), [1.0]))
        for k in range(4_000)
    ]
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found) - closed_form(1.0)) < 4 * error
    nothing = torch.zeros(WIDTH, dtype=torch.float64)
    diagonal = sum((1 - kernel_mean(2 * covariance, nothing, 1.0)) / 4 for covariance in COVARIANCES)
    assert 8 * error < diagonal  # which the biased estimate adds


def test_mmd_uses_the_median_of_the_pooled_batch():
    source, target = draws(1, 7, WIDTH), draws(2, 6, WIDTH)
    pooled = torch.cat([source, target])
    median = torch.cdist(pooled, pooled).square()[~torch.eye(13, dtype=torch.bool)].median()
    by_hand = adaptation.mmd(source, target, [factor * float(median) for factor in (0.25, 0.5, 1, 2, 4)])
    torch.testing.assert_close(adaptation.mmd(source, target), by_hand)
    torch.testing.assert_close(adaptation.mmd(100 * source, 100 * target), by_hand)  # free of the scale
    with pytest.raises(ValueError, match="bandwidths"):
        adaptation.mmd(source, target, [1.0, 0.0])
    with pytest.raises(ValueError, match="bandwidths"):
        adaptation.mmd(source, target, [])


@pytest.mark.parametrize("distance", [adaptation.mmd, adaptation.coral_loss])
def test_distances_do_not_change_with_an_offset_that_all_features_share(distance):
    source, target = draws(1, 60, 8).float(), 1.3 * draws(2, 50, 8).float() + 0.4
    for offset in (1e4, -1e5):
        moved = source + offset, target + offset  # rounded to a thousandth, or a hundredth
        exact = float(distance(*(part.double() - offset for part in moved)))
        assert float(distance(*moved)) == pytest.approx(exact, rel=1e-3)
    whole = [part.double() for part in (source, target)]
    torch.testing.assert_close(distance(source, target).double(), distance(*whole), rtol=1e-5, atol=0)


def test_mmd_sees_what_lies_close_although_the_domains_lie_far_apart():
    source, target = draws(1, 40, 4).float(), draws(2, 30, 4).float() + 1e5
    exact = adaptation.mmd(source.double(), target.double(), [1.0])
    torch.testing.assert_close(adaptation.mmd(source, target, [1.0]).double(), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize("distance", [adaptation.mmd, adaptation.coral_loss])
def test_distances_are_computed_in_full_precision_under_autocast(distance):
    source, target = draws(1, 60, 8).float(), draws(2, 50, 8).float() + 0.1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = distance(source, target)
    torch.testing.assert_close(found, distance(source, target), rtol=1e-5, atol=0)
    coarse = distance(source.bfloat16(), target.bfloat16())
    assert coarse.dtype == torch.float32
    torch.testing.assert_close(coarse, distance(source.bfloat16().float(), target.bfloat16().float()))


def test_mmd_of_few_points_and_of_tiny_ones():
    source, target = draws(1, 7, WIDTH), draws(2, 6, WIDTH)
    expected = adaptation.mmd(source, target)
    torch.testing.assert_close(adaptation.mmd(1e-9 * source, 1e-9 * target), expected)
    flat = torch.full((7, WIDTH), 0.3)
    flat[::2] = torch.nextafter(flat[::2], torch.ones(()))  # the same up to rounding
    assert float(adaptation.mmd(flat, flat[:6])) == pytest.approx(0, abs=1e-12)
    most = torch.cat([torch.zeros(6, WIDTH), source[:1].float()]).requires_grad_()
    found = adaptation.mmd(most, torch.zeros(6, WIDTH))  # the median distance is 0
    found.backward()
    assert abs(float(found.detach())) < 0.5 and most.grad.isfinite().all() and most.grad.abs().max() < 10


def test_coral_transform_stands_the_rounding_of_large_features():
    source, target = 1e9 * draws(1, 4, 10), 1e9 * draws(2, 5, 10)
    assert adaptation.coral_transform(source, target).isfinite().all()


# --- gradient reversal, joint training ---------------------------------------------------------------------


def test_reversal_is_minus_strength_times_the_finite_difference():
    x, weight, step = draws(1, 4, WIDTH), draws(2, 4, WIDTH), 1e-6

    def loss(x: torch.Tensor) -> torch.Tensor:
        return (weight * adaptation.reverse_gradient(x, 0.3).sin()).sum()

    moved = x.clone().requires_grad_()
    loss(moved).backward()
    assert torch.equal(adaptation.reverse_gradient(x, 0.3), x)
    for place in np.ndindex(*x.shape):
        nudge = torch.zeros_like(x)
        nudge[place] = step
        finite = float(loss(x + nudge) - loss(x - nudge)) / (2 * step)
        assert float(moved.grad[place]) == pytest.approx(-0.3 * finite, rel=1e-6, abs=1e-9)


def test_adversary_is_trained_while_the_features_are_reversed():
    torch.manual_seed(0)
    adversary = adaptation.Adversary(WIDTH).double()
    found = {}
    for strength in (0.0, 2.0):
        source, target = draws(1, 6, WIDTH).requires_grad_(), draws(2, 4, WIDTH).requires_grad_()
        adversary.zero_grad()
        loss = adversary(source, target, strength)
        loss.backward()
        own = [parameter.grad.clone() for parameter in adversary.parameters()]
        found[strength] = loss.item(), own, source.grad
    assert found[0.0][0] == found[2.0][0]
    for one, other in zip(found[0.0][1], found[2.0][1], strict=True):
        torch.testing.assert_close(one, other)
    assert not found[0.0][2].any() and found[2.0][2].any()
    scores = adversary.layers(torch.cat([draws(1, 6, WIDTH), draws(2, 4, WIDTH)])).flatten()
    truth = torch.tensor([0.0] * 6 + [1.0] * 4, dtype=torch.float64)
    weights = torch.tensor([1 / 6] * 6 + [1 / 4] * 4) / 2
    expected = F.binary_cross_entropy_with_logits(scores, truth, weights, reduction="sum")
    assert found[0.0][0] == pytest.approx(float(expected.detach()))


def classifier(seed: int = 0) -> transfer.Classifier:
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU())
    return transfer.Classifier(encoder, nn.Linear(8, 2))


def rotated() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A source of two classes, and a target that is the same, stretched and moved."""
    labels = torch.arange(200) % 2
    source = draws(1, 200, 2).float() + 4 * F.one_hot(labels, 2)
    target = 3 * (draws(2, 200, 2).float() + 4 * F.one_hot(labels, 2)) + 5
    return source, labels, target


def test_joint_loss_is_cross_entropy_of_the_source_plus_the_weighted_distance():
    joint = adaptation.Joint(classifier(), adaptation.coral_loss, weight=5.0)
    source, labels, target = (part[:20] for part in rotated())
    logits, features = joint(torch.cat([source, target]))
    known = torch.cat([labels, torch.full((20,), -1)])
    expected = F.cross_entropy(logits[:20], labels) + 5 * adaptation.coral_loss(features[:20], features[20:])
    torch.testing.assert_close(joint.loss((logits, features), known), expected)
    ramp = joint.ramp(epochs=10)
    strengths = []
    for epoch in range(10):
        ramp(epoch)
        strengths.append(joint.strength)
    assert strengths[0] == 0 and strengths == sorted(strengths)
    assert strengths[3] == pytest.approx(5 * (2 / (1 + math.exp(-3)) - 1))
    with pytest.raises(ValueError, match="weight"):
        adaptation.Joint(classifier(), adaptation.mmd, weight=-1)


@pytest.mark.parametrize("distance", [adaptation.coral_loss, adaptation.mmd])
def test_joint_training_brings_the_domains_together(distance):
    source, labels, target = rotated()
    found = {}
    for weight in (0.0, 1.0):
        model = classifier()
        joint = adaptation.Joint(model, distance, weight)
        batches = adaptation.JointBatches(source, labels, target, batch_size=40, seed=0)
        optimizer = torch.optim.Adam(joint.parameters(), lr=1e-2)
        plan = {"epochs": 12, "on_epoch_start": joint.ramp(12), "progress": False}
        training.fit(joint, batches, loss=joint.loss, optimizer=optimizer, **plan)
        features = [training.predict(model.encoder, part) for part in (source, target)]
        found[weight] = float(adaptation.mmd(*features))
        assert (training.predict(model, source).argmax(1) == labels).double().mean() > 0.9
    assert found[1.0] < found[0.0] / 2


def test_joint_sends_the_adversarys_gradient_one_way_and_its_reverse_the_other():
    source, labels, target = (part[:20] for part in rotated())
    torch.manual_seed(0)
    joint = adaptation.Joint(classifier(), adaptation.Adversary(8, hidden=5), weight=0.7).double()
    both, known = torch.cat([source, target]).double(), torch.cat([labels, torch.full((20,), -1)])

    def gradients(loss: torch.Tensor, part: nn.Module) -> list[torch.Tensor]:
        return list(torch.autograd.grad(loss, list(part.parameters()), retain_graph=True))

    logits, features = joint(both)
    loss = joint.loss((logits, features), known)
    scores = joint.distance.layers(features).flatten()
    fooled = F.binary_cross_entropy_with_logits(scores, (known < 0).double())
    error = F.cross_entropy(logits[:20], labels)
    torch.testing.assert_close(gradients(loss, joint.distance), gradients(fooled, joint.distance))
    expected = gradients(error - 0.7 * fooled, joint.classifier.encoder)
    torch.testing.assert_close(gradients(loss, joint.classifier.encoder), expected)


def test_joint_batches_cover_the_source_and_hide_the_targets_labels():
    inputs, target = torch.arange(10.0)[:, None], torch.arange(100.0, 104.0)[:, None]
    batches = adaptation.JointBatches(inputs, torch.arange(10), target, batch_size=3, seed=1)
    first, second = list(batches), list(batches)
    assert len(first) == len(batches) == 3
    for both, labels in first:
        assert both.shape == (6, 1) and labels[3:].tolist() == [-1, -1, -1]
        assert both[:3, 0].tolist() == labels[:3].tolist() and both[3:].min() >= 100
    seen = torch.cat([labels[:3] for _, labels in first])
    assert len(seen.unique()) == 9
    assert len(torch.cat([both[3:] for both, _ in first]).unique()) == 4
    assert not torch.equal(seen, torch.cat([labels[:3] for _, labels in second]))
    again = adaptation.JointBatches(inputs, torch.arange(10), target, batch_size=3, seed=1)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))


def test_joint_batches_draw_the_source_by_its_weights():
    labels = torch.arange(100) % 2
    weights = torch.tensor([1.0, 4.0])[labels]
    batches = adaptation.JointBatches(
        draws(1, 100, 2), labels, draws(2, 100, 2), batch_size=50, weights=weights
    )
    drawn = torch.cat([part[:50] for _ in range(40) for _, part in batches])
    assert float(drawn.double().mean()) == pytest.approx(0.8, abs=0.03)
    for wrong in (torch.ones(3), -torch.ones(100), torch.zeros(100)):
        with pytest.raises(ValueError, match="weights"):
            adaptation.JointBatches(draws(1, 100, 2), labels, draws(2, 100, 2), weights=wrong)
    with pytest.raises(ValueError, match="no batch of 200"):
        adaptation.JointBatches(draws(1, 100, 2), labels, draws(2, 300, 2), batch_size=200)
    with pytest.raises(ValueError, match=r"\(100, 2\), \(100, 3\)"):
        adaptation.JointBatches(draws(1, 100, 2), labels, draws(2, 100, 3))


# --- AdaBN, class ratios, choosing without labels ----------------------------------------------------------


def test_adapt_batchnorm_takes_the_targets_statistics_and_nothing_else():
    model = classifier().eval()
    model.encoder[0].eval()
    before = copy.deepcopy(model.state_dict())
    _, _, target = rotated()
    assert adaptation.adapt_batchnorm(model, target, batch_size=300) is model
    hidden = model.encoder[0](target)
    norm = model.encoder[1]
    torch.testing.assert_close(norm.running_mean, hidden.mean(dim=0))
    torch.testing.assert_close(norm.running_var, hidden.var(dim=0))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"encoder.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert not any(part.training for part in model.modules()) and norm.momentum == 0.1
    adaptation.adapt_batchnorm(model, target, batch_size=50)  # means over four batches
    torch.testing.assert_close(norm.running_mean, hidden.mean(dim=0))
    with pytest.raises(ValueError, match="got 0 and 5"):
        adaptation.adapt_batchnorm(nn.Linear(2, 2), target[:5])


def test_class_ratios_are_found_where_only_the_proportions_differ():
    shares = {"source": torch.tensor([0.5, 0.3, 0.2]), "target": torch.tensor([0.1, 0.3, 0.6])}
    generator = torch.Generator().manual_seed(0)
    logits, labels = {}, {}
    for domain, share in shares.items():
        labels[domain] = torch.multinomial(share, 20_000, True, generator=generator)
        logits[domain] = 1.5 * F.one_hot(labels[domain], 3) + torch.randn(20_000, 3, generator=generator)
    found = adaptation.class_ratios(logits["source"], labels["source"], logits["target"])
    expected = (shares["target"] / shares["source"]).double()
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.02)
    assert float(labels["source"].bincount().double() / 20_000 @ found) == pytest.approx(1)
    with pytest.raises(ValueError, match="all 3 classes"):
        adaptation.class_ratios(torch.zeros(4, 3), torch.tensor([0, 1, 1, 0]), torch.zeros(5, 3))


def test_class_ratios_are_never_negative():
    source, labels = 4 * torch.eye(3).repeat(10, 1), torch.arange(30) % 3
    target = 8 * torch.eye(3)[:1].repeat(10, 1)  # surer than any source example
    assert adaptation.class_ratios(source, labels, target).min() == 0


def test_mean_entropy_of_sure_and_of_uniform_predictions():
    assert adaptation.mean_entropy(torch.zeros(4, 10)) == pytest.approx(math.log(10))
    assert adaptation.mean_entropy(100 * torch.eye(10)) == pytest.approx(0, abs=1e-9)
    half = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    assert adaptation.mean_entropy(half) == pytest.approx(1.5 * math.log(2))


def test_importance_weights_are_the_density_ratio_of_two_gaussians():
    source, target = draws(1, 20_000, 1), draws(2, 10_000, 1) + 0.7
    at = draws(3, 500, 1)
    found = adaptation.importance_weights(source, target, at, C=100.0)
    expected = torch.exp(0.7 * at[:, 0] - 0.7**2 / 2)
    torch.testing.assert_close(found, expected / expected.mean(), rtol=0.1, atol=0)
    assert float(found.mean()) == pytest.approx(1)


def test_effective_sample_size_counts_the_weights_that_matter():
    assert adaptation.effective_sample_size(torch.full((8,), 0.2)) == pytest.approx(8)
    assert adaptation.effective_sample_size(torch.tensor([3.0, 0, 0])) == pytest.approx(1)
    assert adaptation.effective_sample_size(torch.tensor([1.0, 2.0])) == pytest.approx(9 / 5)
    for wrong in (torch.zeros(3), torch.tensor([1.0, -1.0]), torch.ones(2, 2)):
        with pytest.raises(ValueError, match="weights"):
            adaptation.effective_sample_size(wrong)


def test_proxy_a_distance_is_2_apart_and_about_0_together():
    same = [adaptation.proxy_a_distance(draws(s, 301, 4), draws(s + 50, 200, 4), seed=s) for s in range(8)]
    assert abs(np.mean(same)) < 0.1
    assert adaptation.proxy_a_distance(draws(1, 40, 4), draws(2, 90, 4) + 20) == 2
    one = torch.cat([draws(1, 2_000, 1), draws(2, 2_000, 1) + 1])  # the best cut of N(0,1) and N(1,1)
    error = 0.5 * math.erfc(0.5 / math.sqrt(2))
    assert adaptation.proxy_a_distance(one[:2_000], one[2_000:]) == pytest.approx(
        2 * (1 - 2 * error), abs=0.08
    )
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        adaptation.proxy_a_distance(torch.zeros(3, 2), torch.zeros(9, 2))


def flat_columns(rows: int) -> torch.Tensor:
    """Many columns of 0.3, in which some rows hold the next number that float32 has."""
    up = torch.randint(2, (rows, 300), generator=torch.Generator().manual_seed(5)).bool()
    flat = torch.full((rows, 300), 0.3)
    return torch.where(up, torch.nextafter(flat, torch.ones(())), flat)


def test_features_that_are_constant_up_to_rounding_tell_no_domains_apart():
    source, target = draws(1, 90, 2).float(), draws(2, 90, 2).float() + 0.7
    wide = [torch.cat([part, flat_columns(180)[rows]], dim=1) for part, rows in
            ((source, slice(90)), (target, slice(90, 180)))]  # fmt: skip
    assert adaptation.proxy_a_distance(*wide) == adaptation.proxy_a_distance(source, target)
    plain = adaptation.importance_weights(source, target, source)
    torch.testing.assert_close(adaptation.importance_weights(*wide, wide[0]), plain)


def test_domains_are_told_apart_whatever_the_unit_of_their_features():
    source, target = draws(1, 90, 2), draws(2, 90, 2) + 0.7
    plain = adaptation.importance_weights(source, target, source)
    tiny = adaptation.importance_weights(1e-10 * source, 1e-10 * target, 1e-10 * source)
    torch.testing.assert_close(tiny, plain, rtol=1e-3, atol=0)
    near = adaptation.proxy_a_distance(1e-10 * source, 1e-10 * target)
    assert near == adaptation.proxy_a_distance(source, target) > 0.3
