"""The four-scalar engine: its rate against C, Table 1 against autodiff, large cells, dimension.

    python -m benchmarks reduced

Both cores, float32 unless said, compilation excluded; every ratio is from one run.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import autodiff, recurrence
from jaxcnn.base.cell import Cell
from jaxcnn.descent.certificate import Rates, Scalars
from jaxcnn.descent.kernel import RELU
from jaxcnn.descent.reduced import step
from jaxcnn.engine.run import Account, Job, run
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.build import build
from jaxcnn.study.paper import RATIOS, table1

KS = (25, 36, 49, 64, 81, 100)
STEP_SIZE, NORM = 0.05, 1.0
LONG = {"k": 49, "ratio": 15.0, "step_size": 0.005}
"""Below critical, with about a thousand steps a restart: the rate of stepping."""


def engine_run(cells, restarts, repeats=3, **options) -> tuple[list, Account]:
    """Results and account of the fastest of several runs; the first compiles."""
    built = [build(cell, engine="reduced", **options) for cell in cells]
    jobs = [Job(b.params, 0, restarts, c.max_steps) for b, c in zip(built, cells)]
    first = built[0]
    once = lambda: run(first.family, jobs, seed=0, settings=first.settings, x64=first.x64)  # noqa: E731
    once()
    return min((once() for _ in range(repeats)), key=lambda pair: pair[1].seconds)


def starts(cell: Cell, lanes: int) -> np.ndarray:
    """Starts of a cell, (4, lanes)."""
    built = build(cell, engine="reduced")
    params = jax.tree.map(jnp.asarray, built.params)
    keys = jax.random.split(jax.random.key(0), lanes)
    return np.stack(jax.jit(jax.vmap(built.family(params).start))(keys))


def same_answer(cell: Cell, rates, steps: int = 1000) -> float:
    """Largest difference in φ after some steps, C against our own step, in float32."""
    begin = starts(cell, recurrence.LANES)
    numbers = Rates(*map(jnp.float32, rates))
    walk = jax.jit(lambda at: jax.lax.fori_loop(0, steps, lambda _, z: step(RELU, numbers, z), at))
    ours = np.asarray(walk(Scalars(*map(jnp.asarray, begin))).angle)
    library, worst = recurrence.compiled(recurrence.UNROLLS[0]), 0.0
    for form in recurrence.FORMS:
        state = recurrence.aligned(begin)
        recurrence.advance(library, form, [state], steps, rates)
        worst = max(worst, float(np.quantile(np.abs(state[0] - ours), 0.99)))
    return worst


def against_c(out) -> None:
    if recurrence.compiler() is None:
        out.note("no C compiler found: the comparison with C is left out")
        return
    cell = Cell(**LONG)
    rates = tuple(float(x) for x in build(cell, engine="reduced").params.rates)
    state = starts(cell, recurrence.LANES)
    best = recurrence.fastest(state, rates)
    goal = max(best.values())
    rows = [(f"C, {form.replace('_', ' ')}", r / 1e6, r / goal) for form, r in best.items()]
    table = [Cell(k=k, ratio=r, step_size=STEP_SIZE) for k in KS for r in RATIOS]
    for name, cells, restarts in (
        ("engine, long runs (49, 15) at 0.005", [cell], 200_000),
        ("engine, Table 1", table, 50_000),
    ):
        results, account = engine_run(cells, restarts)
        mean = account.useful_steps / (len(cells) * restarts)
        for kind, count in (("paid", account.lane_steps), ("useful", account.useful_steps)):
            rate = count / account.seconds
            text = f"{name}: {kind} ({mean:.0f} steps a restart)"
            rows.append((text, rate / 1e6, rate / goal))
    columns = ("", "M restart-steps/s", "of C")
    out.table("reduced: restart-steps per second, float32, both cores", columns, rows)
    apart = same_answer(cell, rates)
    out.note(f"99 % of angles agree with C to {apart:.1e} after 1000 steps")


def script_seconds(restarts: int) -> list[float]:
    """Seconds of the vmapped-autodiff script for one cell of each k (the ratio is no matter)."""
    spent = []
    for k in KS:
        teacher = Teacher(k=k, p=6, ratio=4.0, teacher_norm=NORM)
        begin = autodiff.starts(jax.random.key(0), restarts, teacher)
        fixed = (jnp.asarray(teacher.w_star, "float32"), jnp.asarray(teacher.a_star, "float32"))
        for steps in (10, 10_000):  # the number of steps is compiled in: ten first, to warm up
            call = autodiff.fixed_steps.lower(*begin, *fixed, STEP_SIZE, steps=steps).compile()
            began = time.perf_counter()
            jax.block_until_ready(call(*begin, *fixed, STEP_SIZE))
        spent.append(time.perf_counter() - began)
    return spent


def against_autodiff(out) -> None:
    options = {"teacher_norm": NORM, "step_size": STEP_SIZE, "engine": "reduced", "exact": False}
    table1(**options)
    ours = min((table1(**options) for _ in range(5)), key=lambda t: t.seconds)
    cells = len(RATIOS) * len(KS)
    theirs = len(RATIOS) * sum(script_seconds(ours.restarts))
    rows = [
        ("autodiff, 10 000 steps (one cell of each k, times 6)", theirs, 1),
        ("jaxcnn, reduced", ours.seconds, theirs / ours.seconds),
    ]
    title = f"reduced: Table 1, {cells} cells, 5000 restarts each, norm 1, step size 0.05"
    out.table(title, ("", "seconds", "times as fast"), rows)


def million(out) -> None:
    """In a process of its own, for its peak of memory."""
    code = "from benchmarks.reduced import million_here; million_here()"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    seconds, peak, undecided = done.stdout.split()
    out.table(
        "reduced: Table 1, 1 000 000 restarts a cell, as a process of its own",
        ("seconds, compilation included", "peak MiB", "undecided of 36 000 000"),
        [(float(seconds), int(peak), int(undecided))],
    )


def million_here() -> None:
    """Print seconds, peak MiB and undecided restarts."""
    result = table1(
        restarts=1_000_000, teacher_norm=NORM, step_size=STEP_SIZE, engine="reduced", exact=False
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(result.seconds, peak, int(result.cells["undecided"].sum()))


def dimension(out) -> None:
    """The same 2000 steps of size 3e-6 at both ends, in float64, which that size needs."""
    rows = []
    for k, p in ((25, 6), (1_000_000, 100_000)):
        cell = Cell(k=k, p=p, ratio=4.0, step_size=3e-6, max_steps=2000)
        _, account = engine_run([cell], 100_000, dtype="float64")
        rows.append((f"{k:g}", f"{p:g}", 1e9 * account.seconds / account.lane_steps))
    out.table(
        "reduced: nanoseconds per restart-step, 2000 steps of size 3e-6, float64",
        ("k", "p", "ns", "ratio"),
        [(k, p, ns, ns / rows[0][2]) for k, p, ns in rows],
    )


def main(out) -> None:
    against_c(out)
    against_autodiff(out)
    dimension(out)
    million(out)
