import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxcnn.base.outcome import Outcome
from jaxcnn.study.step_statistics import Steps, StepStatistics

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


@given(st.lists(steps.filter(len), max_size=5), st.sampled_from([0, 12, 28]))
def test_several_sets_at_once(sets, shift):
    parts = [((values % 5 + 1).astype(np.uint8), values >> np.uint32(shift)) for values in sets]
    assert list(StepStatistics.of_each(parts)) == [StepStatistics.of(*part) for part in parts]
