"""A user's own activation: right, or refused."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.base.errors import InputError
from jaxcnn.model.activation import erf, gelu, sin
from jaxcnn.model.hermite import from_function
from tests.model.known import TANH


@pytest.mark.parametrize("kind", [erf(), sin(), gelu()], ids=lambda kind: kind.name)
def test_series_agrees_with_closed_forms(kind):
    own = from_function(kind.apply, kind.name)
    points = np.linspace(0.0, math.pi, 9)
    for found, expected in zip(own.at(points), kind.at(points), strict=True):
        np.testing.assert_allclose(found, expected, atol=3e-13)
    assert (own.odd, own.mean) == (kind.odd, pytest.approx(kind.mean, abs=1e-13))
    assert own.variance == pytest.approx(kind.variance, abs=1e-13)


@pytest.mark.parametrize(
    ("sigma", "expected"),
    [
        (lambda x: x, lambda c: c),
        (lambda x: x**2 - 1, lambda c: 2 * c**2),
        (lambda x: jnp.exp(x), lambda c: math.e * np.exp(c)),
        (lambda x: jnp.cos(x), lambda c: np.cosh(c) / math.e),
    ],
)
def test_known_kernels(sigma, expected):
    points = np.linspace(0.0, math.pi, 7)
    found = from_function(sigma).at(points)
    np.testing.assert_allclose(found.kernel, expected(np.cos(points)), rtol=1e-12, atol=1e-12)


def test_parity_is_exact():
    assert TANH.odd
    assert TANH.mean == 0.0
    assert not any(TANH.squares[0::2])
    even = from_function(jnp.cos)
    assert not even.odd
    assert not any(even.squares[1::2])
    assert float(even.at(math.pi).deficit) == 0.0


def test_same_function_is_the_same_activation():
    assert from_function(jnp.tanh, "tanh") == TANH
    assert from_function(jax.nn.sigmoid, "tanh") != TANH


@pytest.mark.parametrize(
    ("sigma", "why"),
    [
        (jax.nn.relu, "must be smooth"),
        (jnp.abs, "must be smooth"),
        (jax.nn.elu, "must be smooth"),
        (jnp.sign, "must be smooth"),
        (lambda x: jnp.tanh(20 * x), "must be smooth"),
        (lambda x: jnp.where(x > 0.3, 1.0, 0.0), "must be smooth"),
        (lambda x: 0.0 * x + 2.0, "constant"),
        (lambda x: jnp.log(x), "finite real"),
        (lambda x: x[:3], "elementwise"),
        (lambda x: jnp.exp(1j * x), "finite real"),
        (lambda x: x > 0, "finite real"),
    ],
)
def test_refusals_are_one_line(sigma, why):
    with pytest.raises(InputError, match=why) as caught:
        from_function(sigma)
    assert "\n" not in str(caught.value)


def test_works_without_double_precision():
    with jax.enable_x64(False):
        own = from_function(jnp.tanh, "tanh")
    assert own.squares == TANH.squares
