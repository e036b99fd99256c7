"""Does what a robot learned in one body help it in another? (case study: robots)

Policies that sense the body are searched for from nothing and from a source, which the same search found in
the usual body; policies that see a clock alone, from nothing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transferbook.learning import robots

SEEDS = range(10)
TUNING_SEEDS = range(100, 103)
NOISES = (0.1, 0.2, 0.4)  # the search's noise; its step is half of that
SOURCE_NOISE, SOURCE_UPDATES = 0.2, 30  # of 16 episodes each
HALF = 6  # updates in the other body until the first look, and again until the last
LOOKS = 10  # starts of a look
USUAL = robots.Body()
TUNING_BODIES = (robots.Body(friction=0.3), robots.Body(reversed=2))
BODIES = (
    *(robots.Body(friction=factor) for factor in (0.5, 0.2, 0.05)),
    robots.Body(load=4.0),
    *(robots.Body(reversed=motors) for motors in (1, 3, 6)),
)
WIDTHS = {"senses": robots.SENSES, "clock": robots.CLOCK}
ARMS = (("senses", "nothing"), ("senses", "source"), ("clock", "nothing"))
CHOSEN: dict = {"senses, nothing": 0.2, "senses, source": 0.2, "clock, nothing": 0.2}


@dataclass(frozen=True)
class Config:
    """One way to a policy in one body.

    Attributes:
        policy: what it sees, "senses" or "clock".
        start: where the search starts: "nothing" or "source".
        starts: "new" for each pair of episodes, or "one" for all of them.
        noise: of the search.
        friction, load, shins, reversed: of the `robots.Body`.
        updates: of the search.
        look: "test" starts or "validation" starts.
    """

    policy: str
    start: str
    starts: str
    noise: float
    friction: float
    load: float
    shins: float
    reversed: int
    updates: int
    look: str = "test"


def config(
    policy: str, start: str, noise: float, body: robots.Body, updates: int = 2 * HALF, **more: str
) -> Config:
    """The config of an arm in a body."""
    of_body = (body.friction, body.load, body.shins, body.reversed)
    return Config(policy, start, more.pop("starts", "new"), noise, *of_body, updates, **more)


def grid() -> list[tuple[Config, int]]:
    """The tuning rows; once they have chosen, every arm in every body, and the usual body with one start."""
    rows = [
        (config(*arm, noise, body, look="validation"), seed)
        for arm in ARMS
        for noise in NOISES
        for body in TUNING_BODIES
        for seed in TUNING_SEEDS
    ]
    if not CHOSEN:
        return rows
    rows += [
        (config(*arm, CHOSEN[", ".join(arm)], body), seed)
        for arm in ARMS
        for body in BODIES
        for seed in SEEDS
    ]
    usual = functools.partial(config, "senses", "nothing", SOURCE_NOISE, USUAL)
    return rows + [(usual(starts=starts), seed) for starts in ("new", "one") for seed in SEEDS]


def smallest() -> list[tuple[Config, int]]:
    """Two seeds of the search from nothing and from the source on a little less friction."""
    return [
        (row, seed)
        for row, seed in grid()
        if row.policy == "senses" and row.friction == 0.5 and seed in list(SEEDS)[:2]
    ]


def chosen(rows: pd.DataFrame) -> dict[str, float]:
    """For each arm the noise with the best mean reward over tuning bodies and seeds."""
    tuning = rows[rows["look"] == "validation"]
    found = {}
    for arm in ARMS:
        of_arm = tuning[(tuning["policy"] == arm[0]) & (tuning["start"] == arm[1])]
        found[", ".join(arm)] = float(of_arm.groupby("noise")["reward"].mean().idxmax())
    return found


def run(config: Config, seed: int) -> dict[str, float]:
    """Search, and look before, halfway and after: at `LOOKS` starts that no search can have drawn.

    `falls` is the share of the search's episodes that ended on the back, `fallen` that of the last look;
    `seen` is the distance from the one start of all episodes, and 0 if there are many.
    """
    model = robots.build(robots.Body(config.friction, config.load, config.shins, config.reversed))
    first = (2**31 if config.look == "test" else 2**32) + LOOKS * seed
    random = np.random.default_rng([seed, 1])
    starts = [seed] if config.starts == "one" else None
    policy = np.zeros((len(robots.MOTORS), WIDTHS[config.policy]))
    if config.start == "source":
        policy = source(config.policy, seed)
    found, fallen = {}, 0
    half = config.updates // 2
    for when, updates in (("before", 0), ("halfway", half), ("", config.updates - half)):
        policy, more = robots.search(
            model, policy, updates, random, step=config.noise / 2, noise=config.noise, starts=starts
        )
        fallen += more
        runs = [robots.play(model, policy, first + number) for number in range(LOOKS)]
        name = f"_{when}" if when else ""
        found[f"distance{name}"] = float(np.mean([run.distance for run in runs]))
        found[f"fallen{name}"] = float(np.mean([run.fallen for run in runs]))
        found[f"reward{name}"] = float(np.mean([run.reward for run in runs]))
        found[f"effort{name}"] = float(np.mean([run.effort for run in runs]))
    found["falls"] = fallen / (16 * config.updates)
    found["seen"] = robots.play(model, policy, starts[0]).distance if starts else 0.0
    return found


@functools.cache
def source(policy: str, seed: int) -> NDArray:
    """The policy that was learned from nothing in the usual body."""
    random = np.random.default_rng([seed, 0])
    nothing = np.zeros((len(robots.MOTORS), WIDTHS[policy]))
    settings = {"step": SOURCE_NOISE / 2, "noise": SOURCE_NOISE}
    return robots.search(robots.build(USUAL), nothing, SOURCE_UPDATES, random, **settings)[0]
