"""What lanes lose: utilisation over Table 1, and the time that starts and tails take.

    python -m benchmarks lanes [--cells together 25,4 49,16 …]

Utilisation is useful restart-steps over lane-steps paid. The time of drawing is that of one
pool times the pools drawn; the time of the tail is what does not grow with the restarts: the
intercept of the line through two numbers of restarts, launches included.
"""

from __future__ import annotations

from benchmarks.peers.question import GRID, NORM, STEP_SIZE, P
from jaxcnn import Cell
from jaxcnn.base.cores import cpu_count
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import draw_seconds, run
from jaxcnn.study.build import build

FEW, MANY = 100_000, 1_000_000


def cell_of(k: int, ratio: float) -> Cell:
    """A cell of Table 1."""
    return Cell(k=k, ratio=float(ratio), p=P, teacher_norm=NORM, step_size=STEP_SIZE)


def account_of(cells, restarts, repeats=1):
    """The account of the fastest run."""
    built = [build(cell) for cell in cells]
    jobs = [Job(b.params, 0, restarts, c.max_steps) for b, c in zip(built, cells)]
    one = built[0]
    runs = [run(one.family, jobs, seed=0, settings=one.settings)[1] for _ in range(repeats)]
    return min(runs, key=lambda account: account.seconds)


def main(out):
    cells = [f"{k},{ratio}" for k, ratio in GRID]
    account_of([cell_of(25, 4)], 1000)
    rows = []
    for name in out.wanted(cells, out.cells):
        cell = cell_of(*map(int, name.split(",")))
        built = build(cell)
        few, many = account_of([cell], FEW, 2), account_of([cell], MANY)
        fixed = max(0.0, (few.seconds * MANY - many.seconds * FEW) / (MANY - FEW))
        each = draw_seconds(built.family, Job(built.params, 0, 2**14, 1), seed=0, settings=built.settings)  # fmt: skip
        drawing = each * many.draws / cpu_count()
        rows.append(
            (
                name,
                many.useful_steps / MANY,
                many.seconds,
                many.lane_steps / many.seconds / 1e6,
                f"{many.utilisation:.3f}",
                f"{min(1.0, drawing / many.seconds):.0%}",
                f"{fixed / many.seconds:.0%}",
            )
        )
    columns = ("k,ratio", "mean steps", "seconds", "M steps/s", "utilisation", "starts", "tail")
    if rows:
        out.table("lanes: Table 1, 1 000 000 restarts a cell, cell by cell", columns, rows)
    if out.wanted(["together"], out.cells):
        all_ = account_of([cell_of(*c) for c in GRID], MANY)
        columns = ("", "seconds", "M steps/s", "utilisation")
        row = (
            "36 cells",
            all_.seconds,
            all_.lane_steps / all_.seconds / 1e6,
            f"{all_.utilisation:.3f}",
        )
        out.table("lanes: Table 1, 1 000 000 restarts a cell, in one call", columns, [row])
