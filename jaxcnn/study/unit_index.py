"""Where every record of a run lies, in about a hundred bytes each.

Records are columns of numbers, and the records of a cell are a chain from the newest to the
oldest: adding one costs the same whatever is there, and nothing is sorted or copied.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from jaxcnn.base.outcome import FINAL
from jaxcnn.study.unit import Task
from jaxcnn.study.unit_file import Record

_NONE = -1


class Held(NamedTuple):
    """A record in the index: `Record`, and the number of the file it lies in."""

    task: Task
    counts: tuple[int, ...]
    offset: int
    length: int
    lane_steps: int
    stream: str
    total: int
    most: int
    file: int


class UnitIndex:
    """The records of a run by cell.

    Args:
        cells: number of cells.
    """

    def __init__(self, cells: int) -> None:
        self._newest = array("q", [_NONE]) * cells
        self._older = array("q")
        self._columns = tuple(array("q") for _ in range(9 + len(FINAL)))
        self._streams: list[str] = []
        self._stream_numbers: dict[str, int] = {}

    def __len__(self) -> int:
        """Number of records."""
        return len(self._older)

    def has(self, cell: int) -> bool:
        """Whether there is a record of a cell."""
        return self._newest[cell] != _NONE

    def add(self, records: Sequence[Record], file: int) -> list[bool]:
        """Add the records of a file, given by number.

        Returns:
            For each record, whether there was none of its cell before.
        """
        if not records:
            return []
        tasks, counts, offsets, lengths, paid, streams, totals, most = zip(*records, strict=True)
        numbers = (
            [task.first for task in tasks],
            [task.count for task in tasks],
            *(offsets, lengths, paid, [self._number_of(stream) for stream in streams]),
            *(totals, most, [file] * len(records)),
            *zip(*counts, strict=True),
        )
        for column, more in zip(self._columns, numbers, strict=True):
            column.extend(more)
        newest, older = self._newest, self._older
        fresh = []
        for row, task in enumerate(tasks, start=len(older)):
            before = newest[task.cell]
            fresh.append(before == _NONE)
            older.append(before)
            newest[task.cell] = row
        return fresh

    def _number_of(self, stream: str) -> int:
        number = self._stream_numbers.setdefault(stream, len(self._streams))
        if number == len(self._streams):
            self._streams.append(stream)
        return number

    def of(self, cell: int) -> list[Held]:
        """All records of a cell, the newest first."""
        held, row = [], self._newest[cell]
        while row != _NONE:
            first, count, offset, length, paid, stream, total, most, file, *counts = [
                column[row] for column in self._columns
            ]
            task, name = Task(cell, first, count), self._streams[stream]
            place = (offset, length, paid, name)
            held.append(Held(task, tuple(counts), *place, total, most, file))
            row = self._older[row]
        return held
