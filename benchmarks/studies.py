"""Studies: what a sweep costs besides the engine, and what a second worker brings.

    python -m benchmarks studies                     everything, about ten minutes
    python -m benchmarks studies --cells 1000        the overhead at 1000 restarts a cell alone
    python -m benchmarks studies --cells workers     the workers alone

The overhead is a `jaxcnn.sweep` into a run directory, table included, beside `engine.run` on the
same jobs with the cells already built; compilation excluded. Workers are processes of one core
each; their start (import and compilation, some seconds) is included, in a study that takes one
core 100 seconds. What the machine itself can do is measured beside it: two
processes that share nothing, each with half of the study, at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from jaxcnn.engine.dynamics import kind_of
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import run
from jaxcnn.study.run_study import runner_words, sweep
from jaxcnn.study.runner import EngineRunner
from jaxcnn.study.study import Study

SMALL = {
    "fixed": {"p": 6, "teacher_norm": 0.6},
    "grid": {
        "k": [25, 36, 49, 64],
        "ratio": [round(float(ratio), 6) for ratio in np.linspace(0.5, 6.0, 25)],
        "step_size": [round(float(size), 6) for size in np.linspace(0.05, 0.14, 10)],
    },
}
LARGE = {
    "fixed": {"p": 6, "step_size": 0.005, "teacher_norm": 1.0},
    "grid": {"k": [49, 64], "ratio": [12.0, 13.0, 14.0, 15.0]},
}
"""About a thousand steps a restart."""

RESTARTS = (1000, 5000)
REPEATS = 5
LONG = 100.0
"""Seconds of one core that the workers share."""


def overhead(out) -> None:
    rows = [(n, *overhead_at(n)) for n in out.wanted(RESTARTS, out.cells)]
    if rows:
        out.table(
            "studies: seconds for 1000 cells, the bare engine and a sweep",
            ("restarts a cell", "engine", "sweep", "ratio"),
            rows,
        )


def overhead_at(restarts: int) -> tuple[float, float, float]:
    """Seconds of the engine, of a sweep, and their ratio; the best of several each."""
    study = Study.from_words(restarts=restarts, **SMALL)
    runner = EngineRunner(**runner_words(study))
    launches = defaultdict(list)  # cells of one compiled shape run side by side
    for cell in study.cells:
        built = runner.build(cell)
        job = Job(built.params, 0, restarts, cell.max_steps)
        launches[kind_of(built.family), built.settings, built.x64].append(job)

    def bare():
        for ((_, family), settings, x64), jobs in launches.items():
            run(family, jobs, seed=0, settings=settings, x64=x64)

    def whole():
        with tempfile.TemporaryDirectory() as place:
            sweep(out=Path(place) / "run", restarts=restarts, **SMALL)

    bare()
    # By turns, so that a change of the machine's pace meets both.
    pairs = [(timed(bare), timed(whole)) for _ in range(REPEATS)]
    engine, swept = (min(times) for times in zip(*pairs))
    return engine, swept, swept / engine


def timed(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def workers(out) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        out.note("one core: what a second worker brings was not measured")
        return
    restarts = 100_000
    (probe,) = at_once([(cores[:1], 1, "0/1", restarts)])
    restarts = int(restarts * max(1.0, LONG / probe))
    (one,) = at_once([(cores[:1], 1, "0/1", restarts)])
    (two,) = at_once([(cores[:2], 2, "0/1", restarts)])
    apart = at_once([(cores[i : i + 1], 1, f"{i}/2", restarts) for i in range(2)])
    rows = [
        ("one process, one core", restarts, one, 1.0),
        ("two workers, a core each", restarts, two, one / two),
        ("two processes that share nothing, half each", restarts, max(apart), one / max(apart)),
    ]
    columns = ("", "restarts a cell", "seconds", "times as fast")
    out.table("studies: 8 cells, start of workers included", columns, rows)


def at_once(parts) -> list[float]:
    """Seconds of sweeps in processes of their own that run side by side."""
    going = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "benchmarks.studies",
                ",".join(map(str, cores)),
                *map(str, rest),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for cores, *rest in parts
    ]
    return [float(one.communicate()[0]) for one in going]


def one_sweep(cores: str, workers: str, shard: str, restarts: str) -> None:
    """Run on these cores and print the seconds."""
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    study = Study.from_words(restarts=int(restarts), **LARGE)
    with tempfile.TemporaryDirectory() as place:
        call = lambda: sweep(study, out=Path(place) / "run", workers=int(workers), shard=shard)  # noqa: E731
        print(timed(call))


def main(out) -> None:
    overhead(out)
    if out.wanted(["workers"], out.cells):
        workers(out)


if __name__ == "__main__":
    one_sweep(*sys.argv[1:])
