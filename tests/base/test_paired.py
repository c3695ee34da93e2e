"""Differences of two proportions: coverage by enumeration, width, undecided runs."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, multinomial, poisson

from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import InputError
from jaxcnn.base.interval import Interval, clopper_pearson
from jaxcnn.base.outcome import Outcome
from jaxcnn.base.paired import (
    paired_difference,
    paired_difference_many,
    unpaired_difference,
    unpaired_difference_many,
)
from jaxcnn.base.paired_counts import PairedCounts

GRID = [0.0, 0.004, 0.02, 0.05, 0.1, 0.18, 0.3, 0.42, 0.5, 0.58, 0.7, 0.82, 0.9, 0.97, 0.995, 1.0]
CELL = st.integers(0, 10**9)
ROW = st.tuples(CELL, CELL, CELL)
TABLES = st.builds(PairedCounts, st.tuples(ROW, ROW, ROW))


def tables(n):
    x, y = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    fits = x + y <= n
    return x[fits], y[fits]


def honest(weight, low, high, truth, confidence):
    """Each end errs with at most half of the allowed probability."""
    allowed = 0.5 * (1.0 - confidence) + 1e-9
    return weight[low > truth + 1e-12].sum() <= allowed >= weight[high < truth - 1e-12].sum()


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.999])
@pytest.mark.parametrize("n", [1, 4, 10, 18])
def test_paired_coverage_is_honest(n, confidence):
    x, y = tables(n)
    low, high = paired_difference_many(x, y, n, confidence)
    counts = np.stack([x, y, n - x - y], axis=-1)
    for p, q in product(GRID, GRID):
        # p + q = 1, every pair discordant, is where approximate intervals fail.
        for first, second in {(p, q * (1.0 - p)), (p, 1.0 - p)}:
            cells = [first, second, max(0.0, 1.0 - first - second)]
            weight = multinomial.pmf(counts, n, cells)
            assert honest(weight, low, high, first - second, confidence)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_paired_coverage_with_few_discordant_pairs(confidence):
    # Discordant pairs are rare: the two counts are Poisson. Counts above 22 are taken as
    # covered, which hides less than 2·10⁻⁵ at means up to 8.
    n, most = 10**9, 23
    x, y = (v.ravel() for v in np.meshgrid(np.arange(most), np.arange(most), indexing="ij"))
    low, high = paired_difference_many(x, y, n, confidence)
    for mean_x, mean_y in product([0.0, 0.05, 0.3, 0.7, 1.2, 2.0, 3.1, 4.5, 6.0, 8.0], repeat=2):
        weight = poisson.pmf(x, mean_x) * poisson.pmf(y, mean_y)
        assert honest(weight, n * low, n * high, mean_x - mean_y, confidence)


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.999])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 5), (9, 9), (14, 6)])
def test_unpaired_coverage_is_honest(n, m, confidence):
    x, y = np.arange(n + 1)[:, None], np.arange(m + 1)
    low, high = unpaired_difference_many(x, n, y, m, confidence)
    for p, q in product(GRID, GRID):
        weight = binom.pmf(x, n, p) * binom.pmf(y, m, q)
        assert honest(weight, low, high, p - q, confidence)


def test_coverage_at_a_million_pairs():
    # 400 draws with the seed fixed. The true coverage is 0.95, so fewer than 364 covered has
    # probability 10⁻⁴ and all 400 covered 10⁻⁹.
    n, p, q = 10**6, 0.02, 0.013
    draws = np.random.default_rng(7).multinomial(n, [p, q, 1 - p - q], size=400)
    low, high = paired_difference_many(draws[:, 0], draws[:, 1], n)
    assert 364 <= np.sum((low <= p - q) & (p - q <= high)) < 400


def test_excludes_zero_exactly_when_mcnemar_does():
    x, y = tables(16)
    low, high = paired_difference_many(x, y, 40, 0.95)
    for k in range(x.size):
        m = int(x[k] + y[k])
        rejected = m > 0 and binomtest(int(x[k]), m).pvalue <= 0.05
        assert (low[k] > 0.0 or high[k] < 0.0) == rejected


def test_as_narrow_as_the_normal_interval():
    n = 10**8
    for x, y in [(10**6, 9 * 10**5), (3 * 10**7, 7 * 10**7), (10**7, 10)]:
        low, high = paired_difference_many(x, y, n)
        p, q = x / n, y / n
        normal = 1.959964 * np.sqrt((p + q - (p - q) ** 2) / n)
        assert 0.5 * (high - low) == pytest.approx(normal, rel=3e-3)
    low, high = unpaired_difference_many(10**6, 10**7, 3 * 10**7, 10**8)
    normal = 1.959964 * np.sqrt(0.1 * 0.9 / 10**7 + 0.3 * 0.7 / 10**8)
    assert 0.5 * (high - low) == pytest.approx(normal, rel=3e-3)


def test_narrower_than_two_exact_intervals():
    counts = PairedCounts.decided(both=800, only_first=40, only_second=30, neither=130)
    paired = paired_difference(counts).interval
    one, two = clopper_pearson(40, 1000, 0.975), clopper_pearson(30, 1000, 0.975)
    assert paired.half_width < 0.75 * (one.half_width + two.half_width)


def test_pairing_pays():
    counts = PairedCounts.decided(both=290, only_first=12, only_second=6, neither=692)
    first = Counts(global_=302, spurious=698)
    second = Counts(global_=296, spurious=704)
    paired, unpaired = paired_difference(counts), unpaired_difference(first, second)
    assert paired.estimate == pytest.approx(0.006)
    assert unpaired.estimate == pytest.approx(0.006)
    assert paired.interval.half_width < 0.25 * unpaired.interval.half_width


def test_without_discordant_pairs():
    # Then only their probability is in question, and it has a one-sample limit.
    counts = PairedCounts.decided(both=30, only_first=0, only_second=0, neither=70)
    interval = paired_difference(counts).interval
    limit = clopper_pearson(0, 100).high
    assert (interval.low, interval.high) == pytest.approx((-limit, limit), rel=1e-12)


@settings(max_examples=20)
@given(TABLES)
def test_swapping_the_settings_changes_the_sign(counts):
    table = counts.table
    (a, b, c), (d, e, f), (g, h, i) = zip(*table, strict=True)
    one = paired_difference(counts).interval
    two = paired_difference(PairedCounts(((a, b, c), (d, e, f), (g, h, i)))).interval
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low), rel=1e-12)


def test_undecided_runs_are_taken_every_way():
    counts = PairedCounts(((2, 1, 1), (0, 3, 2), (1, 0, 1)))
    ends = (0, 1)
    gaps = []
    for hidden in product(ends, repeat=6):
        # One success, undecided; two failures, undecided; undecided with a success; both.
        pairs = [(1, hidden[0]), (0, hidden[1]), (0, hidden[2]), (hidden[3], 1), hidden[4:]]
        gaps.append(1 + sum(first - second for first, second in pairs))
    (x, y), (u, v) = counts.least, counts.most
    assert (x - y, u - v) == (min(gaps), max(gaps))
    interval = paired_difference(counts).interval
    n = counts.restarts
    assert interval.low == paired_difference_many(x, y, n)[0]
    assert interval.high == paired_difference_many(u, v, n)[1]
    assert counts.estimate == pytest.approx((4 - 3) / 11)


def test_unpaired_undecided_runs_widen_both_ends():
    decided = unpaired_difference(Counts(global_=30, other=70), Counts(global_=20, diverged=80))
    first = Counts(global_=30, other=65, undecided=5)
    second = Counts(global_=20, diverged=70, undecided=10)
    wide = unpaired_difference(first, second)
    assert wide.estimate == decided.estimate == pytest.approx(0.1)
    low, _ = unpaired_difference_many(30, 100, 30, 100)
    _, high = unpaired_difference_many(35, 100, 20, 100)
    assert (wide.interval.low, wide.interval.high) == (low, high)


def test_nothing_seen_says_nothing():
    nothing = Interval(-1.0, 1.0, 0.95)
    assert paired_difference(PairedCounts.decided(both=0, only_first=0, only_second=0, neither=0))
    assert paired_difference(PairedCounts(((0, 0, 0),) * 3)).interval == nothing
    assert unpaired_difference(Counts(), Counts()).interval == nothing
    # One side alone still bounds the difference.
    one = unpaired_difference(Counts(global_=10), Counts()).interval
    assert one.low == pytest.approx(clopper_pearson(10, 10).low - 1.0)


def test_tabulates_outcomes():
    reached, missed, hidden = Outcome.GLOBAL, Outcome.SPURIOUS, Outcome.UNDECIDED
    first = np.array([reached, reached, reached, Outcome.DIVERGED, hidden], dtype=np.uint8)
    second = np.array([reached, Outcome.OTHER, hidden, reached, hidden], dtype=np.uint8)
    first, second = np.append(first, missed), np.append(second, hidden)
    counts = PairedCounts.of(first, second)
    assert counts == PairedCounts(((1, 1, 1), (1, 0, 1), (0, 0, 1)))
    assert counts.restarts == 6
    assert PairedCounts.of(first[:0], second[:0]).restarts == 0


@given(TABLES, TABLES, TABLES)
def test_merge_laws(one, two, three):
    zero = PairedCounts(((0, 0, 0),) * 3)
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + zero == one
    assert (one + two).restarts == one.restarts + two.restarts


def test_difference_speaks():
    counts = PairedCounts.decided(both=290, only_first=12, only_second=6, neither=692)
    assert str(paired_difference(counts)) == "0.006 in [-0.003495, 0.01633] at 95 %"


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: PairedCounts(((0, 0), (0, 0))), "table"),
        (lambda: PairedCounts(((0, 0, 0), (0, 0, -1), (0, 0, 0))), "table[1][2]"),
        (lambda: PairedCounts.of([1, 2], [1]), "first, second"),
        (lambda: PairedCounts.of([1, 0], [1, 1]), "first"),
        (lambda: PairedCounts.of([1, 2], [1, 9]), "second"),
        (lambda: paired_difference(PairedCounts(((0, 0, 0),) * 3), 95.0), "confidence"),
        (lambda: paired_difference_many(3, 4, 6), "only_first + only_second"),
        (lambda: paired_difference_many([1, 2], [1, 2, 3], 9), "only_first, only_second, restarts"),
        (lambda: paired_difference_many(-1, 2, 9), "only_first"),
        (lambda: unpaired_difference(Counts(), Counts(), float("nan")), "confidence"),
        (lambda: unpaired_difference_many(4, 3, 1, 3), "first"),
        (lambda: unpaired_difference_many(1, 3, 4, 3), "second"),
    ],
)
def test_refusals_name_the_argument(call, argument):
    with pytest.raises(InputError, match="must") as caught:
        call()
    assert caught.value.argument == argument
