"""Where bundles of tasks are computed besides this process: local workers and Dask.

Neither keeps state: a bundle is a pure function of its cells and index ranges, so a worker, a
pool or a scheduler that is lost costs the bundles in flight, and the same command goes on.
JAX is imported in a worker only after its environment is set, and never forked.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from multiprocessing.queues import Queue
from types import TracebackType
from typing import Any

from jaxcnn import __version__
from jaxcnn.base.cell import Cell
from jaxcnn.base.checks import whole
from jaxcnn.base.errors import InputError, JaxcnnError, RunError
from jaxcnn.study.sweep import Bundle
from jaxcnn.study.unit import Runner, Task

RETRIES = 3
"""How often Dask tries a bundle again on another worker."""

_GO_ON = "finished units are kept: give the same command again"
_POLL = 0.02
_LOST = ("CommClosedError", "CancelledError", "FutureCancelledError")
_LOOK_AGAIN = 2.0  # seconds between two looks at who is in the cluster


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
    runner = spec.runner()
    began = time.perf_counter()
    results = runner(cells, tasks)
    return Bundle(tasks, results, runner.provenance, time.perf_counter() - began)


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


class LocalWorkers:
    """N spawned processes on this host, each with its own share of the cores or accelerator.

    A context manager; leaving it ends the workers.
    """

    def __init__(self, spec: RunnerSpec, workers: int) -> None:
        self.workers = whole("workers", workers, 1)
        self.depth = 2 * workers
        self._spec = spec
        context = multiprocessing.get_context("spawn")
        places = context.Queue()
        for place in range(workers):
            places.put((place, workers))
        self._pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_settle_in, initargs=(places,)
        )
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
    return RunError(f"a worker process was killed; {_GO_ON}")


def installed() -> str:
    """The version of this package in whatever process this is called."""
    return __version__


class DaskWorkers:
    """Bundles on a Dask cluster, through a `distributed.Client`.

    Start workers with one thread and the resource that keeps one JAX process per accelerator:

        dask scheduler
        dask worker tcp://HOST:8786 --nthreads 1 --resources jaxcnn=1

    Workers may come and go; without any, bundles wait for the first.

    Raises:
        InputError: if a worker has another version of this package, or none.
    """

    def __init__(self, spec: RunnerSpec, client: Any) -> None:
        self._spec, self._client = spec, client
        self._address = str(getattr(client.scheduler, "address", client))
        self._waiting: list[Any] = []
        self._looked = -math.inf
        self._workers, self._resources = 0, dict[str, int]()
        self._refuse_strangers()

    @property
    def workers(self) -> int:
        """How many workers there are now, at least one."""
        now = time.monotonic()
        if now - self._looked > _LOOK_AGAIN and self._client.status == "running":
            info = self._client.scheduler_info(n_workers=-1)["workers"]
            named = info and all("jaxcnn" in w.get("resources", {}) for w in info.values())
            self._workers, self._looked = len(info), now
            self._resources = {"jaxcnn": 1} if named else {}
        return max(1, self._workers)

    @property
    def depth(self) -> int:
        """Two bundles for each worker."""
        return 2 * self.workers

    def _refuse_strangers(self) -> None:
        for worker, found in self._client.run(installed, on_error="return").items():
            if isinstance(found, BaseException):
                what = f"worker {worker} has no jaxcnn: install it there ({_line(found)})"
                raise InputError("client", self._address, what)
            if found != __version__:
                what = f"worker {worker} has jaxcnn {found}: install {__version__} there"
                raise InputError("client", self._address, what)

    def submit(self, cells: Sequence[Cell], tasks: Sequence[Task]) -> None:
        """Begin a bundle; Dask tries it again elsewhere when a worker is lost."""
        self._waiting.append(
            self._client.submit(
                compute,
                self._spec,
                list(cells),
                list(tasks),
                pure=False,
                retries=RETRIES,
                resources=self._resources or None,
            )
        )

    def finished(self) -> Bundle:
        """Wait for a bundle, whichever is done first.

        Raises:
            RunError: if the scheduler or the bundle is lost; what was kept stays.
        """
        while True:
            for future in self._waiting:
                if future.status in ("lost", "cancelled"):
                    raise self._scheduler_lost()
                if future.done():
                    self._waiting.remove(future)
                    return self._result(future)
            if self._client.status != "running":
                raise self._scheduler_lost()
            time.sleep(_POLL)

    def _scheduler_lost(self) -> RunError:
        return RunError(f"the Dask scheduler at {self._address} was lost; {_GO_ON}")

    def _result(self, future: Any) -> Bundle:
        try:
            bundle: Bundle = future.result()
            return bundle
        except JaxcnnError:
            raise
        except Exception as error:
            name = type(error).__name__
            if isinstance(error, OSError) or name in _LOST:
                raise self._scheduler_lost() from None
            if name == "KilledWorker":
                what = "one bundle after another was lost with its worker: is their memory enough?"
                raise RunError(f"{what} {_GO_ON.capitalize()}") from None
            raise RunError(f"a Dask worker failed: {_line(error)}; {_GO_ON}") from None


def _line(error: BaseException) -> str:
    return f"{type(error).__name__} {' '.join(str(error).split())[:160]}"
