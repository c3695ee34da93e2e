"""Intervals that stay right while you watch: confidence sequences.

A 95 % interval looked at after every chunk, and acted on when it first excludes a value, errs
far more often than 5 %. The intervals here hold the truth at *all* numbers of restarts at
once with the stated probability, so any rule for stopping, or for going on, is allowed.

Each is the set of values not yet refuted by a fair bet. If p is the truth, a gambler's
capital M₀ = 1, M₁, M₂, … is a non-negative martingale and exceeds 1/α at any time with
probability at most α (Ville); so p is refuted once M ≥ 1/α. For restarts from several
machines, add the counts of a prefix of indices: what has finished first is no fair sample.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from jaxcnn.base.binomial import (
    Array,
    deviance,
    expit,
    half_stirling_error,
    stirling_error,
)
from jaxcnn.base.checks import confidence_level, same_shape
from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import InputError
from jaxcnn.base.interval import Interval


def mixture_cost(successes: Array, failures: Array) -> Array:
    """What the gambler pays, in nats, for not knowing the proportion in advance.

    The capital against p after x successes and y failures, with bets spread over all
    alternatives by Beta(½, ½), is

        M = B(x + ½, y + ½) / (π p^x (1−p)^y),    log M = deviance(x, y, p) − cost,

        cost = ½ log(π n/2) + δ(n) − ε(x) − ε(y),    n = x + y,

    with the remainders δ, ε of Stirling's formula (`binomial`). The cost grows as ½ log n.

    Args:
        successes: x, whole numbers, any shape.
        failures: y, whole numbers, of the same shape.

    Returns:
        The cost, at least 0, in the same shape.

    Source: Robbins, Ann. Math. Stat. 41 (1970) 1397; Krichevsky & Trofimov, IEEE Trans. Inf.
    Theory 27 (1981) 199.
    """
    n = successes + failures
    spread = 0.5 * np.log(0.5 * math.pi * np.maximum(n, 1.0)) + stirling_error(n)
    cost = spread - half_stirling_error(successes) - half_stirling_error(failures)
    return np.where(n > 0.0, cost, 0.0)


def confidence_sequence(
    successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95
) -> tuple[Array, Array]:
    """Lower and upper ends of the confidence sequence of a binomial probability.

    All p with deviance(x, n − x, p) ≤ log(1/α) + `mixture_cost`, where α = 1 − confidence.

    Args:
        successes: x, whole numbers, any shape.
        trials: n, whole numbers, of a shape that broadcasts with it.
        confidence: probability that every interval of the sequence holds p, in (0, 1).

    Returns:
        low and high, in the broadcast shape.

    Raises:
        InputError: if the shapes do not fit or an entry is out of its range.
    """
    limit = refuting_capital(confidence)
    x, n = same_shape(successes=successes, trials=trials)
    if np.any(x > n):
        raise InputError("successes", float(x[x > n][0]), "must be at most trials")
    shape, x, y = x.shape, x.ravel(), (n - x).ravel()
    budget = limit + mixture_cost(x, y)
    low, _ = _lowest(x, y, budget)
    _, high = _lowest(y, x, budget)
    return low.reshape(shape), high.reshape(shape)


def sequence_bounds(counts: Counts, confidence: float = 0.95) -> Interval:
    """`proportion_bounds` that may be watched: the probability of the global minimum.

    The lower end takes undecided runs as failures and the upper end as successes. Both ends
    grow with the successes, so the outcomes that the step limit hid can only narrow it.

    Args:
        counts: outcomes of a prefix of restart indices.
        confidence: in (0, 1).

    Raises:
        InputError: if the confidence is not in (0, 1).
    """
    reached = (counts.global_, counts.global_ + counts.undecided)
    low, high = confidence_sequence(reached, counts.restarts, confidence)
    return Interval(float(low[0]), float(high[1]), confidence)


def refuting_capital(confidence: float) -> float:
    """The log of the capital that refutes, log(1/α) with α = 1 − confidence."""
    return -math.log(1.0 - confidence_level(confidence))


def _lowest(successes: Array, failures: Array, budget: Array) -> tuple[Array, Array]:
    """The least p whose deviance is within the budget, and 1 − p; 0 and 1 where x = 0.

    Newton's method in the log odds, in which the deviance is convex: from the left it never
    passes the root.
    """
    p, q = np.zeros_like(successes), np.ones_like(successes)
    full = (failures == 0.0) & (successes > 0.0)
    exponent = budget[full] / successes[full]
    p[full], q[full] = np.exp(-exponent), -np.expm1(-exponent)
    (rows,) = np.nonzero((successes > 0.0) & (failures > 0.0))
    x, y, most = successes[rows], failures[rows], budget[rows]
    n = x + y
    # Left of the root: deviance ≥ x (log odds of the estimate − u) − n log(n / y).
    u = np.log(x / y) - (most + n * np.log1p(x / y)) / x
    for _ in range(200):
        low, high = expit(u)
        slope = x * high - y * low
        step = (deviance(x, y, low, high) - most) / slope
        u = u + step
        # Newton doubles the digits: 10⁻⁸ standard deviations leave 10⁻¹⁶ of one.
        if np.all(np.abs(step) * np.sqrt(n * low * high) < 1e-8):
            break
    p[rows], q[rows] = expit(u)
    return p, q
