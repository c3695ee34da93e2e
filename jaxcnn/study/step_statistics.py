"""How many steps restarts took to their outcome, in a form that merges exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.outcome import FINAL, Outcome

_BINS = 33  # bit lengths of a uint32
_NAMES = tuple(outcome.name.lower() for outcome in Outcome)

Row = list[int]
"""`Steps` in one list: restarts, total, squares, most, and then log2."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps of a set of restarts: count, sum, sum of squares, largest, and a histogram.

    All are whole numbers, so that addition, which merges disjoint sets, is exact in any order.

    Attributes:
        restarts: number of restarts.
        total: sum of their steps.
        squares: sum of the squares.
        most: largest number of steps; 0 without restarts.
        log2: restarts by the bit length of their steps: `log2[0]` took 0 steps and `log2[j]`
            took from 2^(j−1) to 2^j − 1; zeros at the end are left out.
    """

    restarts: int = 0
    total: int = 0
    squares: int = 0
    most: int = 0
    log2: tuple[int, ...] = ()

    def __add__(self, other: Steps) -> Steps:
        long, short = sorted((self.log2, other.log2), key=len, reverse=True)
        short = short + (0,) * (len(long) - len(short))
        return Steps(
            self.restarts + other.restarts,
            self.total + other.total,
            self.squares + other.squares,
            max(self.most, other.most),
            tuple(a + b for a, b in zip(long, short, strict=True)),
        )

    @classmethod
    def of(cls, steps: NDArray[np.uint32]) -> Steps:
        """Summarise an array of steps, shape (N,)."""
        if not steps.size:
            return cls()
        # Squares of 32 bits overflow a 64-bit sum; sums over halves of 16 bits do not.
        high, low = steps.astype(np.uint64) >> np.uint64(16), steps.astype(np.uint64) % 2**16
        parts = [int(np.sum(a * b)) for a, b in ((high, high), (high, low), (low, low))]
        bits = np.frexp(steps.astype(np.float64))[1]  # bit length; exact, since 32 < 53
        return cls(
            int(steps.size),
            int(np.sum(steps, dtype=np.uint64)),
            (parts[0] << 32) + (parts[1] << 17) + parts[2],
            int(steps.max()),
            tuple(np.bincount(bits).tolist()),
        )

    @property
    def mean(self) -> float:
        """Mean number of steps; NaN without restarts."""
        return self.total / self.restarts if self.restarts else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the steps; NaN without restarts."""
        if not self.restarts:
            return math.nan
        spread = self.restarts * self.squares - self.total**2
        return math.sqrt(spread) / self.restarts

    def words(self) -> list[Any]:
        """Plain numbers for a result file, read back by `from_words`."""
        return [self.restarts, self.total, self.squares, self.most, list(self.log2)]

    @classmethod
    def from_words(cls, words: Any) -> Steps:
        """The inverse of `words`.

        Raises:
            ValueError: if the words are not those of a possible set of steps.
        """
        restarts, total, squares, most, log2 = words
        numbers = (restarts, total, squares, most, *log2)
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError("step statistics must be whole numbers")
        bins = most.bit_length() + 1 if restarts else 0
        if sum(log2) != restarts or len(log2) != bins or bins > _BINS:
            raise ValueError("step statistics contradict themselves")
        if not total <= restarts * most or not total**2 <= restarts * squares:
            raise ValueError("step statistics contradict themselves")
        return cls(restarts, total, squares, most, tuple(log2))


_NONE = Steps()


@dataclass(frozen=True, slots=True)
class StepStatistics:
    """`Steps` for each outcome that occurred. Addition merges disjoint sets of restarts."""

    by_outcome: Mapping[Outcome, Steps] = field(default_factory=dict)

    def __add__(self, other: StepStatistics) -> StepStatistics:
        return StepStatistics({
            outcome: self[outcome] + other[outcome]
            for outcome in FINAL
            if outcome in self.by_outcome or outcome in other.by_outcome
        })  # fmt: skip

    def __getitem__(self, outcome: Outcome) -> Steps:
        return self.by_outcome.get(outcome, _NONE)

    @property
    def all(self) -> Steps:
        """Steps of all restarts, whatever their outcome."""
        return sum(self.by_outcome.values(), Steps())

    @classmethod
    def of(cls, outcomes: NDArray[np.uint8], steps: NDArray[np.uint32]) -> StepStatistics:
        """Summarise restarts: outcomes and steps, both shape (N,)."""
        (rows,) = rows_of_each(outcomes, steps, [steps.size])
        return cls.from_words({name: [*row[:4], row[4:]] for name, row in rows.items()})

    def words(self) -> dict[str, list[Any]]:
        """Plain numbers by the outcomes' names, read back by `from_words`."""
        return {outcome.name.lower(): steps.words() for outcome, steps in self.by_outcome.items()}

    @classmethod
    def from_words(cls, words: Any) -> StepStatistics:
        """The inverse of `words`.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: if they are no such words.
        """
        return cls({
            Outcome[name.upper()]: Steps.from_words(numbers) for name, numbers in words.items()
        })  # fmt: skip


def rows_of_each(
    outcomes: NDArray[np.uint8], steps: NDArray[np.uint32], sizes: Sequence[int]
) -> list[dict[str, Row]]:
    """Summarise several sets of restarts: for each, rows by the names of the outcomes it has.

    Many small sets are summarised together, in a tenth of the time.

    Args:
        outcomes: final `Outcome` values of all sets, one set behind the other, shape (N,).
        steps: steps to the outcome, shape (N,).
        sizes: restarts of each set; the sum is N. Every set takes some kB here.
    """
    rows: list[dict[str, Row]] = [{} for _ in sizes]
    if not steps.size:
        return rows
    low, high = int(outcomes.min()), int(outcomes.max())
    names = _NAMES[low : high + 1]
    places = len(sizes) * len(names)  # one for each set and outcome
    place = np.repeat(np.arange(0, places, len(names), dtype=np.uint32), sizes)
    place += outcomes - np.uint8(low)
    largest = int(steps.max()) ** 2 * max(sizes)  # no sum of squares exceeds it
    sums = _sums_by_number(place, steps, places) if largest < 2**63 else None
    if sums is None and largest < 2**53:
        sums = _sums(place, steps, places)
    if sums is None:
        cuts = np.cumsum(sizes)[:-1]
        parts = zip(np.split(outcomes, cuts), np.split(steps, cuts), strict=True)
        return [_rows_of_long(*part) for part in parts]
    (found,) = np.nonzero(sums[:, 0])
    for at, row in zip(found.tolist(), sums[found].tolist(), strict=True):
        rows[at // len(names)][names[at % len(names)]] = row[: 5 + row[3].bit_length()]
    return rows


def _rows_of_long(outcomes: NDArray[np.uint8], steps: NDArray[np.uint32]) -> dict[str, Row]:
    """The rows of a set whose sums may be long: Python adds them."""
    owns = {outcome.name.lower(): Steps.of(steps[outcomes == outcome]) for outcome in FINAL}
    return {
        name: [own.restarts, own.total, own.squares, own.most, *own.log2]
        for name, own in owns.items()
        if own.restarts
    }


def _sums(place: NDArray[np.uint32], steps: NDArray[np.uint32], places: int) -> NDArray[np.int64]:
    """The row of each place, zeros at the end included, shape (places, 4 + bins)."""
    number = steps.astype(np.float64)  # which holds these sums exactly
    bins = place.astype(np.int64) * _BINS + np.frexp(number)[1]
    log2 = np.bincount(bins, minlength=places * _BINS).reshape(places, _BINS)
    total, squares = (np.bincount(place, of, places) for of in (number, number * number))
    most = np.zeros(places, dtype=np.uint32)
    np.maximum.at(most, place, steps)
    return np.column_stack((log2.sum(axis=1), total, squares, most, log2)).astype(np.int64)


def _sums_by_number(
    place: NDArray[np.uint32], steps: NDArray[np.uint32], places: int
) -> NDArray[np.int64] | None:
    """`_sums` from how often each number of steps occurs; None where that takes longer.

    Steps are multiples of the steps between two verdicts, so that there are few numbers.
    """
    numbered = _numbered(steps, most=2 * steps.size // places)
    if numbered is None:
        return None
    numbers, which = numbered
    which *= np.uint32(places)
    which += place
    size = numbers.size * places
    times = np.bincount(which, minlength=size).reshape(numbers.size, places)
    bits = np.frexp(numbers.astype(np.float64))[1]
    sums = np.zeros((places, 5 + bits[-1]), dtype=np.int64)
    cuts = np.searchsorted(bits, np.arange(bits[-1] + 2)).tolist()
    for length, (first, end) in enumerate(pairwise(cuts)):
        if first < end:
            sums[:, 4 + length] = times[first:end].sum(axis=0)
    sums[:, 0] = sums[:, 4:].sum(axis=1)
    sums[:, 1] = np.einsum("n,np->p", numbers, times)
    sums[:, 2] = np.einsum("n,np->p", numbers * numbers, times)
    sums[:, 3] = np.max((times > 0) * numbers[:, None], axis=0)
    return sums


def _numbered(
    steps: NDArray[np.uint32], most: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32]] | None:
    """At most so many numbers, in increasing order, and which of them each of the steps is.

    None if there are more, or if it would take long to find them.
    """
    common = int(np.bitwise_or.reduce(steps))
    shift = (common & -common).bit_length() - 1 if common else 0
    which = steps >> np.uint32(shift)
    size = int(which.max()) + 1
    if size > 2 * steps.size:
        return None
    numbers = np.arange(size)
    if size > most:  # some runs may have gone much farther than the rest: leave out what none has
        (numbers,) = np.nonzero(np.bincount(which, minlength=size))
        place = np.zeros(size, dtype=np.uint32)
        place[numbers] = np.arange(numbers.size)
        which = place[which]
    return (numbers << shift, which) if numbers.size <= most else None
