"""Versions of one classifier measured alike: scores by hand, turns in order, memory that was really taken."""

from __future__ import annotations

import math

import pytest
import torch

from transferbook.evidence import metrics, stations

LOGITS = torch.tensor([[2.0, 0, 0], [0, 2, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2], [0, 2, 0], [2, 0, 0]])
LABELS = torch.tensor([0, 0, 0, 1, 2, 2, 2])


def test_scores_show_the_rare_classes_beside_the_average():
    assert stations.recalls(LOGITS, LABELS).tolist() == pytest.approx([2 / 3, 1, 1 / 3])
    found = stations.station_scores(LOGITS, LABELS, rare=[1, 2])
    assert found["accuracy"] == pytest.approx(4 / 7)
    assert found["rare_recall"] == pytest.approx(2 / 3) and found["worst_recall"] == pytest.approx(1 / 3)
    error = metrics.calibration_error(LOGITS.double().softmax(dim=1), LABELS)
    assert found["calibration_error"] == error > 0


def test_a_class_without_examples_counts_nowhere():
    wider = torch.cat([LOGITS, -torch.ones(7, 1)], dim=1)
    assert stations.recalls(wider, LABELS)[3].isnan()
    assert stations.station_scores(wider, LABELS, rare=[1])["worst_recall"] == pytest.approx(1 / 3)
    for rare in ([], [1, 3]):
        with pytest.raises(ValueError, match=r"rare classes with examples; got \["):
            stations.station_scores(wider, LABELS, rare=rare)


def test_versions_take_turns_in_changing_order():
    calls: list[tuple[str, int]] = []
    now = [0.0]
    cost = {"whole": 4.0, "half": 2.0, "odd": 1.0}

    def version(name):
        def work(number):
            calls.append((name, number))
            now[0] += cost[name] * (1 + number)

        return work

    taken = stations.latencies({name: version(name) for name in cost}, 8, warm=2, clock=lambda: now[0])
    assert taken["whole"].tolist() == [4.0 * (1 + n) for n in range(8)]
    assert taken["odd"].tolist() == [1.0 * (1 + n) for n in range(8)]
    counted = calls[6:]
    assert [number for _, number in counted] == [n for n in range(8) for _ in cost]
    orders = [tuple(name for name, _ in counted[3 * n : 3 * n + 3]) for n in range(8)]
    assert all(set(order) == set(cost) for order in orders) and len(set(orders)) > 2
    found = stations.speeds(taken)
    assert found["half"].ratio == 0.5 and found["whole"].ratio == 1.0
    assert found["odd"].p50 == 4.5 and found["odd"].p95 == pytest.approx(7.65)


def test_ratios_are_of_the_same_example():
    """A machine that is ten times slower for half of the examples changes no ratio."""
    slow = torch.tensor([1.0, 1, 1, 10, 10, 10, 10], dtype=torch.float64)
    found = stations.speeds({"first": 2 * slow, "second": slow * torch.tensor([1.0, 1, 1, 1, 1, 1, 0.1])})
    assert math.isclose(found["second"].ratio, 0.5)


def test_memory_is_that_of_the_process_alone():
    held = torch.ones(100_000_000, dtype=torch.int8)  # of this process; the other must not count it
    assert held.sum() == 100_000_000
    little = stations.peak_memory("pass")
    much = stations.peak_memory("import sys; held = bytearray(int(sys.argv[1])); print(7)", "200000000")
    assert little < 60e6 and 199e6 < much - little < 215e6


def test_code_that_fails_is_said():
    with pytest.raises(RuntimeError, match="no such thing"):
        stations.peak_memory("raise SystemExit('no such thing')")
