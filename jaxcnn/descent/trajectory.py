"""One run step by step, with what the paper plots of it; and runs that end at a small loss."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.base.outcome import Outcome
from jaxcnn.descent import full
from jaxcnn.descent.full import FullDescent, FullParams
from jaxcnn.engine.dynamics import Dynamics
from jaxcnn.model.dual import Activation
from jaxcnn.model.population import Student, loss, sharpness


class Trace(NamedTuple):
    """A run, one entry a recorded step, each of shape (rows,).

    Attributes:
        loss: ℓ.
        angle: φ, radians.
        distance: ‖a − a*‖.
        output_sum: 1ᵀa.
        alignment: aᵀa*.
        filter_norm: ‖v‖.
        sharpness: the largest Hessian eigenvalue; NaN if it was not asked for.
    """

    loss: jax.Array
    angle: jax.Array
    distance: jax.Array
    output_sum: jax.Array
    alignment: jax.Array
    filter_norm: jax.Array
    sharpness: jax.Array


def look(state: Student, params: FullParams, activation: Activation, with_sharpness: bool) -> Trace:
    """What a `Trace` records of one state; scalars."""
    target = params.target
    at = full.scalars(state, target)
    largest = (
        sharpness(state, target, activation) if with_sharpness else jnp.full_like(at.s, jnp.nan)
    )
    return Trace(
        loss=loss(state, target, activation),
        angle=at.angle,
        distance=jnp.linalg.norm(target.ones * (state.a - target.a_star)),
        output_sum=jnp.vdot(target.ones, state.a),
        alignment=at.s,
        filter_norm=jnp.sqrt(at.r2),
        sharpness=largest,
    )


@partial(jax.jit, static_argnames=("family", "activation", "rows", "with_sharpness"))
def trace(
    family: FullDescent,
    params: FullParams,
    state: Student,
    every: jax.Array | int,
    *,
    activation: Activation,
    rows: int,
    with_sharpness: bool = False,
) -> Trace:
    """The states at steps 0, every, 2 every, …, `rows` of them.

    Args:
        family: the dynamics.
        params: its parameters.
        state: the start.
        every: steps between two rows.
        activation: σ, for the loss.
        rows: number of rows.
        with_sharpness: whether to record the largest Hessian eigenvalue.
    """
    step = family(params).step

    def row(at: Student, _: None) -> tuple[Student, Trace]:
        seen = look(at, params, activation, with_sharpness)
        return lax.fori_loop(0, every, lambda _, z: step(z), at), seen

    return lax.scan(row, state, None, length=rows)[1]


@partial(jax.jit, static_argnames=("family", "activation"))
def settling_step(
    family: FullDescent,
    params: FullParams,
    state: Student,
    limit: jax.Array | int,
    level: jax.Array | float,
    *,
    activation: Activation,
) -> tuple[jax.Array, jax.Array]:
    """The first step at which ℓ < level, or the run is certain not to get there.

    Args:
        family: the dynamics.
        params: its parameters.
        state: the start.
        limit: most steps.
        level: of the loss.
        activation: σ, for the loss.

    Returns:
        The step and the `Outcome`: GLOBAL for the loss, SPURIOUS or DIVERGED as certified,
        RUNNING at the limit.
    """
    dynamics = LossBelow(family, activation)((params, level))

    def going(at: tuple[jax.Array, Student]) -> jax.Array:
        return (at[0] < limit) & (dynamics.verdict(at[1]) == Outcome.RUNNING)

    def move(at: tuple[jax.Array, Student]) -> tuple[jax.Array, Student]:
        return at[0] + 1, dynamics.step(at[1])

    count, last = lax.while_loop(going, move, (jnp.int32(0), state))
    return count, dynamics.verdict(last)


class LossBelow(NamedTuple):
    """Family of the same runs that end when the loss is small, not when the outcome is proved.

    GLOBAL means ℓ < level, proved or not. A run that is certified SPURIOUS or DIVERGED ends so.
    """

    family: FullDescent
    activation: Activation

    def __call__(self, params: tuple[FullParams, jax.Array | float]) -> Dynamics:
        """`Dynamics` of one cell with the level of the loss."""
        inner, level = params
        dynamics = self.family(inner)

        def verdict(state: Student) -> jax.Array:
            code = dynamics.verdict(state)
            value = loss(state, inner.target, self.activation)
            arrived = jnp.where(
                value < level, jnp.int32(Outcome.GLOBAL), jnp.int32(Outcome.RUNNING)
            )
            open_ = (code == Outcome.GLOBAL) | (code == Outcome.RUNNING)
            return jnp.where(open_, arrived, code)

        return dynamics._replace(verdict=verdict, stride=None, lanes_last=False)
