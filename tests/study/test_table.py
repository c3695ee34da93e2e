import dataclasses

import numpy as np
from fake_runner import FakeRunner, study

from jaxcnn.base.cell import Cell
from jaxcnn.base.counts import Counts
from jaxcnn.base.interval import proportion_bounds
from jaxcnn.base.outcome import Outcome
from jaxcnn.base.sequence import sequence_bounds
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.sweep import sweep_in_process
from jaxcnn.study.table import table
from jaxcnn.study.unit import Task

RUNNER = FakeRunner(undecided=0.1)


def test_rows_are_what_the_runner_gave(tmp_path):
    made = study(confidence=0.9)
    found = table(sweep_in_process(made, tmp_path / "a", RUNNER))
    assert list(found.columns[:4]) == ["k", "ratio", "step_size", "restarts"]
    for cell, row in found.iterrows():
        (result,) = RUNNER([made.cells[cell]], [Task(cell, 0, 1000)])
        counts = Counts.of(result.outcomes)
        bounds = proportion_bounds(counts, 0.9)
        assert {name: row[name] for name in counts.as_dict()} == counts.as_dict()
        assert (row["low"], row["high"]) == (bounds.low, bounds.high)
        assert row["half_width"] == bounds.half_width
        assert row["p_global"] == counts.global_ / 1000
        decided = result.steps[result.outcomes != Outcome.UNDECIDED]
        assert row["mean_steps"] == decided.mean()
        assert row["most_steps"] == decided.max()
        assert (row["standing"], row["complete"]) == ("enough", 1.0)


def test_no_key_of_a_cell_hides_behind_a_column(tmp_path):
    """A study over `max_steps` shows the limits, not the most steps that a run took."""
    made = study(grid={"max_steps": [20_000, 40_000]}, zip=None, fixed={"k": 9, "ratio": 2.0})
    found = table(sweep_in_process(made, tmp_path / "a", RUNNER))
    assert found["max_steps"].tolist() == [20_000, 40_000]
    fields = {f.name for f in dataclasses.fields(Cell)}
    assert not fields & set(found.columns[1:])


def test_an_unfinished_run_says_how_far_it_is(tmp_path):
    run = RunDirectory.create_or_open(tmp_path / "a", study())
    found = table(run)
    assert (found["restarts"] == 0).all()
    assert found["p_global"].isna().all()
    assert found["mean_steps"].isna().all()
    assert ((found["low"] == 0) & (found["high"] == 1)).all()
    run.append(RUNNER([run.study.cells[3]], [Task(3, 0, 250)]), RUNNER.provenance)
    found = table(run)
    assert found["complete"].tolist() == [0, 0, 0, 0.25] + [0] * 8
    assert set(found["standing"]) == {"open"}


def test_a_study_that_stops_at_a_decision_shows_intervals_that_may_be_watched(tmp_path):
    made = study(restarts=None, decision={"above": 0.7}, max_restarts=2000)
    run = sweep_in_process(made, tmp_path / "a", FakeRunner())
    found = table(run)
    assert set(found["standing"]) <= {"above", "below", "capped"}
    for cell, row in found.iterrows():
        bounds = sequence_bounds(run.prefix(cell).counts)
        assert np.allclose([row["low"], row["high"]], [bounds.low, bounds.high], rtol=1e-12)
        assert (row["standing"] == "above") == (row["low"] > 0.7)
