"""The table of a run: a row for each cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from jaxcnn.base.interval import proportion_bounds_many
from jaxcnn.base.outcome import FINAL, Outcome
from jaxcnn.base.sequence import confidence_sequence
from jaxcnn.study.goals import Goals, Standing, interval_level
from jaxcnn.study.run_directory import RunDirectory

_WORDS = [standing.name.lower() for standing in Standing]


def table(run: RunDirectory) -> pd.DataFrame:
    """What a run has found so far.

    Returns:
        A row for each cell: the keys that vary, `restarts` counted, their outcomes by name,
        `p_global` with `low` and `high` at the study's confidence (undecided runs count
        against the lower end and for the upper one; by a confidence sequence if the study
        stops at a decision, by `level_at_a_width` if at a half-width), `half_width`,
        `mean_steps` and `most_steps` of decided runs, `standing` (a `Standing` word) and
        `complete`, the share of the restarts needed next.

    Raises:
        RunError: if units contradict each other, naming them.
    """
    goals = Goals(run.study)
    goals.update(run)
    n, tally = run.closed(), run.tally()
    successes, hidden = (tally[:, FINAL.index(o)] for o in (Outcome.GLOBAL, Outcome.UNDECIDED))
    level = interval_level(run.study)
    if run.study.decision:
        low, high = confidence_sequence(successes, n, level)
        if hidden.any():
            _, high = confidence_sequence(successes + hidden, n, level)
    else:
        low, high = proportion_bounds_many(successes, hidden, n, level)
    columns: dict[str, Any] = dict(run.study.cells.columns())
    columns["restarts"] = n
    for place, outcome in enumerate(FINAL):
        columns[outcome.name.lower()] = tally[:, place]
    columns["p_global"] = np.divide(successes, n, out=np.full(n.size, np.nan), where=n > 0)
    columns |= {"low": low, "high": high, "half_width": 0.5 * (high - low)}
    mean, most = run.decided_steps()
    columns |= {"mean_steps": mean, "most_steps": most}
    columns["standing"] = [_WORDS[value] for value in goals.standing.tolist()]
    columns["complete"] = np.minimum(n / np.maximum(goals.target, 1), 1.0)
    columns["complete"][goals.standing != Standing.OPEN] = 1.0
    return pd.DataFrame(columns)
