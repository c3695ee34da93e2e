"""What every activation promises, closed form or series."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.model.angle import from_angle, from_cos_sin
from tests.model.known import ALL, identify, numpy_sigma, reference_kernel, reference_mean

each = pytest.mark.parametrize("activation", ALL, ids=identify)
ANGLES = np.array([0.2, 0.7, 1.3, math.pi / 2, 2.0, 2.6, 3.0])


@partial(jax.jit, static_argnums=0)
def forms(activation, angle):
    return activation.kernel(angle), activation.deficit(angle), activation.derivative(angle)


@each
def test_kernel_is_the_expectation(activation):
    sigma = numpy_sigma(activation)
    found = activation.at(ANGLES)
    expected = [reference_kernel(sigma, angle) for angle in ANGLES]
    square = reference_kernel(sigma, 0.0)
    np.testing.assert_allclose(found.kernel, expected, atol=1e-12)
    np.testing.assert_allclose(found.deficit, square - np.array(expected), atol=1e-12)
    assert activation.square == pytest.approx(square, abs=1e-12)
    assert activation.mean == pytest.approx(reference_mean(sigma), abs=1e-12)
    assert activation.variance == pytest.approx(square - reference_mean(sigma) ** 2, abs=1e-12)
    ends = activation.at([0.0, math.pi])
    np.testing.assert_allclose(ends.deficit[0], 0.0, atol=0.0)
    np.testing.assert_allclose(ends.kernel[0], square, rtol=1e-12)
    np.testing.assert_allclose(ends.kernel[1], reference_kernel(sigma, math.pi), atol=1e-12)


@each
def test_function_is_the_one_meant(activation):
    x = np.linspace(-3.0, 3.0, 13)
    for dtype, close in ((np.float32, 1e-6), (np.float64, 1e-14)):
        found = activation.apply(jnp.asarray(x, dtype))
        assert found.dtype == dtype
        np.testing.assert_allclose(found, numpy_sigma(activation)(x), atol=close, rtol=close)


@each
def test_derivative_and_bend(activation):
    h = 1e-5
    up, down, here = (activation.at(ANGLES + shift) for shift in (h, -h, 0.0))
    sin = np.sin(ANGLES)
    slope = -(up.kernel - down.kernel) / (2.0 * h) / sin
    np.testing.assert_allclose(here.derivative, slope, atol=1e-8)
    bend = -sin * (up.derivative - down.derivative) / (2.0 * h)
    np.testing.assert_allclose(here.bend, bend, atol=1e-8)


@each
def test_flags(activation):
    sigma = numpy_sigma(activation)
    x = np.linspace(0.1, 3.0, 9)
    assert activation.odd == np.allclose(sigma(-x), -sigma(x), atol=1e-12)
    if activation.degree is None:
        assert not activation.homogeneous
        assert not any(np.allclose(sigma(2.0 * x), 2.0**d * sigma(x)) for d in (0, 1))
    else:
        assert activation.homogeneous
        both = np.concatenate((-x, x))
        np.testing.assert_allclose(sigma(2.0 * both), 2.0**activation.degree * sigma(both))
    near = float(activation.at(1e-9).derivative)
    assert activation.kinked == (near > 1e6)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_digits_and_dtype_at_both_ends(activation, dtype):
    """D(φ)/φ² in a low precision against K′(1)/2, and K(π) − K(φ) against nothing lost."""
    phi = np.geomspace(1e-4, 0.4, 9)
    reference = activation.at(phi)
    angle = from_cos_sin(jnp.asarray(np.cos(phi), dtype), jnp.asarray(np.sin(phi), dtype))
    _, deficit, derivative = forms(activation, angle)
    for found, expected in ((deficit, reference.deficit), (derivative, reference.derivative)):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=16 * np.finfo(dtype).eps)
    if not activation.kinked:
        half = 0.5 * activation.at(0.0).derivative
        np.testing.assert_allclose(reference.deficit[0] / phi[0] ** 2, half, rtol=1e-3)
    far = from_cos_sin(jnp.asarray(-np.cos(phi), dtype), jnp.asarray(np.sin(phi), dtype))
    expected = activation.at(math.pi - phi)
    floor = 8 * np.finfo(dtype).eps * activation.square
    kernel, _, derivative = forms(activation, far)
    np.testing.assert_allclose(kernel, expected.kernel, rtol=1e-6, atol=floor)
    np.testing.assert_allclose(derivative, expected.derivative, rtol=2e-6)


@each
def test_autodiff_goes_through_the_cosine(activation):
    for phi in (0.0, 0.4, 2.0, math.pi):
        along = from_angle(jnp.asarray(phi))

        def turned(cos, along=along):
            return activation.kernel(along._replace(cos=cos))

        slope = jax.grad(turned)(along.cos)
        assert float(slope) == float(activation.derivative(along))
        assert math.isfinite(slope)


@each
def test_equal_by_value_and_hashable(activation):
    count = 0

    @jax.jit
    def plain(x):
        return x

    def traced(kind, x):
        nonlocal count
        count += 1
        return kind.apply(x)

    jitted = jax.jit(traced, static_argnums=0)
    twin = type(activation)(**vars(activation))
    assert twin == activation
    assert twin is not activation
    assert hash(twin) == hash(activation)
    jitted(activation, plain(1.0))
    jitted(twin, plain(1.0))
    assert count == 1
    assert len({*ALL}) == len(ALL)


def test_host_values_do_not_depend_on_the_setting():
    with jax.enable_x64(False):
        found = ALL[0].at([1e-9, 1.0])
    assert all(part.dtype == np.float64 for part in found)
    np.testing.assert_allclose(found.deficit[0], 0.25e-18, rtol=1e-9)
