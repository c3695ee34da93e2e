"""`jaxcnn sweep`: run a study."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from jaxcnn.base.errors import InputError
from jaxcnn.study.run_study import sweep
from jaxcnn.study.study_file import read_study
from jaxcnn.view.commands.show import print_run
from jaxcnn.view.progress import watched
from jaxcnn.view.runs import open_run

_PATIENCE = "10s"  # for the scheduler to answer
_ADDRESS = re.compile(r"(tcp|tls|wss?)://\S+:\d+")


def run(study: Path, *, out: Path, workers: int, shard: str | None, dask: str | None) -> None:
    """Run, resume or extend a study, then show its table."""
    if workers < 1:
        raise InputError("workers", workers, "must be at least 1")
    asked = read_study(study)
    options: dict[str, Any] = {"workers": workers}
    if shard is not None:
        options["shard"] = shard
    with ExitStack() as stack:
        if dask is not None:
            client = options["client"] = stack.enter_context(_client(dask))
            if not client.scheduler_info(n_workers=-1)["workers"]:
                print(f"jaxcnn: no worker yet at {dask}: waiting for one", file=sys.stderr)
        watcher = stack.enter_context(watched("sweep"))
        try:
            sweep(asked, out=out, progress=watcher, **options)
        except InputError as error:
            if error.argument != "client":
                raise
            raise InputError("dask", dask, error.remedy) from None
    print_run(open_run(out))


def _client(address: str) -> Any:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise InputError("dask", address, "needs: pip install 'jaxcnn[cluster]'") from None
    if not _ADDRESS.fullmatch(address):
        raise InputError("dask", address, "must be an address such as tcp://HOST:8786")
    # Its loggers would tell the story of a lost connection beside our one line.
    logging.disable()
    try:
        return distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        sys.unraisablehook = lambda _: None  # the half-made client complains as it is collected
        reason = " ".join(str(error).split())[:100]
        raise InputError("dask", address, f"cannot be reached: {reason}") from None
