"""A runner without an engine: outcomes are a hash of cell, seed and restart index."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, field

import numpy as np

from jaxcnn.base.outcome import Outcome
from jaxcnn.study.schedule import Pace
from jaxcnn.study.study import Study
from jaxcnn.study.unit import Provenance, Task, UnitResult

HERE = Provenance(
    package="0", jax="0", device="fake cpu", dtype="auto", engine="auto", lane_width=8
)
THERE = Provenance(
    package="0", jax="0", device="fake gpu", dtype="auto", engine="auto", lane_width=8
)


def uniforms(first: int, count: int, salt: int) -> np.ndarray:
    """Numbers in [0, 1) that depend on the restart index and the salt alone (splitmix64)."""
    z = np.arange(first + 1, first + count + 1, dtype=np.uint64) + np.uint64(salt) * np.uint64(
        2**33
    )
    z *= np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) / 2.0**53


@dataclass
class FakeRunner:
    """Success probability 1 / (1 + step_size * ratio / k * 10); `undecided` hides a share.

    Attributes:
        flips: restart indices whose outcome is turned round, as another device might.
        delay: seconds a call sleeps.
        tasks: what was asked, in order.
    """

    provenance: Provenance = HERE
    undecided: float = 0.0
    flips: tuple[int, ...] = ()
    delay: float = 0.0
    tasks: list[Task] = field(default_factory=list)

    def __call__(self, cells, tasks):
        time.sleep(self.delay)
        self.tasks += tasks
        return [self.run(cell, task) for cell, task in zip(cells, tasks, strict=True)]

    def run(self, cell, task):
        salt = zlib.crc32(f"{cell.k} {cell.p}".encode()) % 1000
        u = uniforms(task.first, task.count, salt)
        success = 1.0 / (1.0 + cell.step_size * cell.ratio / cell.k * 10)
        outcomes = np.where(u < success, Outcome.GLOBAL, Outcome.SPURIOUS).astype(np.uint8)
        hidden = uniforms(task.first, task.count, salt + 1) < self.undecided
        outcomes[hidden] = Outcome.UNDECIDED
        for index in self.flips:
            if task.first <= index < task.end:
                at = index - task.first
                outcomes[at] = 3 - outcomes[at] if outcomes[at] <= 2 else Outcome.GLOBAL
        steps = (1 + 200 * u).astype(np.uint32)
        return UnitResult(
            task, outcomes, steps, int(steps.sum(dtype=np.int64)), f"fake p{cell.p} k{cell.k}"
        )


class FixedPace(Pace):
    """Bundles of so many restarts, whatever the clock says."""

    def __init__(self, restarts: int) -> None:
        super().__init__()
        self._budget = float(restarts)

    def observe(self, results, seconds):
        pass


WORDS = {
    "restarts": 1000,
    "fixed": {"p": 6},
    "grid": {"k": [25, 100], "ratio": [1, 4, 9], "step_size": [0.05, 0.1]},
}


def study(**changes) -> Study:
    """Twelve cells with 1000 restarts each, with changes."""
    words = {**WORDS, **changes}
    return Study.from_words(**{key: value for key, value in words.items() if value is not None})
