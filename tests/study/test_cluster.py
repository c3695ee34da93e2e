"""Workers of a host and of a Dask cluster, as processes: killed, and with the same table."""

import os
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest
from fake_runner import FakeRunner, study
from processes import HERE, Cluster, children, ended, needs_dask, process, units, wait_for

from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.sweep import sweep_in_process
from jaxcnn.study.table import table

RESTARTS = 3000
GO_ON = "finished units are kept: give the same command again\n"


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    return table(sweep_in_process(study(restarts=RESTARTS), path, FakeRunner(undecided=0.05)))


def sweeping(path, *words):
    return process(sys.executable, HERE / "fake_sweep.py", path, RESTARTS, *words)


def assert_same(path, expected):
    run = RunDirectory.open(path)
    pd.testing.assert_frame_equal(table(run), expected)
    assert run.problems() == []
    assert run.costs()[:, 1].tolist() == [RESTARTS] * 12


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    made.start_scheduler()
    return made


def test_local_workers_make_the_same_table(tmp_path, expected):
    assert ended(sweeping(tmp_path / "a", "--workers", 2)) == (0, "")
    assert_same(tmp_path / "a", expected)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_local_worker_killed_is_one_line_and_the_same_command_goes_on(tmp_path, expected):
    going = sweeping(tmp_path / "a", "--workers", 2, "--delay", 0.3)
    wait_for(lambda: units(tmp_path / "a") > 5)
    os.kill(children(going.pid)[-1], signal.SIGKILL)
    assert ended(going) == (2, f"a worker process was killed; {GO_ON}")
    assert 5 < units(tmp_path / "a") < 60
    assert ended(sweeping(tmp_path / "a", "--workers", 2)) == (0, "")
    assert_same(tmp_path / "a", expected)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_workers_end_with_a_sweep_that_is_killed(tmp_path, expected):
    going = sweeping(tmp_path / "a", "--workers", 2, "--delay", 0.3)
    wait_for(lambda: units(tmp_path / "a") > 5)
    workers = children(going.pid)
    assert len(workers) == 2
    going.kill()
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    ended(going)
    assert ended(sweeping(tmp_path / "a", "--workers", 2)) == (0, "")
    assert_same(tmp_path / "a", expected)


@needs_dask
def test_a_dask_cluster_makes_the_same_table(tmp_path, cluster, expected):
    cluster.start_worker()
    cluster.start_worker()
    assert ended(sweeping(tmp_path / "a", "--dask", cluster.address)) == (0, "")
    assert_same(tmp_path / "a", expected)


@needs_dask
@pytest.mark.heavy
def test_a_dask_worker_killed_is_made_good_by_the_others(tmp_path, cluster, expected):
    workers = [cluster.start_worker() for _ in range(2)]
    going = sweeping(tmp_path / "a", "--dask", cluster.address, "--delay", 0.1)
    for worker in workers:
        # One is lost early, and one joins; then the other is lost too.
        before = units(tmp_path / "a")
        wait_for(lambda before=before: units(tmp_path / "a") > before + 8)
        worker.kill()
        cluster.start_worker()
    assert ended(going) == (0, "")
    assert_same(tmp_path / "a", expected)


@needs_dask
@pytest.mark.heavy
def test_the_dask_scheduler_killed_is_one_line_and_the_same_command_goes_on(
    tmp_path, cluster, expected
):
    kept = 0
    for _ in range(3):
        workers = [cluster.start_worker() for _ in range(2)]
        going = sweeping(tmp_path / "a", "--dask", cluster.address, "--delay", 0.3)
        wait_for(lambda: units(tmp_path / "a") > kept + 4)
        cluster.scheduler.kill()
        status, errors = ended(going)
        assert status == 2
        assert len(errors.splitlines()) == 1
        assert errors.startswith(f"the Dask scheduler at {cluster.address} ")
        assert errors.endswith(GO_ON)
        assert kept + 4 < units(tmp_path / "a") < 62
        kept = units(tmp_path / "a")
        for worker in workers:
            worker.wait(timeout=60)  # they end with their scheduler
        cluster.start_scheduler()
    cluster.start_worker()
    assert ended(sweeping(tmp_path / "a", "--dask", cluster.address)) == (0, "")
    assert_same(tmp_path / "a", expected)
