"""One's own problem: known answers, and one from another paper.

Safran & Shamir, "Spurious Local Minima are Common in Two-Layer ReLU Neural Networks" (ICML
2018): k ReLU neurons learn k orthonormal teacher neurons from Gaussian inputs, by gradient
descent on the population loss, from Xavier starts.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.base.errors import InputError
from jaxcnn.base.outcome import Outcome
from jaxcnn.engine.dynamics import Dynamics
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.study.custom import estimate_dynamics, sweep_dynamics

SMALL = LaneSettings(width=256, capacity=2**14)


def tilted_well(bias):
    """x⁺ = x − 0.05 (x − 1)(x + 1)(x − bias) from N(0, 1): right of `bias` it ends at 1."""

    def verdict(x):
        left = jnp.where(jnp.abs(x + 1) < 1e-3, Outcome.SPURIOUS, Outcome.RUNNING)
        return jnp.where(jnp.abs(x - 1) < 1e-3, Outcome.GLOBAL, left)

    return Dynamics(
        start=lambda key: jnp.clip(jax.random.normal(key, (), jnp.float32), -3, 3),
        step=lambda x: x - 0.05 * (x - 1) * (x + 1) * (x - bias),
        verdict=verdict,
    )


def test_well_with_a_known_answer():
    """P = 1 − Φ(bias); intervals at 99.99 %."""
    grid = [np.float32(b) for b in (-0.5, 0.0, 0.3)]
    results = sweep_dynamics(
        tilted_well, grid, restarts=4000, confidence=0.9999, settings=SMALL,
        words=[{"bias": float(b)} for b in grid],
    )  # fmt: skip
    for bias, result in zip(grid, results, strict=True):
        expected = float(jax.scipy.stats.norm.sf(bias))
        assert result.low < expected < result.high
        assert result.problem["bias"] == float(bias)
    one = estimate_dynamics(tilted_well, grid[2], restarts=4000, settings=SMALL)
    assert np.array_equal(one.outcomes, results[2].outcomes)


def test_without_parameters():
    still = Dynamics(
        start=lambda key: jax.random.uniform(key, (), jnp.float32),
        step=lambda x: x,
        verdict=lambda x: jnp.where(x < 0.25, Outcome.GLOBAL, Outcome.OTHER),
    )
    result = estimate_dynamics(still, restarts=2000, confidence=0.9999, settings=SMALL)
    assert result.low < 0.25 < result.high


def test_refusals():
    with pytest.raises(InputError, match="problem"):
        estimate_dynamics(3)
    with pytest.raises(InputError, match="grid"):
        sweep_dynamics(tilted_well, [])
    with pytest.raises(InputError, match="words"):
        sweep_dynamics(tilted_well, [np.float32(0)], words=[{}, {}])


def relu_pairs(first, second):
    """E relu(xᵀu) relu(xᵀv) = ‖u‖‖v‖ g(θ)/2π for all pairs of rows."""
    sizes = jnp.linalg.norm(first, axis=1)[:, None] * jnp.linalg.norm(second, axis=1)[None, :]
    cos = jnp.clip(first @ second.T / sizes, -1 + 1e-6, 1 - 1e-6)
    angle = jnp.arccos(cos)
    return sizes * (jnp.sin(angle) + (jnp.pi - angle) * cos) / (2 * jnp.pi)


def two_layer(k):
    """The problem of Safran & Shamir with k = n neurons: W (k, k) from N(0, 1/k).

    A minimum stays flat, a saddle only for some hundred steps: one run of 1000 at k = 5 passes
    one with a gradient of 6·10⁻⁴.
    """

    def loss(w):
        eye = jnp.eye(k, dtype=w.dtype)
        own = jnp.sum(jnp.where(eye > 0, 0, relu_pairs(w, w))) + jnp.sum(w * w) / 2
        target = jnp.sum(jnp.where(eye > 0, 0, 1 / (2 * jnp.pi))) + k / 2
        return (own + target) / 2 - jnp.sum(relu_pairs(w, eye))

    def verdict(state):
        w, _, flat = state
        stuck = jnp.where(flat > 3000, Outcome.SPURIOUS, Outcome.RUNNING)
        return jnp.where((loss(w) < 1e-3) & (flat > 0), Outcome.GLOBAL, stuck)

    def step(state):
        w, force, flat = state
        w = w - 0.1 * force
        force = jax.grad(loss)(w)
        return w, force, jnp.where(jnp.linalg.norm(force) < 1e-3, flat + 1, 0)

    def start(key):
        w = jax.random.normal(key, (k, k), jnp.float32) / jnp.sqrt(jnp.float32(k))
        return w, jax.grad(loss)(w), jnp.int32(0)

    return Dynamics(start, step, verdict)


@pytest.mark.heavy
def test_two_layer_networks_meet_spurious_minima_from_six_neurons_on():
    """The claims of their abstract: none below k = 6, then ever more often as k grows.

    Start, step size (0.1) and the loss that counts as bad (10⁻³) are those of the authors' code
    (github.com/ItaySafran/OneLayerGDconvergence, GD_code). 1000 runs each.
    """
    shares = []
    for k in (5, 6, 8, 10):
        result = estimate_dynamics(two_layer(k), restarts=1000, max_steps=20_000, settings=SMALL)
        assert result.counts.global_ + result.counts.spurious == 1000
        shares.append(result.counts.spurious / 1000)
    assert shares[0] == 0
    assert 0 < shares[1] < shares[2] < shares[3]
