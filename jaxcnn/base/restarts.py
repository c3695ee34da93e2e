"""From the success of one restart to the success of several.

Restarts are independent, so everything here is a monotone function of the probability p that
one succeeds: the ends of an interval for p map to the ends of an interval of the same
confidence. An estimate put through `any_of` is biased (the function is curved); the interval
is not harmed by that.
"""

from __future__ import annotations

import math
from typing import overload

from jaxcnn.base.checks import real, whole
from jaxcnn.base.interval import Interval


@overload
def any_of(probability: float, m: int) -> float: ...
@overload
def any_of(probability: Interval, m: int) -> Interval: ...
def any_of(probability: float | Interval, m: int) -> float | Interval:
    """The probability that at least one of m independent restarts succeeds.

    1 − (1 − p)^m, to full relative accuracy for any p.

    Args:
        probability: p for one restart, from 0 to 1, or an interval for it.
        m: number of restarts, at least 0.

    Returns:
        A number for a number, an interval of the same confidence for an interval.

    Raises:
        InputError: if p or an end of its interval is not in [0, 1], or m is no whole number.
    """
    whole("m", m)
    if isinstance(probability, Interval):
        low, high = any_of(probability.low, m), any_of(probability.high, m)
        return Interval(low, high, probability.confidence)
    p = real("probability", probability, 0.0, 1.0, ends=True)
    if p == 1.0 or m == 0:
        return float(m > 0)
    return -math.expm1(m * math.log1p(-p))


@overload
def restarts_needed(probability: float, delta: float) -> float: ...
@overload
def restarts_needed(probability: Interval, delta: float) -> Interval: ...
def restarts_needed(probability: float | Interval, delta: float) -> float | Interval:
    """The fewest restarts of which at least one succeeds with probability 1 − delta.

    The smallest m ≥ 1 with (1 − p)^m ≤ delta, that is ⌈log delta / log(1 − p)⌉; infinite at
    p = 0. A p and a delta typed as decimals are rounded to doubles, which would turn a tie
    such as p = 0.99, delta = 0.0001 into one restart more: p and delta count as known to
    one unit in the last place, in favour of the smaller m.

    Args:
        probability: p for one restart, from 0 to 1, or an interval for it.
        delta: accepted probability that every restart fails, in (0, 1).

    Returns:
        A whole number (as a float, since it may be infinite) for a number. For an interval
        [low, high], the interval from what p = high needs to what p = low needs; its upper
        end is infinite where p = 0 is not excluded.

    Raises:
        InputError: if p or an end of its interval is not in [0, 1], or delta not in (0, 1).
    """
    budget = real("delta", delta, 0.0, 1.0, ends=False)
    if isinstance(probability, Interval):
        fewest = restarts_needed(probability.high, delta)
        most = restarts_needed(probability.low, delta)
        return Interval(fewest, most, probability.confidence)
    p = real("probability", probability, 0.0, 1.0, ends=True)
    if p == 0.0:
        return math.inf
    generous = math.nextafter(p, 1.0)
    if generous == 1.0:
        return 1.0
    ratio = math.log(math.nextafter(budget, 1.0)) / math.log1p(-generous)
    if math.isinf(ratio):
        return math.inf
    return max(1.0, float(math.ceil(ratio * (1.0 - 1e-15))))
