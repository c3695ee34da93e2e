"""Differences of two success probabilities that stay right while you watch.

As in `sequence`, each interval is what a fair bet has not refuted, and holds the truth at all
numbers of restarts at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from jaxcnn.base.binomial import Array, deviance
from jaxcnn.base.counts import Counts
from jaxcnn.base.interval import Interval
from jaxcnn.base.paired import Difference
from jaxcnn.base.paired_counts import PairedCounts
from jaxcnn.base.sequence import mixture_cost, refuting_capital


def difference_sequence(first: Counts, second: Counts, confidence: float = 0.95) -> Difference:
    """`unpaired_difference` that may be watched: two settings on separate restarts.

    The capitals of two independent bets multiply, so every pair (p, q) with

        deviance(first, p) + deviance(second, q) ≤ log(1/α) + the two costs

    stays; the interval holds their differences. One budget shared by both is narrower than
    two sequences at half the error. The samples may grow at different paces.

    Args:
        first: outcomes of a prefix of restart indices.
        second: outcomes of a prefix of other restart indices.
        confidence: in (0, 1).

    Raises:
        InputError: if the confidence is not in (0, 1).
    """
    limit = refuting_capital(confidence)

    def least(x: int, n: int, y: int, m: int) -> float:
        one, two = np.array([x, y], float), np.array([n - x, m - y], float)
        budget = limit + float(mixture_cost(one, two).sum())
        trials, rare = one + two, np.array([x, m - y], float)

        def at(slope: float) -> tuple[Array, Array]:
            # Where each deviance has this slope: λ p² − (n + λ) p + x = 0, likewise for the
            # failures of the second. The root as written does not cancel.
            rest = trials - slope
            root = np.sqrt(rest * rest + 4.0 * slope * (trials - rare))
            p = 2.0 * rare / (trials + slope + root)
            return p, 1.0 - p

        def spent(log_slope: float) -> float:
            p, q = at(math.exp(log_slope))
            return float(deviance(rare, trials - rare, p, q).sum())

        scale = math.log(max(n, m, 1))
        p, q = at(math.exp(_root(spent, budget, -60.0, scale + budget + 60.0)))
        return float(p[0] - q[1])

    x, n = first.global_, first.restarts
    y, m = second.global_, second.restarts
    low = least(x, n, y + second.undecided, m)
    high = -least(y, m, x + first.undecided, n)
    estimate = x / n - y / m if n and m else float("nan")
    return Difference(estimate, Interval(low, high, confidence))


def paired_difference_sequence(counts: PairedCounts, confidence: float = 0.95) -> Difference:
    """`paired_difference` that may be watched: two settings on the same restarts.

    Each index gives d = 1, 0 or −1 (only the first succeeds, both or neither, only the
    second). A bettor against the mean Δ who stakes λ has the capital ∏ (1 + λ (d − Δ)); with
    stakes spread by Beta(½, ½) over those that never lose all, it is at least

        max over λ of ∏ (1 + λ (d − Δ)) · Γ(n + ½) / (√π Γ(n + 1)),

    whatever the order of the d. The interval holds the Δ at which this bound stays below 1/α.
    It depends on all three counts, so few discordant pairs make it narrow.

    Args:
        counts: outcomes of a prefix of restart indices.
        confidence: in (0, 1).

    Raises:
        InputError: if the confidence is not in (0, 1).

    Source: Cover & Ordentlich, IEEE Trans. Inf. Theory 42 (1996) 348; Orabona & Jun, IEEE
    Trans. Inf. Theory 70 (2024) 436.
    """
    n = counts.restarts
    budget = refuting_capital(confidence) + float(mixture_cost(np.array(float(n)), np.array(0.0)))
    x, y = counts.least
    low = _lowest_mean(x, y, n, budget)
    y, x = counts.most
    return Difference(counts.estimate, Interval(low, -_lowest_mean(x, y, n, budget), confidence))


def _lowest_mean(x: int, y: int, n: int, budget: float) -> float:
    """The least Δ that x ones, y minus ones and n − x − y zeros do not refute.

    The best stake against Δ, written as κ = λ/(1 − λ Δ), makes 1 + λ (d − Δ) equal to
    Z (1 + κ d) with Z the mean of 1/(1 + κ d). So κ in (0, 1) runs along the pairs
    (Δ, log capital) without an inner maximisation, from the estimate down.
    """
    if y == n:
        return -1.0

    def at(odds: float) -> tuple[float, float]:
        # 1 − κ from the odds, since κ → 1 where refuting Δ takes nearly all the capital.
        rest = 1.0 / (1.0 + math.exp(odds))
        kappa = 1.0 / (1.0 + math.exp(-odds))
        return capital(kappa, y / rest if y else 0.0, y * math.log(rest) if y else 0.0)

    def capital(kappa: float, weight: float, loss: float) -> tuple[float, float]:
        gain = x / (1.0 + kappa)
        spread = kappa * (weight - gain) / n
        mean = (gain - weight) / (n * (1.0 + spread))
        return mean, n * math.log1p(spread) + x * math.log1p(kappa) + loss

    if y == 0:
        mean, spent = capital(1.0, 0.0, 0.0)
        if spent < budget:
            # Never having seen −1, no stake rules out that it has some small probability.
            unseen = -math.expm1((spent - budget) / n)
            return (1.0 - unseen) * mean - unseen
    odds = _root(lambda v: at(v)[1], budget, -60.0, budget + math.log(n) + 60.0)
    return at(odds)[0]


def _root(value: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Where the increasing `value` reaches the target, from above; `high` if it never does."""
    while high - low > 1e-14 * max(1.0, abs(high)):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if value(middle) >= target else (middle, high)
    return high
