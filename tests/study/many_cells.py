"""A sweep of very many small cells, and what it took, as one line of JSON.

    python many_cells.py DIRECTORY CELLS RESTARTS [fake|real]

Cells must be a multiple of 1000, and at least 2000.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time

from fake_runner import FakeRunner

from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.run_study import runner_words
from jaxcnn.study.runner import EngineRunner
from jaxcnn.study.study import Study
from jaxcnn.study.sweep import InProcess, sweep_with
from jaxcnn.study.table import table
from jaxcnn.study.unit import Task


class Forgetful(FakeRunner):
    """A fake runner that does not keep what it was asked."""

    def __call__(self, cells, tasks):
        self.tasks.clear()
        return super().__call__(cells, tasks)


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(directory: str, cells: str, restarts: str, engine: str = "fake") -> None:
    grid = {
        "ratio": {"linspace": [1.0, 6.0, int(cells) // 1000]},
        "init_scale": {"linspace": [0.5, 1.0, 10]},
        "step_size": {"linspace": [0.05, 0.15, 100]},
    }
    began, files = time.perf_counter(), 0
    words = {"fixed": {"k": 25, "p": 6, "teacher_norm": 0.6}, "grid": grid}
    study = Study.from_words(restarts=int(restarts), **words)
    runner = Forgetful() if engine == "fake" else EngineRunner(**runner_words(study))
    list(runner([study.cells[0]], [Task(0, 0, 10)]))
    before = peak()

    def watch(_):
        nonlocal files
        files = max(files, len(os.listdir("/proc/self/fd")))

    run = RunDirectory.create_or_open(directory, study)
    sweep_with(run, InProcess(runner), watch)
    swept = peak()
    rows = table(run)
    assert len(rows) == int(cells)
    assert (rows["restarts"] == int(restarts)).all()
    print(json.dumps({
        "cells": len(rows), "before": before, "swept": swept, "table": peak(), "files": files,
        "units": len(os.listdir(run.path / "units")), "seconds": time.perf_counter() - began,
    }))  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
