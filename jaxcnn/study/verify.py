"""Verify a run by computing some of it again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from jaxcnn.base.checks import real, whole
from jaxcnn.base.errors import InputError, RunError
from jaxcnn.study.coverage import Flips, flips_between
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.unit import Runner, Task


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """How recomputed units compare with those of a run.

    Attributes:
        units: units recomputed.
        restarts: restarts in them.
        flips: comparison of those that were computed by another arithmetic.
        disagreements: units that do not agree, a line each.
    """

    units: int
    restarts: int
    flips: Flips
    disagreements: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything agrees, but for what rounding beside the separatrix explains."""
        return not self.disagreements and self.flips.accepted

    def __str__(self) -> str:
        """The report in one line."""
        text = f"{self.units} units with {self.restarts} restarts recomputed: "
        text += "all agree" if self.ok else f"{len(self.disagreements)} disagree"
        return text + (f"; {self.flips}" if self.flips.overlapping else "")


def verify(
    run: RunDirectory,
    fraction: float,
    runner: Runner,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Compute a random share of the units again and compare every restart.

    Args:
        run: the run.
        fraction: share of the units, in (0, 1]; at least one is taken.
        runner: what computes them. Where it computes as the unit was (device kind, JAX version,
            lane width), all outcomes and steps must be equal; elsewhere outcomes may flip as
            `Flips` allows.
        seed: which units are taken.
        progress: called with (finished, all) units.

    Raises:
        InputError: if the fraction is not in (0, 1].
        RunError: if the run has no units.
    """
    if real("fraction", fraction, 0.0, 1.0, ends=True) == 0.0:
        raise InputError("fraction", fraction, "must be greater than 0")
    random_ = random.Random(whole("seed", seed))
    units = sum(len(run.records(cell)) for cell in range(len(run.study)))
    if not units:
        raise RunError(f"{run.path}: has no units to verify")
    numbers = set(random_.sample(range(units), max(1, round(fraction * units))))
    everything = (pair for cell in range(len(run.study)) for pair in run.records(cell))
    chosen = (pair for number, pair in enumerate(everything) if number in numbers)
    disagreements: list[str] = []
    total = Flips()
    restarts = 0
    for done, (held, provenance) in enumerate(chosen, start=1):
        task = held.task
        (result,) = runner([run.study.cells[task.cell]], [task])
        kept = run.detail(held)
        found = flips_between(kept.outcomes, result.outcomes)
        restarts += task.count
        exact = runner.provenance.arithmetic == provenance.arithmetic
        total += Flips() if exact else found
        if found.flipped if exact else not found.accepted:
            disagreements.append(_differs(run, task, found))
        elif exact and not kept.fits(result):
            disagreements.append(f"{run.path}: {task}: the same outcomes, but after other steps")
        if progress is not None:
            progress(done, len(numbers))
    return VerifyReport(len(numbers), restarts, total, tuple(disagreements))


def _differs(run: RunDirectory, task: Task, found: Flips) -> str:
    return f"{run.path}: {task}: {found.flipped} outcomes of {found.overlapping} differ"
