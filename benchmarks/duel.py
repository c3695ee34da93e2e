"""This checkout against others, by turns: what a change gave, on a machine whose pace changes.

    git worktree add ../before HEAD~1
    python -m benchmarks duel --peers ../before      # on all cores; `taskset -c 0` for one
    python -m benchmarks duel                        # against itself: the noise

One process for each checkout, which all wait while one runs. A ratio is the median over turns of
this checkout's time to the other's in the same turn, so that a slow minute counts for both.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TURNS = 15
PLAIN = {"p": 6, "teacher_norm": 0.55, "step_size": 0.05}
ONE, LONG = {"k": 25, "ratio": 4.0}, {"k": 49, "ratio": 16.0}
TABLE1 = [
    {"k": k, "ratio": ratio}
    for k in (25, 36, 49, 64, 81, 100)
    for ratio in (0.0, 1.0, 4.0, 9.0, 16.0, 25.0)
]
CASES = {
    "25,4 x 10000": ([ONE], 10_000, "reduced"),
    "25,4 x 100000": ([ONE], 100_000, "reduced"),
    "49,16 x 100000": ([LONG], 100_000, "reduced"),
    "table1 x 1000": (TABLE1, 1000, "reduced"),
    "table1 x 20000": (TABLE1, 20_000, "reduced"),
    "full 25,4 x 10000": ([ONE], 10_000, "full"),
}
"""Cells, restarts of each, engine. Written out: what another checkout's process imports is its own."""


class Side:
    """A checkout's process: told the name of a case, it runs that and answers with its time."""

    def __init__(self, tree: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=tree,
        )

    def run(self, case: str) -> tuple[float, str]:
        """Seconds, and a digest of the outcomes and steps of every restart."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(case, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().split()
        if len(answer) != 2:
            raise SystemExit(f"duel: {self.process.args} ended in {case!r}")
        return float(answer[0]), answer[1]


def main(out) -> None:
    import numpy as np

    here = Path(__file__).resolve().parent.parent
    others = {path: Path(path).resolve() for path in out.wanted(out.peers or ["."], ())}
    for path, tree in others.items():
        if not (tree / "jaxcnn").is_dir():
            raise SystemExit(f"--peers {path}: no checkout of jaxcnn is there")
    cases = out.wanted(CASES, out.cells)
    sides = {"here": Side(here), **{path: Side(tree) for path, tree in others.items()}}
    found = {(case, name): [side.run(case)] for case in cases for name, side in sides.items()}
    for _ in range(TURNS):
        for case in cases:
            for name, side in sides.items():
                found[case, name].append(side.run(case))
    rows = []
    for case in cases:
        ours = np.array([seconds for seconds, _ in found[case, "here"][1:]])
        for path in others:
            theirs = np.array([seconds for seconds, _ in found[case, path][1:]])
            alike = found[case, path][0][1] == found[case, "here"][0][1]
            ratio = float(np.median(ours / theirs))
            spread = float(np.subtract(*np.percentile(ours / theirs, [75, 25])))
            best = 1e3 * float(ours.min())
            name = f"{case}, {path}"
            rows.append((name, best, ratio, spread, "yes" if alike else "NO"))
    columns = ("case, against", "ms here, least", "ratio", "quartiles apart", "same outcomes")
    out.table(f"duel: {TURNS} turns, time here to time there", columns, rows)


def answer() -> None:
    """Run the cases named on the input, one a line."""
    import hashlib
    import time

    from jaxcnn.base.cell import Cell
    from jaxcnn.engine.pieces import Job
    from jaxcnn.engine.run import run
    from jaxcnn.study.build import build

    built = {}
    for line in sys.stdin:
        case = line.strip()
        words, restarts, engine = CASES[case]
        if case not in built:
            cells = [Cell(**PLAIN, **some) for some in words]
            each = [build(cell, engine=engine) for cell in cells]
            jobs = [
                Job(b.params, 0, restarts, c.max_steps) for b, c in zip(each, cells, strict=True)
            ]
            built[case] = each[0], jobs
        first, jobs = built[case]
        began = time.perf_counter()
        results, _ = run(first.family, jobs, seed=0, settings=first.settings, x64=first.x64)
        seconds = time.perf_counter() - began
        digest = hashlib.sha256()
        for result in results:
            digest.update(result.outcomes.tobytes() + result.steps.tobytes())
        print(seconds, digest.hexdigest()[:16], flush=True)


if __name__ == "__main__":
    answer()
