"""PyTorch: batched autograd on the CPU, the loss of all lanes summed before `backward`."""

from __future__ import annotations

import math

import numpy as np
import torch

from benchmarks.peers.question import EVERY, LIMIT, Fixed, settled

FLOW = False


def angles(v, w_star):
    """∠(v, w*) of every lane."""
    cos = (v @ w_star) / v.norm(dim=1)
    return torch.arccos(cos.clamp(-1 + 1e-7, 1 - 1e-7))


def loss(v, a, w_star, a_star):
    """Theorem 3.1, summed over lanes."""
    cos = ((v @ w_star) / v.norm(dim=1)).clamp(-1 + 1e-7, 1 - 1e-7)
    angle = torch.arccos(cos)
    g = (math.pi - angle) * cos + torch.sin(angle)
    gap = a.sum(1) - a_star.sum()
    square = (math.pi - 1) * ((a * a).sum(1) + a_star @ a_star)
    return ((square - 2 * (g - 1) * (a @ a_star) + gap**2) / (4 * math.pi)).sum()


def advance(v, a, w_star, a_star, step_size, steps):
    """Take the steps in place."""
    for _ in range(steps):
        dv, da = torch.autograd.grad(loss(v, a, w_star, a_star), (v, a))
        with torch.no_grad():
            v.sub_(dv, alpha=step_size)
            a.sub_(da, alpha=step_size)


def _begin(v, a, at: Fixed):
    leaves = (torch.tensor(x).requires_grad_() for x in (v, a))
    return *leaves, torch.from_numpy(at.w_star), torch.from_numpy(at.a_star)


def fixed_steps(v, a, at: Fixed, steps: int) -> np.ndarray:
    """Angles after a fixed number of steps."""
    v, a, w_star, a_star = _begin(v, a, at)
    advance(v, a, w_star, a_star, at.step_size, steps)
    return angles(v.detach(), w_star).numpy()


def until_settled(v, a, at: Fixed) -> tuple[np.ndarray, int]:
    """Angles, and steps taken, when all lanes have settled."""
    v, a, w_star, a_star = _begin(v, a, at)
    steps = 0
    while True:
        advance(v, a, w_star, a_star, at.step_size, EVERY)
        steps += EVERY
        angle = angles(v.detach(), w_star).numpy()
        if steps >= LIMIT or np.all(settled(angle)):
            return angle, steps
