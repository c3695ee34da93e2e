import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn.study.coverage import Flips, closed_end, cover, gaps, without
from jaxcnn.study.unit import Task
from jaxcnn.study.unit_index import Held

ranges = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), max_size=8)


def held(spans):
    return [
        Held(Task(0, first, count), (count, 0, 0, 0, 0), 0, 0, 0, "", 0, 0, file)
        for file, (first, count) in enumerate(spans)
    ]


def rank(one):
    return (f"{one.file:03d}",)


@given(ranges, st.randoms())
def test_each_restart_is_assigned_once_whatever_the_order(spans, source):
    records = held(spans)
    pieces, overlaps = cover(records, rank)
    assigned = [index for piece in pieces for index in range(piece.first, piece.end)]
    assert assigned == sorted({i for first, n in spans for i in range(first, first + n)})
    for piece in pieces:
        assert piece.record.task.first <= piece.first < piece.end <= piece.record.task.end
    shuffled = list(records)
    source.shuffle(shuffled)
    again = cover(shuffled, rank)
    assert again[0] == pieces
    assert sorted(again[1]) == sorted(overlaps)


@given(ranges)
def test_every_overlap_is_listed_against_the_record_that_counts(spans):
    pieces, overlaps = cover(held(spans), rank)
    times = np.zeros(60, dtype=int)
    for first, count in spans:
        times[first : first + count] += 1
    for one, other, first, end in overlaps:
        assert one != other
        for record in (one, other):
            assert record.task.first <= first < end <= record.task.end
        times[first:end] -= 1
    assert set(times) <= {0, 1}


@given(st.lists(st.integers(1, 40), min_size=1, unique=True), ranges, st.randoms())
def test_the_closed_prefix_is_made_of_whole_records_where_that_can_be(cuts, spans, source):
    ends = sorted(cuts)
    chain = [(a, b - a) for a, b in zip([0, *ends], ends, strict=False)]
    inside = [(first, n) for first, n in spans if first + n <= ends[-1]]
    records = held(source.sample(chain + inside, len(chain + inside)))
    pieces, _ = cover(records, rank)
    assert all(piece.whole for piece in pieces)
    assert closed_end(pieces) == ends[-1]


@given(ranges, st.integers(0, 20), st.integers(0, 45))
def test_gaps_and_the_closed_end(spans, first, end):
    present = {i for at, n in spans for i in range(at, at + n)}
    pieces, _ = cover(held(spans), rank)
    missing = {i for task in gaps(pieces, 0, first, end) for i in range(task.first, task.end)}
    assert missing == set(range(first, end)) - present
    closed = closed_end(pieces)
    assert set(range(closed)) <= present
    assert closed not in present


@given(ranges, st.integers(0, 20), st.integers(1, 25))
def test_without(spans, first, count):
    task = Task(0, first, count)
    left = without(task, [Task(0, at, n) for at, n in spans])
    assert {i for part in left for i in range(part.first, part.end)} == set(
        range(first, first + count)
    ) - {i for at, n in spans for i in range(at, at + n)}
    assert all(part.count > 0 for part in left)


def test_flips_have_a_stated_limit():
    assert Flips(10, 3).accepted
    assert not Flips(10, 4).accepted
    assert Flips(100_000, 10).accepted
    assert not Flips(100_000, 11).accepted
    assert Flips(5, 1) + Flips(6, 2) == Flips(11, 3)
