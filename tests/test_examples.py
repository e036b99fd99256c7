"""Examples as tensors or dicts: the right rows, together, and in the right order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transferbook.learning import examples

CPU = torch.device("cpu")
TEXTS = {
    "input_ids": torch.arange(12).view(4, 3),
    "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 0]]),
}


def test_rows_are_taken_from_every_tensor_of_a_dict():
    index = torch.tensor([2, 0])
    assert torch.equal(examples.rows(TEXTS["input_ids"], index), torch.tensor([[6, 7, 8], [0, 1, 2]]))
    taken = examples.rows(TEXTS, index)
    assert {name: value.tolist() for name, value in taken.items()} == {
        "input_ids": [[6, 7, 8], [0, 1, 2]],
        "attention_mask": [[1, 0, 0], [1, 1, 0]],
    }


def test_texts_are_ordered_by_length_and_others_left():
    assert examples.length_order(TEXTS).tolist() == [1, 0, 3, 2]
    assert examples.length_order(TEXTS["input_ids"]).tolist() == [0, 1, 2, 3]
    assert examples.length_order({"x": TEXTS["input_ids"]}).tolist() == [0, 1, 2, 3]


def test_texts_of_one_length_stay_in_their_order():
    lengths = torch.tensor([2, 1, 3]).repeat(100)  # so many that a sort that may mix equals does so
    mask = torch.arange(3) < lengths[:, None]
    assert examples.length_order({"attention_mask": mask.long()}).tolist() == sorted(
        range(300), key=lambda row: -int(lengths[row])
    )


def test_a_dict_is_handed_over_by_name():
    class Minus(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a - b

    inputs = {"b": torch.tensor([1.0]), "a": torch.tensor([3.0])}
    assert examples.call(Minus(), inputs).item() == 2
    assert examples.call(nn.ReLU(), torch.tensor([-1.0])).item() == 0
    assert examples.first(inputs) is inputs["b"] and examples.first(inputs["a"]) is inputs["a"]


def test_a_pair_moves_and_batches_stay():
    x, y = torch.zeros(4, 2), torch.zeros(4).long()
    moved, labels = examples.on_device((TEXTS, y), torch.device("meta"))
    assert {value.device.type for value in (*moved.values(), labels)} == {"meta"}
    batches = [(x, y)]
    assert examples.on_device(batches, CPU) is batches


@pytest.mark.parametrize("inputs", [torch.zeros(3, 2), {"a": torch.zeros(4, 2), "b": torch.zeros(3, 2)}])
def test_unequal_lengths_no_example_and_one_shot_iterators_are_refused(inputs):
    y = torch.zeros(4).long()
    with pytest.raises(ValueError, match=r"same number of examples, .*; got \[3.*\] and 4\.$"):
        examples.on_device((inputs, y), CPU)
    with pytest.raises(ValueError, match=r"one at least; got \[0\] and 0\.$"):
        examples.on_device((torch.zeros(0, 2), y[:0]), CPU)
    with pytest.raises(ValueError, match=r"one-shot iterator, .*\.$"):
        examples.on_device(iter([(inputs, y)]), CPU)
