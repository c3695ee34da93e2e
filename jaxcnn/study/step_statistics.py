"""How many steps restarts took to their outcome, in a form that merges exactly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.outcome import FINAL, Outcome

_BINS = 33  # bit lengths of a uint32
_TOGETHER, _SETS = 2**17, 2**10  # restarts and sets that are summarised at once: a few MB


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
        return next(cls.of_each([(outcomes, steps)]))

    @classmethod
    def of_each(
        cls, parts: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint32]]]
    ) -> Iterator[StepStatistics]:
        """Summarise each of several sets of restarts: outcomes and steps, both shape (N,).

        Many small sets are summarised together, in a tenth of the time.
        """
        waiting: list[tuple[NDArray[np.uint8], NDArray[np.uint32]]] = []
        restarts = 0
        for part in parts:
            waiting.append(part)
            restarts += part[1].size
            if restarts >= _TOGETHER or len(waiting) == _SETS:
                yield from cls._of_all(waiting)
                waiting, restarts = [], 0
        if waiting:
            yield from cls._of_all(waiting)

    @classmethod
    def _of_all(
        cls, parts: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint32]]]
    ) -> Iterator[StepStatistics]:
        size, sets = len(FINAL) + 1, len(parts)
        sizes = [part[1].size for part in parts]
        steps = np.concatenate([part[1] for part in parts])
        if int(steps.max(initial=0)) ** 2 * max(sizes) >= 2**53:
            for outcomes, own in parts:
                present = np.flatnonzero(np.bincount(outcomes, minlength=size)).tolist()
                yield cls({FINAL[value - 1]: Steps.of(own[outcomes == value]) for value in present})
            return
        # All sets and outcomes at once, in doubles, which these sums do not exceed.
        place = np.repeat(np.arange(sets) * size, sizes)
        place += np.concatenate([part[0] for part in parts])
        place, steps, times = _gathered(place, steps, sets * size)
        number = steps.astype(np.float64)
        sums = number, number * number
        if times is not None:
            sums = sums[0] * times, sums[1] * times
        total, squares = (np.bincount(place, weights, sets * size) for weights in sums)
        most = np.zeros(sets * size, dtype=np.uint32)
        np.maximum.at(most, place, steps)
        bins = place * _BINS + np.frexp(number)[1]
        log2 = np.bincount(bins, times, sets * size * _BINS).astype(np.int64).reshape(-1, _BINS)
        restarts = log2.sum(axis=1)
        rows: list[dict[Outcome, Steps]] = [{} for _ in range(sets)]
        (found,) = np.nonzero(restarts)
        columns = (restarts, total.astype(np.int64), squares.astype(np.int64), most, log2)
        lists = [column[found].tolist() for column in columns]
        for row, n, sum_, squared, top, bits in zip(found.tolist(), *lists, strict=True):
            one = Steps(n, sum_, squared, top, tuple(bits[: top.bit_length() + 1]))
            rows[row // size][FINAL[row % size - 1]] = one
        yield from map(cls, rows)

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


def _gathered(
    place: NDArray[np.int64], steps: NDArray[np.uint32], places: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64] | None]:
    """Places and steps that occur, each pair once if that is quick, and how often they do.

    Steps are multiples of the steps between two verdicts, so that there are few pairs.
    """
    common = int(np.bitwise_or.reduce(steps, initial=0))
    shift = np.uint32((common & -common).bit_length() - 1 if common else 0)
    values = int(steps.max(initial=0) >> shift) + 1
    if places * values > 2 * steps.size:
        return place, steps, None
    pairs = np.bincount(place * values + (steps >> shift), minlength=places * values)
    (found,) = np.nonzero(pairs)
    place = found // values
    value = (found - place * values).astype(np.uint32)
    return place, value << shift, pairs[found]
