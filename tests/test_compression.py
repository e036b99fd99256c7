"""Smaller networks: against torch.nn.utils.prune, torch's quantisation, gguf's blocks, and by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from transferbook.models import compression


def network(seed: int = 0, hidden: int = 10) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, hidden), nn.ReLU(), nn.Linear(hidden, 3))


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- pruning ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_pruning_is_that_of_torch(share):
    ours, theirs = network(), network()
    assert compression.prune(ours, share) == ["0", "2"]
    for number in (0, 2):
        torch_prune.l1_unstructured(theirs[number], "weight", amount=share)
        torch.testing.assert_close(ours[number].weight, theirs[number].weight, rtol=0, atol=0)
        zeros = int((ours[number].weight == 0).sum())
        assert zeros == round(share * ours[number].weight.numel())


def test_equal_weights_are_pruned_in_the_number_asked_for():
    assert int(compression.magnitude_mask(torch.ones(4, 5), 0.25).sum()) == 15


def test_what_is_pruned_stays_zero_in_training_and_the_rest_learns():
    model = network()
    model[1] = nn.Tanh()  # no unit is dead
    compression.prune(model, 0.5)
    before = model[0].weight.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(normal(8, 6)).square().sum().backward()
        optimizer.step()
    after = model[0].weight.detach()
    assert bool((after[before == 0] == 0).all())
    assert float((after != before)[before != 0].float().mean()) > 0.5  # some units reach no output


def test_finishing_keeps_what_the_network_computes():
    model, x = network(), normal(4, 6)
    compression.prune(model, 0.4)
    before = model(x)
    names = {name for name, _ in compression.finish(model).named_parameters()}
    assert names == {"0.weight", "0.bias", "2.weight", "2.bias"}
    torch.testing.assert_close(model(x), before, rtol=0, atol=0)


def test_pruning_anew_keeps_the_old_zeros():
    model = network()
    compression.prune(model, 0.5)
    first = model[0].weight == 0
    compression.prune(model, 0.8)
    second = model[0].weight == 0
    assert bool((second | ~first).all()) and int(second.sum()) == 48
    assert len(model[0].parametrizations.weight) == 1


# --- units ------------------------------------------------------------------------------------------------


def test_dropping_units_equals_silencing_them():
    model, x = network(), normal(7, 6)
    keep = torch.tensor([0, 3, 4, 9])
    up, down = compression.drop_units(model[0], model[2], keep)
    assert (up.weight.shape, down.weight.shape) == ((4, 6), (3, 4))
    hidden = model[1](model[0](x))
    silent = torch.zeros_like(hidden)
    silent[:, keep] = hidden[:, keep]
    torch.testing.assert_close(down(torch.relu(up(x))), model[2](silent))


def test_dropping_units_that_say_nothing_changes_nothing():
    model, x = network(), normal(7, 6)
    with torch.no_grad():
        model[2].weight[:, [1, 2]] = 0
    norms = compression.unit_norms(model[0], model[2])
    keep = norms.topk(8).indices.sort().values
    assert keep.tolist() == [0, 3, 4, 5, 6, 7, 8, 9]
    up, down = compression.drop_units(model[0], model[2], keep)
    torch.testing.assert_close(down(torch.relu(up(x))), model(x))


def test_unit_norms_by_hand():
    up, down = nn.Linear(2, 2), nn.Linear(2, 2)
    with torch.no_grad():
        up.weight.copy_(torch.tensor([[3.0, 4.0], [1.0, 0.0]]))
        down.weight.copy_(torch.tensor([[0.0, 1.0], [2.0, 0.0]]))
    assert compression.unit_norms(up, down).tolist() == [10.0, 1.0]


# --- low rank ---------------------------------------------------------------------------------------------


def test_low_rank_has_the_error_of_the_singular_values_left_out():
    layer = nn.Linear(9, 5).double()
    errors = compression.rank_errors(layer.weight)
    assert errors.shape == (6,) and float(errors[5]) == 0
    assert float(errors[0]) == pytest.approx(float(layer.weight.detach().norm()))
    values = torch.linalg.svdvals(layer.weight.detach())
    for rank in range(1, 6):
        thin = compression.low_rank(layer, rank)
        product = thin[1].weight @ thin[0].weight
        assert float((product - layer.weight).detach().norm()) == pytest.approx(
            float(errors[rank]), abs=1e-12
        )
        assert float(errors[rank]) == pytest.approx(float(values[rank:].square().sum().sqrt()), abs=1e-12)


def test_low_rank_of_full_rank_is_the_layer():
    layer, x = nn.Linear(9, 5).double(), normal(4, 9).double()
    thin = compression.low_rank(layer, 5)
    assert thin[0].bias is None and thin[0].weight.shape == (5, 9)
    torch.testing.assert_close(thin(x), layer(x))


# --- quantisation -----------------------------------------------------------------------------------------


def test_eight_bits_in_groups_are_those_of_gguf():
    from gguf import quants
    from gguf.constants import GGMLQuantizationType

    weight = normal(5, 96)
    kind = GGMLQuantizationType.Q8_0
    theirs = quants.dequantize(quants.quantize(weight.numpy(), kind), kind)
    integers, scales = compression.quantize(weight, 8, group=32)
    assert (integers.dtype, scales.shape, scales.dtype) == (torch.int8, (5, 3), torch.float16)
    np.testing.assert_allclose(compression.dequantize(integers, scales).numpy(), theirs, rtol=0, atol=1e-7)


def test_eight_bits_by_row_are_those_of_torch():
    weight = normal(5, 40)
    integers, scales = compression.quantize(weight, 8)
    steps = weight.abs().amax(dim=1) / 127
    zero = torch.zeros(5, dtype=torch.int32)
    theirs = torch.fake_quantize_per_channel_affine(weight, steps, zero, 0, -127, 127)
    torch.testing.assert_close(integers * steps[:, None], theirs)
    torch.testing.assert_close(scales[:, 0].float(), steps, rtol=1e-3, atol=0)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("group", [None, 8])
def test_an_error_is_at_most_half_a_step(bits, group):
    weight = normal(4, 24)
    integers, scales = compression.quantize(weight, bits, group)
    largest = 2 ** (bits - 1) - 1
    assert int(integers.abs().max()) == largest
    steps = scales.float().repeat_interleave(24 // scales.shape[1], dim=1)
    off = (compression.dequantize(integers, scales) - weight).abs()
    rounding = 2**-11 * largest * steps  # of the scales
    assert bool((off <= steps / 2 + rounding + 1e-7).all())


def test_zeros_stay_zeros():
    weight = normal(3, 16)
    weight[0] = 0
    weight[1, :5] = 0
    integers, scales = compression.quantize(weight, 4)
    restored = compression.dequantize(integers, scales)
    assert bool((restored[weight == 0] == 0).all()) and bool(restored.isfinite().all())


def test_a_quantised_layer_computes_with_the_restored_weight():
    layer, x = nn.Linear(16, 3), normal(5, 16)
    small = compression.QuantizedLinear(layer, 4, group=8)
    weight = compression.dequantize(*compression.quantize(layer.weight, 4, 8))
    torch.testing.assert_close(small(x), x @ weight.T + layer.bias)
    assert [name for name, _ in small.named_parameters()] == []
    assert compression.QuantizedLinear(nn.Linear(4, 2, bias=False), 8)(normal(1, 4)).shape == (1, 2)


def test_linear_layers_are_replaced_wherever_they_are():
    model = nn.ModuleDict({"a": network(), "b": nn.Linear(3, 4)}).eval()
    names = compression.replace_linear(model, lambda layer: compression.QuantizedLinear(layer, 8))
    assert names == ["a.0", "a.2", "b"]
    assert all(type(model.get_submodule(name)) is compression.QuantizedLinear for name in names)
    assert not model["b"].training


# --- bytes ------------------------------------------------------------------------------------------------


def test_bytes_by_hand():
    model = network()  # 6 x 10 + 10 + 10 x 3 + 3
    assert compression.stored_bytes(model) == 4 * 103
    pruned = copy.deepcopy(model)
    compression.prune(pruned, 0.5)
    assert compression.stored_bytes(pruned) == 4 * (30 + 15 + 13) + 8 + 4  # 60 and 30 places
    compression.prune(pruned, 0.0)
    assert compression.stored_bytes(pruned) == 4 * 103  # no bits are kept if nothing is pruned
    compression.replace_linear(model, lambda layer: compression.QuantizedLinear(layer, 4))
    assert compression.stored_bytes(model) == 30 + 15 + 2 * 13 + 4 * 13


def test_shared_weights_count_once():
    model = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)])
    model[1].weight = model[0].weight
    assert compression.stored_bytes(model) == 64


def test_bad_input_gets_one_sentence():
    layer = nn.Linear(6, 4)
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\).*got 1"):
        compression.prune(network(), 1.0)
    with pytest.raises(ValueError, match="no linear layer"):
        compression.prune(nn.Sequential(nn.ReLU()), 0.5)
    with pytest.raises(ValueError, match="no linear layer"):
        compression.replace_linear(nn.ReLU(), lambda layer: layer)
    with pytest.raises(ValueError, match="4 units come out of the first layer; 5 go in"):
        compression.unit_norms(layer, nn.Linear(5, 2))
    for keep in ([], [0, 0], [4], [-1]):
        with pytest.raises(ValueError, match="at least one of 4 units, each once"):
            compression.drop_units(layer, nn.Linear(4, 2), torch.tensor(keep, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"rank is 5; for a weight \(4, 6\) it is 1 to 4"):
        compression.low_rank(layer, 5)
    with pytest.raises(ValueError, match="from 2 to 8; got 1"):
        compression.quantize(layer.weight, 1)
    with pytest.raises(ValueError, match="Groups of 4 do not divide rows of 6"):
        compression.quantize(layer.weight, 4, group=4)
