import numpy as np
import pytest
from fake_runner import FakeRunner, study

from jaxcnn.base.counts import Counts
from jaxcnn.base.difference_sequence import difference_sequence, paired_difference_sequence
from jaxcnn.base.errors import InputError, RunError
from jaxcnn.base.outcome import Outcome
from jaxcnn.base.paired import paired_difference
from jaxcnn.base.paired_counts import PairedCounts
from jaxcnn.study.compare import compare
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.sweep import sweep_in_process
from jaxcnn.study.unit import Task


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "a"
    return sweep_in_process(study(), path, FakeRunner(undecided=0.02))


def test_each_cell_against_the_next_along_the_axis(run):
    found = compare(run, "ratio")
    assert len(found) == 8
    assert list(found["ratio"]) == [1, 1, 4, 4] * 2
    assert list(found["ratio_next"]) == [4, 4, 9, 9] * 2
    assert list(found["step_size"]) == [0.05, 0.1] * 4
    one, two = (run.outcomes(cell, 0, 1000) for cell in (0, 2))
    expected = paired_difference(PairedCounts.of(two, one))
    row = found.iloc[0]
    assert (row["low"], row["high"]) == (expected.interval.low, expected.interval.high)
    assert row["difference"] == pytest.approx(np.mean(two == 1) - np.mean(one == 1))
    assert row["only_this"] == np.sum((one == Outcome.GLOBAL) & (two == Outcome.SPURIOUS))
    assert row["only_next"] == 0
    assert row["undecided"] == np.sum((one == Outcome.UNDECIDED) | (two == Outcome.UNDECIDED))


def test_sharing_draws_makes_the_interval_far_narrower(tmp_path):
    run = sweep_in_process(study(), tmp_path / "a", FakeRunner())
    found = compare(run, "step_size")
    assert found["shared"].all()
    narrow = (found["high"] - found["low"]) / (found["unpaired_high"] - found["unpaired_low"])
    assert (narrow < 0.8).all()
    assert ((found["difference"] > found["low"]) & (found["difference"] < found["high"])).all()


def test_cells_with_other_draws_are_compared_and_said_to_be(run):
    found = compare(run, "k")
    assert not found["shared"].any()
    assert len(found) == 6


def test_zipped_keys_go_together(tmp_path):
    made = study(grid={"step_size": [0.05]}, zip={"k": [25, 36], "ratio": [1, 2]})
    run = sweep_in_process(made, tmp_path / "a", FakeRunner())
    (row,) = compare(run, "ratio").to_dict("records")
    assert (row["k"], row["k_next"], row["ratio"], row["ratio_next"]) == (25, 36, 1.0, 2.0)


def test_only_what_both_have_is_compared(tmp_path):
    run = RunDirectory.create_or_open(tmp_path / "a", study())
    with pytest.raises(RunError, match="no two cells"):
        compare(run, "ratio")
    tasks = [Task(0, 0, 100), Task(2, 0, 60)]
    runner = FakeRunner()
    run.append(runner([run.study.cells[task.cell] for task in tasks], tasks), runner.provenance)
    (row,) = compare(run, "ratio").to_dict("records")
    assert row["restarts"] == 60


def test_a_study_that_was_watched_gets_intervals_that_may_be(tmp_path):
    made = study(restarts=None, decision={"above": {"ratio": 4}}, max_restarts=600)
    run = sweep_in_process(made, tmp_path / "a", FakeRunner())
    row = compare(run, "ratio").iloc[0]
    one, two = (run.outcomes(cell, 0, int(row["restarts"])) for cell in (0, 2))
    watched = paired_difference_sequence(PairedCounts.of(two, one)).interval
    apart = difference_sequence(Counts.of(two), Counts.of(one)).interval
    assert (row["low"], row["high"]) == (watched.low, watched.high)
    assert (row["unpaired_low"], row["unpaired_high"]) == (apart.low, apart.high)
    fixed = paired_difference(PairedCounts.of(two, one)).interval
    assert watched.low < fixed.low < fixed.high < watched.high


def test_keys_that_do_not_vary_are_refused(run):
    with pytest.raises(InputError, match="must be one of k, ratio, step_size"):
        compare(run, "p")
    with pytest.raises(InputError, match="did you mean ratio"):
        compare(run, "ratios")


def test_gaps_in_the_grid_end_a_row_of_neighbours(tmp_path):
    made = study(grid={"k": [4, 25], "ratio": [1, 9]}, skip_impossible=True)
    run = sweep_in_process(made, tmp_path / "a", FakeRunner())
    assert list(compare(run, "ratio")["k"]) == [25]
