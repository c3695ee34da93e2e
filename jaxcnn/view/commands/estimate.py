"""`jaxcnn estimate`: one cell by Monte Carlo."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxcnn.base.cell import Cell
from jaxcnn.base.checks import confidence_level, whole
from jaxcnn.base.counts import Counts
from jaxcnn.base.interval import proportion_bounds
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import Account
from jaxcnn.engine.run import run as run_jobs
from jaxcnn.study.build import build
from jaxcnn.study.estimate import Estimate, summarise
from jaxcnn.view.progress import Watcher, watched
from jaxcnn.view.terminal import print_json, print_text

_BLOCKS = 16
_SMALLEST = 2**18


def run(
    words: dict[str, Any],
    *,
    restarts: int,
    seed: int,
    confidence: float,
    engine: str,
    json: bool,
) -> None:
    """Estimate and print."""
    cell = Cell(**words)
    whole("restarts", restarts, 1)
    confidence_level(confidence)
    with watched("estimate") as watcher:
        result = in_blocks(cell, restarts, seed, confidence, engine, watcher)
    if json:
        print_json(result.as_dict())
        return
    print_text(str(result))
    print_text(
        f"mean steps {result.mean_steps:.1f}, most {result.max_steps}; utilisation "
        f"{result.utilisation:.0%}; outcomes {result.problem['outcomes']}; {result.seconds:.2f} s"
    )
    if result.counts.undecided:
        print_text(
            f"{result.counts.undecided} restarts are undecided at --max-steps {cell.max_steps}: "
            "the interval counts them as failures below and as successes above"
        )


def in_blocks(
    cell: Cell, restarts: int, seed: int, confidence: float, engine: str, watcher: Watcher
) -> Estimate:
    """The estimate, block by block, so that the interval can be seen to narrow.

    Blocks are closed ranges of restart indices: the outcomes are those of one piece.
    """
    built = build(cell, engine=engine)
    block = max(_SMALLEST, -(-restarts // _BLOCKS))
    outcomes, steps, accounts = [], [], []
    counts = Counts()
    for first in range(0, restarts, block):
        count = min(block, restarts - first)
        watcher.within(first, restarts)
        (part,), account = run_jobs(
            built.family,
            [Job(built.params, first, count, cell.max_steps)],
            seed=seed,
            settings=built.settings,
            x64=built.x64,
            progress=watcher,
        )
        outcomes.append(part.outcomes)
        steps.append(part.steps)
        accounts.append(account)
        counts += Counts.of(part.outcomes)
        now = proportion_bounds(counts, confidence)
        watcher.note(f"[{now.low:.5f}, {now.high:.5f}]")
    total = Account(
        useful_steps=sum(a.useful_steps for a in accounts),
        lane_steps=sum(a.lane_steps for a in accounts),
        draws=sum(a.draws for a in accounts),
        seconds=sum(a.seconds for a in accounts),
    )
    return summarise(
        cell, built, np.concatenate(outcomes), np.concatenate(steps), total, confidence, seed
    )
