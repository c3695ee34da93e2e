"""NumPy: lanes in the last axis, gradients by hand, in place, one BLAS call for the sums."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.peers.question import EVERY, LIMIT, Fixed, settled

FLOW = False


def advance(v, a, at: Fixed, steps: int) -> np.ndarray:
    """Take the steps in place on v (p, lanes), a (k, lanes); the angles of the last one."""
    c = np.float32(at.step_size / (2 * math.pi))
    w, total = at.w_star[:, None], at.a_star.sum()
    sums = np.stack([at.a_star, np.ones_like(at.a_star)])
    pair = np.ascontiguousarray(sums.T)
    keep = np.float32(1 - c * (math.pi - 1))
    angle = np.zeros(v.shape[1], "f4")
    for _ in range(steps):
        along = at.w_star @ v
        r2 = np.einsum("ij,ij->j", v, v)
        angle = np.arctan2(np.sqrt(np.maximum(r2 - along * along, 0)), along)
        cos, rest = along / np.sqrt(r2), np.float32(math.pi) - angle
        g = rest * cos + np.sin(angle)
        s, u = sums @ a
        push = c * s * rest / np.sqrt(r2)
        v *= 1 - push * along / r2
        v += push * w
        a *= keep
        a += pair @ np.stack([c * (g - 1), c * (total - u)])
    return angle


def fixed_steps(v, a, at: Fixed, steps: int) -> np.ndarray:
    """Angles after a fixed number of steps; v (lanes, p), a (lanes, k)."""
    return advance(v.T.copy(), a.T.copy(), at, steps)


def until_settled(v, a, at: Fixed) -> tuple[np.ndarray, int]:
    """Angles, and steps taken, when all lanes have settled."""
    v, a, steps = v.T.copy(), a.T.copy(), 0
    while True:
        angle = advance(v, a, at, EVERY)
        steps += EVERY
        if steps >= LIMIT or np.all(settled(angle)):
            return angle, steps
