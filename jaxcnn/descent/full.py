"""Gradient descent on the full state (v, a), as the paper runs it.

Simultaneous steps on the population loss, ‖v‖ not renormalised. With r = ‖v‖, φ = ∠(v, w*)
and the kernel symbols of descent/kernel.py,

    v⁺ = v + c_v s h(φ)/r (w* − cos φ v/r)
    a⁺ = (1 − c(g(0)−m)) a + c (g(φ)−m) a* − c m (u − U) 1,     c = η/2π.

A step is a scale of v and of a plus a term along w*, a* and 1. `stride` takes many and reads and
writes the vectors once (as blocked Householder updates do), where a step at a time is bound by
moving p + k numbers. v turns by δ in its plane with w* and grows by ρ, each step by

    δ⁺ = δ − arctan x,    ρ⁺² = ρ² (1 + x²),    x = c_v s h(φ) sin θ / (ρ r₀)²,

with θ = φ₀ + δ the signed angle, φ = |θ|; a becomes λ a₀ + μ a* − ν 1, and its inner products
s and u follow from those at the beginning.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn.base.outcome import Outcome
from jaxcnn.descent.certificate import Rates, Scalars, certificate
from jaxcnn.descent.kernel import PI, RELU, DescentKernel, angle_of, arctan
from jaxcnn.descent.start import FullLaw, FullStart
from jaxcnn.engine.compiling import apart, by_parts, one_kernel
from jaxcnn.engine.dynamics import Dynamics
from jaxcnn.model.angle import Angle
from jaxcnn.model.population import Student, Target

ESCAPE = 1e6
"""b > 2 multiplies u − U by 1 − b every step; |u| beyond this times √k ‖a*‖ is divergence."""

LANES_JUDGED = 32
"""Lanes whose scalars are judged at a time: a block of the tail is so many, or twice as many."""


class FullParams(NamedTuple):
    """Parameters of one cell: the teacher's arrays, rates and start law."""

    target: Target
    rates: Rates
    start: FullStart


class Products(NamedTuple):
    """What the dynamics need of a state, scalars.

    Attributes:
        along: w*ᵀv.
        across: ‖v − (w*ᵀv) w*‖.
        norm: ‖v‖.
        direction: the angle between v and w*.
        s: a*ᵀa.
        u: 1ᵀa.
    """

    along: jax.Array
    across: jax.Array
    norm: jax.Array
    direction: Angle
    s: jax.Array
    u: jax.Array


def products(state: Student, target: Target) -> Products:
    """The inner products of a state with the teacher, and the angle they make."""
    v, a = state
    along = target.w_star @ v
    rest = v - _row(along, v) * _column(target.w_star, v)
    across = jnp.sqrt(_total(rest * rest))
    norm = jnp.sqrt(across * across + along * along)
    direction = angle_of(across / norm, along / norm)
    return Products(along, across, norm, direction, target.a_star @ a, target.ones @ a)


def scalars(state: Student, target: Target) -> Scalars:
    """φ, s, M and r² of a state: what the reduced run carries."""
    at = products(state, target)
    total = jnp.sum(target.a_star)
    return Scalars(at.direction.angle, at.s, total * (total - at.u), at.norm * at.norm)


def stride(
    kernel: DescentKernel, params: FullParams, state: Student, count: jax.Array | int
) -> Student:
    """`count` simultaneous steps on (v, a)."""
    target, rates, (v, a) = params.target, params.rates, state
    begin, total, patches = products(state, target), jnp.sum(target.a_star), jnp.sum(target.ones)
    r2 = begin.norm * begin.norm
    numbers = (rates, begin.direction.angle, begin.s, begin.u, r2, total, patches)
    kept, turn, growth, gain, excess = one_kernel(partial(_turns, kernel))(count, *numbers)
    rho, sin, cos = jnp.sqrt(growth), jnp.sin(turn), jnp.cos(turn)
    # On the axis of w* itself nothing turns.
    slope = jnp.where(begin.across > 0, sin / jnp.where(begin.across > 0, begin.across, 1), 0)
    return Student(
        _row(rho * (cos + slope * begin.along), v) * v
        - _row(rho * slope * r2, v) * _column(target.w_star, v),
        kept * a
        + _row(gain, a) * _column(target.a_star, a)
        - _row(excess, a) * _column(target.ones, a),
    )


class Turned(NamedTuple):
    """What some steps did to a state: λ, δ, ρ², μ and ν of the module, scalars."""

    kept: jax.Array
    turn: jax.Array
    growth: jax.Array
    gain: jax.Array
    excess: jax.Array


def _turns(
    kernel: DescentKernel,
    count: jax.Array | int,
    rates: Rates,
    angle: jax.Array,
    s: jax.Array,
    u: jax.Array,
    r2: jax.Array,
    total: jax.Array,
    patches: jax.Array,
) -> Turned:
    """What `count` steps do to a state with these φ, s, u and r² before the first of them."""
    decay = rates.c * (kernel.top - kernel.mean)

    def pull(
        rates: Rates, angle: jax.Array, r2: jax.Array, at: Turned, s: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """θ, g and x, which several of the results share."""
        theta = angle + at.turn
        theta = theta - 2 * PI * jnp.round(theta / (2 * PI))
        g, h, sin = kernel.values(jnp.abs(theta))
        return theta, g, rates.c_filter * s * h * sin / (at.growth * r2)

    def one(_: int, at: Turned) -> Turned:
        now_s = at.kept * s + at.gain * rates.power - at.excess * total
        now_u = at.kept * u + at.gain * total - at.excess * patches
        theta, g, x = apart(pull)(rates, angle, r2, at, now_s)
        return Turned(
            at.kept - decay * at.kept,
            at.turn - jnp.sign(theta) * arctan(x),
            at.growth + at.growth * (x * x),
            at.gain - decay * at.gain + rates.c * (g - kernel.mean),
            at.excess - decay * at.excess + rates.c * kernel.mean * (now_u - total),
        )

    zero = jnp.zeros_like(s)
    still = Turned(jnp.ones_like(rates.c), zero, zero + 1, zero, zero)
    turned: Turned = jax.lax.fori_loop(0, count, one, still)
    return turned


def step(kernel: DescentKernel, params: FullParams, state: Student) -> Student:
    """One simultaneous step on (v, a)."""
    target, rates, (v, a) = params.target, params.rates, state
    at, total = products(state, target), jnp.sum(target.a_star)
    g, h = kernel.pair(at.direction)
    push = rates.c_filter * at.s * h / at.norm
    shrink = push * at.direction.cos / at.norm
    gain = rates.c * (g - kernel.mean)
    excess = rates.c * kernel.mean * (at.u - total)
    return Student(
        v - _row(shrink, v) * v + _row(push, v) * _column(target.w_star, v),
        a
        - rates.c * (kernel.top - kernel.mean) * a
        + _row(gain, a) * _column(target.a_star, a)
        - _row(excess, a) * _column(target.ones, a),
    )


def verdict(kernel: DescentKernel, params: FullParams, state: Student) -> jax.Array:
    """The certificate at the run's four scalars; divergence of u where b > 2."""
    judge = partial(certificate, kernel, params.rates)
    code: jax.Array = by_parts(judge, scalars(state, params.target), part=LANES_JUDGED)
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
        return Dynamics(
            start=lambda key: self.law.draw(key, params.start, params.target),
            step=lambda state: step(self.kernel, params, state),
            stride=lambda state, count: stride(self.kernel, params, state, count),
            verdict=lambda state: verdict(self.kernel, params, state),
            lanes_last=True,
            # Of a user's own law nobody has tested what the compiler makes.
            one_kernel=self.law.custom_a is None and self.law.custom_v is None,
        )
