"""`jaxcnn merge`: runs of one study into one directory."""

from __future__ import annotations

from pathlib import Path

from jaxcnn.study.merge import merge
from jaxcnn.view.terminal import print_text


def run(runs: list[Path], *, out: Path) -> None:
    """Merge and say what was merged."""
    result = merge(*runs, out=out)
    print_text(f"{out}: {result}")
    for problem in result.problems:
        print_text(f"left out: {problem}")
