"""Every condition of the certificate decides somewhere, and the certificate obeys it there.

The conditions are written down a second time, in NumPy and for ReLU, from the inequalities of
the theory. States are drawn beside every boundary of the certified sets; a table of terms that
could be forgotten checks that the draws would notice each.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.base.outcome import Outcome
from jaxcnn.descent.certificate import Rates, Scalars, certificate
from jaxcnn.descent.kernel import RELU

GLOBAL, SPURIOUS, RUNNING = int(Outcome.GLOBAL), int(Outcome.SPURIOUS), int(Outcome.RUNNING)
PI = math.pi
DRAWS = 200_000

FORGETTABLE = (
    "global: no overshoot", "global: s in its reach", "global: later s in its reach",
    "global: source of s", "global: angle", "global: sign of s",
    "high: M", "high: swing from below", "high: rest", "low: M", "low: swing from above",
    "spurious: no overshoot", "spurious: s in its reach", "spurious: later s in its reach",
    "spurious: source of s", "spurious: sign of s",
    "far: M", "far: swing", "far: rest", "under: M", "under: swing",
)  # fmt: skip
"""Terms of the conditions; the reference can forget one of them."""


def most(*terms):
    """The largest of (name, value) whose name is kept."""
    return np.max([np.broadcast_to(v, np.shape(terms[0][1])) for _, v in terms], axis=0)


def expected(at, rates, forget=""):
    """The verdict by the theory: GLOBAL, SPURIOUS or RUNNING, for 0 < b < 2."""
    phi, s, m, r2 = at
    c, c_v, b, power, sum2 = rates
    none, gone = np.full_like(phi, -np.inf), np.full_like(phi, True, bool)

    def unless(name, value):
        assert name in FORGETTABLE
        return (gone if value.dtype == bool else none) if name == forget else value

    g = (PI - phi) * np.cos(phi) + np.sin(phi)
    rest, end = c * sum2 * (PI - g) / b, c * sum2 * PI / b
    gentle = b <= 1
    below = np.maximum(-m, 0)

    swing = unless("high: swing from below", (b - 1) * below + b * rest)
    still = unless("high: rest", np.where(gentle, end, rest / np.where(gentle, 1, 2 - b)))
    high = np.maximum(unless("high: M", m), still)
    high = np.where(gentle, high, np.maximum(high, swing))
    low = unless("low: M", -m)
    low = np.maximum(np.where(gentle, low, np.maximum(low, _swing(unless, b, high))), 0)
    reach = np.maximum(
        unless("global: s in its reach", np.abs(s)),
        unless("global: later s in its reach", power + high / (PI - 1)),
    )
    smooth = unless("global: no overshoot", c_v * PI * np.maximum(reach, 0) <= 2 * r2)
    source = unless("global: source of s", (g - 1) * power > low)
    good = unless("global: sign of s", s > 0) & unless("global: angle", phi < PI / 2)
    good &= (gentle & (m >= 0)) | (source & smooth)

    far = unless("far: rest", end)
    away = unless("far: M", np.abs(m - end))
    swing = unless("far: swing", b * (end - rest) / np.where(gentle, 1, 2 - b))
    far = np.where(
        gentle, np.maximum(unless("far: M", m), far), end + np.maximum(np.maximum(away, swing), 0)
    )
    under = np.where(
        gentle, unless("under: M", below), unless("under: swing", np.maximum(far - 2 * end, 0))
    )
    reach = np.maximum(
        unless("spurious: s in its reach", np.abs(s)),
        unless("spurious: later s in its reach", (power + np.maximum(under, 0)) / (PI - 1)),
    )
    smooth = unless("spurious: no overshoot", c_v * (PI - phi) * np.maximum(reach, 0) <= r2)
    source = unless("spurious: source of s", (1 - g) * power > far)
    # φ > π/2 follows: the bound on M is not negative, so g < 1.
    bad = unless("spurious: sign of s", s < 0) & (phi > PI / 2) & source & smooth
    return np.where(good, GLOBAL, np.where(bad, SPURIOUS, RUNNING))


def _swing(unless, b, high):
    return unless("low: swing from above", (b - 1) * high)


def states(seed):
    """States beside the boundaries: each condition is drawn to hold or fail by a little."""
    rng = np.random.default_rng(seed)
    n = DRAWS
    k = np.floor(np.exp(rng.uniform(np.log(3), np.log(100), n)))
    b = np.where(np.arange(n) % 2, rng.uniform(0.1, 1.0, n), rng.uniform(1.01, 1.95, n))
    c = b / (k + PI - 1)
    power = np.ones(n)
    sum2 = rng.uniform(0, 1.1, n) * (k + PI - 1) / PI
    phi = np.where(rng.random(n) < 0.7, rng.uniform(0, PI, n), PI / 2 + rng.normal(0, 0.2, n))
    phi = np.clip(phi, 1e-3, PI - 1e-3)
    g = (PI - phi) * np.cos(phi) + np.sin(phi)
    source, end = np.abs(g - 1), sum2 * PI / (k + PI - 1)
    near = source * rng.uniform(0.7, 1.3, n)
    m = np.choose(
        rng.integers(0, 5, n),
        [near, -near, end + near, end - near, rng.normal(size=n) * (0.3 + sum2)],
    )
    s = np.where(phi < PI / 2, 1, -1) * np.exp(rng.uniform(np.log(0.05), np.log(6), n))
    s = np.where(rng.random(n) < 0.1, -s, s)
    # ‖v‖² beside what no overshoot asks.
    room = np.exp(rng.uniform(np.log(0.2), np.log(5), n))
    r2 = c * (PI - phi) * np.maximum(np.abs(s), 0.6) * room
    return (phi, s, m, r2), (c, c, b, power, sum2)


@pytest.fixture(scope="module")
def drawn():
    at, rates = states(seed=7)
    apply = jax.jit(jax.vmap(lambda r, z: certificate(RELU, Rates(*r), Scalars(*z))))
    return at, rates, np.asarray(apply(tuple(map(jnp.asarray, rates)), tuple(map(jnp.asarray, at))))


def test_the_certificate_is_the_theory(drawn):
    at, rates, codes = drawn
    np.testing.assert_array_equal(codes, expected(at, rates))


@pytest.mark.parametrize("term", FORGETTABLE)
def test_a_forgotten_term_would_be_noticed(drawn, term):
    at, rates, codes = drawn
    assert np.count_nonzero(expected(at, rates, forget=term) != codes) >= 20
