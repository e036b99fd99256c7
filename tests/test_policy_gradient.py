"""Policies trained by REINFORCE: many at once do what each would do alone, one episode after another."""

from __future__ import annotations

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch

from transferbook.learning import policy_gradient as pg

RUNS, EPISODES = 3, 5


def played(swapped: bool = False, seed: int = 4):
    """Policies, their weights, their carts as they were before the first step, and the batch they play."""
    policies = pg.new_policies(RUNS, seed)
    weights = pg.stack_policies(policies)
    env = pg.cart_poles(RUNS * EPISODES)
    env.reset(seed=seed)
    ahead = copy.deepcopy(env)
    ahead.reset()
    batch = pg.play_episodes(weights, env, np.random.default_rng(seed), swapped)
    return policies, weights, ahead.unwrapped.state, batch


def lengths(alive: torch.Tensor) -> torch.Tensor:
    return alive.sum(dim=2)


def plain_loss(policy, episodes):
    """The loss of one policy, term by term: episodes are pairs of states (T, 4) and actions (T,)."""
    steps = [len(actions) for _, actions in episodes]
    total = 0.0
    for states, actions in episodes:
        log_p = policy(states).log_softmax(dim=1)
        for t, action in enumerate(actions):
            usual = sum(max(length - t, 0) for length in steps) / len(steps)
            total = total - (len(actions) - t - usual) * log_p[t, action]
    return total / sum(steps)


def test_stacked_policies_answer_as_each_alone():
    policies = pg.new_policies(RUNS, 7)
    states = torch.randn(RUNS, 6, 4, generator=torch.Generator().manual_seed(0))
    alone = torch.stack([policy(rows) for policy, rows in zip(policies, states, strict=True)])
    weights = pg.stack_policies(policies)
    together = pg.policy_logits(weights, states.to(weights["0.weight"].device)).cpu()
    assert together.shape == (RUNS, 6, 2) and alone.std() > 0.1
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_each_policy_has_a_seed_of_its_own():
    first, second = pg.new_policies(2, 7)
    (again,) = pg.new_policies(1, 8)
    assert torch.equal(second[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, second[0].weight)


def test_the_gradient_is_that_of_one_episode_after_another():
    policies, weights, _, (states, actions, alive) = played()
    assert len(set(lengths(alive).flatten().tolist())) > 3  # ragged
    weights = {name: value.double().requires_grad_() for name, value in weights.items()}
    pg.reinforce_loss(weights, states.double(), actions, alive).backward()
    for run, policy in enumerate(policies):
        policy.double()
        cut = [(e, length) for e, length in enumerate(lengths(alive)[run].tolist())]
        episodes = [(states[run, e, :n].double().cpu(), actions[run, e, :n].cpu()) for e, n in cut]
        plain_loss(policy, episodes).backward()
        for name, parameter in policy.named_parameters():
            assert parameter.grad.abs().max() > 1e-3
            torch.testing.assert_close(weights[name].grad[run].cpu(), parameter.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("swapped", [False, True])
def test_the_carts_side_by_side_play_the_game_of_a_single_cart(swapped):
    _, _, begin, (states, actions, alive) = played(swapped)
    env = gym.make("CartPole-v1")
    for k, length in enumerate(lengths(alive).flatten().tolist()):
        run, e = divmod(k, EPISODES)
        env.reset()
        env.unwrapped.state = tuple(begin[:, k])
        seen, over = [begin[:, k].astype(np.float32)], False
        for t in range(length):
            assert not over, f"episode {k} is over after {t} of {length} steps"
            action = int(actions[run, e, t])
            x, _, terminated, truncated, _ = env.step(1 - action if swapped else action)
            seen.append(x)
            over = terminated or truncated
        assert over and not alive[run, e, length:].any()
        expected = torch.from_numpy(np.stack(seen[:-1]))
        torch.testing.assert_close(states[run, e, :length].cpu(), expected, rtol=0, atol=1e-5)


def test_a_sure_policy_takes_the_push_it_is_sure_of():
    weights = pg.stack_policies(pg.new_policies(2, 0))
    weights["2.bias"] = torch.tensor([[50.0, -50.0], [-50.0, 50.0]], device=weights["2.bias"].device)
    env = pg.cart_poles(4)
    env.reset(seed=0)
    _, actions, alive = pg.play_episodes(weights, env, np.random.default_rng(0))
    assert (actions[0][alive[0]] == 0).all() and (actions[1][alive[1]] == 1).all()


def test_a_longer_pole_falls_later():
    world, longer = pg.cart_poles(1).unwrapped, pg.cart_poles(1, half_length=1.0).unwrapped
    assert (world.length, longer.length) == (0.5, 1.0)
    assert longer.polemass_length == pytest.approx(2 * world.polemass_length)


def test_training_raises_the_return_and_leaves_the_start_as_it_was():
    weights = pg.stack_policies(pg.new_policies(4, 0))
    before = {name: value.clone() for name, value in weights.items()}
    curve, trained = pg.train_policies(weights, 12, seed=0)
    assert curve.shape == (12, 4)
    assert (curve[-3:].mean(axis=0) > 2 * curve[:3].mean(axis=0)).sum() >= 3
    for name, value in before.items():
        assert torch.equal(weights[name], value) and not torch.equal(trained[name], value)
        assert not trained[name].requires_grad


def test_training_is_adam_on_one_batch_of_episodes_after_another():
    start = pg.stack_policies(pg.new_policies(2, 3))
    curve, trained = pg.train_policies(start, 3, 5, episodes=4, half_length=1.0, swapped=True, rate=0.1)
    weights = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimizer = torch.optim.Adam(weights.values(), lr=0.1)
    env, random = pg.cart_poles(2 * 4, half_length=1.0), np.random.default_rng([5, 1])
    env.reset(seed=5)
    for returns in curve:
        batch = pg.play_episodes(weights, env, random, swapped=True)
        np.testing.assert_allclose(returns, lengths(batch[2]).double().mean(dim=1).cpu(), rtol=1e-6)
        optimizer.zero_grad()
        pg.reinforce_loss(weights, *batch).backward()
        optimizer.step()
    for name, value in weights.items():
        torch.testing.assert_close(trained[name], value.detach(), rtol=0, atol=1e-6)


def test_the_same_seed_trains_the_same_and_another_seed_does_not():
    weights = pg.stack_policies(pg.new_policies(2, 3))
    one, again, other = (pg.train_policies(weights, 4, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_bad_input_is_named():
    weights = pg.stack_policies(pg.new_policies(2, 0))
    with pytest.raises(ValueError, match="number of policies is 0"):
        pg.new_policies(0, 0)
    with pytest.raises(ValueError, match="5 carts cannot be shared out equally among 2 policies"):
        pg.play_episodes(weights, pg.cart_poles(5), np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"\(2, 3, 7, 4\), \(2, 3, 7\), \(2, 3, 6\)"):
        pg.reinforce_loss(weights, torch.ones(2, 3, 7, 4), torch.ones(2, 3, 7).long(), torch.ones(2, 3, 6))
    with pytest.raises(ValueError, match="got 0 and 8"):
        pg.train_policies(weights, 0, seed=0)
    with pytest.raises(ValueError, match="got 5 and 1"):
        pg.train_policies(weights, 5, seed=0, episodes=1)
