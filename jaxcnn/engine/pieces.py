"""Jobs on the host cut into launches, and the arrays that a launch is handed.

Cutting never changes an outcome, since a restart is a function of its index alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from jaxcnn.engine.address import WORD, block_words
from jaxcnn.engine.lanes import LaneSettings, Work
from jaxcnn.engine.packing import Table


class Job(NamedTuple):
    """Restarts [first, first + count) of one cell.

    Attributes:
        params: the family's parameters, a tree of NumPy arrays.
        first: first restart index, below 2⁶³.
        count: number of restarts.
        max_steps: step limit.
    """

    params: Any
    first: int
    count: int  # type: ignore[assignment]  # hides tuple.count
    max_steps: int


class Piece(NamedTuple):
    """A range of restarts of one job: [first, first + count), from `offset` on in its results."""

    job: int
    offset: int
    first: int
    count: int  # type: ignore[assignment]  # hides tuple.count


def launches_of(jobs: Sequence[Job], settings: LaneSettings, workers: int) -> Iterator[list[Piece]]:
    """Cut jobs into launches.

    Work that fits `workers` launches is dealt so that every launch holds a share of every
    job: slow cells then end side by side. More work is taken in order, in full launches; many
    small jobs in as many launches for each worker, so that all end together.
    """
    per_launch = 1 if settings.shared else settings.tasks
    total = sum(job.count for job in jobs)
    parts = 1
    if total <= workers * settings.capacity and len(jobs) <= per_launch:
        parts = max(1, min(workers, total // settings.width))
    elif len(jobs) > per_launch:
        rounds = -(-len(jobs) // (per_launch * workers))
        per_launch = -(-len(jobs) // (rounds * workers))
    groups: list[list[Piece]] = [[] for _ in range(parts)]
    for number, job in enumerate(jobs):
        cuts = [job.count * i // parts for i in range(parts + 1)]
        for i in range(parts):
            size = cuts[i + 1] - cuts[i]
            groups[i].extend(_within_words(number, cuts[i], job.first + cuts[i], size))
    for group in groups:
        pending: list[Piece] = []
        room = settings.capacity
        for piece in group:
            while piece.count:
                if len(pending) == per_launch or room == 0:
                    yield pending
                    pending, room = [], settings.capacity
                count = min(room, piece.count)
                pending.append(piece._replace(count=count))
                room -= count
                piece = piece._replace(
                    offset=piece.offset + count,
                    first=piece.first + count,
                    count=piece.count - count,
                )
        if pending:
            yield pending


def _within_words(job: int, offset: int, first: int, count: int) -> Iterator[Piece]:
    """Cut a range at multiples of 2³², where the low word of an index would wrap."""
    while count:
        size = min(count, WORD - first % WORD)
        yield Piece(job, offset, first, size)
        offset, first, count = offset + size, first + size, count - size


def work_of(
    jobs: Sequence[Job], pieces: Sequence[Piece], seed: int, settings: LaneSettings
) -> Work:
    """The arrays of one launch, padded to the compiled shape."""
    tasks = 1 if settings.shared else settings.tasks
    padded = np.minimum(np.arange(tasks), len(pieces) - 1)
    table = Table.of([jobs[piece.job].params for piece in pieces])
    ends = list(accumulate(p.count for p in pieces))
    return Work(
        params=table if len(pieces) == tasks else table.take(padded),
        roots=np.array([block_words(seed, p.first // WORD) for p in pieces])[padded],
        low=np.array([p.first % WORD for p in pieces], np.uint32)[padded],
        ends=np.array(ends, np.int32)[padded],
        max_steps=np.array([jobs[p.job].max_steps for p in pieces], np.int32)[padded],
        every=np.asarray(settings.check_every, np.int32),
    )
