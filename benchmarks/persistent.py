"""The persistent kernel beside the plain loop, on a GPU.

    python -m benchmarks persistent

Restart-steps a second over one cell of a million restarts, each outcome compared. On a CPU
there is nothing to measure: the kernel runs there only to be tested.
"""

from __future__ import annotations

import time

import jax
import numpy as np

from jaxcnn import Cell
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import run
from jaxcnn.study.build import build

RESTARTS, BLOCKS = 2**22, (64, 128, 256, 512)


def timed(built, job, settings):
    """(outcomes, lane-steps a second, utilisation) of the best of three calls."""
    best = None
    for _ in range(4):  # the first compiles
        began = time.perf_counter()
        (result,), account = run(built.family, [job], seed=0, settings=settings)
        seconds = time.perf_counter() - began
        if best is None or seconds < best[0]:
            best = (seconds, result.outcomes, account)
    return best[1], best[2].lane_steps / best[0], best[2].utilisation


def main(out):
    if jax.default_backend() != "gpu":
        out.note("persistent: needs a GPU; on this machine the kernel is only tested")
        return
    cell = Cell(k=25, ratio=4.0, step_size=0.01)
    built = build(cell, engine="reduced", dtype="float32")
    job = Job(built.params, 0, RESTARTS, cell.max_steps)
    expected, rate, share = timed(built, job, built.settings)
    rows = [("plain loop", 0, rate / 1e9, share, 0.0)]
    for block in BLOCKS:
        found, rate, share = timed(built, job, built.settings._replace(persistent=block))
        flips = float(np.mean(found != expected))
        rows.append((f"persistent, {block} lanes", block, rate / 1e9, share, flips))
    out.table(
        "persistent: restart-steps a second (billions), lanes in memory and in registers",
        ("", "block", "rate", "utilisation", "outcomes that differ"),
        rows,
    )
