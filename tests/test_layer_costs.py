"""Networks of layers, walked through, against torch's counters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from transferbook.models import backbones, layer_costs, metering


def perceptron() -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(48, 30), nn.Tanh(), nn.LayerNorm(30), nn.Linear(30, 20), nn.GELU(),
        nn.Dropout(0.5), nn.Linear(20, 5, bias=False),
    )  # fmt: skip


def convolutional(groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, stride=2, padding=2, groups=groups), nn.ReLU6(inplace=True),
        nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5),
    )  # fmt: skip


NETWORKS = {"perceptron": (perceptron, (7, 3, 4, 4)), "convolutional": (convolutional, (7, 3, 8, 8))}


def trained(network: nn.Module, inputs: Tensor) -> int:
    return metering.count_operations(lambda: network(inputs).sum().backward())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_counted_as_torch_counts_it(name):
    make, shape = NETWORKS[name]
    network, inputs = make(), torch.randn(shape)
    layers, kept = layer_costs.walk_layers(network, inputs)
    own = sum(parameter.numel() for parameter in network.parameters())
    assert layer_costs.total(layers, "parameters") == own
    assert layer_costs.total(layers) == metering.count_operations(lambda: network(inputs))
    assert layer_costs.total(layers, "training") == trained(network, inputs)
    beside = [*network.parameters(), *network.buffers()]
    assert kept == metering.kept_bytes(lambda: network(inputs).sum(), beside)


def test_frozen_layers_cost_less():
    network, inputs = convolutional(), torch.randn(7, 3, 8, 8)
    before = layer_costs.total(layer_costs.walk_layers(network, inputs)[0], "training")
    network[:5].requires_grad_(False)
    layers, kept = layer_costs.walk_layers(network, inputs)
    assert layer_costs.total(layers, "training") == trained(network, inputs) < before
    beside = [*network.parameters(), *network.buffers()]
    assert kept == metering.kept_bytes(lambda: network(inputs).sum(), beside)


def test_in_eval_mode_dropout_keeps_nothing():
    network, inputs = perceptron().eval(), torch.randn(7, 48)
    _, kept = layer_costs.walk_layers(network, inputs, training=False)
    assert kept == metering.kept_bytes(lambda: network(inputs).sum(), network.parameters())


def test_gradients_of_grouped_weights_are_counted_once_and_not_once_a_group():
    """torch's counter leaves the groups out of account in the gradient of the weights of a convolution."""
    network, inputs = convolutional(groups=4), torch.randn(7, 3, 8, 8)
    layers, _ = layer_costs.walk_layers(network, inputs)
    assert layer_costs.total(layers) == metering.count_operations(lambda: network(inputs))
    too_many = sum((layer.groups - 1) * layer.weights for layer in layers)
    assert too_many == 3 * 2 * 7 * 12 * 9 * (8 // 4) * 9
    assert layer_costs.total(layers, "training") + too_many == trained(network, inputs)


def test_efficientnet_is_counted():
    network, inputs = backbones.efficientnet_lite0(pretrained=False).module.network, torch.randn(2, 3, 64, 64)
    layers, kept = layer_costs.walk_layers(network, inputs)
    own = sum(parameter.numel() for parameter in network.parameters())
    assert layer_costs.total(layers, "parameters") == own == 3_371_008
    network.train()
    assert layer_costs.total(layers) == metering.count_operations(lambda: network(inputs))
    too_many = sum((layer.groups - 1) * layer.weights for layer in layers)
    assert layer_costs.total(layers, "training") + too_many == trained(network, inputs)
    beside = [*network.parameters(), *network.buffers()]
    measured = metering.kept_bytes(lambda: network(inputs).sum(), beside)
    assert kept == pytest.approx(measured, rel=0.05)  # some layers pad on their own


def test_walking_changes_nothing_and_names_what_it_does_not_know():
    network = convolutional().eval()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    layer_costs.walk_layers(network, torch.randn(7, 3, 8, 8))
    assert not network.training and not any(len(layer._forward_hooks) for layer in network.modules())
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    with pytest.raises(ValueError, match=r"^1 is a GRU, whose costs this book does not know\.$"):
        layer_costs.walk_layers(nn.Sequential(nn.Linear(4, 4), nn.GRU(4, 4)), torch.randn(2, 3, 4))
