"""The real engine, on the command line and off it, through everything that ends a sweep."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from processes import HERE, PLACES, Cluster, children, ended, needs_dask, process, wait_for
from processes import units as count_units

pytestmark = pytest.mark.heavy

STUDY = """
[study]
restarts = {restarts}
[fixed]
p = 6
teacher_norm = 0.6
[grid]
k = [9, 25]
ratio = [1, 2]
step_size = [0.05, 0.1]
"""
RESTARTS = 5000


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Compilations that later processes read, so that a restart is cheap."""
    given = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return {
        "JAX_COMPILATION_CACHE_DIR": given or str(tmp_path_factory.mktemp("cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(STUDY.format(restarts=RESTARTS))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory, study_file, cache):
    """The table of a sweep that nothing disturbed, as the bytes of a CSV file."""
    path = tmp_path_factory.mktemp("whole") / "run"
    assert ended(jaxcnn("sweep", study_file, "--out", path, **cache))[0] == 0
    return exported(path, cache)


def jaxcnn(*words, **environment):
    return process(sys.executable, "-m", "jaxcnn", *words, **environment)


def small_bundles(path, study_file, *words, **environment):
    return process(sys.executable, HERE / "real_sweep.py", path, study_file, *words, **environment)


def exported(path, cache):
    file = path.parent / f"{path.name}.csv"
    assert ended(jaxcnn("export", path, file, **cache)) == (0, "")
    return file.read_bytes()


def verified(path, cache):
    assert ended(jaxcnn("verify", path, "--fraction", "1", **cache)) == (0, "")
    return True


def assert_no_restart_twice(path):
    """Without overlaps the units hold every restart of the eight cells once."""
    text = "".join(unit.read_text() for unit in (path / "units").glob("*.jsonl"))
    counts = [int(part.split(",")[0]) for part in text.split('"count": ')[1:]]
    assert sum(counts) == 8 * RESTARTS


@pytest.mark.parametrize("seed", range(10))
def test_killed_at_a_hundred_random_moments_in_all(tmp_path, study_file, whole, cache, seed):
    # A kill falls anywhere: while Python starts, JAX compiles, a bundle runs or a file is written.
    source, kills, path = random.Random(seed), 0, tmp_path / "a"
    kept = {}
    while kills < 10:
        going = small_bundles(path, study_file, **cache)
        if source.random() < 0.7:
            going.stdout.readline()  # the first bundle is done
            time.sleep(source.random() * 0.3)
        else:
            time.sleep(source.random() * 3)
        going.send_signal(signal.SIGKILL)
        status, _ = ended(going)
        now = {unit.name: unit.read_bytes() for unit in path.glob("units/*.jsonl")}
        assert kept.items() <= now.items()
        kills += status == -signal.SIGKILL
        if status == 0:
            for name in source.sample(sorted(now), 20):
                (path / "units" / name).unlink()  # work to go on with
                del now[name]
        kept = now
    assert ended(small_bundles(path, study_file, **cache))[0] == 0
    assert exported(path, cache) == whole
    assert_no_restart_twice(path)
    assert verified(path, cache)


def test_workers_and_one_of_them_killed(tmp_path, study_file, whole, cache):
    path = tmp_path / "a"
    going = small_bundles(path, study_file, "--workers", 2, **cache)
    wait_for(lambda: count_units(path) > 5)
    os.kill(children(going.pid)[-1], signal.SIGKILL)
    status, errors = ended(going)
    assert status == 2
    assert "a worker process was killed" in errors
    assert len(errors.splitlines()) == 1
    going = jaxcnn("sweep", study_file, "--out", path, "--workers", 2, **cache)
    assert ended(going) == (0, "")
    assert exported(path, cache) == whole
    assert_no_restart_twice(path)


@pytest.mark.parametrize("bundles", [0, 2])
def test_ctrl_c_with_workers_is_one_line(tmp_path, cache, bundles):
    # A terminal sends it to every process; at first while the workers still load modules.
    study, path = tmp_path / "study.toml", tmp_path / "a"
    study.write_text(STUDY.format(restarts=10**8))
    going = jaxcnn("sweep", study, "--out", path, "--workers", 2, **cache)
    wait_for(lambda: len(children(going.pid)) == 2 and count_units(path) >= bundles)
    for number in (*children(going.pid), going.pid):
        os.kill(number, signal.SIGINT)
    assert ended(going) == (130, "jaxcnn: interrupted\n")


def test_two_sweeps_on_one_directory_at_once(tmp_path, study_file, whole, cache):
    path = tmp_path / "a"
    both = [small_bundles(path, study_file, **cache) for _ in range(2)]
    assert [ended(one)[0] for one in both] == [0, 0]
    assert exported(path, cache) == whole
    assert verified(path, cache)


def test_shards_of_an_array_job(tmp_path, study_file, whole, cache):
    # The script of the array job, with the scheduler's variables set by hand.
    script = HERE.parents[1] / "studies/slurm_array.sh"
    shutil.copy(study_file, tmp_path / "study.toml")
    command = tmp_path / "bin/jaxcnn"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m jaxcnn "$@"\n')
    command.chmod(0o755)
    for task in range(3):
        subprocess.run(
            ["bash", script], cwd=tmp_path, check=True, capture_output=True,
            env={
                **os.environ, **cache, "PYTHONPATH": PLACES, "SLURM_ARRAY_TASK_ID": str(task),
                "SLURM_ARRAY_TASK_COUNT": "3", "PATH": f"{command.parent}:{os.environ['PATH']}",
            },
        )  # fmt: skip
        own = tmp_path / str(task)
        words = ("sweep", study_file, "--out", own, "--shard", f"{task}/3")
        assert ended(jaxcnn(*words, **cache)) == (0, "")
        assert exported(own, cache) != whole
    assert exported(tmp_path / "runs/study", cache) == whole
    assert_no_restart_twice(tmp_path / "runs/study")
    parts = [tmp_path / str(task) for task in range(3)]
    assert ended(jaxcnn("merge", *parts, "--out", tmp_path / "merged", **cache)) == (0, "")
    assert exported(tmp_path / "merged", cache) == whole
    assert_no_restart_twice(tmp_path / "merged")


@needs_dask
def test_on_a_dask_cluster(tmp_path, study_file, whole, cache):
    cluster = Cluster(tmp_path)
    cluster.start_scheduler()
    for _ in range(2):
        cluster.start_worker(**cache)
    path = tmp_path / "a"
    words = ("sweep", study_file, "--out", path, "--dask", cluster.address)
    assert ended(jaxcnn(*words, **cache)) == (0, "")
    assert exported(path, cache) == whole
    assert_no_restart_twice(path)
    path = tmp_path / "b"
    going = small_bundles(path, study_file, "--dask", cluster.address, **cache)
    wait_for(lambda: count_units(path) > 5)
    cluster.scheduler.kill()
    status, errors = ended(going)
    assert (status, len(errors.splitlines())) == (2, 1)
    assert errors.startswith(f"the Dask scheduler at {cluster.address} ")
    assert count_units(path) < 8 * RESTARTS / 256
    cluster.start_scheduler()
    cluster.start_worker(**cache)
    words = ("sweep", study_file, "--out", path, "--dask", cluster.address)
    assert ended(jaxcnn(*words, **cache)) == (0, "")
    assert exported(path, cache) == whole
    assert_no_restart_twice(path)


@needs_dask
def test_a_cluster_without_a_worker_is_waited_for_and_said_in_one_line(
    tmp_path, study_file, whole, cache
):
    cluster = Cluster(tmp_path)
    cluster.start_scheduler()
    path = tmp_path / "a"
    going = jaxcnn("sweep", study_file, "--out", path, "--dask", cluster.address, **cache)
    assert going.stderr.readline() == (
        f"jaxcnn: no worker yet at {cluster.address}: waiting for one\n"
    )
    time.sleep(2)
    assert going.poll() is None
    assert count_units(path) == 0
    cluster.start_worker(**cache)
    assert ended(going) == (0, "")
    assert exported(path, cache) == whole


@needs_dask
def test_clusters_that_cannot_be_used_are_refused_in_one_line(tmp_path, study_file, cache):
    def refused(address, *parts, **environment):
        path = tmp_path / "a"
        words = ("sweep", study_file, "--out", path, "--dask", address)
        status, errors = ended(jaxcnn(*words, **cache, **environment))
        assert (status, len(errors.splitlines())) == (2, 1), errors
        for part in ("jaxcnn: --dask", address, *parts):
            assert part in errors, errors
        assert not path.exists()

    refused("tcp://127.0.0.1:9", "cannot be reached")
    refused("nonsense", "must be an address such as tcp://HOST:8786")
    refused("ftp://127.0.0.1:9", "must be an address such as tcp://HOST:8786")
    without = tmp_path / "without/distributed.py"
    without.parent.mkdir()
    without.write_text("raise ModuleNotFoundError('distributed')\n")
    places = f"{without.parent}{os.pathsep}{PLACES}"
    refused("tcp://127.0.0.1:9", "pip install 'jaxcnn[cluster]'", PYTHONPATH=places)
    cluster = Cluster(tmp_path)
    cluster.start_scheduler()
    stranger = tmp_path / "stranger/jaxcnn.py"
    stranger.parent.mkdir()
    stranger.write_text("raise ModuleNotFoundError(\"No module named 'jaxcnn'\")\n")
    worker = cluster.start_worker(PYTHONPATH=str(stranger.parent))
    time.sleep(4)
    refused(cluster.address, "has no jaxcnn: install it there")
    worker.kill()
    other = tmp_path / "other/jaxcnn"
    shutil.copytree(HERE.parents[1] / "jaxcnn", other)
    init = other / "__init__.py"
    init.write_text(init.read_text().replace('__version__ = "', '__version__ = "9.'))
    cluster.start_worker(PYTHONPATH=str(other.parent))
    time.sleep(4)
    refused(cluster.address, "has jaxcnn 9.", "install")
