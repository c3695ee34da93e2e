"""Start laws of the full state: v₀ in R^p and a₀ in R^k.

Each law draws from keys of its own, coordinate by coordinate, so the first k coordinates of
a start padded to more patches are those of the start itself (partitionable threefry).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.model.population import Student, Target

OutputKind = Literal["ball", "sphere", "gaussian", "box", "zero"]
FilterKind = Literal["sphere", "gaussian", "angle", "zero"]
Draw = Callable[[jax.Array], jax.Array]


class FullStart(NamedTuple):
    """Numbers of a full start law, one set per cell.

    Attributes:
        scale: radius (ball, sphere), deviation (gaussian), half-width (box) of a.
        patches: k, without padding.
        output_mean: (k,), added to a; the start itself for `zero`.
        filter_mean: (p,), added to v; the start itself for `zero`.
        angle: φ₀ for `angle`.
    """

    scale: jax.Array
    patches: jax.Array
    output_mean: jax.Array
    filter_mean: jax.Array
    angle: jax.Array


class FullLaw(NamedTuple):
    """Which laws v and a start from.

    Attributes:
        a: law of a.
        v: law of v; `angle` is a uniform direction at a fixed angle to w*.
        custom_a: key → a₀ of shape (k,), instead of `a`.
        custom_v: key → v₀ of shape (p,), instead of `v`.
    """

    a: OutputKind = "ball"
    v: FilterKind = "sphere"
    custom_a: Draw | None = None
    custom_v: Draw | None = None

    def draw(self, key: jax.Array, start: FullStart, target: Target) -> Student:
        """One start, in the dtype of the target. Consumes the key."""
        filter_key, output_key = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
        if self.custom_v is not None:
            v = self.custom_v(filter_key).astype(target.w_star.dtype)
        else:
            v = _filter(self.v, filter_key, start, target)
        if self.custom_a is not None:
            a = self.custom_a(output_key).astype(target.a_star.dtype)
        else:
            a = _output(self.a, output_key, start, target)
        return Student(v + start.filter_mean, (a + start.output_mean) * target.ones)


def _filter(kind: str, key: jax.Array, start: FullStart, target: Target) -> jax.Array:
    w = target.w_star
    if kind == "zero":
        return jnp.zeros_like(w)
    normal = jax.random.normal(key, w.shape, w.dtype)
    if kind == "gaussian":
        return normal
    if kind == "angle":
        across = normal - jnp.vdot(normal, w) * w
        return jnp.cos(start.angle) * w + jnp.sin(start.angle) * _unit(across)
    if kind == "sphere":
        return _unit(normal)
    raise ValueError(f"filter law {kind!r}: cannot be drawn")


def _output(kind: str, key: jax.Array, start: FullStart, target: Target) -> jax.Array:
    a = target.a_star
    if kind == "zero":
        return jnp.zeros_like(a)
    if kind == "box":
        boxed: jax.Array = start.scale * jax.random.uniform(key, a.shape, a.dtype, -1.0, 1.0)
        return boxed
    normal = jax.random.normal(key, a.shape, a.dtype) * target.ones
    if kind == "gaussian":
        return start.scale * normal
    direction = _unit(normal)
    if kind == "sphere":
        on_sphere: jax.Array = start.scale * direction
        return on_sphere
    if kind == "ball":
        uniform = jax.random.uniform(jax.random.fold_in(key, 2), (), a.dtype)
        length: jax.Array = start.scale * uniform ** (1 / start.patches)
        return length * direction
    raise ValueError(f"output law {kind!r}: cannot be drawn")


def _unit(x: jax.Array) -> jax.Array:
    size: jax.Array = jnp.linalg.norm(x)
    return x / size


def radius(kind: str, init_scale: Any, total: Any, patches: Any) -> Any:
    """`FullStart.scale`: times |U|/√k for ball and sphere, as given for the others.

    Of numbers, or of arrays of them.
    """
    return init_scale * abs(total) / np.sqrt(patches) if kind in ("ball", "sphere") else init_scale
