"""Low-rank adaptation against PEFT, against the merged weights, and against what it must leave alone."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from torch import nn

from transferbook.learning import transfer
from transferbook.models import lora

D_IN, D_OUT = 12, 8


def matrices_of(model: nn.Module) -> list[nn.Parameter]:
    """A and B of every adapted layer, in the model's order."""
    return [p for name, p in model.named_parameters() if name.rpartition(".")[2] in ("A", "B")]


class Block(nn.Module):
    """Layers under the names that a transformer gives them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.subquery = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.query(x)) * self.key(x) + self.subquery(x)


class Network(nn.Module):
    """Two blocks and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ModuleList([Block(D_IN), Block(D_IN)])
        self.head = nn.Linear(D_IN, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.layer:
            x = block(x)
        return self.head(x)


def network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network().double()


def inputs(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomise(parameters: list[nn.Parameter], seed: int = 2) -> None:
    for number, parameter in enumerate(parameters):
        parameter.data = inputs(*parameter.shape, seed=seed + number)


@pytest.mark.parametrize(("rank", "alpha"), [(1, 3.0), (4, 6.0), (8, 2.0)])
def test_outputs_and_gradients_equal_pefts(rank, alpha):
    ours, theirs = network(), network()
    lora.add_lora(ours, ["query", "key"], rank, alpha)
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=["query", "key"])
    theirs = peft.inject_adapter_in_model(config, theirs)
    matrices = [parameter for name, parameter in theirs.named_parameters() if ".lora_" in name]
    assert [p.shape for p in matrices_of(ours)] == [p.shape for p in matrices]
    randomise(matrices_of(ours))
    randomise(matrices)
    x = inputs(5, 7, D_IN)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-12, atol=1e-12)
    for model in (ours, theirs):
        model(x).square().mean().backward()
    for mine, other in zip(matrices_of(ours), matrices, strict=True):
        assert mine.grad.abs().max() > 1e-6
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-10, atol=1e-12)


def test_layer_is_the_formula_and_its_gradients():
    torch.manual_seed(0)
    layer = lora.LoRALinear(nn.Linear(D_IN, D_OUT).double(), rank=3, alpha=5.0)
    randomise([layer.A, layer.B])
    x, g = inputs(6, D_IN), inputs(6, D_OUT, seed=5)
    w, b = layer.linear.weight, layer.linear.bias
    torch.testing.assert_close(layer(x), x @ (w + 5 / 3 * layer.B @ layer.A).T + b)
    torch.testing.assert_close(layer.update(), 5 / 3 * layer.B @ layer.A)
    (layer(x) * g).sum().backward()
    torch.testing.assert_close(layer.B.grad, 5 / 3 * g.T @ x @ layer.A.detach().T)
    torch.testing.assert_close(layer.A.grad, 5 / 3 * layer.B.detach().T @ g.T @ x)


def test_start_is_the_model_as_it_was():
    model, before = network(), network()
    x = inputs(4, D_IN)
    lora.add_lora(model, ["query"], rank=2, alpha=16.0)
    assert torch.equal(model(x), before(x))
    for layer in (model.layer[0].query, model.layer[1].query):
        assert not layer.B.any()
        assert layer.A.abs().max() <= D_IN**-0.5
        assert layer.A.std().item() == pytest.approx((3 * D_IN) ** -0.5, rel=0.3)  # of a uniform distribution


def test_a_starts_as_pefts_does():
    torch.manual_seed(3)
    ours = lora.LoRALinear(nn.Linear(64, 32), rank=4, alpha=1.0)
    torch.manual_seed(3)
    theirs = nn.Sequential(nn.Linear(64, 32))
    config = peft.LoraConfig(r=4, lora_alpha=1, target_modules=["0"])
    theirs = peft.inject_adapter_in_model(config, theirs)
    bounds = [a.abs().max().item() for a in (ours.A, theirs[0].lora_A["default"].weight)]
    assert bounds == pytest.approx([1 / 8, 1 / 8], rel=0.05)


@pytest.mark.parametrize("name", ["query", "key"])  # with a bias and without
def test_merged_equals_adapted(name):
    model, x = network(), inputs(4, D_IN)
    replaced = lora.add_lora(model, [name], rank=4, alpha=6.0)
    randomise(matrices_of(model))
    adapted, before = model(x), network()(x)
    assert lora.merge_lora(model) == replaced
    assert {type(block.get_submodule(name)) for block in model.layer} == {nn.Linear}
    assert not matrices_of(model)
    assert (adapted - before).abs().max() > 0.1
    torch.testing.assert_close(model(x), adapted, rtol=1e-12, atol=1e-12)
    assert model.state_dict().keys() == network().state_dict().keys()


def test_merging_leaves_the_layer_itself_alone():
    layer = lora.LoRALinear(nn.Linear(D_IN, D_OUT), rank=2, alpha=1.0)
    nn.init.ones_(layer.B)
    before = copy.deepcopy(layer.linear.state_dict())
    assert not torch.equal(layer.merged().weight, before["weight"])
    assert torch.equal(layer.linear.weight, before["weight"])


def test_only_the_updates_learn():
    model = network()
    assert lora.add_lora(model, ["query"], rank=2, alpha=4.0) == ["layer.0.query", "layer.1.query"]
    learning = {id(p) for p in model.parameters() if p.requires_grad}
    assert learning == {id(p) for p in matrices_of(model)} and len(learning) == 4
    randomise(matrices_of(model))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    model(inputs(4, D_IN)).square().mean().backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        adapter = name.rpartition(".")[2] in ("A", "B")
        assert (parameter.grad is not None) == adapter, name
        assert torch.equal(parameter, before[name]) != adapter, name


def test_names_match_whole_names_only():
    names = lora.add_lora(network(), ["query"], rank=1, alpha=1.0)
    assert not any("subquery" in name for name in names)
    assert lora.add_lora(network(), ["1.key", "head"], rank=1, alpha=1.0) == ["layer.1.key", "head"]


def test_dropout_acts_on_the_update_alone_and_in_training_alone():
    model, x = network(), inputs(64, D_IN)
    model.eval()
    lora.add_lora(model, ["head"], rank=2, alpha=2.0, dropout=0.5)
    assert torch.equal(model(x), network()(x))
    randomise(matrices_of(model))
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))
    nn.init.zeros_(model.head.B)
    assert torch.equal(model(x), network()(x))


def test_a_frozen_batchnorm_stays_frozen():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    lora.add_lora(transfer.freeze(model), ["0"], rank=1, alpha=1.0)
    before = model[1].running_mean.clone()
    model.train()(torch.randn(16, 4))
    assert torch.equal(model[1].running_mean, before)


@pytest.mark.parametrize("rank", [0, -1, 9])
def test_a_rank_that_does_not_fit_is_refused(rank):
    with pytest.raises(ValueError, match=rf"rank is {rank}; for a weight \(8, 12\) it goes from 1 to 8"):
        lora.LoRALinear(nn.Linear(D_IN, D_OUT), rank, alpha=1.0)


def test_bad_input_is_refused_and_changes_nothing():
    model = network()
    with pytest.raises(ValueError, match="dropout must lie in"):
        lora.LoRALinear(nn.Linear(4, 4), 1, 1.0, dropout=1.0)
    with pytest.raises(ValueError, match=r"name ends in \['value'\].*head, key, query, subquery"):
        lora.add_lora(model, ["query", "value"], rank=1, alpha=1.0)
    with pytest.raises(ValueError, match=r"such as \['query'\]"):
        lora.add_lora(model, "query", rank=1, alpha=1.0)
    with pytest.raises(ValueError, match="No linear layer's name ends in"):
        lora.add_lora(model, [], rank=1, alpha=1.0)
    with pytest.raises(ValueError, match="no LoRALinear to merge"):
        lora.merge_lora(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    lora.add_lora(model, ["query"], rank=1, alpha=1.0)
    with pytest.raises(ValueError, match="has LoRA layers already"):
        lora.add_lora(model, ["key"], rank=1, alpha=1.0)
