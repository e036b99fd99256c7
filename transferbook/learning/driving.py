"""Four roads of highway-env for a program that has the pedals, not the wheel; rules, and a network for risk.

On every road the program senses the same 21 numbers and has the same three actions, twice a second: `SLOWER`,
`KEEP` or `FASTER` by one of the road's five speeds. Steering and lane follow the simulator's own controller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from highway_env.envs.common.abstract import AbstractEnv

SLOWER, KEEP, FASTER = range(3)
STEP = 0.5  # seconds between two actions
NEAREST = 5  # other vehicles that are sensed
SENSES = 1 + 4 * NEAREST
FAR = (100.0, 0.0, 0.0, 0.0)  # what is sensed for a vehicle that is not there
CLOSE = 7.0, 3.0  # metres between two middles, along the car and across, that count as a crash in `foresee`
CHANGE = 4.0  # m/s that an action is taken for in `risk_inputs`

HABITS = {"DISTANCE_WANTED": 10.0, "COMFORT_ACC_MAX": 3.0, "COMFORT_ACC_MIN": -5.0}  # of the other drivers

WIDTHS = {"senses": SENSES + 3, "foresight": 8}  # of the inputs of `risk_inputs`

Policy = Callable[[NDArray], int]


@dataclass(frozen=True)
class Road:
    """A road and its traffic.

    Attributes:
        name: of the environment in highway-env.
        limit: the highest speed the program may drive, in m/s; the others are a quarter, a half and three
            quarters of it, and 0.
        seconds: the longest an episode lasts.
        settings: of the environment, where they are not highway-env's.
    """

    name: str
    limit: float
    seconds: float
    settings: tuple[tuple[str, Any], ...] = ()


ROADS = {
    "highway": Road("HighwayEnv", 30.0, 12.0, (("lanes_count", 2), ("vehicles_count", 6))),
    "merge": Road("MergeEnv", 30.0, 12.0),
    "roundabout": Road("RoundaboutEnv", 16.0, 12.0),
    "intersection": Road("IntersectionEnv", 10.0, 12.0, (("initial_vehicle_count", 4),)),
}


@dataclass(frozen=True)
class Trip:
    """What came of an episode of T actions.

    Attributes:
        senses: what was sensed before each action, shape (T, 21).
        actions: shape (T,).
        metres: driven.
        seconds: until the crash or the end.
        crashed: whether it ended in a crash.
        impact: speed of the program's car before the action in which it crashed, in m/s; 0 without a crash.
    """

    senses: NDArray
    actions: NDArray
    metres: float
    seconds: float
    crashed: bool
    impact: float


def build(road: str) -> AbstractEnv:
    """The environment of one of `ROADS`, simulated four times a second.

    Raises:
        ValueError: if there is no such road.
    """
    from highway_env import envs

    if road not in ROADS:
        raise ValueError(f'There is no road "{road}"; the roads are {", ".join(ROADS)}.')
    known = ROADS[road]
    speeds = [share * known.limit for share in (0, 0.25, 0.5, 0.75, 1)]
    action = {"type": "DiscreteMetaAction", "longitudinal": True, "lateral": False, "target_speeds": speeds}
    settings = {
        "observation": {
            "type": "AttributesObservation",
            "attributes": [],
        },  # `sense` looks instead: it is faster
        "action": action,
        "simulation_frequency": 4,
        "policy_frequency": 2,
        "duration": known.seconds,
    }
    return getattr(envs, known.name)(settings | dict(known.settings))


def sense(env: AbstractEnv) -> NDArray:
    """The car's speed and, for each of the nearest vehicles, metres ahead and to the left, and their change.

    Places and speeds are relative to the car and its heading, so that a curve looks like a straight road.

    Returns:
        Shape (21,), nearest first, m and m/s; `FAR` for those that are not there.
    """
    own = env.vehicle
    others = [other for other in (*env.road.vehicles, *env.road.objects) if other is not own]
    seen = np.tile(np.array(FAR), (NEAREST, 1))
    if others:
        places = np.array([other.position for other in others]) - own.position
        speeds = np.array([other.velocity if hasattr(other, "velocity") else (0.0, 0.0) for other in others])
        near = np.argsort((places**2).sum(axis=1), kind="stable")[:NEAREST]
        ahead = np.array([np.cos(own.heading), np.sin(own.heading)])
        turn = np.stack([ahead, [ahead[1], -ahead[0]]], axis=1)  # y points to the right in highway-env
        seen[: len(near), :2] = places[near] @ turn
        seen[: len(near), 2:] = (speeds[near] - own.velocity) @ turn
    return np.concatenate([[own.speed], seen.ravel()])


def drive(env: AbstractEnv, policy: Policy, start: int) -> Trip:
    """One episode.

    Args:
        env: of `build`.
        policy: turns what is sensed, shape (21,), into an action.
        start: number of the traffic; the same number is the same traffic until the actions differ.
    """
    from highway_env.vehicle.behavior import IDMVehicle

    for habit, value in HABITS.items():  # highway-env's intersection changes them for every road that follows
        setattr(IDMVehicle, habit, value)
    env.reset(seed=start)
    senses, actions, metres, over = [], [], 0.0, False
    while not over:
        senses.append(sense(env))
        actions.append(int(policy(senses[-1])))
        before = env.vehicle.position.copy()
        *_, ended, _, _ = env.step(actions[-1])
        metres += float(np.linalg.norm(env.vehicle.position - before))
        over = ended or env.time >= env.config["duration"]
    crashed = bool(env.vehicle.crashed)
    impact = float(senses[-1][0]) if crashed else 0.0
    return Trip(np.array(senses), np.array(actions), metres, float(env.time), crashed, impact)


def foresee(senses: NDArray, faster_by: NDArray) -> tuple[NDArray, NDArray]:
    """What comes if everybody goes straight on, the car at a changed speed: when it meets another, how close.

    Args:
        senses: shape (N, 21).
        faster_by: change of the car's own speed, in m/s, shape (N,); it does not get below 0.

    Returns:
        Seconds, shape (N,): the first quarter of a second of the next ten at which two middles are closer
        than `CLOSE` metres along the car and across it; infinity if there is none. And shape (N,): the
        smallest distance of the next three seconds, in units of `CLOSE`, so that below 1 is a crash.
    """
    others = senses[:, 1:].reshape(-1, NEAREST, 4, 1)
    change = np.maximum(faster_by, -senses[:, 0])[:, None, None]
    times = np.arange(1, 41) / 4
    ahead = np.abs(others[:, :, 0] + times * (others[:, :, 2] - change)) / CLOSE[0]
    left = np.abs(others[:, :, 1] + times * others[:, :, 3]) / CLOSE[1]
    gaps = np.maximum(ahead, left).min(axis=1)  # (N, 40)
    meets = gaps < 1
    seconds = np.where(meets.any(axis=1), times[meets.argmax(axis=1)], np.inf)
    return seconds, gaps[:, :12].min(axis=1)


def collision_time(senses: NDArray) -> float:
    """Seconds until the car meets another, by `foresee`, at its own speed; `senses` has shape (21,)."""
    return float(foresee(senses[None], np.zeros(1))[0][0])


def rule(seconds: float) -> Policy:
    """The policy that slows down while `collision_time` is below `seconds`, and speeds up otherwise."""
    return lambda senses: SLOWER if collision_time(senses) < seconds else FASTER


def dithering(seconds: float, random: np.random.Generator) -> Policy:
    """`rule`, but half of the actions are drawn by lot: a driver whose log shows what leads to a crash."""
    by_rule = rule(seconds)
    return lambda senses: int(random.integers(3)) if random.random() < 0.5 else by_rule(senses)


def rows(trips: Sequence[Trip], kind: str, horizon: float = 3.0) -> tuple[NDArray, NDArray]:
    """What a network for risk learns from: what was sensed and done, and whether a crash followed.

    Args:
        trips: of `drive`.
        kind: of the inputs, see `risk_inputs`.
        horizon: how soon after an action a crash counts, in seconds.

    Returns:
        The inputs of `risk_inputs`, shape (N, D); and float32 of shape (N,), 1 where the crash came within
        the horizon. N counts the actions of all trips.

    Raises:
        ValueError: if there is no trip.
    """
    if not trips:
        raise ValueError("There is no trip to learn from.")
    inputs = [risk_inputs(trip.senses, trip.actions, kind) for trip in trips]
    soon = round(horizon / STEP)
    labels = [trip.crashed * (np.arange(len(trip.actions))[::-1] < soon).astype(np.float32) for trip in trips]
    return np.concatenate(inputs), np.concatenate(labels).astype(np.float32)


def risk_inputs(senses: NDArray, actions: NDArray, kind: str) -> NDArray:
    """The inputs of a network for risk, in units of about one.

    Args:
        senses: shape (N, 21).
        actions: shape (N,).
        kind: "senses", the 21 numbers as they are, or "foresight": the speed, and by `foresee` the time and
            the gap at this speed, and with the action's change of speed.

    Returns:
        Float32 of shape (N, 24) or (N, 8); the last three are indicators of the action.

    Raises:
        ValueError: if the kind is another.
    """
    if kind == "senses":
        scale = np.concatenate([[1 / 15], np.tile([1 / 30, 1 / 10, 1 / 15, 1 / 15], NEAREST)])
        scaled = np.clip(senses * scale, -3, 3)
    elif kind == "foresight":
        parts = [senses[:, 0] / 15]
        for change in (np.zeros(len(actions)), CHANGE * (actions - KEEP)):
            seconds, gaps = foresee(senses, change)
            parts += [np.minimum(seconds, 10) / 10, np.minimum(gaps, 5) / 5]
        scaled = np.stack(parts, axis=1)
    else:
        raise ValueError(f'The inputs are "senses" or "foresight", not "{kind}".')
    return np.concatenate([scaled, np.eye(3)[actions]], axis=1).astype(np.float32)
