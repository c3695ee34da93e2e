import os
import shutil

import pytest
from fake_runner import HERE, THERE, FakeRunner, study
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxcnn.base.errors import InputError, RunError
from jaxcnn.study.merge import merge
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.sweep import sweep_in_process
from jaxcnn.study.unit import Task
from jaxcnn.study.verify import verify

SMALL = {"grid": {"k": [25], "ratio": [1, 4]}}
STUDY = study(**SMALL)
RUNNER = FakeRunner()
THERE_TOO = FakeRunner(provenance=THERE, flips=(7,))


def written(path, spans, runner=RUNNER, of=STUDY):
    """A run with a unit file for each (cell, first, count)."""
    shutil.rmtree(path, ignore_errors=True)
    run = RunDirectory.create_or_open(path, of)
    for span in spans:
        task = Task(*span)
        run.append(runner([of.cells[task.cell]], [task]), runner.provenance)
    return path


def content(path):
    """All that a run holds: every file under its name."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def merged(path, *runs):
    shutil.rmtree(path, ignore_errors=True)
    merge(*runs, out=path)
    return path


spans = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(1, 30)), max_size=4)
laws = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None
)


@laws
@given(spans, spans, spans)
def test_merging_is_commutative_associative_and_idempotent(tmp_path, one, two, three):
    a, b = written(tmp_path / "a", one), written(tmp_path / "b", two, THERE_TOO)
    c = written(tmp_path / "c", three)
    ab, ba = merged(tmp_path / "ab", a, b), merged(tmp_path / "ba", b, a)
    assert content(ab) == content(ba)
    assert content(merged(tmp_path / "aa", a, a)) == content(a)
    left = merged(tmp_path / "l", ab, c)
    assert content(left) == content(merged(tmp_path / "r", a, merged(tmp_path / "bc", b, c)))
    assert content(left) == content(merged(tmp_path / "abc", c, a, b))


@laws
@given(spans, spans)
def test_a_merged_run_is_the_union_of_the_ranges(tmp_path, one, two):
    a, b = written(tmp_path / "a", one), written(tmp_path / "b", two)
    both = RunDirectory.open(written(tmp_path / "both", one + two))
    run = RunDirectory.open(merged(tmp_path / "ab", a, b))
    for cell in range(2):
        assert run.prefix(cell) == both.prefix(cell)
        assert run.missing(cell, 100) == both.missing(cell, 100)


def test_disagreement_names_both_and_writes_nothing(tmp_path):
    a = written(tmp_path / "a", [(1, 0, 50)])
    b = written(tmp_path / "b", [(1, 20, 50)], FakeRunner(flips=(30, 40)))
    for runs in ((a, b), (b, a)):
        with pytest.raises(RunError, match="disagree on 2 of cell 1, restarts 20 to 49") as caught:
            merge(*runs, out=tmp_path / "c")
        assert str(a) in str(caught.value)
        assert str(b) in str(caught.value)
        assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_flips_across_devices_are_reported_and_bounded(tmp_path):
    a = written(tmp_path / "a", [(0, 0, 200)])
    b = written(
        tmp_path / "b", [(0, 100, 200)], FakeRunner(provenance=THERE, flips=(110, 150, 250))
    )
    report = merge(a, b, out=tmp_path / "c")
    assert (report.flips.overlapping, report.flips.flipped) == (100, 2)
    assert report.restarts == 300
    assert "2 of 100" in str(report)
    b = written(tmp_path / "b", [(0, 0, 200)], FakeRunner(provenance=THERE, flips=(1, 2, 3, 4)))
    with pytest.raises(RunError, match="disagree on 4"):
        merge(a, b, out=tmp_path / "d")


def test_other_studies_are_refused(tmp_path):
    a = written(tmp_path / "a", [(0, 0, 10)])
    b = written(tmp_path / "b", [(0, 0, 10)], of=study(**SMALL, seed=1))
    with pytest.raises(RunError, match="seed is 0, not 1"):
        merge(a, b, out=tmp_path / "c")
    with pytest.raises(RunError, match="no run directory"):
        merge(a, tmp_path / "none", out=tmp_path / "c")
    with pytest.raises(InputError):
        merge(out=tmp_path / "c")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_the_place_must_be_free(tmp_path):
    a = written(tmp_path / "a", [(0, 0, 10)])
    before = content(a)
    with pytest.raises(RunError, match="is there already"):
        merge(a, out=a)
    assert content(a) == before
    (tmp_path / "c").mkdir()
    merge(a, out=tmp_path / "c")
    assert content(tmp_path / "c") == before
    merge(a, out=tmp_path / "new/deeper/d")
    assert content(tmp_path / "new/deeper/d") == before


def test_the_most_demanding_rule_is_kept(tmp_path):
    def rule(*rules):
        names = [
            written(tmp_path / str(i), [], of=study(**{**SMALL, **one}))
            for i, one in enumerate(rules)
        ]
        study_ = RunDirectory.open(merged(tmp_path / "m", *names)).study
        assert (
            study_.words() == RunDirectory.open(merged(tmp_path / "m", *names[::-1])).study.words()
        )
        return study_

    made = rule({"restarts": 10}, {"restarts": 30, "confidence": 0.9}, {"restarts": 20})
    assert (made.restarts, made.confidence) == (30, 0.95)
    width = {"restarts": None}
    made = rule(
        {**width, "half_width": 0.1, "max_restarts": 50},
        {**width, "half_width": 0.05, "max_restarts": 40},
    )
    assert (made.half_width, made.max_restarts) == (0.05, 50)
    assert (
        rule(
            {**width, "half_width": 0.1, "max_restarts": 5}, {**width, "half_width": 0.1}
        ).max_restarts
        is None
    )
    with pytest.raises(RunError, match="different rules"):
        rule({"restarts": 10}, {"restarts": None, "half_width": 0.1})
    ask = {"restarts": None, "decision": {"above": 0.5}}
    assert rule(ask, ask).decision.level == 0.5
    with pytest.raises(RunError, match="different rules"):
        rule(ask, {"restarts": None, "decision": {"above": 0.6}})


def test_damaged_files_stay_behind_and_are_named(tmp_path):
    a = written(tmp_path / "a", [(0, 0, 10), (1, 0, 10)])
    bad = sorted((a / "units").iterdir())[0]
    bad.write_bytes(bad.read_bytes()[:-1])
    report = merge(a, out=tmp_path / "c")
    assert report.files == 1
    assert bad.name in report.problems[0]
    assert RunDirectory.open(tmp_path / "c").problems() == []


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    a = written(tmp_path / "a", [(0, 0, 10)])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left"):
        merge(a, out=tmp_path / "c")
    assert os.listdir(tmp_path) == ["a"]


def test_verify_finds_what_is_wrong(tmp_path):
    run = sweep_in_process(STUDY, tmp_path / "a", FakeRunner())
    told = []
    report = verify(run, 1.0, FakeRunner(), progress=lambda *counts: told.append(counts))
    assert report.ok
    assert report.restarts == 2000
    assert told == [(1, 2), (2, 2)]
    assert "all agree" in str(report)
    assert not verify(run, 1.0, FakeRunner(flips=(5,))).ok
    (line, _) = verify(run, 1.0, FakeRunner(flips=(5,))).disagreements
    assert "1 outcomes of 1000 differ" in line
    report = verify(run, 1.0, FakeRunner(provenance=THERE, flips=(5,)))
    assert report.ok
    assert (report.flips.overlapping, report.flips.flipped) == (2000, 2)
    assert not verify(run, 1.0, FakeRunner(provenance=THERE, flips=(1, 2, 3, 4))).ok
    assert HERE.arithmetic != THERE.arithmetic


def test_verify_takes_a_share_of_the_units(tmp_path):
    path = written(tmp_path / "a", [(0, first, 10) for first in range(0, 200, 10)])
    run = RunDirectory.open(path)
    runner = FakeRunner()
    assert verify(run, 0.2, runner, seed=3).units == 4
    assert len(set(runner.tasks)) == 4
    assert verify(run, 0.001, FakeRunner()).units == 1
    for fraction in (0, -1, 1.5, "x"):
        with pytest.raises(InputError):
            verify(run, fraction, runner)
    with pytest.raises(RunError, match="no units"):
        verify(RunDirectory.open(written(tmp_path / "b", [])), 0.5, runner)


def test_verify_compares_steps_too(tmp_path):
    run = sweep_in_process(STUDY, tmp_path / "a", FakeRunner())

    class Slower(FakeRunner):
        def run(self, cell, task):
            result = super().run(cell, task)
            result.steps[-1] += 1
            return result

    report = verify(run, 1.0, Slower())
    assert not report.ok
    assert "after other steps" in report.disagreements[0]
