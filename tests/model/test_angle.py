"""The angle keeps its digits and its derivative at both ends."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp

from jaxcnn.model import angle as angles
from tests.model.known import filter_at

AXIS = np.array([1.0, 0.0, 0.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("phi", [0.0, 1e-12, 1e-5, 0.3, math.pi / 2, 3.0, math.pi])
def test_every_form_agrees(phi, dtype):
    v = jnp.asarray(filter_at(phi, AXIS, 3.0), dtype)
    found = angles.between(v, jnp.asarray(AXIS, dtype))
    close = 8 * float(np.finfo(dtype).eps)
    assert all(part.dtype == dtype for part in found)
    assert found.cos == pytest.approx(math.cos(phi), rel=close, abs=close)
    assert found.sin == pytest.approx(math.sin(phi) if phi < math.pi else 0.0, rel=close)
    assert found.angle == pytest.approx(phi, rel=close)
    assert found.supplement == pytest.approx(math.pi - phi, rel=close)


def test_tiny_supplement_survives():
    v = jnp.asarray([-2.0, 2e-9, 0.0], jnp.float32)
    found = angles.between(v, jnp.asarray(AXIS, jnp.float32))
    assert found.supplement == pytest.approx(1e-9, rel=1e-6)


def test_aligned_filter_with_rounding_is_no_nan():
    w = np.full(7, 1.0) / math.sqrt(7.0)
    for sign, end in ((1.0, "angle"), (-1.0, "supplement")):
        found = angles.between(jnp.asarray(sign * 1.3 * w), jnp.asarray(w))
        assert 0.0 <= getattr(found, end) < 1e-15


def test_derivatives_inside():
    w = jnp.asarray(AXIS)

    def direct(v):
        cos = v @ w / jnp.sqrt(v @ v)
        return jnp.stack((cos, jnp.sqrt(1 - cos**2), jnp.arccos(cos), math.pi - jnp.arccos(cos)))

    def ours(v):
        return jnp.stack(angles.between(v, w))

    for order, close in ((jax.jacobian, 1e-12), (jax.hessian, 1e-9)):
        found, expected = jax.jit(order(ours)), jax.jit(order(direct))
        for phi in (0.1, 1.0, 2.0, 3.1):
            v = jnp.asarray(filter_at(phi, AXIS, 1.7))
            np.testing.assert_allclose(found(v), expected(v), atol=close)


def test_derivative_in_the_teacher():
    v, w = jnp.asarray(filter_at(0.7, AXIS, 1.7)), jnp.asarray(AXIS)
    found = jax.grad(lambda w: angles.between(v, w / jnp.linalg.norm(w)).angle)(w)
    expected = jax.grad(lambda w: jnp.arccos(v @ w / jnp.linalg.norm(v) / jnp.linalg.norm(w)))(w)
    np.testing.assert_allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_derivatives_at_the_ends(sign):
    v, w = jnp.asarray(sign * 2.0 * AXIS), jnp.asarray(AXIS)
    for slope in jax.jit(jax.jacobian(angles.between))(v, w):
        np.testing.assert_array_equal(slope, 0.0)
    # cos φ has the Hessian ∓(I − wwᵀ)/‖v‖² there.
    bend = jax.jit(jax.hessian(lambda v: angles.between(v, w).cos))(v)
    np.testing.assert_allclose(bend, -sign * np.diag([0.0, 0.25, 0.25]), atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_angle_functions_keep_their_digits(dtype):
    mp.dps = 60
    close = 8 * float(np.finfo(dtype).eps)
    for x in np.concatenate((np.geomspace(1e-6, 0.9, 15), np.linspace(0.95, math.pi, 15))):
        x = dtype(x)
        exact = mp.mpf(float(x))
        sin, cos = dtype(float(mp.sin(exact))), dtype(float(mp.cos(exact)))
        lune = angles.lune(jnp.asarray(x), jnp.asarray(sin), jnp.asarray(cos))
        assert lune.dtype == dtype
        assert float(lune) == pytest.approx(float(mp.sin(exact) - exact * mp.cos(exact)), rel=close)
        versine = angles.versine(angles.from_cos_sin(jnp.asarray(cos), jnp.asarray(sin)))
        assert float(versine) == pytest.approx(float(1 - mp.cos(exact)), rel=close)


def test_angle_as_a_number():
    found = angles.from_angle(jnp.asarray([0.0, 1.0, math.pi]))
    np.testing.assert_allclose(found.sin, [0.0, math.sin(1.0), 0.0], atol=0.0)
    np.testing.assert_array_equal(found.supplement, [math.pi, math.pi - 1.0, 0.0])
