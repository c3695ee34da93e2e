"""What arguments of the statistics must be: checked at the door, once, with one wording."""

from __future__ import annotations

import math
from numbers import Integral, Real

from jaxcnn.base.errors import InputError


def whole(argument: str, value: object, least: int = 0) -> int:
    """`value` as an int, if it is a whole number and at least `least`.

    Raises:
        InputError: for anything else; floats and booleans are not counts.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(argument, value, f"must be a whole number, at least {least}")
    return int(value)


def real(argument: str, value: object, low: float, high: float, *, ends: bool) -> float:
    """`value` as a float, if it lies between `low` and `high`; `ends` says if they belong.

    Raises:
        InputError: if it does not, is NaN, or is no real number.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if low < number < high or (ends and number in (low, high) and math.isfinite(number)):
            return number
    how = f"from {low:g} to {high:g}" if ends else f"between {low:g} and {high:g}, ends excluded"
    raise InputError(argument, value, f"must be a number {how}")


def confidence_level(value: object) -> float:
    """`value` as a confidence in (0, 1).

    Raises:
        InputError: if it is no number in (0, 1); a percentage such as 95 is none.
    """
    return real("confidence", value, 0.0, 1.0, ends=False)
