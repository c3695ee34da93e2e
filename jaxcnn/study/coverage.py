"""Which record speaks for which restart, and whether records that overlap agree.

Overlaps come from two processes that computed the same, from a cut at another place, or from
a merge. Each restart is counted once. Records of one arithmetic (device kind, JAX version,
lane width) must agree on every restart. Across arithmetics a start beside the separatrix may
end differently, since rounding differs: such flips are counted, and accepted up to a limit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxcnn.study.unit import Task
from jaxcnn.study.unit_index import Held

FLIP_SHARE = 1e-4
FLIPS_ANYWAY = 3


class Piece(NamedTuple):
    """Restarts [first, end) of a cell, as one record has them."""

    record: Held
    first: int
    end: int

    @property
    def whole(self) -> bool:
        """Whether it is all of the record."""
        return self.end - self.first == self.record.task.count


class Overlap(NamedTuple):
    """Restarts [first, end) that one record speaks for and another has too."""

    counted: Held
    other: Held
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Flips:
    """How overlapping records of different arithmetic compare. Addition merges overlaps.

    Attributes:
        overlapping: restarts that two records of different arithmetic have.
        flipped: restarts among them with different outcomes.
    """

    overlapping: int = 0
    flipped: int = 0

    def __add__(self, other: Flips) -> Flips:
        return Flips(self.overlapping + other.overlapping, self.flipped + other.flipped)

    @property
    def limit(self) -> int:
        """Most flips that rounding beside the separatrix is believed to cause."""
        return max(FLIPS_ANYWAY, int(FLIP_SHARE * self.overlapping))

    @property
    def accepted(self) -> bool:
        """Whether there are no more flips than the limit."""
        return self.flipped <= self.limit

    def __str__(self) -> str:
        """The comparison in one line."""
        return (
            f"{self.flipped} of {self.overlapping} restarts computed on two kinds of device or "
            f"lane width end differently (limit {self.limit})"
        )


def cover(
    records: Sequence[Held], rank: Callable[[Held], tuple[str, ...]]
) -> tuple[list[Piece], list[Overlap]]:
    """Assign each restart of a cell to one record.

    The closed prefix is made of whole records if that is possible, so that their step
    statistics can be added. It is, since whoever computes a record begins it where the
    records that there were ended.

    Args:
        records: the cell's records, in any order; the result does not depend on it.
        rank: what decides between records of equal range, such as provenance and file name.

    Returns:
        Pieces in index order, not overlapping, perhaps with gaps; and the overlaps.
    """
    if len(records) == 1:
        (alone,) = records
        return [Piece(alone, alone.task.first, alone.task.end)], []
    order = sorted(records, key=lambda held: (held.task.first, -held.task.count, *rank(held)))
    pieces: list[Piece] = []
    for held in order:
        reached = pieces[-1].end if pieces else 0
        if held.task.end > reached:
            pieces.append(Piece(held, max(held.task.first, reached), held.task.end))
    closed = closed_end(pieces)
    if not all(piece.whole for piece in pieces if piece.end <= closed):
        chain = _chain(order, closed)
        pieces = chain + [piece for piece in pieces if piece.first >= closed] if chain else pieces
    taken = {id(piece.record) for piece in pieces}
    overlaps = [found for held in order for found in _overlaps(pieces, held, id(held) in taken)]
    return pieces, overlaps


def _chain(order: Sequence[Held], end: int) -> list[Piece]:
    """Whole records that follow each other from 0 to `end`, the earliest in order; or none."""
    onward: dict[int, Held | None] = {end: None}
    for held in reversed(order):
        if held.task.end in onward and held.task.first < end:
            onward[held.task.first] = held
    chain: list[Piece] = []
    at = onward.get(0)
    while at is not None:
        chain.append(Piece(at, at.task.first, at.task.end))
        at = onward[at.task.end]
    return chain


def _overlaps(pieces: Sequence[Piece], held: Held, taken: bool) -> Iterable[Overlap]:
    start = bisect_right(pieces, held.task.first, key=lambda piece: piece.end)
    for piece in pieces[start:]:
        first, end = max(piece.first, held.task.first), min(piece.end, held.task.end)
        if first >= end:
            return
        if not (taken and piece.record is held):
            yield Overlap(piece.record, held, first, end)


def closed_end(pieces: Sequence[Piece]) -> int:
    """The n for which all of the restarts [0, n) are there, and no larger one."""
    reached = 0
    for piece in pieces:
        if piece.first > reached:
            break
        reached = piece.end
    return reached


def gaps(pieces: Sequence[Piece], cell: int, first: int, end: int) -> list[Task]:
    """The restarts in [first, end) that no piece has, as tasks."""
    missing, reached = [], first
    for piece in pieces:
        if piece.first >= end:
            break
        if piece.first > reached:
            missing.append(Task(cell, reached, piece.first - reached))
        reached = max(reached, piece.end)
    if reached < end:
        missing.append(Task(cell, reached, end - reached))
    return missing


def flips_between(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> Flips:
    """Compare two lists of outcomes of the same restarts."""
    return Flips(one.size, int(np.count_nonzero(one != two)))


def without(task: Task, taken: Sequence[Task]) -> list[Task]:
    """What is left of a task when others have taken some of it."""
    if not taken:
        return [task]
    left, reached = [], task.first
    for other in sorted(taken, key=lambda other: other.first):
        if other.first > reached and reached < task.end:
            left.append(Task(task.cell, reached, min(other.first, task.end) - reached))
        reached = max(reached, other.end)
    if reached < task.end:
        left.append(Task(task.cell, reached, task.end - reached))
    return left
