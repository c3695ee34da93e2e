"""Where bundles of tasks are computed besides this process: local workers, and in `cluster` Dask.

Neither keeps state: a bundle is a pure function of its cells and index ranges, so a worker, a
pool or a scheduler that is lost costs the bundles in flight, and the same command goes on.
JAX is imported in a worker only after its environment is set, and never forked.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from multiprocessing import resource_tracker
from multiprocessing.queues import Queue
from types import TracebackType
from typing import Any

from jaxcnn.base.cell import Cell
from jaxcnn.base.checks import whole
from jaxcnn.base.errors import RunError
from jaxcnn.study.sweep import Bundle
from jaxcnn.study.sweep import compute as compute_with
from jaxcnn.study.unit import Runner, Task

GO_ON = "finished units are kept: give the same command again"
"""What to do when something was lost, as the end of a message."""


@dataclass(frozen=True)
class RunnerSpec:
    """A runner by its importable name and words, so that a worker builds its own.

    Attributes:
        path: "module:name" of a callable that returns a `Runner`.
        words: its keyword arguments, as sorted pairs.
    """

    path: str
    words: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, path: str, words: Mapping[str, Any]) -> RunnerSpec:
        """A spec from keyword arguments."""
        return cls(path, tuple(sorted(words.items())))

    def runner(self) -> Runner:
        """The runner of this process, built once."""
        return _built(self)


@lru_cache(maxsize=4)
def _built(spec: RunnerSpec) -> Runner:
    module, _, name = spec.path.partition(":")
    runner: Runner = getattr(import_module(module), name)(**dict(spec.words))
    return runner


def compute(spec: RunnerSpec, cells: Sequence[Cell], tasks: Sequence[Task]) -> Bundle:
    """One bundle, in whatever process this is called."""
    return compute_with(spec.runner(), cells, tasks)


def _settle_in(places: Queue[tuple[int, int]]) -> None:
    """Take a share of this host before JAX is imported: its cores, and one accelerator.

    Args:
        places: holds (place, number of places), one for each worker.
    """
    place, places_in_all = places.get()
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        share = cores[place::places_in_all] or [cores[place % len(cores)]]
        os.sched_setaffinity(0, share)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    devices = [name for name in visible.split(",") if name] or [str(place)]
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[place % len(devices)]
    os.environ.setdefault("XLA_CLIENT_MEM_FRACTION", "0.9")
    threading.Thread(target=_end_with_the_sweep, daemon=True).start()


def _end_with_the_sweep() -> None:
    """End this process when the one that started it is gone.

    A pool's workers wait for their next task for ever, also when the sweep was killed.
    """
    sweep = multiprocessing.parent_process()
    if sweep is not None:
        sweep.join()
        os._exit(1)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes started meanwhile do not hear Ctrl-C: they end with the sweep, without a word.

    They inherit that it is held back; here it is heard, at the latest afterwards. Ignoring it
    would lose it.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_tracker() -> None:
    """Start Python's own process that cleans up after one that was killed, without a warning."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        resource_tracker.ensure_running()
    finally:
        os.environ.pop("PYTHONWARNINGS")
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


class LocalWorkers:
    """N spawned processes on this host, each with its own share of the cores or accelerator.

    A context manager; leaving it ends the workers.
    """

    def __init__(self, spec: RunnerSpec, workers: int) -> None:
        self.workers = whole("workers", workers, 1)
        self.depth = 2 * workers
        self._spec = spec
        context = multiprocessing.get_context("spawn")
        _start_tracker()
        places = context.Queue()
        for place in range(workers):
            places.put((place, workers))
        self._pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_settle_in, initargs=(places,)
        )
        with _deaf():
            for _ in range(workers):  # each starts one
                self._pool.submit(os.getpid)
        self._waiting: set[Future[Bundle]] = set()

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def submit(self, cells: Sequence[Cell], tasks: Sequence[Task]) -> None:
        """Begin a bundle."""
        try:
            self._waiting.add(self._pool.submit(compute, self._spec, cells, tasks))
        except BrokenProcessPool:
            raise _lost() from None

    def finished(self) -> Bundle:
        """Wait for a bundle, whichever is done first."""
        done, _ = wait(self._waiting, return_when=FIRST_COMPLETED)
        future = done.pop()
        self._waiting.discard(future)
        try:
            return future.result()
        except BrokenProcessPool:
            raise _lost() from None


def _lost() -> RunError:
    return RunError(f"a worker process was killed; {GO_ON}")
