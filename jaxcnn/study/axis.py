"""The values that a key of a study takes: single ones, lists, and evenly spaced ranges.

Every value is checked on its own by the `Cell` field that it is for, and comes out in that
field's own type; whether values go together is for the study to see.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcnn.base.cell import Cell, cell_options
from jaxcnn.base.errors import InputError, RefusedError

Value = Any
"""What a key can be: int, float, str or None, as its `Cell` field says."""

MOST_CELLS = 1_000_000
"""A study has at most this many cells."""

STUDY_KEYS = (
    "seed", "confidence", "restarts", "half_width", "max_restarts",
    "engine", "dtype", "skip_impossible",
)  # fmt: skip
"""The keys of [study]."""

ENGINES = ("auto", "full", "reduced")
"""The words for an engine."""

FIELDS = {option.name: place for place, option in enumerate(cell_options())}
"""The keys of a cell, with their order."""

_SPACED = ("linspace", "logspace")
_DIGITS = 12
_MOST_WHOLE = 2**53
# A cell in which any single value can be tried.
_ROOMY: dict[str, Value] = {"k": 2**52, "ratio": 0.0}


def shown(key: object) -> str:
    """A key as a message shows it: bare if TOML would take it bare, quoted otherwise."""
    text = str(key)
    return text if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", text) else repr(text)[:60]


def nearest(key: object, known: Iterable[str]) -> str:
    """The remedy for an unknown key: the likely one, or the list of all."""
    names = list(known)
    if not names:
        return "cannot be chosen: no key varies in this study"
    close = difflib.get_close_matches(str(key)[:60], names, n=1)
    return f"is no such key; did you mean {close[0]}?" if close else f"must be {_either(names)}"


def _either(names: list[str]) -> str:
    listed = ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:12])}, ..."
    return f"one of {listed}" if len(names) > 1 else listed


def checked_value(where: str, name: str, value: Any) -> Value:
    """One value of one key, in the key's own type.

    Args:
        where: what to call it in a message, such as "[grid] k".
        name: the `Cell` field.
        value: number or word; NumPy scalars count as numbers.

    Raises:
        InputError: if the field refuses the value whatever the others are.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise InputError(where, value, "must be a single number or word")
    if isinstance(value, int) and abs(value) > _MOST_WHOLE:
        raise InputError(where, value, "must be at most 2**53 in size")
    try:
        kept: Value = getattr(Cell(**{**_ROOMY, name: value}), name)
        return None if value is None else kept
    except RefusedError:
        return _typed(name, value)  # it needs company, so it is fine alone
    except InputError as error:
        raise InputError(where, error.value, error.remedy) from None


def _typed(name: str, value: Any) -> Value:
    kind = str(next(option.type for option in cell_options() if option.name == name))
    types = {"int": int, "float": float}
    return types.get(kind.split()[0], str)(value)


def axis_items(where: str, spec: Any) -> Sequence[Any]:
    """The values of one axis, not yet checked.

    Args:
        where: what to call it in a message.
        spec: a list, or {"linspace": [a, b, n]} for n values from a to b, or
            {"logspace": [a, b, n]} for n values from a to b evenly spaced in their logarithm.
            Spaced values have 12 significant digits, so that all machines take the same ones.

    Raises:
        InputError: if it is neither, is empty, or too long.
    """
    if isinstance(spec, Mapping):
        spec = _spaced(where, spec)
    elif isinstance(spec, np.ndarray):
        spec = spec.tolist()
    elif isinstance(spec, range):
        spec = spec if len(spec) <= MOST_CELLS else [0] * (MOST_CELLS + 1)
    if not isinstance(spec, (list, tuple, range)):
        raise InputError(where, spec, "must be a list of values; a single one belongs in [fixed]")
    if not spec:
        raise InputError(where, spec, "must have at least one value")
    if len(spec) > MOST_CELLS:
        raise InputError(where, len(spec), f"values are too many; at most {MOST_CELLS} cells")
    return spec


def _spaced(where: str, spec: Mapping[Any, Any]) -> list[float]:
    if len(spec) != 1 or next(iter(spec)) not in _SPACED:
        raise InputError(where, dict(spec), "must be a list, { linspace = [a, b, n] } or logspace")
    ((kind, numbers),) = spec.items()
    where = f"{where} {kind}"
    if not isinstance(numbers, (list, tuple)) or len(numbers) != 3:
        raise InputError(where, numbers, "must be [a, b, n]: both ends and the number of values")
    low, high, count = numbers
    for end in (low, high):
        if isinstance(end, bool) or not isinstance(end, (int, float)) or not abs(end) <= 1e300:
            raise InputError(where, end, "must have finite numbers for both ends")
        if kind == "logspace" and end <= 0:
            raise InputError(where, end, "must have ends greater than 0")
    if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= MOST_CELLS:
        raise InputError(where, count, f"must have a number of values from 2 to {MOST_CELLS}")
    space = np.linspace if kind == "linspace" else np.geomspace
    middle = space(float(low), float(high), count)[1:-1]
    return [low, *(float(f"{value:.{_DIGITS}g}") for value in middle), high]
