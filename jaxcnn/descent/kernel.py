"""The dual kernel as the dynamics see it: in units of 1/2π, fast and branch-free.

With K(cos φ) = E σ(X)σ(Y) and μ = E σ(X) (model/activation.py), everything that moves
depends on σ through

    g(φ) = 2π K(cos φ),   h(φ) = 2π K′(cos φ),   m = 2π μ²,   g(0),   g(π).

For ReLU g = (π−φ) cos φ + sin φ, h = π−φ, m = 1, g(0) = π, g(π) = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.model.angle import Angle, from_angle, from_cos_sin
from jaxcnn.model.dual import Activation

PI = math.pi

# Minimax coefficients on [−π/2, π/2] and [−1, 1] (Abramowitz & Stegun 4.3.97, 4.3.99, 4.4.49),
# errors 2e-9, 2e-9 and 2e-8: below one unit in the last place of float32.
_SIN = (-0.1666666664, 0.0083333315, -0.0001984090, 0.0000027526, -0.0000000239)
_COS = (-0.4999999963, 0.0416666418, -0.0013888397, 0.0000247609, -0.0000002605)
_ATAN = (
    -0.3333314528, 0.1999355085, -0.1420889944, 0.1065626393,
    -0.0752896400, 0.0429096138, -0.0161657367, 0.0028662257,
)  # fmt: skip

# Float64: Taylor coefficients of the sine up to π/2 (the first term left out is below
# 10⁻¹⁹), and Moshier's rational approximation of the arctangent (Cephes).
_SIN64 = tuple((-1) ** j / math.factorial(2 * j + 1) for j in range(1, 12))
_ATAN64_TOP = (
    -6.485021904942025371773e1, -1.228866684490136173410e2, -7.500855792314704667340e1,
    -1.615753718733365076637e1, -8.750608600031904122785e-1,
)  # fmt: skip
_ATAN64_BOTTOM = (
    1.945506571482613964425e2, 4.853903996359136964868e2, 4.328810604912902668951e2,
    1.650270098316988542046e2, 2.485846490142306297962e1, 1.0,
)  # fmt: skip
_PI_REST = 1.2246467991473532e-16
"""π less its nearest double."""


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
        pair: `Angle` → (g, h), where sine and cosine are known already.
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
    pair: Callable[[Angle], tuple[jax.Array, jax.Array]]
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
    """Sin φ and cos φ for φ in [0, π].

    By polynomials, which vectorise where the library call does not (five to ten times the
    rate on a CPU). In float64 the error is below 2 units in the last place of the result.
    """
    if angle.dtype == jnp.float64:
        return _sin_cos64(angle)
    if angle.dtype != jnp.float32:
        return jnp.sin(angle), jnp.cos(angle)
    t = angle - PI / 2
    square = t * t
    return 1 + square * _horner(_COS, square), -(t + t * square * _horner(_SIN, square))


def _sin_cos64(angle: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Each from its own zero, so that small values keep their digits.

    What π lacks as a double is added where it matters, by a select: XLA would fold a constant
    added to (π − φ) into π, and it would round away.
    """
    rest, t = PI - angle, PI / 2 - angle
    z = jnp.minimum(angle, rest)
    z_rest = jnp.where(rest < 0.5, _PI_REST, 0.0)
    t_rest = jnp.where(jnp.abs(t) < 0.5, 0.5 * _PI_REST, 0.0)
    sin = z + (z * (z * z) * _horner(_SIN64, z * z) + z_rest)
    return sin, t + (t * (t * t) * _horner(_SIN64, t * t) + t_rest)


def arctan(x: jax.Array) -> jax.Array:
    """Arctangent, likewise."""
    if x.dtype == jnp.float64:
        return _arctan64(x)
    if x.dtype != jnp.float32:
        return jnp.arctan(x)
    size = jnp.abs(x)
    large = size > 1
    z = jnp.where(large, 1 / size, size)
    square = z * z
    value = z + z * square * _horner(_ATAN, square)
    value = jnp.where(large, PI / 2 - value, value)
    return jnp.where(x < 0, -value, value)


def _arctan64(x: jax.Array) -> jax.Array:
    size = jnp.abs(x)
    large, middle = size > 2.414213562373095, size > 0.66
    top = jnp.where(large, -1.0, jnp.where(middle, size - 1.0, size))
    z = top / jnp.where(large, size, jnp.where(middle, size + 1.0, 1.0))
    base = jnp.where(large, PI / 2, jnp.where(middle, PI / 4, 0.0))
    rest = jnp.where(large, 0.5 * _PI_REST, jnp.where(middle, 0.25 * _PI_REST, 0.0))
    square = z * z
    ratio = _horner(_ATAN64_TOP, square) / _horner(_ATAN64_BOTTOM, square)
    value = base + (z + (z * square * ratio + rest))
    return jnp.where(x < 0, -value, value)


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


def _relu_values(angle: jax.Array) -> KernelValues:
    sin, cos = sin_cos(angle)
    rest = PI - angle
    return KernelValues(rest * cos + sin, rest, sin)


def _relu_pair(at: Angle) -> tuple[jax.Array, jax.Array]:
    return at.supplement * at.cos + at.sin, at.supplement


RELU = DescentKernel(
    name="relu",
    values=_relu_values,
    pair=_relu_pair,
    mean=1.0,
    top=PI,
    bottom=0.0,
    steepest=PI,
    steepest_beyond=lambda angle: PI - angle,
    monotone=True,
    odd=False,
)


@cache
def kernel_of(activation: Activation) -> DescentKernel:
    """The kernel of any activation; equal activations share one kernel (and one compilation).

    Whether h ≥ 0 and whether it falls with φ are looked up on a grid of 4097 angles. A kinked
    activation (the step: h = 1/sin φ) has no bounded h, so nothing is certified for it.
    """
    if activation.name == "relu":
        return RELU

    def pair(phi: Angle) -> tuple[jax.Array, jax.Array]:
        return 2 * PI * activation.kernel(phi), 2 * PI * activation.derivative(phi)

    def values(angle: jax.Array) -> KernelValues:
        phi = from_angle(angle)
        return KernelValues(*pair(phi), phi.sin)

    grid = 2 * PI * activation.at(np.linspace(0.0, PI, 4097)).derivative
    ends = 2 * PI * activation.at([0.0, PI]).kernel
    # Smooth on a fine grid, so that a little more than the largest value seen is a bound.
    steepest = math.inf if activation.kinked else 1.0001 * float(np.max(np.abs(grid)))
    falling = bool(np.all(np.diff(grid) <= 0))

    def steepest_beyond(angle: jax.Array) -> jax.Array:
        return values(angle).h if falling else jnp.full_like(angle, steepest)

    return DescentKernel(
        name=activation.name,
        values=values,
        pair=pair,
        mean=0.0 if activation.odd else 2 * PI * activation.mean**2,
        top=float(ends[0]),
        bottom=float(ends[1]),
        steepest=steepest,
        steepest_beyond=steepest_beyond,
        monotone=not activation.kinked and bool(np.all(grid >= 0)),
        odd=activation.odd,
    )
