"""The angles where something happens, from D(φ) = K(1) − K(cos φ) alone; see `landscape`."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from jaxcnn.base.checks import whole
from jaxcnn.model.activation import relu
from jaxcnn.model.dual import Activation
from jaxcnn.model.root import root

TIE = 1e-12
"""Relative difference of D and D_c below which they count as equal."""

_GRID = 1025
_RTOL = 4 * np.finfo(float).eps


def edge_level(k: int, ratio: float, activation: Activation) -> float:
    """D_c = V (V + μ²k) / (V + μ² (k − ρ)), the height of D at which s = 0."""
    variance, square = activation.variance, activation.mean**2
    return variance * (variance + square * k) / (variance + square * (k - ratio))


def critical_ratio(k: int, activation: Activation | None = None) -> float:
    """The ratio ρ below which a minimum other than the global one attracts; 0 if none ever does.

    (V + μ²k)(D_m − V)/(μ² D_m) with D_m the largest D: (k+π−1)/π for ReLU, (k+1)/2 for the step.
    An odd activation has none (φ = π is a second global minimum), nor has an even one.

    Args:
        k: number of patches, at least 1.
        activation: σ; ReLU if not given. For one that turns, such as leaky ReLU with a negative
            slope, this is about the minimum at the turn; the one at φ = π is in `landscape`.

    Raises:
        InputError: if k is no whole number from 1.
    """
    activation = relu() if activation is None else activation
    patches = whole("k", k, 1)
    if activation.odd:
        return 0.0
    highest = float(np.max(activation.at([math.pi, *find_turns(activation)]).deficit))
    variance, square = activation.variance, activation.mean**2
    lift = highest - variance
    if lift <= TIE * variance:
        return 0.0
    if square == 0.0:
        return math.inf
    return (variance + square * patches) * lift / (square * highest)


def is_top(activation: Activation, angle: float) -> bool:
    """Whether D has a local maximum, not a minimum, at this turn."""
    return float(activation.at(angle - 1e-4).derivative) > 0.0


@cache
def find_turns(activation: Activation) -> tuple[float, ...]:
    """Angles inside (0, π) where K′ changes sign."""
    grid = np.linspace(0.0, math.pi, _GRID)[1:-1]
    slope = activation.at(grid).derivative
    (places,) = np.nonzero(np.signbit(slope[1:]) != np.signbit(slope[:-1]))

    def slope_at(angle: float) -> float:
        return float(activation.at(angle).derivative)

    ends = grid.tolist()
    return tuple(
        root(slope_at, ends[i], ends[i + 1], xtol=1e-15, rtol=_RTOL) for i in places.tolist()
    )


def find_edges(activation: Activation, top: float, turns: tuple[float, ...]) -> list[float]:
    """Angles inside (0, π) where D = D_c, one at most in each monotone stretch of D."""

    def over(angle: float) -> float:
        return float(activation.at(angle).deficit) / top - 1.0

    def above(angle: float) -> float:
        gap = over(angle)
        return 0.0 if abs(gap) <= TIE else gap

    ends = [0.0, *turns, math.pi]
    levels = [above(end) for end in ends]
    found = []
    for i in range(len(ends) - 1):
        if levels[i] * levels[i + 1] < 0.0:
            found.append(root(over, ends[i], ends[i + 1], xtol=1e-15, rtol=1e-15))
    return found
