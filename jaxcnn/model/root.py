"""Where a function of one number is zero."""

from __future__ import annotations

from collections.abc import Callable


def root(
    function: Callable[[float], float], low: float, high: float, *, xtol: float, rtol: float
) -> float:
    """A zero between two points at which the signs differ, by Brent's method."""
    # Half a second to import, which runs that look for no root need not wait for.
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=xtol, rtol=rtol))
