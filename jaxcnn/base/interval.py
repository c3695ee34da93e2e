"""Confidence intervals for one proportion, exact at any number of restarts.

These are for a number of restarts that does not depend on what they showed. Stopping when the
interval is narrow enough takes a slightly higher level, `level_at_a_width`; stopping when it
excludes a value takes another interval: see `sequence`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jaxcnn.base.binomial import Array, lower_limit
from jaxcnn.base.checks import MOST, confidence_level, real, same_shape, whole
from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import InputError


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, both ends included.

    Attributes:
        low: lower end.
        high: upper end; may be infinite.
        confidence: probability, before the data are seen, that the interval will hold the
            true value; in (0, 1).

    Raises:
        InputError: if the ends are not ordered numbers, or the confidence is not in (0, 1).
    """

    low: float
    high: float
    confidence: float

    def __post_init__(self) -> None:
        confidence_level(self.confidence)
        if not self.low <= self.high:
            raise InputError("low, high", (self.low, self.high), "must be numbers in order")

    @property
    def half_width(self) -> float:
        """(high − low)/2."""
        return 0.5 * (self.high - self.low)

    def __contains__(self, value: float) -> bool:
        """Whether low ≤ value ≤ high."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        """Both ends, with as many digits as tell them apart to a per cent of their distance."""
        size, width = max(abs(self.low), abs(self.high)), self.high - self.low
        digits = 4
        if 0.0 < width < math.inf:
            digits = min(max(4, math.ceil(math.log10(size / width)) + 3), 17)
        ends = f"[{self.low:.{digits}g}, {self.high:.{digits}g}]"
        return f"{ends} at {100 * self.confidence:.10g} %"


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """The exact (Clopper–Pearson) interval of a binomial probability.

    With α = 1 − confidence and X ~ Binomial(trials, p), `low` solves P(X ≥ successes) = α/2
    and `high` solves P(X ≤ successes) = α/2; low = 0 without successes and high = 1 without
    failures. Each end misses the truth with probability at most α/2, whatever p is.

    Both ends are right to a relative 10⁻¹² for trials up to 10¹².

    Args:
        successes: whole number, from 0 to `trials`.
        trials: whole number; 0 gives [0, 1].
        confidence: in (0, 1).

    Raises:
        InputError: if an argument is out of its range.

    Source: Clopper & Pearson, Biometrika 26 (1934) 404.
    """
    x, n = whole("successes", successes), whole("trials", trials)
    if x > n:
        raise InputError("successes", x, f"must be at most trials = {n}")
    low, high = clopper_pearson_many(x, n, confidence)
    return Interval(float(low), float(high), float(confidence))


def clopper_pearson_many(
    successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95
) -> tuple[Array, Array]:
    """`clopper_pearson` for a whole table: the arrays of lower and of upper ends.

    Args:
        successes: whole numbers, any shape.
        trials: whole numbers, of a shape that broadcasts with it.
        confidence: in (0, 1).

    Returns:
        low and high, in the broadcast shape.

    Raises:
        InputError: if the shapes do not fit or an entry is out of its range.
    """
    half = 0.5 * (1.0 - confidence_level(confidence))
    x, n = same_shape(successes=successes, trials=trials)
    if np.any(x > n):
        raise InputError("successes", float(x[x > n][0]), "must be at most trials")
    return _ends(x, x, n, half)


def proportion_bounds_many(
    successes: ArrayLike, hidden: ArrayLike, trials: ArrayLike, confidence: float = 0.95
) -> tuple[Array, Array]:
    """`proportion_bounds` for a whole table: the arrays of lower and of upper ends.

    Args:
        successes: whole numbers, any shape.
        hidden: trials that may or may not be successes: they are failures for the lower ends
            and successes for the upper ends; of a shape that broadcasts, as `trials`.
        trials: whole numbers.
        confidence: in (0, 1).

    Returns:
        low and high, in the broadcast shape.

    Raises:
        InputError: if the shapes do not fit or an entry is out of its range.
    """
    half = 0.5 * (1.0 - confidence_level(confidence))
    x, u, n = same_shape(successes=successes, hidden=hidden, trials=trials)
    if np.any(x + u > n):
        worst = float((x + u)[x + u > n][0])
        raise InputError("successes, hidden", worst, "must be at most trials together")
    return _ends(x, x + u, n, half)


def _ends(least: Array, most: Array, n: Array, tail: float) -> tuple[Array, Array]:
    """Lower limits of `least` successes in n trials and upper limits of `most`."""
    # The upper end is one minus the lower end of the failures. The solver returns both with
    # their digits, and one call for both ends halves the cost of a single interval.
    x, trials = np.concatenate((least.ravel(), n.ravel() - most.ravel())), np.tile(n.ravel(), 2)
    # Cells of a table often have the same counts: each pair is solved once.
    pairs, place = np.unique(x + 1j * trials, return_inverse=True)
    limits = lower_limit(pairs.real, pairs.imag, np.full(pairs.size, tail))
    p, q = (limit[place.reshape(2, *n.shape)] for limit in limits)
    return p[0, ...], q[1, ...]


def level_at_a_width(confidence: float) -> float:
    """The confidence to give `clopper_pearson` where its own width decides when to stop.

    Stopping at the first of several looks at which the interval is narrow enough favours
    samples whose proportion happens to lie farther from one half, and the interval then misses
    more often than α = 1 − confidence, most where successes are rare: up to 1.27 α at 0.95 and
    1.5 α at 0.99 and 0.999. At

        1 − α / (1 + 0.12 log(1/α))

    it misses with probability at most α. That is not proved but found by exact enumeration:
    looks at an eighth of an octave from 256, widths down to 0.002, confidences from 0.5 to 0.999.
    It makes intervals 6.6 % wider at 0.95.

    Args:
        confidence: in (0, 1).

    Raises:
        InputError: if the confidence is not in (0, 1).
    """
    error = 1.0 - confidence_level(confidence)
    return 1.0 - error / (1.0 - 0.12 * math.log(error))


def proportion_bounds(counts: Counts, confidence: float = 0.95) -> Interval:
    """The interval of the probability that a restart reaches the global minimum.

    Runs that ended elsewhere or diverged are failures. An undecided run has an outcome that
    the step limit hid, so it is one or the other: `low` takes all of them as failures and
    `high` takes all as successes. Both ends grow with the successes, so the interval contains
    the one that knowledge of the hidden outcomes would have given, and covers at least as often.

    Args:
        counts: outcomes of a fixed number of restarts.
        confidence: in (0, 1).

    Raises:
        InputError: if the confidence is not in (0, 1).
    """
    low, high = proportion_bounds_many(
        counts.global_, counts.undecided, counts.restarts, confidence
    )
    return Interval(float(low), float(high), float(confidence))


def needed_for_half_width(p_guess: float, half_width: float, confidence: float = 0.95) -> int:
    """About how many restarts make the Clopper–Pearson interval this narrow.

    Searches the trials n for which the interval at x = round(n p_guess) has a half width of
    at most `half_width`. The n returned has it and n − 1 has not; rounding x makes the width
    ripple by a few parts in n, so a slightly smaller n may also have it.

    Args:
        p_guess: the expected proportion, from 0 to 1.
        half_width: the target, in (0, ½).
        confidence: in (0, 1).

    Raises:
        InputError: if an argument is out of its range, or 2⁵³ restarts are not enough.
    """
    p = real("p_guess", p_guess, 0.0, 1.0, ends=True)
    target = real("half_width", half_width, 0.0, 0.5, ends=False)

    def enough(n: int) -> bool:
        return clopper_pearson(round(n * p), n, confidence).half_width <= target

    few, many = 0, 1
    while not enough(many):
        few, many = many, 2 * many
        if many > MOST:
            raise InputError("half_width", target, "must be larger: 2**53 restarts cannot reach it")
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many
