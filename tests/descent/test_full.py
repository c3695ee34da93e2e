"""The full state: it is gradient descent on the population loss, and it sees b > 2."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.outcome import Outcome
from jaxcnn.descent.full import scalars
from jaxcnn.descent.kernel import angle_of
from jaxcnn.model.activation import relu
from jaxcnn.model.population import Student, gradient
from jaxcnn.study.build import build
from jaxcnn.study.estimate import estimate


def test_a_step_is_minus_the_gradient():
    cell = Cell(k=5, p=4, ratio=2.0, teacher_norm=1.3, step_size=0.3)
    built = build(cell, engine="full", dtype="float64")
    params = jax.tree.map(jnp.asarray, built.params)
    dynamics = built.family(params)
    for seed in range(5):
        state = dynamics.start(jax.random.key(seed))
        at = Student(state.v, state.a)
        slope, new = gradient(at, params.target, relu()), dynamics.step(state)
        np.testing.assert_allclose(new.v, at.v - 0.3 * slope.v, rtol=0, atol=1e-14)
        np.testing.assert_allclose(new.a, at.a - 0.3 * slope.a, rtol=0, atol=1e-14)


def test_scalars_are_what_they_say():
    built = build(Cell(k=5, p=4, ratio=2.0), engine="full", dtype="float64")
    params = jax.tree.map(jnp.asarray, built.params)
    w, a_star = np.asarray(params.target.w_star), np.asarray(params.target.a_star)
    z = np.random.default_rng(0).normal(size=9)
    v, a = z[:4], z[4:]
    at = scalars(Student(jnp.asarray(v), jnp.asarray(a)), params.target)
    total = a_star.sum()
    assert float(at.angle) == pytest.approx(math.acos(v @ w / np.linalg.norm(v)), abs=1e-12)
    assert float(at.s) == pytest.approx(a @ a_star, abs=1e-13)
    assert float(at.m) == pytest.approx(total * (total - a.sum()), abs=1e-13)
    assert float(at.r2) == pytest.approx(v @ v, rel=1e-13)


def test_float32_angle_is_within_two_units_in_the_last_place():
    turn = np.linspace(0, np.pi, 2001)
    sin, cos = np.sin(turn).astype(np.float32), np.cos(turn).astype(np.float32)
    found = angle_of(jnp.asarray(sin), jnp.asarray(cos))
    assert found.angle.dtype == np.float32
    np.testing.assert_allclose(found.angle, np.arctan2(sin, cos.astype(float)), rtol=0, atol=3.6e-7)
    # The supplement keeps its digits where the angle comes near π.
    np.testing.assert_allclose(
        found.supplement, np.arctan2(sin, -cos.astype(float)), rtol=2.4e-7, atol=1e-12
    )


@partial(jax.jit, static_argnums=0)
def followed(family, params, states, count):
    """The states after four strides of `count` steps, taken as strides and step by step.

    `count` is data, as in the engine, so that a family is compiled once for all of them.
    """
    dynamics = family(params)

    def both(state):
        strides = jax.lax.fori_loop(0, 4, lambda _, s: dynamics.stride(s, count), state)
        return strides, jax.lax.fori_loop(0, 4 * count, lambda _, s: dynamics.step(s), state)

    return jax.vmap(both)(states)


@pytest.mark.parametrize(
    ("words", "activation"),
    [
        ({"step_size": 0.05}, "relu"),
        ({"step_size": 1.6}, "relu"),  # b = 1.3, and the filter steps over the teacher's
        ({"step_size": 0.9, "filter_step_size": 40.0}, "relu"),
        ({"step_size": 0.3, "teacher_norm": 4.0}, "leaky_relu"),
        ({"step_size": 0.3}, "gelu"),
        ({"step_size": 0.3}, "erf"),
    ],
)
def test_a_stride_is_as_many_steps(words, activation):
    """In double precision, also where φ passes through 0 or π and where the sum alternates."""
    cell = Cell(k=5, p=4, ratio=2.0, activation=activation, **words)
    built = build(cell, engine="full", dtype="float64")
    params = jax.tree.map(jnp.asarray, built.params)
    start = jax.vmap(built.family(params).start)(jax.random.split(jax.random.key(2), 16))
    for count in (1, 2, 64):
        one, other = followed(built.family, params, start, count)
        for x, y in zip(one, other, strict=True):
            np.testing.assert_allclose(x, y, rtol=0, atol=2e-11)


def test_a_stride_of_no_steps_and_one_on_the_axis_leave_the_filter_where_it_is():
    built = build(Cell(k=5, p=4, ratio=2.0, step_size=0.3), engine="full", dtype="float64")
    params = jax.tree.map(jnp.asarray, built.params)
    dynamics = built.family(params)
    state = dynamics.start(jax.random.key(3))
    for x, y in zip(state, dynamics.stride(state, 0), strict=True):
        np.testing.assert_array_equal(x, y)
    axis = jnp.eye(4)[0]  # nothing of it is left across itself, to the last bit
    dynamics = built.family(params._replace(target=params.target._replace(w_star=axis)))
    for sign in (1.0, -1.0):
        on_axis = Student(2.0 * sign * axis, state.a)
        moved = dynamics.stride(on_axis, 50)
        np.testing.assert_array_equal(moved.v, on_axis.v)
        assert float(jnp.max(jnp.abs(moved.a - state.a))) > 1e-3


def test_lanes_in_the_last_axis_mean_the_same_as_one_lane():
    cell = Cell(k=5, p=4, ratio=2.0, teacher_norm=1.3, step_size=0.3)
    built = build(cell, engine="full", dtype="float64")
    dynamics = built.family(jax.tree.map(jnp.asarray, built.params))
    one = jax.vmap(dynamics.start)(jax.random.split(jax.random.key(1), 6))
    many = jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), one)

    @jax.jit
    def moved(one, many):
        for _ in range(2):
            one, many = jax.vmap(dynamics.step)(one), dynamics.step(many)
        return jax.vmap(lambda s: dynamics.stride(s, 7))(one), dynamics.stride(many, 7)

    for _ in range(6):
        one, many = moved(one, many)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(jnp.moveaxis(x, 0, -1), y, rtol=0, atol=1e-13)
    codes = jax.jit(lambda x, y: (jax.vmap(dynamics.verdict)(x), dynamics.verdict(y)))(one, many)
    np.testing.assert_array_equal(*codes)


def test_beyond_b_2_the_full_state_diverges():
    """Also at ratio 0, where the four scalars do not see the sum that explodes."""
    for ratio in (0.0, 4.0):
        cell = Cell(
            k=6, p=3, ratio=ratio, step_size=2 * math.pi * 2.3 / (5 + math.pi), max_steps=5000
        )
        found = estimate(cell, restarts=100, seed=0)
        assert found.problem["engine"] == "full"
        assert (found.outcomes == Outcome.DIVERGED).all()


def test_at_b_2_nothing_is_proved():
    step_size = 2 * math.pi * 2.0 / (5 + math.pi)
    cell = Cell(k=6, p=3, ratio=4.0, step_size=step_size, max_steps=200)
    found = estimate(cell, engine="full", restarts=20, seed=0)
    assert (found.outcomes == Outcome.UNDECIDED).all()
