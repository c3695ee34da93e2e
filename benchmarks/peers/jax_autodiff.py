"""JAX: `jit(vmap(grad))` in a device loop."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.autodiff import angles, one_step
from benchmarks.peers.question import EVERY, LIMIT, NEAR, Fixed

FLOW = False


def _advance(v, a, w_star, a_star, step_size, steps):
    many = jax.vmap(one_step, (0, 0, None, None, None))
    return jax.lax.fori_loop(0, steps, lambda _, s: many(*s, w_star, a_star, step_size), (v, a))


@jax.jit
def _fixed(v, a, w_star, a_star, step_size, steps):
    v, a = _advance(v, a, w_star, a_star, step_size, steps)
    return angles(v, w_star)


@jax.jit
def _settled(v, a, w_star, a_star, step_size):
    def going(state):
        angle = angles(state[0], w_star)
        return jnp.any((angle > NEAR) & (angle < jnp.pi - NEAR)) & (state[2] < LIMIT)

    def body(state):
        v, a = _advance(*state[:2], w_star, a_star, step_size, EVERY)
        return v, a, state[2] + EVERY

    v, a, steps = jax.lax.while_loop(going, body, (v, a, jnp.int32(0)))
    return angles(v, w_star), steps


def fixed_steps(v, a, at: Fixed, steps: int) -> np.ndarray:
    """Angles after a fixed number of steps."""
    return np.asarray(_fixed(v, a, *at, steps))


def until_settled(v, a, at: Fixed) -> tuple[np.ndarray, int]:
    """Angles, and steps taken, when all lanes have settled."""
    angle, steps = _settled(v, a, *at)
    return np.asarray(angle), int(steps)
