"""A run directory as the commands and the report look at it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxcnn.base.errors import InputError, NotExactError
from jaxcnn.basin.exact import exact_probabilities
from jaxcnn.engine.run import Progress
from jaxcnn.model.activation import activation
from jaxcnn.study.axis import nearest
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.table import table

EXACT_SECONDS = 120.0
"""How long a report or a table may work on exact values; the others are left out and said so."""


@dataclass(frozen=True)
class RunTable:
    """A run with its table.

    Attributes:
        run: the run directory.
        table: from `jaxcnn.study.table`, with an `exact` column if it was asked for.
        keys: the keys that vary.
        without_exact: why cells have no exact value, with how many there are.
    """

    run: RunDirectory
    table: pd.DataFrame
    keys: tuple[str, ...]
    without_exact: dict[str, int]

    def held(self, key: str, rows: pd.DataFrame) -> Any:
        """The value of a key that all these rows share; None if there are several, or none."""
        if key in rows:
            return rows[key].iloc[0] if rows[key].nunique() == 1 else None
        return self.run.study.cells.fixed.get(key)

    def marks(self, rows: pd.DataFrame) -> dict[str, Any]:
        """What `lines` must know to mark the critical ratio in these rows: k and σ."""
        k, slope = self.held("k", rows), self.held("slope", rows)
        name = self.held("activation", rows) or "relu"
        sigma = activation(name) if slope is None else activation(name, float(slope))
        return {"k": None if k is None else float(k), "activation": sigma}

    def steps(self, cells: Iterable[int]) -> dict[str, list[int]]:
        """Restarts by outcome and by powers of two of their steps, summed over cells."""
        total: dict[str, list[int]] = {}
        for cell in cells:
            for outcome, steps in self.run.prefix(cell).steps.by_outcome.items():
                mine = total.setdefault(outcome.name.lower(), [])
                mine.extend([0] * (len(steps.log2) - len(mine)))
                for place, count in enumerate(steps.log2):
                    mine[place] += count
        return total

    @property
    def complete(self) -> int:
        """How many cells need nothing more."""
        return int((self.table["standing"] != "open").sum())


def open_run(path: Path, *, exact: bool = False, progress: Progress | None = None) -> RunTable:
    """Open a run and make its table.

    Args:
        path: the run directory.
        exact: whether to add the exact probabilities, where there are any.
        progress: called with (done, all) cells that have theirs.

    Raises:
        RunError: if it cannot be read or contradicts itself.
    """
    run = RunDirectory.open(path)
    rows = table(run)
    keys = tuple(name for names in run.study.cells.axes for name in names)
    missing: dict[str, int] = {}
    if exact:
        values, missing = _exact(run, progress)
        rows.insert(rows.columns.get_loc("high") + 1, "exact", values)
    return RunTable(run, rows, keys, missing)


def _exact(run: RunDirectory, progress: Progress | None) -> tuple[np.ndarray, dict[str, int]]:
    count = len(run.study)
    values, missing, done = np.full(count, np.nan), dict[str, int](), 0
    with closing(exact_probabilities(iter(run.study.cells), seconds=EXACT_SECONDS)) as answers:
        for cell, found in enumerate(answers):
            if isinstance(found, NotExactError):
                missing[str(found)] = missing.get(str(found), 0) + 1
            else:
                values[cell] = found.p_global
            done = cell + 1
            if progress is not None:
                progress(done, count)
    if done < count:
        missing[f"left out after {EXACT_SECONDS:.0f} s"] = count - done
    return values, missing


def select(rows: pd.DataFrame, keys: Iterable[str], at: Iterable[str]) -> pd.DataFrame:
    """The rows of a table with given values of keys.

    Args:
        rows: the table.
        keys: the keys that vary.
        at: texts "key=value".

    Raises:
        InputError: a text is no such pair, or no cell has the value.
    """
    for text in at:
        key, equals, value = text.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise InputError("at", text, "must be KEY=VALUE, such as init=ball")
        if key not in keys:
            raise InputError("at", text, nearest(key, list(keys)))
        there = _nearest(rows[key].unique(), value.strip())
        if not there:
            known = ", ".join(map(_shown, rows[key].unique()[:12]))
            raise InputError("at", text, f"must be a value of the study: {known}")
        rows = rows_at(rows, key, there[0])
    return rows


def rows_at(rows: pd.DataFrame, key: str, value: Any) -> pd.DataFrame:
    """The rows with this value of a key, which may be none."""
    return rows[rows[key].isna() if pd.isna(value) else rows[key] == value]


def _shown(value: Any) -> str:
    if pd.isna(value):
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _nearest(values: Iterable[Any], text: str) -> list[Any]:
    """The values that a text means, to five digits, the nearest first."""
    near = [value for value in values if _apart(value, text) <= 1e-5]
    return sorted(near, key=lambda value: _apart(value, text))


def _apart(value: Any, text: str) -> float:
    """How far a value is from a text, relative to it; infinite if they are not to be compared."""
    if pd.isna(value):
        return 0.0 if text in ("none", "nan") else math.inf
    try:
        number, meant = float(value), float(text)
    except (TypeError, ValueError):
        return 0.0 if str(value) == text else math.inf
    return 0.0 if number == meant else abs(number - meant) / max(abs(meant), 1e-300)
