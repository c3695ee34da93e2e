"""Where every record of a run lies, in about a hundred bytes each.

Records are columns of numbers, and the records of a cell are a chain from the newest to the
oldest: adding one costs the same whatever is there, and nothing is sorted or copied.
"""

from __future__ import annotations

from array import array
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

    def add(self, record: Record, file: int) -> None:
        """Add a record that lies in a file, given by number."""
        stream = self._stream_numbers.setdefault(record.stream, len(self._streams))
        if stream == len(self._streams):
            self._streams.append(record.stream)
        cell, task = record.task.cell, record.task
        place = (record.offset, record.length, record.lane_steps, stream)
        row = (task.first, task.count, *place, record.total, record.most, file, *record.counts)
        for column, number in zip(self._columns, row, strict=True):
            column.append(number)
        self._older.append(self._newest[cell])
        self._newest[cell] = len(self._older) - 1

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
