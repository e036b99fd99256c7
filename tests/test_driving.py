"""Four roads: the same traffic for the same number, what is sensed and foreseen, what is learned from."""

from __future__ import annotations

import numpy as np
import pytest

from transferbook.learning import driving
from transferbook.learning.driving import FASTER, KEEP, SLOWER


@pytest.fixture(scope="module")
def merge():
    return driving.build("merge")


def nobody() -> np.ndarray:
    return np.concatenate([[10.0], np.tile(driving.FAR, driving.NEAREST)])


def met(ahead: float, left: float, closing: float, crossing: float = 0.0) -> np.ndarray:
    senses = nobody()
    senses[1:5] = ahead, left, -closing, crossing
    return senses


def trip(actions: int, crashed: bool) -> driving.Trip:
    senses = np.tile(nobody(), (actions, 1))
    return driving.Trip(senses, np.full(actions, FASTER), 1.0, actions / 2, crashed, 0.0)


@pytest.mark.parametrize("road", driving.ROADS)
def test_the_number_of_the_traffic_tells_all(road):
    env = driving.build(road)
    first, other, again = (driving.drive(env, lambda senses: KEEP, start) for start in (3, 4, 3))
    np.testing.assert_array_equal(first.senses, again.senses)
    assert (first.metres, first.crashed) == (again.metres, again.crashed)
    assert first.senses.shape[1] == driving.SENSES
    assert not np.array_equal(first.senses[0], other.senses[0])


def test_one_road_leaves_the_others_as_they_were(merge):
    before = driving.drive(merge, lambda senses: SLOWER, 5)
    driving.drive(driving.build("intersection"), lambda senses: SLOWER, 0)
    np.testing.assert_array_equal(driving.drive(merge, lambda senses: SLOWER, 5).senses, before.senses)


def test_habits_are_those_of_highway_env():
    import subprocess
    import sys

    ask = "from highway_env.vehicle.behavior import IDMVehicle as V; print({n: getattr(V, n) for n in %r})"
    asked = [sys.executable, "-c", ask % list(driving.HABITS)]
    told = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert told.stdout.strip().splitlines()[-1] == str(driving.HABITS)


def test_the_pedals_work_and_the_limit_holds(merge):
    fast, slow = (driving.drive(merge, lambda senses, a=action: a, 1) for action in (FASTER, SLOWER))
    assert fast.senses[:, 0].max() <= 30.5
    assert slow.senses[-1, 0] < 1
    assert fast.metres / fast.seconds > slow.metres / slow.seconds


def test_a_stopped_car_stands_and_a_crash_has_a_speed(merge):
    trips = [driving.drive(merge, lambda senses: FASTER, start) for start in range(8)]
    assert any(trip.crashed for trip in trips)
    for one in trips:
        assert one.impact == (one.senses[-1, 0] if one.crashed else 0)
        assert len(one.actions) == round(one.seconds / driving.STEP)


def test_what_is_sensed_turns_with_the_car(merge):
    merge.reset(seed=0)
    straight = driving.sense(merge)
    own = merge.vehicle
    other = min(
        (v for v in merge.road.vehicles if v is not own), key=lambda v: np.hypot(*(v.position - own.position))
    )
    apart = other.position - own.position
    assert straight[0] == own.speed
    np.testing.assert_allclose(straight[1:3], [apart[0], -apart[1]])  # heads along x; y points to the right
    np.testing.assert_allclose(straight[3], other.velocity[0] - own.speed)
    own.heading = np.pi / 2  # to the right
    np.testing.assert_allclose(driving.sense(merge)[1:3], [apart[1], apart[0]], atol=1e-9)


def test_vehicles_that_are_not_there_are_far(merge):
    merge.reset(seed=0)
    merge.road.vehicles = [merge.vehicle]
    merge.road.objects = []
    np.testing.assert_array_equal(driving.sense(merge)[1:], np.tile(driving.FAR, driving.NEAREST))


def test_collision_time_is_distance_by_speed():
    assert driving.collision_time(nobody()) == np.inf
    assert driving.collision_time(met(37.0, 0.0, 10.0)) == pytest.approx(3.25)  # 30 metres until 7 are left
    assert driving.collision_time(met(37.0, 4.0, 10.0)) == np.inf
    assert driving.collision_time(met(0.0, 20.0, 0.0, -5.0)) == pytest.approx(3.5)
    assert driving.rule(3.0)(met(37.0, 0.0, 10.0)) == FASTER
    assert driving.rule(4.0)(met(37.0, 0.0, 10.0)) == SLOWER


def test_half_of_the_actions_are_by_lot():
    policy = driving.dithering(3.0, np.random.default_rng(0))
    actions = [policy(nobody()) for _ in range(3000)]
    assert np.bincount(actions) / 3000 == pytest.approx([1 / 6, 1 / 6, 2 / 3], abs=0.04)


def test_only_what_came_soon_before_a_crash_is_dangerous():
    inputs, labels = driving.rows([trip(10, True), trip(4, True), trip(5, False)], "senses")
    assert inputs.shape == (19, 24)
    assert labels.tolist() == [0] * 4 + [1] * 6 + [1] * 4 + [0] * 5
    assert inputs.dtype == labels.dtype == np.float32
    np.testing.assert_array_equal(inputs[:, -3:], np.tile([0, 0, 1], (19, 1)))
    assert np.abs(inputs).max() <= 3


def test_foresight_is_of_the_speed_that_an_action_makes():
    senses = np.stack([met(37.0, 0.0, 10.0)] * 3)
    inputs = driving.risk_inputs(senses, np.array([SLOWER, KEEP, FASTER]), "foresight")
    assert inputs.shape == (3, 8)
    np.testing.assert_allclose(inputs[:, 1], 0.325)  # at this speed 3.25 seconds, whatever is done
    np.testing.assert_allclose(inputs[:, 3], [0.525, 0.325, 0.225])  # at 6, 10 and 14 m/s
    np.testing.assert_allclose(inputs[:, 4], np.array([19, 7, 1.5]) / 7 / 5, rtol=1e-5)  # the smallest gap
    np.testing.assert_array_equal(inputs[:, -3:], np.eye(3))
    for kind, width in driving.WIDTHS.items():
        assert driving.risk_inputs(senses, np.zeros(3, dtype=int), kind).shape == (3, width)


def test_a_car_that_stands_cannot_be_slower():
    senses = met(37.0, 0.0, 10.0)
    senses[0] = 0.0
    seconds, _ = driving.foresee(senses[None], np.array([-4.0]))
    assert seconds[0] == driving.collision_time(senses)


def test_an_unknown_road_and_no_trip_are_refused():
    with pytest.raises(ValueError, match='There is no road "moon"; the roads are highway, merge,'):
        driving.build("moon")
    with pytest.raises(ValueError, match=r"no trip to learn from\."):
        driving.rows([], "senses")
    with pytest.raises(ValueError, match='"senses" or "foresight", not "eyes"'):
        driving.risk_inputs(np.zeros((1, 21)), np.zeros(1, dtype=int), "eyes")
