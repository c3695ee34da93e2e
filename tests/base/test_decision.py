"""Decisions: rarely wrong however long one watches, and reached in a reasonable time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn.base.counts import Counts
from jaxcnn.base.decision import Decision, decide_above, decide_better, decide_better_paired
from jaxcnn.base.difference_sequence import difference_sequence
from jaxcnn.base.errors import InputError
from jaxcnn.base.paired_counts import PairedCounts
from jaxcnn.base.sequence import sequence_bounds

SIZES = 20 * np.arange(1, 201)
ABOVE, BELOW, OPEN = Decision.ABOVE, Decision.BELOW, Decision.OPEN
COUNTS = st.builds(
    Counts, global_=st.integers(0, 300), spurious=st.integers(0, 300), undecided=st.integers(0, 20)
)


def out_of(x, n):
    return Counts(global_=x, spurious=n - x)


def pairs(x, y, both=0):
    return PairedCounts.decided(both=both, only_first=x, only_second=y, neither=0)


def false_alarms(decide, studies):
    """How many studies are ever decided; `studies` holds running totals, (study, look, …)."""
    return sum(any(decide(*look) is not OPEN for look in study.tolist()) for study in studies)


def test_threshold_false_alarms_under_200_looks():
    # The truth is the threshold, so every decision is wrong. 40 studies of 200 looks, seed
    # fixed. The error is about 0.01 in fact, so more than the 2 that 5 % would allow have
    # probability 0.008; `test_sequence` computes such an error exactly.
    draws = np.random.default_rng(5).binomial(20, 0.1, size=(40, 200)).cumsum(axis=1)
    looks = np.stack([draws, np.broadcast_to(SIZES, draws.shape)], axis=-1)
    decide = lambda x, n: decide_above(out_of(x, n), 0.1)  # noqa: E731
    assert false_alarms(decide, looks) <= 2


def test_comparison_false_alarms_under_200_looks():
    # Two equal settings: the same statement for 20 studies and 1 false alarm.
    draws = np.random.default_rng(6).binomial(20, 0.1, size=(20, 200, 2)).cumsum(axis=1)
    looks = np.concatenate([draws, np.broadcast_to(SIZES[:, None], (20, 200, 1))], axis=-1)
    decide = lambda x, y, n: decide_better(out_of(x, n), out_of(y, n))  # noqa: E731
    assert false_alarms(decide, looks) <= 1


def test_paired_comparison_false_alarms_under_200_looks():
    # Two equally good settings: the same statement as for a threshold.
    draws = np.random.default_rng(8).multinomial(20, [0.1, 0.1, 0.8], size=(40, 200))
    decide = lambda x, y, both: decide_better_paired(pairs(x, y, both))  # noqa: E731
    assert false_alarms(decide, draws.cumsum(axis=1)) <= 2


def test_decided_in_reasonable_time():
    # At the expected counts. A test at fixed n with power ½ would need 50, 110 and 380.
    decisions = [decide_above(out_of(n // 5, n), 0.1) for n in (50, 200)]
    assert decisions == [OPEN, ABOVE]
    decisions = [decide_above(out_of(n // 20, n), 0.1) for n in (60, 400)]
    assert decisions == [OPEN, BELOW]
    decisions = [decide_better(out_of(3 * n // 10, n), out_of(n // 5, n)) for n in (200, 1000)]
    assert decisions == [OPEN, ABOVE]
    assert decide_better(out_of(200, 1000), out_of(300, 1000)) is BELOW


def test_pairs_decide_sooner():
    # The same two proportions, of which most pairs agree.
    assert decide_better(out_of(120, 400), out_of(92, 400)) is OPEN
    assert decide_better_paired(pairs(34, 6, both=86)) is ABOVE
    assert decide_better_paired(pairs(6, 34, both=86)) is BELOW
    assert decide_better_paired(pairs(34, 6, both=10**9)) is ABOVE
    assert decide_better_paired(pairs(7, 2)) is OPEN


@settings(max_examples=60)
@given(COUNTS, st.floats(0.01, 0.99), st.floats(0.1, 0.999))
def test_threshold_decision_is_what_the_sequence_excludes(counts, threshold, confidence):
    bounds = sequence_bounds(counts, confidence)
    decision = decide_above(counts, threshold, confidence)
    assert (decision is ABOVE) == (bounds.low > threshold)
    assert (decision is BELOW) == (bounds.high < threshold)


@settings(max_examples=40)
@given(COUNTS, COUNTS, st.floats(0.1, 0.999))
def test_comparison_is_what_the_difference_sequence_excludes(first, second, confidence):
    interval = difference_sequence(first, second, confidence).interval
    decision = decide_better(first, second, confidence)
    assert (decision is ABOVE) == (interval.low > 0.0)
    assert (decision is BELOW) == (interval.high < 0.0)


def test_undecided_runs_hold_a_decision_back():
    assert decide_above(Counts(global_=60, spurious=40), 0.3) is ABOVE
    assert decide_above(Counts(global_=35, spurious=40, undecided=25), 0.3) is OPEN
    assert decide_above(Counts(global_=5, spurious=95), 0.3) is BELOW
    assert decide_above(Counts(global_=5, spurious=70, undecided=25), 0.3) is OPEN
    ahead, behind = out_of(160, 200), out_of(90, 200)
    assert decide_better(ahead, behind) is ABOVE
    hidden = Counts(global_=90, spurious=50, undecided=60)
    assert decide_better(ahead, hidden) is OPEN
    assert decide_better(hidden, ahead) is OPEN
    table = ((5, 30, 0), (4, 9, 0), (0, 0, 0))
    assert decide_better_paired(PairedCounts(table)) is ABOVE
    table = ((5, 4, 0), (30, 9, 0), (0, 0, 0))
    assert decide_better_paired(PairedCounts(table)) is BELOW
    table = ((5, 30, 0), (4, 9, 10), (8, 0, 0))
    assert decide_better_paired(PairedCounts(table)) is OPEN
    table = ((5, 4, 8), (30, 9, 0), (0, 10, 0))
    assert decide_better_paired(PairedCounts(table)) is OPEN


def test_nothing_seen_decides_nothing():
    assert decide_above(Counts(), 0.5) is OPEN
    assert decide_better(Counts(), Counts()) is OPEN
    assert decide_better(out_of(10**6, 10**6), Counts()) is OPEN
    assert decide_better_paired(pairs(0, 0)) is OPEN


def test_rare_successes_at_huge_numbers():
    assert decide_above(out_of(100, 10**12), 1e-11) is ABOVE
    assert decide_above(out_of(100, 10**12), 1e-10) is OPEN
    assert decide_above(out_of(100, 10**12), 1e-9) is BELOW


def test_members_carry_a_sentence():
    assert [decision.value for decision in Decision] == ["above", "below", "open"]
    assert Decision("open").sentence == "The restarts so far do not decide."


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: decide_above(Counts(), 0.0), "threshold"),
        (lambda: decide_above(Counts(), 10), "threshold"),
        (lambda: decide_above(Counts(), float("nan")), "threshold"),
        (lambda: decide_above(Counts(), 0.5, 95), "confidence"),
        (lambda: decide_better(Counts(), Counts(), 1.0), "confidence"),
        (lambda: decide_better_paired(pairs(0, 0), 0.0), "confidence"),
    ],
)
def test_refusals_name_the_argument(call, argument):
    with pytest.raises(InputError, match="must") as caught:
        call()
    assert caught.value.argument == argument
