"""A study: the cells of a grid, and how long to go on with each.

`Study.from_words` is the one door. It takes the words of a study file and refuses what is
wrong in one line, before any work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.checks import confidence_level, real, whole
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.study.axis import ENGINES, FIELDS, STUDY_KEYS, nearest, shown
from jaxcnn.study.cell_grid import CellGrid
from jaxcnn.study.question import Question
from jaxcnn.study.unit import MOST_RESTARTS

DTYPES = ("auto", "float32", "float64")
TABLES = ("fixed", "grid", "zip", "decision")


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """What to run and when to stop; made by `from_words`, which checks it.

    Attributes:
        cells: the cells.
        seed: seed of all random numbers.
        confidence: of every interval.
        restarts: restarts for each cell, or None.
        half_width: (high - low)/2 to reach in each cell, or None.
        decision: question to settle for each cell, or None. One of these three is given.
        max_restarts: most restarts for a cell, for the other two ways to stop, or None.
        engine: "auto", "full" or "reduced".
        dtype: precision, "float32", "float64", or "auto" for what the step size asks for.
        skip_impossible: whether cells that cannot exist are left out or refused.
    """

    cells: CellGrid
    seed: int
    confidence: float
    restarts: int | None
    half_width: float | None
    decision: Question | None
    max_restarts: int | None
    engine: str
    dtype: str
    skip_impossible: bool

    @classmethod
    def from_words(cls, **words: Any) -> Study:
        """A study from the words of a study file.

        Args:
            words: the keys of `[study]`, and `fixed`, `grid`, `zip` and `decision` as mappings.

        Raises:
            InputError: naming key, value and remedy, if a word is wrong or a cell impossible.
        """
        study = cls._parsed(words)
        study.cells.keep_existing(study.skip_impossible)
        study.references  # noqa: B018 - refuses a reference that no cell has
        return study

    @classmethod
    def from_trusted_words(cls, words: Mapping[str, Any], skipped: Sequence[int]) -> Study:
        """A study from the `words()` and skipped cells of one that was checked.

        It tries no cell again, which for 10^5 cells saves seconds.

        Raises:
            InputError: if a word is wrong.
        """
        study = cls._parsed(words)
        study.cells.leave_out(skipped)
        return study

    @classmethod
    def _parsed(cls, words: Mapping[str, Any]) -> Study:
        known = (*STUDY_KEYS, *TABLES)
        for key, value in words.items():
            if key not in known:
                there = "belongs in [fixed], [grid] or [zip]"
                remedy = there if key in FIELDS else nearest(key, known)
                raise InputError(shown(key), value, remedy)
        study = cls(
            cells=CellGrid(words.get("fixed"), words.get("grid"), words.get("zip")),
            seed=whole("seed", words.get("seed", 0)),
            confidence=confidence_level(words.get("confidence", 0.95)),
            restarts=_restarts("restarts", words.get("restarts")),
            half_width=_half_width(words.get("half_width")),
            decision=Question.from_words(words.get("decision")),
            max_restarts=_restarts("max_restarts", words.get("max_restarts")),
            engine=_word("engine", words.get("engine", "auto"), ENGINES),
            dtype=_word("dtype", words.get("dtype", "auto"), DTYPES),
            skip_impossible=_word(
                "skip_impossible", words.get("skip_impossible", False), (True, False)
            ),
        )
        study._refuse_contradictions()
        return study

    def _refuse_contradictions(self) -> None:
        if self.seed >= 2**63:
            raise InputError("seed", self.seed, "must be less than 2**63")
        ways = {"restarts": self.restarts, "half_width": self.half_width, "decision": self.decision}
        given = [name for name, value in ways.items() if value is not None]
        if not given:
            raise InputError("restarts", None, "or half_width or [decision] must say when to stop")
        if len(given) > 1:
            raise RefusedError(given[1], ways[given[1]], f"excludes {given[0]}: keep one of them")
        if self.max_restarts is not None and self.restarts is not None:
            raise RefusedError("max_restarts", self.max_restarts, "excludes restarts: keep one")

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.cells)

    @cached_property
    def references(self) -> NDArray[np.int64] | None:
        """The cell with which each cell is compared in a decision, -1 for none; shape (cells,)."""
        if self.decision is None or self.decision.reference is None:
            return None
        return self.cells.with_values("[decision] above", self.decision.reference)

    def words(self) -> dict[str, Any]:
        """The words of this study, of which `from_words` makes the same one."""
        words: dict[str, Any] = {key: getattr(self, key) for key in STUDY_KEYS}
        words["decision"] = self.decision.words() if self.decision else None
        return {k: v for k, v in words.items() if v is not None} | self.cells.words()

    def identity(self) -> dict[str, Any]:
        """What the study computes, apart from how long it goes on.

        Two studies with the same identity give the same outcome to the same restart of the
        same cell number, so one run directory can serve both.
        """
        computed = ("seed", "engine", "dtype")
        words = {key: getattr(self, key) for key in computed} | self.cells.words()
        return {**words, "cells": len(self)}

    @cached_property
    def id(self) -> str:
        """Thirty-two hexadecimal digits that name the identity."""
        text = json.dumps(self.identity(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def differences(self, other: Study) -> str:
        """What differs between the identities of two studies, in one line."""
        one, two = _flat(self.identity()), _flat(other.identity())
        return "; ".join(
            f"{key} is {_brief(one.get(key))}, not {_brief(two.get(key))}"
            for key in dict.fromkeys((*one, *two))
            if one.get(key) != two.get(key)
        )


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in identity.items():
        if isinstance(value, Mapping):
            flat |= {f"[{key}] {name}": inner for name, inner in value.items()}
        else:
            flat[key] = value
    return flat


def _brief(value: Any) -> str:
    text = "not given" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _restarts(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if whole(name, value, 1) > MOST_RESTARTS:
        raise InputError(name, value, "must be at most 2**40")
    return int(value)


def _half_width(value: Any) -> float | None:
    return None if value is None else real("half_width", value, 0.0, 0.5, ends=False)


def _word(name: str, value: Any, words: tuple[Any, ...]) -> Any:
    if type(value) is not type(words[0]) or value not in words:
        raise InputError(name, value, f"must be one of {', '.join(map(str, words)).lower()}")
    return value
