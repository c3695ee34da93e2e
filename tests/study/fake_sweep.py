"""A sweep with the fake runner in small bundles, as a process of its own.

    python fake_sweep.py DIRECTORY RESTARTS [SHARD/PARTS] [FILE_SIZE_LIMIT]

It prints a line once it has begun.
"""

from __future__ import annotations

import resource
import sys

from fake_runner import FakeRunner, study

from jaxcnn.base.errors import RunError
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.schedule import Pace, Shard
from jaxcnn.study.sweep import InProcess, sweep_with


def main(directory: str, restarts: str, shard: str = "0/1", limit: str = "") -> None:
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    number, parts = map(int, shard.split("/"))
    try:
        run = RunDirectory.create_or_open(directory, study(restarts=int(restarts)))
        print("begun", flush=True)
        executor = InProcess(FakeRunner(undecided=0.05, delay=0.002))
        sweep_with(run, executor, shard=Shard(number, parts), pace=Pace(seconds=0.004))
    except RunError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(*sys.argv[1:])
