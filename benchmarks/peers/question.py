"""The question every peer answers: P(global) ± 0.005 on the grid of Table 1, step size 0.05.

Nothing here imports JAX, so that a peer's process holds only what the peer needs.

Peers are told the least number of restarts that gives the half-width at the true probability;
jaxcnn finds it out. A peer's lane has settled when its angle is within 0.3 of 0 or of π, the
loosest test that gives the right answers (the edge state of (49, 16) is 0.42 from π): descent
arrives at π like 1/t, and a stricter tolerance costs the peers thousands of steps more.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from jaxcnn.base.interval import clopper_pearson
from jaxcnn.model.teacher import Teacher

KS, RATIOS, P = (25, 36, 49, 64, 81, 100), (0, 1, 4, 9, 16, 25), 6
STEP_SIZE, NORM, HALF_WIDTH = 0.05, 0.55, 0.005
NEAR, EVERY, LIMIT = 0.3, 64, 200_000
"""What is settled, how often batches look, and the most steps: at ratio 0 a lane may stand still
beside the separatrix for ever, in float32, and every lane of its batch would wait."""

FIXED_STEPS = 10_000
GRID = tuple((k, ratio) for k in KS for ratio in RATIOS)


class Fixed(NamedTuple):
    """What is the same in all lanes: w* (p,), a* (k,), both float32, and η."""

    w_star: np.ndarray
    a_star: np.ndarray
    step_size: float


def fixed(k: int, ratio: float) -> Fixed:
    """The teacher of a cell."""
    teacher = Teacher(k=k, p=P, ratio=float(ratio), teacher_norm=NORM)
    return Fixed(teacher.w_star.astype("f4"), teacher.a_star.astype("f4"), STEP_SIZE)


def starts(rng: np.random.Generator, lanes: int, at: Fixed) -> tuple[np.ndarray, np.ndarray]:
    """V uniform on the sphere (lanes, p), a uniform in the ball of radius |U|/√k (lanes, k)."""
    k = at.a_star.size
    v = rng.standard_normal((lanes, P), dtype="f4")
    a = rng.standard_normal((lanes, k), dtype="f4")
    length = abs(float(at.a_star.sum())) / math.sqrt(k) * rng.random((lanes, 1)) ** (1 / k)
    a *= (length / np.linalg.norm(a, axis=1, keepdims=True)).astype("f4")
    return v / np.linalg.norm(v, axis=1, keepdims=True), a


def restarts_needed(probability: float) -> int:
    """Fewest restarts whose expected count has a 95 % interval of the half-width asked for."""

    def wide(n: int) -> bool:
        return clopper_pearson(round(n * probability), n).half_width > HALF_WIDTH

    low, high = 1, 64_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if wide(middle) else (low, middle)
    return high


def settled(angle: np.ndarray) -> np.ndarray:
    """Which lanes need no more steps."""
    return (angle < NEAR) | (angle > math.pi - NEAR)


def agree(p: float, n: float, q: float, m: float) -> bool:
    """Whether two proportions of n and m restarts (inf: exact) lie within joint intervals.

    3.3 joint standard errors, a false alarm in a thousand; a count of its own for none or all.
    """
    error = (p * (1 - p) + 1 / n) / n + (q * (1 - q) + 1 / m) / m
    return abs(p - q) <= 3.3 * math.sqrt(error)
