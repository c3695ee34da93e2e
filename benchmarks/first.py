"""The first benchmark: one Table 1 cell, 5000 restarts, ours against vmapped autodiff.

    python -m benchmarks first

Prints both answers before any time, then the times of one run, compilation excluded, and
their ratios.
"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp

from benchmarks import autodiff
from jaxcnn import Teacher, estimate

STEP_SIZE, RESTARTS = 0.05, 5000


def timed(call):
    """(result, seconds) of the second call: the first compiles."""
    jax.block_until_ready(call())
    began = time.perf_counter()
    result = jax.block_until_ready(call())
    return result, time.perf_counter() - began


def main(out):
    teacher = Teacher(k=25, p=6, ratio=4.0, teacher_norm=0.55)
    start = autodiff.starts(jax.random.key(0), RESTARTS, teacher)
    fixed = (jnp.asarray(teacher.w_star, "float32"), jnp.asarray(teacher.a_star, "float32"))
    (angle, steps), slow = timed(lambda: autodiff.fixed_steps(*start, *fixed, STEP_SIZE))
    (angle2, steps2), best = timed(lambda: autodiff.until_settled(*start, *fixed, STEP_SIZE))
    rows = [
        ("autodiff, 10 000 steps", float(jnp.mean(angle < 1.5)), int(steps), slow),
        ("autodiff, until all settled", float(jnp.mean(angle2 < 1.5)), int(steps2), best),
    ]
    for engine in ("full", "reduced"):
        run = lambda engine=engine: estimate(  # noqa: E731
            teacher, step_size=STEP_SIZE, restarts=RESTARTS, engine=engine
        )
        run()
        result = min((run() for _ in range(3)), key=lambda e: e.seconds)
        rows.append((f"jaxcnn, {engine}", result.p_global, result.max_steps, result.seconds))
    out.table(
        "first: P(global) at k = 25, p = 6, ratio 4, norm 0.55, step size 0.05, 5000 restarts",
        ("", "P(global)", "steps", "seconds", "x 10 000 steps", "x settled"),
        [
            (n, f"{p:.4f}", s, f"{t:.4f}", f"{slow / t:.1f}", f"{best / t:.1f}")
            for n, p, s, t in rows
        ],
    )
