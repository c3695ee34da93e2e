"""The basins as a picture needs them: separatrix, edge state and sample runs of one cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxcnn.base.cell import Cell
from jaxcnn.base.checks import whole
from jaxcnn.base.errors import RefusedError
from jaxcnn.basin.boundary import boundary
from jaxcnn.study.trajectory import trajectory

_POINTS = 121


@dataclass(frozen=True)
class BasinMap:
    """What ends where, for starts with ‖v‖ = 1 and the 1ᵀa of the edge state (or 0 without one).

    1ᵀa is the fast coordinate: within a few steps runs are near this section of their space.

    Attributes:
        alignment: aᵀa* along the separatrix, shape (points,).
        threshold: angle on it, (points,): smaller ones reach the global minimum. π where all do.
        edge_angle: angle of the edge state, which has aᵀa* = 0; NaN if there is none.
        power: ‖a*‖², the alignment of the global minimum.
        spurious: alignment of the spurious minimum at angle π; NaN if it does not attract.
        mirrored: whether that minimum is the global one again, (−w*, −a*): σ is odd.
        runs: sample trajectories, each a DataFrame as from `trajectory`.
        cell: the cell.
    """

    alignment: NDArray[np.float64]
    threshold: NDArray[np.float64]
    edge_angle: float
    power: float
    spurious: float
    mirrored: bool
    runs: tuple[pd.DataFrame, ...]
    cell: Cell


def basin_map(cell: Cell, *, runs: int = 8, seed: int = 0) -> BasinMap:
    """The separatrix in the plane of angle and alignment, with sample runs.

    Args:
        cell: the experiment.
        runs: how many restarts to follow.
        seed: of their starts.

    Raises:
        NotExactError: there is no threshold map for this experiment.
        RefusedError: at ratio = k starts with 1ᵀa = 0 all have alignment 0.
    """
    whole("runs", runs)
    border = boundary(cell)
    problem = border.problem
    if problem.side <= 1e-9 * np.sqrt(problem.power):
        raise RefusedError("ratio", cell.ratio, f"must be below k = {cell.k} for a map of basins")
    power = problem.power
    samples = tuple(
        trajectory(cell, seed=seed, restart=restart, every=1) for restart in range(runs)
    )
    least = min((float(run["alignment"].min()) for run in samples), default=0.0)
    most = max((float(run["alignment"].max()) for run in samples), default=power)
    reach = max(most, -least, 0.5 * power)
    alignment = np.linspace(min(1.15 * least, -0.5 * power), 1.1 * reach, _POINTS)
    if border.edge is None:
        threshold, edge, spurious = np.full(_POINTS, np.pi), np.nan, np.nan
    else:
        edge, u = border.edge.angle, border.edge.output_sum
        # x = u/√k, and s = u U/k + y B gives y.
        along_ones = u * problem.total / problem.k
        threshold = border.angle(u / math.sqrt(problem.k), (alignment - along_ones) / problem.side)
        height = problem.kernel.top - problem.kernel.bottom
        spurious = power * (1.0 - height / problem.edge_drop)
    return BasinMap(alignment, threshold, edge, power, spurious, problem.mirrored, samples, cell)
