"""How far each cell of a study has to go: stop, or go on to the next look.

Stopping rules look at a cell only at fixed restart counts (`looks`), at which they see the
outcomes of exactly the restarts [0, n). So where a cell stops is a function of the study, not
of how, where or in what order it was run, and interrupting it changes nothing.

A look that cannot stop whatever the outcomes will be is passed over without waiting for it;
whether undecided runs hide the answer is asked at powers of two, which are never passed over.
"""

from __future__ import annotations

import math
from enum import IntEnum
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.decision import Decision, decide_better_paired
from jaxcnn.base.interval import clopper_pearson_many, level_at_a_width, proportion_bounds_many
from jaxcnn.base.outcome import FINAL, Outcome
from jaxcnn.base.paired_counts import PairedCounts
from jaxcnn.base.sequence import confidence_sequence
from jaxcnn.study.looks import looks_up_to
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.study import Study
from jaxcnn.study.unit import MOST_RESTARTS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DECISION_CAP = 10_000_000
"""A decision is given up after this many restarts of a cell, without `max_restarts`."""

_NO_PAIRS = PairedCounts.decided(both=0, only_first=0, only_second=0, neither=0)
_PATIENCE = 16  # times the restarts that the half-width needs when no run is undecided
_GLOBAL, _UNDECIDED = FINAL.index(Outcome.GLOBAL), FINAL.index(Outcome.UNDECIDED)


class Standing(IntEnum):
    """Whether a cell has to go on; each member carries a sentence."""

    sentence: str

    OPEN = 0, "More restarts are needed."
    ENOUGH = 1, "It has the restarts or the half-width asked for."
    ABOVE = 2, "It is above."
    BELOW = 3, "It is below."
    HIDDEN = 4, "Undecided runs hide the answer: raise max_steps."
    CAPPED = 5, "It has max_restarts without an answer."

    def __new__(cls, value: int, sentence: str) -> Standing:
        """A member from its value and its sentence."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


def interval_level(study: Study) -> float:
    """The level of a study's Clopper-Pearson intervals, for them to hold at its confidence."""
    if study.half_width is None:
        return study.confidence
    return level_at_a_width(study.confidence)


class Goals:
    """For each cell, whether it is done, and how many restarts it needs next.

    Attributes:
        standing: `Standing` values, shape (cells,).
        target: restarts to have next, shape (cells,); for a cell that is done, what it has.
        width: how uncertain the cell is, shape (cells,): half-width, or 1/sqrt(restarts).
    """

    def __init__(self, study: Study) -> None:
        cells = len(study)
        self._study = study
        cap = study.max_restarts or (DECISION_CAP if study.decision else MOST_RESTARTS)
        self._looks = looks_up_to(cap)
        self._seen = np.full(cells, -1, dtype=np.int64)
        self._pairs: dict[int, tuple[int, PairedCounts]] = {}
        self.standing = np.full(cells, Standing.OPEN, dtype=np.uint8)
        self.target = np.zeros(cells, dtype=np.int64)
        self.width = np.full(cells, 1.0)

    def update(self, run: RunDirectory) -> None:
        """Look at the cells that have more restarts than at the last update."""
        closed, tally = run.closed(), run.tally()
        if self._study.references is not None:
            self._compare(run, closed, self._study.references)
        else:
            (cells,) = np.nonzero(closed != self._seen)
            self._judge(cells, closed[cells], tally[cells])
        self._seen = closed.copy()

    def _judge(self, cells: Ints, n: Ints, tally: Ints) -> None:
        """Cells that are judged on their own: `n` restarts with outcomes `tally`."""
        study, successes, hidden = self._study, tally[:, _GLOBAL], tally[:, _UNDECIDED]
        if study.restarts is not None:
            self.standing[cells] = np.where(n >= study.restarts, Standing.ENOUGH, Standing.OPEN)
            self.target[cells] = np.maximum(n, study.restarts)
            self.width[cells] = 1.0 / np.sqrt(np.maximum(n, 1))
            return
        first = np.zeros_like(n)
        if study.half_width is not None:
            confidence = interval_level(study)
            low, high = proportion_bounds_many(successes, hidden, n, confidence)
            width = 0.5 * (high - low)
            verdict = np.where(width <= study.half_width, Standing.ENOUGH, Standing.OPEN)
            surely, _ = clopper_pearson_many(hidden, n, confidence)
            ideal = (NormalDist().inv_cdf(0.5 + 0.5 * confidence) / study.half_width) ** 2 / 4
            lost = (0.5 * surely > study.half_width) | ((n > _PATIENCE * ideal) & (hidden > 0))
            # To give up takes more than the looks that could be enough: one in each octave.
            octave = 1 << np.frexp(n.astype(float))[1].astype(np.int64)
            lost &= (2 * n == octave) | (n >= self._looks[-1])
            first = self._first_possible(study.half_width, n, successes, hidden)
            first = np.minimum(first, octave)
        else:
            assert study.decision is not None  # a study has one of the three
            level = study.decision.level
            assert level is not None  # references are judged by _compare
            low, high_certain = confidence_sequence(successes, n, study.confidence)
            low_possible, high = confidence_sequence(successes + hidden, n, study.confidence)
            width = 0.5 * (high - low)
            verdict = np.where(low > level, Standing.ABOVE, Standing.OPEN)
            verdict = np.where(high < level, Standing.BELOW, verdict)
            lost = (high_certain < level) & (level < low_possible)
        verdict = np.where((verdict == Standing.OPEN) & lost, Standing.HIDDEN, verdict)
        self.width[cells] = width
        self._settle(cells, n, verdict, first)

    def _settle(self, cells: Ints, n: Ints, verdict: NDArray[np.int_], first: Ints) -> None:
        """Let verdicts hold at looks only, and set the next look where there is none."""
        cap = self._looks[-1]
        at_look = np.isin(n, self._looks) | (n > cap)
        verdict = np.where(at_look, verdict, Standing.OPEN)
        verdict = np.where((n >= cap) & (verdict == Standing.OPEN), Standing.CAPPED, verdict)
        after = np.searchsorted(self._looks, np.maximum(n + 1, first))
        following = self._looks[np.minimum(after, self._looks.size - 1)]
        self.standing[cells] = verdict
        self.target[cells] = np.where(verdict == Standing.OPEN, following, n)

    def _first_possible(self, goal: float, n: Ints, successes: Ints, hidden: Ints) -> Ints:
        """A restart count below which no outcomes can bring the half-width down to its goal."""
        low = np.searchsorted(self._looks, n, side="right") - 1
        high = np.full_like(low, self._looks.size - 1)
        while np.any(apart := high - low > 1):
            middle = (low + high) // 2
            possible = self._least_width(self._looks[middle], n, successes, hidden) <= goal
            high = np.where(apart & possible, middle, high)
            low = np.where(apart & ~possible, middle, low)
        return self._looks[high]

    def _least_width(self, m: Ints, n: Ints, successes: Ints, hidden: Ints) -> Floats:
        """A lower bound on the half-width at m restarts, of which n are known.

        The narrowest outcome is that all others are of the commoner kind, and none undecided.
        A Clopper-Pearson interval is never narrower than nine tenths of the normal one with
        z^2 more restarts, nor than that of no success at all. The bound falls with m, as a
        bisection needs: the spread of a proportion over sqrt(m) does while it is at most 1/2.
        """
        confidence = interval_level(self._study)
        z = NormalDist().inv_cdf(0.5 + 0.5 * confidence)
        total = np.maximum(m, 1).astype(float)
        rarer = np.minimum(successes, n - successes - hidden)
        p, q = rarer / total, (rarer + hidden) / total
        spread = np.sqrt(p * (1 - p))
        spread += np.where(2 * (rarer + hidden) <= n, np.sqrt(np.maximum(q * (1 - q), 0.0)), 0.0)
        width = 0.5 * hidden / total + 0.45 * z * spread / np.sqrt(total + z * z)
        alone = -0.5 * np.expm1(math.log(0.5 * (1 - confidence)) / total)
        bound: Floats = np.maximum(width, 0.999 * alone)
        return bound

    def _compare(self, run: RunDirectory, closed: Ints, references: Ints) -> None:
        """Cells that are compared with a reference: both at the same look."""
        both = np.minimum(closed, closed[references])
        seen = np.minimum(self._seen, self._seen[references])
        alone = (references < 0) | (references == np.arange(closed.size))
        self.standing[references < 0] = Standing.ENOUGH
        for cell in np.flatnonzero(~alone & (both != seen)):
            n = both[[cell]]
            verdict = self._verdict(run, int(cell), int(references[cell]), int(n[0]))
            self._settle(np.array([cell]), n, np.array([verdict]), np.zeros(1, dtype=np.int64))
            self.width[cell] = 1.0 / math.sqrt(max(int(n[0]), 1))
        going = ~alone & (self.standing == Standing.OPEN)
        needed = np.zeros_like(closed)
        np.maximum.at(needed, references[going], self.target[going])
        (asked,) = np.nonzero(alone & (references >= 0))
        more = needed[asked] > closed[asked]
        self.standing[asked] = np.where(more, Standing.OPEN, Standing.ENOUGH)
        self.target[asked] = np.maximum(needed[asked], closed[asked])
        self.width[asked] = 1.0

    def _verdict(self, run: RunDirectory, cell: int, reference: int, n: int) -> Standing:
        if n not in self._looks and n < self._looks[-1]:
            return Standing.OPEN
        pairs, confidence = self._paired(run, cell, reference, n), self._study.confidence
        found = decide_better_paired(pairs, confidence)
        if found is not Decision.OPEN:
            return Standing.ABOVE if found is Decision.ABOVE else Standing.BELOW
        # Do the undecided runs, ending well or ill, turn a sure answer into its opposite?
        worst, best = (
            decide_better_paired(PairedCounts.decided(**_discordant(*pair, n)), confidence)
            for pair in (pairs.least, pairs.most)
        )
        hidden = worst is Decision.BELOW and best is Decision.ABOVE
        return Standing.HIDDEN if hidden else Standing.OPEN

    def _paired(self, run: RunDirectory, cell: int, reference: int, n: int) -> PairedCounts:
        """The table of the restarts [0, n), adding to that of the last look."""
        known, pairs = self._pairs.get(cell, (0, _NO_PAIRS))
        if n > known:
            new = (run.outcomes(which, known, n - known) for which in (cell, reference))
            pairs = pairs + PairedCounts.of(*new)
            self._pairs[cell] = (n, pairs)
        return pairs


def _discordant(only_first: int, only_second: int, restarts: int) -> dict[str, int]:
    rest = restarts - only_first - only_second
    return {"both": 0, "only_first": only_first, "only_second": only_second, "neither": rest}
