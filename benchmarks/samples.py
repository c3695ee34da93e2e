"""Finite samples against their limits: matrix products, reading data, generating data.

    python -m benchmarks samples [--cells 25,6 25,20]

With one shared data set a step of L lanes needs two products, (n k, p) × (p, L) and its
transpose with (n k, L): 4 n k p floating-point operations a lane. The limit is the rate of
these two products alone, in this run, on arrays of the same shapes and on one core, as the engine
runs a launch. The engine's rate includes all else a step does: activations, sums, the optimizer,
the population loss and the verdict.

With one data set per restart nothing is reused but by its own restart. A step reads n (k p + 1)
numbers a lane; the limit is the rate at which a sum reads the same arrays. Data that do not fit
the budget are drawn again at every step; the limit is the rate of drawing them alone.

One launch at a time, on one core; drawing and reading alone are compiled alike.
"""

from __future__ import annotations

import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.full import Endless
from jaxcnn import Cell
from jaxcnn.descent.sampled import some_inputs
from jaxcnn.engine.launch import ONE_THREAD
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import run
from jaxcnn.model.activation import activation
from jaxcnn.model.population import target
from jaxcnn.model.sample import sampled_loss
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.build import build

SIZES = ((25, 6), (25, 20), (25, 100), (100, 6), (9, 6))
SAMPLES, REPEATS = 1000, 5
CHECK = 1e-4
"""Largest difference of the engine's gradient to autodiff's before any time is believed."""


one_core = partial(jax.jit, compiler_options=ONE_THREAD)


def best(call) -> float:
    """Least seconds of a few calls; the one before them compiles."""
    jax.block_until_ready(call())
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def cell_of(k: int, p: int, **words) -> Cell:
    """A sampled cell whose runs are far from settled after every step taken here."""
    return Cell(k=k, p=p, ratio=4.0, samples=SAMPLES, step_size=1e-4, **words)


def error_of(built) -> float:
    """Largest difference between the source's gradient at one start and autodiff's."""
    params = jax.tree.map(jnp.asarray, built.params)
    state = built.family(params).start(jax.random.key(5))
    slope = built.family.source.gradient(params, state.carried, state.student, jnp.int32(0))
    shared = params.source.shared
    expected = jax.grad(sampled_loss)(state.student, *shared, activation("relu"))
    gaps = jax.tree.map(lambda x, y: float(jnp.max(jnp.abs(x - y))), slope, expected)
    return max(gaps)


def step_seconds(built, steps: int) -> float:
    """Seconds of one step of all lanes, in the engine."""
    width = built.settings.width
    settings = built.settings._replace(capacity=max(width, 256))

    def call(most):
        run(Endless(built.family), [Job(built.params, 0, width, most)],
            seed=0, settings=settings, streams=1)  # fmt: skip

    # The difference of two lengths leaves drawing the starts and launching out.
    return (best(lambda: call(5 * steps)) - best(lambda: call(steps))) / (4 * steps)


def products(rows, unit):
    """Both products, chunk by chunk: rows (chunks, k m, p), unit (p, L)."""

    def add(total, z):
        return total + z.T @ (z @ unit), None

    return lax.scan(add, jnp.zeros_like(unit), rows)[0]


def shared(k: int, p: int):
    """A row of the table: one shared data set."""
    built = build(cell_of(k, p, data="shared"))
    error = error_of(built)
    assert error < CHECK, error
    width, chunk = built.settings.width, built.family.source.chunk
    rng = np.random.default_rng(0)
    chunks = -(-SAMPLES // chunk)
    rows = jnp.asarray(rng.normal(size=(chunks, k * chunk, p)), "float32")
    unit = jnp.asarray(rng.normal(size=(p, width)), "float32")
    repeated = one_core(lambda r, u: lax.fori_loop(0, 8, lambda _, x: products(r, x) * 1e-6, u))
    alone = best(lambda: repeated(rows, unit)) / 8
    limit = 4 * chunks * chunk * k * p * width / alone / 1e9
    ours = 4 * SAMPLES * k * p * width / step_seconds(built, 16) / 1e9
    return f"{k},{p}", f"{error:.0e}", width, chunk, round(limit, 1), round(ours, 1), f"{ours / limit:.0%}"  # fmt: skip


def square(size: int = 1024) -> float:
    """GFLOP/s of one large square product: what a core can do."""
    a = jnp.ones((size, size), jnp.float32)
    product = one_core(jnp.matmul)
    return 2 * size**3 / best(lambda: product(a, a)) / 1e9


def own(k: int, p: int):
    """A row of the table: one data set per restart, kept and drawn again."""
    kept = build(cell_of(k, p))
    width, numbers = kept.settings.width, SAMPLES * (k * p + 1)
    data = jnp.ones((numbers, width), jnp.float32)
    summed = one_core(lambda x: jnp.sum(x, axis=0))
    reading = best(lambda: summed(data))
    step = step_seconds(kept, 8)
    again = build(cell_of(k, p), memory=1)
    lanes = again.settings.width
    arrays = target(Teacher(k=k, p=p, ratio=4.0), dtype="float32")
    keys = jax.random.split(jax.random.key(0), lanes)
    draw = one_core(jax.vmap(lambda key: jax.tree.map(jnp.sum, some_inputs(
        key, jnp.arange(SAMPLES), arrays, jnp.float32(0), activation("relu")))))  # fmt: skip
    drawing, redrawn = best(lambda: draw(keys)), step_seconds(again, 8)
    each = 4 * numbers * width / 1e9
    return f"{k},{p}", width, round(each / reading, 1), round(each / step, 1), f"{reading / step:.0%}", lanes, round(numbers * lanes / drawing / 1e6), round(numbers * lanes / redrawn / 1e6), f"{drawing / redrawn:.0%}"  # fmt: skip


def main(out):
    names = {f"{s[0]},{s[1]}": s for s in SIZES}
    sizes = [names[name] for name in out.wanted(names, out.cells)]
    peak = square()
    out.table(
        f"samples: one shared data set, n = {SAMPLES}, GFLOP/s"
        f" (a square product of 1024: {peak:.0f})",
        ("k,p", "error", "lanes", "chunk", "products", "jaxcnn", "share"),
        [shared(*size) for size in sizes],
    )
    out.table(
        f"samples: one data set per restart, n = {SAMPLES}:"
        " reading (GB/s) and drawing again (million numbers a second)",
        ("k,p", "lanes", "reads", "jaxcnn", "share", "lanes ", "draws", "jaxcnn ", "share "),
        [own(*size) for size in sizes if size[0] * size[1] <= 600],
    )
