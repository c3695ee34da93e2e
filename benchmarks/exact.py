"""What exact answers cost: Table 1, single cells, rare failures, the command as a process.

    python -m benchmarks exact

Both cores, compilation excluded unless said. Processor seconds (both cores summed) hold on a
busy machine too; wall seconds on an idle one only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import jaxcnn
from jaxcnn.base.cell import Cell
from jaxcnn.basin.conditional import conditional_probability
from jaxcnn.basin.exact import exact_probability

KS, RATIOS = (25, 36, 49, 64, 81, 100), (0, 1, 4, 9, 16, 25)
TABLE = [Cell(k=k, ratio=ratio, step_size=0.05) for k in KS for ratio in RATIOS]
SINGLE = (
    ("ordinary (25, 4)", {"k": 25, "ratio": 4}),
    ("near-critical (49, 16)", {"k": 49, "ratio": 16}),
    ("near-critical (81, 25)", {"k": 81, "ratio": 25}),
    ("step size 0.01 (25, 4)", {"k": 25, "ratio": 4, "step_size": 0.01}),
    ("teacher norm 3", {"k": 25, "ratio": 4, "teacher_norm": 3.0}),
    ("teacher norm 10", {"k": 25, "ratio": 4, "teacher_norm": 10.0}),
    ("ball scale 20", {"k": 25, "ratio": 4, "init_scale": 20.0}),
    ("Gaussian, deviation 1", {"k": 25, "ratio": 4, "init": "gaussian"}),
    ("GELU (25, 4)", {"k": 25, "ratio": 4, "activation": "gelu"}),
    ("fixed start angle 1.85 (25, 4)", {"k": 25, "ratio": 4, "angle": 1.85}),
    ("gradient flow (25, 4)", {"k": 25, "ratio": 4, "optimizer": "flow"}),
    ("rare failure (100, 25), p = 112", {"k": 100, "ratio": 25, "p": 112}),
)
RARE = Cell(k=100, ratio=25, p=112, step_size=0.05)


def timed(work, repeats=3):
    """Result, wall and processor seconds of the fastest of several calls; the first compiles."""
    result, best = work(), (float("inf"), float("inf"))
    for _ in range(repeats):
        wall, busy = time.perf_counter(), time.process_time()
        work()
        best = min(best, (time.perf_counter() - wall, time.process_time() - busy))
    return result, *best


def main(out) -> None:
    rows = []
    for name, call in (
        ("one after another", lambda: [exact_probability(cell) for cell in TABLE]),
        ("side by side", lambda: jaxcnn.exact(TABLE)),
        ("side by side, to 0.005", lambda: jaxcnn.exact(TABLE, tolerance=0.005)),
    ):
        found, wall, busy = timed(call)
        rows.append((name, wall, busy, max(one.error for one in found)))
    out.table(
        "exact: the 36 cells of Table 1, step size 0.05, norm 1, to 1e-10 where nothing is said",
        ("", "wall s", "cpu s", "largest error"),
        rows,
    )
    rows = []
    for name, options in SINGLE:
        start = {key: options[key] for key in ("angle",) if key in options}
        words = {key: value for key, value in options.items() if key not in start}
        cell = Cell(**({"step_size": 0.05} | words))
        one, wall, busy = timed(lambda c=cell, s=start: exact_probability(c, **s))
        rows.append((name, wall, busy, f"{one.p_global:.12f}", one.error))
    out.table(
        "exact: one cell, to 1e-10, step size 0.05, norm 1 unless said",
        ("", "wall s", "cpu s", "P(global)", "error"),
        rows,
    )
    sure, wall, busy = timed(lambda: exact_probability(RARE))
    drawn, drawn_wall, drawn_busy = timed(lambda: conditional_probability(RARE), repeats=1)
    out.table(
        "exact: a rare failure, (100, 25) at p = 112, both ways",
        ("", "wall s", "cpu s", "P(spurious)", "error"),
        [
            ("quadrature", wall, busy, sure.p_spurious, sure.error),
            (
                f"{drawn.draws} conditional draws",
                drawn_wall,
                drawn_busy,
                drawn.p_spurious,
                drawn.standard_error,
            ),
        ],
    )
    out.table(
        "exact: whole processes, compilation included",
        ("", "wall s"),
        [
            ("jaxcnn exact --k 25 --ratio 4 --json", process("--k", "25", "--ratio", "4")),
            ("jaxcnn exact --k 49 --ratio 16 --json", process("--k", "49", "--ratio", "16")),
        ],
    )


def process(*words) -> float:
    """Seconds of the command from start to end, the faster of two, nothing kept between."""
    command = [sys.executable, "-m", "jaxcnn", "exact", *words, "--json"]
    spent = []
    for _ in range(2):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=plain_environment())
        spent.append(time.perf_counter() - began)
    return min(spent)


def plain_environment() -> dict[str, str]:
    """The environment without JAX's compilation cache, which would hide the compilation."""
    return {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION_CACHE")}
