"""What exact answers cost: `python -m benchmarks.exact` or `python benchmarks/exact.py`.

Prints wall and processor seconds, compilation apart. Wall time means something only on an
otherwise idle machine; processor time (both cores summed) holds on a busy one too.
"""

from __future__ import annotations

import subprocess
import sys
import time

from jaxcnn.base.cell import Cell
from jaxcnn.basin.conditional import conditional_probability
from jaxcnn.basin.exact import exact_probability

KS, RATIOS = (25, 36, 49, 64, 81, 100), (0, 1, 4, 9, 16, 25)
SINGLE = (
    ("ordinary (25, 4)", {"k": 25, "ratio": 4}),
    ("near-critical (49, 16)", {"k": 49, "ratio": 16}),
    ("near-critical (81, 25)", {"k": 81, "ratio": 25}),
    ("step size 0.01 (25, 4)", {"k": 25, "ratio": 4, "step_size": 0.01}),
    ("teacher norm 3", {"k": 25, "ratio": 4, "teacher_norm": 3.0}),
    ("teacher norm 10", {"k": 25, "ratio": 4, "teacher_norm": 10.0}),
    ("ball scale 20", {"k": 25, "ratio": 4, "init_scale": 20.0}),
    ("Gaussian, deviation 1", {"k": 25, "ratio": 4, "init": "gaussian"}),
    ("rare failure (100, 25), p = 112", {"k": 100, "ratio": 25, "p": 112}),
)


def timed(work):
    """Result, wall seconds, processor seconds."""
    wall, busy = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - busy


def show(name, wall, busy, note=""):
    """One row."""
    print(f"{name:36} {wall:9.3f} {busy:9.3f}  {note}", flush=True)


def main(out=None):
    """Print the table."""
    print(f"{'':36} {'wall s':>9} {'cpu s':>9}")
    _, wall, busy = timed(lambda: exact_probability(Cell(k=25, ratio=4, step_size=0.05)))
    show("first call, compilation included", wall, busy)
    cells = [Cell(k=k, ratio=ratio, step_size=0.05) for k in KS for ratio in RATIOS]
    found, wall, busy = timed(lambda: [exact_probability(cell) for cell in cells])
    show("36 cells of Table 1", wall, busy, f"largest error {max(x.error for x in found):.1e}")
    for name, options in SINGLE:
        cell = Cell(**({"step_size": 0.05} | options))
        one, wall, busy = timed(lambda cell=cell: exact_probability(cell))
        show(name, wall, busy, str(one))
    rare = Cell(k=100, ratio=25, p=112, step_size=0.05)
    drawn, wall, busy = timed(lambda: conditional_probability(rare, draws=2000))
    show("rare failure, conditional draws", wall, busy, str(drawn))
    code = (
        "from jaxcnn.base.cell import Cell; from jaxcnn.basin.exact import exact_probability; "
        "print(exact_probability(Cell(k=25, ratio=4, step_size=0.05)))"
    )
    _, wall, _ = timed(
        lambda: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    )
    show("whole process, import to answer", wall, float("nan"))


if __name__ == "__main__":
    main()
