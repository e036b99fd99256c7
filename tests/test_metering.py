"""The meters on work whose cost is known."""

from __future__ import annotations

import time

import pytest
import torch

from transferbook.models import metering


def test_operations_of_a_product():
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert metering.count_operations(lambda: a @ b) == 2 * 3 * 4 * 5
    assert metering.count_operations(lambda: a + 1) == 0


def test_kept_bytes_count_each_memory_once_and_no_parameter():
    weight = torch.ones(4, 5, requires_grad=True)
    x = torch.ones(3, 4)
    assert metering.kept_bytes(lambda: x @ weight, [weight]) == 4 * 12
    assert metering.kept_bytes(lambda: x @ weight + x @ weight, [weight]) == 4 * 12
    assert metering.kept_bytes(lambda: (x @ weight).exp().exp(), [weight]) == 4 * (12 + 15 + 15)
    assert metering.kept_bytes(lambda: x @ weight) == 4 * 12  # not the weight, for x needs no gradient
    x.requires_grad_()
    assert metering.kept_bytes(lambda: x @ weight) == 4 * (12 + 20)
    assert metering.kept_bytes(lambda: x @ weight, [x, weight]) == 0


def test_memory_rises_and_falls():
    def work() -> torch.Tensor:
        first = torch.zeros(100)  # 400 bytes
        second = first + 1
        view = second.view(10, 10)
        del first
        third = view.double()  # 800 bytes
        del second, view
        return third.sum()

    curve = metering.memory_curve(work)
    assert curve.tolist() == [0, 400, 800, 400, 1_200, 800, 808, 8, 0]


def test_memory_of_the_way_back_counts():
    def work() -> None:
        x = torch.zeros(100, requires_grad=True)
        x.exp().sum().backward()

    assert metering.memory_curve(work).max() >= 3 * 400  # x, its exponential, its gradient


def test_seconds_are_those_of_the_processor_and_leave_the_first_round_out():
    calls = []

    def work() -> None:
        calls.append(None)
        time.sleep(0.05)
        torch.ones(200_000).exp()

    found = metering.seconds(work, rounds=3)
    assert len(found) == 3 and len(calls) == 4
    assert 0 < max(found) < 0.05  # sleeping takes no processor


def test_the_roof_has_two_sides():
    roof = metering.Roofline(operations=100.0, bandwidth=10.0)
    assert roof.ridge == 10
    assert roof.seconds(operations=1_000, read=1) == 10  # limited by computing
    assert roof.seconds(operations=1, read=1_000) == 100  # limited by reading


def test_the_roofline_of_this_machine():
    roof = metering.roofline(side=256, megabytes=64, rounds=3)
    assert roof.operations > 1e8 and roof.bandwidth > 1e8
    assert roof.ridge == pytest.approx(roof.operations / roof.bandwidth)
    assert roof.ridge > 0.5  # a product of a matrix and a vector, which is limited by reading, lies below


def test_a_roof_is_what_the_fastest_round_reaches(monkeypatch):
    monkeypatch.setattr(metering, "seconds", lambda work, rounds: [4.0, 2.0, 8.0])
    roof = metering.roofline(side=10, megabytes=4)
    assert roof.operations == 1_000
    assert roof.bandwidth == 2_000_000


def test_attention_is_counted_with_heads_that_share_keys_and_on_the_way_back():
    query = torch.randn(2, 4, 5, 8, requires_grad=True)
    key, value = torch.randn(2, 2, 2, 7, 8).requires_grad_()  # two heads of them for four of the queries
    product = 2 * 2 * 4 * 5 * 7 * 8

    def attend() -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)

    with torch.no_grad():
        assert metering.count_operations(attend) == 2 * product
    there_and_back = metering.count_operations(lambda: attend().sum().backward())
    assert there_and_back in (6 * product, 7 * product)  # with the scores once more, if they were not kept
