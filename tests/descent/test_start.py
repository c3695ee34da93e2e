"""Start laws of the full state."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, norm, uniform

from jaxcnn.base.cell import Cell
from jaxcnn.study.build import build
from jaxcnn.study.built import Start

DRAWS = 10_000
K, P = 6, 4


@partial(jax.jit, static_argnums=0)
def _drawn(family, params, keys):
    """Starts by key; numbers of the law are data, so that laws of one kind are compiled once."""
    return jax.vmap(family(params).start)(keys)


def draw(cell, start=None, patches=None, draws=DRAWS):
    built = build(cell, engine="full", dtype="float64", start=start, patches=patches)
    params = jax.tree.map(jnp.asarray, built.params)
    at = _drawn(built.family, params, jax.random.split(jax.random.key(9), DRAWS))
    return np.asarray(at.v[:draws]), np.asarray(at.a[:draws]), params


def cell(**options):
    return Cell(**{"k": K, "p": P, "ratio": 3.0, "teacher_norm": 1.2, **options})


RADIUS = 1.2 * np.sqrt(3.0) / np.sqrt(K)


def fits(sample, law):
    """Kolmogorov–Smirnov at 10⁻⁶."""
    return kstest(sample, law).pvalue > 1e-6


def test_ball_and_sphere_have_the_papers_radius():
    _, ball, _ = draw(cell(init_scale=1.5))
    assert fits((np.linalg.norm(ball, axis=1) / (1.5 * RADIUS)) ** K, uniform.cdf)
    assert np.abs(ball.mean(axis=0)).max() < 5 * RADIUS / np.sqrt(DRAWS)
    _, sphere, _ = draw(cell(init="sphere"))
    np.testing.assert_allclose(np.linalg.norm(sphere, axis=1), RADIUS, rtol=1e-12)


def test_gaussian_and_box_have_their_scale_for_each_coordinate():
    _, gaussian, _ = draw(cell(init="gaussian", init_scale=0.3))
    _, box, _ = draw(cell(init="box", init_scale=0.3))
    for j in range(K):
        assert fits(gaussian[:, j] / 0.3, norm.cdf)
        assert fits(box[:, j], uniform(-0.3, 0.6).cdf)
    assert np.abs(np.corrcoef(gaussian.T) - np.eye(K)).max() < 0.06


def test_filters():
    v, _, params = draw(cell())
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, rtol=1e-12)
    v, _, _ = draw(cell(filter_init="gaussian"))
    assert all(fits(v[:, j], norm.cdf) for j in range(P))
    v, _, _ = draw(cell(), Start(angle=0.8))
    np.testing.assert_allclose(v @ np.asarray(params.target.w_star), np.cos(0.8), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, rtol=1e-12)


def test_fixed_and_biased_starts():
    a, v = np.linspace(-1, 1, K), np.linspace(0.5, 1, P)
    got_v, got_a, _ = draw(cell(), Start(a=a, v=v), draws=3)
    np.testing.assert_allclose(got_v, np.tile(v, (3, 1)), rtol=1e-15)
    np.testing.assert_allclose(got_a, np.tile(a, (3, 1)), rtol=1e-15)
    plain_v, plain_a, _ = draw(cell(), draws=3)
    bias_v, bias_a, _ = draw(cell(), Start(a_mean=a, v_mean=v), draws=3)
    np.testing.assert_allclose(bias_v - plain_v, np.tile(v, (3, 1)), atol=1e-14)
    np.testing.assert_allclose(bias_a - plain_a, np.tile(a, (3, 1)), atol=1e-14)
    _, zero, _ = draw(cell(init="zero"), draws=3)
    assert not zero.any()


def start_of_a(key):
    return jax.random.laplace(key, (K,))


def test_a_callable_start_is_called():
    _, a, _ = draw(cell(), Start(a=start_of_a))
    assert fits(a[:, 0], "laplace")


@pytest.mark.parametrize("init", ["ball", "sphere", "gaussian", "box", "zero"])
def test_padding_leaves_the_start_as_it_was(init):
    v, a, _ = draw(cell(init=init), draws=20)
    padded_v, padded_a, _ = draw(cell(init=init), patches=11, draws=20)
    np.testing.assert_array_equal(padded_v, v)
    np.testing.assert_allclose(padded_a[:, :K], a, rtol=1e-14)
    assert not padded_a[:, K:].any()
