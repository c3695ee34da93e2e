import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxcnn.base.outcome import FINAL, Outcome
from jaxcnn.study.step_statistics import Steps, StepStatistics, rows_of_each

steps = st.integers(0, 40).flatmap(lambda n: arrays(np.uint32, n))


@given(steps)
def test_against_exact_sums(values):
    found, exact = Steps.of(values), [int(v) for v in values]
    assert found.restarts == len(exact)
    assert found.total == sum(exact)
    assert found.squares == sum(v * v for v in exact)
    assert found.most == max(exact, default=0)
    for bits, count in enumerate(found.log2):
        assert count == sum(v.bit_length() == bits for v in exact)
    if exact:
        assert found.mean == pytest.approx(np.mean(exact))
        assert found.deviation == pytest.approx(np.std(exact), abs=1e-6 * found.most)
    assert Steps.from_words(found.words()) == found


@given(steps, steps)
def test_addition_is_that_of_disjoint_sets(one, two):
    assert Steps.of(one) + Steps.of(two) == Steps.of(np.concatenate([two, one]))
    assert Steps.of(one) + Steps() == Steps.of(one)


@given(steps, st.sampled_from([0, 12, 20, 28]))
def test_by_outcome(values, shift):
    # Both ways to add: in doubles where the sums fit, and outcome by outcome.
    outcomes = (values % 5 + 1).astype(np.uint8)
    values = values >> np.uint32(shift)
    found = StepStatistics.of(outcomes, values)
    for outcome in list(Outcome)[1:]:
        assert found[outcome] == Steps.of(values[outcomes == outcome])
    assert found.all == Steps.of(values)
    assert StepStatistics.from_words(found.words()) == found
    assert found + StepStatistics() == found


@pytest.mark.parametrize(
    "words",
    [
        [1, 5, 25, 5, [0, 0, 0, 2]],
        [1, 5, 25, 5, [0, 0, 1]],
        [1, 6, 25, 5, [0, 0, 0, 1]],
        [2, 8, 31, 4, [0, 0, 0, 2]],
        [1, 5.0, 25, 5, [0, 0, 0, 1]],
        [True, 5, 25, 5, [0, 0, 0, 1]],
        [1, -5, 25, 5, [0, 0, 0, 1]],
        [1, 5, 25, 5],
    ],
)
def test_contradictions_are_refused(words):
    with pytest.raises(ValueError, match=r"statistics|unpack"):
        Steps.from_words(words)


@given(
    st.lists(steps.filter(len), min_size=1, max_size=5),
    st.sampled_from([0, 12, 20, 28]),
    st.sampled_from([0, 3]),
    st.sampled_from([1, 500]),
)
def test_several_sets_at_once(sets, right, left, repeats):
    # Few numbers or many, small or large: each is added in a way of its own.
    parts = [
        (
            np.tile(values % 5 + 1, repeats).astype(np.uint8),
            np.tile(values >> right << left, repeats),
        )
        for values in sets
    ]
    outcomes, numbers = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    found = rows_of_each(outcomes, numbers, [part[0].size for part in parts])
    for rows, (own, values) in zip(found, parts, strict=True):
        for outcome in FINAL:
            expected = Steps.of(values[own == outcome])
            row = rows.get(outcome.name.lower(), [0, 0, 0, 0])
            assert [*row[:4], row[4:]] == expected.words()


def test_one_run_that_goes_far_among_many():
    outcomes, numbers = np.ones(5000, np.uint8), np.arange(5000, dtype=np.uint32) % 9 * 32
    outcomes[77], numbers[77] = Outcome.UNDECIDED, 320_000
    rows = rows_of_each(outcomes, numbers, [1000, 4000])
    assert rows[0]["undecided"] == [1, 320_000, 320_000**2, 320_000, *[0] * 19, 1]
    for own, part in zip(rows, (slice(1000), slice(1000, None)), strict=True):
        (row,) = (own[name] for name in ["global"])
        assert [*row[:4], row[4:]] == Steps.of(numbers[part][outcomes[part] == 1]).words()
