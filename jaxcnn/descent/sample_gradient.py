r"""The gradient of a sample's loss at one student, and at many students of one sample at once.

With x_ij = wᵀZ_ij, e_i = weight_i (Σ_j a_j σ(x_ij) − y_i):

    ∂/∂w = Σ_ij e_i a_j σ′(x_ij) Z_ij,     ∂/∂a_j = Σ_i e_i σ(x_ij)

For L students (lanes) of one shared sample both sums over Z are matrix products, (n k, p) × (p, L)
and its transpose with (n k, L). What is left is elementwise in (k, n, L) with two sums, over
patches and over inputs. Those are written as loops of (n, L) and (k, L) additions: the CPU
compiler's own sum over a leading axis does one element at a time, and costs twice the products.

Where σ(x) = x σ′(x) (ReLU, leaky ReLU) both sums follow from one product a patch, and the pass
for the sum over inputs is saved: with G_j = Σ_i e_i σ′(x_ij) Z_ij,

    ∂/∂w = Σ_j a_j G_j,     ∂/∂a_j = wᵀG_j
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from jaxcnn.model.dual import Activation
from jaxcnn.model.population import Student

PRECISE = lax.Precision.HIGHEST
"""Accelerators would otherwise round the factors of a product to fewer digits."""

UNROLL = 6
"""Additions in one pass of a loop over the entries or patches of one input."""


class Data(NamedTuple):
    """Inputs (n, k, p) and labels (n,)."""

    inputs: jax.Array
    answers: jax.Array


def backward(activation: Activation, estimator: str | None, x: jax.Array) -> jax.Array:
    """σ′(x), or what stands for it: 1 (identity) or 1{x > 0} (relu)."""
    if estimator == "identity":
        return jnp.ones_like(x)
    if estimator == "relu":
        return (x > 0).astype(x.dtype)
    slope: jax.Array = jax.jvp(activation.apply, (x,), (jnp.ones_like(x),))[1]
    return slope


def summed_gradient(
    student: Student,
    data: Data,
    weight: jax.Array,
    activation: Activation,
    estimator: str | None = None,
) -> Student:
    """Σ_i weight_i ∂(½ e_i²) with respect to the *unit* filter w and a.

    Args:
        student: (v, a).
        data: m inputs.
        weight: (m,).
        activation: σ.
        estimator: straight-through estimator instead of σ′.
    """
    unit = student.v / jnp.linalg.norm(student.v)
    return Student(*_at_one(activation, estimator, unit, student.a, *data, weight))


def shared_gradient(
    student: Student,
    data: Data,
    weight: jax.Array,
    activation: Activation,
    estimator: str | None = None,
) -> Student:
    """`summed_gradient` as matrix products: students in the last axis, or under `vmap`.

    `vmap` puts lanes first, from where the compiler makes products half as fast.
    """
    unit = student.v / jnp.linalg.norm(student.v, axis=0, keepdims=True)
    if unit.ndim > 1:
        return Student(*_at_many(activation, estimator, unit, student.a, *data, weight))
    return Student(*_products(activation, estimator)(unit, student.a, *data, weight))


def own_gradient(
    student: Student, bits: jax.Array, activation: Activation, estimator: str | None = None
) -> Student:
    """The sum over all inputs for students in the last axis, each on a data set of its own.

    One input of all lanes at a time, read once: it and what is made of it fit the cache. Under
    `vmap` the products would put lanes first, and the whole data were transposed at each step.

    Args:
        student: v (p, L) and a (k, L).
        bits: inputs and label in a row, as unsigned integers, (n, k p + 1, L).
        activation: σ.
        estimator: straight-through estimator instead of σ′.
    """
    unit = student.v / jnp.linalg.norm(student.v, axis=0, keepdims=True)
    a = student.a
    (p, lanes), k = unit.shape, a.shape[0]

    def over_inputs(i: jax.Array, sums: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        back, slope = sums
        row = lax.bitcast_convert_type(_item(bits, i), a.dtype)
        inputs = row[:-1].reshape(k, p, lanes)

        def add_entry(q: jax.Array, x: jax.Array) -> jax.Array:
            return x + _item(inputs, q, axis=1) * _item(unit, q)[None]

        def add_patch(j: jax.Array, said: jax.Array) -> jax.Array:
            return said + activation.apply(_item(x, j)) * _item(a, j)

        def add_back(j: jax.Array, back: jax.Array) -> jax.Array:
            return back + _item(inputs, j) * _item(through, j)[None]

        x = lax.fori_loop(0, p, add_entry, jnp.zeros_like(a), unroll=UNROLL)
        error = lax.fori_loop(0, k, add_patch, -row[-1], unroll=UNROLL)
        through = error[None] * a * backward(activation, estimator, x)
        back = lax.fori_loop(0, k, add_back, back, unroll=UNROLL)
        return back, slope + error[None] * activation.apply(x)

    zero = jnp.zeros_like(unit), jnp.zeros_like(a)
    return Student(*lax.fori_loop(0, bits.shape[0], over_inputs, zero))


def _item(array: jax.Array, i: jax.Array, axis: int = 0) -> jax.Array:
    item: jax.Array = lax.dynamic_index_in_dim(array, i, axis=axis, keepdims=False)
    return item


def through_norm(student: Student, slope: Student) -> Student:
    """From the gradient in w = v/‖v‖ to that in v; for many students in the last axis too."""
    norm = jnp.linalg.norm(student.v, axis=0, keepdims=True)
    unit = student.v / norm
    along = jnp.sum(unit * slope.v, axis=0, keepdims=True)
    return Student((slope.v - along * unit) / norm, slope.a)


def _at_one(
    activation: Activation,
    estimator: str | None,
    unit: jax.Array,
    a: jax.Array,
    inputs: jax.Array,
    answers: jax.Array,
    weight: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    m, k, p = inputs.shape
    flat = inputs.reshape(m * k, p)
    before = jnp.matmul(flat, unit, precision=PRECISE).reshape(m, k)
    after = activation.apply(before)
    error = weight * (after @ a - answers)
    through = error[:, None] * a[None, :] * backward(activation, estimator, before)
    return jnp.matmul(through.reshape(m * k), flat, precision=PRECISE), error @ after


def _at_many(
    activation: Activation,
    estimator: str | None,
    unit: jax.Array,
    a: jax.Array,
    inputs: jax.Array,
    answers: jax.Array,
    weight: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The same for students in the last axis: `unit` (p, L) and `a` (k, L)."""
    m, k, p = inputs.shape
    rows = jnp.swapaxes(inputs, 0, 1).reshape(k * m, p)
    before = jnp.matmul(rows, unit, precision=PRECISE).reshape(k, m, -1)

    def over_patches(j: jax.Array, said: jax.Array) -> jax.Array:
        x: jax.Array = lax.dynamic_index_in_dim(before, j, axis=0, keepdims=False)
        output: jax.Array = lax.dynamic_index_in_dim(a, j, axis=0, keepdims=True)
        return said + activation.apply(x) * output

    said = lax.fori_loop(0, k, over_patches, jnp.zeros_like(before[0]))
    error = weight[:, None] * (said - answers[:, None])
    if activation.degree == 1 and estimator is None:
        return _by_patch(activation, unit, a, rows.reshape(k, m, p), before, error)
    through = error[None] * a[:, None, :] * backward(activation, estimator, before)

    def over_inputs(i: jax.Array, slope: jax.Array) -> jax.Array:
        x: jax.Array = lax.dynamic_index_in_dim(before, i, axis=1, keepdims=False)
        off: jax.Array = lax.dynamic_index_in_dim(error, i, axis=0, keepdims=True)
        return slope + off * activation.apply(x)

    slope = lax.fori_loop(0, m, over_inputs, jnp.zeros_like(a))
    back = jnp.matmul(rows.T, through.reshape(k * m, -1), precision=PRECISE)
    return back, slope


def _by_patch(
    activation: Activation,
    unit: jax.Array,
    a: jax.Array,
    patches: jax.Array,
    before: jax.Array,
    error: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Both sums from G_j, for σ(x) = x σ′(x): `patches` (k, m, p), `before` (k, m, L)."""

    def add(j: jax.Array, sums: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        back, slope = sums
        x: jax.Array = lax.dynamic_index_in_dim(before, j, axis=0, keepdims=False)
        inputs: jax.Array = lax.dynamic_index_in_dim(patches, j, axis=0, keepdims=False)
        output: jax.Array = lax.dynamic_index_in_dim(a, j, axis=0, keepdims=True)
        through = error * backward(activation, None, x)
        ours = jnp.matmul(inputs.T, through, precision=PRECISE)
        along = jnp.sum(unit * ours, axis=0)
        return back + output * ours, lax.dynamic_update_index_in_dim(slope, along, j, axis=0)

    zero = jnp.zeros_like(unit), jnp.zeros_like(a)
    both: tuple[jax.Array, jax.Array] = lax.fori_loop(0, a.shape[0], add, zero)
    return both


@cache
def _products(activation: Activation, estimator: str | None) -> Callable[..., Any]:
    """`_at_one` with its rule for many students of one sample."""

    def plain(*arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        return _at_one(activation, estimator, *arrays)

    def rule(size: int, batched: Sequence[bool], *arrays: jax.Array) -> tuple[Any, Any]:
        if tuple(batched) == (True, True, False, False, False):
            unit, a, *sample = arrays
            both = _at_many(activation, estimator, unit.T, a.T, *sample)
            return tuple(x.T for x in both), (True, True)
        axes = tuple(0 if moved else None for moved in batched)
        return jax.vmap(plain, in_axes=axes, axis_size=size)(*arrays), (True, True)

    function: Callable[..., Any] = custom_vmap(plain)
    function.def_vmap(rule)  # type: ignore[attr-defined]
    return function
