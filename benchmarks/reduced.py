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

from benchmarks import autodiff, native, recurrence
from jaxcnn.base.cell import Cell
from jaxcnn.descent.certificate import Rates, Scalars
from jaxcnn.descent.kernel import RELU
from jaxcnn.descent.reduced import step
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import run
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.build import build
from jaxcnn.study.paper import RATIOS, table1

KS = (25, 36, 49, 64, 81, 100)
STEP_SIZE, NORM = 0.05, 1.0
ROUNDS = 5
LONG = {"k": 49, "ratio": 16.0, "step_size": STEP_SIZE}
"""The near-critical cell of Table 1, whose runs are its longest: the rate of stepping."""


class Runs:
    """A set of cells on the reduced engine; the first call compiles."""

    def __init__(self, cells, restarts, native_steps=False, **options) -> None:
        built = [build(cell, engine="reduced", **options) for cell in cells]
        self.jobs = [Job(b.params, 0, restarts, c.max_steps) for b, c in zip(built, cells)]
        self.first, self.restarts, self.best = built[0], len(cells) * restarts, None
        self.family = self.first.family
        if native_steps:
            self.family = native.NativeDescent(self.family.law, native.register())
        self.once()

    def once(self) -> None:
        """Run all of it; `best` keeps the account of the fastest time."""
        first = self.first
        _, account = run(self.family, self.jobs, seed=0, settings=first.settings, x64=first.x64)
        if self.best is None or account.seconds < self.best.seconds:
            self.best = account


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
    libraries = [recurrence.compiled(unroll) for unroll in recurrence.UNROLLS]
    table = [Cell(k=k, ratio=r, step_size=STEP_SIZE) for k in KS for r in RATIOS]
    ours = {
        "engine, long runs (49, 16)": Runs([cell], 200_000),
        "engine, Table 1": Runs(table, 50_000),
    }
    if native.compiler() is None:
        out.note("no C++ compiler found: the engine with native steps is left out")
    else:
        ours["native steps, long runs (49, 16)"] = Runs([cell], 200_000, native_steps=True)
        ours["native steps, Table 1"] = Runs(table, 50_000, native_steps=True)
    best = dict.fromkeys(recurrence.FORMS, 0.0)
    # By turns, and the best of each: the machine's pace changes from second to second.
    for _ in range(ROUNDS):
        found = recurrence.rates_of_c(libraries, state, rates)
        best = {form: max(best[form], found[form]) for form in best}
        for each in ours.values():
            each.once()
    goal = max(best.values())
    rows = [(f"C, {form.replace('_', ' ')}", r / 1e6, r / goal) for form, r in best.items()]
    for name, each in ours.items():
        account = each.best
        mean = account.useful_steps / each.restarts
        for kind, count in (("paid", account.lane_steps), ("useful", account.useful_steps)):
            rate = count / account.seconds
            rows.append((f"{name}: {kind} ({mean:.0f} a restart)", rate / 1e6, rate / goal))
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
    sizes = ((25, 6), (1_000_000, 100_000))
    cells = [Cell(k=k, p=p, ratio=4.0, step_size=3e-6, max_steps=2000) for k, p in sizes]
    runs = [Runs([cell], 100_000, dtype="float64") for cell in cells]
    for _ in range(ROUNDS):
        for each in runs:
            each.once()
    cost = [1e9 * each.best.seconds / each.best.lane_steps for each in runs]
    rows = [(f"{k:g}", f"{p:g}", ns, ns / cost[0]) for (k, p), ns in zip(sizes, cost)]
    out.table(
        "reduced: nanoseconds per restart-step, 2000 steps of size 3e-6, float64",
        ("k", "p", "ns", "ratio"),
        rows,
    )


def main(out) -> None:
    against_c(out)
    against_autodiff(out)
    dimension(out)
    million(out)
