"""Lanes that are found and moved: one after the other on a CPU, all at once elsewhere.

On a CPU a loop over the lanes that do move costs a fifth of scatters and running sums over all
of them. On an accelerator it would be one thread's work.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.engine.compiling import has_one_kernel, one_kernel

FEW = 32
"""Fewer lanes are no work for a loop: XLA would know which is meant, and read no index."""


def in_turn(lanes: int) -> bool:
    """Whether so many lanes are handled one after the other."""
    return has_one_kernel() and lanes >= FEW


def places(mask: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Where a mask is true, in order: the first `size` places (whatever beyond), and how many."""
    found = _counted(mask, size) if in_turn(mask.shape[0]) else _ranked(mask, size)
    return found, jnp.minimum(jnp.sum(mask, dtype=jnp.int32), size)


def move(source: Any, places: jax.Array, target: Any, slots: jax.Array, count: jax.Array) -> Any:
    """`target` with the first `count` of the lanes `places` of `source` in its lanes `slots`.

    Trees of arrays, lanes in the last axis. Slots may repeat; the last one counts on a CPU.
    """
    if in_turn(jax.tree.leaves(source)[0].shape[-1]):
        return one_kernel(_one_by_one)(source, places, target, slots, count)
    return _at_once(source, places, target, slots, count)


def _counted(mask: jax.Array, size: int) -> jax.Array:
    lanes = mask.shape[0]

    def found_in(mask: jax.Array) -> jax.Array:
        def note(lane: jax.Array, carry: tuple[jax.Array, jax.Array]) -> Any:
            found, count = carry
            # A lane that is not meant is written over by the next one.
            found = lax.dynamic_update_index_in_dim(found, lane.astype(jnp.int32), count, 0)
            return found, count + mask[lane]

        start = (jnp.zeros(lanes + 1, jnp.int32), jnp.int32(0))
        found: jax.Array = lax.fori_loop(0, lanes, note, start)[0]
        return found

    return one_kernel(found_in)(mask.astype(jnp.int32))[:size]


def _ranked(mask: jax.Array, size: int) -> jax.Array:
    lanes = mask.shape[0]
    order = jnp.where(mask, jnp.cumsum(mask, dtype=jnp.int32) - 1, size)
    found = jnp.zeros(size, jnp.int32)
    return found.at[order].set(jnp.arange(lanes, dtype=jnp.int32), mode="drop")


def _one_by_one(
    source: Any, places: jax.Array, target: Any, slots: jax.Array, count: jax.Array
) -> Any:
    def one(i: jax.Array, target: Any) -> Any:
        def put(x: jax.Array, y: jax.Array) -> jax.Array:
            lane = lax.dynamic_slice_in_dim(y, places[i], 1, axis=-1)
            return lax.dynamic_update_slice_in_dim(x, lane, slots[i], axis=-1)

        return jax.tree.map(put, target, source)

    return lax.fori_loop(0, count, one, target)


def _at_once(
    source: Any, places: jax.Array, target: Any, slots: jax.Array, count: jax.Array
) -> Any:
    wanted = jnp.arange(places.shape[0]) < count

    def put(x: jax.Array, y: jax.Array) -> jax.Array:
        at = jnp.where(wanted, slots, x.shape[-1])
        return x.at[..., at].set(jnp.take(y, places, axis=-1, mode="clip"), mode="drop")

    return jax.tree.map(put, target, source)
