"""Table 1 of Du et al. (ICML 2018): its printed numbers, and ours beside them.

The paper prints, for 36 teachers, the share of 5000 random starts from which gradient descent
reached the global minimum, to two decimals. It does not state the norm of its teachers; 0.55 is
what its numbers imply.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri_exp
from scipy.stats import binom, hypergeom

from jaxcnn.base.cell import Cell
from jaxcnn.base.checks import confidence_level, whole
from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import NotExactError
from jaxcnn.base.html_table import html_table
from jaxcnn.base.interval import proportion_bounds
from jaxcnn.basin.exact import exact_probabilities
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import Account, Progress, run
from jaxcnn.study.build import build
from jaxcnn.study.built import check_every, full_settings

RATIOS = (0, 1, 4, 9, 16, 25)
PRINTED = {
    25: (0.50, 0.55, 0.73, 1.00, 1.00, 1.00),
    36: (0.50, 0.53, 0.66, 0.89, 1.00, 1.00),
    49: (0.50, 0.53, 0.61, 0.78, 1.00, 1.00),
    64: (0.50, 0.51, 0.59, 0.71, 0.89, 1.00),
    81: (0.50, 0.53, 0.57, 0.66, 0.81, 0.97),
    100: (0.50, 0.50, 0.57, 0.63, 0.75, 0.90),
}
"""Printed success probabilities by k, in the order of `RATIOS`; p = 6."""
PAPER_RESTARTS = 5000
ROUNDING = 0.005
"""Half a unit of the last printed decimal."""
NORM_CAVEAT = "the paper does not state the norm; 0.55 is what its numbers imply"
FLAG = 2.0
"""Standard errors beyond which a printed value is called off."""


@dataclass(frozen=True, kw_only=True)
class Table1:
    """Table 1 beside the paper's numbers.

    Attributes:
        cells: one row a cell: k, ratio, p_global, low, high, exact, paper, `difference` (ours
            less the paper's, in standard errors), `paper_off` (the paper's less the exact
            value, in the paper's own), global, spurious, other, diverged, undecided, and
            `not_exact`, the reason where there is no exact value.
        restarts: restarts for each cell.
        teacher_norm: ‖w*‖‖a*‖.
        step_size: η.
        seed: of all random numbers.
        confidence: of the intervals.
        engine: "reduced" or "full".
        seconds: wall time of the runs, compilation included.
        utilisation: useful restart-steps over lane-steps paid.
    """

    cells: pd.DataFrame
    restarts: int
    teacher_norm: float
    step_size: float
    seed: int
    confidence: float
    engine: str
    seconds: float
    utilisation: float

    def as_dict(self) -> dict[str, Any]:
        """Plain words and numbers, for JSON."""
        # Nothing can end elsewhere in these cells, whose outcomes are all certified.
        names = ("global", "spurious", "diverged", "undecided")
        cells = []
        for row in self.cells.to_dict("records"):
            cell = {key: row[key] for key in ("k", "ratio", "p_global", "low", "high", "paper")}
            if math.isfinite(row["exact"]):
                cell["exact"] = row["exact"]
            cells.append(cell | {"counts": {name: row[name] for name in names}})
        return {"cells": cells}

    def with_exact(self, progress: Progress | None = None) -> Table1:
        """The table with the exact probabilities, where there are any, and why there is none.

        Args:
            progress: called with (finished, all) cells.
        """
        found = []
        cells = _cells(self.teacher_norm, self.step_size)
        for done, one in enumerate(exact_probabilities(cells), start=1):
            if isinstance(one, NotExactError):
                found.append((math.nan, str(one)))
            else:
                found.append((one.p_global, ""))
            if progress is not None:
                progress(done, len(self.cells))
        values, reasons = zip(*found, strict=True)
        off = [
            off_in_errors(paper, x) for paper, x in zip(self.cells["paper"], values, strict=True)
        ]
        return replace(
            self, cells=self.cells.assign(exact=values, paper_off=off, not_exact=reasons)
        )

    def off(self) -> pd.DataFrame:
        """The rows where the printed value is off the exact one by more than its own error."""
        return self.cells[self.cells["paper_off"].abs() > FLAG]

    def notes(self) -> list[str]:
        """What a reader must know, a sentence each."""
        found = [f"{NORM_CAVEAT} (here {self.teacher_norm:g})"]
        off, known = self.off(), int(self.cells["exact"].notna().sum())
        if known:
            named = ", ".join(f"({row.k}, {row.ratio})" for row in off.itertuples())
            where = f" at (k, ratio) = {named}" if named else ""
            found.append(
                f"the printed value is off the exact one by more than {FLAG:g} of its own "
                f"standard errors in {len(off)} of {known} cells{where}; "
                f"chance alone gives {0.0455 * known:.1f}"
            )
        undecided = int(self.cells["undecided"].sum())
        if undecided:
            found.append(f"{undecided} restarts are undecided; the intervals allow for both ends")
        return found

    def texts(self) -> tuple[list[str], list[list[str]]]:
        """The table as a reader sees it: column names, and rows of texts.

        `diff` is ours less the paper's in standard errors of both, `off` the paper's less the
        exact value in its own, flagged beyond `FLAG`.
        """
        with_exact = bool(self.cells["exact"].notna().any())
        hidden = bool(self.cells["undecided"].any())
        head = ["k", "ratio", "P(global)", "interval"]
        head += ["exact"] if with_exact else []
        head += ["paper", "diff"]
        head += ["off"] if with_exact else []
        head += ["undec."] if hidden else []
        rows = []
        for row in self.cells.itertuples():
            texts = [str(row.k), str(row.ratio), f"{row.p_global:.4f}"]
            texts.append(f"{row.low:.4f}-{row.high:.4f}")
            texts += [_decimal(row.exact, 5)] if with_exact else []
            texts += [f"{row.paper:.2f}", _signed(row.difference)]
            if with_exact:
                mark = "* " if abs(row.paper_off) > FLAG else ""
                texts.append(mark + _signed(row.paper_off))
            texts += [str(row.undecided)] if hidden else []
            rows.append(texts)
        return head, rows

    def __str__(self) -> str:
        """One line."""
        largest = float(self.cells["difference"].abs().max())
        return (
            f"Table 1: {len(self.cells)} cells, {self.restarts} restarts each "
            f"({self.engine} engine, teacher norm {self.teacher_norm:g}): "
            f"at most {largest:.1f} standard errors from the paper"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes())
        return html_table(*self.texts(), str(self)) + notes


def table1(
    restarts: int = 5000,
    teacher_norm: float = 0.55,
    step_size: float = 0.05,
    seed: int = 0,
    *,
    confidence: float = 0.95,
    engine: str = "auto",
    exact: bool = True,
    progress: Progress | None = None,
) -> Table1:
    """Estimate all 36 cells of Table 1 in one call of the engine.

    Args:
        restarts: random starts for each cell.
        teacher_norm: ‖w*‖‖a*‖; the paper does not state it.
        step_size: η.
        seed: of all random numbers.
        confidence: of the intervals.
        engine: "reduced", "full" or "auto".
        exact: whether to add the exact probabilities.
        progress: called with (finished, all) restarts.

    Raises:
        InputError: an argument is out of range.
    """
    whole("restarts", restarts, 1)
    confidence_level(confidence)
    cells = _cells(teacher_norm, step_size)
    tallies, account, used = _runs(cells, restarts, seed, engine, progress)
    rows = []
    for cell, counts in zip(cells, tallies, strict=True):
        paper = PRINTED[cell.k][RATIOS.index(int(cell.ratio))]
        interval = proportion_bounds(counts, confidence)
        rows.append(
            {
                "k": cell.k,
                "ratio": int(cell.ratio),
                "p_global": counts.global_ / restarts,
                "low": interval.low,
                "high": interval.high,
                "exact": math.nan,
                "paper": paper,
                "difference": difference_in_errors(counts.global_, restarts, paper),
                "paper_off": math.nan,
                **counts.as_dict(),
                "not_exact": "",
            }
        )
    made = Table1(
        cells=pd.DataFrame(rows),
        restarts=restarts,
        teacher_norm=teacher_norm,
        step_size=step_size,
        seed=seed,
        confidence=confidence,
        engine=used,
        seconds=account.seconds,
        utilisation=account.utilisation,
    )
    return made.with_exact() if exact else made


def _cells(teacher_norm: float, step_size: float) -> list[Cell]:
    return [
        Cell(k=k, ratio=ratio, p=6, teacher_norm=teacher_norm, step_size=step_size)
        for k in PRINTED
        for ratio in RATIOS
    ]


def _runs(
    cells: Sequence[Cell], restarts: int, seed: int, engine: str, progress: Progress | None
) -> tuple[list[Counts], Account, str]:
    """Counts of each cell; full states are padded to the largest k, for one compilation."""
    first = build(cells[0], engine=engine)
    if first.engine == "full":
        patches = max(cell.k for cell in cells)
        settings = full_settings(patches + cells[0].p, check_every(cells[0]))
        built = [build(c, engine="full", patches=patches, settings=settings) for c in cells]
    else:
        built = [build(cell, engine=engine) for cell in cells]
    jobs = [
        Job(b.params, 0, restarts, cell.max_steps) for b, cell in zip(built, cells, strict=True)
    ]
    results, account = run(
        built[0].family,
        jobs,
        seed=seed,
        settings=built[0].settings,
        x64=built[0].x64,
        progress=progress,
    )
    return [Counts.of(result.outcomes) for result in results], account, first.engine


def _decimal(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _signed(errors: float) -> str:
    if math.isnan(errors):
        return "-"
    text = f"{errors:+.1f}"
    return "0" if float(text) == 0.0 else text


def difference_in_errors(successes: int, restarts: int, paper: float) -> float:
    """Our estimate less the printed value, in standard errors of their difference.

    Of all counts that round to the printed value the nearest to ours is taken. The tail of the
    hypergeometric law of our successes given all successes (Fisher's exact test), which is
    right at 0 and 1 too, is turned into the normal deviation with the same tail.

    Args:
        successes: ours.
        restarts: ours.
        paper: the printed value.
    """
    theirs = _nearest_count(paper, successes / restarts)
    gap = successes * PAPER_RESTARTS - theirs * restarts
    if gap == 0:
        return 0.0
    law = hypergeom(restarts + PAPER_RESTARTS, successes + theirs, restarts)
    tail = law.logsf(successes - 1) if gap > 0 else law.logcdf(successes)
    return _deviation(tail, gap)


def off_in_errors(paper: float, exact: float) -> float:
    """The printed value less the exact one, in its own standard errors; NaN without an exact one.

    By the binomial tail of the count nearest to the exact value that rounds to the printed one.

    Args:
        paper: the printed value.
        exact: the exact probability.
    """
    if math.isnan(exact):
        return math.nan
    theirs = _nearest_count(paper, exact)
    gap = theirs - PAPER_RESTARTS * exact
    if abs(gap) < 1.0:
        return 0.0
    law = binom(PAPER_RESTARTS, min(max(exact, 0.0), 1.0))
    tail = law.logsf(theirs - 1) if gap > 0 else law.logcdf(theirs)
    return _deviation(tail, gap)


def _nearest_count(paper: float, value: float) -> int:
    """The count of the paper's restarts that rounds to `paper` and is nearest to `value`."""
    low = math.ceil(round((paper - ROUNDING) * PAPER_RESTARTS, 6))
    high = math.floor(round((paper + ROUNDING) * PAPER_RESTARTS, 6))
    return min(max(round(value * PAPER_RESTARTS), low, 0), high, PAPER_RESTARTS)


def _deviation(log_tail: float, gap: float) -> float:
    """The normal deviation, with the sign of `gap`, whose tail has this logarithm."""
    size = float(-ndtri_exp(min(float(log_tail), 0.0))) if np.isfinite(log_tail) else math.inf
    return math.copysign(max(size, 0.0), gap)
