"""Gradient descent on the full state (v, a), as the paper runs it.

Simultaneous steps on the population loss, ‖v‖ not renormalised. With r = ‖v‖, φ = ∠(v, w*)
and the kernel symbols of descent/kernel.py,

    v⁺ = v + c_v s h(φ)/r (w* − cos φ v/r)
    a⁺ = (1 − c(g(0)−m)) a + c (g(φ)−m) a* − c m (u − U) 1,     c = η/2π.

The state is one vector z = (v; a): a step is a scale of each half plus a term of rank three
(w*, a*, 1), after four inner products, which is the fewest passes over memory.
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
from jaxcnn.model.population import Student, Target

ESCAPE = 1e6
"""b > 2 multiplies u − U by 1 − b every step; |u| beyond this times √k ‖a*‖ is divergence."""


class FullParams(NamedTuple):
    """Parameters of one cell: the teacher's arrays, rates and start law."""

    target: Target
    rates: Rates
    start: FullStart


class FullState(NamedTuple):
    """One run: z = (v; a), shape (p + k,)."""

    z: jax.Array


def arctan2_positive(y: jax.Array, x: jax.Array) -> jax.Array:
    """Angle in [0, π] of (x, y) with y ≥ 0; vectorises in float32 like `arctan`."""
    if y.dtype != jnp.float32:
        return jnp.arctan2(y, x)
    steep = y > jnp.abs(x)
    flat = arctan(jnp.where(steep, x, y) / jnp.where(steep, y, jnp.where(x == 0, 1.0, x)))
    return jnp.where(steep, PI / 2 - flat, jnp.where(x < 0, PI + flat, flat))


def scalars(state: FullState, target: Target) -> Scalars:
    """φ, s, M and r² of a full state: what the reduced run carries."""
    v, a = _split(state, target)
    along = _inner(target.w_star, v)
    across = v - along * target.w_star
    square = _inner(across, across)
    total = jnp.vdot(target.ones, target.a_star)
    return Scalars(
        angle=arctan2_positive(jnp.sqrt(square), along),
        s=_inner(target.a_star, a),
        m=total * (total - _inner(target.ones, a)),
        r2=square + along * along,
    )


def step(kernel: DescentKernel, params: FullParams, state: FullState) -> FullState:
    """One simultaneous step on (v, a)."""
    target, rates = params.target, params.rates
    v, a = _split(state, target)
    at = scalars(state, target)
    values = kernel.values(at.angle)
    norm = jnp.sqrt(at.r2)
    push = rates.c_filter * at.s * values.h / norm
    shrink = push * _inner(target.w_star, v) / at.r2
    total = jnp.vdot(target.ones, target.a_star)
    excess = _inner(target.ones, a) - total
    gap = kernel.top - kernel.mean
    new_v = v - shrink * v + push * target.w_star
    new_a = (
        a
        - rates.c * gap * a
        + (rates.c * (values.g - kernel.mean)) * target.a_star
        - (rates.c * kernel.mean * excess) * target.ones
    )
    return FullState(jnp.concatenate([new_v, new_a]))


def verdict(kernel: DescentKernel, params: FullParams, state: FullState) -> jax.Array:
    """The certificate at the run's four scalars; divergence of u where b > 2."""
    code = certificate(kernel, params.rates, scalars(state, params.target))
    _, a = _split(state, params.target)
    u = _inner(params.target.ones, a)
    far = jnp.abs(u) > ESCAPE * jnp.sqrt(params.start.patches * params.rates.power)
    return jnp.where(far & (params.rates.b > 2), jnp.int32(Outcome.DIVERGED), code)


def student(state: FullState, target: Target) -> Student:
    """The state as (v, a)."""
    return Student(*_split(state, target))


def _inner(x: jax.Array, y: jax.Array) -> jax.Array:
    """Inner product by halving, whose order of additions is written out.

    The compiler's own sum runs in another order at another number of lanes, and an outcome
    beside the separatrix would then depend on which other restarts were still running.
    """
    terms = x * y
    while terms.shape[0] > 1:
        half = terms.shape[0] // 2
        sums = terms[:half] + terms[half : 2 * half]
        terms = jnp.concatenate([sums, terms[2 * half :]]) if terms.shape[0] % 2 else sums
    return terms[0]


def _split(state: FullState, target: Target) -> tuple[jax.Array, jax.Array]:
    p = target.w_star.shape[0]
    return state.z[:p], state.z[p:]


class FullDescent(NamedTuple):
    """Family of full-state gradient descent on the population loss."""

    law: FullLaw
    kernel: DescentKernel = RELU

    def __call__(self, params: FullParams) -> Dynamics:
        """`Dynamics` for one cell."""

        def start(key: jax.Array) -> FullState:
            drawn = self.law.draw(key, params.start, params.target)
            return FullState(jnp.concatenate([drawn.v, drawn.a]))

        return Dynamics(
            start=start,
            step=lambda state: step(self.kernel, params, state),
            verdict=lambda state: verdict(self.kernel, params, state),
        )
