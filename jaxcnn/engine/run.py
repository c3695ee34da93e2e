"""From jobs on the host to outcomes: launches, streams, devices.

A job is a closed range of restart indices of one cell. Jobs are cut into launches of fixed
compiled shape and handed to threads: one per accelerator, one per core on the CPU backend,
where a launch keeps one core busy. Cutting never changes an outcome, since a restart is a
function of its index alone.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from queue import SimpleQueue
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcnn.base.cores import cpu_count
from jaxcnn.base.errors import InputError
from jaxcnn.engine.address import INDEX_LIMIT
from jaxcnn.engine.dynamics import Family, kind_of
from jaxcnn.engine.lanes import UNDECIDED, Landed, LaneSettings, Results, Work, slots_of
from jaxcnn.engine.launch import (
    DRAWN_ALONE,
    blank,
    compiled_shape,
    draw_only,
    lane_steps,
    launch,
)
from jaxcnn.engine.persistent import launch_persistent
from jaxcnn.engine.pieces import Job, Piece, launches_of, work_of


class Batch(NamedTuple):
    """Jobs that share a family and a compiled shape.

    Attributes:
        family: parameters → `Dynamics` (engine/dynamics.py).
        jobs: what to run; all params have one tree, one set of shapes and dtypes.
        settings: compiled shape.
        x64: compute with 64-bit types enabled.
    """

    family: Family
    jobs: Sequence[Job]
    settings: LaneSettings
    x64: bool = False


@dataclass(frozen=True)
class JobResult:
    """Outcomes of a job in index order.

    Attributes:
        outcomes: `Outcome` values, uint8 (count,).
        steps: steps to the outcome, a multiple of `check_every`, uint32 (count,).
        lane_steps: its share of what its launches paid, which goes by the steps.
    """

    outcomes: np.ndarray
    steps: np.ndarray
    lane_steps: int = 0


@dataclass(frozen=True)
class Account:
    """What a call of `run` cost.

    Attributes:
        useful_steps: Σ of steps over restarts that reached a decision.
        lane_steps: restart-steps paid for, idle lanes and overshoot included.
        draws: starts drawn, padding included.
        seconds: wall time, compilation included where it happened.
    """

    useful_steps: int
    lane_steps: int
    draws: int
    seconds: float

    @property
    def utilisation(self) -> float:
        """Useful restart-steps over lane-steps paid; 1.0 when nothing had to move."""
        return self.useful_steps / self.lane_steps if self.lane_steps else 1.0


class Landing(NamedTuple):
    """What one launch brought.

    Attributes:
        done: the jobs that are complete with it, by number.
        restarts: how many it ran.
        useful_steps: as in `Account`.
        lane_steps: as in `Account`.
        draws: as in `Account`.
    """

    done: list[tuple[int, JobResult]]
    restarts: int
    useful_steps: int
    lane_steps: int
    draws: int


# Kept from call to call: a new thread's first launch costs a millisecond more. Calls from several
# threads find or start as many as they need.
_THREADS = ThreadPoolExecutor(2**16, "jaxcnn")


_NO_ARRAYS = np.zeros(0, np.uint8), np.zeros(0, np.uint32)
_NOTHING = JobResult(*_NO_ARRAYS)

Progress = Callable[[int, int], None]
"""Called with (restarts finished, restarts in all) after each launch."""


def default_devices() -> list[jax.Device]:
    """All local devices of the default backend."""
    return list(jax.local_devices())


def run(
    family: Family,
    jobs: Sequence[Job],
    *,
    seed: int,
    settings: LaneSettings | None = None,
    devices: Sequence[jax.Device] | None = None,
    streams: int | None = None,
    x64: bool = False,
    progress: Progress | None = None,
) -> tuple[list[JobResult], Account]:
    """Run every restart of every job to its outcome.

    Args:
        family: parameters → `Dynamics` (engine/dynamics.py).
        jobs: what to run; all params have one tree, one set of shapes and dtypes.
        seed: experiment seed; restart i of every job has the same random numbers.
        settings: compiled shape.
        devices: where to run; default all local devices.
        streams: concurrent launches per device; default one per core on CPU, else one.
        x64: compute with 64-bit types enabled, for this call only.
        progress: called after each launch.

    Returns:
        One `JobResult` per job, and the account of the whole call.

    Raises:
        InputError: a job has a negative range or indices beyond 2⁶³.
    """
    began = time.perf_counter()
    results = [_NOTHING] * len(jobs)
    total, finished, useful, paid, draws = sum(job.count for job in jobs), 0, 0, 0, 0
    batch = Batch(family, jobs, settings or LaneSettings(), x64)
    for _, landing in run_batches([batch], seed=seed, devices=devices, streams=streams):
        for number, result in landing.done:
            results[number] = result
        finished += landing.restarts
        useful += landing.useful_steps
        paid += landing.lane_steps
        draws += landing.draws
        if progress is not None:
            progress(finished, total)
    return results, Account(useful, paid, draws, time.perf_counter() - began)


def run_batches(
    batches: Sequence[Batch],
    *,
    seed: int,
    devices: Sequence[jax.Device] | None = None,
    streams: int | None = None,
) -> Iterator[tuple[int, Landing]]:
    """`run` for jobs of several families, launch by launch: (which batch, its landing).

    What has landed can be used while the rest is computed. The launches of all batches are one
    queue, so that no core waits for the end of a batch. A job without restarts is in no launch.
    Leaving the loop early ends the work after the launches that have begun.

    Raises:
        InputError: as `run` does.
    """
    devices = list(devices) if devices is not None else default_devices()
    if streams is None:
        streams = max(1, cpu_count() // len(devices)) if devices[0].platform == "cpu" else 1
    for batch in batches:
        _refuse_width(batch.settings.width)
        for job in batch.jobs:
            if job.count < 0 or job.first < 0 or job.first + job.count > INDEX_LIMIT:
                raise InputError(
                    "restarts", (job.first, job.count), "indices must lie in [0, 2**63)"
                )
    launches = deque(
        (number, pieces)
        for number, batch in enumerate(batches)
        for pieces in launches_of(batch.jobs, batch.settings, len(devices) * streams)
    )
    books = [_Books(batch.jobs, batch.settings) for batch in batches]
    landed: SimpleQueue[tuple[int, Landing] | BaseException | None] = SimpleQueue()

    def work_on(device: jax.Device) -> None:
        try:
            while True:
                try:
                    number, pieces = launches.popleft()
                except IndexError:
                    break
                with _launched(batches[number], pieces, seed, device) as back:
                    landing = books[number].enter(pieces, back)
                landed.put((number, landing))
            landed.put(None)
        except BaseException as error:
            landed.put(error)

    places = [device for device in devices for _ in range(streams)][: max(1, len(launches))]
    # Threads even for one place: the main thread then hears Ctrl-C during a launch.
    begun: list[Future[None]] = []
    going = len(places)
    try:
        for place in places:
            begun.append(_THREADS.submit(work_on, place))
        while going:
            landing = landed.get()
            if isinstance(landing, BaseException):
                raise landing
            if landing is None:
                going -= 1
            else:
                yield landing
    except BaseException:
        launches.clear()
        for one in begun:
            one.cancel()
        raise


_SPARE: dict[Any, list[Results]] = defaultdict(list)
"""Results that have been read, by device and number of slots: the next launch writes there."""


@contextmanager
def _launched(
    batch: Batch, pieces: Sequence[Piece], seed: int, device: jax.Device
) -> Iterator[Landed]:
    """One launch on one device: a `Landed` of NumPy arrays, valid inside the block only."""
    shape = compiled_shape(batch.settings)
    spare = _SPARE[device, slots_of(shape)]
    with (
        jax.default_device(device),
        jax.enable_x64(batch.x64),
        jax.threefry_partitionable(True),
    ):
        work = work_of(batch.jobs, pieces, seed, batch.settings)
        _compile_once(batch.family, shape, work, device, batch.x64)
        try:
            into = spare.pop()
        except IndexError:
            into = blank(shape)
        landed = launch_as_set(batch.family, shape, work, device, into)
        # `device_get` first asks each for a copy: on a CPU four times the work of reading.
        read = device.platform == "cpu"
        yield jax.tree.map(np.asarray, landed) if read else jax.device_get(landed)
    spare.append(into if shape.persistent else Results(landed.outcomes, landed.steps))


class _Books:
    """What has landed of each job."""

    def __init__(self, jobs: Sequence[Job], settings: LaneSettings) -> None:
        self._settings = settings
        self._results = [
            (np.empty(job.count, np.uint8), np.empty(job.count, np.uint32)) for job in jobs
        ]
        self._missing = [job.count for job in jobs]
        self._paid = [0] * len(jobs)
        self._writing = threading.Lock()

    def enter(self, pieces: Sequence[Piece], landed: Any) -> Landing:
        """Enter what a launch brought, a `Landed` of NumPy arrays."""
        ends = list(accumulate(piece.count for piece in pieces))
        begins = [0, *ends[:-1]]
        outcomes, steps = landed.outcomes[: ends[-1]], landed.steps[: ends[-1]]
        for piece, begin, end in zip(pieces, begins, ends, strict=True):
            span = slice(piece.offset, piece.offset + piece.count)
            into = self._results[piece.job]
            into[0][span], into[1][span] = outcomes[begin:end], steps[begin:end]
        own = np.add.reduceat(steps, begins, dtype=np.int64)
        taken, paid = int(own.sum()), lane_steps(landed.checks, self._settings)
        hidden = int(np.sum(steps[outcomes == UNDECIDED], dtype=np.int64))
        shares = [steps * paid // max(1, taken) for steps in own.tolist()]
        done = []
        with self._writing:
            for piece, share in zip(pieces, shares, strict=True):
                job = piece.job
                self._missing[job] -= piece.count
                self._paid[job] += share
                if not self._missing[job]:
                    done.append((job, JobResult(*self._results[job], self._paid[job])))
                    self._results[job] = _NO_ARRAYS  # the reader's from here on
        draws = int(landed.draws) * self._settings.width
        return Landing(done, ends[-1], taken - hidden, paid, draws)


def _refuse_width(width: int) -> None:
    if width < 1 or (width > 64 and width % 64):
        raise InputError("width", width, "lanes must be a multiple of 64, or from 1 to 63")


def launch_as_set(
    family: Family, settings: LaneSettings, work: Work, device: jax.Device, into: Results
) -> Landed:
    """One launch by the plain loop, or by the persistent kernel if the settings ask for it."""
    if settings.persistent:
        interpret = device.platform == "cpu"
        landed: Landed = launch_persistent(family, settings, work, interpret)
    else:
        landed = launch(family, settings, work, into)
    return landed


_COMPILING = threading.Lock()
_COMPILED: set[Any] = set()


def _compile_once(
    family: Family, settings: LaneSettings, work: Work, device: jax.Device, x64: bool
) -> None:
    """Compile before threads race to: an empty launch, once per family, settings and place.

    `jit` lets two threads that meet an uncompiled function both compile it.
    """
    key = (kind_of(family), settings, device, x64, work.params.packing)
    with _COMPILING:
        if key not in _COMPILED:
            empty = work._replace(ends=np.zeros_like(work.ends))
            into = blank(settings)
            launch_as_set(family, settings, empty, device, into).steps.block_until_ready()
            _COMPILED.add(key)


def draw_seconds(
    family: Family, job: Job, *, seed: int, settings: LaneSettings | None = None, x64: bool = False
) -> float:
    """Seconds to draw one start, measured (best of several pools, one stream)."""
    settings = settings or LaneSettings()
    _refuse_width(settings.width)
    with jax.enable_x64(x64), jax.threefry_partitionable(True):
        piece = Piece(0, 0, job.first, min(job.count, settings.capacity))
        work = work_of([job], [piece], seed, settings)
        shape = compiled_shape(settings)
        draw_only(family, shape, work).block_until_ready()
        best = float("inf")
        for _ in range(5):
            began = time.perf_counter()
            draw_only(family, shape, work).block_until_ready()
            best = min(best, time.perf_counter() - began)
    return best / (DRAWN_ALONE * settings.width)
