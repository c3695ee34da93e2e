"""`jaxcnn sweep`: run a study."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from jaxcnn.base.errors import InputError
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.run_study import sweep
from jaxcnn.study.study_file import read_study
from jaxcnn.view.commands.show import print_run
from jaxcnn.view.progress import watched
from jaxcnn.view.runs import open_run


def run(study: Path, *, out: Path, workers: int, shard: str | None, dask: str | None) -> None:
    """Run, resume or extend a study, then show its table."""
    if workers < 1:
        raise InputError("workers", workers, "must be at least 1")
    asked = read_study(study)
    options: dict[str, Any] = {"workers": workers}
    if shard is not None:
        options["shard"] = shard
    if dask is not None:
        options["client"] = _client(dask)
    with watched("sweep") as watcher:
        sweep(asked, out=out, progress=watcher, **options)
    print_run(open_run(RunDirectory.open(out).path))


def _client(address: str) -> Any:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise InputError("dask", address, "needs: pip install 'jaxcnn[cluster]'") from None
    try:
        return distributed.Client(address, timeout="20s")
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError("dask", address, f"cannot be reached: {reason}") from None
