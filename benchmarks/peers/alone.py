"""One peer in a process of its own: `python -m benchmarks.peers.alone PEER`; prints JSON.

Its import time and its peak memory are then its own, and no two thread pools meet.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.peers import question
from benchmarks.peers.question import EVERY, FIXED_STEPS, GRID

PEERS = {
    "numpy": "numpy_batched",
    "torch": "torch_autograd",
    "jax": "jax_autodiff",
    "numba": "numba_loops",
    "diffrax": "diffrax_flow",
}
COMPILED = ("jax", "numba", "diffrax")
OWN_THREADS = ("numba", "diffrax")
PROCESSES = ("numpy", "torch")
"""Peers whose batches go to a process for each core, single-threaded: the GIL holds threads up."""

LANES, FEW, BUDGET = (512, 1984, 8128), 2000, 15.0
"""Lanes a batch (8192 cost NumPy a fifth: rows then share places of the cache); restarts of the
fixed-step answer; seconds for an answer, longer ones scaled."""

CORES = len(os.sched_getaffinity(0))


def peak_mib() -> float:
    """The most memory this process has held (`ru_maxrss` would count the parent's too)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def seconds_of(call) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def compile_seconds(peer) -> float:
    """What the first call takes more than the second."""
    at = question.fixed(25, 4)
    start = question.starts(np.random.default_rng(0), 64, at)
    first, second = (seconds_of(partial(peer.until_settled, *start, at)) for _ in range(2))
    return first - second


def call(name: str, function: str, *arguments):
    """A function of a peer, by name, so that another process can be asked for it."""
    return getattr(importlib.import_module(f"benchmarks.peers.{PEERS[name]}"), function)(*arguments)


def crew(name: str, workers: int) -> Executor:
    """Who runs batches side by side."""
    if workers == 1 or name not in PROCESSES:
        return ThreadPoolExecutor(workers)
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # read by those who start now
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def rate(name: str, k: int, lanes: int, workers: int) -> float:
    """Restart-steps a second, `lanes` with each worker; enough steps for a quarter of a second."""
    at = question.fixed(k, 4)
    chunks = [question.starts(np.random.default_rng(i), lanes, at) for i in range(workers)]
    with crew(name, workers) as pool:

        def take(steps):
            return list(
                pool.map(call, *zip(*((name, "fixed_steps", *c, at, steps) for c in chunks)))
            )

        steps = 8
        take(steps)
        while (seconds := seconds_of(partial(take, steps))) < 0.25:
            steps *= 4
    return workers * lanes * steps / seconds


def answer(name: str, cell: tuple[int, int], restarts: int, lanes: int, workers: int) -> dict:
    """P(global) of a cell, every lane to its end: time, steps paid, steps of use.

    Batches are run until the time budget is spent; what is left is scaled by restarts.
    """
    at = question.fixed(*cell)
    cuts = range(0, restarts, lanes)
    lanes = min(lanes, restarts)
    chunks = [question.starts(np.random.default_rng([*cell, i]), lanes, at) for i in cuts]
    done: list = []
    with crew(name, workers) as pool:
        if name in PROCESSES:  # import before the clock runs
            list(pool.map(call, *zip(*((name, "fixed_steps", *chunks[0], at, 1),) * workers)))
        began = time.perf_counter()
        while len(done) < len(chunks) and time.perf_counter() - began < BUDGET:
            some = chunks[len(done) : len(done) + workers]
            done += pool.map(call, *zip(*((name, "until_settled", *c, at) for c in some)))
        seconds = time.perf_counter() - began
    angle = np.concatenate([d[0] for d in done])
    own = [np.broadcast_to(d[1], len(d[0])) for d in done]
    # Under vmap a lane that is done waits for the others: the most steps are paid by all.
    paid = own if name == "numba" else [np.full_like(o, o.max()) for o in own]
    share = restarts / angle.size
    return {
        "p_global": float(np.mean(angle < np.pi / 2)),
        "restarts": angle.size,
        "unsettled": int(np.sum(~question.settled(angle))),
        "seconds": seconds * share,
        "paid": sum(int(x.sum()) for x in paid) * share,
        "lanes": lanes,
        "threads": workers,
    }


def grid_of(peer, restarts: dict) -> list[dict]:
    """Every cell of the grid by lanes that stop on their own: what batches would have waited."""
    rows = []
    for k, ratio in GRID:
        at, n = question.fixed(k, ratio), restarts[f"{k},{ratio}"]
        start = question.starts(np.random.default_rng([k, ratio]), n, at)
        began = time.perf_counter()
        angle, taken = peer.until_settled(*start, at)
        seconds = time.perf_counter() - began
        waited = {}
        for lanes in LANES:
            chunks = [taken[i : i + lanes] for i in range(0, n, lanes)]
            waited[lanes] = sum(len(c) * EVERY * -(-int(c.max()) // EVERY) for c in chunks)
        rows.append({
            "cell": f"{k},{ratio}", "p_global": float(np.mean(angle < np.pi / 2)), "restarts": n,
            "seconds": seconds, "steps": int(taken.sum()), "most": int(taken.max()),
            "waited": waited, "unsettled": int(np.sum(~question.settled(angle))),
        })  # fmt: skip
    return rows


def measure(name: str, cell: tuple[int, int], restarts: dict) -> dict:
    """Everything about one peer."""
    began = time.perf_counter()
    peer = importlib.import_module(f"benchmarks.peers.{PEERS[name]}")
    found: dict = {"peer": name, "import_s": time.perf_counter() - began}
    found["compile_s"] = compile_seconds(peer) if name in COMPILED else 0.0
    own_threads = name in OWN_THREADS
    found["rates"] = []
    if not peer.FLOW:
        for k in (25, 100):
            for lanes in LANES[1:2] if own_threads else LANES:
                for threads in {1, 1 if own_threads else CORES}:
                    entry = {"k": k, "lanes": lanes, "threads": threads}
                    found["rates"].append(entry | {"rate": rate(name, k, lanes, threads)})
        at = question.fixed(*cell)
        start = question.starts(np.random.default_rng(7), FEW, at)
        began = time.perf_counter()
        angle = peer.fixed_steps(*start, at, FIXED_STEPS)
        found["fixed"] = {
            "seconds": time.perf_counter() - began,
            "restarts": FEW,
            "p_global": float(np.mean(angle < np.pi / 2)),
        }
    n, lanes, threads = restarts[f"{cell[0]},{cell[1]}"], LANES[1], 1
    if name == "numba":
        lanes = n
    elif name != "diffrax":
        here = [r for r in found["rates"] if r["k"] == 25 and r["lanes"] == lanes]
        threads = max(here, key=lambda r: r["rate"])["threads"]
    found["settled"] = answer(name, cell, n, lanes, threads)
    found["peak_mib"] = peak_mib()
    if name == "numba":
        found["grid"] = grid_of(peer, restarts)
    return found


def main() -> None:
    """Arguments: the peer, k, ratio, and restarts by cell as JSON."""
    name, k, ratio, restarts = sys.argv[1:5]
    print(json.dumps(measure(name, (int(k), int(ratio)), json.loads(restarts))))


if __name__ == "__main__":
    main()
