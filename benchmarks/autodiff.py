"""What a user would otherwise write: `jit(vmap(...))` of autodiff descent on the full state.

Two forms: 10 000 steps for every lane, the form most people write; and one that stops when
the angles of all lanes have settled, its best.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp

from jaxcnn import Teacher


def population_loss(v, a, w_star, a_star):
    """Theorem 3.1, with the clipped arccos most people reach for."""
    cos = jnp.clip(v @ w_star / jnp.linalg.norm(v), -1 + 1e-7, 1 - 1e-7)
    angle = jnp.arccos(cos)
    g = (math.pi - angle) * cos + jnp.sin(angle)
    gap = jnp.sum(a) - jnp.sum(a_star)
    square = (math.pi - 1) * (a @ a + a_star @ a_star) - 2 * (g - 1) * (a @ a_star) + gap**2
    return square / (4 * math.pi)


def one_step(v, a, w_star, a_star, step_size):
    """One simultaneous step of plain gradient descent."""
    dv, da = jax.grad(population_loss, argnums=(0, 1))(v, a, w_star, a_star)
    return v - step_size * dv, a - step_size * da


def starts(key, restarts, teacher: Teacher):
    """V uniform on the sphere, a uniform in the ball of radius |U|/√k."""
    keys = jax.random.split(key, 3)
    v = jax.random.normal(keys[0], (restarts, teacher.p))
    a = jax.random.normal(keys[1], (restarts, teacher.k))
    size = jax.random.uniform(keys[2], (restarts, 1)) ** (1 / teacher.k)
    radius = abs(float(teacher.a_star.sum())) / math.sqrt(teacher.k)
    unit = partial(jnp.linalg.norm, axis=1, keepdims=True)
    return v / unit(v), radius * size * a / unit(a)


@partial(jax.jit, static_argnames="steps")
def fixed_steps(v, a, w_star, a_star, step_size, steps=10_000):
    """Every lane takes every step."""

    def body(state, _):
        return jax.vmap(one_step, (0, 0, None, None, None))(*state, w_star, a_star, step_size), None

    (v, a), _ = jax.lax.scan(body, (v, a), None, length=steps)
    return angles(v, w_star), jnp.int32(steps)


@jax.jit
def until_settled(v, a, w_star, a_star, step_size):
    """Stop when every lane is within 0.1 of 0 or of π, looking every 64 steps."""

    def unsettled(state):
        v, _, steps = state
        angle = angles(v, w_star)
        return jnp.any((angle > 0.1) & (angle < math.pi - 0.1)) & (steps < 1_000_000)

    def body(state):
        v, a, steps = state
        many = jax.vmap(one_step, (0, 0, None, None, None))
        v, a = jax.lax.fori_loop(0, 64, lambda _, s: many(*s, w_star, a_star, step_size), (v, a))
        return v, a, steps + 64

    v, a, steps = jax.lax.while_loop(unsettled, body, (v, a, jnp.int32(0)))
    return angles(v, w_star), steps


def angles(v, w_star):
    """∠(v, w*) of every lane."""
    return jnp.arccos(jnp.clip(v @ w_star / jnp.linalg.norm(v, axis=1), -1, 1))
