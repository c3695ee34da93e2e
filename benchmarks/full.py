"""The full-state engine against vmapped JAX autodiff, per restart-step, at several (k, p).

    python -m benchmarks full [--cells 25,6 1000,1000]

Both take the same number of plain descent steps in float32, each at its best number of lanes
of those tried, and a restart-step is a lane-step paid. No run ends early: the engine still
computes its verdict every `check_every` steps and draws its starts, which are in its time.
Autodiff runs as one call, which XLA spreads over the cores itself, and as one call on a
thread per core; the better counts.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import autodiff
from jaxcnn import Cell, Teacher
from jaxcnn.base.cores import cpu_count
from jaxcnn.base.outcome import Outcome
from jaxcnn.engine.dynamics import Dynamics
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import run
from jaxcnn.study.build import build
from jaxcnn.study.built import full_settings

SIZES = (
    *((4, 2), (25, 6), (25, 20), (100, 20), (100, 100), (300, 300), (1000, 1000)),
    *((1000, 6), (4, 1000)),
)
NUMBERS = 200_000_000
"""Numbers of state advanced by one timing, which sets its number of steps."""

REPEATS, B = 3, 0.02


class Endless(NamedTuple):
    """A family whose verdicts are computed and never end a run."""

    family: object

    def __call__(self, params) -> Dynamics:
        """The family's `Dynamics`, its verdict hidden behind a test the compiler cannot see."""
        plain = self.family(params)
        never = params.rates.c > 1e9
        return plain._replace(
            verdict=lambda s: jnp.where(never, plain.verdict(s), jnp.int32(Outcome.RUNNING))
        )


def cell_of(k: int, p: int) -> Cell:
    """A cell whose slowest directions are far from settled after every step taken here."""
    return Cell(k=k, p=p, ratio=4.0, teacher_norm=0.55, step_size=2 * np.pi * B / (k + np.pi - 1))


def steps_for(lanes: int, rows: int) -> int:
    """Steps of one timing: a multiple of 64, from 1024 (a short run) to 8192."""
    return 64 * max(16, min(128, NUMBERS // (lanes * rows * 64)))


def best(call) -> float:
    """Least seconds of a few calls; the one before them compiles."""
    call()
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def engine_rate(cell: Cell, width: int) -> float:
    """Lane-steps a second of the full-state engine."""
    streams = cpu_count() if jax.default_backend() == "cpu" else 1
    built = build(cell, engine="full")
    settings = built.settings._replace(width=width, capacity=max(width, 2**12))
    steps = steps_for(width * streams, cell.k + cell.p)
    job = Job(built.params, 0, width * streams, steps)
    paid = []

    def call():
        _, account = run(Endless(built.family), [job], seed=0, settings=settings, streams=streams)
        paid.append(account.lane_steps)

    seconds = best(call)
    return paid[-1] / seconds


@partial(jax.jit, static_argnames="steps")
def autodiff_steps(v, a, w_star, a_star, step_size, steps):
    """`jit(vmap(step))` in a loop: what a user writes."""
    many = jax.vmap(autodiff.one_step, (0, 0, None, None, None))
    v, a = jax.lax.fori_loop(0, steps, lambda _, s: many(*s, w_star, a_star, step_size), (v, a))
    return jnp.sum(v) + jnp.sum(a)


def autodiff_rate(cell: Cell, lanes: int, threads: int) -> float:
    """Lane-steps a second of vmapped autodiff, `lanes` on each of `threads` threads."""
    teacher = Teacher(k=cell.k, p=cell.p, ratio=cell.ratio, teacher_norm=cell.teacher_norm)
    fixed = (jnp.asarray(teacher.w_star, "float32"), jnp.asarray(teacher.a_star, "float32"))
    steps = steps_for(lanes * threads, cell.k + cell.p)
    starts = [autodiff.starts(jax.random.key(i), lanes, teacher) for i in range(threads)]

    def one(start):
        autodiff_steps(*start, *fixed, cell.step_size, steps).block_until_ready()

    with ThreadPoolExecutor(threads) as pool:
        seconds = best(lambda: list(pool.map(one, starts)))
    return lanes * threads * steps / seconds


def main(out):
    rows = []
    sizes = {f"{k},{p}": (k, p) for k, p in SIZES}
    for k, p in (sizes[name] for name in out.wanted(sizes, out.cells)):
        cell = cell_of(k, p)
        default = full_settings(k + p).width
        widths = sorted({64 if default > 64 else 32, default, default * 4})
        ours = {w: engine_rate(cell, w) for w in widths}
        lanes = sorted({128, default * 2, 1024, 4096})
        theirs = {(n, t): autodiff_rate(cell, n // t, t) for n in lanes for t in {1, cpu_count()}}
        width, (n, threads) = max(ours, key=ours.get), max(theirs, key=theirs.get)
        high, low = ours[width], theirs[n, threads]
        rows.append((f"{k},{p}", ours[default] / 1e6, high / 1e6, width, low / 1e6, f"{n}/{threads}", high / low))  # fmt: skip
        print(f"  {k},{p}: {high / low:.2f} x", flush=True)
    out.table(
        "full: restart-steps a second (millions), full-state engine and vmapped JAX autodiff",
        ("k,p", "default", "jaxcnn", "at width", "autodiff", "at lanes/threads", "ratio"),
        rows,
    )
