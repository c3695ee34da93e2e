"""Helpers of the tests here: one run of a built cell, stepped without the engine's lanes."""

from functools import partial

import jax
import numpy as np

from jaxcnn.study.build import build


@partial(jax.jit, static_argnums=0)
def _many(family, params, state, steps):
    """`steps` is data, so that a family is compiled once for all numbers of steps."""
    return jax.lax.fori_loop(0, steps, lambda _, s: family(params).step(s), state)


def built64(cell, **options):
    """The cell on an engine in float64."""
    return build(cell, dtype="float64", **options)


def walk(built, steps, key=0, state=None):
    """The state after this many steps from restart key `key`, or from `state`."""
    if state is None:
        state = built.family(built.params).start(jax.random.key(key))
    return _many(built.family, built.params, state, steps)


def close(actual, expected, tolerance=1e-12):
    """Whether two numbers agree, relative to 1."""
    np.testing.assert_allclose(
        np.asarray(actual), np.asarray(expected), atol=tolerance, rtol=tolerance
    )
