"""jaxcnn in a process of its own: `python -m benchmarks.peers.ours`; prints JSON.

Three ways to the answer over the grid: one call of the engine with the restarts that are
enough at any probability; a study that finds out, cell by cell, how many restarts it needs; the
exact probability to the half-width asked for. And the exact probability to ten digits.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial

began = time.perf_counter()
import jaxcnn  # noqa: E402
from jaxcnn.study.paper import table1  # noqa: E402

IMPORT = time.perf_counter() - began

from benchmarks.peers import question  # noqa: E402
from benchmarks.peers.alone import peak_mib, seconds_of  # noqa: E402
from benchmarks.peers.question import GRID, HALF_WIDTH, KS, NORM, RATIOS, STEP_SIZE, P  # noqa: E402

FIXED = {"p": P, "step_size": STEP_SIZE, "teacher_norm": NORM}


def cell(k: int, ratio: float) -> jaxcnn.Cell:
    """A cell of the grid."""
    return jaxcnn.Cell(k=k, ratio=float(ratio), **FIXED)


def study(seed: int):
    """The grid to the half-width, each cell with as many restarts as it needs."""
    return jaxcnn.sweep(
        seed=seed, half_width=HALF_WIDTH, fixed=FIXED, grid={"k": list(KS), "ratio": list(RATIOS)}
    )


def main() -> None:
    """Argument: k and ratio of the cell in words."""
    k, ratio = int(sys.argv[1]), int(sys.argv[2])
    found: dict = {"peer": "jaxcnn", "import_s": IMPORT}
    enough = question.restarts_needed(0.5)
    value = float(jaxcnn.exact(cell(k, ratio)).p_global)
    n = question.restarts_needed(value)
    cold = seconds_of(lambda: jaxcnn.estimate(cell(k, ratio), restarts=n, seed=1))
    runs = [jaxcnn.estimate(cell(k, ratio), restarts=n, seed=2 + i) for i in range(5)]
    walls = [seconds_of(lambda: jaxcnn.estimate(cell(k, ratio), restarts=n, seed=9)) for _ in "abc"]
    best, wall = min(runs, key=lambda e: e.seconds), min(walls)
    useful = best.mean_steps * n
    found["settled"] = {
        "p_global": best.p_global, "restarts": n, "seconds": wall,
        "paid": useful / best.utilisation, "utilisation": best.utilisation,
        "unsettled": best.counts.undecided,
    }  # fmt: skip
    found["compile_s"] = cold - wall
    found["peak_mib"] = peak_mib()
    flow = jaxcnn.estimate(cell(k, ratio).with_(optimizer="flow"), restarts=4 * n, seed=3)
    found["flow"] = {"p_global": flow.p_global, "restarts": flow.restarts}
    whole = lambda seed: table1(enough, NORM, STEP_SIZE, seed, exact=False)  # noqa: E731
    found["table_cold_s"] = seconds_of(lambda: whole(0))
    found["table_s"] = min(seconds_of(lambda: whole(1)) for _ in range(3))
    found["table_restarts"] = enough
    answers = whole(1).cells
    found["study_cold_s"] = seconds_of(lambda: study(0))
    found["study_s"] = min(seconds_of(partial(study, seed)) for seed in (1, 2))
    found["study_restarts"] = int(study(1)["restarts"].sum())
    cells = [cell(*c) for c in GRID]
    within = lambda: jaxcnn.exact(cells, tolerance=HALF_WIDTH)  # noqa: E731
    found["within_s"] = min(seconds_of(within) for _ in range(3))
    found["exact_s"] = min(seconds_of(lambda: jaxcnn.exact(cells)) for _ in range(3))
    rows = zip(GRID, within(), jaxcnn.exact(cells), answers["p_global"], strict=True)
    found["grid"] = [
        {"cell": f"{a},{b}", "within": near.p_global, "exact": sure.p_global, "p_global": p}
        for (a, b), near, sure, p in rows
    ]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
