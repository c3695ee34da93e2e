"""How cost grows with k, p, restarts, cells, samples and devices: curves with log-log slopes.

    python -m benchmarks growth [--cells restarts k p full samples cells devices]

Both cores, float32, compilation excluded, the least of a few turns, in processor time but for
restarts (both) and devices (wall). A slope of 0 is flat, 1 is proportional. Where a cost is per lane-step, no run ends early (benchmarks/full.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np

from benchmarks.full import Endless, cell_of, steps_for
from jaxcnn import Cell
from jaxcnn.base.cores import cpu_count
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import Account, run
from jaxcnn.study.build import build

CURVES = ("restarts", "k", "p", "full", "samples", "cells", "devices")
TURNS, ROUNDS = 3, 24
PLAIN = {"p": 6, "ratio": 4.0, "teacher_norm": 0.55, "step_size": 0.05}


def by_turns(calls) -> list[tuple[float, Account]]:
    """Processor seconds of the cheapest of a few turns of each call, after one that compiles.

    By turns, and of the processor: the machine's pace at one moment, or another program on it,
    would else be part of the slope.
    """

    def one(call):
        began = time.process_time()
        account = call()
        return time.process_time() - began, account

    turns = [[one(call) for call in calls] for _ in range(TURNS + 1)]
    return [min(spent, key=lambda pair: pair[0]) for spent in zip(*turns[1:])]


def call_of(family, jobs, settings):
    """A run to be measured."""
    return lambda: run(family, jobs, seed=0, settings=settings)[1]


def slope(x, y) -> float:
    """Of log y against log x, least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def curve(out, title, name, unit, points) -> float:
    """One table: the points, their cost against the first, and the slope of them all."""
    x, y = zip(*points)
    steep = slope(x, y)
    rows = [(f"{a:g}", b, f"{b / y[0]:.2f}") for a, b in points] + [("slope", f"{steep:.3f}", "")]
    out.table(f"growth: {title}", (name, unit, "x first"), rows)
    return steep


def endless(cell: Cell, engine: str, lanes: int = 0, numbers: int = 0):
    """A run of a cell whose lanes do not end."""
    built = build(cell, engine=engine)
    lanes = (lanes or built.settings.width) * cpu_count()
    settings = built.settings._replace(capacity=2**13)
    job = Job(built.params, 0, lanes, numbers or steps_for(lanes, cell.k + cell.p))
    return call_of(Endless(built.family), [job], settings)


def per_lane_step(out, title, name, calls) -> None:
    """A curve of the nanoseconds of a core for one lane-step; calls by their place on it."""
    spent = by_turns(list(calls.values()))
    points = [(x, 1e9 * seconds / a.lane_steps) for x, (seconds, a) in zip(calls, spent)]
    curve(out, title, name, "ns per lane-step", points)


def of_restarts(out) -> None:
    """Each size beside the next by turns, the same number of restarts for both.

    The machine's pace changes from second to second by more than what is looked for. Equal work
    gives both their share of a turn, and what is said of each size is the median share of the one
    before, times what that was: the first is the least of its turns.
    """
    cell = Cell(k=25, **PLAIN)
    built = build(cell)
    run(built.family, [Job(built.params, 0, 1, 1)], seed=0, settings=built.settings)

    def spent(size: int, times: int, seed: int) -> tuple[float, float]:
        job = Job(built.params, 0, size, cell.max_steps)
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(times):
            run(built.family, [job], seed=seed, settings=built.settings)
        return time.perf_counter() - wall, time.process_time() - processor

    sizes = (100_000, 1_000_000, 10_000_000)
    pairs = []
    for small, large in pairwise(sizes):
        turns = ROUNDS * (1 if large == sizes[-1] else 4)
        found = []
        for turn in range(turns):
            # Who goes first changes: a pace that drifts would else count for the same one.
            order = (large, small) if turn % 2 else (small, large)
            took = {size: spent(size, large // size, turn) for size in order}
            found.append([took[small], took[large]])
        pairs.append(np.array(found))  # turn, size, clock
    for clock, name in enumerate(("wall", "processor")):
        costs = [1e6 * float(pairs[0][:, 0, clock].min()) / sizes[1]]
        for pair in pairs:
            costs.append(costs[-1] * float(np.median(pair[:, 1, clock] / pair[:, 0, clock])))
        title = f"{name} time a restart, (25, 4) at 0.05"
        curve(out, title, "restarts", "us", list(zip(sizes, costs)))


def of_k(out) -> None:
    calls = {k: endless(cell_of(k, 6), "reduced", numbers=4000) for k in (25, 100, 400, 1600)}
    per_lane_step(out, "reduced engine against k, p = 6", "k", calls)


def of_p(out) -> None:
    sizes = (6, 100, 10_000, 100_000)
    calls = {p: endless(cell_of(25, p), "reduced", numbers=4000) for p in sizes}
    per_lane_step(out, "reduced engine against p, k = 25", "p", calls)


def of_full(out) -> None:
    sizes = (50, 100, 200, 400, 800)
    calls = {k: endless(cell_of(k, 20), "full") for k in sizes}
    per_lane_step(out, "full-state engine against k, p = 20", "k", calls)
    calls = {p: endless(cell_of(20, p), "full") for p in sizes}
    per_lane_step(out, "full-state engine against p, k = 20", "p", calls)


def of_samples(out) -> None:
    calls = {}
    for samples in (32, 128, 512, 2048):
        cell = Cell(k=9, samples=samples, data="shared", max_steps=128, **PLAIN)
        built = build(cell)
        job = Job(built.params, 0, built.settings.width * cpu_count(), cell.max_steps)
        calls[samples] = call_of(built.family, [job], built.settings)
    per_lane_step(out, "finite samples against n, k = 9, p = 6", "samples", calls)


def of_cells(out) -> None:
    calls = {}
    for count in (1, 6, 36, 216):
        cells = [Cell(k=25 + i, **PLAIN) for i in range(count)]
        built = [build(cell) for cell in cells]
        jobs = [Job(b.params, 0, 5000, c.max_steps) for b, c in zip(built, cells)]
        calls[count] = call_of(built[0].family, jobs, built[0].settings)
    spent = by_turns(list(calls.values()))
    points = [(count, 1e3 * seconds / count) for count, (seconds, _) in zip(calls, spent)]
    curve(out, "a grid in one call, 5000 restarts a cell", "cells", "ms per cell", points)


def of_devices(out) -> None:
    """Virtual devices share the same cores: flat is what can be hoped for."""
    code = (
        "from benchmarks.growth import *; cell = Cell(k=25, **PLAIN); b = build(cell);"
        "job = Job(b.params, 0, 2**20, cell.max_steps);"
        "call = call_of(b.family, [job], b.settings);"
        "print(min(call().seconds for _ in range(TURNS + 1)))"
    )
    points = []
    for count in (1, 2, 4):
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "XLA_FLAGS": flags},
            check=True,
            capture_output=True,
            text=True,
        )
        points.append((count, float(done.stdout.split()[-1])))
    title = f"virtual CPU devices on {cpu_count()} cores, 2^20 restarts of (25, 4)"
    curve(out, title, "devices", "seconds", points)


def main(out):
    for name in out.wanted(CURVES, out.cells):
        globals()[f"of_{name}"](out)
