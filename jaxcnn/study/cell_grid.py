"""The cells of a study: keys that are fixed, keys that vary, and every combination of those.

Cells are numbered. The last key varies fastest, keys are in the order in which `Cell`
declares them, and the keys of `zip` are one key together. A cell is made when asked for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.cell import FREE, Cell, cell_options, field_values, with_free
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.study.axis import (
    FIELDS,
    MOST_CELLS,
    STUDY_KEYS,
    Value,
    axis_items,
    checked_value,
    nearest,
    shown,
)

_SOME = 1024  # cells that are made at once
_KEPT = 4096  # cells that were made and may be asked for again

_FILLED = ("step_size", "filter_step_size")  # for which `Cell` finds a default

_DEFAULTS = {option.name: option.default for option in cell_options()}


class CellGrid(Sequence[Cell]):
    """The cells of a study as a sequence.

    Attributes:
        fixed: keys that are the same in all cells, if not at their default.
        grid: keys of which every combination is a cell, with their values.
        zip: keys that go together, the first value of one with the first of the others.
        axes: the names of the keys that vary, in order; those of `zip` together.

    Raises:
        InputError: naming table, key, value and remedy, if the words are wrong. Whether cells
            can exist is for `keep_existing` to see.
    """

    def __init__(self, fixed: Any, grid: Any, zip: Any) -> None:
        tables = {"fixed": _table("fixed", fixed), "grid": _table("grid", grid)}
        tables["zip"] = _table("zip", zip)
        _refuse_repeated_keys(tables)
        single = {k: checked_value(f"[fixed] {k}", k, v) for k, v in tables["fixed"].items()}
        self.fixed = {k: v for k, v in _ordered(single) if v != _DEFAULTS[k]}
        items = {
            (name, key): axis_items(f"[{name}] {key}", spec)
            for name in ("grid", "zip")
            for key, spec in _ordered(tables[name])
        }
        lengths = {key: len(values) for (name, key), values in items.items() if name == "zip"}
        if len(set(lengths.values())) > 1:
            raise RefusedError("[zip]", lengths, "must have lists of one length")
        size = math.prod(len(values) for (name, _), values in items.items() if name == "grid")
        size *= next(iter(lengths.values()), 1)
        if size > MOST_CELLS:
            raise InputError("[grid]", size, f"cells are too many; at most {MOST_CELLS}")
        self.grid, self.zip = (
            {
                key: tuple(checked_value(f"[{name}] {key}", key, value) for value in values)
                for (table, key), values in items.items()
                if table == name
            }
            for name in ("grid", "zip")
        )
        for name, default in _DEFAULTS.items():
            if default is MISSING and not any(name in table for table in tables.values()):
                raise InputError(name, None, "must be given in [fixed], [grid] or [zip]")
        axes = [(name,) for name in self.grid] + ([tuple(self.zip)] if self.zip else [])
        self.axes = tuple(sorted(axes, key=lambda names: FIELDS[names[0]]))
        self._columns = {**self.grid, **self.zip}
        self._shape = tuple(len(self._columns[names[0]]) for names in self.axes)
        self._positions = np.arange(size)
        self._made: dict[int, Cell] = {}
        self._bases: dict[tuple[Value, ...], tuple[Value, ...]] = {}
        varied = [name for names in self.axes for name in names]
        self._company = [name for name in varied if name not in FREE]
        self._fixed_free = {"step_size": None}  # then it follows from k
        self._fixed_free |= {name: self.fixed[name] for name in FREE if name in self.fixed}
        self._free = [name for name in FREE if name in varied or name in self._fixed_free]

    def keep_existing(self, skip: bool) -> None:
        """Try every cell, and leave out those that cannot exist.

        Args:
            skip: whether to leave them out or to refuse them.

        Raises:
            InputError: for the first that cannot exist, if they are refused; if none is left;
                or if two are the same.
        """
        if self._all_exist():
            return
        exists = np.ones(len(self), dtype=bool)
        hashes = np.zeros(len(self), dtype=np.int64)
        columns = self.columns()
        rows = zip(*columns.values(), strict=True) if columns else [()]
        for number, row in enumerate(rows):
            try:
                cell = Cell(**self.fixed, **dict(zip(columns, row, strict=True)))
                hashes[number] = hash(cell)
                if number < _KEPT:
                    self._made[number] = cell
            except InputError as error:
                if not skip:
                    remedy = f"{error.remedy} (skip_impossible = true leaves such cells out)"
                    where = self._where(error.argument)
                    raise type(error)(where, error.value, remedy) from None
                exists[number] = False
        (kept,) = np.nonzero(exists)
        if not kept.size:
            raise InputError("[grid]", dict(self.grid), "has no cell that can exist")
        order = kept[np.argsort(hashes[kept], kind="stable")]
        for place in np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]]):
            first, second = int(order[place]), int(order[place + 1])
            if self[first] == self[second]:
                table = "[grid]" if self.grid else "[zip]"
                raise InputError(table, self.values(second), "is the same cell twice")
        if kept.size < len(self):
            self._positions = self._positions[kept]
            self._made.clear()

    def leave_out(self, skipped: Sequence[int]) -> None:
        """Leave out positions that an earlier `keep_existing` found, without trying cells."""
        self._positions = np.setdiff1d(np.arange(math.prod(self._shape)), skipped)
        self._made.clear()

    @property
    def skipped(self) -> list[int]:
        """Positions in the grid that are left out."""
        everything = np.arange(math.prod(self._shape))
        return [int(position) for position in np.setdiff1d(everything, self._positions)]

    def __len__(self) -> int:
        return int(self._positions.size)

    @overload
    def __getitem__(self, index: int) -> Cell: ...
    @overload
    def __getitem__(self, index: slice) -> list[Cell]: ...
    def __getitem__(self, index: int | slice) -> Cell | list[Cell]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        cell = self._made.get(index)
        if cell is None:
            own = {**self._fixed_free, **self.values(index)}
            company = tuple([own[name] for name in self._company])
            cell = with_free(self._like(company), self._free, [own[name] for name in self._free])
            self._keep(index, cell)
        return cell

    def _keep(self, index: int, cell: Cell) -> None:
        if len(self._made) >= _KEPT:
            self._made.clear()
        self._made[index] = cell

    def _like(self, company: tuple[Value, ...]) -> tuple[Value, ...]:
        """The fields of a cell that has these values where fields must go together."""
        like = self._bases.get(company)
        if like is None:
            like = field_values(self._base(company))
            if len(self._bases) >= _KEPT:
                self._bases.clear()
            self._bases[company] = like
        return like

    def _base(self, company: tuple[Value, ...]) -> Cell:
        """A cell that has these values where fields must go together."""
        own = dict(zip(self._company, company, strict=True))
        return Cell(**{"k": 1, **self.fixed, "ratio": 0.0, **own})

    def _all_exist(self) -> bool:
        """Whether it is plain, without trying each cell, that all exist and no two are equal."""
        choices: list[list[tuple[Value, ...]]] = []
        for names in self.axes:
            rows = list(zip(*(self._columns[name] for name in names), strict=True))
            if len(set(rows)) < len(rows):
                return False
            together = [name for name in names if name in self._company]
            choices.append(list(zip(*(self._columns[name] for name in together), strict=True)))
        if any(None in self._columns.get(name, ()) for name in _FILLED):
            return False  # it may be equal to the cell that spells its default out
        if np.any(self._numbers("ratio") > self._numbers("k")):
            return False
        try:
            for parts in itertools.product(*(dict.fromkeys(rows) for rows in choices if rows)):
                self._base(tuple(itertools.chain.from_iterable(parts)))
        except InputError:
            return False
        return True

    def _numbers(self, name: str) -> NDArray[np.float64]:
        """The values of a numeric key in all cells, or the one that is fixed."""
        for axis, names in enumerate(self.axes):
            if name in names:
                taken: NDArray[np.float64] = np.array(self._columns[name], float)
                return taken[self.places()[:, axis]]
        return np.array(self.fixed[name], float)

    def __iter__(self) -> Iterator[Cell]:
        for first in range(0, len(self), _SOME):
            yield from self._some(first, min(first + _SOME, len(self)))

    def _some(self, first: int, end: int) -> Iterator[Cell]:
        """The cells [first, end), in half of the time of one by one."""
        count = end - first
        columns = {name: [value] * count for name, value in self._fixed_free.items()}
        columns |= self._columns_of(self._positions[first:end])
        companies = list(zip(*(columns[name] for name in self._company), strict=True))
        numbers = zip(*(columns[name] for name in self._free), strict=True)
        rows = zip(companies or [()] * count, numbers, strict=True)
        for index, (company, own) in enumerate(rows, first):
            cell = self._made.get(index)
            if cell is None:
                cell = with_free(self._like(company), self._free, own)
                self._keep(index, cell)
            yield cell

    def values(self, cell: int) -> dict[str, Value]:
        """The keys that vary, with their values in one cell."""
        rest, places = int(self._positions[cell]), []
        for size in reversed(self._shape):
            rest, place = divmod(rest, size)
            places.append(place)
        pairs = zip(self.axes, reversed(places), strict=True)
        return {name: self._columns[name][place] for names, place in pairs for name in names}

    def columns(self) -> dict[str, list[Value]]:
        """The keys that vary, each with its value in every cell."""
        return self._columns_of(self._positions)

    def _columns_of(self, positions: NDArray[np.int64]) -> dict[str, list[Value]]:
        places = self._places_of(positions)
        return {
            name: [self._columns[name][place] for place in places[:, axis].tolist()]
            for axis, names in enumerate(self.axes)
            for name in names
        }

    def largest(self, name: str) -> Value:
        """The largest value of a key among the cells."""
        for axis, names in enumerate(self.axes):
            if name in names:
                taken = np.unique(self.places()[:, axis]).tolist()
                return max(self._columns[name][place] for place in taken)
        return self.fixed.get(name, _DEFAULTS[name])

    def places(self) -> NDArray[np.int64]:
        """Where each cell lies along each axis, shape (cells, axes)."""
        return self._places_of(self._positions)

    def _places_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        if not self._shape:
            return np.zeros((positions.size, 0), dtype=np.int64)
        return np.stack(np.unravel_index(positions, self._shape), axis=1)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each axis has."""
        return self._shape

    def cells_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cells at given places, shape (..., axes); -1 where there is none."""
        if not self._shape:
            return np.zeros(places.shape[:-1], dtype=np.int64)
        columns = tuple(np.moveaxis(places, -1, 0))
        positions = np.asarray(np.ravel_multi_index(columns, self._shape))
        found = np.minimum(np.searchsorted(self._positions, positions), len(self) - 1)
        return np.where(self._positions[found] == positions, found, -1)

    def with_values(self, where: str, words: Mapping[str, Value]) -> NDArray[np.int64]:
        """For each cell, the one that differs from it in having these values; -1 for none.

        Args:
            where: what to call the words in a message.
            words: keys that vary, with values they take.

        Raises:
            InputError: if a key does not vary or does not take the value.
        """
        places, asked = self.places(), dict(words)
        for axis, names in enumerate(self.axes):
            mine = {name: asked.pop(name) for name in names if name in asked}
            if mine:
                rows = zip(*(self._columns[name] for name in mine), strict=True)
                fits = [place for place, row in enumerate(rows) if row == tuple(mine.values())]
                if len(fits) != 1:
                    raise InputError(where, mine, "must name one value that the study has")
                places[:, axis] = fits[0]
        for name, value in asked.items():
            raise InputError(f"{where} {shown(name)}", value, "must be for a key that varies")
        return self.cells_at(places)

    def words(self) -> dict[str, dict[str, Any]]:
        """The three tables, of which an equal grid can be made."""
        lists = {"grid": self.grid, "zip": self.zip}
        tables = {name: {k: list(v) for k, v in table.items()} for name, table in lists.items()}
        return {"fixed": dict(self.fixed), **tables}

    def _where(self, argument: str) -> str:
        for name, table in (("fixed", self.fixed), ("grid", self.grid), ("zip", self.zip)):
            if argument in table:
                return f"[{name}] {argument}"
        return argument


def _ordered(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(table.items(), key=lambda item: FIELDS[item[0]])


def _table(name: str, table: Any) -> dict[str, Any]:
    if table is None:
        return {}
    if not isinstance(table, Mapping):
        raise InputError(f"[{name}]", table, "must be a table of keys and values")
    for key, value in table.items():
        if key not in FIELDS:
            remedy = "belongs in [study]" if key in STUDY_KEYS else nearest(key, FIELDS)
            raise InputError(f"[{name}] {shown(key)}", value, remedy)
    return dict(table)


def _refuse_repeated_keys(tables: Mapping[str, Mapping[str, Any]]) -> None:
    seen: dict[str, str] = {}
    for name, table in tables.items():
        for key, value in table.items():
            if key in seen:
                raise RefusedError(f"[{name}] {key}", value, f"is in [{seen[key]}] already")
            seen[key] = name
