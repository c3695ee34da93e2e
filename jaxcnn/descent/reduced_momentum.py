r"""Heavy ball and Nesterov momentum on a handful of scalars: exact for every k and p.

Both rules are linear in the gradients, ∂ℓ/∂v stays in the plane of v₀ and w*, and ∂ℓ/∂a in
span(a₀, 1, a*), so the full state closes on

    v = α w* + β e,            e ⟂ w* the unit direction of v₀ (β may change its sign)
    a − a* = d_x 1/√k + d_y a*⊥/B + q e′,      e′ the direction of a₀ outside that plane

with velocities of their own. With V = (g(0)−m)/2π, μ² = m/2π, D = (g(0)−g)/2π and φ = ∠(v, w*):

    ∂α = −s h/(2πr) sin²φ,  ∂β = s h/(2πr) sin φ cos φ sign β,      r² = α² + β²
    ∂d_x = (V + μ²k) d_x + D U/√k,   ∂d_y = V d_y + D B,   ∂q = V q
    s = (d_x + U/√k) U/√k + (d_y + B) B
    ℓ = ½ [V (d_x² + d_y² + q²) + μ² k d_x²] + D s

    heavy ball   m⁺ = γ m + ∂,  z⁺ = z − η m⁺          Nesterov   z⁺ = z − η (∂ + γ m⁺)

No certificate is known for them: outcomes rest on tolerances (arrival.py). With γ = 0 this is
plain descent that knows its loss, for activations without certificates.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn.descent import arrival
from jaxcnn.descent.arrival import Goal, Track
from jaxcnn.descent.certificate import Rates
from jaxcnn.descent.kernel import PI, RELU, DescentKernel
from jaxcnn.descent.plane import PlaneLaw, PlaneStart
from jaxcnn.engine.dynamics import Dynamics

TWO_PI = 2 * PI


class Coordinates(NamedTuple):
    """α, β of v and d_x, d_y, q of a − a*; also their velocities, and the gradient."""

    along: jax.Array
    across: jax.Array
    dx: jax.Array
    dy: jax.Array
    rest: jax.Array


class MomentumParams(NamedTuple):
    """Parameters of one cell.

    Attributes:
        rates: step sizes and the teacher's sizes.
        start: the plane start law.
        patches: k.
        momentum: γ.
        goal: what counts as having arrived.
        point_rest: q of a fixed start.
    """

    rates: Rates
    start: PlaneStart
    patches: jax.Array
    momentum: jax.Array
    goal: Goal
    point_rest: jax.Array


class MomentumState(NamedTuple):
    """One run: where it is, its velocity, and whether it still moves."""

    at: Coordinates
    velocity: Coordinates
    track: Track


def _angle(at: Coordinates) -> jax.Array:
    return jnp.arctan2(jnp.abs(at.across), at.along)


def alignment(params: MomentumParams, at: Coordinates) -> jax.Array:
    """The inner product s = aᵀa*."""
    mean = params.start.sum / params.start.root_k
    return (at.dx + mean) * mean + (at.dy + params.start.side) * params.start.side


def loss(kernel: DescentKernel, params: MomentumParams, at: Coordinates) -> jax.Array:
    """ℓ."""
    variance, square = (kernel.top - kernel.mean) / TWO_PI, kernel.mean / TWO_PI
    deficit = (kernel.top - kernel.values(_angle(at)).g) / TWO_PI
    spread = variance * (at.dx**2 + at.dy**2 + at.rest**2) + square * params.patches * at.dx**2
    return spread / 2 + deficit * alignment(params, at)


def slope(kernel: DescentKernel, params: MomentumParams, at: Coordinates) -> Coordinates:
    """∂ℓ in these coordinates."""
    variance, square = (kernel.top - kernel.mean) / TWO_PI, kernel.mean / TWO_PI
    g, h, _ = kernel.values(_angle(at))
    norm = jnp.sqrt(at.along**2 + at.across**2)
    sin, cos = at.across / norm, at.along / norm
    push = alignment(params, at) * h / (TWO_PI * norm)
    deficit = (kernel.top - g) / TWO_PI
    return Coordinates(
        along=-push * sin * sin,
        across=push * sin * cos,
        dx=(variance + square * params.patches) * at.dx
        + deficit * params.start.sum / params.start.root_k,
        dy=variance * at.dy + deficit * params.start.side,
        rest=variance * at.rest,
    )


def step(
    kernel: DescentKernel, nesterov: bool, params: MomentumParams, state: MomentumState
) -> MomentumState:
    """One step of both rules."""
    force = slope(kernel, params, state.at)
    decay = params.momentum
    velocity = jax.tree.map(lambda m, f: decay * m + f, state.velocity, force)
    move = velocity
    if nesterov:
        move = jax.tree.map(lambda m, f: f + decay * m, velocity, force)
    size, filter_size = TWO_PI * params.rates.c, TWO_PI * params.rates.c_filter
    sizes = Coordinates(filter_size, filter_size, size, size, size)
    at = jax.tree.map(lambda z, eta, m: z - eta * m, state.at, sizes, move)
    track = arrival.follow(
        params.goal, state.track, _angle(at), loss(kernel, params, at), kernel.odd
    )
    return MomentumState(at, velocity, track)


class MomentumDescent(NamedTuple):
    """Family of momentum descents on these scalars: law, kernel and rule fixed."""

    law: PlaneLaw
    kernel: DescentKernel = RELU
    nesterov: bool = False

    def __call__(self, params: MomentumParams) -> Dynamics:
        """`Dynamics` for one cell."""
        return Dynamics(
            start=lambda key: self.start(key, params),
            step=lambda state: step(self.kernel, self.nesterov, params, state),
            verdict=lambda state: arrival.verdict(state.track),
            one_kernel=True,
        )

    def start(self, key: jax.Array, params: MomentumParams) -> MomentumState:
        """The start of the plane law, and q from its law given x and y. Consumes the key."""
        numbers = params.start
        drawn = self.law.coordinates(key, numbers)
        norm = jnp.sqrt(drawn.norm2)
        dx = drawn.x - numbers.sum / numbers.root_k
        at = Coordinates(
            along=norm * jnp.cos(drawn.angle),
            across=norm * jnp.sin(drawn.angle),
            dx=dx,
            dy=drawn.y - numbers.side,
            rest=self._rest(jax.random.fold_in(key, 2), params, drawn.x, drawn.y),
        )
        still = jax.tree.map(jnp.zeros_like, at)
        return MomentumState(at, still, arrival.begin(dx.dtype))

    def _rest(
        self, key: jax.Array, params: MomentumParams, x: jax.Array, y: jax.Array
    ) -> jax.Array:
        """Norm of the k − 2 other coordinates: q²/(R² − x² − y²) ~ Beta((k−2)/2, 1) in a ball."""
        if self.law.a == "point":
            return params.point_rest
        scale, others = params.start.scale, params.patches - 2
        x, y = x - params.start.x, y - params.start.y
        if self.law.a == "gaussian":
            half = jnp.maximum(others, 1) / 2
            square = 2 * jax.random.gamma(key, half, dtype=half.dtype)
            return scale * jnp.sqrt(jnp.where(others > 0, square, 0))
        left = jnp.maximum(scale**2 - x**2 - y**2, 0)
        if self.law.a == "ball":
            uniform = jax.random.uniform(key, (), x.dtype)
            left = left * jnp.where(others > 0, uniform ** (2 / jnp.maximum(others, 1)), 0)
        return jnp.sqrt(left)
