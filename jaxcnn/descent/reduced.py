"""Gradient descent on four scalars: exact for every k and p.

With ∂ℓ/∂v ⟂ v and a moving in span(a₀, a*, 1), the (p+k)-dimensional recurrence of plain
simultaneous gradient descent closes on φ, s = aᵀa*, M = U(U−u) and r² = ‖v‖²:

    tan Δ = x = c_v s h(φ) sin φ / r²,    φ⁺ = |φ − arctan x| folded into [0, π],   r⁺² = r²(1+x²)
    s⁺ = (1 − c(g(0)−m)) s + c [(g−m) A + m M]
    M⁺ = (1 − b) M + c U² (g(0)−g)

(c = η/2π, kernel symbols in descent/kernel.py; ReLU: g(0) = π, m = 1, h = π−φ.) A restart
costs the same for k = 25 and k = 10⁶.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn.descent.certificate import Rates, Scalars, certificate
from jaxcnn.descent.kernel import PI, RELU, DescentKernel, arctan
from jaxcnn.descent.plane import PlaneLaw
from jaxcnn.engine.compiling import apart
from jaxcnn.engine.dynamics import Dynamics

REDUCED_FLOAT32_FLOOR = 1e-5
"""Smallest c = η/2π for float32: below it the increments of φ and s round away (at c = 9e-6
the median angle error after convergence is 1.6e-4)."""


class ReducedParams(NamedTuple):
    """Parameters of one cell: rates, and the parameters of its plane start law."""

    rates: Rates
    start: Any


def step(kernel: DescentKernel, rates: Rates, at: Scalars) -> Scalars:
    """One step of plain gradient descent on the four scalars."""
    g, x = apart(partial(_turn, kernel))(rates, at)
    angle = jnp.abs(at.angle - arctan(x))
    angle = jnp.where(angle > PI, 2 * PI - angle, angle)
    source = (g - kernel.mean) * rates.power + kernel.mean * at.m
    s = at.s + rates.c * (source - (kernel.top - kernel.mean) * at.s)
    m = at.m - rates.b * at.m + rates.c * rates.sum2 * (kernel.top - g)
    return Scalars(angle, s, m, at.r2 + at.r2 * (x * x))


def _turn(kernel: DescentKernel, rates: Rates, at: Scalars) -> tuple[jax.Array, jax.Array]:
    """g(φ) and x = tan Δ, from which two of the four scalars each are computed."""
    g, h, sin = kernel.values(at.angle)
    return g, rates.c_filter * at.s * h * sin / at.r2


class ReducedDescent(NamedTuple):
    """Family of reduced gradient descent: kernel and plane law fixed, numbers as data."""

    law: PlaneLaw
    kernel: DescentKernel = RELU

    def __call__(self, params: ReducedParams) -> Dynamics:
        """`Dynamics` for one cell."""
        return Dynamics(
            start=lambda key: self.law.draw(key, params.start),
            step=lambda at: step(self.kernel, params.rates, at),
            verdict=lambda at: certificate(self.kernel, params.rates, at),
            one_kernel=True,
        )
