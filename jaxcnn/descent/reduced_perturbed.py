r"""Perturbed descent on four scalars: the same law for every k and p, at the same cost.

The noise of perturbed.py is invariant under rotations, so a noisy step needs of ξ only its
parts along w*, along e ⟂ w* (the unit direction of w in the plane of w and w*) and their
rest, and of ε only its parts along e₁ = 1/√k and e₂ = a*⊥/‖a*⊥‖. With r = ‖v‖ and
w = cos φ w* + sin φ e,

    q = (w + ξ)/‖w + ξ‖ = C w* + E e + rest,      s′ = s + ε₁ U/√k + ε₂ B,     M′ = M − U √k ε₁
    v⁺ = r w + c_v s′ h(q) (w* − C q)    projected to the sphere;      φ⁺ = ∠(v⁺, w*)
    s⁺ = s + c [(g(q)−m) A + m M′ − (g(0)−m) s′]
    M⁺ = M − b M′ + c U² (g(0) − g(q))

The chain (φ, s, M) has the law of the full state's, though not its random numbers: a restart
index starts another run here than on the full state. Five uniform numbers make a step: a point
of the unit ball in R^n has two coordinates of direction 2πW and squared radius
ρ² (1 − V^(2/(n−2))) with ρⁿ uniform (ξ), or 1 − V^(2/n) for short (ε).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn.base.outcome import Outcome
from jaxcnn.descent.certificate import Rates, Scalars, certificate
from jaxcnn.descent.kernel import RELU, DescentKernel
from jaxcnn.descent.perturbed import Noise, strength
from jaxcnn.descent.plane import PlaneLaw, PlaneStart
from jaxcnn.descent.reduced import step as plain_step
from jaxcnn.engine.dynamics import Dynamics


class PerturbedParams(NamedTuple):
    """Parameters of one cell.

    Attributes:
        rates: step sizes and the teacher's sizes.
        start: the plane start law, whose `sum`, `side`, `root_k`, `angle_power` and `p` the
            noise shares.
        noise: radii and schedule.
    """

    rates: Rates
    start: PlaneStart
    noise: Noise


class PerturbedState(NamedTuple):
    """The four scalars, the key of the noise, and the steps so far (up to the last noisy one)."""

    at: Scalars
    key: Any
    age: jax.Array


class Kick(NamedTuple):
    """One perturbation: ξ along w* and e with the norm of its rest; ε along e₁ and e₂."""

    along: jax.Array
    across: jax.Array
    rest: jax.Array
    x: jax.Array
    y: jax.Array


def kick(key: jax.Array, start: PlaneStart, noise: Noise, size: jax.Array) -> Kick:
    """A perturbation, both radii times `size`. Consumes the key."""
    dtype = jnp.asarray(start.root_k).dtype
    bits = jax.random.bits(key, (5,), jnp.uint32)
    log = jnp.log((bits.astype(dtype) + 0.5) * 2.0**-32)
    turn = 2 * math.pi * bits.astype(dtype) * 2.0**-32
    radius = size * noise.filter * jnp.exp(log[0] / start.p)
    inside = jnp.exp(start.angle_power * log[1])
    flat = radius * jnp.sqrt(1 - inside)
    side = size * noise.output * jnp.sqrt(-jnp.expm1(2 * log[3] / start.root_k**2))
    return Kick(
        along=flat * jnp.cos(turn[2]),
        across=flat * jnp.sin(turn[2]),
        rest=radius * jnp.sqrt(inside),
        x=side * jnp.cos(turn[4]),
        y=side * jnp.sin(turn[4]),
    )


def noisy_step(
    kernel: DescentKernel, rates: Rates, start: PlaneStart, at: Scalars, by: Kick
) -> Scalars:
    """One projected step with the gradient at the perturbed point."""
    cos, sin, r = jnp.cos(at.angle), jnp.sin(at.angle), jnp.sqrt(at.r2)
    along, across = cos + by.along, sin + by.across
    flat = jnp.sqrt(across**2 + by.rest**2)
    norm = jnp.sqrt(along**2 + flat**2)
    g, h, _ = kernel.values(jnp.arctan2(flat, along))
    s = at.s + by.x * start.sum / start.root_k + by.y * start.side
    m = at.m - start.sum * start.root_k * by.x

    push = rates.c_filter * s * h
    back = push * along / norm**2
    new_across = jnp.sqrt((r * sin - back * across) ** 2 + (back * by.rest) ** 2)
    angle = jnp.arctan2(new_across, r * cos + push - back * along)
    source = (g - kernel.mean) * rates.power + kernel.mean * m - (kernel.top - kernel.mean) * s
    return Scalars(
        angle=angle,
        s=at.s + rates.c * source,
        m=at.m - rates.b * m + rates.c * rates.sum2 * (kernel.top - g),
        r2=jnp.ones_like(at.r2),
    )


class PerturbedDescent(NamedTuple):
    """Family of reduced perturbed descents: law and kernel fixed, numbers as data."""

    law: PlaneLaw
    kernel: DescentKernel = RELU

    def __call__(self, params: PerturbedParams) -> Dynamics:
        """`Dynamics` for one cell."""
        last = params.noise.epoch * params.noise.epochs

        def start(key: jax.Array) -> PerturbedState:
            noise_key = jax.random.fold_in(key, 3)
            return PerturbedState(self.law.draw(key, params.start), noise_key, jnp.int32(0))

        def step(state: PerturbedState) -> PerturbedState:
            size = strength(params.noise, state.age)
            by = kick(jax.random.fold_in(state.key, state.age), params.start, params.noise, size)
            loud = noisy_step(self.kernel, params.rates, params.start, state.at, by)
            calm = plain_step(self.kernel, params.rates, state.at)
            noisy = state.age < last
            at: Scalars = jax.tree.map(lambda x, y: jnp.where(noisy, x, y), loud, calm)
            # Once the noise is off the state holds nothing that counts, so that a run at rest is
            # seen to be at rest.
            return PerturbedState(at, state.key, state.age + noisy.astype(jnp.int32))

        def verdict(state: PerturbedState) -> jax.Array:
            code = certificate(self.kernel, params.rates, state.at)
            ready = (state.age >= last) | (code == Outcome.DIVERGED)
            return jnp.where(ready, code, jnp.int32(Outcome.RUNNING))

        return Dynamics(start, step, verdict)
