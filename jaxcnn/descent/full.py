"""Gradient descent on the full state (v, a), as the paper runs it.

Simultaneous steps on the population loss, ‖v‖ not renormalised. With r = ‖v‖, φ = ∠(v, w*)
and the kernel symbols of descent/kernel.py,

    v⁺ = v + c_v s h(φ)/r (w* − cos φ v/r)
    a⁺ = (1 − c(g(0)−m)) a + c (g(φ)−m) a* − c m (u − U) 1,     c = η/2π.

A step is a scale of v and of a plus a term along w*, a* and 1, after four inner products. The
state carries the four factors of its next step (`Move`), so that the compiler takes the
products in one pass over memory and the update in another, instead of computing angle and
norm anew for every coordinate.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn.base.outcome import Outcome
from jaxcnn.descent.certificate import Rates, Scalars, certificate
from jaxcnn.descent.kernel import PI, RELU, DescentKernel, arctan
from jaxcnn.descent.start import FullLaw, FullStart
from jaxcnn.engine.dynamics import Dynamics
from jaxcnn.model.angle import Angle, from_cos_sin
from jaxcnn.model.population import Student, Target

ESCAPE = 1e6
"""b > 2 multiplies u − U by 1 − b every step; |u| beyond this times √k ‖a*‖ is divergence."""


class FullParams(NamedTuple):
    """Parameters of one cell: the teacher's arrays, rates and start law."""

    target: Target
    rates: Rates
    start: FullStart


class Move(NamedTuple):
    """The factors of the next step, scalars.

    v⁺ = (1 − shrink) v + push w*,    a⁺ = (1 − c(g(0)−m)) a + gain a* − excess 1.
    """

    push: jax.Array
    shrink: jax.Array
    gain: jax.Array
    excess: jax.Array


class FullState(NamedTuple):
    """One run: v (p,), a (k,), and the factors of its next step."""

    v: jax.Array
    a: jax.Array
    move: Move


def angle_of(sin: jax.Array, cos: jax.Array) -> Angle:
    """The angle in [0, π] with this non-negative sine and this cosine, both parts of a unit vector.

    Like `arctan` it vectorises in float32 where the library's arctan2 does not.
    """
    if sin.dtype != jnp.float32:
        return from_cos_sin(cos, sin)
    flat = jnp.abs(cos)
    acute = arctan(jnp.minimum(sin, flat) / jnp.maximum(sin, flat))
    acute = jnp.where(sin > flat, PI / 2 - acute, acute)
    obtuse = cos < 0
    return Angle(
        cos, sin, jnp.where(obtuse, PI - acute, acute), jnp.where(obtuse, acute, PI - acute)
    )


def scalars(state: FullState | Student, target: Target) -> Scalars:
    """φ, s, M and r² of a state: what the reduced run carries."""
    v, a = state.v, state.a
    along = target.w_star @ v
    across = v - _row(along, v) * _column(target.w_star, v)
    square, total = _total(across * across), jnp.sum(target.a_star)
    r2 = square + along * along
    norm = jnp.sqrt(r2)
    return Scalars(
        angle=angle_of(jnp.sqrt(square) / norm, along / norm).angle,
        s=target.a_star @ a,
        m=total * (total - target.ones @ a),
        r2=r2,
    )


def standing(kernel: DescentKernel, params: FullParams, student: Student) -> FullState:
    """The state of a run that stands at (v, a).

    Here sin²φ is 1 − cos²φ, one pass over v less than in `scalars`. What cancels near φ = 0 is
    of no consequence: g and h, unlike the angle itself, hardly depend on φ there, and nothing
    else of the step sees sin φ.
    """
    target, rates, (v, a) = params.target, params.rates, student
    along, r2 = target.w_star @ v, _total(v * v)
    scale = 1 / jnp.sqrt(r2)
    cos = along * scale
    sin = jnp.sqrt(jnp.maximum(r2 - along * along, 0)) * scale
    g, h = kernel.pair(angle_of(sin, cos))
    push = rates.c_filter * (target.a_star @ a) * h * scale
    move = Move(
        push=push,
        shrink=push * cos * scale,
        gain=rates.c * (g - kernel.mean),
        excess=rates.c * kernel.mean * (target.ones @ a - jnp.sum(target.a_star)),
    )
    return FullState(v, a, move)


def step(kernel: DescentKernel, params: FullParams, state: FullState) -> FullState:
    """One simultaneous step on (v, a)."""
    target, (v, a, move) = params.target, state
    push, shrink, gain, excess = (_row(factor, v) for factor in move)
    decay = params.rates.c * (kernel.top - kernel.mean)
    new_v = v - shrink * v + push * _column(target.w_star, v)
    new_a = a - decay * a + gain * _column(target.a_star, a) - excess * _column(target.ones, a)
    return standing(kernel, params, Student(new_v, new_a))


def verdict(kernel: DescentKernel, params: FullParams, state: FullState) -> jax.Array:
    """The certificate at the run's four scalars; divergence of u where b > 2."""
    code = certificate(kernel, params.rates, scalars(state, params.target))
    u = params.target.ones @ state.a
    far = jnp.abs(u) > ESCAPE * jnp.sqrt(params.start.patches * params.rates.power)
    return jnp.where(far & (params.rates.b > 2), jnp.int32(Outcome.DIVERGED), code)


def _total(terms: jax.Array) -> jax.Array:
    """Σ over the first axis, as a product of a vector and a matrix.

    That adds in one order whatever the number of lanes. The compiler's own sum, and its product
    of two matrices, do not, and an outcome beside the separatrix would then depend on which
    other restarts were still running.
    """
    return jnp.ones(terms.shape[0], terms.dtype) @ terms


def _column(x: jax.Array, like: jax.Array) -> jax.Array:
    """A vector of the teacher, to meet one run's vector (n,) or many runs' (n, lanes)."""
    return x if like.ndim == 1 else x[:, None]


def _row(x: jax.Array, like: jax.Array) -> jax.Array:
    """A scalar of one run or of many (lanes,), to meet their vectors."""
    return x if like.ndim == 1 else x[None, :]


class FullDescent(NamedTuple):
    """Family of full-state gradient descent on the population loss."""

    law: FullLaw
    kernel: DescentKernel = RELU

    def __call__(self, params: FullParams) -> Dynamics:
        """`Dynamics` for one cell."""

        def start(key: jax.Array) -> FullState:
            return standing(self.kernel, params, self.law.draw(key, params.start, params.target))

        return Dynamics(
            start=start,
            step=lambda state: step(self.kernel, params, state),
            verdict=lambda state: verdict(self.kernel, params, state),
            lanes_last=True,
        )
