"""What arguments of the statistics must be: checked at the door, once, with one wording."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxcnn.base.errors import InputError

MOST = 2**53
"""The largest count: beyond it doubles skip whole numbers."""


def whole(argument: str, value: object, least: int = 0) -> int:
    """`value` as an int, if it is a whole number and at least `least`.

    Raises:
        InputError: for anything else; floats and booleans are not counts.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(argument, value, f"must be a whole number, at least {least}")
    return int(value)


def whole_array(argument: str, values: ArrayLike) -> NDArray[np.float64]:
    """`values` as an array of floats, if all are whole numbers from 0 to 2⁵³.

    Raises:
        InputError: naming the first value that is not.
    """
    try:
        counts = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(argument, values, "must be whole numbers") from None
    wrong = ~((counts >= 0.0) & (counts <= MOST) & (np.floor(counts) == counts))
    if np.any(wrong):
        bad = float(counts[wrong][0])
        raise InputError(argument, bad, "must be whole numbers from 0 to 2**53")
    return counts


def same_shape(**arguments: ArrayLike) -> list[NDArray[np.float64]]:
    """The named arguments as `whole_array`s, broadcast to one shape.

    Raises:
        InputError: if an entry is no count, or the shapes do not fit.
    """
    arrays = [whole_array(name, values) for name, values in arguments.items()]
    try:
        return list(np.broadcast_arrays(*arrays))
    except ValueError:
        shapes = [array.shape for array in arrays]
        raise InputError(", ".join(arguments), shapes, "must have shapes that fit") from None


def real(argument: str, value: object, low: float, high: float, *, ends: bool) -> float:
    """`value` as a float, if it lies between `low` and `high`; `ends` says if they belong.

    Raises:
        InputError: if it does not, is NaN, or is no real number.
    """
    if not isinstance(value, bool) and isinstance(value, Real):
        number = float(value)
        if low < number < high or (ends and number in (low, high)):
            return number
    how = f"from {low:g} to {high:g}" if ends else f"between {low:g} and {high:g}, ends excluded"
    raise InputError(argument, value, f"must be a number {how}")


def confidence_level(value: object) -> float:
    """`value` as a confidence in (0, 1).

    Raises:
        InputError: if it is no number in (0, 1); a percentage such as 95 is none.
    """
    return real("confidence", value, 0.0, 1.0, ends=False)
