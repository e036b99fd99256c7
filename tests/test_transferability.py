"""Scores of transferability on cases whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from sklearn.covariance import LedoitWolf

from transferbook.learning import transfer, transferability
from transferbook.learning.transferability import h_score, leep, logme, nce, probe_score


def draw(n: int = 40, width: int = 6, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features whose class means differ, and labels that hold every class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    means = torch.randn(classes, width, generator=generator)
    return means[labels] + torch.randn(n, width, generator=generator), labels


def entropy(labels: torch.Tensor) -> float:
    return float(stats.entropy(np.bincount(labels)))


# --- NCE and LEEP -------------------------------------------------------------------------------------------


def test_nce_of_equal_labels_is_zero():
    _, labels = draw()
    assert nce(labels, labels) == 0
    assert nce((labels + 1) % 3 + 7, labels) == 0  # other names for the same classes


def test_nce_of_independent_labels_is_minus_their_entropy():
    labels = torch.tensor([0, 0, 1]).repeat(4)
    source = torch.arange(4).repeat_interleave(3)  # every source class holds the same mixture
    assert nce(source, labels) == pytest.approx(-entropy(labels))


def test_nce_by_hand():
    # Source class 0 holds a, a, b; source class 1 holds b.
    by_hand = (2 * math.log(2 / 3) + math.log(1 / 3) + math.log(1)) / 4
    assert nce([0, 0, 0, 1], [0, 0, 1, 1]) == pytest.approx(by_hand)


def test_leep_of_certain_probabilities_is_nce():
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(4, (60,), generator=generator)
    labels = torch.randint(3, (60,), generator=generator)
    certain = torch.nn.functional.one_hot(source, 5).double()  # the fifth source class never occurs
    assert leep(certain, labels) == pytest.approx(nce(source, labels), abs=1e-12)


def test_leep_by_the_definition():
    generator = torch.Generator().manual_seed(0)
    theta = torch.rand(30, 4, generator=generator).double()
    theta = (theta / theta.sum(1, keepdim=True)).numpy()
    labels = np.arange(30) % 3
    joint = np.zeros((3, 4))
    for y, row in zip(labels, theta, strict=True):
        joint[y] += row / 30
    total = 0.0
    for y, row in zip(labels, theta, strict=True):
        total += math.log(sum(row[z] * joint[y, z] / joint[:, z].sum() for z in range(4)))
    assert leep(theta, labels) == pytest.approx(total / 30, abs=1e-12)


def test_leep_of_probabilities_that_say_nothing_is_minus_the_entropy():
    _, labels = draw()
    assert leep(torch.full((40, 5), 0.2), labels) == pytest.approx(-entropy(labels))


# --- H-score ------------------------------------------------------------------------------------------------


def test_h_score_of_the_labels_themselves_is_classes_minus_one():
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    assert h_score(torch.nn.functional.one_hot(labels), labels, shrinkage=0.0) == pytest.approx(2)


def test_h_score_of_equal_class_means_is_zero():
    features = torch.tensor([[1.0, 2.0], [-1.0, 3.0], [0.0, -5.0]]).repeat(2, 1)
    assert h_score(features, [0, 0, 0, 1, 1, 1], shrinkage=0.0) == pytest.approx(0, abs=1e-12)


def test_h_score_by_the_definition():
    features, labels = draw(n=41)  # unequal classes
    x, y = features.double().numpy(), labels.numpy()
    covariance = np.cov(x.T, bias=True)
    means = np.stack([x[y == c].mean(axis=0) for c in y])  # each example's class mean
    expected = np.trace(np.linalg.inv(covariance) @ np.cov(means.T, bias=True))
    assert h_score(features, labels, shrinkage=0.0) == pytest.approx(expected)


@pytest.mark.parametrize("width", [6, 90])
def test_h_score_shrinks_as_scikit_learn_does(width):
    features, labels = draw(width=width)
    x, y = features.double().numpy(), labels.numpy()
    estimate = LedoitWolf().fit(x)
    means = np.stack([x[y == c].mean(axis=0) for c in y])
    between = (1 - estimate.shrinkage_) * np.cov(means.T, bias=True)
    expected = np.trace(np.linalg.inv(estimate.covariance_) @ between)
    assert h_score(features, labels) == pytest.approx(expected)
    assert 0 < h_score(features, labels) < h_score(features, labels, shrinkage=0.0)


def test_h_score_counts_no_feature_that_is_constant_up_to_rounding():
    features, labels = draw()
    flat = torch.full((len(labels), 30), 0.3)
    up = torch.randint(2, flat.shape, generator=torch.Generator().manual_seed(5)).bool()
    flat = torch.where(up, torch.nextafter(flat, torch.ones(())), flat)
    expected = h_score(features.float(), labels, shrinkage=0.0)
    wide = torch.cat([features.float(), flat], dim=1)
    assert h_score(wide, labels, shrinkage=0.0) == pytest.approx(expected)
    with pytest.raises(ValueError, match="all examples have the same features"):
        h_score(flat, labels)


def test_h_score_does_not_change_under_invertible_maps():
    features, labels = draw()
    generator = torch.Generator().manual_seed(1)
    mixed = features.double() @ torch.randn(6, 6, generator=generator).double() + 3
    before = h_score(features, labels, shrinkage=0.0)
    assert h_score(mixed, labels, shrinkage=0.0) == pytest.approx(before, abs=1e-8)


def test_h_score_of_enough_features_says_nothing():
    features, labels = draw(n=20, width=19)
    wrong = labels[torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    assert h_score(features, labels, shrinkage=0.0) == pytest.approx(2)
    assert h_score(features, wrong, shrinkage=0.0) == pytest.approx(2)
    assert h_score(features, labels) > 1.5 * h_score(features, wrong)


def test_h_score_of_shuffled_labels_grows_with_the_width():
    labels = torch.arange(60) % 4
    random = np.random.default_rng(0)
    for width in (5, 20):
        features = random.normal(size=(60, width))
        scores = [h_score(features, random.permutation(labels), shrinkage=0.0) for _ in range(400)]
        assert np.mean(scores) == pytest.approx(width * 3 / 59, rel=0.05)


# --- LogME --------------------------------------------------------------------------------------------------


def evidence(features: torch.Tensor, target: np.ndarray, alpha: float, beta: float) -> float:
    """The same evidence as a normal density: y = Fw + noise is normal with covariance FF'/alpha + I/beta."""
    x = features.double().numpy()
    covariance = x @ x.T / alpha + np.eye(len(x)) / beta
    return float(stats.multivariate_normal.logpdf(target, np.zeros(len(x)), covariance))


@pytest.mark.parametrize("width", [3, 6, 60])
def test_logme_is_the_largest_evidence(width):
    features, labels = draw(width=width)
    best = []
    for c in range(3):
        target = (labels == c).double().numpy()

        def loss(logs, target=target):
            return -evidence(features, target, *np.exp(np.clip(logs, -20, 20)))

        starts = [(a, b) for a in (-3.0, 0.0, 3.0) for b in (0.0, 3.0)]
        best.append(-min(optimize.minimize(loss, start, method="Nelder-Mead").fun for start in starts))
    assert logme(features, labels) == pytest.approx(np.mean(best) / 40, abs=1e-5)


@pytest.mark.parametrize("blur", [0.02, 0.3])
def test_logme_finds_the_higher_of_two_maxima(blur):
    # Strong features that explain little and a weak one that explains much: which wins depends on its blur.
    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    strong = np.concatenate([np.ones((40, 1)), random.normal(size=(40, 5))], axis=1)
    weak = labels[:, None] + blur * random.normal(size=(40, 1))
    features = np.concatenate([10 * strong, 0.01 * weak], axis=1)
    best = []
    for target in ((labels == 0).astype(float), (labels == 1).astype(float)):
        along = []
        for ratio in np.exp(np.arange(-20, 15, 0.05)):
            spread = features @ features.T / ratio + np.eye(40)  # the covariance of y times the best beta
            variance = target @ np.linalg.solve(spread, target) / 40
            along.append(-20 * (np.log(2 * np.pi * variance) + 1) - np.linalg.slogdet(spread)[1] / 2)
        inner = np.array(along[1:-1])
        assert ((inner > along[:-2]) & (inner > along[2:])).sum() == 2
        best.append(max(along))
    assert logme(features, labels) == pytest.approx(np.mean(best) / 40, abs=1e-3)


def test_logme_does_not_change_with_scale_rotation_or_empty_features():
    features, labels = draw()
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    score = logme(features, labels)
    assert logme(1e3 * features, labels) == pytest.approx(score, abs=1e-6)
    assert logme(features.double().numpy() @ rotation, labels) == pytest.approx(score, abs=1e-6)
    assert logme(torch.cat([features, torch.zeros(40, 9)], dim=1), labels) == pytest.approx(score, abs=1e-6)


def test_logme_of_features_that_say_nothing_is_that_of_noise():
    labels = torch.arange(40) % 2
    features = torch.ones(40, 1) * torch.tensor([1.0, 1, -1, -1]).repeat(10)[:, None]  # orthogonal to both
    noise = -(math.log(2 * math.pi * 0.5) + 1) / 2  # beta = n / |y|^2 = 2, w = 0
    assert logme(features, labels) == pytest.approx(noise, abs=1e-4)


def test_logme_prefers_features_that_separate_the_classes():
    features, labels = draw()
    wrong = labels[torch.randperm(40, generator=torch.Generator().manual_seed(0))]
    assert logme(features, labels) > logme(features, wrong) + 0.1


# --- the probe ----------------------------------------------------------------------------------------------


def test_probe_score_is_cross_validation():
    labels = torch.arange(30) % 3
    clear = torch.nn.functional.one_hot(labels).float()
    assert probe_score(clear, labels) == 1
    noise = torch.randn(300, 20, generator=torch.Generator().manual_seed(0))
    assert abs(probe_score(noise, torch.arange(300) % 3) - 1 / 3) < 0.1
    fitted = transfer.linear_probe(noise[:30], labels)
    assert (fitted(noise[:30]).argmax(1) == labels).double().mean() > 0.8  # it nearly learns them by heart


def test_probe_score_takes_class_numbers_with_gaps():
    features, labels = draw()
    assert probe_score(features, 10 * labels + 3) == probe_score(features, labels)


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["h_score", "logme", "probe_score", "leep"])
def test_shapes_that_do_not_fit(name):
    with pytest.raises(ValueError, match=r"shape \(30, width\).*\(40, 6\)"):
        getattr(transferability, name)(torch.ones(40, 6) / 6, torch.arange(30) % 3)


def test_nce_of_unequal_lengths():
    with pytest.raises(ValueError, match=r"\(4,\) and \(3,\)"):
        nce([0, 1, 0, 1], [0, 1, 0])


@pytest.mark.parametrize("labels", [[0.0, 1.0, 0.0, 1.0], [[0, 1], [1, 0]], [2, 2, 2, 2]])
@pytest.mark.parametrize("score", [h_score, logme, probe_score, leep])
def test_labels_that_are_none(score, labels):
    with pytest.raises(ValueError, match="labels"):
        score(torch.full((4, 2), 0.5), labels)


def test_probabilities_that_are_logits():
    with pytest.raises(ValueError, match="softmax"):
        leep(torch.tensor([[2.0, -1.0], [0.5, 0.5]]), [0, 1])
    with pytest.raises(ValueError, match="softmax"):
        leep(torch.tensor([[0.9, 0.9], [0.5, 0.5]]), [0, 1])


def test_features_that_cannot_be_scored():
    labels = [0, 1, 0, 1]
    with pytest.raises(ValueError, match="nothing to score"):
        h_score(torch.ones(4, 3), labels)
    with pytest.raises(ValueError, match="nothing to score"):
        logme(torch.zeros(4, 3), labels)
    with pytest.raises(ValueError, match="not finite"):
        logme(torch.full((4, 3), math.nan), labels)
    with pytest.raises(ValueError, match="shrinkage"):
        h_score(torch.rand(4, 3), labels, shrinkage=1.5)
    with pytest.raises(ValueError, match="folds"):
        probe_score(torch.rand(4, 3), labels, folds=3)
