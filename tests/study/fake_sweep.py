"""A sweep with the fake runner in bundles of a fixed size, as a process of its own.

    python fake_sweep.py DIRECTORY RESTARTS [--shard I/N] [--largest BYTES] [--die-at LINE]
        [--workers N | --dask ADDRESS] [--delay SECONDS]

It prints a line once it has begun. With `--die-at` it kills itself with SIGKILL as it is about
to run that line, counted over the lines that keep results: a moment that no clock decides.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import resource
import signal
import sys
from contextlib import contextmanager

from fake_runner import FakeRunner, FixedPace, study

from jaxcnn.base.errors import RunError
from jaxcnn.study import durable, sweep
from jaxcnn.study.cluster import DaskWorkers
from jaxcnn.study.executors import LocalWorkers, RunnerSpec
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.schedule import Shard
from jaxcnn.study.sweep import InProcess, sweep_with

BUNDLE = 700
_WATCHED = (durable.__file__, sweep.__file__)


def die_at(line: int) -> None:
    """Count the lines run in `durable` and `sweep`, and be killed at one of them."""
    left = line

    def within(frame, event, _):
        nonlocal left
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return within

    sys.settrace(lambda frame, *_: within if frame.f_code.co_filename in _WATCHED else None)


@contextmanager
def executor(asked):
    words = {"undecided": 0.05, "delay": asked.delay}
    spec = RunnerSpec.of("fake_runner:FakeRunner", words)
    if asked.workers:
        with LocalWorkers(spec, asked.workers) as pool:
            yield pool
    elif asked.dask:
        logging.disable()
        with importlib.import_module("distributed").Client(asked.dask) as client:
            yield DaskWorkers(spec, client)
    else:
        yield InProcess(FakeRunner(**words))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("restarts", type=int)
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--largest", type=int)
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--dask")
    parser.add_argument("--delay", type=float, default=0.0)
    asked = parser.parse_args()
    if asked.largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked.largest, asked.largest))
    shard = Shard(*map(int, asked.shard.split("/")))
    if asked.die_at:
        die_at(asked.die_at)
    try:
        run = RunDirectory.create_or_open(asked.directory, study(restarts=asked.restarts))
        print("begun", flush=True)
        with executor(asked) as workers:
            sweep_with(run, workers, shard=shard, pace=FixedPace(BUNDLE))
    except RunError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
