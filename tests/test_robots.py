"""Robots in other bodies: the usual one is Gymnasium's, the others differ as they say, the search learns."""

from __future__ import annotations

import numpy as np
import pytest

from transferbook.learning import robots
from transferbook.learning.robots import Body


@pytest.fixture(scope="module")
def usual():
    return robots.build()


def some_policy(width: int = robots.SENSES) -> np.ndarray:
    return 0.5 * np.random.default_rng(3).standard_normal((6, width))


def test_an_episode_in_the_usual_body_is_gymnasiums(usual, tmp_path, monkeypatch):
    import gymnasium as gym

    monkeypatch.chdir(tmp_path)  # where MuJoCo leaves its warning of an attribute in Gymnasium's file
    env = gym.make("HalfCheetah-v5").unwrapped
    policy = some_policy()
    seen, _ = env.reset(seed=5)
    total = 0.0
    for _ in range(robots.STEPS):
        scaled = np.concatenate([seen[:8], 0.1 * seen[8:]])
        seen, reward, *_, told = env.step(np.clip(policy @ scaled, -1, 1))
        total += reward
    run = robots.play(usual, policy, 5)
    assert run.reward == pytest.approx(total, abs=1e-6)
    assert run.fallen == (np.cos(env.data.qpos[2]) < 0)
    assert run.distance == pytest.approx(told["x_position"] - env.init_qpos[0], abs=0.11)


def test_building_warns_of_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    robots.build(Body(shins=1.2))
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_bodies_differ_as_they_say(usual):
    assert usual.body_mass.sum() == pytest.approx(14)
    slippery = robots.build(Body(friction=0.2))
    np.testing.assert_allclose(slippery.geom_friction, 0.2 * usual.geom_friction)
    loaded, torso = robots.build(Body(load=4)), usual.body("torso").id
    assert loaded.body_mass[torso] == pytest.approx(4 * usual.body_mass[torso])
    np.testing.assert_allclose(loaded.body_inertia[torso], 4 * usual.body_inertia[torso])
    assert np.delete(loaded.body_mass, torso) == pytest.approx(np.delete(usual.body_mass, torso))
    np.testing.assert_array_equal(
        robots.build(Body(reversed=2)).actuator_gear[:, 0], [120, 90, 60, 120, -60, -30]
    )


def test_long_shins_put_the_feet_further_down(usual):
    long = robots.build(Body(shins=1.5))
    for foot, shin in (("bfoot", "bshin"), ("ffoot", "fshin")):
        np.testing.assert_allclose(long.body(foot).pos, 1.5 * usual.body(foot).pos)
        np.testing.assert_allclose(long.body(shin).pos, usual.body(shin).pos)
        np.testing.assert_allclose(long.geom(shin).size[:2], usual.geom(shin).size[:2] * [1, 1.5])
    assert long.body_mass.sum() == pytest.approx(14)


def test_all_motors_reversed_want_the_opposite_policy(usual):
    policy = some_policy()
    found = robots.play(robots.build(Body(reversed=6)), -policy, 1)
    assert found == robots.play(usual, policy, 1)


def test_a_clock_policy_senses_nothing(usual):
    policy, path = some_policy(robots.CLOCK), []
    run = robots.play(usual, policy, 0, path)
    assert len(path) == robots.STEPS
    assert path[0].shape == (9,)
    angles = 2 * np.pi * 4 * 0.05 * np.arange(robots.STEPS)
    torques = np.clip(policy @ np.stack([np.sin(angles), np.cos(angles), np.ones_like(angles)]), -1, 1)
    assert run.effort == pytest.approx((torques**2).sum())
    assert robots.play(usual, policy, 1).effort == pytest.approx(run.effort)


def test_starts_are_numbered(usual):
    policy = some_policy()
    assert robots.play(usual, policy, 7) == robots.play(usual, policy, 7)
    assert robots.play(usual, policy, 7) != robots.play(usual, policy, 8)


def test_a_robot_that_rests_goes_nowhere_and_has_not_fallen(usual):
    run = robots.play(usual, np.zeros((6, robots.SENSES)), 0)
    assert abs(run.distance) < 0.3
    assert run.effort == 0
    assert not run.fallen


def test_search_moves_as_the_formula_says(usual):
    policy, step, noise = some_policy(), 0.1, 0.2
    found, fallen = robots.search(
        usual, policy, 1, np.random.default_rng(0), step=step, noise=noise, directions=3, kept=2
    )
    random = np.random.default_rng(0)
    moves = random.standard_normal((3, 6, 17))
    starts = [int(random.integers(2**31)) for _ in range(3)]
    pairs = [
        [robots.play(usual, policy + sign * noise * move, start) for sign in (1, -1)]
        for move, start in zip(moves, starts, strict=True)
    ]
    rewards = np.array([[run.reward for run in pair] for pair in pairs])
    kept = sorted(range(3), key=lambda k: -rewards[k].max())[:2]
    push = sum((rewards[k, 0] - rewards[k, 1]) * moves[k] for k in kept)
    expected = policy + step / (2 * (rewards[kept].std() + 1e-6)) * push
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert fallen == sum(run.fallen for pair in pairs for run in pair)
    np.testing.assert_array_equal(policy, some_policy())


def test_search_goes_on_where_it_was(usual):
    settings = {"step": 0.1, "noise": 0.2, "directions": 2, "kept": 1}
    nothing = np.zeros((6, robots.CLOCK))
    whole, fell = robots.search(usual, nothing, 3, np.random.default_rng(1), **settings)
    random = np.random.default_rng(1)
    part, some = robots.search(usual, nothing, 1, random, **settings)
    part, more = robots.search(usual, part, 2, random, **settings)
    np.testing.assert_array_equal(part, whole)
    assert some + more == fell


def test_search_uses_the_starts_it_is_given(usual, monkeypatch):
    seen = []
    monkeypatch.setattr(
        robots, "play", lambda model, policy, start: seen.append(start) or robots.Run(0, 0, True)
    )
    settings = {"step": 0.1, "noise": 0.2}
    _, fallen = robots.search(usual, np.zeros((6, 3)), 2, np.random.default_rng(0), starts=[4, 9], **settings)
    assert set(seen) == {4, 9}
    assert seen[0::2] == seen[1::2]  # both signs from the same start
    assert fallen == len(seen) == 2 * 16


def test_search_learns_to_run(usual):
    policy, _ = robots.search(
        usual, np.zeros((6, robots.CLOCK)), 6, np.random.default_rng(0), step=0.1, noise=0.2
    )
    assert robots.play(usual, policy, 2**31).distance > 1.5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"friction": 0.0}, r"friction is 0.0; it must be positive\."),
        ({"load": -1.0}, "load is -1.0"),
        ({"shins": np.inf}, "shins is inf"),
        ({"reversed": 7}, r"7 motors are to be reversed; there are 6\."),
    ],
)
def test_a_body_that_cannot_be_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        Body(**given)


def test_bad_searches_and_policies_are_refused(usual):
    with pytest.raises(ValueError, match=r"shape \(6, 17\) or \(6, 3\), not \(6, 4\)"):
        robots.play(usual, np.zeros((6, 4)), 0)
    for wrong in ({"noise": 0.0}, {"kept": 9}, {"kept": 0}):
        with pytest.raises(ValueError, match="A search needs"):
            robots.search(
                usual, some_policy(), 1, np.random.default_rng(0), **({"step": 0.1, "noise": 0.2} | wrong)
            )
