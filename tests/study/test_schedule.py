import numpy as np
import pytest
from fake_runner import FakeRunner, study
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxcnn.base.errors import InputError
from jaxcnn.study.goals import Goals
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.schedule import MOST_IN_BUNDLE, MOST_TASKS, Pace, Shard, next_bundle
from jaxcnn.study.unit import Task, UnitResult

RUNNER = FakeRunner()


def planned(run, pace=None, **options):
    goals = Goals(run.study)
    goals.update(run)
    return next_bundle(run, goals, pace or Pace(), **options)


def learned(seconds, restarts, weight=0):
    """A pace that has seen a bundle of so many restarts in so many seconds."""
    pace = Pace()
    outcomes, steps = np.ones(restarts, np.uint8), np.ones(restarts, np.uint32)
    pace.observe([UnitResult(Task(0, 0, restarts), outcomes, steps, weight)], seconds)
    return pace


def covered(tasks):
    found = {}
    for task in tasks:
        for index in range(task.first, task.end):
            assert (task.cell, index) not in found
            found[task.cell, index] = True
    return set(found)


def test_many_small_cells_make_one_bundle(tmp_path):
    run = RunDirectory.create_or_open(tmp_path / "a", study(restarts=100))
    assert planned(run) == [Task(cell, 0, 100) for cell in range(12)]


def test_a_large_cell_is_cut(tmp_path):
    run = RunDirectory.create_or_open(tmp_path / "a", study(restarts=10**9))
    (task,) = planned(run)
    assert (task.cell, task.first) == (0, 0)
    assert 4096 <= task.count <= 8192
    (task,) = planned(run, Pace(first=10**6))
    assert task.count == 10**6 // 2**16 * 2**16
    (fast,) = planned(run, learned(1e-3, 10**4))
    assert fast.count == 512 * 10**4 // 2**16 * 2**16
    tasks = planned(run, learned(1e-9, 2**22))
    assert sum(task.count for task in tasks) == MOST_IN_BUNDLE
    # A bundle takes 20 seconds: 100 restarts a second make 2000, cut at a multiple of 256.
    (slow,) = planned(run, learned(10.0, 1000))
    assert slow.count == 1792


def test_cells_are_weighed_by_what_they_cost(tmp_path):
    run = RunDirectory.create_or_open(tmp_path / "a", study(restarts=10**6))
    for cell, cost in ((0, 1000), (1, 10)):
        outcomes, steps = np.ones(100, np.uint8), np.ones(100, np.uint32)
        run.append([UnitResult(Task(cell, 0, 100), outcomes, steps, 100 * cost)], RUNNER.provenance)
    pace = learned(2.5, 10_000, 10_000 * 100)  # a hundred lane-steps a restart, 400 000 a second
    assert pace.weights(run, np.arange(3)).tolist() == [1000, 10, 100]
    (task,) = planned(run, pace)
    assert task.count <= 8000
    (task, *_) = planned(run, pace, busy=[Task(0, 100, 10**6)])
    assert task.cell == 1
    assert 400_000 < task.count <= 800_000


def test_the_widest_cell_comes_first(tmp_path):
    made = study(restarts=None, half_width=0.01)
    run = RunDirectory.create_or_open(tmp_path / "a", made)
    tasks = [Task(cell, 0, 256) for cell in range(12)]
    run.append(RUNNER(list(made.cells), tasks), RUNNER.provenance)
    goals = Goals(made)
    goals.update(run)
    order = list(dict.fromkeys(task.cell for task in next_bundle(run, goals, learned(1, 10**5))))
    assert len(order) > 3
    assert list(goals.width[order]) == sorted(goals.width, reverse=True)[: len(order)]


def test_what_others_compute_is_left_to_them(tmp_path):
    run = RunDirectory.create_or_open(tmp_path / "a", study(restarts=1000))
    busy = [
        Task(0, 0, 400),
        Task(0, 500, 100),
        Task(1, 0, 1000),
        *[Task(c, 0, 999) for c in range(2, 12)],
    ]
    assert planned(run, busy=busy) == [Task(0, 400, 100), Task(0, 600, 400)] + [
        Task(cell, 999, 1) for cell in range(2, 12)
    ]


def test_bundles_shrink_towards_the_end_with_many_workers(tmp_path):
    run = RunDirectory.create_or_open(tmp_path / "a", study(restarts=8000))
    sizes = [sum(t.count for t in planned(run, learned(2.5, 10**4), workers=w)) for w in (1, 2, 16)]
    assert sizes == [80_000, 24_000, 2560]


def test_a_bundle_of_many_tiny_cells_is_bounded_too(tmp_path):
    grid = {"k": [25], "ratio": [1], "p": list(range(2, 6002))}
    made = study(fixed=None, restarts=2, grid=grid)
    run = RunDirectory([tmp_path / "none"], made)
    first = planned(run, learned(0.1, 10**6))
    assert first == [Task(cell, 0, 2) for cell in range(MOST_TASKS)]
    rest = planned(run, learned(0.1, 10**6), busy=first)
    assert [task.cell for task in rest] == list(range(MOST_TASKS, 6000))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(
    st.integers(1, 5), st.sampled_from([300, 70_000, 200_000]), st.integers(1, 10**5), st.booleans()
)
def test_shards_and_bundles_cover_everything_once(tmp_path, parts, restarts, speed, one):
    """However it is cut and dealt out, the tasks are each restart once."""
    grid = {"k": [25], "ratio": [1]} if one else {"k": [25, 100], "ratio": [1, 4]}
    run = RunDirectory(  # nothing is written: the plan alone
        [tmp_path / "none"], study(restarts=restarts, grid=grid)
    )
    tasks, pace = [], learned(1.0, speed)
    for number in range(parts):
        mine = []
        while bundle := planned(run, pace, busy=mine, shard=Shard(number, parts)):
            mine += bundle
        tasks += mine
    for cell in range(len(run.study)):
        ranges = sorted((task.first, task.end) for task in tasks if task.cell == cell)
        assert [first for first, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
        assert ranges[-1][1] == restarts


def test_shards_are_of_like_size():
    made = study(grid={"k": [25], "ratio": list(range(1, 26)), "p": list(range(2, 42))}, fixed=None)
    for parts in (2, 4, 10):
        sizes = [int(Shard(number, parts).cells(made).sum()) for number in range(parts)]
        assert sum(sizes) == 1000
        assert max(sizes) < 1.35 * 1000 / parts
    # No part gets all of one value of a key.
    mine = Shard(0, 5).cells(made).reshape(25, 40)
    assert mine.any(axis=0).all()
    assert mine.any(axis=1).all()


def test_cells_that_are_compared_stay_together():
    made = study(restarts=None, decision={"above": {"ratio": 4}})
    for parts in (2, 3):
        owners = np.stack([Shard(number, parts).cells(made) for number in range(parts)])
        assert (owners.sum(axis=0) == 1).all()
        assert (owners == owners[:, made.references]).all()


@pytest.mark.parametrize(("number", "parts"), [(-1, 2), (2, 2), (0, 0)])
def test_impossible_shards_are_refused(number, parts):
    with pytest.raises(InputError, match="0 <= i < n"):
        Shard(number, parts)
