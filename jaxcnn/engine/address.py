"""Restart indices as random addresses.

Restart i of an experiment with a given seed has the key

    fold_in(fold_in(key(seed), i div 2³²), i mod 2³²)

whatever batch, lane, device or machine computes it. Two folds, because `fold_in` takes 32
bits and silently wraps beyond them. The threefry generator is named explicitly: `rbg` keys
give other numbers under `vmap`. (JAX, "Pseudorandom numbers", key implementations.)
"""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.base.errors import InputError

WORD = 2**32
INDEX_LIMIT = 2**63
SEED_LIMIT = 2**63


def root_key(seed: int) -> jax.Array:
    """The key of an experiment: threefry, from a seed in [0, 2⁶³).

    A seed above 2³² keeps all its bits: `jax.random.key` alone would drop the upper ones
    when 64-bit types are off.
    """
    return as_key(jnp.asarray(_root_words(seed)))


def _root_words(seed: int) -> np.ndarray:
    number = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not number or not 0 <= seed < SEED_LIMIT:
        raise InputError("seed", seed, "must be a whole number from 0 to 2**63 - 1")
    high, low = divmod(int(seed), WORD)
    words = np.array([0, low], np.uint32)
    return _folded(words, high) if high else words


@jax.jit
def _fold(words: jax.Array, number: jax.Array) -> jax.Array:
    return jax.random.key_data(jax.random.fold_in(as_key(words), number))


def _folded(words: np.ndarray, number: int) -> np.ndarray:
    """Words of the key that `fold_in` makes: one program, a tenth of the time of four."""
    return np.asarray(_fold(words, np.uint32(number)))


def block_key(root: jax.Array, first: int) -> jax.Array:
    """The key of the block of 2³² restart indices that holds index `first`."""
    return jax.random.fold_in(root, np.uint32(first // WORD))


def as_key(words: jax.Array) -> jax.Array:
    """Threefry keys from their words, uint32 (…, 2)."""
    keys: jax.Array = jax.random.wrap_key_data(words, impl="threefry2x32")
    return keys


@cache
def block_words(seed: int, block: int) -> np.ndarray:
    """The words of `block_key` for a seed and a block number, uint32 (2,)."""
    return _folded(_root_words(seed), block)


def restart_key(block: jax.Array, low: jax.Array) -> jax.Array:
    """The key of the restart with lower word `low` (uint32) in a block."""
    return jax.random.fold_in(block, low)
