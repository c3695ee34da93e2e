"""`jaxcnn report`: one page of a run."""

from __future__ import annotations

from pathlib import Path

from jaxcnn.view.progress import watched
from jaxcnn.view.report import report
from jaxcnn.view.terminal import print_text


def run(path: Path, *, out: Path, exact: bool) -> None:
    """Write the page."""
    with watched("exact") as watcher:
        report(path, out, exact=exact, progress=watcher)
    print_text(f"written: {out}")
