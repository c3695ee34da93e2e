import json
import os
import random
import re
import shutil

import numpy as np
import pytest
from fake_runner import HERE, THERE, FakeRunner, study
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import RunError
from jaxcnn.study import unit_file
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.step_statistics import StepStatistics
from jaxcnn.study.unit import Task

STUDY = study()
RUNNER = FakeRunner(undecided=0.1)
one_line = re.compile(r"^[^\n]*$")


def results(*tasks, runner=RUNNER, of=STUDY):
    return runner([of.cells[task.cell] for task in tasks], tasks)


def add(run, *tasks, runner=RUNNER, of=STUDY):
    """One unit file for all tasks."""
    run.append(results(*tasks, runner=runner, of=of), runner.provenance)


def begun(path, *bundles, of=STUDY, runner=RUNNER):
    run = RunDirectory.create_or_open(path, of)
    for bundle in bundles:
        add(run, *bundle, of=of, runner=runner)
    return run


def units(path):
    return sorted((path / "units").glob("[!.]*"))


def truth(cell, n):
    (result,) = results(Task(cell, 0, n))
    return result


def assert_right(run):
    """What is counted is what the runner gives, for whatever closed prefix is there."""
    for cell in range(len(run.study)):
        n = int(run.closed()[cell])
        prefix = run.prefix(cell)
        assert prefix.restarts == n == prefix.counts.restarts
        if n:
            result = truth(cell, n)
            assert prefix.counts == Counts.of(result.outcomes)
            assert tuple(run.tally()[cell]) == tuple(prefix.counts.as_dict().values())
            assert np.array_equal(run.outcomes(cell, 0, n), result.outcomes)


def test_what_is_added_is_there_when_opened_again(tmp_path):
    begun(tmp_path / "a", [Task(0, 0, 100), Task(3, 0, 50)], [Task(0, 100, 50)])
    run = RunDirectory.open(tmp_path / "a")
    assert run.closed().tolist() == [150, 0, 0, 50] + [0] * 8
    assert_right(run)
    result = truth(0, 150)
    assert run.prefix(0).steps == StepStatistics.of(result.outcomes, result.steps)
    assert run.costs()[0].tolist() == [int(result.steps.sum()), 150]
    assert run.stream(0) == "fake p6 k25"
    assert run.stream(1) is None
    assert run.problems() == []


def test_the_directory_is_open_to_people(tmp_path):
    begun(tmp_path / "a", [Task(0, 0, 100)])
    record = json.loads((tmp_path / "a/study.json").read_text())
    assert record["study"]["grid"] == STUDY.words()["grid"]
    (note,) = (tmp_path / "a/provenance").iterdir()
    assert json.loads(note.read_text()) == HERE.words()
    assert note.stem == HERE.id
    (unit,) = units(tmp_path / "a")
    assert json.loads(unit.read_text().splitlines()[1])["counts"]["global"] > 0


def test_only_closed_prefixes_are_counted(tmp_path):
    run = begun(tmp_path / "a", [Task(0, 0, 10), Task(0, 20, 10), Task(1, 5, 5)])
    assert run.closed().tolist()[:2] == [10, 0]
    assert run.missing(0, 40) == [Task(0, 10, 10), Task(0, 30, 10)]
    assert run.missing(1, 10) == [Task(1, 0, 5)]
    assert run.missing(0, 10) == []
    assert_right(run)
    with pytest.raises(RunError, match="not all there"):
        run.outcomes(0, 5, 10)
    assert np.array_equal(run.outcomes(0, 22, 5), truth(0, 30).outcomes[22:27])
    add(run, Task(0, 10, 10))
    assert run.closed()[0] == 30
    assert_right(run)


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), min_size=1, max_size=7)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(spans, st.randoms())
def test_any_ranges_in_any_order_are_counted_once(tmp_path, spans, source):
    tables = []
    for name in ("a", "b"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        source.shuffle(spans)
        begun(tmp_path / name, *([Task(0, first, count)] for first, count in spans))
        run = RunDirectory.open(tmp_path / name)
        assert_right(run)
        assert run.problems() == []
        tables.append((run.prefix(0), run.missing(0, 100), run.closed().tolist()))
    assert tables[0] == tables[1]
    present = {i for first, count in spans for i in range(first, first + count)}
    closed = tables[0][2][0]
    assert set(range(closed)) <= present
    assert closed not in present


def test_another_process_is_taken_in_by_refresh(tmp_path):
    run = begun(tmp_path / "a")
    other = begun(tmp_path / "a", [Task(0, 0, 10)])
    assert run.closed()[0] == 0
    run.refresh()
    assert run.closed()[0] == other.closed()[0] == 10
    add(run, Task(0, 0, 10))
    assert len(units(tmp_path / "a")) == 1


def damage_flip(path, source):
    content = bytearray(path.read_bytes())
    content[source.randrange(len(content))] ^= 1 << source.randrange(8)
    path.write_bytes(bytes(content))


def damage_tear(path, source):
    path.write_bytes(path.read_bytes()[: source.randrange(path.stat().st_size)])


def damage_zeros(path, source):
    content = path.read_bytes()
    start = source.randrange(len(content))
    path.write_bytes(content[:start] + b"\0" * (len(content) - start))


def damage_directory(path, source):
    path.unlink()
    path.mkdir()


def damage_pipe(path, source):
    path.unlink()
    os.mkfifo(path)


def damage_link(path, source):
    path.unlink()
    path.symlink_to("nowhere")


DAMAGES = (
    damage_flip, damage_tear, damage_zeros, damage_directory, damage_pipe, damage_link,
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_file_is_named_and_just_its_units_computed_again(tmp_path, damage, seed):
    source = random.Random(seed)
    bundles = [[Task(cell, 0, 100), Task(cell + 1, 0, 100)] for cell in range(0, 12, 2)]
    begun(tmp_path / "a", *bundles)
    whole = [RunDirectory.open(tmp_path / "a").prefix(cell) for cell in range(12)]
    victim = source.choice(units(tmp_path / "a"))
    cell = int(victim.name.split("-")[0])
    damage(victim, source)
    run = RunDirectory.open(tmp_path / "a")
    assert_right(run)
    missing = [task for each in range(12) for task in run.missing(each, 100)]
    assert missing == [Task(cell, 0, 100), Task(cell + 1, 0, 100)]
    (problem,) = run.problems()
    assert str(victim) in problem
    assert one_line.match(problem)
    if damage is damage_directory:
        with pytest.raises(RunError, match="cannot be written"):
            add(run, *missing)
        victim.rmdir()
    add(run, *missing)
    for again in (run, RunDirectory.open(tmp_path / "a")):
        assert [again.prefix(each) for each in range(12)] == whole
        assert again.problems() == []


def test_a_file_that_cannot_be_healed_stays_named(tmp_path):
    run = begun(tmp_path / "a", [Task(0, 0, 100)])
    (unit,) = units(tmp_path / "a")
    unit.write_bytes(b"")
    run = RunDirectory.open(tmp_path / "a")
    add(run, Task(0, 0, 50))
    add(run, Task(0, 50, 50))
    again = RunDirectory.open(tmp_path / "a")
    assert_right(again)
    assert len(again.problems()) == 1


def test_copies_count_once(tmp_path):
    begun(tmp_path / "a", [Task(0, 0, 100)])
    (unit,) = units(tmp_path / "a")
    for name in ("copy.jsonl", "0000000-0123.jsonl", "backup of unit"):
        shutil.copy(unit, unit.parent / name)
    run = RunDirectory.open(tmp_path / "a")
    assert run.closed()[0] == 100
    assert run.costs()[0, 1] == 100
    assert run.problems() == []


def test_units_of_another_study_are_left_out_and_named(tmp_path):
    other = study(seed=9)
    begun(tmp_path / "b", [Task(0, 0, 100)], of=other)
    run = begun(tmp_path / "a", [Task(1, 0, 100)])
    (unit,) = units(tmp_path / "b")
    shutil.copy(unit, tmp_path / "a/units")
    run.refresh()
    assert run.closed().tolist()[:2] == [0, 100]
    (problem,) = run.problems()
    assert "another study" in problem
    assert unit.name in problem


def test_units_of_cells_that_are_not_there_are_left_out(tmp_path):
    run = begun(tmp_path / "a")
    big = study(grid={**STUDY.cells.grid, "ratio": [1, 2, 3, 4, 9]})
    results_ = results(Task(18, 0, 10), of=big)
    content = unit_file.encode(STUDY.id, HERE, results_)
    (tmp_path / "a/units/x.jsonl").write_bytes(content)
    run.refresh()
    assert "does not have" in run.problems()[0]


def test_units_that_contradict_each_other_are_both_named(tmp_path):
    run = begun(tmp_path / "a", [Task(3, 0, 100)])
    wrong = FakeRunner(undecided=0.1, flips=(70,))
    add(run, Task(3, 50, 100), runner=wrong)
    message = "disagree on 1 of cell 3, restarts 50 to 99: "
    for opened in (run, RunDirectory.open(tmp_path / "a")):
        for ask in (opened.closed, opened.tally, lambda: opened.prefix(3)):
            with pytest.raises(RunError, match=message) as caught:
                ask()
            assert all(unit.name in str(caught.value) for unit in units(tmp_path / "a"))
            assert one_line.match(str(caught.value))
        assert any(message in problem for problem in opened.problems())
    units(tmp_path / "a")[0].unlink()
    assert RunDirectory.open(tmp_path / "a").problems() == []


def test_units_of_other_random_numbers_are_not_mixed(tmp_path):
    run = begun(tmp_path / "a", [Task(0, 0, 10)])
    (result,) = results(Task(0, 10, 10))
    object.__setattr__(result, "stream", "other")
    run.append([result], HERE)
    with pytest.raises(RunError, match="different random numbers"):
        run.closed()


def test_flips_between_kinds_of_device_are_counted_and_bounded(tmp_path):
    def flipped(*flips):
        return FakeRunner(provenance=THERE, undecided=0.1, flips=flips)

    tables = []
    for name, order in (("a", (0, 1)), ("b", (1, 0))):
        run = begun(tmp_path / name)
        runners = (RUNNER, flipped(3, 50, 99))
        for which in order:
            add(run, Task(0, 0, 100), runner=runners[which])
        assert run.problems() == []
        assert (run.flips().overlapping, run.flips().flipped) == (100, 3)
        assert "3 of 100" in str(run.flips())
        tables.append(run.prefix(0))
    assert tables[0] == tables[1]
    run = begun(tmp_path / "c", [Task(0, 0, 100)])
    add(run, Task(0, 0, 100), runner=flipped(3, 50, 98, 99))
    with pytest.raises(RunError, match="disagree on 4 of cell 0"):
        run.closed()


def test_flips_are_bounded_over_all_cells_too(tmp_path):
    tasks = [Task(cell, 0, 100) for cell in range(4)]
    run = begun(tmp_path / "a", tasks)
    add(run, *tasks, runner=FakeRunner(provenance=THERE, undecided=0.1, flips=(7,)))
    with pytest.raises(RunError, match="too many differences: 4 of 400"):
        run.closed()
    assert "too many differences" in run.problems()[0]


def test_another_study_is_refused_and_what_differs_said(tmp_path):
    begun(tmp_path / "a", [Task(0, 0, 10)])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        RunError, match=r"holds another study than the one asked for: seed is 0, not 5"
    ) as e:
        RunDirectory.create_or_open(tmp_path / "a", study(seed=5))
    assert one_line.match(str(e.value))
    assert sorted(tmp_path.rglob("*")) == before


def test_another_stopping_rule_extends(tmp_path):
    begun(tmp_path / "a", [Task(0, 0, 10)])
    for change in ({"restarts": 5000}, {"restarts": None, "half_width": 0.01, "confidence": 0.9}):
        run = RunDirectory.create_or_open(tmp_path / "a", study(**change))
        assert run.closed()[0] == 10
        held = RunDirectory.open(tmp_path / "a").study
        assert held.words() == study(**change).words()


def test_files_of_others_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="not empty"):
        RunDirectory.create_or_open(tmp_path, STUDY)
    assert os.listdir(tmp_path) == ["thesis.tex"]
    with pytest.raises(RunError, match="cannot be"):
        RunDirectory.create_or_open(tmp_path / "thesis.tex", STUDY)
    with pytest.raises(RunError, match="no run directory"):
        RunDirectory.open(tmp_path)


def test_a_damaged_study_is_never_misread(tmp_path):
    begun(tmp_path / "a", [Task(0, 0, 10)])
    path = tmp_path / "a/study.json"
    content = path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(damaged))
        try:
            held = RunDirectory.open(tmp_path / "a").study
        except RunError as error:
            assert one_line.match(str(error))
        else:  # white space, or a letter of a number's exponent
            assert held.words() == STUDY.words()
    path.write_bytes(content[:-50])
    with pytest.raises(RunError, match="delete it and sweep again"):
        RunDirectory.create_or_open(tmp_path / "a", STUDY)
    path.unlink()
    assert RunDirectory.create_or_open(tmp_path / "a", STUDY).closed()[0] == 10


def test_a_file_that_changes_while_open_is_noticed(tmp_path):
    begun(tmp_path / "a", [Task(0, 0, 10)])
    run = RunDirectory.open(tmp_path / "a")
    (unit,) = units(tmp_path / "a")
    content = unit.read_bytes()
    unit.write_bytes(content.replace(b'"outcomes": "e', b'"outcomes": "f'))
    with pytest.raises(RunError, match="has changed"):
        run.outcomes(0, 0, 10)
    unit.unlink()
    with pytest.raises(RunError, match="cannot be read"):
        run.outcomes(0, 0, 10)


def test_a_full_disk_leaves_the_run_as_it_was(tmp_path, monkeypatch):
    run = begun(tmp_path / "a", [Task(0, 0, 10)])
    before = sorted(tmp_path.rglob("*"))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="No space left on device"):
            add(run, Task(0, 10, 10))
    assert sorted(tmp_path.rglob("*")) == before
    assert run.closed()[0] == 10
    add(run, Task(0, 10, 10))
    assert run.closed()[0] == 20


def test_a_read_only_run_can_be_read_and_not_added_to(read_only):
    folder, locked = read_only
    begun(folder / "a", [Task(0, 0, 10)])
    with locked():
        run = RunDirectory.create_or_open(folder / "a", STUDY)
        assert run.closed()[0] == 10
        for task in (Task(0, 0, 10), Task(0, 10, 10)):
            with pytest.raises(RunError, match="Permission denied") as caught:
                add(run, task)
            assert one_line.match(str(caught.value))
        with pytest.raises(RunError, match="Permission denied"):
            RunDirectory.create_or_open(folder / "a", study(restarts=7))
        with pytest.raises(RunError, match="Permission denied"):
            RunDirectory.create_or_open(folder / "b", STUDY)
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert_right(RunDirectory.open(folder / "a"))


def test_unfinished_files_are_not_read(tmp_path):
    run = begun(tmp_path / "a")
    (tmp_path / "a/units/.writing-0123").write_bytes(b"half of")
    run.refresh()
    assert run.problems() == []


def test_the_memory_for_file_contents_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxcnn.study.run_directory._CACHED_BYTES", 1)
    begun(tmp_path / "a", *([Task(cell, 0, 10)] for cell in range(12)))
    run = RunDirectory.open(tmp_path / "a")
    for cell in range(12):
        run.outcomes(cell, 0, 10)
    assert len(run._contents) == 1


def test_a_study_that_was_begun_a_moment_ago_is_seen(tmp_path, monkeypatch):
    """Another process writes study.json after this one has looked: the same study goes on."""
    other = study(seed=1)
    for held, asked in ((STUDY, STUDY), (other, STUDY)):
        place = tmp_path / held.id
        RunDirectory.create_or_open(place, held)
        with monkeypatch.context() as patch:
            patch.setattr(os.path, "lexists", lambda _: False)
            if held is asked:
                assert RunDirectory.create_or_open(place, asked).study.id == held.id
            else:
                with pytest.raises(RunError, match="holds another study"):
                    RunDirectory.create_or_open(place, asked)
        assert RunDirectory.open(place).study.id == held.id


def test_a_run_whose_units_are_gone_begins_again(tmp_path):
    begun(tmp_path, [Task(0, 0, 10)])
    shutil.rmtree(tmp_path / "units")
    run = begun(tmp_path, [Task(0, 0, 10)])
    assert run.closed()[0] == 10
