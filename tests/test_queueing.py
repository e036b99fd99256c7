"""Waiting lines: formulas against simulation, and simulations that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from transferbook.evidence import queueing


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_the_mean_wait_is_that_of_the_formula(load):
    means = []
    for seed in range(20):
        line = queueing.simulate(queueing.arrivals(load, 4_000, seed), lambda _: 1.0)
        means.append(line.waits[400:].mean())
    error = 3 * np.std(means, ddof=1) / np.sqrt(20)
    assert abs(np.mean(means) - queueing.deterministic_wait(load, 1.0)) < error
    assert queueing.random_wait(load, 1.0) == pytest.approx(2 * queueing.deterministic_wait(load, 1.0))


def test_seconds_scale_with_the_service():
    assert queueing.deterministic_wait(0.5, 1.0) == pytest.approx(0.5)
    assert queueing.deterministic_wait(50, 0.01) == pytest.approx(0.005)
    for rate, service in [(1, 1), (2, 1), (0, 1), (1, 0)]:
        with pytest.raises(ValueError, match="their product, the load, below 1"):
            queueing.deterministic_wait(rate, service)


def test_arrivals_have_their_rate():
    came = queueing.arrivals(20.0, 50_000, seed=0)
    assert (np.diff(came) > 0).all() and 50_000 / came[-1] == pytest.approx(20, rel=0.02)
    assert np.diff(came).std() == pytest.approx(1 / 20, rel=0.03)


def test_one_at_a_time_by_hand():
    line = queueing.simulate(np.array([0.0, 1.0, 5.0]), lambda _: 3.0)
    assert line.began.tolist() == [0, 3, 6] and line.done.tolist() == [3, 6, 9]
    assert line.waits.tolist() == [0, 2, 1] and line.seconds.tolist() == [3, 5, 4]
    assert line.batch.tolist() == [1, 1, 1]


def test_batches_take_what_is_in_line():
    came = np.array([0.0, 0.5, 1.0, 1.5, 1.6, 9.0])
    line = queueing.simulate(came, lambda size: 1.0 + 0.5 * size, most=3)
    assert line.batch.tolist() == [1, 3, 3, 3, 1, 1]
    assert line.began.tolist() == [0, 1.5, 1.5, 1.5, 4, 9] and line.done[3] == 4


def test_a_window_waits_for_more_unless_the_batch_is_full():
    came = np.array([0.0, 1.0, 1.9, 2.1, 10.0, 10.5, 10.6])
    line = queueing.simulate(came, lambda _: 1.0, most=3, window=2.0)
    assert line.batch.tolist() == [3, 3, 3, 1, 3, 3, 3]
    assert line.began.tolist() == [1.9, 1.9, 1.9, 4.9, 10.6, 10.6, 10.6]  # 2.1 waits from 2.9 to 4.9
    alone = queueing.simulate(np.array([3.0]), lambda _: 1.0, most=3, window=2.0)
    assert alone.began.tolist() == [5.0]


def test_one_more_than_there_are_places_is_turned_away():
    came = np.array([0.0, 0.1, 0.2, 0.3, 1.05, 1.06])
    line = queueing.simulate(came, lambda _: 1.0, places=2)
    assert line.served.tolist() == [True, True, False, False, True, False]
    assert line.done[[0, 1, 4]].tolist() == [1, 2, 3] and np.isinf(line.done[2])
    assert len(line.waits) == 3


def test_without_a_bound_the_line_grows_and_with_one_it_does_not():
    came = queueing.arrivals(1.25, 2_000, seed=3)
    free, bound = (queueing.simulate(came, lambda _: 1.0, places=places) for places in (None, 8))
    assert free.served.all() and free.waits[-100:].mean() > 5 * free.waits[:200].mean()
    assert bound.waits.max() <= 7 and 0.15 < 1 - bound.served.mean() < 0.3
