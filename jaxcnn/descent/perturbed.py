"""Perturbed descent with noise annealing (Zhou et al., ICML 2019).

    (w, a)⁺ = (unit(w − η_v ∂_v ℓ), a − η ∂_a ℓ),   gradients at (unit(w + ξ), a + ε)

with ξ, ε fresh and uniform on the balls of radius ρ_w in R^p and ρ_a in R^k. Both radii are
multiplied by `factor` after each epoch of `epoch` steps, and are zero after `epochs` epochs;
from then on this is plain descent (v no longer projected), which certificates decide. The
perturbed filter is normalised, as the network normalises its filter.

Why it works: at large ρ_w the perturbed filter has almost any angle, so that a is drawn to the
minimiser of the loss averaged over angles, where s > 0, for every start; then w drifts to w*.

The paper does not print its schedule. The cell's defaults (ρ_w = 80, ρ_a = 1, halved after each
of 6 epochs of 2000 steps, η_v = 0.2) are one schedule for its whole grid
(studies/perturbed_grid.toml). On four scalars the same law is in reduced_perturbed.py; here any
source of gradients can be perturbed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn.descent.optimizer import RuleParams, Source
from jaxcnn.model.population import Student


class Noise(NamedTuple):
    """Numbers of the noise; `inner` are those of the gradient's own source.

    Attributes:
        filter: ρ_w of the first epoch.
        output: ρ_a of the first epoch.
        factor: on both radii after each epoch.
        epoch: steps in an epoch.
        epochs: noisy epochs.
        inner: numbers of the source that is perturbed.
    """

    filter: jax.Array
    output: jax.Array
    factor: jax.Array
    epoch: jax.Array
    epochs: jax.Array
    inner: Any


class PerturbedCarried(NamedTuple):
    """The key of a run's noise, and what the perturbed source carries."""

    key: jax.Array
    inner: Any


def in_ball(key: jax.Array, shape: jax.Array, size: jax.Array) -> jax.Array:
    """A uniform point in the unit ball of the coordinates where `shape` is 1. Consumes the key.

    Args:
        key: for the direction; a key folded from it for the radius.
        shape: (n,), 1 at real coordinates and 0 at padding.
        size: number of real coordinates.
    """
    normal = shape * jax.random.normal(key, shape.shape, shape.dtype)
    uniform = jax.random.uniform(jax.random.fold_in(key, 1), (), shape.dtype)
    point: jax.Array = uniform ** (1 / size) * normal / jnp.linalg.norm(normal)
    return point


def strength(noise: Noise, count: jax.Array) -> jax.Array:
    """The factor on both radii at step `count`: factor^(epoch number), 0 after the last."""
    number = jnp.floor(count.astype(noise.epoch.dtype) / noise.epoch)
    return jnp.where(number < noise.epochs, noise.factor**number, 0)


class Perturbed(NamedTuple):
    """Gradients of another source at a perturbed point."""

    inner: Source

    def prepare(self, key: jax.Array, params: RuleParams) -> PerturbedCarried:
        """The key of the noise. Consumes the key."""
        inside = params._replace(source=params.source.inner)
        return PerturbedCarried(
            jax.random.fold_in(key, 1), self.inner.prepare(jax.random.fold_in(key, 0), inside)
        )

    def gradient(
        self, params: RuleParams, carried: PerturbedCarried, student: Student, count: jax.Array
    ) -> Student:
        """The inner gradient at (unit(w + ξ), a + ε); at (v, a) itself once the noise is off."""
        noise: Noise = params.source
        size = strength(noise, count)
        now = jax.random.fold_in(carried.key, count)
        ones = jnp.ones_like(student.v)
        dimension = jnp.asarray(student.v.shape[0], student.v.dtype)
        xi = in_ball(jax.random.fold_in(now, 0), ones, dimension)
        epsilon = in_ball(jax.random.fold_in(now, 1), params.target.ones, params.start.patches)
        w = student.v / jnp.linalg.norm(student.v) + size * noise.filter * xi
        moved = Student(
            v=jnp.where(size > 0, w / jnp.linalg.norm(w), student.v),
            a=student.a + size * noise.output * epsilon,
        )
        inside = params._replace(source=noise.inner)
        return self.inner.gradient(inside, carried.inner, moved, count)
