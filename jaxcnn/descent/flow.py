"""The gradient flow: the limit of descent as its step size goes to 0, on four scalars.

In time τ = t/2π (kernel symbols in descent/kernel.py; κ = η_v/η, r does not change)

    φ̇ = −κ s h(φ) sin φ / r²,   ṡ = (g−m) A + m M − (g(0)−m) s,   Ṁ = U² (g(0)−g) − (b/c) M

by the classical Runge–Kutta method of order four. A step is c = η/2π long, or shorter where
the angle is fast: at most ¼ of r²/(κ |s| sup h). Certificates apply in their limit c → 0.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn.descent.certificate import Rates, Scalars, certificate
from jaxcnn.descent.kernel import PI, RELU, DescentKernel
from jaxcnn.descent.plane import PlaneLaw
from jaxcnn.descent.reduced import ReducedParams
from jaxcnn.engine.dynamics import Dynamics

VANISHING = 2.0**-30
"""Factor on the rates for which certificates are those of the flow."""

MOST_B = 1.0
"""Largest b for which a step resolves the fastest direction of a."""


def velocity(kernel: DescentKernel, rates: Rates, at: Scalars) -> Scalars:
    """d/dτ of the four scalars."""
    g, h, sin = kernel.values(at.angle)
    ratio = rates.c_filter / rates.c
    gap = kernel.top - kernel.mean
    return Scalars(
        angle=-ratio * at.s * h * sin / at.r2,
        s=(g - kernel.mean) * rates.power + kernel.mean * at.m - gap * at.s,
        m=rates.sum2 * (kernel.top - g) - rates.b / rates.c * at.m,
        r2=jnp.zeros_like(at.r2),
    )


def step(kernel: DescentKernel, rates: Rates, at: Scalars) -> Scalars:
    """One Runge–Kutta step."""
    speed = rates.c_filter / rates.c * jnp.abs(at.s) * kernel.steepest / at.r2
    length = jnp.minimum(rates.c, 0.25 / jnp.maximum(speed, 1e-30))

    def moved(by: jax.Array, slope: Scalars) -> Scalars:
        point: Scalars = jax.tree.map(lambda x, d: x + by * d, at, slope)
        return point._replace(angle=jnp.clip(point.angle, 0, PI))

    first = velocity(kernel, rates, at)
    second = velocity(kernel, rates, moved(length / 2, first))
    third = velocity(kernel, rates, moved(length / 2, second))
    fourth = velocity(kernel, rates, moved(length, third))
    mean: Scalars = jax.tree.map(
        lambda a, b, c, d: (a + 2 * (b + c) + d) / 6, first, second, third, fourth
    )
    return moved(length, mean)


def verdict(kernel: DescentKernel, rates: Rates, at: Scalars) -> jax.Array:
    """The certificate of the flow: that of descent with vanishing steps."""
    slow = rates._replace(
        c=VANISHING * rates.c, c_filter=VANISHING * rates.c_filter, b=VANISHING * rates.b
    )
    return certificate(kernel, slow, at)


class FlowDescent(NamedTuple):
    """Family of gradient flows: kernel and plane law fixed, numbers as data."""

    law: PlaneLaw
    kernel: DescentKernel = RELU

    def __call__(self, params: ReducedParams) -> Dynamics:
        """`Dynamics` for one cell."""
        return Dynamics(
            start=lambda key: self.law.draw(key, params.start),
            step=lambda at: step(self.kernel, params.rates, at),
            verdict=lambda at: verdict(self.kernel, params.rates, at),
            one_kernel=True,
        )
