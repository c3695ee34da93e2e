"""The difference of two success probabilities, from shared or from separate restarts.

Two settings run from the same restart indices agree on most of them, and only the indices on
which they differ carry noise: the paired interval can be many times narrower than that of two
separate samples. Both are for a number of restarts that does not depend on what they showed;
to watch and stop, see `difference_sequence`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from jaxcnn.base.binomial import Array, lower_limit
from jaxcnn.base.checks import confidence_level, same_shape
from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import InputError
from jaxcnn.base.interval import Interval
from jaxcnn.base.paired_counts import PairedCounts


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of two probabilities, first less second.

    Attributes:
        estimate: difference of the two observed proportions, undecided runs in both
            denominators and in neither numerator.
        interval: interval for the difference, within [−1, 1].
    """

    estimate: float
    interval: Interval

    def __str__(self) -> str:
        """Estimate and interval in one line."""
        return f"{self.estimate:.4g} in {self.interval}"


def paired_difference(counts: PairedCounts, confidence: float = 0.95) -> Difference:
    """How much more often the first setting succeeds than the second, on the same restarts.

    p₁₀ − p₀₁, where p₁₀ is the probability that only the first succeeds and p₀₁ that only the
    second does; interval by `paired_difference_many`. The lower end takes every undecided run
    against the first setting and the upper end takes it for the first setting.

    Args:
        counts: outcomes of a fixed number of restarts; none gives [−1, 1].
        confidence: in (0, 1).

    Raises:
        InputError: if the confidence is not in (0, 1).
    """
    only_first, only_second = zip(counts.least, counts.most, strict=True)
    low, high = paired_difference_many(only_first, only_second, counts.restarts, confidence)
    return Difference(counts.estimate, Interval(float(low[0]), float(high[1]), confidence))


def paired_difference_many(
    only_first: ArrayLike, only_second: ArrayLike, restarts: ArrayLike, confidence: float = 0.95
) -> tuple[Array, Array]:
    """Lower and upper ends of the paired interval, for a whole table.

    The difference is ψ δ: a pair is discordant with probability ψ, and of the discordant ones
    the first wins with probability θ = (1 + δ)/2. The m discordant pairs among n are
    binomial, and the x wins among them are binomial for any m, so both have exact limits.
    With z the normal quantile of the confidence, the lower end is the smallest product of
    limits over all splits z² = (z cos t)² + (z sin t)² of the evidence between them,

        min over t of  δ_low(z sin t) · (ψ_low(z cos t), or ψ_high(z cos t) if δ_low < 0),

    where a limit at z errs with probability Φ(−z). The upper end swaps the settings.

    The interval excludes 0 exactly when McNemar's exact test does. At large counts it is as
    narrow as the normal interval; adding exact intervals of p₁₀ and p₀₁ at half the error
    each would be up to 1.6 times wider. That each end errs with probability at most
    (1 − confidence)/2 is proved for δ = 0 and found by exact enumeration elsewhere (n from 1
    to 100, confidence from 0.5 to 0.999); adding the same exact limits in squares was
    found to cover as little as 0.94 for a nominal 0.95.

    Args:
        only_first: x, restarts on which only the first setting succeeded, any shape.
        only_second: y, restarts on which only the second did; m = x + y.
        restarts: n, all restarts.
        confidence: in (0, 1).

    Returns:
        low and high, in the broadcast shape, within [−1, 1].

    Raises:
        InputError: if the shapes do not fit or an entry is out of its range.
    """
    z = _normal_quantile(confidence)
    x, y, n = same_shape(only_first=only_first, only_second=only_second, restarts=restarts)
    if np.any(x + y > n):
        most = float(np.max(x + y))
        raise InputError("only_first + only_second", most, "must be at most restarts")

    def least(x: Array, y: Array, n: Array) -> Array:
        def product(angle: Array) -> Array:
            rate_tail, side_tail = _split(z, angle)
            m, k, trials = (np.repeat(v, angle.shape[-1]) for v in (x + y, x, n))
            win, loss = lower_limit(k, m, side_tail)
            rate_low, _ = lower_limit(m, trials, rate_tail)
            _, rate_high = lower_limit(trials - m, trials, rate_tail)
            lead = win - loss
            return (lead * np.where(lead < 0.0, rate_high, rate_low)).reshape(angle.shape)

        return _smallest(product, x.size)

    shape, (x, y, n) = x.shape, (x.ravel(), y.ravel(), n.ravel())
    return least(x, y, n).reshape(shape), -least(y, x, n).reshape(shape)


def unpaired_difference(first: Counts, second: Counts, confidence: float = 0.95) -> Difference:
    """How much more often the first setting reaches the global minimum, on separate restarts.

    The lower end takes undecided runs against the first setting, the upper end for it;
    interval by `unpaired_difference_many`.

    Args:
        first: outcomes of a fixed number of restarts.
        second: outcomes of a fixed number of other restarts.
        confidence: in (0, 1).

    Raises:
        InputError: if the confidence is not in (0, 1).
    """
    x = (first.global_, first.global_ + first.undecided)
    y = (second.global_ + second.undecided, second.global_)
    low, high = unpaired_difference_many(x, first.restarts, y, second.restarts, confidence)
    estimate = float("nan")
    if first.restarts and second.restarts:
        estimate = first.global_ / first.restarts - second.global_ / second.restarts
    return Difference(estimate, Interval(float(low[0]), float(high[1]), confidence))


def unpaired_difference_many(
    first: ArrayLike,
    first_trials: ArrayLike,
    second: ArrayLike,
    second_trials: ArrayLike,
    confidence: float = 0.95,
) -> tuple[Array, Array]:
    """Lower and upper ends of the interval for two separate samples, for a whole table.

    By the same split of the evidence as `paired_difference_many`: the lower end is

        min over t of  p_low(z cos t) − q_high(z sin t)

    with the exact limits of each proportion, and the upper end swaps the settings. Exact
    enumeration found no end that errs with a probability above (1 − confidence)/2 (n from 1
    to 60 on either side, confidence from 0.5 to 0.999); adding those limits in squares was
    found to cover as little as 0.905 for a nominal 0.95.

    Args:
        first: successes of the first setting, any shape.
        first_trials: its restarts.
        second: successes of the second setting.
        second_trials: its restarts.
        confidence: in (0, 1).

    Returns:
        low and high, in the broadcast shape, within [−1, 1].

    Raises:
        InputError: if the shapes do not fit or an entry is out of its range.
    """
    z = _normal_quantile(confidence)
    x, n, y, m = same_shape(
        first=first, first_trials=first_trials, second=second, second_trials=second_trials
    )
    for argument, successes, trials in (("first", x, n), ("second", y, m)):
        if np.any(successes > trials):
            most = float(np.max(successes))
            raise InputError(argument, most, f"must be at most {argument}_trials")

    def least(x: Array, n: Array, y: Array, m: Array) -> Array:
        def gap(angle: Array) -> Array:
            tail_x, tail_y = _split(z, angle)
            wins, trials, losses, others = (np.repeat(v, angle.shape[-1]) for v in (x, n, m - y, m))
            low, _ = lower_limit(wins, trials, tail_x)
            _, high = lower_limit(losses, others, tail_y)
            return (low - high).reshape(angle.shape)

        return _smallest(gap, x.size)

    shape, (x, n, y, m) = x.shape, (x.ravel(), n.ravel(), y.ravel(), m.ravel())
    return least(x, n, y, m).reshape(shape), -least(y, m, x, n).reshape(shape)


def _normal_quantile(confidence: float) -> float:
    return -NormalDist().inv_cdf(0.5 * (1.0 - confidence_level(confidence)))


def _split(z: float, angle: Array) -> tuple[Array, Array]:
    """Tail probabilities Φ(−z cos t) and Φ(−z sin t), flat."""
    scaled = z / math.sqrt(2.0) * np.concatenate((np.cos(angle).ravel(), np.sin(angle).ravel()))
    tails = np.array([0.5 * math.erfc(v) for v in scaled])
    return tails[: angle.size], tails[angle.size :]


def _smallest(value: Callable[[Array], Array], rows: int) -> Array:
    """The least value over angles from 0 to π/2, by a coarse and then a fine grid.

    Both ends of the quarter circle are on the grid. The loss is below 10⁻⁵ of the distance
    from the estimate, as the value is smooth and flat at its minimum.
    """
    coarse = np.linspace(0.0, 0.5 * math.pi, 25)
    values = value(np.broadcast_to(coarse, (rows, coarse.size)))
    best = coarse[np.argmin(values, axis=1)]
    offsets = np.linspace(-1.0, 1.0, 17) * coarse[1]
    fine = np.clip(best[:, None] + offsets, 0.0, 0.5 * math.pi)
    least: Array = np.minimum(values.min(axis=1), value(fine).min(axis=1))
    return least
