"""How cost grows with k, p, restarts, cells, samples and devices: curves with log-log slopes.

    python -m benchmarks growth [--cells restarts k p full samples cells devices]

Both cores, float32, compilation excluded, the least of a few runs. A slope of 0 is flat, 1 is
proportional. Where a cost is per lane-step, no run ends early (benchmarks/full.py).
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time

import numpy as np

from benchmarks.full import Endless, cell_of, steps_for
from jaxcnn import Cell
from jaxcnn.base.cores import cpu_count
from jaxcnn.engine.run import Account, Job, run
from jaxcnn.study.build import build

CURVES = ("restarts", "k", "p", "full", "samples", "cells", "devices")
RESTART_TURNS = 3
PLAIN = {"p": 6, "ratio": 4.0, "teacher_norm": 0.55, "step_size": 0.05}


def fastest(family, jobs, settings, repeats=3, **options) -> Account:
    """The account of the fastest of a few runs after one that compiles."""
    accounts = [
        run(family, jobs, seed=i, settings=settings, **options)[1] for i in range(repeats + 1)
    ]
    return min(accounts[1:], key=lambda account: account.seconds)


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


def per_lane_step(cell: Cell, engine: str, lanes: int = 0, numbers: int = 0) -> float:
    """Nanoseconds of the machine for one lane-step of a run that does not end."""
    built = build(cell, engine=engine)
    streams = cpu_count()
    lanes = (lanes or built.settings.width) * streams
    settings = built.settings._replace(capacity=2**13)
    job = Job(built.params, 0, lanes, numbers or steps_for(lanes, cell.k + cell.p))
    account = fastest(Endless(built.family), [job], settings)
    return 1e9 * account.seconds / account.lane_steps


def of_restarts(out) -> None:
    """By turns and the least of each, so that the machine's pace at one moment is not a slope."""
    cell = Cell(k=25, **PLAIN)
    built = build(cell)
    sizes = (100_000, 1_000_000, 10_000_000)
    wall, processor = dict.fromkeys(sizes, math.inf), dict.fromkeys(sizes, math.inf)
    for turn in range(RESTART_TURNS + 1):
        for restarts in sizes:
            job = Job(built.params, 0, restarts, cell.max_steps)
            for _ in range(max(1, 2_000_000 // restarts) if turn else 1):
                began = time.process_time()
                account = run(built.family, [job], seed=turn, settings=built.settings)[1]
                spent = time.process_time() - began
                if turn:  # the first compiles
                    wall[restarts] = min(wall[restarts], account.seconds)
                    processor[restarts] = min(processor[restarts], spent)
    for name, least in (("wall", wall), ("processor", processor)):
        points = [(n, 1e6 * least[n] / n) for n in sizes]
        curve(out, f"{name} time a restart, (25, 4) at 0.05", "restarts", "us", points)


def of_k(out) -> None:
    points = [
        (k, per_lane_step(cell_of(k, 6), "reduced", numbers=4000)) for k in (25, 100, 400, 1600)
    ]
    curve(out, "reduced engine against k, p = 6", "k", "ns per lane-step", points)


def of_p(out) -> None:
    points = [
        (p, per_lane_step(cell_of(25, p), "reduced", numbers=4000))
        for p in (6, 100, 10_000, 100_000)
    ]
    curve(out, "reduced engine against p, k = 25", "p", "ns per lane-step", points)


def of_full(out) -> None:
    for name, sizes in (
        ("k", [(k, 20) for k in (50, 100, 200, 400, 800)]),
        ("p", [(20, p) for p in (50, 100, 200, 400, 800)]),
    ):
        points = [(max(k, p), per_lane_step(cell_of(k, p), "full")) for k, p in sizes]
        other = "p" if name == "k" else "k"
        curve(
            out, f"full-state engine against {name}, {other} = 20", name, "ns per lane-step", points
        )


def of_samples(out) -> None:
    points = []
    for samples in (32, 128, 512, 2048):
        cell = Cell(k=9, samples=samples, data="shared", max_steps=16, **PLAIN)
        built = build(cell)
        job = Job(built.params, 0, built.settings.width * cpu_count(), cell.max_steps)
        account = fastest(built.family, [job], built.settings, 1)
        points.append((samples, 1e9 * account.seconds / account.lane_steps))
    curve(out, "finite samples against n, k = 9, p = 6", "samples", "ns per lane-step", points)


def of_cells(out) -> None:
    points = []
    for count in (1, 6, 36, 216):
        cells = [Cell(k=25 + i, **PLAIN) for i in range(count)]
        built = [build(cell) for cell in cells]
        jobs = [Job(b.params, 0, 5000, c.max_steps) for b, c in zip(built, cells)]
        account = fastest(built[0].family, jobs, built[0].settings, 2)
        points.append((count, 1e3 * account.seconds / count))
    curve(out, "a grid in one call, 5000 restarts a cell", "cells", "ms per cell", points)


def of_devices(out) -> None:
    """Virtual devices share the same cores: flat is what can be hoped for."""
    code = (
        "from benchmarks.growth import *; cell = Cell(k=25, **PLAIN); b = build(cell);"
        "job = Job(b.params, 0, 2**20, cell.max_steps);"
        "print(fastest(b.family, [job], b.settings).seconds)"
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
