"""`jaxcnn verify`: compute some of a run again."""

from __future__ import annotations

from pathlib import Path

from jaxcnn.base.errors import RunError
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.run_study import runner_words
from jaxcnn.study.runner import EngineRunner
from jaxcnn.study.verify import verify
from jaxcnn.view.progress import watched
from jaxcnn.view.terminal import print_text


def run(path: Path, *, fraction: float, seed: int) -> None:
    """Verify, and fail if anything disagrees."""
    opened = RunDirectory.open(path)
    runner = EngineRunner(**runner_words(opened.study))
    with watched("verify") as watcher:
        result = verify(opened, fraction, runner, seed, progress=watcher)
    problems = opened.problems()
    for line in (*problems, *result.disagreements):
        print_text(line)
    if problems:
        raise RunError(f"{path}: {len(problems)} problems; {result}")
    if not result.ok:
        raise RunError(f"{path}: {result}")
    print_text(str(result))
