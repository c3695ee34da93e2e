"""The dual kernel as the dynamics see it: in units of 1/2π, fast and branch-free.

With K(cos φ) = E σ(X)σ(Y) and μ = E σ(X) (model/activation.py), everything that moves
depends on σ through

    g(φ) = 2π K(cos φ),   h(φ) = 2π K′(cos φ),   m = 2π μ²,   g(0),   g(π).

For ReLU g = (π−φ) cos φ + sin φ, h = π−φ, m = 1, g(0) = π, g(π) = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

PI = math.pi

# Minimax coefficients on [−π/2, π/2] and [−1, 1] (Abramowitz & Stegun 4.3.97, 4.3.99, 4.4.49),
# errors 2e-9, 2e-9 and 2e-8: below one unit in the last place of float32.
_SIN = (-0.1666666664, 0.0083333315, -0.0001984090, 0.0000027526, -0.0000000239)
_COS = (-0.4999999963, 0.0416666418, -0.0013888397, 0.0000247609, -0.0000002605)
_ATAN = (
    -0.3333314528, 0.1999355085, -0.1420889944, 0.1065626393,
    -0.0752896400, 0.0429096138, -0.0161657367, 0.0028662257,
)  # fmt: skip


class KernelValues(NamedTuple):
    """g(φ), h(φ) and sin φ at one angle."""

    g: jax.Array
    h: jax.Array
    sin: jax.Array


class DescentKernel(NamedTuple):
    """A dual kernel in units of 1/2π.

    Attributes:
        name: the activation's name.
        values: φ → `KernelValues`, any float dtype.
        mean: m = 2πμ².
        top: g(0).
        bottom: g(π).
        steepest: sup h over [0, π].
        steepest_beyond: φ → sup h over [φ, π].
        monotone: h ≥ 0 on [0, π], which every certificate needs.
        odd: (−w, −a) is the same function as (w, a), so φ = π is a second global minimum.
    """

    name: str
    values: Callable[[jax.Array], KernelValues]
    mean: float
    top: float
    bottom: float
    steepest: float
    steepest_beyond: Callable[[jax.Array], jax.Array]
    monotone: bool
    odd: bool


def _horner(coefficients: Sequence[float], x: jax.Array) -> jax.Array:
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


def sin_cos(angle: jax.Array) -> tuple[jax.Array, jax.Array]:
    """sin φ and cos φ for φ in [0, π].

    In float32 by polynomials about π/2, which vectorise where the library call does not
    (ten times the rate on a CPU); in float64 by the library.
    """
    if angle.dtype != jnp.float32:
        return jnp.sin(angle), jnp.cos(angle)
    t = angle - PI / 2
    square = t * t
    return 1 + square * _horner(_COS, square), -(t + t * square * _horner(_SIN, square))


def arctan(x: jax.Array) -> jax.Array:
    """Arctangent, likewise."""
    if x.dtype != jnp.float32:
        return jnp.arctan(x)
    size = jnp.abs(x)
    large = size > 1
    z = jnp.where(large, 1 / size, size)
    square = z * z
    value = z + z * square * _horner(_ATAN, square)
    value = jnp.where(large, PI / 2 - value, value)
    return jnp.where(x < 0, -value, value)


def _relu_values(angle: jax.Array) -> KernelValues:
    sin, cos = sin_cos(angle)
    rest = PI - angle
    return KernelValues(rest * cos + sin, rest, sin)


RELU = DescentKernel(
    name="relu",
    values=_relu_values,
    mean=1.0,
    top=PI,
    bottom=0.0,
    steepest=PI,
    steepest_beyond=lambda angle: PI - angle,
    monotone=True,
    odd=False,
)
