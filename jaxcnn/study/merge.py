"""Merge runs of one study, and verify a run by computing some of it again.

A merged run holds the unit files of all: a union of immutable files named by their content,
so merging is commutative, associative and idempotent, and a merged run can be merged again.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxcnn.base.checks import real, whole
from jaxcnn.base.errors import InputError, RunError
from jaxcnn.study import durable
from jaxcnn.study.coverage import Flips, flips_between
from jaxcnn.study.run_directory import PROVENANCE, STUDY, UNITS, RunDirectory
from jaxcnn.study.study import Study
from jaxcnn.study.study_record import write_study_record
from jaxcnn.study.unit import Runner, Task


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did.

    Attributes:
        files: unit files in the merged run.
        restarts: restarts that are counted in it.
        flips: restarts computed on two kinds of device, and how many end differently.
        problems: files that were left out, with the reason.
    """

    files: int
    restarts: int
    flips: Flips
    problems: tuple[str, ...]

    def __str__(self) -> str:
        """The report in one line."""
        text = f"{self.files} unit files, {self.restarts} restarts counted"
        text += f"; {self.flips}" if self.flips.overlapping else ""
        return text + (f"; {len(self.problems)} files left out" if self.problems else "")


def merge(*runs: str | Path, out: str | Path) -> MergeReport:
    """Make a run directory of the units of several.

    The merged study stops where the most demanding one does.

    Args:
        runs: run directories of one study.
        out: the new directory; there must be nothing, or an empty directory.

    Raises:
        RunError: if the runs hold different studies, or disagree on a restart (naming both
            files, the cell and the restarts), or `out` is taken. Then nothing is written.
    """
    if not runs:
        raise InputError("runs", runs, "must be at least one run directory")
    target = Path(out)
    if os.path.lexists(target) and not _is_empty_directory(target):
        raise RunError(f"{target}: is there already; merge into a new directory")
    whole_run = RunDirectory.together(runs)
    study = most_demanding([RunDirectory.study_at(path) for path in runs])
    restarts = int(whole_run.closed().sum())
    durable.make_directory(target.parent)
    beside = target.parent / f".merging-{secrets.token_hex(8)}"
    files = 0
    try:
        durable.make_directory(beside / UNITS)
        durable.make_directory(beside / PROVENANCE)
        write_study_record(beside / STUDY, study)
        for name, content in whole_run.sources():
            durable.write_whole(beside / UNITS / name, content)
            files += 1
        for path in runs:
            _copy_provenance(Path(path) / PROVENANCE, beside / PROVENANCE)
        try:
            os.rename(beside, target)
        except OSError as error:
            raise RunError(f"{target}: cannot be made: {durable.reason_of(error)}") from None
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    durable.sync_directory(target.parent)
    return MergeReport(files, restarts, whole_run.flips(), tuple(whole_run.problems()))


def most_demanding(studies: Sequence[Study]) -> Study:
    """The study whose stopping rule goes furthest.

    Raises:
        RunError: if the rules are of different kinds.
    """
    rules = [study.words() for study in studies]
    ways = ("restarts", "half_width", "decision")
    kinds = {key for words in rules for key in ways if key in words}
    questions = [words["decision"] for words in rules if "decision" in words]
    if len(kinds) > 1 or any(question != questions[0] for question in questions):
        raise RunError(
            "the runs stop by different rules "
            f"({', '.join(sorted(kinds))}): sweep them with one study file first"
        )
    words: dict[str, Any] = dict(rules[0])
    for key, most in (("restarts", max), ("half_width", min), ("confidence", max)):
        if key in words:
            words[key] = most(other[key] for other in rules)
    caps = [other["max_restarts"] for other in rules if "max_restarts" in other]
    words.pop("max_restarts", None)
    if len(caps) == len(rules):
        words["max_restarts"] = max(caps)
    skips = [other["skip_impossible"] for other in rules]
    words["skip_impossible"] = all(skips)
    return Study.from_trusted_words(words, studies[0].cells.skipped)


def _is_empty_directory(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _copy_provenance(source: Path, target: Path) -> None:
    """Copy the readable notes; the units carry what counts."""
    with suppress(OSError, RunError):
        for path in sorted(source.glob("*.json")):
            durable.write_whole(target / path.name, durable.read_whole(path, 2**16))


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
