"""Embedding, probing, freezing and grouping parameters, on small networks whose answers are known."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from transferbook.data import assets
from transferbook.learning import training, transfer
from transferbook.models.backbones import Backbone

CPU = torch.device("cpu")


class Encoder(nn.Module):
    """Three stages with everything that freezing must hold still."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
        self.middle = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))
        self.top = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.top(self.middle(self.stem(x)))

    def stages(self) -> list[list[nn.Module]]:
        return [[self.stem], [self.middle], [self.top]]


def classifier(seed: int = 0) -> transfer.Classifier:
    torch.manual_seed(seed)
    return transfer.Classifier(Encoder(), nn.Linear(8, 3))


def train(model: nn.Module, epochs: int = 2, **arguments) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 4, generator=generator), torch.randint(3, (40,), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    training.fit(model, (x, y), optimizer=optimizer, epochs=epochs, batch_size=10, device=CPU, **arguments)


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


def backbone(width: int = 5) -> Backbone:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, width)).eval()
    return Backbone("tiny", module, lambda images: images.float() / 255, width, "made here", "divided by 255")


def test_a_frozen_module_keeps_every_parameter_and_buffer():
    model = classifier()
    transfer.freeze(model.encoder)
    before = state(model.encoder)
    train(model)
    assert changed(model.encoder, before) == set()
    unfrozen = transfer.unfreeze(copy.deepcopy(model))
    before = state(unfrozen.encoder)
    train(unfrozen)
    cancelled = {"stem.0.bias", "top.0.bias"}  # BatchNorm subtracts them again: no gradient
    assert changed(unfrozen.encoder, before) | cancelled == set(before)


def test_requires_grad_alone_is_not_freezing():
    model = classifier()
    model.encoder.requires_grad_(False)
    before = state(model.encoder)
    train(model)
    moved = changed(model.encoder, before)
    assert moved and all("running" in name or "tracked" in name for name in moved)


def test_a_frozen_module_is_not_noisy_even_as_a_copy_or_a_pickle():
    model = classifier()
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(3))
    frozen = transfer.freeze(model.encoder)
    for module in (frozen, copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))):
        module.train()
        assert torch.equal(module(x), module(x))
        assert not any(part.training for part in module.modules())
    transfer.unfreeze(frozen).train()
    assert not torch.equal(frozen(x), frozen(x))


def test_freeze_stages_counts_from_the_input():
    model = classifier()
    for count, still in ((3, {"stem", "middle", "top"}), (1, {"stem"}), (2, {"stem", "middle"}), (0, set())):
        transfer.freeze_stages(model.encoder, count)
        before = state(model.encoder)
        train(model, epochs=1)
        moved = {name.split(".")[0] for name in changed(model.encoder, before)}
        assert moved == {"stem", "middle", "top"} - still
    with pytest.raises(ValueError, match="has 3 stages; cannot freeze 4"):
        transfer.freeze_stages(model.encoder, 4)


def test_gradual_unfreezing_goes_from_the_top_down():
    model = classifier()
    schedule = transfer.gradual_unfreezing(model.encoder, epochs_per_stage=2)
    frozen = []
    for epoch in range(8):
        schedule(epoch)
        frozen.append(sum(not next(stage[0].parameters()).requires_grad for stage in model.encoder.stages()))
    assert frozen == [3, 3, 2, 2, 1, 1, 0, 0]
    assert model.encoder.top[0].weight.requires_grad
    before = state(model.encoder)
    train(model, epochs=1, on_epoch_start=schedule)
    assert changed(model.encoder, before) == set()


def test_parameter_groups_hold_every_trained_parameter_once_at_its_rate():
    model = classifier()
    groups = transfer.parameter_groups(model, 1e-2, decay=0.5, weight_decay=0.3, head_learning_rate=1.0)
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    shrink = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert rate[id(model.encoder.top[0].weight)] == 1e-2
    assert rate[id(model.encoder.middle[0].weight)] == 5e-3
    assert rate[id(model.encoder.stem[1].bias)] == 2.5e-3
    assert rate[id(model.head.weight)] == rate[id(model.head.bias)] == 1.0
    assert all(shrink[id(p)] == (0.3 if p.ndim > 1 else 0.0) for p in model.parameters())
    transfer.freeze_stages(model.encoder, 2)
    held = {id(p) for group in transfer.parameter_groups(model, 1e-2) for p in group["params"]}
    assert held == {id(p) for p in (*model.encoder.top.parameters(), *model.head.parameters())}


def test_parameter_groups_refuse_a_bad_decay_and_an_incomplete_encoder():
    model = classifier()
    with pytest.raises(ValueError, match=r"decay must lie in \(0, 1\]; got 2"):
        transfer.parameter_groups(model, 1e-2, decay=2)
    model.encoder.extra = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"leave out 2 parameters, such as extra\.weight"):
        transfer.parameter_groups(model, 1e-2)


@pytest.mark.parametrize("classes", [2, 3])
def test_linear_probe_is_scikit_learns_logistic_regression(classes):
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 6)) * [1, 5, 0.1, 1, 2, 1] + 3
    y = (x[:, 0] + random.normal(size=120) > 3).astype(int) + (classes == 3) * (x[:, 1] > 5)
    probe = transfer.linear_probe(torch.tensor(x), torch.tensor(y), C=0.1)
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(C=0.1, tol=1e-8, max_iter=5_000).fit(scaler.transform(x), y)
    ours = probe(torch.tensor(x).float()).softmax(1)
    expected = torch.tensor(model.predict_proba(scaler.transform(x)))
    torch.testing.assert_close(ours.double(), expected, rtol=0, atol=1e-4)


def test_linear_probe_with_one_spread_for_all_is_scikit_learns_on_features_as_they_come():
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 6)) * [1, 5, 0.1, 1, 2, 0] + 3
    y = (x[:, 0] + random.normal(size=120) > 3).astype(int) + (x[:, 1] > 5)
    probe = transfer.linear_probe(torch.tensor(x), torch.tensor(y), C=0.1, standardise=False)
    spread = x[:, :5].var(axis=0).mean()  # the last feature is constant and does not count
    model = LogisticRegression(C=0.1 / spread, tol=1e-8, max_iter=5_000).fit(x, y)
    ours = probe(torch.tensor(x).float()).softmax(1)
    torch.testing.assert_close(ours.double(), torch.tensor(model.predict_proba(x)), rtol=0, atol=1e-4)


def test_linear_probe_rules_out_classes_it_never_saw_and_keeps_constant_features_silent():
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    x[:, 2] = 7.0
    y = (x[:, 0] > 0).long() * 2
    probe = transfer.linear_probe(x, y, n_classes=4)
    assert probe.weight.shape == (4, 3)
    assert set(probe(x).argmax(1).tolist()) == {0, 2}
    torch.testing.assert_close(probe.weight[:, 2], torch.zeros(4))


@pytest.mark.parametrize("steps", [1, 5])
def test_linear_probe_is_not_led_by_features_that_are_constant_up_to_rounding(steps):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1_200, 4, generator=generator)
    y = (x @ torch.tensor([1.0, -1.0, 0.5, 2.0]) > 0).long()
    flat = torch.full((1_200, 200), 0.3)
    for _ in range(steps):  # in every other row, the next number that float32 has
        flat[::2] = torch.nextafter(flat[::2], torch.ones(()))
    both = torch.cat([x, flat], dim=1)
    plain, probe = (transfer.linear_probe(part[:600], y[:600]) for part in (x, both))
    assert torch.equal(probe.weight[:, 4:], torch.zeros(2, 200))
    torch.testing.assert_close(probe.weight[:, :4], plain.weight, rtol=1e-4, atol=1e-5)
    assert (probe(both[600:]).argmax(1) == y[600:]).double().mean() > 0.97


def test_linear_probe_does_not_depend_on_the_scale_of_a_feature():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(90, 3, generator=generator)
    y = (x.sum(dim=1) > 0).long()
    scale = torch.tensor([2.0**-60, 1.0, 2.0**40])
    plain, scaled = transfer.linear_probe(x, y), transfer.linear_probe(x * scale, y)
    torch.testing.assert_close(scaled.weight * scale, plain.weight)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (torch.eye(5) * math.inf, torch.arange(5), "finite features; inf is in row 0"),
        (torch.zeros(5, 2), torch.zeros(4).long(), r"\(5, 2\) and \(4,\)"),
        (torch.zeros(5), torch.zeros(5).long(), r"needs features \(N, D\)"),
        (torch.zeros(5, 2), torch.zeros(5).long(), "at least two classes"),
    ],
)
def test_linear_probe_says_what_is_wrong(features, labels, message):
    with pytest.raises(ValueError, match=message):
        transfer.linear_probe(features, labels)


def source_layer(outputs: int = 3, inputs: int = 6) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(inputs, outputs)


def some_features(kind: str, n: int = 40, width: int = 6) -> tuple:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, width, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (n,), generator=generator)
    return (sparse.csr_matrix(x.numpy()) if kind == "sparse" else x), labels


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_ridge_towards_zero_is_scikit_learns_logistic_regression(kind):
    x, labels = some_features(kind)
    nothing = source_layer()
    nn.init.zeros_(nothing.weight), nn.init.zeros_(nothing.bias)
    layer = transfer.ridge_to_source(x, labels, nothing, C=0.7)
    dense = x.toarray() if kind == "sparse" else x.numpy()
    with_ones = np.hstack([dense, np.ones((len(labels), 1))])  # its bias is then penalised too
    model = LogisticRegression(C=0.7, fit_intercept=False, tol=1e-9, max_iter=10_000).fit(with_ones, labels)
    assert not layer.weight.requires_grad
    np.testing.assert_allclose(layer.weight.numpy(), model.coef_[:, :-1], atol=1e-5)
    np.testing.assert_allclose(layer.bias.numpy(), model.coef_[:, -1], atol=1e-5)


def test_ridge_to_source_ends_where_autograd_finds_no_gradient():
    x, labels = some_features("dense")
    source = source_layer()
    layer = transfer.ridge_to_source(x, labels, source, C=0.7).double().requires_grad_()
    pull = sum(((p - q) ** 2).sum() for p, q in zip(layer.parameters(), source.parameters(), strict=True))
    (0.7 * nn.functional.cross_entropy(layer(x), labels, reduction="sum") + pull / 2).backward()
    assert max(float(p.grad.abs().max()) for p in layer.parameters()) < 1e-4


def test_ridge_to_source_stays_at_the_source_without_labels_that_count():
    x, labels = some_features("sparse")
    source = source_layer()
    before = state(source)
    layer = transfer.ridge_to_source(x, labels, source, C=1e-9)
    torch.testing.assert_close(layer.weight, source.weight, atol=1e-6, rtol=0)
    torch.testing.assert_close(layer.bias, source.bias, atol=1e-6, rtol=0)
    assert changed(source, before) == set()


@pytest.mark.parametrize(("width", "highest"), [(5, 2), (6, 3)])
def test_ridge_to_source_says_what_does_not_fit(width, highest):
    x, _ = some_features("dense", width=width)
    with pytest.raises(ValueError, match=rf"\(N, 6\) and N labels below 3; got \(40, {width}\).* {highest}"):
        transfer.ridge_to_source(x, torch.arange(40) % (highest + 1), source_layer())


def test_embed_computes_once_and_notices_every_change(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "cache_dir", lambda: tmp_path)
    body, calls = backbone(), []
    body.module.register_forward_hook(lambda *_: calls.append(1))
    images = torch.randint(0, 256, (7, 3, 2, 2), dtype=torch.uint8)
    first = transfer.embed(body, images, batch_size=4)
    assert first.shape == (7, 5) and len(calls) == 2
    assert torch.equal(transfer.embed(body, images, batch_size=4), first) and len(calls) == 2
    other = images.clone()
    other[0, 0, 0, 0] ^= 1
    transfer.embed(body, other, batch_size=4)
    assert len(calls) == 4
    with torch.no_grad():
        body.module[1].weight[0, 0] += 1e-3
    assert not torch.equal(transfer.embed(body, images, batch_size=4), first) and len(calls) == 6
    with pytest.raises(ValueError, match="at least one input"):
        transfer.embed(body, images[:0])


def test_embed_is_what_the_module_computes_in_evaluation_mode():
    body = backbone()
    body.module.append(nn.Dropout(0.5)).train()
    images = torch.randint(0, 256, (7, 3, 2, 2), dtype=torch.uint8)
    expected = copy.deepcopy(body.module).eval()(images / 255)
    torch.testing.assert_close(transfer.embed(body, images, batch_size=3, cache=False), expected.detach())
