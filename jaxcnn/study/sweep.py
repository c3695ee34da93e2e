"""Run a study: plan, compute, keep, until every cell has what it needs.

    while something is needed:  next_bundle ──► executor ──► run directory

The run directory is the only state. An interrupted sweep goes on where it stopped; two sweeps
on one directory are safe, and take in each other's units.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from jaxcnn.base.cell import Cell
from jaxcnn.base.interval import proportion_bounds_many
from jaxcnn.base.outcome import FINAL, Outcome
from jaxcnn.study.goals import Goals, Standing
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.schedule import WHOLE, Pace, Shard, next_bundle
from jaxcnn.study.study import Study
from jaxcnn.study.unit import Provenance, Runner, Task
from jaxcnn.study.unit_file import Line, lines


class Bundle(NamedTuple):
    """Finished tasks: what they were, their results as lines, what computed them, seconds."""

    tasks: Sequence[Task]
    lines: Sequence[Line]
    provenance: Provenance
    seconds: float


def compute(runner: Runner, cells: Sequence[Cell], tasks: Sequence[Task]) -> Bundle:
    """One bundle: lines are made of what has landed while the runner computes the rest."""
    began = time.perf_counter()
    made = list(lines(runner(cells, tasks)))
    # In the order of the tasks, so that the file does not depend on what landed first.
    place: dict[int, int] = {}
    for task in tasks:
        place.setdefault(task.cell, len(place))
    made.sort(key=lambda line: (place[line.task.cell], line.task.first))
    return Bundle(tasks, made, runner.provenance, time.perf_counter() - began)


class Executor(Protocol):
    """Where bundles are computed.

    Attributes:
        workers: how many bundles it computes at once.
        depth: how many it should be given at once, so that no worker waits.
    """

    @property
    def workers(self) -> int: ...  # noqa: D102 - above

    @property
    def depth(self) -> int: ...  # noqa: D102

    def submit(self, cells: Sequence[Cell], tasks: Sequence[Task]) -> None:
        """Begin a bundle; `cells[i]` is the cell of `tasks[i]`."""
        ...

    def finished(self) -> Bundle:
        """Wait for a bundle that was submitted, whichever is done first."""
        ...


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """How far a sweep is.

    Attributes:
        cells_done: cells that need nothing more.
        cells: all cells.
        restarts: restarts counted.
        needed: restarts needed before the next look at every open cell.
        low: lower end of the interval of the least certain cell that is not done, or NaN.
        high: its upper end.
    """

    cells_done: int
    cells: int
    restarts: int
    needed: int
    low: float
    high: float

    def __str__(self) -> str:
        """A few words, for a bar."""
        cells = f"{self.cells_done}/{self.cells} cells"
        known = self.low == self.low
        return f"{cells}, widest [{self.low:.4f}, {self.high:.4f}]" if known else cells


Progress = Callable[[SweepProgress], None]


class InProcess:
    """An executor that computes in this process when asked for the result."""

    workers = 1
    depth = 1

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._waiting: list[tuple[Sequence[Cell], Sequence[Task]]] = []

    def submit(self, cells: Sequence[Cell], tasks: Sequence[Task]) -> None:
        """Keep a bundle for `finished`."""
        self._waiting.append((cells, tasks))

    def finished(self) -> Bundle:
        """Compute the oldest bundle."""
        return compute(self._runner, *self._waiting.pop(0))


def sweep_in_process(
    study: Study,
    directory: str | Path,
    runner: Runner,
    progress: Progress | None = None,
    *,
    shard: Shard = WHOLE,
) -> RunDirectory:
    """Run a study here, beginning or resuming a run directory.

    Args:
        study: what to run.
        directory: where results are kept.
        runner: the engine.
        progress: called after each bundle.
        shard: the part of the study to compute.

    Raises:
        RunError: if the directory holds something else, contradicts itself or cannot be written.
    """
    run = RunDirectory.create_or_open(directory, study)
    sweep_with(run, InProcess(runner), progress, shard=shard)
    return run


def sweep_with(
    run: RunDirectory,
    executor: Executor,
    progress: Progress | None = None,
    *,
    shard: Shard = WHOLE,
    pace: Pace | None = None,
) -> None:
    """Compute what a run still needs, on any executor.

    Raises:
        RunError: if units contradict each other or cannot be written; what is done is kept.
    """
    study, goals, pace = run.study, Goals(run.study), pace or Pace()
    busy: list[Sequence[Task]] = []
    while True:
        run.refresh()
        goals.update(run)
        if progress is not None:
            progress(_progress(run, goals))
        while len(busy) < executor.depth:
            tasks = next_bundle(
                run,
                goals,
                pace,
                busy=[task for tasks in busy for task in tasks],
                workers=executor.workers,
                shard=shard,
            )
            if not tasks:
                break
            busy.append(tasks)
            executor.submit([study.cells[task.cell] for task in tasks], tasks)
        if not busy:
            return
        bundle = executor.finished()
        busy.remove(bundle.tasks)
        run.append_lines(bundle.lines, bundle.provenance)
        pace.observe(bundle.lines, bundle.seconds)


def _progress(run: RunDirectory, goals: Goals) -> SweepProgress:
    closed = run.closed()
    low = high = math.nan
    if (goals.standing == Standing.OPEN).any():
        cell = int(np.argmax(np.where(goals.standing == Standing.OPEN, goals.width, -1.0)))
        if closed[cell]:
            counts = dict(zip(FINAL, run.tally()[cell].tolist(), strict=True))
            good, hidden = counts[Outcome.GLOBAL], counts[Outcome.UNDECIDED]
            ends = proportion_bounds_many(good, hidden, closed[cell], run.study.confidence)
            low, high = map(float, ends)
    return SweepProgress(
        cells_done=int(np.count_nonzero(goals.standing != Standing.OPEN)),
        cells=len(run.study),
        restarts=int(closed.sum()),
        needed=int(np.maximum(goals.target, closed).sum()),
        low=low,
        high=high,
    )
