"""Closed forms against textbook expressions in 50 digits, and the lookup by name."""

import math

import numpy as np
import pytest
from mpmath import mp

from jaxcnn.base.errors import InputError
from jaxcnn.model.activation import activation, erf, gelu, leaky_relu, relu, sin, step
from jaxcnn.model.angle import from_cos_sin

mp.dps = 50


def g(x):
    return (mp.pi - x) * mp.cos(x) + mp.sin(x)


def gelu_kernel(x):
    c = mp.cos(x)
    return c / 4 + (c * mp.asin(c / 2) + 1 / mp.sqrt(4 - c * c)) / (2 * mp.pi)


TEXTBOOK = {
    relu(): lambda x: g(x) / (2 * mp.pi),
    leaky_relu(0.25): lambda x: (mp.mpf("1.0625") * g(x) - g(mp.pi - x) / 2) / (2 * mp.pi),
    step(): lambda x: (mp.pi - x) / (2 * mp.pi),
    erf(): lambda x: 2 * mp.asin(2 * mp.cos(x) / 3) / mp.pi,
    sin(): lambda x: mp.sinh(mp.cos(x)) / mp.e,
    gelu(): gelu_kernel,
}


@pytest.mark.parametrize("kind", TEXTBOOK, ids=lambda kind: kind.name)
def test_closed_form_to_full_precision(kind):
    textbook = TEXTBOOK[kind]
    points = np.concatenate((np.geomspace(1e-8, 1.0, 12), [1.5, 2.0, 2.5, 3.0]))
    found = kind.at(points)
    for i, x in enumerate(points):
        exact = mp.mpf(float(x))
        assert found.kernel[i] == pytest.approx(float(textbook(exact)), rel=2e-15, abs=2e-16)
        deficit = float(textbook(mp.mpf(0)) - textbook(exact))
        assert found.deficit[i] == pytest.approx(deficit, rel=3e-15)
        slope = float(-mp.diff(textbook, exact) / mp.sin(exact))
        assert found.derivative[i] == pytest.approx(slope, rel=3e-15)


def test_relu_near_pi_keeps_its_digits():
    """Its kernel vanishes there like (π−φ)³/6π."""
    rest = np.geomspace(1e-6, 0.5, 10)
    found = relu().kernel(from_cos_sin(-np.cos(rest), np.sin(rest)))
    expected = [float((mp.sin(x) - x * mp.cos(x)) / (2 * mp.pi)) for x in map(mp.mpf, rest)]
    np.testing.assert_allclose(found, expected, rtol=2e-15)


def test_lookup():
    assert activation("relu") == relu()
    assert activation("leaky_relu", 0.2) == leaky_relu(0.2) != leaky_relu(0.3)
    for name in ("step", "erf", "sin", "gelu"):
        assert activation(name).name == name
    # The family closes: slope 0 is ReLU.
    found, expected = leaky_relu(0.0).at([0.3, 2.0]), relu().at([0.3, 2.0])
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("name", ["tanh", "", "ReLU"])
def test_unknown_name(name):
    with pytest.raises(InputError, match=r"activation = .*must be one of erf, gelu"):
        activation(name)


@pytest.mark.parametrize("slope", [1.0, -1.0, math.nan, math.inf, "x", True])
def test_bad_slope(slope):
    with pytest.raises(InputError, match="slope = "):
        activation("leaky_relu", slope)
