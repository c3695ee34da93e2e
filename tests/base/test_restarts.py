"""Several restarts: digits, ties, and the map of intervals."""

import math
from decimal import Decimal

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn.base.errors import InputError
from jaxcnn.base.interval import Interval, clopper_pearson
from jaxcnn.base.restarts import any_of, restarts_needed


@pytest.mark.parametrize("p", [1e-300, 1e-12, 0.1155, 0.5, 1 - 1e-9])
@pytest.mark.parametrize("m", [1, 2, 9, 10**6, 10**12])
def test_any_of_has_all_digits(p, m):
    with mpmath.workdps(60):
        exact = 1 - (1 - mpmath.mpf(p)) ** m
    assert any_of(p, m) == pytest.approx(float(exact), rel=1e-14)


def test_any_of_at_the_ends():
    assert any_of(0.0, 5) == 0.0
    assert any_of(1.0, 5) == 1.0
    assert any_of(0.3, 0) == any_of(1.0, 0) == 0.0
    assert any_of(0.3, 1) == pytest.approx(0.3, rel=1e-15)


@given(st.floats(0.0, 1.0), st.integers(0, 50), st.integers(0, 50))
def test_any_of_composes(p, one, other):
    both = any_of(p, one) + any_of(p, other) * (1.0 - any_of(p, one))
    assert any_of(p, one + other) == pytest.approx(both, rel=1e-12)


@pytest.mark.parametrize("decimal", [*(f"0.{i:02}" for i in range(1, 100))])
def test_decimal_ties_are_reached(decimal):
    p = float(decimal)
    for m in range(1, 30):
        delta = float((1 - Decimal(decimal)) ** m)
        assert restarts_needed(p, delta) == m
        assert restarts_needed(p, delta * (1.0 - 1e-9)) == m + 1


@pytest.mark.parametrize("decimal", ["0.999", "0.9993", "0.99997", "0.999999", "0.9999997"])
def test_ties_near_one_are_reached(decimal):
    # Here 1 − p carries few digits of the p that was meant.
    for m in range(1, 8):
        assert restarts_needed(float(decimal), float((1 - Decimal(decimal)) ** m)) == m


@given(st.floats(1e-9, 0.9), st.floats(1e-9, 0.999))
def test_needed_is_the_smallest(p, delta):
    m = int(restarts_needed(p, delta))
    assert (1.0 - any_of(p, m)) <= delta * (1.0 + 1e-6)
    with mpmath.workdps(40):
        assert m == 1 or (1 - mpmath.mpf(p)) ** (m - 1) > delta


def test_needed_at_the_ends():
    assert restarts_needed(0.0, 0.05) == math.inf
    assert restarts_needed(1e-320, 0.05) == math.inf
    assert restarts_needed(1.0, 1e-300) == 1
    assert restarts_needed(0.5, 0.9) == 1


def test_intervals_map_monotonically():
    interval = clopper_pearson(10, 100, 0.9)
    several = any_of(interval, 9)
    assert several == Interval(any_of(interval.low, 9), any_of(interval.high, 9), 0.9)
    needed = restarts_needed(interval, 0.05)
    assert needed.low == restarts_needed(interval.high, 0.05)
    assert needed.high == restarts_needed(interval.low, 0.05)
    assert needed.low <= restarts_needed(0.1, 0.05) <= needed.high


def test_zero_not_excluded_needs_infinitely_many():
    needed = restarts_needed(clopper_pearson(0, 100), 0.05)
    assert needed.high == math.inf
    assert needed.low == 82
    assert str(needed) == "[82, inf] at 95 %"


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: any_of(1.5, 2), "probability"),
        (lambda: any_of(float("nan"), 2), "probability"),
        (lambda: any_of("half", 2), "probability"),
        (lambda: any_of(Interval(-0.1, 0.5, 0.95), 2), "probability"),
        (lambda: any_of(0.5, -1), "m"),
        (lambda: any_of(0.5, 2.0), "m"),
        (lambda: restarts_needed(-0.1, 0.05), "probability"),
        (lambda: restarts_needed(0.5, 0.0), "delta"),
        (lambda: restarts_needed(0.5, 1.0), "delta"),
        (lambda: restarts_needed(0.5, float("nan")), "delta"),
    ],
)
def test_refusals_name_the_argument(call, argument):
    with pytest.raises(InputError, match="must") as caught:
        call()
    assert caught.value.argument == argument
