"""Problems the engine has never heard of, with known answers."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.base.outcome import Outcome
from jaxcnn.engine.address import WORD, block_key, restart_key, root_key
from jaxcnn.engine.dynamics import Dynamics


def sides(x, edge):
    """GLOBAL right of `edge`, SPURIOUS left of its negative, DIVERGED where not a number."""
    code = jnp.where(x > edge, Outcome.GLOBAL, jnp.where(x < -edge, Outcome.SPURIOUS, 0))
    return jnp.where(jnp.isfinite(x), code, Outcome.DIVERGED)


class DoubleWell(NamedTuple):
    """x⁺ = x − h (x³ − x) from x uniform on (−1, 2): the sign of the start decides."""

    name: str = "double well"

    def __call__(self, params: Any) -> Dynamics:
        def start(key):
            x = jax.random.uniform(key, (), jnp.float32, -1.0, 2.0)
            return {"x": x, "force": x**3 - x}

        def step(state):
            x = state["x"] - params["h"] * state["force"]
            return {"x": x, "force": x**3 - x}

        return Dynamics(start, step, lambda state: sides(state["x"], 0.9))


class Clock(NamedTuple):
    """Counts its steps and is GLOBAL from step `target` on."""

    name: str = "clock"

    def __call__(self, params: Any) -> Dynamics:
        return Dynamics(
            start=lambda key: jnp.int32(0),
            step=lambda n: n + 1,
            verdict=lambda n: jnp.where(n >= params["target"], Outcome.GLOBAL, 0),
        )


class SlowFailure(NamedTuple):
    """A coin: heads is GLOBAL at step 8, tails SPURIOUS at step 4000."""

    name: str = "slow failure"

    def __call__(self, params: Any) -> Dynamics:
        def verdict(state):
            heads, n = state
            end = jnp.where(heads, Outcome.GLOBAL, Outcome.SPURIOUS)
            return jnp.where(n >= jnp.where(heads, 8, 4000), end, 0)

        return Dynamics(
            start=lambda key: (jax.random.bernoulli(key, params["p"]), jnp.int32(0)),
            step=lambda state: (state[0], state[1] + 1),
            verdict=verdict,
        )


class Walk(NamedTuple):
    """A random walk in the plane that keeps its key in the state; ends at |x₀| > 3."""

    name: str = "walk"

    def __call__(self, params: Any) -> Dynamics:
        def step(state):
            x, key, n = state
            key, now = jax.random.split(key)
            return x + params["size"] * jax.random.normal(now, (2,), x.dtype), key, n + 1

        return Dynamics(
            start=lambda key: (jnp.zeros(2, jnp.float32), key, jnp.int32(0)),
            step=step,
            verdict=lambda state: sides(state[0][0], 3.0),
        )


def keys(seed: int, first: int, count: int):
    """Restart keys, made one by one as engine/address.py says."""
    root = root_key(seed)
    low = np.arange(first, first + count) % WORD
    blocks = {
        high: block_key(root, high * WORD) for high in {first // WORD, (first + count - 1) // WORD}
    }
    parts = [
        jax.vmap(restart_key, (None, 0))(
            block, np.uint32(low[np.arange(first, first + count) // WORD == high])
        )
        for high, block in sorted(blocks.items())
    ]
    return jnp.concatenate(parts)
