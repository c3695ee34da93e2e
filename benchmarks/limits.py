"""What the machine can do at most: memory, matrix products, the C kernel; and how near we are.

    python -m benchmarks limits

The full state is bounded by the bytes it must move: at least one read and one write of p + k
numbers a step, from RAM if the lanes do not fit a cache and from L2 as they do here. The
reduced recurrence is bounded by arithmetic, for which the C kernel stands
(benchmarks/recurrence.c); finite samples by matrix products.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import recurrence
from benchmarks.full import cell_of
from benchmarks.reduced import LONG, starts
from jaxcnn import Cell
from jaxcnn.base.cores import cpu_count
from jaxcnn.study.build import build

PLACES = {"RAM": 2**24, "L2": 2**15}
"""Numbers in each of three arrays a core: 192 MiB, and 384 KiB."""


def bandwidth(size: int) -> float:
    """Bytes a second of c = a + b on every core, two reads and one write counted."""

    def work(arrays):
        a, b, c = arrays
        for _ in range(repeats):
            np.add(a, b, out=c)

    cores = cpu_count()
    sets = [tuple(np.ones(size, "f4") for _ in range(3)) for _ in range(cores)]
    repeats = max(2, 2**27 // size)
    best = 0.0
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(4):
            began = time.perf_counter()
            list(pool.map(work, sets))
            best = max(best, 12 * size * repeats * cores / (time.perf_counter() - began))
    return best


def product_rate(rows: int, inner: int, columns: int) -> float:
    """Floating-point operations a second of a float32 matrix product under jit."""
    a, b = jnp.ones((rows, inner), "f4"), jnp.ones((inner, columns), "f4")
    product = jax.jit(jnp.matmul)
    product(a, b).block_until_ready()
    repeats = max(1, int(4e9 // (2 * rows * inner * columns)))
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(repeats):
            last = product(a, b)
        last.block_until_ready()
        best = max(best, 2 * rows * inner * columns * repeats / (time.perf_counter() - began))
    return best


def main(out):
    rows = [(f"a + b, {name}", f"{bandwidth(n) / 1e9:.1f} GB/s") for name, n in PLACES.items()]
    move = dict(zip(PLACES, (float(text.split()[0]) * 1e9 for _, text in rows)))
    for shape in ((1024, 1024, 1024), (4096, 6, 512)):
        name = " x ".join(map(str, shape))
        rows.append((f"matrix product {name}", f"{product_rate(*shape) / 1e9:.1f} Gflop/s"))
    if recurrence.compiler() is not None:
        rates = tuple(float(x) for x in build(Cell(**LONG), engine="reduced").params.rates)
        state = starts(Cell(**LONG), recurrence.LANES)
        libraries = [recurrence.compiled(unroll) for unroll in recurrence.UNROLLS]
        fastest = max(recurrence.rates_of_c(libraries, state, rates).values())
        rows.append(("C kernel, reduced", f"{fastest / 1e6:.0f} M restart-steps/s"))
    out.table("limits: what this machine does at most", ("", "rate"), rows)
    lines = []
    for row in out.rows("full"):
        k, p = map(int, row["k,p"].split(","))
        cell = cell_of(k, p)
        least = 8 * (cell.k + cell.p)
        found = float(row["jaxcnn"]) * 1e6
        lines.append((row["k,p"], least, *(move[x] / least / 1e6 for x in PLACES), found / 1e6,
                      f"{found * least / move['RAM']:.2f}", f"{found * least / move['L2']:.2f}"))  # fmt: skip
    if lines:
        columns = ("k,p", "bytes/step", "RAM limit", "L2 limit", "jaxcnn", "of RAM", "of L2")
        out.table("limits: full state, millions of restart-steps a second", columns, lines)
