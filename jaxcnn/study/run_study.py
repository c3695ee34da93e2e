"""`sweep`: a study from its words or file to a table, here, on local workers or on Dask."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from jaxcnn.base.checks import whole
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.study.cluster import DaskWorkers
from jaxcnn.study.executors import LocalWorkers, RunnerSpec
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.runner import EngineRunner
from jaxcnn.study.schedule import FIRST_BUNDLE, WHOLE, Pace, Shard
from jaxcnn.study.study import Study
from jaxcnn.study.study_file import read_study
from jaxcnn.study.sweep import Executor, InProcess, Progress, sweep_with
from jaxcnn.study.table import table

ENGINE = "jaxcnn.study.runner:EngineRunner"
_MOST_WORKERS = 1024
_CHECKED = 2000
_MOST_AT_FIRST = 2**20  # restarts of a first bundle


def runner_words(study: Study) -> dict[str, Any]:
    """The arguments of the `EngineRunner` of a study."""
    return {
        "seed": study.seed,
        "engine": study.engine,
        "dtype": None if study.dtype == "auto" else study.dtype,
        "patches": study.cells.largest("k"),
        "patch_size": study.cells.largest("p"),
    }


def sweep(
    study: Study | str | Path | None = None,
    *,
    out: str | Path | None = None,
    workers: int = 1,
    shard: str | Shard = WHOLE,
    client: Any = None,
    progress: Progress | None = None,
    **words: Any,
) -> pd.DataFrame:
    """Run a study, beginning or resuming it, and return its table.

    Args:
        study: a `Study` or the path of a study file; or give its words as keywords, as in
            `sweep(seed=0, restarts=5000, fixed={"p": 6}, grid={"k": [25], "ratio": [1, 4]})`.
        out: the run directory; without one, results are kept only in the table.
        workers: local processes, each with its share of the cores or its own accelerator. They
            import the script that calls: put its call under `if __name__ == "__main__":`.
        shard: the part "i/n" of the study to compute, for array jobs.
        client: a `distributed.Client`; the bundles then run on its workers.
        progress: called after each bundle.
        **words: the words of a study file.

    Returns:
        One row per cell: its words, counts, estimate, interval, steps and completeness.

    Raises:
        InputError: a word is wrong; nothing has been computed or written.
        RunError: the directory holds another study, or cannot be read or written.
    """
    if (study is None) == (not words):
        raise RefusedError("study", study, "give a study (or its file), or its words, one of both")
    if study is None:
        study = Study.from_words(**words)
    elif not isinstance(study, Study):
        study = read_study(study)
    part = shard if isinstance(shard, Shard) else _part(shard)
    if client is not None and workers != 1:
        raise RefusedError("workers", workers, "are the cluster's when a client is given")
    if whole("workers", workers, 1) > _MOST_WORKERS:
        raise InputError("workers", workers, f"must be at most {_MOST_WORKERS}")
    arguments = runner_words(study)
    local = EngineRunner(**arguments)
    a_second = local.check(islice(study.cells, _CHECKED))
    if len(study) > _CHECKED:
        a_second = None  # there may be slower ones
    pace = Pace(first=min(max(a_second or 0, FIRST_BUNDLE), _MOST_AT_FIRST))
    spec = RunnerSpec.of(ENGINE, arguments)
    cluster = None if client is None else DaskWorkers(spec, client)
    with _directory(out) as place:
        run = RunDirectory.create_or_open(place, study)
        if cluster is not None:
            sweep_with(run, cluster, progress, shard=part, pace=pace)
        elif workers == 1:
            here: Executor = InProcess(local)
            sweep_with(run, here, progress, shard=part, pace=pace)
        else:
            with LocalWorkers(spec, workers) as pool:
                sweep_with(run, pool, progress, shard=part, pace=pace)
        return table(run)


def _part(shard: str) -> Shard:
    number, slash, parts = str(shard).partition("/")
    if not (slash and number.isdecimal() and parts.isdecimal()):
        raise InputError("shard", shard, "must be i/n with 0 <= i < n")
    return Shard(int(number), int(parts))


@contextmanager
def _directory(out: str | Path | None) -> Iterator[Path]:
    if out is not None:
        yield Path(out)
    else:
        with tempfile.TemporaryDirectory(prefix="jaxcnn-") as folder:
            yield Path(folder) / "run"
