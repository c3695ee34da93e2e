"""Trees of lane values as matrices, and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.engine.packing import Table, packing_of


def test_a_mixed_tree_survives_the_round_trip():
    lanes = 5
    keys = jax.random.split(jax.random.key(0, impl="threefry2x32"), (2, lanes))
    tree = {
        "key": keys[0],
        "pair": keys,
        "matrix": jnp.arange(6.0 * lanes).reshape(2, 3, lanes),
        "single": jnp.arange(lanes, dtype=jnp.float32),
        "flag": jnp.arange(lanes) > 2,
        "count": (jnp.arange(lanes, dtype=jnp.int32), jnp.arange(2.0 * lanes).reshape(2, lanes)),
    }
    one = jax.eval_shape(lambda t: jax.tree.map(lambda x: x[..., 0], t), tree)
    packing = packing_of(one)
    packed = packing.pack(tree)
    assert all(m.ndim == 2 and m.shape[1] == lanes for m in packed)
    # Scalars share a matrix by dtype (two keys and a flag among them); arrays stand alone.
    assert sorted((str(m.dtype), len(m)) for m in packed) == [
        ("bool", 1), ("float32", 1), ("float64", 2), ("float64", 6), ("int32", 1),
        ("uint32", 2), ("uint32", 4),
    ]  # fmt: skip
    back = packing.unpack(packed)
    for got, put in zip(jax.tree.leaves(back), jax.tree.leaves(tree), strict=True):
        assert got.dtype == put.dtype
        raw = [
            jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
            for x in (got, put)
        ]
        assert np.array_equal(*raw)


def test_an_empty_tree_packs_to_nothing():
    packing = packing_of(())
    assert packing.pack(()) == ()
    assert packing.unpack(()) == ()


def test_a_table_holds_the_parameters_of_many_tasks():
    """Numbers of a dtype share a matrix; what comes out is what went in, task by task."""
    trees = [
        {
            "a": np.float32(i),
            "b": 2.0 * i,
            "e": np.float32(-i),
            "c": np.arange(6.0).reshape(2, 3) + i,
            "d": (np.int32(i),),
        }
        for i in range(5)
    ]
    table = Table.of(trees).take(np.array([3, 1, 1]))
    assert sorted(m.shape for m in table.matrices) == [(1, 3), (1, 3), (2, 3), (6, 3)]
    jax.tree.map(np.testing.assert_array_equal, table.one(), trees[3])
    every = jax.jit(lambda t: t.packing.unpack(t.matrices))(table)
    for lane, tree in enumerate((trees[3], trees[1], trees[1])):
        jax.tree.map(
            lambda x, y, lane=lane: np.testing.assert_allclose(x[..., lane], y), every, tree
        )


@pytest.mark.parametrize(
    "other", [{"b": np.int32(1)}, {"a": 1.0, "b": 1.0}, {"a": 1.5}, {"a": np.ones(2)}]
)
def test_a_table_refuses_parameters_that_differ_in_kind(other):
    with pytest.raises(ValueError, match=r"like the first|inhomogeneous"):
        Table.of([{"a": np.int32(1)}, other])
