"""Merge runs of one study.

A merged run holds the unit files of all: a union of immutable files named by their content,
so merging is commutative, associative and idempotent, and a merged run can be merged again.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxcnn.base.errors import InputError, RunError
from jaxcnn.study import durable
from jaxcnn.study.coverage import Flips
from jaxcnn.study.run_directory import PROVENANCE, STUDY, UNITS, RunDirectory
from jaxcnn.study.study import Study
from jaxcnn.study.study_record import write_study_record


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
