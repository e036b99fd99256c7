"""Gymnasium's HalfCheetah in other bodies, and augmented random search for what drives it.

A policy is a matrix that turns features into the torques of the six motors. Its width says which features:
17 numbers that the robot senses, or 3 of a clock alone, which is an open-loop gait. An episode lasts five
seconds. The chapter on robots writes out the search for one policy.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import mujoco

MOTORS = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
SENSES, CLOCK = 17, 3  # features of the two kinds of policy
STEPS, FRAMES, SECONDS = 100, 5, 0.05  # steps of an episode; frames and seconds of a step
HERTZ = 4.0  # steps of the open-loop gait
WEIGHT = 14.0  # kilograms of the usual robot
EFFORT_COST = 0.1  # Gymnasium's price of a squared torque
_SCALE = np.repeat([1.0, 0.1], [8, 9])  # of positions and of speeds, so that neither drowns the other


@dataclass(frozen=True)
class Body:
    """A robot's body and ground, told by how it differs from Gymnasium's HalfCheetah.

    Attributes:
        friction: factor of the friction.
        load: factor of the torso's mass, as if it carried something.
        shins: factor of the length of both lower legs; the whole robot weighs what it did.
        reversed: how many of the six motors are wired the wrong way round, from the front foot backwards.

    Raises:
        ValueError: if a factor is not positive or there are not that many motors.
    """

    friction: float = 1.0
    load: float = 1.0
    shins: float = 1.0
    reversed: int = 0

    def __post_init__(self) -> None:
        for name in ("friction", "load", "shins"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"The factor {name} is {getattr(self, name)}; it must be positive.")
        if self.reversed not in range(len(MOTORS) + 1):
            raise ValueError(f"{self.reversed} motors are to be reversed; there are {len(MOTORS)}.")


class Run(NamedTuple):
    """What came of an episode.

    Attributes:
        distance: metres forward.
        effort: sum of the squared torques over motors and steps.
        fallen: whether the robot lay on its back at the end.
    """

    distance: float
    effort: float
    fallen: bool

    @property
    def reward(self) -> float:
        """Gymnasium's return: the sum of speeds over the steps less the price of the effort."""
        return self.distance / SECONDS - EFFORT_COST * self.effort


def build(body: Body = Body()) -> mujoco.MjModel:
    """The body as MuJoCo simulates it, from the file that Gymnasium has for HalfCheetah-v5.

    The file asks for the robot's weight by an attribute of which MuJoCo warns; the weight is set here.
    """
    from importlib.resources import files

    import gymnasium
    import mujoco

    text = (files(gymnasium) / "envs/mujoco/assets/half_cheetah.xml").read_text(encoding="utf-8")
    root = ET.fromstring(text)
    compiler = root.find("compiler")
    assert compiler is not None
    del compiler.attrib["settotalmass"]
    for shin in ("bshin", "fshin"):
        geom, foot = (root.find(f".//body[@name='{shin}']/{part}") for part in ("geom", "body"))
        assert geom is not None and foot is not None
        radius, half = geom.attrib["size"].split()
        geom.attrib["size"] = f"{radius} {float(half) * body.shins}"
        for part in (geom, foot):
            place = (float(value) * body.shins for value in part.attrib["pos"].split())
            part.attrib["pos"] = " ".join(map(str, place))
    model = mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))
    mujoco.mj_setTotalmass(model, WEIGHT)
    torso = model.body("torso").id
    model.body_mass[torso] *= body.load
    model.body_inertia[torso] *= body.load
    model.geom_friction *= body.friction
    model.actuator_gear[len(MOTORS) - body.reversed :] *= -1
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def play(model: mujoco.MjModel, policy: NDArray, start: int, path: list[NDArray] | None = None) -> Run:
    """One episode.

    Args:
        model: of `build`.
        policy: shape (6, 17) or (6, 3).
        start: number of the starting state, drawn as Gymnasium's `reset(seed=start)` draws it.
        path: if given, the nine positions after each step are appended, each of shape (9,).

    Raises:
        ValueError: if the policy has another shape.
    """
    import mujoco

    if policy.shape not in ((len(MOTORS), SENSES), (len(MOTORS), CLOCK)):
        raise ValueError(f"A policy has shape (6, {SENSES}) or (6, {CLOCK}), not {policy.shape}.")
    data, random = mujoco.MjData(model), np.random.default_rng(start)
    data.qpos[:] += random.uniform(-0.1, 0.1, model.nq)
    data.qvel[:] += 0.1 * random.standard_normal(model.nv)
    positions, speeds, controls = data.qpos, data.qvel, data.ctrl  # views, which MuJoCo writes to
    began, effort, senses = float(positions[0]), 0.0, np.empty(SENSES)
    angles = 2 * np.pi * HERTZ * SECONDS * np.arange(STEPS)
    clock = np.stack([np.sin(angles), np.cos(angles), np.ones(STEPS)], axis=1)  # (STEPS, 3)
    for step in range(STEPS):
        if policy.shape[1] == CLOCK:
            features = clock[step]
        else:
            senses[:8], senses[8:] = positions[1:], speeds
            features = senses * _SCALE
        controls[:] = torques = np.minimum(np.maximum(policy @ features, -1), 1)
        mujoco.mj_step(model, data, FRAMES)
        effort += float(torques @ torques)
        if path is not None:
            path.append(positions.copy())
    return Run(float(positions[0]) - began, effort, bool(np.cos(positions[2]) < 0))


def search(
    model: mujoco.MjModel,
    policy: NDArray,
    updates: int,
    random: np.random.Generator,
    *,
    step: float,
    noise: float,
    directions: int = 8,
    kept: int = 4,
    starts: Sequence[int] | None = None,
) -> tuple[NDArray, int]:
    r"""Augmented random search (Mania, Guy & Recht, 2018): no gradient, no network, no value function.

    Each update tries $W \pm \nu\delta$ for several random $\delta$, both signs from the same start, keeps the
    directions with the best of both rewards, and moves by $\frac{\alpha}{b\sigma}\sum (r_+ - r_-)\,\delta$
    with $\sigma$ the standard deviation of the kept rewards.

    Args:
        model: of `build`.
        policy: where the search starts; it is not changed.
        updates: how often the policy is moved, after `2 * directions` episodes each.
        random: draws directions and starts, and goes on where it was if it is used again.
        step: $\alpha$.
        noise: $\nu$.
        directions: how many are tried in an update.
        kept: $b$, how many count.
        starts: starting states to draw from; by default new ones each time, from 0 to 2**31 - 1.

    Returns:
        The policy, and in how many of the episodes the robot lay on its back at the end.

    Raises:
        ValueError: if a number is too small or more directions are kept than tried.
    """
    if updates < 0 or not 1 <= kept <= directions or min(step, noise) <= 0:
        raise ValueError(
            "A search needs updates >= 0, 1 <= kept <= directions and positive step and noise; got "
            f"{updates}, {kept} of {directions}, {step} and {noise}."
        )
    policy, fallen = np.array(policy, dtype=float), 0
    for _ in range(updates):
        moves = random.standard_normal((directions, *policy.shape))
        rewards = np.empty((directions, 2))
        for move, pair in zip(moves, rewards, strict=True):
            start = int(random.integers(2**31) if starts is None else random.choice(starts))
            for column, sign in enumerate((1, -1)):
                run = play(model, policy + sign * noise * move, start)
                pair[column] = run.reward
                fallen += run.fallen
        best = np.argsort(-rewards.max(axis=1), kind="stable")[:kept]
        gains = rewards[best, 0] - rewards[best, 1]
        policy += step / (kept * (rewards[best].std() + 1e-6)) * np.tensordot(gains, moves[best], axes=1)
    return policy, fallen
