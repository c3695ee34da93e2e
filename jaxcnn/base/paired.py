"""The difference of two success probabilities, from shared or from separate restarts.

Two settings run from the same restart indices agree on most of them, and only the indices on
which they differ carry noise: the paired interval can be many times narrower than that of two
separate samples. Both are for a number of restarts that does not depend on what they showed;
to watch and stop, see `sequence`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jaxcnn.base.binomial import Array
from jaxcnn.base.checks import confidence_level, whole
from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import InputError
from jaxcnn.base.interval import Interval, clopper_pearson_many
from jaxcnn.base.outcome import Outcome

_SUCCESS, _FAILURE, _UNDECIDED = range(3)


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


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """How pairs of runs from the same start ended.

    `table[i][j]` counts the restart indices on which the first run ended as i and the second
    as j, where 0 is success (the global minimum), 1 failure (anywhere else, or diverged) and
    2 undecided. Addition merges disjoint sets of restarts.

    Raises:
        InputError: if the table is not 3 × 3 whole numbers, at least 0.
    """

    table: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]

    def __post_init__(self) -> None:
        if len(self.table) != 3 or any(len(row) != 3 for row in self.table):
            raise InputError("table", self.table, "must have three rows of three counts")
        for i, row in enumerate(self.table):
            for j, count in enumerate(row):
                whole(f"table[{i}][{j}]", count)

    @classmethod
    def decided(
        cls, *, both: int, only_first: int, only_second: int, neither: int
    ) -> PairedCounts:
        """The table without undecided runs, from who succeeded.

        Raises:
            InputError: if a count is not a whole number, at least 0.
        """
        return cls(((both, only_first, 0), (only_second, neither, 0), (0, 0, 0)))

    @classmethod
    def of(cls, first: ArrayLike, second: ArrayLike) -> PairedCounts:
        """Tabulate the outcomes of two settings on the same restart indices.

        Args:
            first: `Outcome` values, shape (N,).
            second: `Outcome` values on the same indices in the same order, shape (N,).

        Raises:
            InputError: if the shapes differ or a value is no final outcome.
        """
        one, two = np.asarray(first), np.asarray(second)
        if one.shape != two.shape:
            raise InputError("first, second", (one.shape, two.shape), "must have the same shape")
        cells = np.bincount(3 * _column("first", one) + _column("second", two), minlength=9)
        rows = [tuple(int(count) for count in cells[i : i + 3]) for i in (0, 3, 6)]
        return cls((rows[0], rows[1], rows[2]))  # type: ignore[arg-type]

    def __add__(self, other: PairedCounts) -> PairedCounts:
        total = (np.array(self.table, dtype=object) + np.array(other.table, dtype=object)).tolist()
        return PairedCounts((tuple(total[0]), tuple(total[1]), tuple(total[2])))

    @property
    def restarts(self) -> int:
        """All restart indices, whatever their outcomes."""
        return sum(map(sum, self.table))

    @property
    def estimate(self) -> float:
        """Difference of the two observed proportions; NaN without restarts."""
        firsts = sum(self.table[_SUCCESS])
        seconds = sum(row[_SUCCESS] for row in self.table)
        return (firsts - seconds) / self.restarts if self.restarts else float("nan")

    @property
    def least(self) -> tuple[int, int]:
        """(Only first, only second) succeeding, if undecided runs are all against the first.

        Its undecided runs are failures and the second's are successes.
        """
        (_, only_first, _), (only_second, _, hidden), (other, _, unknown) = self.table
        return only_first, only_second + hidden + other + unknown

    @property
    def most(self) -> tuple[int, int]:
        """(Only first, only second) succeeding, if undecided runs are all for the first."""
        (_, only_first, hidden), (only_second, _, _), (_, other, unknown) = self.table
        return only_first + hidden + other + unknown, only_second


def _column(argument: str, outcomes: np.ndarray) -> np.ndarray:
    wrong = ~np.isin(outcomes, [outcome.value for outcome in Outcome if outcome])
    if np.any(wrong):
        value = outcomes[wrong].ravel()[0].item()
        raise InputError(argument, value, "must hold final Outcome values only")
    column = np.where(outcomes == Outcome.GLOBAL, _SUCCESS, _FAILURE)
    return np.where(outcomes == Outcome.UNDECIDED, _UNDECIDED, column).ravel()


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
    (x_low, y_low), (x_high, y_high) = counts.least, counts.most
    x, y = np.array([x_low, x_high], float), np.array([y_low, y_high], float)
    low, high = paired_difference_many(x, y, counts.restarts, confidence)
    return Difference(counts.estimate, Interval(float(low[0]), float(high[1]), confidence))


def paired_difference_many(
    only_first: ArrayLike, only_second: ArrayLike, restarts: ArrayLike, confidence: float = 0.95
) -> tuple[Array, Array]:
    """Lower and upper ends of the paired interval, for a whole table.

    With x = only_first, y = only_second, n = restarts, and (l, u) the Clopper–Pearson ends of
    each proportion at the same confidence, the lower end is

        (x − y)/n − √(A² + 2 ρ A B + B²),   A = x/n − l_x,   B = u_y − y/n,

    and the upper end swaps the settings. ρ = √(x'y'/((n' − x')(n' − y'))), with 1 added to x,
    y and n, is minus the correlation of the two proportions, taken as 1 where it exceeds 1.

    The combination is Zou & Donner's; it is as narrow as the normal interval at large counts.
    They use Wilson limits and the plain ρ, which cover less than they claim when discordant
    pairs are few or when nearly all pairs are discordant. With exact limits and this ρ, exact
    enumeration found no coverage below nominal (n = 1 … 150, confidence 0.5 … 0.999, and the
    Poisson limit); adding two exact intervals at half the error is up to 1.6 times wider.

    Args:
        only_first: restarts on which only the first setting succeeded, any shape.
        only_second: restarts on which only the second did.
        restarts: all restarts.
        confidence: in (0, 1).

    Returns:
        low and high, in the broadcast shape, within [−1, 1].

    Raises:
        InputError: if the shapes do not fit or an entry is out of its range.

    Source: Zou & Donner, Stat. Med. 27 (2008) 1693; Newcombe, Stat. Med. 17 (1998) 2635.
    """
    confidence_level(confidence)
    low_x, high_x = clopper_pearson_many(only_first, restarts, confidence)
    low_y, high_y = clopper_pearson_many(only_second, restarts, confidence)
    x, y = np.asarray(only_first, float), np.asarray(only_second, float)
    n = np.asarray(restarts, float)
    if np.any(x + y > n):
        raise InputError("only_first + only_second", float(np.max(x + y)), "must be at most restarts")
    # 1 where x' + y' ≥ n': written so that it never divides by zero.
    odd = np.minimum((x + 1.0) * (y + 1.0), np.maximum(n - x, 0.0) * np.maximum(n - y, 0.0))
    rho = np.sqrt(odd / np.maximum((n - x) * (n - y), 1.0))
    rho = np.where(x + y + 1.0 >= n, 1.0, rho)
    return _combine(x, y, n, n, (low_x, high_x), (low_y, high_y), rho)


def unpaired_difference(first: Counts, second: Counts, confidence: float = 0.95) -> Difference:
    """How much more often the first setting reaches the global minimum, on separate restarts.

    The same combination of Clopper–Pearson limits with ρ = 0. Undecided runs are successes or
    failures, whichever makes the interval wider. Exact enumeration found no coverage below
    nominal (n from 1 to 60 on either side, confidence 0.8 … 0.99, and the Poisson limit).

    Args:
        first: outcomes of a fixed number of restarts.
        second: outcomes of a fixed number of other restarts.
        confidence: in (0, 1).

    Raises:
        InputError: if the confidence is not in (0, 1).

    Source: Zou & Donner, Stat. Med. 27 (2008) 1693.
    """
    confidence_level(confidence)
    x = np.array([first.global_, first.global_ + first.undecided], float)
    y = np.array([second.global_ + second.undecided, second.global_], float)
    n, m = np.full(2, float(first.restarts)), np.full(2, float(second.restarts))
    low, high = _combine(
        x, y, n, m,
        clopper_pearson_many(x, n, confidence),
        clopper_pearson_many(y, m, confidence),
        np.zeros(2),
    )  # fmt: skip
    estimate = float("nan")
    if first.restarts and second.restarts:
        estimate = first.global_ / first.restarts - second.global_ / second.restarts
    return Difference(estimate, Interval(float(low[0]), float(high[1]), confidence))


def _combine(
    x: Array, y: Array, n: Array, m: Array,
    limits_x: tuple[Array, Array], limits_y: tuple[Array, Array], rho: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """The square-and-add interval of x/n − y/m; [−1, 1] without trials."""
    p, q = x / np.maximum(n, 1.0), y / np.maximum(m, 1.0)
    down, up = p - limits_x[0], limits_y[1] - q
    low = p - q - np.sqrt(down * down + 2.0 * rho * down * up + up * up)
    down, up = limits_x[1] - p, q - limits_y[0]
    high = p - q + np.sqrt(down * down + 2.0 * rho * down * up + up * up)
    empty = (n == 0.0) | (m == 0.0)
    low, high = np.where(empty, -1.0, low), np.where(empty, 1.0, high)
    return np.maximum(low, -1.0), np.minimum(high, 1.0)
