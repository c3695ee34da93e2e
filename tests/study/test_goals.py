import numpy as np
import pytest
from fake_runner import FakeRunner, study
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn.base.interval import clopper_pearson_many, level_at_a_width
from jaxcnn.base.outcome import FINAL, Outcome
from jaxcnn.study.goals import Goals, Standing
from jaxcnn.study.looks import looks_up_to
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.sweep import sweep_in_process

ONE = {"k": [25], "ratio": [1]}


class Told:
    """A run that has what it is told: outcomes of each cell, as far as they go."""

    def __init__(self, outcomes):
        self.all = [np.asarray(one, dtype=np.uint8) for one in outcomes]

    def closed(self):
        return np.array([one.size for one in self.all])

    def tally(self):
        return np.array([np.bincount(one, minlength=6)[1:] for one in self.all])

    def outcomes(self, cell, first, count):
        return self.all[cell][first : first + count]

    def stream(self, cell):
        return "one"


def follow(made, outcomes):
    """Go from look to look as the goals say; the looks, and how it ended."""
    goals, looks = Goals(made), []
    while True:
        goals.update(Told([outcomes[: looks[-1] if looks else 0]]))
        if goals.standing[0] != Standing.OPEN:
            return looks, Standing(goals.standing[0])
        assert goals.target[0] > (looks[-1] if looks else 0)
        looks.append(int(goals.target[0]))
        assert looks[-1] <= outcomes.size


def drawn(seed, n, success, hidden=0.0):
    source = np.random.default_rng(seed)
    draws = source.random(n)
    outcomes = np.where(draws < success, Outcome.GLOBAL, Outcome.SPURIOUS)
    return np.where(source.random(n) < hidden, Outcome.UNDECIDED, outcomes).astype(np.uint8)


def half_width(outcomes, confidence):
    level = level_at_a_width(confidence)
    x, u = np.sum(outcomes == Outcome.GLOBAL), np.sum(outcomes == Outcome.UNDECIDED)
    low, _ = clopper_pearson_many([x], outcomes.size, level)
    _, high = clopper_pearson_many([x + u], outcomes.size, level)
    return 0.5 * (high - low)[0]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.01, 0.1, 0.5, 0.8, 0.97, 1.0]),
    st.sampled_from([0.0, 0.0, 0.001, 0.02]),
    st.sampled_from([0.02, 0.05, 0.2]),
    st.sampled_from([0.5, 0.95, 0.999]),
)
def test_passing_over_looks_stops_where_looking_at_all_would(
    seed, success, hidden, goal, confidence
):
    made = study(
        restarts=None, half_width=goal, confidence=confidence, grid=ONE, max_restarts=30_000
    )
    outcomes = drawn(seed, 30_000, success, hidden)
    looks, end = follow(made, outcomes)
    every = looks_up_to(30_000)
    first = next((n for n in every if half_width(outcomes[:n], confidence) <= goal), every[-1])
    assert looks[-1] == first
    assert end == Standing.ENOUGH if first < 30_000 else Standing.CAPPED
    assert set(looks) <= set(every.tolist())
    assert len(looks) < 40


def test_many_cells_at_different_looks_do_not_disturb_each_other():
    sizes = range(2, 42)
    grid = {"k": [25], "ratio": [1], "p": list(sizes)}
    made = study(fixed=None, restarts=None, half_width=0.1, grid=grid, max_restarts=2000)
    outcomes = [drawn(size, 2000, size / 41, 0.01 * (size % 3)) for size in sizes]
    goals, order = Goals(made), np.random.default_rng(1)
    have = np.zeros(40, dtype=int)
    while np.any(goals.standing == Standing.OPEN):
        goals.update(Told([one[:n] for one, n in zip(outcomes, have, strict=True)]))
        have = np.where(order.random(40) < 0.5, goals.target, have)
    for one, n in zip(outcomes, have, strict=True):
        looks = looks_up_to(2000)
        assert n == next((m for m in looks if half_width(one[:m], 0.95) <= 0.1), 2000)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(8, 10**6), st.floats(0, 1), st.floats(0, 0.3), st.sampled_from([0.3, 0.95, 0.9999])
)
def test_the_bound_on_what_can_come_is_one(n, success, hidden, confidence):
    made = study(restarts=None, half_width=0.01, confidence=confidence, grid=ONE)
    u = int(hidden * n)
    x = int(success * (n - u))
    args = (np.array([v]) for v in (n, x, u))
    goals = Goals(made)
    n_, x_, u_ = args
    last = np.inf
    for m in np.array([n, n + 1, n + n // 8 + 1, 2 * n, 5 * n, 40 * n]):
        bound = goals._least_width(np.array([m]), n_, x_, u_)[0]
        assert bound <= last
        last = bound
        for more in {0, (m - n) // 2, m - n}:
            level = level_at_a_width(confidence)
            low, _ = clopper_pearson_many([x + more], m, level)
            _, high = clopper_pearson_many([x + more + u], m, level)
            assert 0.5 * (high - low)[0] >= bound * (1 - 1e-9)


def test_a_half_width_that_undecided_runs_forbid_is_reported_not_chased():
    made = study(restarts=None, half_width=0.01, grid=ONE)
    looks, end = follow(made, drawn(1, 10**6, 0.5, 0.1))
    assert end == Standing.HIDDEN
    assert looks[-1] < 5000
    # A share that is just not sure to be too much is given up too, after sixteen times the usual.
    looks, end = follow(made, drawn(2, 10**6, 0.5, 0.0195))
    assert end == Standing.HIDDEN
    assert 16 * 9604 < looks[-1] < 33 * 9604
    looks, end = follow(made, drawn(3, 10**6, 0.5, 0.005))
    assert end == Standing.ENOUGH


def test_restarts():
    goals = Goals(study())
    goals.update(Told([np.ones(n) for n in [0, 999, 1000, 1001] + [0] * 8]))
    assert goals.target.tolist()[:4] == [1000, 1000, 1000, 1001]
    assert goals.standing.tolist()[:4] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("success", "hidden", "end"),
    [
        (0.95, 0.0, Standing.ABOVE),
        (0.5, 0.0, Standing.BELOW),
        (0.9, 0.3, Standing.HIDDEN),
        (0.3, 0.3, Standing.BELOW),
        (0.8, 0.0, Standing.CAPPED),
    ],
)
def test_decision_against_a_level(success, hidden, end):
    made = study(restarts=None, decision={"above": 0.8}, max_restarts=20_000, grid=ONE)
    looks, ended = follow(made, drawn(5, 20_000, success, hidden))
    assert ended == end
    assert set(looks) <= set(looks_up_to(20_000).tolist())


def test_decisions_are_seldom_wrong_under_many_looks():
    # At the boundary each of 400 runs is wrong with probability at most 5 %: 20 expected at
    # most; 36 or more have probability 5e-4 then.
    grid, cap = {"k": [25], "ratio": [1], "p": list(range(2, 402))}, 4000
    made = study(fixed=None, restarts=None, decision={"above": 0.8}, max_restarts=cap, grid=grid)
    outcomes = [drawn(1000 + seed, cap, 0.8) for seed in range(400)]
    goals = Goals(made)
    while np.any(goals.standing == Standing.OPEN):
        goals.update(Told([one[:n] for one, n in zip(outcomes, goals.target, strict=True)]))
    assert 0 < np.count_nonzero(goals.standing != Standing.CAPPED) < 36


def test_decision_against_another_cell_is_paired(tmp_path):
    grid = {"k": [25], "ratio": [1, 4, 9], "step_size": [0.05]}
    made = study(restarts=None, decision={"above": {"ratio": 4}}, grid=grid)
    runner = FakeRunner()
    run = sweep_in_process(made, tmp_path / "a", runner)
    goals = Goals(made)
    goals.update(run)
    assert [Standing(s) for s in goals.standing] == [
        Standing.ABOVE,
        Standing.ENOUGH,
        Standing.BELOW,
    ]
    closed = run.closed()
    assert closed[1] == max(closed)
    # By itself each cell would need more restarts than the pair: they share their draws.
    assert max(closed) < 1000


def test_equal_cells_are_given_up_and_hidden_ones_named(tmp_path):
    grid = {"k": [25], "ratio": [0], "step_size": [0.05, 0.1]}
    words = {"restarts": None, "decision": {"above": {"step_size": 0.1}}, "max_restarts": 3000}
    run = sweep_in_process(study(grid=grid, **words), tmp_path / "a", FakeRunner())
    goals = Goals(run.study)
    goals.update(run)
    assert [Standing(s) for s in goals.standing] == [Standing.CAPPED, Standing.ENOUGH]
    assert run.closed().tolist() == [3000, 3000]
    run = sweep_in_process(study(grid=grid, **words), tmp_path / "b", FakeRunner(undecided=0.3))
    goals = Goals(run.study)
    goals.update(run)
    assert Standing(goals.standing[0]) == Standing.HIDDEN
    assert run.closed()[0] < 3000


def test_cells_without_a_reference_need_nothing(tmp_path):
    made = study(
        restarts=None, decision={"above": {"ratio": 9}}, skip_impossible=True, max_restarts=300,
        grid={"k": [4, 25], "ratio": [1, 9]},
    )  # fmt: skip
    run = sweep_in_process(made, tmp_path / "a", FakeRunner())
    assert run.closed()[0] == 0
    assert min(run.closed()[1:]) > 0


@pytest.mark.parametrize("cut", [1, 255, 256, 300, 5000, 20_000])
def test_a_run_that_was_cut_anywhere_stops_where_an_uncut_one_does(tmp_path, cut):
    made = study(restarts=None, half_width=0.01, grid=ONE)
    whole = sweep_in_process(made, tmp_path / "a", FakeRunner())
    sweep_in_process(study(grid=ONE, restarts=min(cut, 800)), tmp_path / "b", FakeRunner())
    again = sweep_in_process(made, tmp_path / "b", FakeRunner())
    assert again.closed().tolist() == whole.closed().tolist()
    assert FINAL[0] == Outcome.GLOBAL
    assert RunDirectory.open(tmp_path / "b").prefix(0) == whole.prefix(0)
