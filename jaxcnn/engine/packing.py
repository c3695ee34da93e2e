"""A tree of per-lane values as few matrices `(rows, lanes)`, lanes in the last axis.

All scalars of a dtype share one matrix, which lets the CPU compiler emit one kernel a step
where separate leaves give one kernel each. A leaf that is an array keeps a matrix of its own:
joining it to others would copy it at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp

Packed = tuple[jax.Array, ...]


@dataclass(frozen=True)
class Packing:
    """How one tree is laid out: built from its shapes by `packing_of`."""

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    groups: tuple[tuple[str, tuple[int, ...]], ...]
    keys: tuple[bool, ...]

    def pack(self, tree: Any) -> Packed:
        """Tree of leaves `(*shape, lanes)` → matrices `(rows, lanes)`."""
        leaves = [
            jnp.moveaxis(jax.random.key_data(leaf), -1, -2) if is_key else leaf
            for leaf, is_key in zip(jax.tree.leaves(tree), self.keys, strict=True)
        ]
        rows = []
        for _, members in self.groups:
            parts = [leaves[i].reshape(prod(self.shapes[i]), leaves[i].shape[-1]) for i in members]
            rows.append(parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=0))
        return tuple(rows)

    def unpack(self, packed: Packed) -> Any:
        """The inverse of `pack`."""
        leaves: list[Any] = [None] * len(self.shapes)
        for matrix, (_, members) in zip(packed, self.groups, strict=True):
            at = 0
            for i in members:
                size = prod(self.shapes[i])
                block = matrix[at : at + size].reshape(*self.shapes[i], matrix.shape[-1])
                if self.keys[i]:
                    data = jnp.moveaxis(block, -1, -2)
                    leaves[i] = jax.random.wrap_key_data(data, impl="threefry2x32")
                else:
                    leaves[i] = block
                at += size
        return jax.tree.unflatten(self.treedef, leaves)

    def of_scalars(self, rows: Sequence[Sequence[jax.Array]]) -> Any:
        """The tree of a packing of scalars, from the rows of its matrices."""
        leaves: list[Any] = [None] * len(self.shapes)
        for row, (_, members) in zip(rows, self.groups, strict=True):
            for i, leaf in zip(members, row, strict=True):
                leaves[i] = leaf
        return jax.tree.unflatten(self.treedef, leaves)


def packing_of(example: Any) -> Packing:
    """The packing of a tree of arrays or `jax.ShapeDtypeStruct`s of one lane."""
    leaves, treedef = jax.tree.flatten(example)
    shapes, dtypes, keys = [], [], []
    for leaf in leaves:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        keys.append(is_key)
        shapes.append((*leaf.shape, 2) if is_key else tuple(leaf.shape))
        dtypes.append("uint32" if is_key else str(leaf.dtype))
    alone = [i for i, leaf in enumerate(leaves) if leaf.ndim]
    scalars = [i for i, leaf in enumerate(leaves) if not leaf.ndim]
    shared = [
        (dtype, tuple(i for i in scalars if dtypes[i] == dtype))
        for dtype in sorted({dtypes[i] for i in scalars})
    ]
    groups = (*shared, *((dtypes[i], (i,)) for i in alone))
    return Packing(treedef, tuple(shapes), groups, tuple(keys))
