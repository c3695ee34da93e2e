"""One run of a cell as a table, the two phases in it, and how long runs take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxcnn.base.cell import Cell
from jaxcnn.base.checks import real, whole
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.base.outcome import Outcome
from jaxcnn.descent.full import FullDescent
from jaxcnn.descent.trajectory import LossBelow, settling_step, trace
from jaxcnn.engine.address import INDEX_LIMIT, WORD, block_key, restart_key, root_key
from jaxcnn.engine.dynamics import Family
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import Progress, run
from jaxcnn.model.dual import Activation
from jaxcnn.model.landscape import landscape
from jaxcnn.model.population import Student
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.build import build
from jaxcnn.study.build_rule import Custom, sigma
from jaxcnn.study.built import Built, Start
from jaxcnn.study.estimate import cell_of, custom_of

_ROWS = 4000
_SETTLED = 1e-13
_LONGEST = 2_000_000
_RULES = ("optimizer", "samples", "estimator", "schedule", "warmup_steps")
_NO_PLAIN = "has no trajectory here; plain descent with a monotone activation has"


@dataclass(frozen=True)
class Phases:
    """The two phases of a run that reaches the global minimum (Du et al., Theorem 4.2).

    Attributes:
        first_end: T₁, the step from which the loss falls at its final linear rate.
        second_end: T₂, the first step with ℓ < `level`; NaN if the run ends before.
        rate: the loss falls by the factor 1 − rate each step of the second phase.
        level: loss that ends the second phase.
    """

    first_end: float
    second_end: float
    rate: float
    level: float

    def __str__(self) -> str:
        """One line."""
        if math.isnan(self.rate):
            return "no linear phase: the loss does not go to zero"
        end = "not reached" if math.isnan(self.second_end) else f"{self.second_end:.0f}"
        when = f"T1 = {self.first_end:.0f}, T2 = {end} (loss {self.level:.3g})"
        return f"{when}, linear rate {self.rate:.4g}"


def trajectory(
    teacher: Teacher | Cell,
    *,
    steps: int | None = None,
    seed: int = 0,
    restart: int = 0,
    every: int | None = None,
    sharpness: bool = False,
    start: Start | None = None,
    **options: Any,
) -> pd.DataFrame:
    """One run of the full state in double precision, step by step.

    Args:
        teacher: the teacher, or a whole `Cell`.
        steps: length of the run; by default until the loss has no digits left, or twenty
            times as long as it takes to prove that it never will.
        seed: the starts are those of `estimate` with the full engine.
        restart: index of the restart.
        every: steps between two rows; by default as few as give at most 4000 rows.
        sharpness: whether to add the largest eigenvalue of the Hessian.
        start: fixed, biased or callable starts.
        **options: any other field of `Cell`; `activation` may also be an `Activation`.

    Returns:
        Columns step, loss, angle, distance (‖a−a*‖), output_sum (1ᵀa), alignment (aᵀa*),
        filter_norm (‖v‖), and sharpness if asked for. `attrs` holds the cell's words, the seed,
        the restart and `teacher_sum` = 1ᵀa*.

    Raises:
        InputError: an argument is out of range.
        RefusedError: the cell's rule is not plain gradient descent on the population loss.
    """
    words, custom = custom_of(options)
    cell = cell_of(teacher, words)
    if steps is not None:
        whole("steps", steps, 1)
    if every is not None:
        whole("every", every, 1)
    if whole("restart", restart) >= INDEX_LIMIT:
        raise InputError("restart", restart, "must be below 2**63")
    given = teacher if isinstance(teacher, Teacher) else None
    drawn, single, _ = _plain(cell, custom, given, start, "float32")
    with jax.threefry_partitionable(True):
        key = restart_key(block_key(root_key(seed), restart), jnp.uint32(restart % WORD))
        # Drawn as the engine draws it: in double precision it would be another start.
        begun = single(drawn.params).start(key)
        place = [np.asarray(part, np.float64) for part in (begun.v, begun.a)]
    built, family, activation = _plain(cell, custom, given, start, "float64")
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, built.params)
        state = Student(*map(jnp.asarray, place))
        if steps is None:
            steps = _length(family, params, state, cell, activation)
        every = every or math.ceil(steps / _ROWS)
        rows = steps // every + 1
        # A few compiled lengths serve all runs; the rows beyond the asked ones are dropped.
        padded = 2 ** math.ceil(math.log2(rows))
        seen = trace(
            family,
            params,
            state,
            every,
            activation=activation,
            rows=padded,
            with_sharpness=sharpness,
        )
        columns = {name: np.asarray(x)[:rows] for name, x in seen._asdict().items()}
    if not sharpness:
        del columns["sharpness"]
    table = pd.DataFrame({"step": every * np.arange(rows), **columns})
    target = given or Teacher.of(cell)
    table.attrs = {
        "cell": cell.words(), "seed": seed, "restart": restart, "teacher_sum": float(target.U),
    }  # fmt: skip
    return table


def _length(
    family: FullDescent, params: Any, state: Any, cell: Cell, activation: Activation
) -> int:
    limit = min(cell.max_steps, _LONGEST)
    level = _SETTLED * cell.teacher_norm**2
    count, code = settling_step(family, params, state, limit, level, activation=activation)
    taken = max(int(count), 1)
    return min(20 * taken + 500, limit) if int(code) == Outcome.SPURIOUS else taken


def _plain(
    cell: Cell, custom: Custom, teacher: Teacher | None, start: Start | None, dtype: str
) -> tuple[Built, FullDescent, Activation]:
    """The full-state family of plain descent, or a refusal."""
    built = build(cell, engine="full", dtype=dtype, teacher=teacher, start=start, custom=custom)
    if not isinstance(built.family, FullDescent):
        if custom.optimizer is not None:
            raise RefusedError("optimizer", custom.optimizer, _NO_PLAIN)
        given = cell.words()
        word = next((word for word in _RULES if word in given), "activation")
        raise RefusedError(word, custom.activation or getattr(cell, word), _NO_PLAIN)
    return built, built.family, sigma(cell, custom)


def phases(table: pd.DataFrame, level: float | None = None) -> Phases:
    """Find the two phases in a trajectory.

    The final rate λ is the slope of log ℓ over its last stretch above rounding; T₁ is the step
    from which the local slope stays above λ/2.

    Args:
        table: from `trajectory`.
        level: loss that ends the second phase; 10⁻⁶ of the loss at the start if not given.

    Raises:
        InputError: the table has fewer than 8 rows.
    """
    if len(table) < 8:
        raise InputError("table", len(table), "must have at least 8 rows")
    step = table["step"].to_numpy(np.float64)
    loss = table["loss"].to_numpy(np.float64)
    level = (
        1e-6 * float(loss[0]) if level is None else real("level", level, 0.0, math.inf, ends=False)
    )
    floor = 1e-12 * float(loss.max())
    (alive,) = np.nonzero(loss > floor)
    last = int(alive[-1])
    (tail,) = np.nonzero((loss <= 1e-4 * loss.max()) & (np.arange(loss.size) <= last))
    if tail.size < 4:
        return Phases(math.nan, math.nan, math.nan, level)
    half = tail[tail.size // 2 :]
    log = np.log(np.maximum(loss, floor))
    slope = -float(np.polyfit(step[half], log[half], 1)[0])
    window = max(1, tail.size // 20)
    local = -(log[window : last + 1] - log[: last + 1 - window]) / (
        step[window : last + 1] - step[: last + 1 - window]
    )
    (slow,) = np.nonzero(local < 0.5 * slope)
    first_end = float(step[slow[-1] + 1]) if slow.size else 0.0
    (below,) = np.nonzero(loss < level)
    second_end = float(step[below[0]]) if below.size else math.nan
    return Phases(first_end, second_end, -math.expm1(-slope), level)


def steps_to(
    teacher: Teacher | Cell,
    *,
    loss: float | None = None,
    restarts: int = 2000,
    seed: int = 0,
    start: Start | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> pd.DataFrame:
    """How many steps each restart takes, to its outcome or to a small loss.

    Args:
        teacher: the teacher, or a whole `Cell`.
        loss: count steps to ℓ < loss instead of to the proof of the outcome; restarts that
            provably never get there count the steps to that proof. It must be below the loss of
            the spurious minimum, so that who gets there is on the way to the global one.
        restarts: number of random starts.
        seed: as in `estimate`.
        start: fixed, biased or callable starts.
        progress: called with (finished, all).
        **options: any other field of `Cell`; `activation` may also be an `Activation`.

    Returns:
        Columns outcome (a word) and steps, a row a restart in index order.

    Raises:
        InputError: an argument is out of range.
    """
    whole("restarts", restarts, 1)
    words, custom = custom_of(options)
    cell = cell_of(teacher, words)
    given = teacher if isinstance(teacher, Teacher) else None
    params: Any
    family: Family
    if loss is None:
        built = build(cell, teacher=given, start=start, custom=custom)
        family, params = built.family, built.params
    else:
        real("loss", loss, 0.0, math.inf, ends=False)
        activation = sigma(cell, custom)
        spurious = landscape(given or Teacher.of(cell), activation).of_kind("spurious")
        lowest = min((point.loss for point in spurious if point.attracts), default=math.inf)
        if loss >= lowest:
            how = f"must be below {lowest:.6g}, the loss of the spurious minimum"
            raise InputError("loss", loss, how)
        dtype = "float32" if loss > 1e-5 * cell.teacher_norm**2 else "float64"
        built, plain, _ = _plain(cell, custom, given, start, dtype)
        family = LossBelow(plain, activation)  # type: ignore[assignment]
        params = (built.params, np.asarray(loss, dtype))
    settings = built.settings._replace(check_every=1)
    job = Job(params, 0, restarts, cell.max_steps)
    (result,), _ = run(
        family, [job], seed=seed, settings=settings, x64=built.x64, progress=progress
    )
    names = np.array([outcome.name.lower() for outcome in Outcome])
    table = pd.DataFrame({"outcome": names[result.outcomes], "steps": result.steps})
    table.attrs = {"cell": cell.words(), "seed": seed, "to": "outcome" if loss is None else loss}
    return table
