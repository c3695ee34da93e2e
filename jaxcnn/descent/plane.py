r"""The start of a reduced run, drawn from its exact low-dimensional law.

With e₁ = 1/√k and e₂ = a*⊥/‖a*⊥‖ (a*⊥ the part of a* orthogonal to 1, B = ‖a*⊥‖), a start
enters through x = e₁ᵀa, y = e₂ᵀa, the angle φ₀ and ‖v₀‖:

    u = √k x,    s = x U/√k + y B,    M = U² − U √k x.

For the rotation-invariant laws of a the pair (x, y) has a uniform direction and

    ball of radius R      (x²+y²)/R² ~ Beta(1, k/2)      = 1 − V^(2/k)
    sphere of radius R    (x²+y²)/R² ~ Beta(1, k/2 − 1)  = 1 − V^(2/(k−2))
    Gaussian, deviation σ (x²+y²)/σ² ~ χ²₂               = −2 log V

with V uniform; the sphere marginal of v is the same law in R^p, of which cos φ₀ is one
coordinate: cos φ₀ = √(1 − V^(2/(p−2))) cos 2πW. Four uniform numbers make a start.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn.base.errors import RefusedError
from jaxcnn.descent.certificate import Scalars
from jaxcnn.descent.kernel import angle_of, sin_cos

PlaneKind = Literal["ball", "sphere", "gaussian", "point"]
AngleKind = Literal["sphere", "gaussian", "fixed"]
NEVER = 1e30
"""Stands for an infinite exponent (2/(k−2) at k = 2): V^NEVER is 0."""


class PlaneStart(NamedTuple):
    """Numbers of a plane start law; scalars, one set per cell.

    Attributes:
        scale: R (ball, sphere) or σ (gaussian).
        power: exponent of V for a: 2/k (ball), 2/(k−2) (sphere).
        root_k: √k.
        sum: U = 1ᵀa*.
        side: B = ‖a*⊥‖.
        x: mean of x; the start itself for `point`.
        y: mean of y.
        angle_power: exponent of V for cos φ₀: 2/(p−2).
        p: patch size, for ‖v₀‖² ~ χ²_p.
        angle: φ₀ if fixed.
        norm2: ‖v₀‖² unless gaussian.
    """

    scale: float
    power: float
    root_k: float
    sum: float
    side: float
    x: float
    y: float
    angle_power: float
    p: float
    angle: float
    norm2: float


class PlanePoint(NamedTuple):
    """A start in the plane of 1 and a*: x, y, φ₀ and ‖v₀‖²."""

    x: jax.Array
    y: jax.Array
    angle: jax.Array
    norm2: jax.Array


class PlaneLaw(NamedTuple):
    """Which law a and v start from; the numbers are in `PlaneStart`."""

    a: PlaneKind = "ball"
    v: AngleKind = "sphere"

    def draw(self, key: jax.Array, start: PlaneStart) -> Scalars:
        """One start, in the dtype of `start`. Consumes the key."""
        at = self.coordinates(key, start)
        return Scalars(
            angle=at.angle,
            s=at.x * start.sum / start.root_k + at.y * start.side,
            m=start.sum * (start.sum - start.root_k * at.x),
            r2=at.norm2,
        )

    def coordinates(self, key: jax.Array, start: PlaneStart) -> PlanePoint:
        """The same start as `draw`, before it becomes four scalars. Consumes the key."""
        dtype = jnp.asarray(start.scale).dtype
        uniform = _uniforms(key, dtype)
        x, y = _plane(self.a, start, uniform[0], uniform[1])
        angle, norm2 = _angle(self.v, start, uniform[2], uniform[3], key)
        return PlanePoint(x, y, angle, norm2 * jnp.ones_like(angle))


def _uniforms(key: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Four uniform numbers in (0, 1], from 32 bits each; 32 more refine them in float64.

    A split is two random words of one threefry block; `bits` takes a block for every word. The
    first words of a longer draw are those of a shorter one (partitionable threefry), so the
    start in float64 is the start in float32 to 2⁻³².
    """
    words = jax.random.key_data(jax.random.split(key, 2 if dtype == jnp.float32 else 4))
    bits = words.reshape(-1).astype(dtype)
    if dtype == jnp.float32:
        return (bits + 0.5) * 2.0**-32
    return (bits[:4] + (bits[4:] + 0.5) * 2.0**-32) * 2.0**-32


def _squared_radius(kind: str, power: float | jax.Array, uniform: jax.Array) -> jax.Array:
    """1 − V^power, or −2 log V, without cancellation."""
    log = jnp.log(uniform)
    return -2 * log if kind == "gaussian" else -jnp.expm1(power * log)


def _direction(w: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine of 2πw, by polynomials that vectorise (descent/kernel.py)."""
    half = 2 * math.pi * jnp.abs(w - 0.5)
    sin, cos = sin_cos(half)
    return -cos, jnp.where(w > 0.5, -sin, sin)


def _plane(kind: str, start: PlaneStart, v: jax.Array, w: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, y = jnp.asarray(start.x), jnp.asarray(start.y)
    if kind == "point":
        return x, y
    radius = start.scale * jnp.sqrt(_squared_radius(kind, start.power, v))
    cos, sin = _direction(w)
    return x + radius * cos, y + radius * sin


def _angle(
    kind: str, start: PlaneStart, v: jax.Array, w: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    if kind == "fixed":
        return jnp.asarray(start.angle), jnp.asarray(start.norm2)
    log = jnp.log(v)
    cos, sin = _direction(w)
    inside = jnp.exp(start.angle_power * log)
    along = jnp.sqrt(-jnp.expm1(start.angle_power * log)) * cos
    # sin² φ = 1 − (1 − V^q) cos² = sin² + V^q cos², which keeps its digits near 0 and π.
    angle = angle_of(jnp.sqrt(sin * sin + inside * cos * cos), along).angle
    if kind == "gaussian":
        half = 0.5 * jnp.asarray(start.p)
        return angle, 2 * jax.random.gamma(jax.random.fold_in(key, 1), half, dtype=half.dtype)
    return angle, jnp.asarray(start.norm2)


def sphere_power(dimension: int) -> float:
    """2/(n−2): exponent of V for two coordinates of a uniform point on the sphere in R^n."""
    return NEVER if dimension == 2 else 2 / (dimension - 2)


def plane_power(kind: PlaneKind, k: int) -> float:
    """Exponent of V for the law of a.

    Raises:
        RefusedError: the sphere in one dimension is two points, not a plane law.
    """
    if kind == "sphere":
        if k == 1:
            raise RefusedError("init", "sphere", "has no plane law at k = 1; use engine='full'")
        return sphere_power(k)
    return 2 / k
