"""The network and its loss on a sample."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.model.activation import erf, gelu, relu
from jaxcnn.model.population import Student
from jaxcnn.model.sample import forward, labels, sampled_loss
from tests.model.known import ALL, TANH, everything, identify, numpy_sigma, problem


@pytest.mark.parametrize("activation", ALL, ids=identify)
def test_forward_is_the_sum_over_patches(activation):
    student, goal = problem(3, 4, seed=0)
    inputs = np.random.default_rng(1).normal(size=(5, 3, 4))
    sigma = numpy_sigma(activation)
    v, a = np.asarray(student.v), np.asarray(student.a)
    expected = [sum(a[j] * sigma(v @ x[j] / math.sqrt(v @ v)) for j in range(3)) for x in inputs]
    np.testing.assert_allclose(forward(jnp.asarray(inputs), student, activation), expected)
    one = forward(jnp.asarray(inputs[2]), student, activation)
    assert one.shape == ()
    assert float(one) == pytest.approx(expected[2])
    answers = labels(jnp.asarray(inputs), goal, activation)
    found = sampled_loss(student, jnp.asarray(inputs), answers, activation)
    errors = np.array(expected) - np.asarray(answers)
    assert float(found) == pytest.approx(0.5 * np.mean(errors**2), rel=1e-12)


@pytest.mark.parametrize("activation", [relu(), erf(), gelu(), TANH], ids=identify)
def test_gradient_tends_to_the_population(activation):
    """50 batches of 2000; every entry |z| < 6, so a false alarm in 10⁻⁶ of seeds in all."""
    student, goal = problem(4, 4, seed=4)
    inputs = jnp.asarray(np.random.default_rng(7).normal(size=(50, 2000, 4, 4)))

    def slope(inputs):
        answers = labels(inputs, goal, activation)
        return jax.value_and_grad(sampled_loss)(student, inputs, answers, activation)

    found, slopes = jax.jit(jax.vmap(slope))(inputs)
    size, _, exact_slope = everything(student, goal, activation)
    expected = size, *exact_slope
    for sample, exact in zip((found, *slopes), expected, strict=True):
        sample = np.asarray(sample)
        z = (sample.mean(0) - np.asarray(exact)) / (sample.std(0, ddof=1) / math.sqrt(50))
        assert np.all(np.abs(z) < 6.0)


def test_single_precision_stays_single():
    student, goal = problem(3, 3, seed=4, dtype=np.float32)
    inputs = jnp.ones((2, 3, 3), jnp.float32)
    found = sampled_loss(student, inputs, labels(inputs, goal, relu()), relu())
    assert found.dtype == np.float32
    same = Student(3 * goal.w_star, goal.a_star)
    assert float(sampled_loss(same, inputs, labels(inputs, goal, relu()), relu())) < 1e-12
