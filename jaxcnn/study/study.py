"""A study: the cells of a grid, and how long to go on with each.

`Study.from_words` is the one door. It takes the words of a study file and refuses what is
wrong in one line, before any work. Cells are numbered: the last key varies fastest, keys are
in the order in which `Cell` declares them, and the keys of `zip` are one key together.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.cell import Cell, cell_options
from jaxcnn.base.checks import confidence_level, real, whole
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.study.axis import (
    FIELDS,
    MOST_CELLS,
    Value,
    axis_values,
    checked_value,
    nearest,
    shown,
)
from jaxcnn.study.decision import Decision
from jaxcnn.study.unit import MOST_RESTARTS

ENGINES = ("auto", "full", "reduced")
DTYPES = ("float64", "float32")
STUDY_KEYS = (
    "seed", "confidence", "restarts", "half_width", "max_restarts",
    "engine", "dtype", "skip_impossible",
)  # fmt: skip
TABLES = ("fixed", "grid", "zip", "decision")


@dataclass(frozen=True, kw_only=True)
class Study:
    """What to run and when to stop; made by `from_words`, which checks it.

    Attributes:
        seed: seed of all random numbers.
        confidence: of every interval.
        restarts: restarts for each cell, or None.
        half_width: (high − low)/2 to reach in each cell, or None.
        decision: question to settle for each cell, or None. One of the three is given.
        max_restarts: most restarts for a cell, for the other two ways to stop.
        engine: "auto", "full" or "reduced".
        dtype: precision, "float64" or "float32".
        skip_impossible: whether cells that cannot exist are left out or refused.
        fixed: keys that are the same in all cells, if not at their default.
        grid: keys of which every combination is a cell.
        zip: keys that go together, the first value of one with the first of the others.
    """

    seed: int
    confidence: float
    restarts: int | None
    half_width: float | None
    decision: Decision | None
    max_restarts: int | None
    engine: str
    dtype: str
    skip_impossible: bool
    fixed: Mapping[str, Value]
    grid: Mapping[str, tuple[Value, ...]]
    zip: Mapping[str, tuple[Value, ...]]
    _positions: NDArray[np.int64] = field(repr=False, compare=False)

    @classmethod
    def from_words(cls, **words: Any) -> Study:
        """A study from the words of a study file.

        Args:
            words: the keys of `[study]`, and `fixed`, `grid`, `zip` and `decision` as mappings.

        Raises:
            InputError: naming key, value and remedy, if a word is wrong or a cell impossible.
        """
        study = cls._parsed(words)
        object.__setattr__(study, "_positions", study._existing())
        if study.decision is not None:
            study.references  # noqa: B018 - refuses a reference that no cell has
        return study

    @classmethod
    def from_trusted_words(cls, words: Mapping[str, Any], skipped: Sequence[int]) -> Study:
        """A study from `words()` and `skipped()` of one that was checked: tries no cell again.

        Raises:
            InputError: if a word is wrong.
        """
        study = cls._parsed(words)
        everything = study._positions
        object.__setattr__(study, "_positions", np.setdiff1d(everything, skipped))
        return study

    @classmethod
    def _parsed(cls, words: Mapping[str, Any]) -> Study:
        for key in words:
            if key in FIELDS:
                raise InputError(shown(key), words[key], "belongs in [fixed], [grid] or [zip]")
            if key not in STUDY_KEYS + TABLES:
                raise InputError(shown(key), words[key], nearest(key, STUDY_KEYS + TABLES))
        tables = {name: _table(name, words.get(name)) for name in ("fixed", "grid", "zip")}
        fixed = {k: checked_value(f"[fixed] {k}", k, v) for k, v in tables["fixed"].items()}
        grid = {k: axis_values(f"[grid] {k}", k, v) for k, v in tables["grid"].items()}
        pairs = {k: axis_values(f"[zip] {k}", k, v) for k, v in tables["zip"].items()}
        _apart(fixed=fixed, grid=grid, zip=pairs)
        size = math.prod(map(len, grid.values())) * (len(next(iter(pairs.values()))) if pairs else 1)
        if size > MOST_CELLS:
            raise InputError("[grid]", size, f"cells are too many; at most {MOST_CELLS}")
        decision = words.get("decision")
        study = cls(
            seed=whole("seed", words.get("seed", 0)),
            confidence=confidence_level(words.get("confidence", 0.95)),
            restarts=_number("restarts", words.get("restarts")),
            half_width=_width(words.get("half_width")),
            decision=None if decision is None else Decision.from_words(decision),
            max_restarts=_number("max_restarts", words.get("max_restarts")),
            engine=_word("engine", words.get("engine", "auto"), ENGINES),
            dtype=_word("dtype", words.get("dtype", "float64"), DTYPES),
            skip_impossible=_word("skip_impossible", words.get("skip_impossible", False), (True, False)),
            fixed={k: v for k, v in _ordered(fixed) if v != _DEFAULTS.get(k, MISSING)},
            grid=dict(_ordered(grid)),
            zip=dict(_ordered(pairs)),
            _positions=np.arange(size),
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
            raise RefusedError(given[1], ways[given[1]], f"excludes {given[0]}: give one of them")
        if self.max_restarts is not None and self.restarts is not None:
            raise RefusedError("max_restarts", self.max_restarts, "excludes restarts: give one of them")
        known = {**self.fixed, **self.grid, **self.zip}
        for option in cell_options():
            if option.default is MISSING and option.name not in known:
                raise InputError(option.name, None, "must be given in [fixed], [grid] or [zip]")

    def _existing(self) -> NDArray[np.int64]:
        """Positions in the grid at which a cell exists; all of them are tried."""
        exists = np.ones(self._positions.size, dtype=bool)
        hashes = np.zeros(self._positions.size, dtype=np.int64)
        for position in range(self._positions.size):
            values = self._values(position)
            try:
                hashes[position] = hash(Cell(**self.fixed, **values))
            except InputError as error:
                if not self.skip_impossible:
                    remedy = f"{error.remedy} (skip_impossible = true leaves such cells out)"
                    raise InputError(self._where(error.argument), error.value, remedy) from None
                exists[position] = False
        (kept,) = np.nonzero(exists)
        if not kept.size:
            raise InputError("[grid]", dict(self.grid), "has no cell that can exist")
        self._refuse_duplicates(kept[np.argsort(hashes[kept], kind="stable")], hashes)
        return kept

    def _refuse_duplicates(self, kept: NDArray[np.int64], hashes: NDArray[np.int64]) -> None:
        for here in np.flatnonzero(hashes[kept[1:]] == hashes[kept[:-1]]):
            first, second = (self._values(int(kept[place])) for place in (here, here + 1))
            if Cell(**self.fixed, **first) == Cell(**self.fixed, **second):
                table = "[grid]" if self.grid else "[zip]"
                raise InputError(table, second, "is the same cell twice; leave one out")

    def _where(self, name: str) -> str:
        for table, keys in (("fixed", self.fixed), ("grid", self.grid), ("zip", self.zip)):
            if name in keys:
                return f"[{table}] {name}"
        return name

    @cached_property
    def axes(self) -> tuple[tuple[str, ...], ...]:
        """The keys that vary, in order; those of `zip` together."""
        axes = [(name,) for name in self.grid] + ([tuple(self.zip)] if self.zip else [])
        return tuple(sorted(axes, key=lambda names: FIELDS[names[0]]))

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        return tuple(len(self._column(names[0])) for names in self.axes)

    def _column(self, name: str) -> tuple[Value, ...]:
        return self.grid[name] if name in self.grid else self.zip[name]

    def _values(self, position: int) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for names, size in zip(reversed(self.axes), reversed(self._shape), strict=True):
            position, place = divmod(position, size)
            values.update((name, self._column(name)[place]) for name in names)
        return {name: values[name] for names in self.axes for name in names}

    def __len__(self) -> int:
        """Number of cells."""
        return int(self._positions.size)

    def values(self, cell: int) -> dict[str, Value]:
        """The keys that vary, with their values in one cell."""
        return self._values(int(self._positions[cell]))

    @property
    def cells(self) -> Cells:
        """The cells, made when asked for."""
        return Cells(self)

    def places(self) -> NDArray[np.int64]:
        """Where each cell lies along each axis, shape (cells, axes)."""
        if not self._shape:
            return np.zeros((len(self), 0), dtype=np.int64)
        return np.stack(np.unravel_index(self._positions, self._shape), axis=1)

    def cell_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cells at given places, shape (…, axes); −1 where there is none."""
        if not self._shape:
            return np.zeros(places.shape[:-1], dtype=np.int64)
        positions = np.ravel_multi_index(tuple(np.moveaxis(places, -1, 0)), self._shape)
        found = np.minimum(np.searchsorted(self._positions, positions), len(self) - 1)
        return np.where(self._positions[found] == positions, found, -1)

    @cached_property
    def references(self) -> NDArray[np.int64]:
        """The cell with which each cell is compared in a decision; −1 for none."""
        reference = self.decision.reference if self.decision else None
        if not reference:
            return np.full(len(self), -1)
        places = self.places()
        for axis, names in enumerate(self.axes):
            asked = {name: reference[name] for name in names if name in reference}
            if asked:
                places[:, axis] = self._place_of(asked)
        for name in reference:
            if name not in self.grid and name not in self.zip:
                varying = [key for names in self.axes for key in names]
                raise InputError("[decision] above", shown(name), f"must be {varying}, which vary")
        return self.cell_at(places)

    def _place_of(self, asked: Mapping[str, Value]) -> int:
        rows = zip(*(self._column(name) for name in asked), strict=True)
        found = [place for place, row in enumerate(rows) if row == tuple(asked.values())]
        if len(found) != 1:
            remedy = "must name one value of the axis" if found else "must be a value of the axis"
            raise InputError("[decision] above", dict(asked), remedy)
        return found[0]

    def words(self) -> dict[str, Any]:
        """The words of this study, of which `from_words` makes an equal one."""
        words: dict[str, Any] = {key: getattr(self, key) for key in STUDY_KEYS}
        words |= {name: dict(getattr(self, name)) for name in ("fixed", "grid", "zip")}
        words["grid"] = {name: list(values) for name, values in self.grid.items()}
        words["zip"] = {name: list(values) for name, values in self.zip.items()}
        words["decision"] = self.decision.words() if self.decision else None
        return {key: value for key, value in words.items() if value is not None}

    def skipped(self) -> list[int]:
        """Positions in the grid that are left out, since no cell can exist there."""
        everything = np.arange(math.prod(self._shape))
        return np.setdiff1d(everything, self._positions).tolist()

    def identity(self) -> dict[str, Any]:
        """What the study computes, apart from how long it goes on.

        Two studies with the same identity give the same outcome to the same restart of the
        same cell number, so one run directory can serve both.
        """
        later = ("confidence", "restarts", "half_width", "max_restarts", "decision", "skip_impossible")
        words = {key: value for key, value in self.words().items() if key not in later}
        return {**words, "cells": len(self)}

    def differences(self, other: Study) -> str:
        """What differs between the identities of two studies, in one line."""
        one, two = self.identity(), other.identity()
        found = []
        for key in dict.fromkeys((*one, *two)):
            left, right = one.get(key), two.get(key)
            if isinstance(left, Mapping) and isinstance(right, Mapping):
                for name in dict.fromkeys((*left, *right)):
                    if left.get(name) != right.get(name):
                        found.append(f"{key} {name} {_brief(left.get(name))}, not {_brief(right.get(name))}")
            elif left != right:
                found.append(f"{key} {_brief(left)}, not {_brief(right)}")
        return "; ".join(found[:4])

    @cached_property
    def id(self) -> str:
        """Thirty-two hexadecimal digits that name the identity."""
        text = json.dumps(self.identity(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class Cells(Sequence[Cell]):
    """The cells of a study as a sequence; each is made when asked for."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __len__(self) -> int:
        return len(self._study)

    @overload
    def __getitem__(self, index: int) -> Cell: ...
    @overload
    def __getitem__(self, index: slice) -> list[Cell]: ...
    def __getitem__(self, index: int | slice) -> Cell | list[Cell]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return Cell(**self._study.fixed, **self._study.values(index))

    def __iter__(self) -> Iterator[Cell]:
        return (self[index] for index in range(len(self)))


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_DEFAULTS = {option.name: option.default for option in cell_options()}


def _ordered(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(table.items(), key=lambda item: FIELDS[item[0]])


def _table(name: str, table: Any) -> dict[str, Any]:
    if table is None:
        return {}
    if not isinstance(table, Mapping):
        raise InputError(f"[{name}]", table, "must be a table of keys and values")
    for key, value in table.items():
        if key in STUDY_KEYS:
            raise InputError(f"[{name}] {key}", value, "belongs in [study]")
        if key not in FIELDS:
            raise InputError(f"[{name}] {shown(key)}", value, nearest(key, FIELDS))
    return dict(table)


def _apart(**tables: Mapping[str, Any]) -> None:
    """Refuse a key in two tables, and lists of unequal length in `zip`."""
    seen: dict[str, str] = {}
    for name, table in tables.items():
        for key, value in table.items():
            if key in seen:
                raise RefusedError(f"[{name}] {key}", value, f"is in [{seen[key]}] already")
            seen[key] = name
    lengths = {key: len(values) for key, values in tables["zip"].items()}
    if len(set(lengths.values())) > 1:
        raise RefusedError("[zip]", lengths, "must have lists of one length")


def _number(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if whole(name, value, 1) > MOST_RESTARTS:
        raise InputError(name, value, "must be at most 2**40")
    return int(value)


def _width(value: Any) -> float | None:
    return None if value is None else real("half_width", value, 0.0, 0.5, ends=False)


def _word(name: str, value: Any, words: tuple[Any, ...]) -> Any:
    if type(value) is not type(words[0]) or value not in words:
        raise InputError(name, value, f"must be one of {', '.join(map(str, words))}")
    return value
