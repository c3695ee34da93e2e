"""Decisions between hypotheses that may be taken as soon as the restarts allow them.

Look after every chunk and stop at the first answer: whatever the truth, the probability of
ever giving a wrong one is at most 1 − confidence. The evidence is that of `sequence`.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from jaxcnn.base.binomial import deviance
from jaxcnn.base.checks import real
from jaxcnn.base.counts import Counts
from jaxcnn.base.paired_counts import PairedCounts
from jaxcnn.base.sequence import mixture_cost, refuting_capital


class Decision(Enum):
    """What the restarts so far decide; each member carries a sentence."""

    sentence: str

    ABOVE = "above", "The probability is above what it was compared with."
    BELOW = "below", "The probability is below what it was compared with."
    OPEN = "open", "The restarts so far do not decide."

    def __new__(cls, value: str, sentence: str) -> Decision:
        """Make a member of its value and its sentence."""
        member = object.__new__(cls)
        member._value_ = value
        member.sentence = sentence
        return member


def decide_above(counts: Counts, threshold: float, confidence: float = 0.95) -> Decision:
    """Whether the probability of the global minimum is above a threshold.

    ABOVE or BELOW once the threshold has left `sequence_bounds`; undecided runs are failures
    for the one and successes for the other.

    Args:
        counts: outcomes of a prefix of restart indices.
        threshold: in (0, 1).
        confidence: one minus the probability of ever being wrong, in (0, 1).

    Raises:
        InputError: if an argument is out of its range.
    """
    p = real("threshold", threshold, 0.0, 1.0, ends=False)
    n = counts.restarts

    def beats(successes: int, probability: float, rest: float) -> float:
        if successes <= n * probability:
            return 0.0
        x, y = np.array(float(successes)), np.array(float(n - successes))
        against = deviance(x, y, np.array(probability), np.array(rest))
        return float(against - mixture_cost(x, y))

    above = beats(counts.global_, p, 1.0 - p)
    below = beats(n - counts.global_ - counts.undecided, 1.0 - p, p)
    return _decide(above, below, confidence)


def decide_better(first: Counts, second: Counts, confidence: float = 0.95) -> Decision:
    """Whether the first setting reaches the global minimum more often, on separate restarts.

    ABOVE or BELOW once no common probability survives the product of the two bets: the
    deviances from the pooled proportion exceed log(1/α) and both costs.

    Args:
        first: outcomes of a prefix of restart indices.
        second: outcomes of a prefix of other restart indices.
        confidence: one minus the probability of ever being wrong, in (0, 1).

    Raises:
        InputError: if the confidence is not in (0, 1).
    """

    def beats(x: int, n: int, y: int, m: int) -> float:
        if x * m <= y * n:
            return 0.0
        wins, losses = np.array([x, y], float), np.array([n - x, m - y], float)
        p, q = np.full(2, (x + y) / (n + m)), np.full(2, (n + m - x - y) / (n + m))
        return float((deviance(wins, losses, p, q) - mixture_cost(wins, losses)).sum())

    n, m = first.restarts, second.restarts
    above = beats(first.global_, n, second.global_ + second.undecided, m)
    below = beats(second.global_, m, first.global_ + first.undecided, n)
    return _decide(above, below, confidence)


def decide_better_paired(counts: PairedCounts, confidence: float = 0.95) -> Decision:
    """Whether the first setting reaches the global minimum more often, on the same restarts.

    Of the discordant pairs the first wins half if both are equally good: a bet on that
    proportion decides, whatever the number of concordant pairs.

    Args:
        counts: outcomes of a prefix of restart indices.
        confidence: one minus the probability of ever being wrong, in (0, 1).

    Raises:
        InputError: if the confidence is not in (0, 1).
    """

    def beats(wins: int, losses: int) -> float:
        if wins <= losses:
            return 0.0
        x, y, half = (np.array(v, float) for v in (wins, losses, 0.5))
        return float(deviance(x, y, half, half) - mixture_cost(x, y))

    worst, best = counts.least, counts.most
    return _decide(beats(*worst), beats(best[1], best[0]), confidence)


def _decide(above: float, below: float, confidence: float) -> Decision:
    """The direction whose log capital has reached log(1/α); never both."""
    limit = refuting_capital(confidence)
    if above >= limit:
        return Decision.ABOVE
    return Decision.BELOW if below >= limit else Decision.OPEN
