"""Outcome counts of two settings run from the same restarts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxcnn.base.checks import whole
from jaxcnn.base.errors import InputError
from jaxcnn.base.outcome import FINAL, Outcome

_SUCCESS, _FAILURE, _UNDECIDED = range(3)

Row = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """How pairs of runs from the same start ended.

    `table[i][j]` counts the restart indices on which the first run ended as i and the second
    as j, where 0 is success (the global minimum), 1 failure (anywhere else, or diverged) and
    2 undecided. Addition merges disjoint sets of restarts.

    Raises:
        InputError: if the table is not 3 × 3 whole numbers, at least 0.
    """

    table: tuple[Row, Row, Row]

    def __post_init__(self) -> None:
        if len(self.table) != 3 or any(len(row) != 3 for row in self.table):
            raise InputError("table", self.table, "must have three rows of three counts")
        for i, row in enumerate(self.table):
            for j, count in enumerate(row):
                whole(f"table[{i}][{j}]", count)

    @classmethod
    def decided(cls, *, both: int, only_first: int, only_second: int, neither: int) -> PairedCounts:
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
        return cls(_table(cells.tolist()))

    def __add__(self, other: PairedCounts) -> PairedCounts:
        pairs = zip(chain(*self.table), chain(*other.table), strict=True)
        return PairedCounts(_table([one + two for one, two in pairs]))

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


def _table(cells: list[int]) -> tuple[Row, Row, Row]:
    first, second, third = ((cells[i], cells[i + 1], cells[i + 2]) for i in (0, 3, 6))
    return first, second, third


def _column(argument: str, outcomes: NDArray[Any]) -> NDArray[Any]:
    wrong = ~np.isin(outcomes, FINAL)
    if np.any(wrong):
        value = outcomes[wrong].ravel()[0].item()
        raise InputError(argument, value, "must hold final Outcome values only")
    column = np.where(outcomes == Outcome.GLOBAL, _SUCCESS, _FAILURE)
    return np.where(outcomes == Outcome.UNDECIDED, _UNDECIDED, column).ravel()
