"""The basins as a picture needs them: separatrix, edge state and sample runs of one cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxcnn.base.cell import Cell
from jaxcnn.base.checks import whole
from jaxcnn.base.errors import RefusedError
from jaxcnn.basin.boundary import boundary
from jaxcnn.descent.certificate import Scalars
from jaxcnn.descent.full import scalars
from jaxcnn.engine.address import block_key, restart_key, root_key
from jaxcnn.engine.dynamics import Family
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import run
from jaxcnn.study.build import build

_POINTS = 121
_ROWS = 1024
_BEYOND = 5
"""How many times as long as it takes to prove its outcome a run is followed."""


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
        runs: sample runs, each a DataFrame with columns step, angle and alignment.
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
    samples = _followed(cell, runs, seed)
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


def _followed(cell: Cell, runs: int, seed: int) -> tuple[pd.DataFrame, ...]:
    """Restarts 0, 1, … of `estimate` with this seed in double precision, by four scalars."""
    if not runs:
        return ()
    built = build(cell, dtype="float64")
    job = Job(built.params, 0, runs, cell.max_steps)
    (result,), _ = run(built.family, [job], seed=seed, settings=built.settings, x64=True)
    every = max(1, math.ceil(_BEYOND * int(result.steps.max()) / _ROWS))
    with jax.enable_x64(True), jax.threefry_partitionable(True):
        low = jnp.arange(runs, dtype=jnp.uint32)
        keys = jax.vmap(partial(restart_key, block_key(root_key(seed), 0)))(low)
        params = jax.tree.map(jnp.asarray, built.params)
        angle, alignment = map(np.asarray, _walk(built.family, params, keys, every))
    step = every * np.arange(_ROWS)
    return tuple(
        pd.DataFrame({"step": step, "angle": angle[:, i], "alignment": alignment[:, i]})
        for i in range(runs)
    )


@partial(jax.jit, static_argnums=0)
def _walk(
    family: Family, params: Any, keys: jax.Array, every: jax.Array | int
) -> tuple[jax.Array, jax.Array]:
    """φ and s of every run at steps 0, every, 2 every, …, shapes (rows, runs)."""
    dynamics = family(params)

    def row(states: Any, _: None) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        at = states
        if not isinstance(states, Scalars):
            at = jax.vmap(lambda state: scalars(state, params.target))(states)
        later = jax.lax.fori_loop(0, every, lambda _, z: jax.vmap(dynamics.step)(z), states)
        return later, (at.angle, at.s)

    seen: tuple[jax.Array, jax.Array]
    _, seen = jax.lax.scan(row, jax.vmap(dynamics.start)(keys), None, length=_ROWS)
    return seen
