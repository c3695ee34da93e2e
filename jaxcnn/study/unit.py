"""What is asked of the Monte Carlo engine and what it hands back: tasks and unit results.

    cells, tasks ──► runner ──► one `UnitResult` per task ──► unit file ──► run directory

A task is a closed range of restart indices of one cell, so a result is the same whoever
computes it and may be computed twice without harm.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.cell import Cell
from jaxcnn.base.checks import whole
from jaxcnn.base.errors import InputError

MOST_RESTARTS = 2**40
"""No cell has more restart indices than this."""

_BYTE, _WORD = np.dtype(np.uint8), np.dtype(np.uint32)


@dataclass(frozen=True, slots=True, order=True)
class Task:
    """Restarts [first, first + count) of one cell of a study."""

    cell: int
    first: int
    count: int

    @property
    def end(self) -> int:
        """One past the last restart index."""
        return self.first + self.count

    def __str__(self) -> str:
        """The range in words, ends included."""
        return f"cell {self.cell}, restarts {self.first} to {self.end - 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What computed a unit: two units with equal provenance must agree on every restart.

    Attributes:
        package: version of this package.
        jax: version of JAX.
        device: kind of device, such as "cpu" or "NVIDIA H200".
        dtype: precision of the state.
        engine: how a restart was run, such as "full" or "reduced".
        lane_width: lanes side by side; rounding can differ between widths.
    """

    package: str
    jax: str
    device: str
    dtype: str
    engine: str
    lane_width: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "lane_width":
                whole("lane_width", value, 1)
            elif not isinstance(value, str) or not 0 < len(value) <= 200:
                raise InputError(field.name, value, "must be a word of at most 200 characters")

    def words(self) -> dict[str, Any]:
        """The attributes as plain words, for result files."""
        return asdict(self)

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that name this provenance."""
        text = json.dumps(self.words(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def arithmetic(self) -> tuple[str, str, int]:
        """What rounding depends on: device kind, JAX version and lane width."""
        return self.device, self.jax, self.lane_width


@dataclass(frozen=True, slots=True, eq=False)
class UnitResult:
    """How the restarts of one task ended.

    Attributes:
        task: the task.
        outcomes: `Outcome` values in index order, uint8, shape (count,).
        steps: steps to the outcome, uint32, shape (count,).
        lane_steps: restart-steps paid for this task, idle lanes included.
        stream: name of the random numbers. Cells whose units name the same stream drew the
            same numbers at the same restart index: their differences are paired.

    Raises:
        InputError: if the arrays are not what they must be. Whether outcomes are final is
            looked at where lines are made of many results (`unit_file.lines`).
    """

    task: Task
    outcomes: NDArray[np.uint8]
    steps: NDArray[np.uint32]
    lane_steps: int = 0
    stream: str = ""

    def __post_init__(self) -> None:
        task, outcomes, steps = self.task, self.outcomes, self.steps
        if task.count < 1 or task.first < 0 or task.first + task.count > MOST_RESTARTS:
            raise InputError("task", str(task), "must be a range of restart indices")
        shape = (task.count,)
        for name, found, dtype in (("outcomes", outcomes, _BYTE), ("steps", steps, _WORD)):
            if found.dtype != dtype or found.shape != shape:
                words = (str(found.dtype), found.shape)
                raise InputError(name, words, f"must be {dtype} of shape {shape}")
        if len(self.stream) > 200:
            raise InputError("stream", self.stream, "must be at most 200 characters")


class Runner(Protocol):
    """The engine, as a study sees it.

    `cells[i]` is the cell of `tasks[i]`; results come in any order. Outcomes
    depend on the cell, the restart indices and the provenance only.
    """

    @property
    def provenance(self) -> Provenance:
        """What this runner computes with."""
        ...

    def __call__(self, cells: Sequence[Cell], tasks: Sequence[Task]) -> Iterable[UnitResult]:
        """Run the tasks; an iterator hands over what has landed while it computes the rest."""
        ...
