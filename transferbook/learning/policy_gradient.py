"""REINFORCE on CartPole for many policies at once: each one's weights are a slice of a stacked network.

The chapter on policy gradients writes the same out for one policy and one episode after another. Here R runs
play E episodes each, all side by side in one vectorised environment; arrays are (R, E, T) with T the length
of the longest episode, and a mask says which steps were played before an episode's end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import stack_module_state
from torch.nn import functional as F

from transferbook import runtime

HIDDEN = 32


def new_policies(count: int, seed: int) -> list[nn.Module]:
    """Fresh networks from the four numbers of a state to two logits, the k-th drawn with `seed + k`."""
    if count < 1:
        raise ValueError(f"The number of policies is {count}; it must be at least 1.")
    policies: list[nn.Module] = []
    for run in range(count):
        runtime.seed_everything(seed + run)
        policies.append(nn.Sequential(nn.Linear(4, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2)))
    return policies


def stack_policies(policies: list[nn.Module]) -> dict[str, Tensor]:
    """The weights of R networks of `new_policies` as one copy on the device, each of shape (R, ...)."""
    weights = stack_module_state(policies)[0]
    return {name: value.detach().to(runtime.device()) for name, value in weights.items()}


def policy_logits(weights: dict[str, Tensor], states: Tensor) -> Tensor:
    """The logits of R stacked policies.

    Args:
        weights: as `stack_policies` gives them.
        states: shape (R, B, 4), B states for each policy.

    Returns:
        Shape (R, B, 2).
    """
    hidden = torch.baddbmm(weights["0.bias"][:, None], states, weights["0.weight"].mT).tanh()
    return torch.baddbmm(weights["2.bias"][:, None], hidden, weights["2.weight"].mT)


def cart_poles(count: int, half_length: float = 0.5) -> Any:
    """So many carts side by side in one vectorised environment of Gymnasium, to be seeded by its `reset`.

    Args:
        count: number of carts.
        half_length: half the pole's length, in metres; CartPole's own is 0.5.
    """
    import gymnasium as gym

    env = gym.make_vec("CartPole-v1", count, vectorization_mode="vector_entry_point")
    world = env.unwrapped
    world.length, world.polemass_length = half_length, half_length * world.masspole
    return env


def play_episodes(
    weights: dict[str, Tensor], env: Any, random: np.random.Generator, swapped: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """One batch: every cart is reset and plays one episode by its policy.

    A cart whose episode is over is reset by the environment and plays on until the last is done; the mask
    leaves these steps out.

    Args:
        weights: R stacked policies.
        env: R * E carts, as `cart_poles` gives them; the first E belong to the first policy.
        random: decides between the pushes.
        swapped: whether the two pushes have changed places.

    Returns:
        States (R, E, T, 4), actions (R, E, T), and whether the episode was still on (R, E, T).

    Raises:
        ValueError: if the carts cannot be shared out equally.
    """
    runs = len(weights["2.bias"])
    if env.num_envs % runs:
        raise ValueError(f"{env.num_envs} carts cannot be shared out equally among {runs} policies.")
    states, _ = env.reset()
    alive, log = np.ones(len(states), dtype=bool), []
    while alive.any():
        x = torch.from_numpy(states).view(runs, -1, 4).to(runtime.device())
        with torch.no_grad():
            right = policy_logits(weights, x).softmax(dim=2)[..., 1].flatten().cpu().numpy()
        actions = (random.random(len(right)) < right).astype(int)
        sides = (torch.from_numpy(v).view(runs, -1).to(x.device) for v in (actions, alive))
        log.append((x, *sides))
        states, _, terminated, truncated, _ = env.step(1 - actions if swapped else actions)
        alive = alive & ~(terminated | truncated)
    states, actions, alive = (torch.stack(column, dim=2) for column in zip(*log, strict=True))
    return states, actions, alive


def reinforce_loss(weights: dict[str, Tensor], states: Tensor, actions: Tensor, alive: Tensor) -> Tensor:
    r"""A loss whose gradient is REINFORCE's, summed over runs, so that no run's gradient knows of the others.

    For each run, $-\sum_{e,t} (G_{e,t} - b_t) \log \pi(a_{e,t} \mid s_{e,t})$ divided by the number of its
    steps. $G_{e,t}$ counts the steps of episode $e$ from $t$ on, as every step of CartPole pays one, and the
    baseline $b_t$ is its mean over the run's episodes, those that are over counting 0.

    Args:
        weights: R stacked policies.
        states: shape (R, E, T, 4).
        actions: shape (R, E, T).
        alive: whether the episode was still on, shape (R, E, T).

    Raises:
        ValueError: if the shapes do not belong together.
    """
    if not states.shape[:-1] == actions.shape == alive.shape or actions.ndim != 3:
        shapes = ", ".join(str(tuple(part.shape)) for part in (states, actions, alive))
        raise ValueError(f"The shapes are {shapes}; they must be (R, E, T, 4), (R, E, T) and (R, E, T).")
    to_come = alive.to(states.dtype).flip(2).cumsum(dim=2).flip(2)  # (R, E, T): steps that are left
    advantage = (to_come - to_come.mean(dim=1, keepdim=True)) * alive
    logits = policy_logits(weights, states.flatten(1, 2))  # (R, E T, 2)
    surprise = F.cross_entropy(logits.mT, actions.flatten(1), reduction="none")  # (R, E T)
    per_run = (advantage.flatten(1) * surprise).sum(dim=1)
    return (per_run / alive.sum((1, 2))).sum()


def train_policies(
    weights: dict[str, Tensor],
    batches: int,
    seed: int,
    *,
    episodes: int = 8,
    half_length: float = 0.5,
    swapped: bool = False,
    rate: float = 0.02,
) -> tuple[np.ndarray, dict[str, Tensor]]:
    """Train R stacked policies by REINFORCE and Adam, each on its own episodes.

    Args:
        weights: where the training starts; they are not changed.
        batches: steps of Adam, at least 1.
        seed: of the carts and of the choice between the pushes.
        episodes: number E in a batch, for each policy; at least 2, or the baseline would take all.
        half_length: half the pole's length, in metres.
        swapped: whether the two pushes have changed places.
        rate: Adam's learning rate.

    Returns:
        The mean returns of each batch, shape (batches, R), and the trained weights.

    Raises:
        ValueError: if there are too few batches or episodes.
    """
    if batches < 1 or episodes < 2:
        raise ValueError(f"Training needs batches >= 1 and episodes >= 2; got {batches} and {episodes}.")
    env = cart_poles(len(weights["2.bias"]) * episodes, half_length)
    env.reset(seed=seed)
    random = np.random.default_rng([seed, 1])
    weights = {name: value.clone().requires_grad_() for name, value in weights.items()}
    optimizer, curve = torch.optim.Adam(weights.values(), lr=rate), []
    for _ in range(batches):
        states, actions, alive = play_episodes(weights, env, random, swapped)
        curve.append(alive.sum(dim=2).float().mean(dim=1).cpu().numpy())
        optimizer.zero_grad()
        reinforce_loss(weights, states, actions, alive).backward()
        optimizer.step()
    return np.stack(curve), {name: value.detach() for name, value in weights.items()}
