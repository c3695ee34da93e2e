"""Raising the order of a rule until successive orders agree, and what that leaves.

A rule of some order gives P(global) and P(spurious), each from its own small parts. Orders grow
until they agree to the tolerance and to a small part of the rarer probability: what is rare
comes from few starts, and low orders that all miss them agree too. A difference of two orders
is the error of the smaller one, unless both happen to be off alike; so the last three
differences together give the error of the larger (`_left`). To it are added the errors of the
thresholds and the mass of all starts for which the order of outcomes failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxcnn.base.errors import NotExactError
from jaxcnn.basin.problem import INSTEAD, Array

ROUNDING = 1e-14
STEADY = 0.03
"""Ratio of successive differences below which a rule has begun to converge."""
RARE, ROUGH = 1e-6, 1e-4
"""Relative accuracy asked, beside the tolerance, of the smaller of the two probabilities.

It is 10⁴ tolerances, between these two; `ROUGH` where the answer is one of many that are summed.
"""
LOOSE = 1e-3
"""Tolerance from which on orders may agree because all of them miss what is rare."""


class Sum(NamedTuple):
    """What one order gives, an entry for each p.

    Attributes:
        good: P(global), (ps,).
        bad: P(spurious), (ps,).
        noise: mass lost, and errors of thresholds, (ps,).
        evaluations: trial runs; of orders found together the first counts them all.
        unresolved: what steps between neighbouring nodes may hide, (ps,) or 0.
    """

    good: Array
    bad: Array
    noise: Array
    evaluations: int
    unresolved: Array | float = 0.0


Rules = Callable[[Sequence[int]], Sequence[Sum]]
"""Orders, found together, → their sums."""


@dataclass(frozen=True)
class Converged:
    """Both probabilities, one entry for each p, and what they cost.

    Attributes:
        p_global: (ps,).
        p_spurious: (ps,).
        error: estimate of the error of either, (ps,).
        order: order of the last rule.
        evaluations: trial runs in all.
    """

    p_global: Array
    p_spurious: Array
    error: Array
    order: int
    evaluations: int


def refine(
    rules: Rules, orders: Sequence[int], tolerance: float, *, strict: bool = True
) -> Converged:
    """Raise the order until orders agree; a single order is exact by itself.

    At a loose tolerance orders may agree because all of them miss what is rare; the error is
    then at least a tenth of the tolerance.

    Args:
        rules: the rule.
        orders: ascending. The first three or four, which any answer takes, are found together.
        tolerance: asked of the absolute error.
        strict: refuse what does not converge, instead of returning it.

    Raises:
        NotExactError: the order of outcomes fails for too many starts, or the largest order
            does not reach the tolerance.
    """
    relative = min(max(RARE, 1e4 * tolerance), ROUGH) if strict else ROUGH
    ahead = list(orders[: 3 if tolerance >= LOOSE else 4])
    sums = list(rules(ahead))
    gaps: list[Array] = []
    best = Converged(
        sums[0].good, sums[0].bad, sums[0].noise + ROUNDING, orders[0], sums[0].evaluations
    )
    for i, order in enumerate(orders[1:], start=1):
        if i == len(sums):
            sums.extend(rules([order]))
        now = sums[i]
        gaps.append(_gap(now, sums[i - 1]))
        if len(gaps) < 2:
            continue
        error = _left(gaps) + now.noise + now.unresolved
        # Rounding is relative to each probability; the smaller one carries the digits.
        error = error + ROUNDING * np.minimum(1.0, 10.0 * np.minimum(now.good, now.bad))
        stated, rare = error, relative * np.minimum(now.good, now.bad)
        if tolerance >= LOOSE:
            rare = np.full_like(rare, np.inf)
            stated = np.maximum(error, 0.1 * tolerance)
        best = Converged(now.good, now.bad, stated, order, sum(one.evaluations for one in sums))
        # Three orders that are far from the answer can lie closer together than to it.
        asked = tolerance if len(gaps) > 2 else min(tolerance, LOOSE)
        if np.all(error <= np.minimum(asked, np.maximum(rare, 1e-300))):
            return best
        # Mass without a threshold does not shrink with the order.
        if min(float(np.max(one.noise)) for one in sums[max(0, i - 2) : i + 1]) > tolerance:
            break
    if not strict or np.all(best.error <= tolerance):
        return best
    worst = float(np.max(sums[-1].noise))
    if worst > tolerance:
        raise NotExactError(
            f"outcomes are not monotone, or have no threshold, for starts of mass {worst:.2g} "
            f"(tolerance {tolerance:.2g}): {INSTEAD}"
        )
    raise NotExactError(
        f"the quadrature has an error of {float(np.max(best.error)):.2g} at its largest order "
        f"(tolerance {tolerance:.2g}): {INSTEAD}"
    )


def _left(gaps: Sequence[Array]) -> Array:
    """What the last order leaves, from the differences of successive orders.

    The error of a rule changes sign as the order grows, so a difference can be small by chance,
    and its neighbours must vouch for it. The weights are those with which no answer to drawn
    cells was further from the truth than it said (`test_errors_are_honest_on_drawn_cells`, for v
    on the sphere and at a fixed angle).
    """
    new, old = gaps[-1], gaps[-2]
    if len(gaps) < 3:
        return np.maximum(6.0 * new, 0.75 * old)
    older = gaps[-3]
    steady = (new <= STEADY * old) & (old <= STEADY * older)
    regular = np.maximum(2.0 * new, 0.05 * old)
    return np.where(steady, regular, np.maximum.reduce([6.0 * new, 0.75 * old, 0.3 * older]))


def _gap(one: Sum, two: Sum) -> Array:
    """The difference of two orders, from whichever probability is the smaller."""
    rare = np.minimum(one.bad, one.good) == one.bad
    return np.where(rare, np.abs(one.bad - two.bad), np.abs(one.good - two.good))
