"""Loss, gradient and sharpness against sampling, other formulas, and each other."""

import math
from functools import partial

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from jaxcnn.base.errors import InputError
from jaxcnn.model.activation import erf, gelu, leaky_relu, relu, step
from jaxcnn.model.population import Student, Target, gradient, loss, sharpness, target
from jaxcnn.model.teacher import Teacher
from tests.model.known import (
    ALL,
    SMOOTH_GRADIENT,
    TANH,
    everything,
    filter_at,
    identify,
    numpy_sigma,
    problem,
    reference_kernel,
    reference_mean,
)

each = pytest.mark.parametrize("activation", ALL, ids=identify)
smooth = pytest.mark.parametrize("activation", SMOOTH_GRADIENT, ids=identify)


def value(*where):
    return everything(*where)[0]


def automatic(*where):
    return everything(*where)[1]


def closed(*where):
    return everything(*where)[2]


@each
def test_loss_is_the_expected_squared_error(activation):
    """200 000 inputs; |z| < 5, so a false alarm in 6·10⁻⁷ of seeds per activation."""
    student, goal = problem(4, 4, seed=5)
    inputs = np.random.default_rng(0).normal(size=(200_000, 4, 4))
    sigma = numpy_sigma(activation)
    w = np.asarray(student.v) / np.linalg.norm(student.v)
    error = sigma(inputs @ w) @ np.asarray(student.a)
    error -= sigma(inputs @ np.asarray(goal.w_star)) @ np.asarray(goal.a_star)
    losses = 0.5 * error**2
    z = (losses.mean() - float(value(student, goal, activation))) / losses.std() * math.sqrt(2e5)
    assert abs(z) < 5.0


def test_loss_is_theorem_3_1():
    for seed in range(5):
        student, goal = problem(6, 3, seed)
        v, a, w_star, a_star = map(np.asarray, (*student, *goal[:2]))
        phi = math.acos(v @ w_star / np.linalg.norm(v))
        g = (math.pi - phi) * math.cos(phi) + math.sin(phi)
        squares = (math.pi - 1) * (a_star @ a_star + a @ a) + a_star.sum() ** 2 + a.sum() ** 2
        cross = 2 * (g - 1) * (a @ a_star) + 2 * a.sum() * a_star.sum()
        expected = (squares - cross) / (4 * math.pi)
        assert float(value(student, goal, relu())) == pytest.approx(expected, rel=1e-13)
        # Theorem 3.2.
        found = closed(student, goal, relu())
        across = w_star - (v @ w_star) * v / (v @ v)
        v_dot = -(a @ a_star) * (math.pi - phi) / (2 * math.pi * np.linalg.norm(v)) * across
        np.testing.assert_allclose(found.v, v_dot, atol=1e-14)
        ones = np.ones((6, 6))
        a_dot = (ones + (math.pi - 1) * np.eye(6)) @ a - (ones + (g - 1) * np.eye(6)) @ a_star
        np.testing.assert_allclose(found.a, a_dot / (2 * math.pi), atol=1e-14)


@each
def test_loss_from_the_reference_kernel(activation):
    student, goal = problem(4, 4, seed=11)
    v, a, w_star, a_star = map(np.asarray, (*student, *goal[:2]))
    sigma = numpy_sigma(activation)
    square = reference_mean(sigma) ** 2
    cross = reference_kernel(sigma, math.acos(v @ w_star / np.linalg.norm(v)))
    own = reference_kernel(sigma, 0.0)
    u, total = a.sum(), a_star.sum()
    expected = (own - square) * (a @ a + a_star @ a_star) + square * (u**2 + total**2)
    expected -= 2 * (cross - square) * (a @ a_star) + 2 * square * u * total
    assert float(value(student, goal, activation)) == pytest.approx(0.5 * expected, abs=1e-11)


def numerical(student, goal, activation, h=1e-6):
    def shifted(field, i, by):
        array = np.array(getattr(student, field))
        array[i] += by
        return float(value(student._replace(**{field: array}), goal, activation))

    return Student(
        *(
            np.array(
                [
                    (shifted(field, i, h) - shifted(field, i, -h)) / (2 * h)
                    for i in range(getattr(student, field).size)
                ]
            )
            for field in ("v", "a")
        )
    )


@each
@pytest.mark.parametrize("phi", [0.0, 0.01, 1.2, 3.1, math.pi])
def test_gradient_is_the_slope_of_the_loss(activation, phi):
    student, goal = problem(4, 4, seed=2)
    goal = goal._replace(w_star=jnp.asarray([0.0, 1.0, 0.0, 0.0]))
    student = student._replace(v=jnp.asarray(filter_at(phi, np.asarray(goal.w_star), 1.4)))
    found, expected = closed(student, goal, activation), numerical(student, goal, activation)
    np.testing.assert_allclose(found.v, expected.v, atol=3e-9 if phi in (0.0, math.pi) else 3e-8)
    np.testing.assert_allclose(found.a, expected.a, atol=3e-9)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_autodiff_gives_the_closed_gradient_everywhere(activation, dtype):
    close = 20 * float(np.finfo(dtype).eps)
    student, goal = problem(4, 4, seed=3, dtype=dtype)
    axis = goal._replace(w_star=jnp.asarray([1.0, 0.0, 0.0, 0.0], dtype))
    cases = [(student, goal)]
    for phi in (0.0, 1e-7, 1e-3, 3.0, math.pi - 1e-6, math.pi):
        v = filter_at(phi, np.asarray(axis.w_star, np.float64), 0.8)
        cases.append((student._replace(v=jnp.asarray(v, dtype)), axis))
    # Aligned up to rounding, where arccos would have been NaN.
    cases += [(student._replace(v=sign * 1.3 * goal.w_star), goal) for sign in (1, -1)]
    for case, goal_ in cases:
        size, found, expected = everything(case, goal_, activation)
        assert found.v.dtype == found.a.dtype == expected.v.dtype == expected.a.dtype == dtype
        assert size.dtype == dtype
        assert np.isfinite(size)
        scale = float(jnp.max(jnp.abs(expected.v))) + 1.0
        np.testing.assert_allclose(found.v, expected.v, atol=close * scale)
        np.testing.assert_allclose(found.a, expected.a, atol=10 * close)
        assert np.isfinite(found.v).all()


@each
def test_the_teacher_is_a_perfect_student(activation):
    for dtype in (np.float32, np.float64):
        _, goal = problem(4, 4, seed=3, dtype=dtype)
        goal = goal._replace(w_star=jnp.asarray([0.0, 0.0, 1.0, 0.0], dtype))
        same = Student(2 * goal.w_star, goal.a_star)
        assert float(value(same, goal, activation)) == 0.0
        assert not any(np.any(part) for part in closed(same, goal, activation))


@smooth
def test_loss_keeps_its_digits_near_the_global_minimum(activation):
    """In float32 at φ = 10⁻³, where the loss is 10⁻⁷ of ‖a*‖²."""
    _, goal = problem(4, 4, seed=8)
    goal = goal._replace(w_star=jnp.asarray([1.0, 0.0, 0.0, 0.0]))
    student = Student(jnp.asarray(filter_at(1e-3, np.eye(4)[0])), goal.a_star)
    single = jax.tree.map(lambda x: x.astype(jnp.float32), (student, goal))
    found = value(*single, activation)
    assert float(found) == pytest.approx(float(value(student, goal, activation)), rel=3e-6)


def flat_loss(x, p, goal, activation):
    return loss(Student(x[:p], x[p:]), goal, activation)


@partial(jax.jit, static_argnums=2)
def curvature(student, goal, activation):
    """The Hessian by autodiff, and the sharpness."""
    p, x = student.v.size, jnp.concatenate(student)
    hessian = jax.hessian(flat_loss)(x, p, goal, activation)
    return hessian, sharpness(student, goal, activation)


@pytest.mark.parametrize(
    "activation", [relu(), leaky_relu(-0.4), gelu(), erf(), TANH], ids=identify
)
def test_hessian_and_sharpness(activation):
    student, goal = problem(4, 4, seed=21)
    goal = goal._replace(w_star=jnp.asarray([0.0, 0.0, 1.0, 0.0]))

    def slope(x):
        return np.concatenate(closed(Student(x[:4], x[4:]), goal, activation))

    for phi in (0.0, 0.6, 2.9, math.pi):
        v = jnp.asarray(filter_at(phi, np.asarray(goal.w_star), 0.7))
        for sign in (1.0, -1.0):
            here = Student(v, sign * student.a)
            x = np.concatenate(here)
            hessian, found = curvature(here, goal, activation)
            shift = 1e-6 * np.eye(8)
            differences = [(slope(x + e) - slope(x - e)) / 2e-6 for e in shift]
            np.testing.assert_allclose(hessian, differences, atol=2e-5)
            expected = np.linalg.eigvalsh(hessian)[-1]
            assert float(found) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("k", "p", "ratio"), [(1, 2, 1.0), (2, 2, 0.0), (3, 3, 3.0)])
def test_sharpness_of_small_shapes(k, p, ratio):
    goal = target(Teacher(k=k, p=p, ratio=ratio, teacher_norm=2.0))
    student, _ = problem(k, p, seed=4)
    hessian, found = curvature(student, goal, relu())
    expected = float(np.linalg.eigvalsh(hessian)[-1])
    assert float(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("activation", [relu(), step(), gelu()], ids=identify)
def test_padding_changes_nothing(activation):
    teacher = Teacher(k=5, p=4, ratio=2.0)
    student, _ = problem(5, 4, seed=9)
    exact, padded = target(teacher), target(teacher, patches=8)
    # What lies in the padding must not matter.
    wide = student._replace(a=jnp.concatenate((student.a, jnp.asarray([7.0, -3.0, 1.0]))))
    np.testing.assert_allclose(
        value(wide, padded, activation), value(student, exact, activation), rtol=1e-14
    )
    for rule in (closed, automatic):
        found, expected = rule(wide, padded, activation), rule(student, exact, activation)
        np.testing.assert_array_equal(found.a[5:], 0.0)
        np.testing.assert_allclose(found.a[:5], expected.a, rtol=1e-13)
        np.testing.assert_allclose(found.v, expected.v, rtol=1e-13)
    if activation == relu():
        found = jax.jit(sharpness, static_argnums=2)(wide, padded, activation)
        expected = jax.jit(sharpness, static_argnums=2)(student, exact, activation)
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_vmap_over_students():
    _, goal = problem(5, 4, seed=1)
    students = jax.tree.map(lambda *x: jnp.stack(x), *(problem(5, 4, s)[0] for s in range(6)))
    over = (0, None, None)
    for rule in (gradient, sharpness):
        many = jax.jit(jax.vmap(rule, in_axes=over), static_argnums=2)(students, goal, relu())
        one = jax.jit(rule, static_argnums=2)(jax.tree.map(lambda x: x[3], students), goal, relu())
        for found, expected in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(found[3], expected, rtol=1e-13)


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=seeds, scale=st.floats(1e-3, 1e3), which=st.sampled_from((relu(), step(), gelu())))
def test_the_length_of_v_only_scales_its_gradient(seed, scale, which):
    student, goal = problem(4, 4, seed)
    longer = student._replace(v=scale * student.v)
    assert float(value(longer, goal, which)) == pytest.approx(
        float(value(student, goal, which)), rel=1e-11
    )
    here, there = closed(student, goal, which), closed(longer, goal, which)
    np.testing.assert_allclose(scale * there.v, here.v, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(there.a, here.a, rtol=1e-9, atol=1e-12)
    # The gradient is at right angles to v: descent never shrinks it.
    size = np.linalg.norm(here.v) * np.linalg.norm(student.v)
    assert abs(float(here.v @ student.v)) <= 1e-12 * (1.0 + size)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=seeds, which=st.sampled_from((relu(), step(), gelu())))
def test_rotating_both_filters_changes_nothing(seed, which):
    student, goal = problem(4, 4, seed)
    turn, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(4, 4)))
    turned = student._replace(v=jnp.asarray(turn @ np.asarray(student.v)))
    goal_ = goal._replace(w_star=jnp.asarray(turn @ np.asarray(goal.w_star)))
    assert float(value(turned, goal_, which)) == pytest.approx(
        float(value(student, goal, which)), rel=1e-10
    )
    here, there = closed(student, goal, which), closed(turned, goal_, which)
    np.testing.assert_allclose(there.v, turn @ np.asarray(here.v), rtol=1e-7, atol=1e-11)
    np.testing.assert_allclose(there.a, here.a, rtol=1e-9, atol=1e-12)


def test_target():
    teacher = Teacher(k=3, p=2, ratio=1.0)
    found = target(teacher, np.float32, patches=5)
    assert isinstance(found, Target)
    assert all(part.dtype == np.float32 for part in found)
    np.testing.assert_array_equal(found.ones, [1, 1, 1, 0, 0])
    np.testing.assert_allclose(found.a_star[:3], teacher.a_star, rtol=1e-6)
    assert target(teacher).w_star.dtype == np.float64
    with pytest.raises(InputError, match="patches = 2: must be at least the teacher's k = 3"):
        target(teacher, patches=2)
