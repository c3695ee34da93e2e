"""Processes that tests start, watch and kill; what is left is ended after each test."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PLACES = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
DASK = Path(sys.executable).parent / "dask"
STARTED: list[subprocess.Popen] = []

needs_dask = pytest.mark.skipif(not DASK.exists(), reason="needs the extra [cluster]")


def end_all():
    while STARTED:
        with STARTED.pop() as going:
            going.kill()


def process(*words, **environment):
    going = subprocess.Popen(
        list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": PLACES, **environment},
    )  # fmt: skip
    STARTED.append(going)
    return going


def ended(going):
    _, errors = going.communicate(timeout=120)
    return going.returncode, errors


def wait_for(what, seconds=60):
    last = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < last
        time.sleep(0.01)


def units(path):
    return len(list((path / "units").glob("*.jsonl")))


def children(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    found = path.read_text().split() if path.exists() else []
    commands = {child: Path(f"/proc/{child}/cmdline").read_text() for child in found}
    return [int(child) for child in found if "spawn_main" in commands[child]]


class Cluster:
    """`dask scheduler` and `dask worker` as in the README, on this host alone."""

    def __init__(self, place):
        self.place, self.port = place, 0

    def start_scheduler(self):
        file = self.place / "scheduler.json"
        file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", self.port, "--scheduler-file", file
        )
        wait_for(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = next(w for w in file.read_text().split('"') if w.startswith("tcp://"))
        self.port = int(self.address.rsplit(":", 1)[1])

    def start_worker(self, **environment):
        return self._start(
            "worker", self.address, "--nthreads", 1, "--resources", "jaxcnn=1", "--no-nanny",
            "--host", "127.0.0.1", "--local-directory", self.place, **environment,
        )  # fmt: skip

    def _start(self, *words, **environment):
        return process(DASK, *words, "--no-dashboard", **environment)
