"""Counts form a commutative monoid and refuse what is no count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import InputError
from jaxcnn.base.outcome import FINAL, Outcome

NAMES = ("global_", "spurious", "other", "diverged", "undecided")
ANY = st.builds(Counts, **{name: st.integers(0, 10**15) for name in NAMES})
OUTCOMES = st.lists(st.sampled_from(FINAL), max_size=50)


@given(ANY, ANY)
def test_merge_is_commutative(one, two):
    assert one + two == two + one


@given(ANY, ANY, ANY)
def test_merge_is_associative(one, two, three):
    assert (one + two) + three == one + (two + three)


@given(ANY)
def test_no_restarts_are_the_zero(counts):
    assert counts + Counts() == counts
    assert Counts() + counts == counts
    assert Counts().restarts == 0


@given(ANY, ANY)
def test_restarts_add_up(one, two):
    assert (one + two).restarts == one.restarts + two.restarts


@given(OUTCOMES, OUTCOMES)
def test_counting_commutes_with_concatenation(one, two):
    of = lambda outcomes: Counts.of(np.array(outcomes, dtype=np.uint8))  # noqa: E731
    assert of(one + two) == of(one) + of(two)
    assert of(one).restarts == len(one)


def test_of_counts_each_outcome():
    outcomes = np.array([[1, 1, 2], [3, 5, 1]], dtype=np.int8)
    assert Counts.of(outcomes) == Counts(global_=3, spurious=1, other=1, undecided=1)
    assert Counts.of(np.array([Outcome.DIVERGED])) == Counts(diverged=1)


def test_fields_are_the_outcomes_in_order():
    names = [outcome.name.lower() for outcome in FINAL]
    assert list(Counts().as_dict()) == names
    for outcome, name in zip(FINAL, names, strict=True):
        assert Counts.of(np.array([outcome])).as_dict()[name] == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-1, 1.0, float("nan"), "1", None])
def test_refuses_what_is_no_count(name, value):
    with pytest.raises(InputError, match="whole number") as caught:
        Counts(**{name: value})
    assert caught.value.argument == name


@pytest.mark.parametrize("outcomes", [[0, 1], [1, 6]])
def test_of_refuses_outcomes_that_are_not_final(outcomes):
    with pytest.raises(InputError, match="final Outcome") as caught:
        Counts.of(np.array(outcomes))
    assert caught.value.argument == "outcomes"
