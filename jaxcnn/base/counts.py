"""Outcome counts of a set of restarts."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from jaxcnn.base.errors import InputError
from jaxcnn.base.outcome import FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many restarts ended in each outcome.

    Addition merges disjoint sets of restarts; it is commutative and associative with
    `Counts()` as its zero. Every restart is in exactly one field: undecided and diverged
    runs stay in the denominator.
    """

    global_: int = 0
    spurious: int = 0
    other: int = 0
    diverged: int = 0
    undecided: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, (int, np.integer)) or value < 0:
                raise InputError(field.name, value, "must be a whole number, at least 0")

    @property
    def restarts(self) -> int:
        """All restarts, whatever their outcome."""
        return self.global_ + self.spurious + self.other + self.diverged + self.undecided

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )

    @classmethod
    def of(cls, outcomes: np.ndarray) -> Counts:
        """Count an array of `Outcome` values (any integer dtype, any shape)."""
        tally = np.bincount(np.ravel(outcomes), minlength=len(FINAL) + 1)
        if tally[0] or tally.size > len(FINAL) + 1:
            raise InputError(
                "outcomes", np.unique(outcomes).tolist(), "must hold final Outcome values only"
            )
        return cls(**dict(zip((f.name for f in fields(cls)), map(int, tally[1:]), strict=True)))

    def as_dict(self) -> dict[str, int]:
        """The counts under the outcomes' own names: `{"global": …, "spurious": …, …}`."""
        return {f.name.rstrip("_"): int(getattr(self, f.name)) for f in fields(self)}
