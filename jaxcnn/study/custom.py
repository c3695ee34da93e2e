"""Estimates for a problem of one's own: bring start, step and verdict.

    from jaxcnn.engine.dynamics import Dynamics
    from jaxcnn.base.outcome import Outcome

    def problem(well):                                   # parameters → one restart
        return Dynamics(
            start=lambda key: jax.random.normal(key),
            step=lambda x: x - 0.05 * (x**3 - x),
            verdict=lambda x: jnp.where(jnp.abs(x - well) < 0.01, Outcome.GLOBAL,
                              jnp.where(jnp.abs(x + well) < 0.01, Outcome.SPURIOUS, 0)),
        )

    estimate_dynamics(problem, np.float32(1.0), restarts=10_000)

The three functions see one restart; they are batched and compiled by the engine. Where the
outcome should come from is said in engine/dynamics.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcnn.base.checks import confidence_level, whole
from jaxcnn.base.errors import InputError
from jaxcnn.engine.dynamics import Dynamics, Family, Params
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import Progress, run
from jaxcnn.study.estimate import Estimate


class _Same(NamedTuple):
    """A family without parameters; equal functions share a compilation."""

    dynamics: Dynamics

    def __call__(self, params: Params) -> Dynamics:
        return self.dynamics


def estimate_dynamics(
    problem: Dynamics | Family,
    params: Params = (),
    *,
    restarts: int = 5000,
    seed: int = 0,
    confidence: float = 0.95,
    max_steps: int = 1_000_000,
    first: int = 0,
    settings: LaneSettings | None = None,
    x64: bool = False,
    words: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Estimate:
    """Probability that one's own dynamics end as `Outcome.GLOBAL`.

    Args:
        problem: a `Dynamics`, or a function from `params` to one.
        params: tree of NumPy arrays or numbers, the data of one cell.
        restarts: number of random starts.
        seed: restart i has the same key whatever else is asked.
        confidence: level of the interval.
        max_steps: step limit of a restart, which is UNDECIDED there.
        first: first restart index.
        settings: compiled shape (lanes; `shared=True` for large parameters).
        x64: compute with 64-bit types enabled, for this call only.
        words: what the result should say about the problem.
        progress: called with (finished, all) after each launch.

    Raises:
        InputError: an argument is out of range, or `problem` is neither of the two.
    """
    return sweep_dynamics(
        problem, [params], restarts=restarts, seed=seed, confidence=confidence,
        max_steps=max_steps, first=first, settings=settings, x64=x64,
        words=None if words is None else [words], progress=progress,
    )[0]  # fmt: skip


def sweep_dynamics(
    problem: Dynamics | Family,
    grid: Sequence[Params],
    *,
    restarts: int = 5000,
    seed: int = 0,
    confidence: float = 0.95,
    max_steps: int = 1_000_000,
    first: int = 0,
    settings: LaneSettings | None = None,
    x64: bool = False,
    words: Sequence[Mapping[str, Any]] | None = None,
    progress: Progress | None = None,
) -> list[Estimate]:
    """One estimate per parameter set, all in one compilation and one run.

    All parameter sets have one tree, shapes and dtypes; what changes shapes (a dimension) is
    another family. Arguments otherwise as in `estimate_dynamics`.

    Raises:
        InputError: an argument is out of range.
    """
    whole("restarts", restarts, 1)
    if whole("max_steps", max_steps, 1) >= 2**31:
        raise InputError("max_steps", max_steps, "must be at most 2**31 - 1")
    grid = list(grid)
    whole("first", first)
    confidence_level(confidence)
    if not callable(problem) and not isinstance(problem, Dynamics):
        raise InputError("problem", problem, "must be a Dynamics, or a function that returns one")
    if not grid:
        raise InputError("grid", grid, "must have at least one parameter set")
    if words is not None and len(words) != len(grid):
        raise InputError("words", len(words), f"must be {len(grid)}, one for each parameter set")
    family: Any = _Same(problem) if isinstance(problem, Dynamics) else problem
    jobs = [Job(jax.tree.map(np.asarray, p), first, restarts, max_steps) for p in grid]
    results, account = run(family, jobs, seed=seed, settings=settings, x64=x64, progress=progress)
    said = words or [{} for _ in grid]
    common = {"seed": seed, "x64": x64, "engine": "own", "outcomes": "the problem's own verdict"}
    return [
        Estimate.of(result.outcomes, result.steps, account, confidence, {**text, **common})
        for result, text in zip(results, said, strict=True)
    ]
