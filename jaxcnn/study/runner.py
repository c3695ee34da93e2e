"""The engine as a study sees it: cells and index ranges in, unit results out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from jaxcnn import __version__
from jaxcnn.base.cell import Cell
from jaxcnn.descent.full import FullDescent
from jaxcnn.engine.run import Job, Progress, run
from jaxcnn.study.build import Built, build, check_every, full_settings, reduced_settings
from jaxcnn.study.unit import Provenance, Task, UnitResult

_SMALL, _CELLS = 4096, 4096  # bytes of parameters of a cell, and cells, that a runner keeps


@dataclass(frozen=True)
class EngineRunner:
    """Runs tasks on this process's devices.

    Cells that share a family and shapes run in one launch, side by side, so that many small
    cells cost what one large one does.

    Attributes:
        seed: the study's seed.
        engine: "auto", "full" or "reduced".
        dtype: "float32", "float64", or the engine's choice.
        patches: largest k of the study: full states are padded to it, for one compilation.
        patch_size: largest p of the study, from which the lane width of full states follows.
        streams: concurrent launches per device; the engine's choice if not given.
    """

    seed: int
    engine: str = "auto"
    dtype: str | None = None
    patches: int | None = None
    patch_size: int = 6
    streams: int | None = None

    @cached_property
    def provenance(self) -> Provenance:
        """What this runner computes with."""
        return Provenance(
            package=__version__,
            jax=jax.__version__,
            device=jax.devices()[0].device_kind,
            dtype=self.dtype or "auto",
            engine=self.engine,
            lane_width=self._width(),
        )

    def _width(self) -> int:
        if self.engine != "full":
            return reduced_settings().width
        return full_settings((self.patches or 0) + self.patch_size).width

    @cached_property
    def _kept(self) -> dict[Cell, tuple[Built, Hashable]]:
        return {}

    def build(self, cell: Cell) -> Built:
        """The cell as this study runs it; small ones are kept, up to some thousands."""
        return self._built(cell)[0]

    def _built(self, cell: Cell) -> tuple[Built, Hashable]:
        """The cell, and what must agree for cells to share a launch."""
        kept = self._kept.pop(cell, None)
        if kept is not None:
            self._kept[cell] = kept
            return kept
        built = self._build(cell)
        leaves, tree = jax.tree.flatten(built.params)
        shapes: tuple[Any, ...] = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        shape = built.family, built.settings, built.x64, tree, shapes
        if sum(leaf.nbytes for leaf in leaves) <= _SMALL:
            if len(self._kept) >= _CELLS:
                del self._kept[next(iter(self._kept))]
            self._kept[cell] = built, shape
        return built, shape

    def _build(self, cell: Cell) -> Built:
        built = build(cell, engine=self.engine, dtype=self.dtype, patches=None)
        if self.patches is None or not isinstance(built.family, FullDescent):
            return built
        settings = full_settings(self.patches + self.patch_size, check_every(cell))
        return build(
            cell, engine=self.engine, dtype=self.dtype, patches=self.patches, settings=settings
        )

    def __call__(
        self, cells: Sequence[Cell], tasks: Sequence[Task], progress: Progress | None = None
    ) -> list[UnitResult]:
        """Run the tasks; `cells[i]` is the cell of `tasks[i]`."""
        built: list[Built] = []
        groups: dict[Hashable, list[int]] = defaultdict(list)
        last: tuple[Cell, Built, Hashable] | None = None
        for i, cell in enumerate(cells):
            if last is None or last[0] != cell:  # a large cell is not kept; its tasks lie together
                last = (cell, *self._built(cell))
            built.append(last[1])
            groups[last[2]].append(i)
        results: list[UnitResult | None] = [None] * len(tasks)
        for members in groups.values():
            one = built[members[0]]
            jobs = [
                Job(built[i].params, tasks[i].first, tasks[i].count, cells[i].max_steps)
                for i in members
            ]
            ran, account = run(
                one.family,
                jobs,
                seed=self.seed,
                settings=one.settings,
                streams=self.streams,
                x64=one.x64,
                progress=progress,
            )
            overhead = account.lane_steps / max(1, account.useful_steps)
            for i, result in zip(members, ran, strict=True):
                results[i] = UnitResult(
                    task=tasks[i],
                    outcomes=result.outcomes,
                    steps=result.steps,
                    lane_steps=round(overhead * float(result.steps.sum(dtype=np.int64))),
                    stream=f"{one.engine} seed {self.seed}",
                )
        return [result for result in results if result is not None]
