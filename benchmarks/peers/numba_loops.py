"""Numba: a parallel loop over lanes, each of which stops on its own; gradients by hand."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from benchmarks.peers.question import LIMIT, NEAR, Fixed

FLOW = False


@njit(parallel=True, fastmath=True, cache=False)
def _run(v, a, w_star, a_star, step_size, steps, near, angles, taken):
    """Every lane until its angle is within `near` of 0 or π, or `steps` are taken."""
    pi = np.float32(math.pi)
    c = np.float32(step_size / (2 * math.pi))
    total = np.float32(0)
    for j in range(a_star.size):
        total += a_star[j]
    keep = np.float32(1) - c * (pi - np.float32(1))
    for lane in prange(v.shape[0]):
        vi, ai = v[lane], a[lane]
        angle = pi / 2
        count = 0
        while count < steps:
            along, r2, s, u = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for j in range(w_star.size):
                along += w_star[j] * vi[j]
                r2 += vi[j] * vi[j]
            for j in range(a_star.size):
                s += a_star[j] * ai[j]
                u += ai[j]
            across = math.sqrt(max(r2 - along * along, np.float32(0)))
            angle = math.atan2(across, along)
            if angle < near or angle > pi - near:
                break
            r = math.sqrt(r2)
            rest = pi - angle
            push = c * s * rest / r
            shrink = np.float32(1) - push * along / r2
            to_star = c * (rest * along / r + across / r - np.float32(1))
            to_ones = c * (total - u)
            for j in range(w_star.size):
                vi[j] = shrink * vi[j] + push * w_star[j]
            for j in range(a_star.size):
                ai[j] = keep * ai[j] + to_star * a_star[j] + to_ones
            count += 1
        angles[lane] = angle
        taken[lane] = count


def _call(v, a, at: Fixed, steps: int, near: float) -> tuple[np.ndarray, np.ndarray]:
    angle, taken = np.zeros(len(v), "f4"), np.zeros(len(v), np.int64)
    _run(v.copy(), a.copy(), *at, steps, np.float32(near), angle, taken)
    return angle, taken


def fixed_steps(v, a, at: Fixed, steps: int) -> np.ndarray:
    """Angles after a fixed number of steps."""
    return _call(v, a, at, steps, -1.0)[0]


def until_settled(v, a, at: Fixed) -> tuple[np.ndarray, np.ndarray]:
    """Angles, and steps each lane took to settle."""
    return _call(v, a, at, LIMIT, NEAR)
