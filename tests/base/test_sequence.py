"""Confidence sequences: digits, exact error under watching, width, undecided runs."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multinomial

from jaxcnn.base.binomial import deviance
from jaxcnn.base.counts import Counts
from jaxcnn.base.difference_sequence import difference_sequence, paired_difference_sequence
from jaxcnn.base.errors import InputError
from jaxcnn.base.interval import Interval, clopper_pearson, clopper_pearson_many
from jaxcnn.base.paired import paired_difference
from jaxcnn.base.paired_counts import PairedCounts
from jaxcnn.base.sequence import confidence_sequence, mixture_cost, sequence_bounds


def out_of(x, n):
    return Counts(global_=x, spurious=n - x)


def discordant(x, y, n):
    return PairedCounts.decided(both=0, only_first=x, only_second=y, neither=n - x - y)


def log_capital(x, y, p):
    x, y, half = mpmath.mpf(x), mpmath.mpf(y), mpmath.mpf(1) / 2
    mixture = mpmath.loggamma(x + half) + mpmath.loggamma(y + half) - mpmath.loggamma(x + y + 1)
    stake = (x * mpmath.log(p) if x else 0) + (y * mpmath.log1p(-p) if y else 0)
    return mixture - mpmath.log(mpmath.pi) - stake


@pytest.mark.parametrize("n", [1, 2, 10, 10**3, 10**6, 10**12])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999999])
def test_ends_have_all_digits(n, confidence):
    for x in sorted(x for x in {0, 1, 2, 30, n // 2, n - 1, n} if x <= n):
        for end in map(float, confidence_sequence(x, n, confidence)):
            if end in (0.0, 1.0):
                continue
            with mpmath.workdps(40):
                p = mpmath.mpf(end)
                gap = log_capital(x, n - x, p) + mpmath.log1p(-mpmath.mpf(confidence))
                slope = (n - x) / (1 - p) - x / p
                assert abs(float(gap / slope / p)) < 1e-13


def errors_under_watching(intervals, p, looks, every):
    """Probability that an interval ever excludes p, by following all paths at once."""
    n = every * np.arange(1, looks + 1)
    x = np.concatenate([np.arange(k + 1) for k in n])
    low, high = intervals(x, np.repeat(n, n + 1))
    step = binom.pmf(np.arange(every + 1), every, p)
    alive, erred, start = np.ones(1), 0.0, 0
    for k in n:
        alive = np.convolve(alive, step)
        out = (low[start : start + k + 1] > p) | (high[start : start + k + 1] < p)
        erred += alive[out].sum()
        alive[out] = 0.0
        start += k + 1
    return erred


def test_watching_200_looks_errs_in_at_most_one_of_twenty():
    # Exact, no simulation. The sequence errs in 2.5 % at p = ½ and 1.7 % at p = 0.1; the same
    # computation finds that a 95 % interval watched in this way errs in 34 % at p = ½.
    for p in (0.1, 0.5):
        assert 0.01 < errors_under_watching(confidence_sequence, p, 200, 4) < 0.05
    assert errors_under_watching(clopper_pearson_many, 0.5, 200, 4) > 0.3


def test_watching_every_restart_spends_most_of_a_large_error():
    # At 50 % confidence and small n the martingale is nearly used up: the bound is not slack
    # by a factor, so the test above is not passed by being absurdly wide.
    narrow = lambda x, n: confidence_sequence(x, n, 0.5)  # noqa: E731
    assert 0.15 < errors_under_watching(narrow, 0.5, 300, 1) <= 0.5


def test_width_beside_a_fixed_interval():
    for n, ratio in [(100, 1.6), (10**4, 2.05), (10**6, 2.35), (10**12, 3.1)]:
        low, high = confidence_sequence(n // 10, n)
        assert float(high - low) < 2.0 * ratio * clopper_pearson(n // 10, n).half_width


@settings(max_examples=60)
@given(st.integers(0, 10**12), st.integers(0, 10**12), st.floats(0.01, 0.9999))
def test_laws(one, other, confidence):
    x, n = min(one, other), max(one, other)
    low, high = map(float, confidence_sequence(x, n, confidence))
    mirror = confidence_sequence(n - x, n, confidence)
    assert 0.0 <= low <= high <= 1.0
    assert n == 0 or low <= x / n * (1 + 1e-12)
    assert high == pytest.approx(1.0 - float(mirror[0]), rel=1e-12, abs=1e-15)
    more = confidence_sequence(min(x + 1, n), n, confidence)
    assert low <= more[0] * (1.0 + 1e-12)
    assert high <= more[1] * (1.0 + 1e-12)


def test_table_is_one_by_one():
    x, n = np.array([[0, 3, 50]]), np.array([[50], [2000]])
    low, high = confidence_sequence(x, n)
    assert low.shape == high.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        one = confidence_sequence(x[0, j], n[i, 0])
        assert (low[i, j], high[i, j]) == pytest.approx((float(one[0]), float(one[1])), rel=1e-12)


def test_bounds_take_undecided_both_ways():
    counts = Counts(global_=10, spurious=60, other=5, diverged=5, undecided=20)
    bounds = sequence_bounds(counts, 0.9)
    assert bounds.low == pytest.approx(sequence_bounds(out_of(10, 100), 0.9).low)
    assert bounds.high == pytest.approx(sequence_bounds(out_of(30, 100), 0.9).high)
    assert sequence_bounds(Counts()) == Interval(0.0, 1.0, 0.95)
    assert mixture_cost(np.zeros(1), np.zeros(1)) == 0.0


def test_difference_is_the_shadow_of_the_joint_set():
    # Every pair of probabilities on a fine grid, kept or refuted one by one.
    (x, n), (y, m) = (59, 859), (52, 952)
    grid = np.linspace(0.02, 0.14, 1201)

    def spent(x, n):
        return deviance(np.full(1201, float(x)), np.full(1201, float(n - x)), grid, 1.0 - grid)

    cost = mixture_cost(np.array([x, y], float), np.array([n - x, m - y], float)).sum()
    kept = spent(x, n)[:, None] + spent(y, m)[None, :] <= np.log(20.0) + cost
    gaps = (grid[:, None] - grid[None, :])[kept]
    interval = difference_sequence(out_of(x, n), out_of(y, m)).interval
    assert interval.low == pytest.approx(gaps.min(), abs=2e-4)
    assert interval.high == pytest.approx(gaps.max(), abs=2e-4)
    assert interval.low <= gaps.min()
    assert interval.high >= gaps.max()


def test_difference_takes_undecided_runs_both_ways():
    first = Counts(global_=30, other=65, undecided=5)
    second = Counts(global_=20, diverged=70, undecided=10)
    wide = difference_sequence(first, second)
    assert wide.estimate == pytest.approx(0.1)
    assert wide.interval.low == difference_sequence(out_of(30, 100), out_of(30, 100)).interval.low
    high = difference_sequence(out_of(35, 100), out_of(20, 100)).interval.high
    assert wide.interval.high == high


def test_difference_is_narrower_than_two_sequences():
    first, second = out_of(300, 1000), out_of(250, 1000)
    joint = difference_sequence(first, second).interval
    one, two = sequence_bounds(first, 0.975), sequence_bounds(second, 0.975)
    assert joint.half_width < 0.9 * (one.half_width + two.half_width)


def test_difference_at_the_edges():
    nothing = Interval(-1.0, 1.0, 0.95)
    assert difference_sequence(Counts(), Counts()).interval == nothing
    assert paired_difference_sequence(discordant(0, 0, 0)).interval == nothing
    apart = difference_sequence(out_of(50, 50), out_of(0, 50)).interval
    assert apart.high == 1.0
    assert 0.6 < apart.low < 1.0
    rare = difference_sequence(out_of(1, 10**12), out_of(3, 10**12)).interval
    assert -6e-11 < rare.low < -2e-12 < rare.high < 6e-11
    sure = difference_sequence(out_of(10**12 - 1, 10**12), out_of(5 * 10**11, 10**12)).interval
    assert sure.half_width == pytest.approx(0.5e-6 * np.sqrt(2 * (np.log(20) + 28.1)), rel=0.1)


@settings(max_examples=15)
@given(*[st.integers(0, 400) for _ in range(4)])
def test_difference_swaps_and_holds_the_estimate(x, a, y, b):
    one, two = out_of(x, x + a), out_of(y, y + b)
    forth, back = difference_sequence(one, two), difference_sequence(two, one)
    ends = (-back.interval.high, -back.interval.low)
    assert (forth.interval.low, forth.interval.high) == pytest.approx(ends, abs=1e-12)
    assert not (x + a and y + b) or forth.estimate in forth.interval


def best_stake(x, y, n, mean):
    """The largest log capital of one constant stake against `mean`, by search."""
    stake = np.linspace(0.0, 1.0 / (1.0 + mean), 40001)
    total = (n - x - y) * np.log1p(-stake * mean) + x * np.log1p(stake * (1.0 - mean))
    if y:
        with np.errstate(divide="ignore"):
            total = total + y * np.log(np.maximum(1.0 - stake * (1.0 + mean), 0.0))
    return total.max()


@pytest.mark.parametrize(
    ("x", "y", "n"),
    [(9, 2, 200), (9, 0, 200), (0, 0, 50), (0, 7, 50), (50, 0, 50), (30, 20, 50), (3, 46, 50)],
)
def test_paired_end_is_where_the_best_stake_refutes(x, y, n):
    low = paired_difference_sequence(discordant(x, y, n)).interval.low
    cost = float(mixture_cost(np.array([float(n)]), np.zeros(1))[0])
    assert best_stake(x, y, n, low) == pytest.approx(np.log(20.0) + cost, rel=1e-4)


def test_spread_stakes_earn_the_promised_share_of_the_best():
    # The capital of stakes spread by Beta(½, ½) is a polynomial in the stake of degree n, so
    # n + 1 Chebyshev nodes average it exactly.
    generator = np.random.default_rng(3)
    for _ in range(300):
        n = int(generator.integers(1, 60))
        x, y, zero = generator.multinomial(n, generator.dirichlet([0.5, 0.5, 1.0]))
        mean = float(generator.uniform(-0.95, 0.95))
        share = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n + 1) + 0.5) / (n + 1))
        stake = share / (1.0 + mean) - (1.0 - share) / (1.0 - mean)
        factors = [(x, 1.0 - mean), (y, -1.0 - mean), (zero, -mean)]
        powers = [np.maximum(1.0 + stake * gain, 0.0) ** count for count, gain in factors]
        spread = np.log(np.mean(powers[0] * powers[1] * powers[2]))
        cost = float(mixture_cost(np.array([float(n)]), np.zeros(1))[0])
        assert spread >= best_stake(x, y, n, mean) - cost - 1e-9


def test_paired_false_alarms_under_watching():
    # 60 studies of 50 looks, 20 pairs each, seed fixed. Each errs with probability below 0.05
    # by theory and below 0.01 in fact, so more than 3 alarms have probability below 0.005.
    draws = np.random.default_rng(11).multinomial(20, [0.1, 0.1, 0.8], size=(60, 50))
    alarms = 0
    for study in draws.cumsum(axis=1):
        for x, y, zero in study.tolist():
            if 0.0 not in paired_difference_sequence(discordant(x, y, x + y + zero)).interval:
                alarms += 1
                break
    assert alarms <= 3


def test_paired_coverage_at_one_look_by_enumeration():
    n = 14
    cells = [(x, y) for x in range(n + 1) for y in range(n + 1 - x)]
    ends = [paired_difference_sequence(discordant(x, y, n), 0.8).interval for x, y in cells]
    low, high = np.array([(end.low, end.high) for end in ends]).T
    counts = np.array([(x, y, n - x - y) for x, y in cells])
    for p in np.linspace(0.0, 1.0, 11):
        for q in (1.0 - p) * np.linspace(0.0, 1.0, 11):
            weight = multinomial.pmf(counts, n, [p, q, max(0.0, 1.0 - p - q)])
            truth = p - q
            assert weight[(low > truth + 1e-12) | (high < truth - 1e-12)].sum() <= 0.2


def test_paired_width_beside_a_fixed_interval():
    counts = PairedCounts.decided(both=290, only_first=120, only_second=60, neither=6920)
    watched, fixed = paired_difference_sequence(counts), paired_difference(counts)
    assert watched.estimate == fixed.estimate
    assert fixed.interval.half_width < watched.interval.half_width
    assert watched.interval.half_width < 2.2 * fixed.interval.half_width
    huge = discordant(5 * 10**11, 3 * 10**11, 10**12)
    sharp = paired_difference_sequence(huge).interval.half_width
    normal = np.sqrt((0.8 - 0.04) / 1e12)
    assert sharp == pytest.approx(normal * np.sqrt(2 * (np.log(20) + 0.5 * np.log(np.pi * 1e12))))


def test_paired_undecided_runs_are_taken_both_ways():
    hidden = PairedCounts(((2, 10, 3), (5, 40, 2), (4, 1, 1)))
    interval = paired_difference_sequence(hidden).interval
    n = hidden.restarts
    assert interval.low == paired_difference_sequence(discordant(10, 12, n)).interval.low
    assert interval.high == paired_difference_sequence(discordant(15, 5, n)).interval.high


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: confidence_sequence(4, 3), "successes"),
        (lambda: confidence_sequence(-1, 3), "successes"),
        (lambda: confidence_sequence(1, float("nan")), "trials"),
        (lambda: confidence_sequence(1, 3, 1.0), "confidence"),
        (lambda: confidence_sequence([1, 2], [3, 4, 5]), "successes, trials"),
        (lambda: sequence_bounds(Counts(), 95), "confidence"),
        (lambda: difference_sequence(Counts(), Counts(), 0.0), "confidence"),
        (lambda: paired_difference_sequence(discordant(0, 0, 0), 2.0), "confidence"),
    ],
)
def test_refusals_name_the_argument(call, argument):
    with pytest.raises(InputError, match="must") as caught:
        call()
    assert caught.value.argument == argument
