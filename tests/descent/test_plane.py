"""The exact law of the start in four scalars against the projected start of (v, a).

Two-sample Kolmogorov–Smirnov tests at 10⁻⁶ each; 11 laws with at most 6 tests each make a
false alarm in 7·10⁻⁵ of seeds.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ks_2samp

from jaxcnn.base.cell import Cell
from jaxcnn.descent.full import scalars
from jaxcnn.study.build import build
from jaxcnn.study.built import Start

DRAWS = 20_000
K, P = 7, 5
FIXED_A = np.linspace(-0.4, 0.9, K)
FIXED_V = np.linspace(-1.0, 0.5, P)


@partial(jax.jit, static_argnums=0)
def _drawn(family, params, keys):
    """Starts by key; numbers of the law are data, so that laws of one kind are compiled once."""
    return jax.vmap(family(params).start)(keys)


def draw(cell, start, engine, seed, dtype="float64"):
    """Scalars of `DRAWS` starts."""
    built = build(cell, engine=engine, dtype=dtype, start=start)
    params = jax.tree.map(jnp.asarray, built.params)
    at = _drawn(built.family, params, jax.random.split(jax.random.key(seed), DRAWS))
    if engine == "full":
        at = _scalars(at, params.target)
    return jax.tree.map(np.asarray, at)


@jax.jit
def _scalars(states, target):
    return jax.vmap(scalars, (0, None))(states, target)


def cell(**options):
    return Cell(**{"k": K, "p": P, "ratio": 2.0, "teacher_norm": 1.4, "step_size": 0.05, **options})


LAWS = {
    "ball": (cell(), None),
    "wide ball": (cell(init_scale=2.5, p=2), None),
    "sphere": (cell(init="sphere"), None),
    "sphere in the plane": (cell(k=2, ratio=1.0, init="sphere"), None),
    "gaussian": (cell(init="gaussian", init_scale=0.7, p=3), None),
    "zero": (cell(init="zero"), None),
    "fixed a": (cell(), Start(a=FIXED_A)),
    "biased a": (cell(), Start(a_mean=FIXED_A)),
    "biased by a number": (cell(init="gaussian"), Start(a_mean=0.3)),
    "gaussian v": (cell(filter_init="gaussian"), None),
    "fixed angle": (cell(), Start(angle=1.1)),
    "fixed v": (cell(), Start(v=FIXED_V)),
    "teacher along 1": (cell(ratio=float(K)), None),
}


@pytest.mark.parametrize("name", LAWS)
def test_the_laws_of_the_start_agree(name):
    options, start = LAWS[name]
    full, reduced = draw(options, start, "full", 1), draw(options, start, "reduced", 2)
    pairs = dict(zip(full._fields, zip(full, reduced, strict=True), strict=True))
    # Two directions in which dependence of the scalars on each other would show.
    pairs["s + m"] = (full.s + full.m, reduced.s + reduced.m)
    pairs["s m φ"] = tuple(
        (x.s - x.s.mean()) * (x.m - x.m.mean()) * x.angle for x in (full, reduced)
    )
    tested = 0
    for x, y in pairs.values():
        if np.ptp(y) < 1e-9:
            np.testing.assert_allclose(x, y.mean(), rtol=0, atol=1e-9)
        else:
            tested += 1
            assert ks_2samp(x, y).pvalue > 1e-6
    assert tested > 0


def test_a_wrong_law_is_noticed():
    full = draw(cell(), None, "full", 1)
    assert ks_2samp(full.s, draw(cell(init_scale=1.2), None, "reduced", 2).s).pvalue < 1e-6
    assert ks_2samp(full.angle, draw(cell(p=8), None, "reduced", 2).angle).pvalue < 1e-6


@pytest.mark.parametrize("options", [cell(), cell(init="gaussian"), cell(init="sphere")])
def test_float32_starts_are_the_float64_starts_rounded(options):
    single, double = (draw(options, None, "reduced", 3, d) for d in ("float32", "float64"))
    for x, y in zip(single, double, strict=True):
        assert np.quantile(np.abs(x - y), 0.99) < 1e-5
