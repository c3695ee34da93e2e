"""Bundles of tasks on a Dask cluster.

Nothing here imports `distributed`: the caller brings a client. The scheduler keeps no state
across a crash and may run a bundle twice; results are idempotent and live outside it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from jaxcnn import __version__
from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError, JaxcnnError, RunError
from jaxcnn.study.executors import GO_ON, RunnerSpec, compute
from jaxcnn.study.sweep import Bundle
from jaxcnn.study.unit import Task

RETRIES = 3
"""How often Dask tries a bundle again on another worker."""

_POLL = 0.02
_LOST = ("CommClosedError", "CancelledError", "FutureCancelledError")
_LOOK_AGAIN = 2.0  # seconds between two looks at who is in the cluster


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
        return RunError(f"the Dask scheduler at {self._address} was lost; {GO_ON}")

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
                raise RunError(f"{what} {GO_ON.capitalize()}") from None
            raise RunError(f"a Dask worker failed: {_line(error)}; {GO_ON}") from None


def _line(error: BaseException) -> str:
    return f"{type(error).__name__} {' '.join(str(error).split())[:160]}"
