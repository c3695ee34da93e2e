"""Clopper–Pearson intervals: digits against mpmath, coverage by enumeration."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from jaxcnn.base.binomial import expit, half_stirling_error, lower_limit, stirling_error
from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import InputError
from jaxcnn.base.interval import (
    Interval,
    clopper_pearson,
    clopper_pearson_many,
    needed_for_half_width,
    proportion_bounds,
    proportion_bounds_many,
)

SIZES = [10**3, 10**6, 10**9, 10**12]


def successes(n):
    return sorted({1, 2, 30, 10**3, n // 2, n - 1} - {n})


def beta_tail(a, b, p, q):
    """(I_p(a, b), p times its derivative), by quadrature in log p, or in log q near p = 1."""
    a, b = mpmath.mpf(a), mpmath.mpf(b)
    log_scale = mpmath.loggamma(a + b) - mpmath.loggamma(a) - mpmath.loggamma(b)
    if p < 0.5:
        p = mpmath.mpf(p)
        width = 1 / (mpmath.sqrt(a) + a - (a + b) * p)
        end = mpmath.inf

        def density(v):
            t = p * mpmath.exp(-v)
            return mpmath.exp(log_scale + a * mpmath.log(t) + (b - 1) * mpmath.log1p(-t))
    else:
        q = mpmath.mpf(q)
        p = 1 - q
        width = 1 / (mpmath.sqrt(b) + (a + b) * q - b)
        end = -mpmath.log(q)

        def density(v):
            r = q * mpmath.exp(v)
            if r >= 1:
                return mpmath.mpf(0)
            return mpmath.exp(log_scale + b * mpmath.log(r) + (a - 1) * mpmath.log1p(-r))

    marks = [0] + [k * width for k in (2, 8, 32, 128) if k * width < end]
    if end < 128 * width:
        marks.append(end)
    tail = mpmath.quad(density, marks, maxdegree=7)
    peak = mpmath.exp(log_scale + a * mpmath.log(p) + (b - 1) * mpmath.log1p(-p))
    return tail, peak


def relative_error(a, b, p, q, tail):
    """How far p is from the root of I_p(a, b) = tail, in relative terms, by Newton's step."""
    with mpmath.workdps(30):
        reached, slope = beta_tail(a, b, p, q)
        return abs(float((reached - mpmath.mpf(tail)) / slope))


def test_reference_agrees_with_mpmath():
    # The quadrature above must be right before anything is measured by it.
    for a, b, p in [(30, 971, 0.0213), (971, 30, 0.957), (1, 1000, 2e-5), (500, 501, 0.46)]:
        with mpmath.workdps(30):
            tail, _ = beta_tail(a, b, p, 1 - mpmath.mpf(p))
            assert float(tail / mpmath.betainc(a, b, 0, p, regularized=True)) == pytest.approx(
                1.0, rel=1e-15
            )


@pytest.mark.parametrize("n", SIZES)
def test_ends_have_all_digits(n):
    half = 0.5 * (1.0 - 0.95)
    for x in successes(n):
        interval = clopper_pearson(x, n)
        low, high = interval.low, interval.high
        assert relative_error(x, n - x + 1, low, 1 - mpmath.mpf(low), half) < 1e-12
        # P(X ≤ x) is the tail of the failures below 1 − high.
        with mpmath.workdps(30):
            rest = 1 - mpmath.mpf(high)
        gap = relative_error(n - x, x + 1, rest, high, half) * float(rest) / high
        assert gap < 1e-12


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99, 0.999999])
def test_digits_at_other_confidences(confidence):
    half = 0.5 * (1.0 - confidence)
    for n in (10**3, 10**12):
        for x in (1, 30, n // 2):
            low = clopper_pearson(x, n, confidence).low
            assert relative_error(x, n - x + 1, low, 1 - mpmath.mpf(low), half) < 1e-12


@pytest.mark.parametrize("n", [1, 7, 10**3, 10**12])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999999])
def test_without_successes_or_without_failures(n, confidence):
    half = mpmath.mpf(0.5 * (1.0 - confidence))
    nothing, everything = clopper_pearson(0, n, confidence), clopper_pearson(n, n, confidence)
    assert (nothing.low, everything.high) == (0.0, 1.0)
    with mpmath.workdps(40):
        root = half ** (mpmath.mpf(1) / n)
        assert nothing.high == pytest.approx(float(1 - root), rel=1e-14)
        assert everything.low == pytest.approx(float(root), rel=1e-14)


def test_where_library_routines_fail():
    # From the definition at n = 10¹², where the binomial is Poisson to 10⁻¹²:
    # exp(−μ) = 0.975 and (1 + μ) exp(−μ) = 0.025.
    interval = clopper_pearson(1, 10**12)
    assert interval.low == pytest.approx(-np.log(0.975) * 1e-12, rel=1e-11)
    assert interval.high == pytest.approx(5.571643390938898e-12, rel=1e-11)


def test_stirling_remainders():
    for x in [*range(40), 10**4, 10**9]:
        with mpmath.workdps(60):
            whole = mpmath.loggamma(x + 1) + x - 0.5 * mpmath.log(2 * mpmath.pi)
            half = mpmath.loggamma(x + mpmath.mpf(1) / 2) + x - 0.5 * mpmath.log(2 * mpmath.pi)
            if x:
                whole -= (x + mpmath.mpf(1) / 2) * mpmath.log(x)
                half -= x * mpmath.log(x)
        array = np.array([float(x)])
        assert stirling_error(array)[0] == pytest.approx(float(whole), rel=1e-12, abs=2e-14)
        assert half_stirling_error(array)[0] == pytest.approx(float(half), rel=1e-12, abs=2e-14)


def test_lower_limit_of_even_odds():
    # At a tail of ½ the limit is the median; x of 2x − 1 trials has the median ½ exactly.
    x = np.array([1.0, 2.0, 50.0, 1e6])
    p, q = lower_limit(x, 2.0 * x - 1.0, np.full(4, 0.5))
    np.testing.assert_allclose(p, 0.5, rtol=1e-13)
    np.testing.assert_allclose(p + q, 1.0, rtol=1e-15)


def test_expit_keeps_both_digits():
    p, q = expit(np.array([-40.0, 0.0, 40.0]))
    np.testing.assert_allclose(p, [np.exp(-40.0), 0.5, 1.0], rtol=1e-15)
    np.testing.assert_allclose(q, p[::-1], rtol=1e-15)


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.999])
@pytest.mark.parametrize("n", [1, 5, 20, 100])
def test_coverage_is_honest(n, confidence):
    x = np.arange(n + 1)
    low, high = clopper_pearson_many(x, n, confidence)
    for p in np.concatenate([np.linspace(0.0, 1.0, 101), [1e-4, 0.003, 0.997]]):
        weight = binom.pmf(x, n, p)
        half = 0.5 * (1.0 - confidence) + 1e-12
        assert weight[low > p].sum() <= half
        assert weight[high < p].sum() <= half


def test_coverage_is_not_absurdly_large():
    # The mean coverage at n = 100 is 0.966; 0.95 is not reached since counts are discrete.
    n = 100
    x = np.arange(n + 1)
    low, high = clopper_pearson_many(x, n)
    grid = np.linspace(0.05, 0.95, 181)
    inside = [(binom.pmf(x, n, p)[(low <= p) & (p <= high)]).sum() for p in grid]
    assert np.mean(inside) < 0.97
    # At large n the interval is as narrow as the normal one.
    wide = clopper_pearson(10**9, 10**10)
    assert wide.half_width == pytest.approx(1.959964 * np.sqrt(0.1 * 0.9 / 10**10), rel=1e-4)


def test_many_is_one_by_one():
    x, n = np.array([[0, 3, 50]]), np.array([[50], [2000]])
    low, high = clopper_pearson_many(x, n, 0.9)
    assert low.shape == high.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        one = clopper_pearson(int(x[0, j]), int(n[i, 0]), 0.9)
        assert (low[i, j], high[i, j]) == pytest.approx((one.low, one.high), rel=1e-13)


def test_more_rows_than_a_block():
    x = np.arange(1, 3001)
    low, _ = clopper_pearson_many(x, 10**6)
    assert np.all(np.diff(low) > 0.0)
    assert low[2500] == pytest.approx(clopper_pearson(2501, 10**6).low, rel=1e-13)


@settings(max_examples=60)
@given(st.integers(0, 10**12), st.integers(0, 10**12), st.floats(0.01, 0.9999))
def test_laws(one, other, confidence):
    x, n = min(one, other), max(one, other)
    interval = clopper_pearson(x, n, confidence)
    mirror = clopper_pearson(n - x, n, confidence)
    assert 0.0 <= interval.low <= interval.high <= 1.0
    assert n == 0 or interval.low <= x / n <= interval.high
    assert interval.high == pytest.approx(1.0 - mirror.low, rel=1e-12, abs=1e-15)
    wider = clopper_pearson(x, n, 0.5 + 0.5 * confidence)
    assert wider.low <= interval.low
    assert wider.high >= interval.high


def test_no_trials_say_nothing():
    assert clopper_pearson(0, 0) == Interval(0.0, 1.0, 0.95)


def test_bounds_take_undecided_both_ways():
    counts = Counts(global_=10, spurious=60, other=5, diverged=5, undecided=20)
    bounds = proportion_bounds(counts, 0.9)
    assert bounds.low == clopper_pearson(10, 100, 0.9).low
    assert bounds.high == clopper_pearson(30, 100, 0.9).high
    assert bounds.confidence == 0.9
    assert proportion_bounds(Counts()) == Interval(0.0, 1.0, 0.95)


def test_a_table_of_bounds_is_made_of_single_ones():
    rng = np.random.default_rng(0)
    n = rng.choice([1, 10, 1000], (7, 40))
    x, u = rng.binomial(n, 0.3), np.zeros_like(n)
    u[:, ::3] = rng.binomial((n - x)[:, ::3], 0.2)
    low, high = proportion_bounds_many(x, u, n, 0.9)
    for at in np.ndindex(n.shape):
        counts = Counts(global_=x[at], undecided=u[at], spurious=n[at] - x[at] - u[at])
        one = proportion_bounds(counts, 0.9)
        assert (low[at], high[at]) == pytest.approx((one.low, one.high), rel=1e-13)


@pytest.mark.parametrize(
    ("p", "target", "confidence"),
    [
        (0.1155, 1e-3, 0.95),
        (0.0, 1e-4, 0.95),
        (1.0, 1e-4, 0.99),
        (0.5, 1e-5, 0.95),
        (0.3, 0.4, 0.5),
    ],
)
def test_needed_for_half_width(p, target, confidence):
    n = needed_for_half_width(p, target, confidence)
    assert clopper_pearson(round(n * p), n, confidence).half_width <= target
    fewer = n - 1
    assert clopper_pearson(round(fewer * p), fewer, confidence).half_width > target


def test_interval_speaks():
    assert str(clopper_pearson(3, 30)) == "[0.02112, 0.2653] at 95 %"
    assert str(clopper_pearson(5 * 10**11, 10**12)) == "[0.49999902, 0.50000098] at 95 %"
    assert str(Interval(3.0, float("inf"), 0.99)) == "[3, inf] at 99 %"
    interval = Interval(0.25, 0.75, 0.95)
    assert interval.half_width == 0.25
    assert 0.25 in interval
    assert 0.7501 not in interval


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: clopper_pearson(-1, 3), "successes"),
        (lambda: clopper_pearson(4, 3), "successes"),
        (lambda: clopper_pearson(1.5, 3), "successes"),
        (lambda: clopper_pearson(True, 3), "successes"),
        (lambda: clopper_pearson(1, float("nan")), "trials"),
        (lambda: clopper_pearson(1, 2**60), "trials"),
        (lambda: clopper_pearson(1, 3, 95), "confidence"),
        (lambda: clopper_pearson(1, 3, 0.0), "confidence"),
        (lambda: clopper_pearson(1, 3, float("nan")), "confidence"),
        (lambda: clopper_pearson_many([1, 2], [3, 4, 5]), "successes, trials"),
        (lambda: clopper_pearson_many([1.5], [3]), "successes"),
        (lambda: clopper_pearson_many([float("nan")], [3]), "successes"),
        (lambda: clopper_pearson_many(["a"], [3]), "successes"),
        (lambda: clopper_pearson_many([4], [3]), "successes"),
        (lambda: clopper_pearson_many([0], [-3]), "trials"),
        (lambda: proportion_bounds(Counts(), 1.0), "confidence"),
        (lambda: proportion_bounds_many([2], [2], [3]), "successes, hidden"),
        (lambda: proportion_bounds_many([2], [-1], [3]), "hidden"),
        (lambda: needed_for_half_width(1.5, 0.1), "p_guess"),
        (lambda: needed_for_half_width(0.5, 0.0), "half_width"),
        (lambda: needed_for_half_width(0.5, 1e-9), "half_width"),
        (lambda: Interval(0.5, 0.4, 0.95), "low, high"),
        (lambda: Interval(float("nan"), 0.4, 0.95), "low, high"),
        (lambda: Interval(0.0, 0.4, 1.0), "confidence"),
    ],
)
def test_refusals_name_the_argument(call, argument):
    with pytest.raises(InputError, match="must") as caught:
        call()
    assert caught.value.argument == argument
