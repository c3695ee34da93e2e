"""What to compute next: bundles of tasks that keep one worker busy for some seconds.

    run, goals ──► next_bundle ──► tasks ──► any executor ──► run directory
                       ▲                           │
                       └──────── pace ◄────────────┘

Bundles differ between machines and from one attempt to the next; the restarts that a finished
study has do not, since the goals fix them (see `goals`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.errors import InputError
from jaxcnn.study.coverage import without
from jaxcnn.study.goals import Goals, Standing
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.study import Study
from jaxcnn.study.unit import Task, UnitResult
from jaxcnn.study.unit_file import BLOCK, Line

SECONDS = 20.0
MOST_IN_BUNDLE = 2**24
MOST_TASKS = 2**12
FIRST_BUNDLE = 2**12
_GROWTH = 512
_FINEST = 2**8
_CELLS_PER_PART = 8


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of a study that one of several jobs computes.

    Cells are dealt out whole, and scattered so that no part gets all of one step size. A
    study of fewer cells than eight for each part that stops at a number of restarts is dealt
    out in blocks of restarts; one that stops at a width or a decision cannot be, since only
    who sees all restarts of a cell knows when to stop.

    Attributes:
        number: which part, from 0.
        parts: how many there are.
    """

    number: int = 0
    parts: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.parts:
            raise InputError("shard", f"{self.number}/{self.parts}", "must be i/n with 0 <= i < n")

    def cells(self, study: Study) -> NDArray[np.bool_]:
        """The cells of which this part computes something, shape (cells,)."""
        if self._in_blocks(study):
            return np.ones(len(study), dtype=bool)
        own = np.arange(len(study))
        if study.references is not None:
            own = np.where(study.references >= 0, study.references, own)
        mine: NDArray[np.bool_] = _scattered(own) % self.parts == self.number
        return mine

    def share(self, study: Study, task: Task) -> list[Task]:
        """What of a task this part computes."""
        if not self._in_blocks(study):
            return [task]
        mine = []
        for first in range(task.first // BLOCK * BLOCK, task.end, BLOCK):
            if (task.cell + first // BLOCK) % self.parts == self.number:
                start, end = max(first, task.first), min(first + BLOCK, task.end)
                mine.append(Task(task.cell, start, end - start))
        return mine

    def _in_blocks(self, study: Study) -> bool:
        if self.parts == 1 or study.restarts is None:
            return False
        return len(study) < _CELLS_PER_PART * self.parts


WHOLE = Shard()


def _scattered(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers in which neighbours and strides of a grid are far apart (Knuth's hash)."""
    return (cells * 2654435761 % 2**32) >> 16


class Pace:
    """How fast restarts go here, learned from finished bundles.

    Restarts are weighed by the lane-steps they cost, which differ a thousandfold between
    cells; a cell that has not been run is taken for an average one.

    Args:
        seconds: how long a bundle should take.
        first: restarts of the first bundle, of which nothing is learned yet.
    """

    def __init__(self, seconds: float = SECONDS, first: int = FIRST_BUNDLE) -> None:
        self._seconds = seconds
        self._weight = 1.0
        self._rate = 0.0  # weight a second; 0 before the first bundle, which counts restarts
        self._budget = float(first)

    @property
    def budget(self) -> float:
        """Weight of the next bundle."""
        return self._budget

    def weights(self, run: RunDirectory, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Weight of one restart of each of some cells."""
        if not self._rate:
            return np.ones(cells.size)
        paid, restarts = run.costs()[cells].T
        return np.where(paid > 0, paid / np.maximum(restarts, 1), self._weight)

    def observe(self, results: Sequence[Line | UnitResult], seconds: float) -> None:
        """Learn from a bundle and the time it took."""
        restarts = sum(result.task.count for result in results)
        weight = float(sum(result.lane_steps for result in results)) or float(restarts)
        mean, rate = weight / restarts, weight / max(seconds, 1e-6)
        self._weight = 0.5 * (self._weight + mean) if self._rate else mean
        self._rate = 0.5 * (self._rate + rate) if self._rate else rate
        self._budget = min(self._rate * self._seconds, _GROWTH * weight)


def next_bundle(
    run: RunDirectory,
    goals: Goals,
    pace: Pace,
    *,
    busy: Iterable[Task] = (),
    workers: int = 1,
    shard: Shard = WHOLE,
) -> list[Task]:
    """The tasks that a free worker should compute, the widest cell first; none if all is done.

    Args:
        run: what there is.
        goals: what is needed, up to date.
        pace: how much makes a bundle.
        busy: tasks that others are computing.
        workers: how many share the work; near the end their bundles get smaller.
        shard: the part of the study to stay in.
    """
    closed = run.closed()
    needed = np.where(shard.cells(run.study), goals.target - closed, 0)
    (cells,) = np.nonzero((goals.standing == Standing.OPEN) & (needed > 0))
    if run.study.restarts is None:
        cells = cells[np.argsort(-goals.width[cells], kind="stable")]
    weights = pace.weights(run, cells).tolist()
    taken: dict[int, list[Task]] = {}
    for task in busy:
        taken.setdefault(task.cell, []).append(task)
    room = pace.budget
    if workers > 1 and cells.size:
        left = int(needed[cells].sum()) - sum(t.count for own in taken.values() for t in own)
        share = max(left, 0) * weights[0] / (2 * workers)
        room = min(room, max(share, room / 64))
    bundle: list[Task] = []
    most = MOST_IN_BUNDLE
    targets = goals.target[cells].tolist()
    for cell, target, weight in zip(cells.tolist(), targets, weights, strict=True):
        for gap in run.missing(cell, target):
            for task in without(gap, taken.get(cell, ())):
                for part in shard.share(run.study, task):
                    piece = _part(part, min(most, max(int(room / weight), _FINEST)))
                    bundle.append(piece)
                    room -= piece.count * weight
                    most -= piece.count
                    full = room <= 0 or most < _FINEST or len(bundle) == MOST_TASKS
                    if full or piece.count < part.count:
                        return bundle
    return bundle


def _part(task: Task, room: int) -> Task:
    """As much of a task as there is room for, ending where others would cut as well."""
    if task.count <= room:
        return task
    grain = min(BLOCK, max(_FINEST, 2 ** (max(room // 4, 1).bit_length() - 1)))
    end = (task.first + room) // grain * grain
    end = end if end > task.first else min(task.end, task.first // grain * grain + grain)
    return Task(task.cell, task.first, end - task.first)
