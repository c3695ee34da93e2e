"""A sweep with the real engine in bundles of a fixed size, as a process of its own.

    python real_sweep.py DIRECTORY STUDY.toml [--workers N | --dask ADDRESS]

It prints a line after each bundle.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from contextlib import contextmanager

from fake_runner import FixedPace

from jaxcnn.base.errors import RunError
from jaxcnn.study.cluster import DaskWorkers
from jaxcnn.study.executors import LocalWorkers, RunnerSpec
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.run_study import ENGINE, runner_words
from jaxcnn.study.study_file import read_study
from jaxcnn.study.sweep import InProcess, sweep_with

BUNDLE = 512


@contextmanager
def executor(asked, study):
    spec = RunnerSpec.of(ENGINE, runner_words(study))
    if asked.workers:
        with LocalWorkers(spec, asked.workers) as pool:
            yield pool
    elif asked.dask:
        logging.disable()
        with importlib.import_module("distributed").Client(asked.dask) as client:
            yield DaskWorkers(spec, client)
    else:
        yield InProcess(spec.runner())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("study")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--dask")
    asked = parser.parse_args()
    study = read_study(asked.study)
    try:
        run = RunDirectory.create_or_open(asked.directory, study)
        with executor(asked, study) as workers:
            sweep_with(
                run,
                workers,
                lambda state: print(state.restarts, flush=True) if state.restarts else None,
                pace=FixedPace(BUNDLE),
            )
    except RunError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
