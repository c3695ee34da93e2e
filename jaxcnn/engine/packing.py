"""A tree of per-lane values as few matrices `(rows, lanes)`, lanes in the last axis.

All scalars of a dtype share one matrix, which lets the CPU compiler emit one kernel a step
where separate leaves give one kernel each. A leaf that is an array keeps a matrix of its own:
joining it to others would copy it at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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
    keys = tuple(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves)
    both = list(zip(leaves, keys, strict=True))
    shapes = tuple((*leaf.shape, 2) if is_key else leaf.shape for leaf, is_key in both)
    dtypes = tuple(np.dtype(np.uint32) if is_key else leaf.dtype for leaf, is_key in both)
    return _packing(treedef, shapes, dtypes, keys)


@lru_cache(maxsize=1024)
def _packing(
    treedef: Any,
    shapes: tuple[tuple[int, ...], ...],
    dtypes: tuple[np.dtype, ...],
    keys: tuple[bool, ...],
) -> Packing:
    names = [str(dtype) for dtype in dtypes]
    alone = [i for i, shape in enumerate(shapes) if shape]
    scalars = [i for i, shape in enumerate(shapes) if not shape]
    shared = [
        (name, tuple(i for i in scalars if names[i] == name))
        for name in sorted({names[i] for i in scalars})
    ]
    groups = (*shared, *((names[i], (i,)) for i in alone))
    return Packing(treedef, shapes, groups, keys)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Table:
    """The parameters of many tasks, packed on the host: few arrays are soon handed over.

    Attributes:
        packing: of the parameters of one task.
        matrices: theirs, tasks in the last axis.
    """

    packing: Packing = field(metadata={"static": True})
    matrices: tuple[Any, ...]

    @classmethod
    def of(cls, trees: Sequence[Any]) -> Table:
        """Of trees of numbers and NumPy arrays.

        Raises:
            ValueError: the trees differ in structure, shapes or dtypes.
        """
        flat: list[tuple[list[Any], Any]] = [jax.tree.flatten(tree) for tree in trees]
        first, treedef = flat[0]
        if not all(other == treedef for _, other in flat):
            raise ValueError(f"params: not all are like the first, {treedef}")
        several = [leaves for leaves, _ in flat]
        arrays = [np.asarray(leaf) for leaf in first]
        shapes, dtypes = tuple(x.shape for x in arrays), tuple(x.dtype for x in arrays)
        packing = _packing(treedef, shapes, dtypes, (False,) * len(first))
        matrices = []
        for _, members in packing.groups:
            if packing.shapes[members[0]]:
                stacked = np.array([leaves[members[0]] for leaves in several])
                matrices.append(stacked.reshape(len(several), -1).T)
            else:
                matrices.append(np.array([[leaves[i] for i in members] for leaves in several]).T)
            if matrices[-1].dtype != dtypes[members[0]] or matrices[-1].ndim != 2:
                raise ValueError(f"params: not all are like the first, {trees[0]}")
        return cls(packing, tuple(matrices))

    def take(self, tasks: np.ndarray) -> Table:
        """The table of these tasks."""
        return Table(self.packing, tuple(matrix[:, tasks] for matrix in self.matrices))

    def one(self) -> Any:
        """The parameters of the first task."""
        return jax.tree.map(lambda leaf: leaf[..., 0], self.packing.unpack(self.matrices))
