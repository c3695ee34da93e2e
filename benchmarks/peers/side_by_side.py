"""jaxcnn beside NumPy, PyTorch, JAX autodiff, Numba and diffrax on one question, answers first.

    python -m benchmarks peers [--peers numpy jax …] [--cells 25,4]

P(global) ± 0.005 at step size 0.05: one cell measured, then the grid of Table 1. A batched peer
pays every lane of a batch until the slowest has settled; how long that is on every cell of the
grid is read off Numba's loops, whose lanes stop on their own, and its time is those steps over
its measured rate. The 10 000 steps of the form most people write are counted the same way.
"""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys

from benchmarks.peers import question
from benchmarks.peers.alone import LANES, PEERS
from benchmarks.peers.question import FIXED_STEPS, GRID

CELL = "25,4"
MODULES = {"numpy": "numpy", "torch": "torch", "jax": "jax", "numba": "numba", "diffrax": "diffrax"}
NAMES = {
    "numpy": "NumPy, by hand",
    "torch": "PyTorch autograd",
    "jax": "JAX vmap(grad)",
    "numba": "Numba loops",
    "diffrax": "diffrax flow",
    "pybasin": "pybasin",
}
STEPS = "peers: steps until settled"


def alone(module: str, *arguments: str) -> dict:
    """What a process of its own measured."""
    command = [sys.executable, "-m", f"benchmarks.peers.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def needed(ours: dict) -> dict[str, int]:
    """Restarts for the half-width, by cell."""
    return {row["cell"]: question.restarts_needed(row["exact"]) for row in ours["grid"]}


def rate_at(rates: list[dict], k: int, lanes: int, threads: int) -> float:
    """Restart-steps a second at k: time a step is linear in k, measured at both ends."""
    cost = {r["k"]: 1 / r["rate"] for r in rates if (r["lanes"], r["threads"]) == (lanes, threads)}
    (low, first), (high, last) = sorted(cost.items())
    return 1 / (first + (last - first) * (k - low) / (high - low))


def grid_seconds(rates: list[dict], steps: dict[str, dict[int, float]]) -> tuple[float, int, int]:
    """Least time over the settings measured, for lane-steps by cell and batch size."""
    options = []
    for lanes, threads in sorted({(r["lanes"], r["threads"]) for r in rates}):
        total = sum(
            steps[f"{k},{ratio}"][lanes] / rate_at(rates, k, lanes, threads) for k, ratio in GRID
        )
        options.append((total, lanes, threads))
    return min(options)


def answers(out, cell: str, ours: dict, found: list[dict]) -> None:
    """Do all give one number?"""
    exact = next(row["exact"] for row in ours["grid"] if row["cell"] == cell)
    rows = [("jaxcnn, exact", f"{exact:.6f}", "-", "-", "-")]
    mine = ours["settled"]

    def row(name, at, p, n):
        error = 1.96 * math.sqrt(at["p_global"] * (1 - at["p_global"]) / at["restarts"])
        same = "yes" if question.agree(at["p_global"], at["restarts"], p, n) else "DIFFERS"
        return name, f"{at['p_global']:.4f}", f"{error:.4f}", at["restarts"], same

    rows.append(row("jaxcnn, Monte Carlo", mine, exact, math.inf))
    for one in found:
        name = NAMES[one["peer"]]
        if one["peer"] == "diffrax":
            flow = ours["flow"]
            rows.append(row(f"{name} (jaxcnn flow: {flow['p_global']:.4f})", one["settled"],
                            flow["p_global"], flow["restarts"]))  # fmt: skip
            continue
        rows.append(row(f"{name}, settled", one["settled"], exact, math.inf))
        rows.append(row(f"{name}, {FIXED_STEPS} steps", one["fixed"], exact, math.inf))
    columns = ("", "P(global)", "+-", "restarts", "agrees")
    out.table(f"peers: answers at (k, ratio) = ({cell}), step size 0.05, norm 0.55", columns, rows)


def one_cell(out, cell: str, ours: dict, found: list[dict], useful: float | None) -> None:
    """The answer at one cell, every lane to its end."""
    rows = []
    base = ours["settled"]["seconds"]
    for one in [ours, *found]:
        at = one["settled"]
        use = at.get("utilisation")
        if use is None and useful is not None and one["peer"] != "diffrax":
            use = useful / at["paid"]
        rows.append(
            (
                NAMES.get(one["peer"], "jaxcnn, reduced"),
                one["import_s"],
                one["compile_s"],
                at["seconds"],
                at["paid"] / at["seconds"] / 1e6,
                use and f"{use:.2f}",
                f"{one['peak_mib']:.0f}",
                f"{at['seconds'] / base:.1f}",
            )
        )
    columns = ("", "import s", "compile s", "seconds", "M steps/s", "in use", "MiB", "x jaxcnn")
    out.table(f"peers: time to P(global) +- 0.005 at ({cell}), all lanes settled", columns, rows)


def grid(out, ours: dict, found: list[dict], steps, n: dict[str, int]) -> None:
    """The grid of Table 1, each time over that of our fastest way to the half-width."""
    ways = {"exact to 0.005": "within_s", "study": "study_s", "table1": "table_s"}
    base = min(ours[key] for key in ways.values())
    ways["exact to 1e-10"] = "exact_s"
    rows = [
        (f"jaxcnn, {way}", None, None, None, ours[key], f"{ours[key] / base:.2f}")
        for way, key in ways.items()
    ]
    fixed = {c: dict.fromkeys(LANES, restarts * FIXED_STEPS) for c, restarts in n.items()}
    for one in found:
        if not one["rates"]:
            continue
        name, rates = NAMES[one["peer"]], one["rates"]
        forms = [("10 000 steps", fixed)] + ([("settled", steps)] if steps else [])
        for form, table in forms:
            seconds, lanes, threads = grid_seconds(rates, table)
            text = f"{lanes}/{threads}"
            if one["peer"] == "numba":
                text = "all"
                if form == "settled":
                    seconds = sum(row["seconds"] for row in one["grid"])
            ends = [rate_at(rates, k, lanes, threads) / 1e6 for k in (25, 100)]
            rows.append((f"{name}, {form}", *ends, text, seconds, f"{seconds / base:.0f}"))
    columns = ("", "M steps/s, k=25", "k=100", "lanes/workers", "seconds", "x jaxcnn")
    total = sum(n.values())
    title = (
        f"peers: P(global) +- 0.005 on the 36 cells of Table 1, {total} restarts told to the peers"
    )
    out.table(title, columns, rows)


def main(out):
    (cell,) = out.wanted((out.cells or [CELL])[:1], ())
    wanted = out.wanted([*PEERS, "pybasin"], out.peers)
    missing = [w for w in wanted if importlib.util.find_spec(MODULES.get(w, w)) is None]
    for name in missing:
        print(f"  {NAMES[name]} is not installed: left out")
    ours = alone("ours", *cell.split(","))
    n = needed(ours)
    found = [
        alone("alone", name, *cell.split(","), json.dumps(n))
        for name in wanted
        if name not in missing and name in PEERS
    ]
    for one in found:
        if "grid" in one:
            columns = ("cell", "exact", "P(global)", "restarts", "steps", "most", *map(str, LANES))
            exact = {row["cell"]: row["exact"] for row in ours["grid"]}
            cells = [
                (r["cell"], exact[r["cell"]], r["p_global"], r["restarts"], r["steps"], r["most"])
                + tuple(r["waited"][str(w)] for w in LANES)
                for r in one["grid"]
            ]
            out.table(STEPS, columns, cells)
            wrong = [r[0] for r in cells if not question.agree(r[2], r[3], r[1], math.inf)]
            out.note(
                f"Numba against exact: {len(cells) - len(wrong)} of {len(cells)} cells agree; not {wrong}"
            )
    wrong = [
        r["cell"]
        for r in ours["grid"]
        if not question.agree(r["p_global"], ours["table_restarts"], r["exact"], math.inf)
    ]
    out.note(f"jaxcnn Monte Carlo against exact: {36 - len(wrong)} of 36 cells agree; not {wrong}")
    furthest = max(abs(r["within"] - r["exact"]) for r in ours["grid"])
    out.note(f"jaxcnn exact to 0.005 against exact to 1e-10: at most {furthest:.1g} apart")
    kept = {row["cell"]: row for row in out.rows("peers", STEPS)}
    steps = {c: {w: row[str(w)] for w in LANES} for c, row in kept.items()}
    useful = kept[cell]["steps"] * n[cell] / kept[cell]["restarts"] if cell in kept else None
    answers(out, cell, ours, found)
    one_cell(out, cell, ours, found, useful)
    grid(out, ours, found, steps, n)
    print(
        f"  jaxcnn, cold: table1 {ours['table_cold_s']:.2f} s, study {ours['study_cold_s']:.2f} s"
    )
