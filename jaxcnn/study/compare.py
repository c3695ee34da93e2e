"""Differences along an axis of a study, paired where the cells share their random numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxcnn.base.counts import Counts
from jaxcnn.base.difference_sequence import difference_sequence, paired_difference_sequence
from jaxcnn.base.errors import InputError, RunError
from jaxcnn.base.paired import paired_difference, unpaired_difference
from jaxcnn.base.paired_counts import PairedCounts
from jaxcnn.study.axis import nearest, shown
from jaxcnn.study.goals import interval_level
from jaxcnn.study.run_directory import RunDirectory

_CHUNK = 2**22


def compare(run: RunDirectory | str | Path, along: str) -> pd.DataFrame:
    """How the success probability changes from each value of a key to the next.

    Two cells of the same p and k have the same random numbers at the same restart index. On
    most indices they end alike, and only the others carry noise, so the paired interval is
    far narrower than that for separate samples, which stands beside it. It is right too where
    the random numbers serve a cell of another k: pairs are then merely less alike. A study that
    stops at a decision was watched, and gets the intervals that may be.

    Args:
        run: the run, or its directory.
        along: a key that varies.

    Returns:
        A row for each cell and the one after it along the key: the keys that both share,
        `<along>` and `<along>_next`, the `restarts` both have, `difference` (of the next less
        this) with `low` and `high`, whether the random numbers are `shared`, `unpaired_low`
        and `unpaired_high` (right for separate samples only), and how many pairs of runs
        ended differently (`only_this` succeeds, `only_next`) or had an `undecided` run.

    Raises:
        InputError: if the key does not vary.
        RunError: if the directory holds no run, or no two neighbours have restarts yet.
    """
    run = run if isinstance(run, RunDirectory) else RunDirectory.open(run)
    cells = run.study.cells
    axis = next((place for place, names in enumerate(cells.axes) if along in names), None)
    if axis is None:
        raise InputError("along", along, nearest(along, [n for names in cells.axes for n in names]))
    places = cells.places()
    places[:, axis] += 1
    inside = places[:, axis] < cells.shape[axis]
    followers = np.full(len(cells), -1, dtype=np.int64)
    followers[inside] = cells.cells_at(places[inside])
    rows = [
        _row(run, along, axis, cell, int(followers[cell]))
        for cell in range(len(cells))
        if followers[cell] >= 0 and min(run.closed()[[cell, followers[cell]]]) > 0
    ]
    if not rows:
        raise RunError(f"{run.path}: has no two cells to compare along {shown(along)} yet")
    return pd.DataFrame(rows)


def _row(run: RunDirectory, along: str, axis: int, cell: int, follower: int) -> dict[str, Any]:
    this, following = run.study.cells.values(cell), run.study.cells.values(follower)
    mine = run.study.cells.axes[axis]
    confidence = interval_level(run.study)
    restarts = int(min(run.closed()[[cell, follower]]))
    pairs, one, two = _tables(run, cell, follower, restarts)
    if run.study.decision is None:
        paired = paired_difference(pairs, confidence)
        apart = unpaired_difference(two, one, confidence)
    else:
        paired = paired_difference_sequence(pairs, confidence)
        apart = difference_sequence(two, one, confidence)
    (both, only_next, _), (only_this, neither, _), _ = pairs.table
    return {
        **{name: value for name, value in this.items() if name not in mine},
        **{name: this[name] for name in mine},
        **{f"{name}_next": following[name] for name in mine},
        "restarts": restarts,
        "difference": paired.estimate,
        "low": paired.interval.low,
        "high": paired.interval.high,
        "shared": run.stream(cell) == run.stream(follower),
        "unpaired_low": apart.interval.low,
        "unpaired_high": apart.interval.high,
        "only_this": only_this,
        "only_next": only_next,
        "undecided": restarts - both - only_next - only_this - neither,
    }


def _tables(
    run: RunDirectory, cell: int, follower: int, restarts: int
) -> tuple[PairedCounts, Counts, Counts]:
    """Outcomes of the follower against those of the cell, and of each alone; in chunks."""
    pairs = PairedCounts.decided(both=0, only_first=0, only_second=0, neither=0)
    one, two = Counts(), Counts()
    for first in range(0, restarts, _CHUNK):
        count = min(_CHUNK, restarts - first)
        mine, other = (run.outcomes(which, first, count) for which in (cell, follower))
        pairs += PairedCounts.of(other, mine)
        one, two = one + Counts.of(mine), two + Counts.of(other)
    return pairs, one, two
