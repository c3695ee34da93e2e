import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from fake_runner import FakeRunner, FixedPace, study

from jaxcnn.base.errors import RunError
from jaxcnn.study.merge import merge
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.schedule import Shard
from jaxcnn.study.sweep import InProcess, sweep_in_process, sweep_with
from jaxcnn.study.table import table
from jaxcnn.study.unit import Task

RUNNER = FakeRunner(undecided=0.05)
RESTARTS = 3000
PROCESSES = []


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    return table(sweep_in_process(study(restarts=RESTARTS), path, RUNNER))


@pytest.fixture(autouse=True)
def _no_process_outlives_its_test():
    # A pipe left open by a test that fails here would fail another test, wherever it is collected.
    yield
    while PROCESSES:
        with PROCESSES.pop() as process:
            process.kill()


def started(*arguments):
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "fake_sweep.py"), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    PROCESSES.append(process)
    return process


def ended(process):
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def assert_same(path, expected, counted_once=True):
    run = RunDirectory.open(path)
    pd.testing.assert_frame_equal(table(run), expected)
    assert run.problems() == []
    if counted_once:
        assert run.costs()[:, 1].tolist() == [RESTARTS] * 12


def test_a_sweep_ends_with_what_was_asked(uninterrupted):
    assert (uninterrupted["restarts"] == RESTARTS).all()
    assert (uninterrupted["standing"] == "enough").all()


def test_a_unit_file_does_not_depend_on_what_landed_first(tmp_path):
    class Backwards(FakeRunner):
        def __call__(self, cells, tasks):
            yield from reversed(super().__call__(cells, tasks))

    words = {"restarts": 70_000, "grid": {"k": [25, 36], "ratio": [1, 4]}}
    for name, kind in (("a", FakeRunner), ("b", Backwards)):
        run = RunDirectory.create_or_open(tmp_path / name, study(**words))
        sweep_with(run, InProcess(kind(undecided=0.05)), pace=FixedPace(150_000))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_runner_that_fails_midway_is_heard_and_its_bundle_not_kept(tmp_path):
    class Failing(FakeRunner):
        def __call__(self, cells, tasks):
            yield from super().__call__(cells, tasks)[:-1]
            raise RunError("lost")

    run = RunDirectory.create_or_open(tmp_path / "a", study())
    with pytest.raises(RunError, match="lost"):
        sweep_with(run, InProcess(Failing()), pace=FixedPace(3000))
    assert contents(tmp_path / "a") == {}


def test_a_finished_sweep_computes_nothing_more(tmp_path):
    runner = FakeRunner()
    sweep_in_process(study(), tmp_path / "a", runner)
    asked = list(runner.tasks)
    sweep_in_process(study(), tmp_path / "a", runner)
    assert runner.tasks == asked


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"restarts": 700}, {"restarts": 3000}),
        ({"restarts": None, "half_width": 0.05}, {"restarts": None, "half_width": 0.02}),
        ({"restarts": None, "half_width": 0.03}, {"restarts": None, "half_width": 0.03, "confidence": 0.99}),
        (
            {"restarts": None, "decision": {"above": 0.7}, "max_restarts": 500},
            {"restarts": None, "decision": {"above": 0.7}, "max_restarts": 2000},
        ),
    ],
)  # fmt: skip
def test_extending_computes_nothing_twice_and_ends_where_one_sweep_would(tmp_path, before, after):
    runner = FakeRunner()
    sweep_in_process(study(**before), tmp_path / "a", runner)
    extended = sweep_in_process(study(**after), tmp_path / "a", runner)
    computed = sum(task.count for task in runner.tasks)
    assert computed == extended.closed().sum()
    direct = sweep_in_process(study(**after), tmp_path / "b", FakeRunner())
    pd.testing.assert_frame_equal(table(extended), table(direct))


def test_progress_is_told(tmp_path):
    told = []
    sweep_in_process(study(), tmp_path / "a", FakeRunner(), told.append)
    assert told[0].restarts == 0
    assert told[0].needed == 12_000
    assert (told[-1].cells_done, told[-1].restarts) == (12, 12_000)
    assert [one.restarts for one in told] == sorted(one.restarts for one in told)


def test_a_runner_that_fails_loses_nothing_that_was_kept(tmp_path, uninterrupted):
    class Failing(FakeRunner):
        def __call__(self, cells, tasks):
            if len(self.tasks) > 20:
                raise MemoryError
            return super().__call__(cells, tasks)

    run = RunDirectory.create_or_open(tmp_path / "a", study(restarts=RESTARTS))
    with pytest.raises(MemoryError):
        sweep_with(run, InProcess(Failing(undecided=0.05)), pace=FixedPace(700))
    assert 0 < run.closed().sum() < 12 * RESTARTS
    sweep_in_process(study(restarts=RESTARTS), tmp_path / "a", RUNNER)
    assert_same(tmp_path / "a", uninterrupted)


class Shuffled:
    """Four workers that hand back bundles in any order."""

    workers, depth = 4, 9

    def __init__(self, runner, seed):
        self.runner, self.source, self.waiting = runner, random.Random(seed), []

    def submit(self, cells, tasks):
        self.waiting.append((cells, tasks))

    def finished(self):
        inner = InProcess(self.runner)
        inner.submit(*self.waiting.pop(self.source.randrange(len(self.waiting))))
        return inner.finished()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "rule",
    [
        {"restarts": 70_000, "grid": {"k": [25], "ratio": [1]}},
        {"restarts": None, "half_width": 0.03},
        {"restarts": None, "decision": {"above": {"ratio": 4}}, "max_restarts": 1500},
    ],
)
def test_the_order_of_results_does_not_matter(tmp_path, rule, seed):
    direct = sweep_in_process(study(**rule), tmp_path / "a", RUNNER)
    runner = FakeRunner(undecided=0.05)
    run = RunDirectory.create_or_open(tmp_path / "b", study(**rule))
    sweep_with(run, Shuffled(runner, seed), pace=FixedPace(2500))
    pd.testing.assert_frame_equal(table(run), table(direct))
    assert sum(task.count for task in runner.tasks) == run.closed().sum()


@pytest.mark.parametrize(
    "rule",
    [
        {"restarts": 300},
        {"restarts": 400_000, "grid": {"k": [25], "ratio": [1, 4]}},
        {"restarts": None, "half_width": 0.02},
        {"restarts": None, "decision": {"above": {"ratio": 4}}, "max_restarts": 1000},
    ],
)
def test_shards_together_make_the_whole(tmp_path, rule):
    made = study(**rule)
    whole = sweep_in_process(made, tmp_path / "whole", RUNNER)
    for number in range(3):
        sweep_in_process(made, tmp_path / f"{number}", RUNNER, shard=Shard(number, 3))
        sweep_in_process(made, tmp_path / "same", RUNNER, shard=Shard(number, 3))
        part = RunDirectory.open(tmp_path / f"{number}")
        assert part.costs()[:, 1].sum() < whole.closed().sum()
    merge(*(tmp_path / f"{number}" for number in range(3)), out=tmp_path / "merged")
    for name in ("same", "merged"):
        run = RunDirectory.open(tmp_path / name)
        pd.testing.assert_frame_equal(table(run), table(whole))
        assert run.costs()[:, 1].sum() == whole.closed().sum()


def contents(path):
    return {unit.name: unit.read_bytes() for unit in (path / "units").glob("*.jsonl")}


def kill_and_resume(path, expected, moments, source, attempt):
    """Until `moments` sweeps were killed, `attempt` one; whatever was kept stays as it was."""
    kills, kept = 0, {}
    while kills < moments:
        status = attempt()
        now = contents(path)
        assert kept.items() <= now.items()
        kills += status == -signal.SIGKILL
        if status == 0:
            for name in source.sample(sorted(now), min(len(now), 9)):
                (path / "units" / name).unlink()  # work to go on with
                del now[name]
        kept = now
    assert ended(started(path, RESTARTS)) == (0, "")
    assert_same(path, expected)


def die_at_lines(path, source, most):
    """Sweeps that are killed as they are about to run a random line."""

    def attempt():
        status, errors = ended(started(path, RESTARTS, "--die-at", source.randrange(1, most)))
        assert (status, errors) in ((0, ""), (-signal.SIGKILL, ""))
        return status

    return attempt


def test_killed_at_random_lines(tmp_path, uninterrupted):
    # A whole sweep runs about 2900 of the lines.
    source = random.Random(1)
    attempt = die_at_lines(tmp_path / "a", source, 900)
    kill_and_resume(tmp_path / "a", uninterrupted, 6, source, attempt)


@pytest.mark.heavy
def test_killed_at_a_hundred_random_lines(tmp_path, uninterrupted):
    source = random.Random(2)
    attempt = die_at_lines(tmp_path / "a", source, 400)
    kill_and_resume(tmp_path / "a", uninterrupted, 100, source, attempt)


@pytest.mark.heavy
def test_killed_at_a_hundred_random_moments(tmp_path, uninterrupted):
    source = random.Random(3)

    def attempt():
        process = started(tmp_path / "a", RESTARTS)
        if source.random() < 0.9:
            process.stdout.readline()
        time.sleep(source.random() ** 2 * 0.3)
        process.send_signal(signal.SIGKILL)
        return ended(process)[0]

    kill_and_resume(tmp_path / "a", uninterrupted, 100, source, attempt)


def test_three_sweeps_on_one_directory_at_once(tmp_path, uninterrupted):
    processes = [started(tmp_path / "a", RESTARTS) for _ in range(3)]
    assert [ended(process) for process in processes] == [(0, "")] * 3
    assert_same(tmp_path / "a", uninterrupted, counted_once=False)
    assert not list((tmp_path / "a/units").glob(".*"))


def test_one_of_three_killed(tmp_path, uninterrupted):
    deaths = [(), ("--die-at", 300), ()]
    processes = [
        started(tmp_path / "a", RESTARTS, "--shard", f"{i}/3", *death)
        for i, death in enumerate(deaths)
    ]
    assert [ended(process)[0] for process in processes] == [0, -signal.SIGKILL, 0]
    assert ended(started(tmp_path / "a", RESTARTS, "--shard", "1/3")) == (0, "")
    assert_same(tmp_path / "a", uninterrupted)


def test_a_full_disk_is_one_line_and_nothing_half_written(tmp_path, uninterrupted):
    status, errors = ended(started(tmp_path / "a", RESTARTS, "--largest", 1250))
    assert status == 2
    kept = contents(tmp_path / "a")
    assert len(kept) == 10
    assert errors.endswith("cannot be written: File too large\n")
    assert len(errors.splitlines()) == 1
    assert not list((tmp_path / "a/units").glob(".*"))
    assert RunDirectory.open(tmp_path / "a").problems() == []
    assert ended(started(tmp_path / "a", RESTARTS)) == (0, "")
    assert kept.items() <= contents(tmp_path / "a").items()
    assert_same(tmp_path / "a", uninterrupted)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KiB, and a function that makes it larger."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    grow = ["mount", "-o", "remount,size=4m", place]
    yield place, lambda: subprocess.run(grow, check=True)
    subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_is_really_full(small_disk, uninterrupted):
    disk, grow = small_disk
    for path in (disk / "a", disk / "b"):  # while units are written, and before any can be
        status, errors = ended(started(path, RESTARTS))
        assert status == 2
        assert errors.endswith(": No space left on device\n")
        assert len(errors.splitlines()) == 1
        assert not list(path.rglob(".writing*"))
    kept = contents(disk / "a")
    assert 5 < len(kept) < 60
    assert RunDirectory.open(disk / "a").problems() == []
    grow()
    for path in (disk / "a", disk / "b"):
        assert ended(started(path, RESTARTS)) == (0, "")
        assert_same(path, uninterrupted)
    assert kept.items() <= contents(disk / "a").items()


def test_a_directory_that_contradicts_itself_is_not_swept(tmp_path):
    sweep_in_process(study(), tmp_path / "a", FakeRunner())
    run = RunDirectory.open(tmp_path / "a")
    wrong = FakeRunner(flips=(5,))
    run.append(wrong([run.study.cells[0]], [Task(0, 0, 10)]), wrong.provenance)
    with pytest.raises(RunError, match="disagree on 1 of cell 0"):
        sweep_in_process(study(), tmp_path / "a", FakeRunner())
