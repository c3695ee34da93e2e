"""The angle between two filters, with a derivative that is right at 0 and at π.

`arccos(wᵀw*)` is NaN as soon as rounding makes the inner product exceed one, and its derivative
is infinite at ±1, which is where runs converge. Here the angle comes from the parts of w* along
and across v, and every derivative is built from the part across,

    ∂ cos φ / ∂v = (I − wwᵀ) w* / ‖v‖,

which is smooth everywhere and vanishes at both ends.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Angle(NamedTuple):
    """One angle φ in [0, π] in the forms that keep its digits at both ends.

    Attributes:
        cos: cos φ.
        sin: sin φ, never negative.
        angle: φ; full relative accuracy near 0.
        supplement: π − φ; full relative accuracy near φ = π, where `angle` has none of it left.
    """

    cos: Array
    sin: Array
    angle: Array
    supplement: Array


def from_cos_sin(cos: Array, sin: Array) -> Angle:
    """The angle with this cosine and this non-negative sine (to a common positive factor).

    A form that is not used costs nothing under `jit`.
    """
    return Angle(cos, sin, jnp.arctan2(sin, cos), jnp.arctan2(sin, -cos))


def from_angle(angle: Array) -> Angle:
    """The angle φ in [0, π], given as a number; its supplement is only as good as π − φ."""
    # sin(π) is not 0 in floating point; at the end itself the exact value is wanted.
    supplement = math.pi - angle
    return Angle(jnp.cos(angle), jnp.sin(jnp.minimum(angle, supplement)), angle, supplement)


@jax.custom_jvp
def between(v: Array, w_star: Array) -> Angle:
    """The angle φ between a filter and the teacher's.

    Its first derivative in v is −unit((I − wwᵀ) w*) / ‖v‖ inside (0, π). At φ = 0 and φ = π the
    angle has a kink; there its derivative is taken as 0, the mean over directions. A function
    that is smooth in cos φ, and the activations' kernels, which differentiate through `cos`
    alone, get their exact gradient at both ends, and their exact Hessian where it exists.

    Args:
        v: filter, shape (p,), not zero; any length.
        w_star: teacher filter, shape (p,), of length 1.
    """
    unit = v / jnp.linalg.norm(v)
    cos = jnp.dot(unit, w_star)
    return from_cos_sin(cos, jnp.linalg.norm(w_star - cos * unit))


@between.defjvp
def _between_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Angle, Angle]:
    (v, w_star), (v_dot, w_dot) = primals, tangents
    out = between(v, w_star)
    norm = jnp.linalg.norm(v)
    unit = v / norm
    cos_dot = jnp.dot(w_star - out.cos * unit, v_dot) / norm
    cos_dot = cos_dot + jnp.dot(unit - out.cos * w_star, w_dot)
    angle_dot = -cos_dot * reciprocal(out.sin)
    return out, Angle(cos_dot, out.cos * angle_dot, angle_dot, -angle_dot)


def reciprocal(x: Array) -> Array:
    """1/x, and 0 at x ≤ 0, with a finite derivative there."""
    positive = x > 0
    return jnp.where(positive, 1 / jnp.where(positive, x, 1), 0)


def versine(angle: Angle) -> Array:
    """1 − cos φ, accurate near φ = 0."""
    acute = angle.cos > 0
    return jnp.where(acute, angle.sin**2 / (1 + jnp.where(acute, angle.cos, 0)), 1 - angle.cos)


_LUNE = tuple((-1) ** (n + 1) * 2 * n / math.factorial(2 * n + 1) for n in range(1, 10))


def lune(x: Array, sin: Array, cos: Array) -> Array:
    """Area sin x − x cos x on [0, π], accurate near 0, where it is x³/3.

    The paper's g(φ) = (π−φ) cos φ + sin φ is the lune of π − φ.
    """
    square = x * x
    total = jnp.zeros_like(x)
    for coefficient in reversed(_LUNE):
        total = total * square + coefficient
    return jnp.where(x < 1, x * square * total, sin - x * cos)
