"""The engine as a study sees it: cells and index ranges in, unit results out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax

from jaxcnn import __version__
from jaxcnn.base.cell import Cell
from jaxcnn.descent.full import FullDescent
from jaxcnn.engine.run import Job, run_each
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
    def _kept(self) -> dict[Cell, tuple[Built, int]]:
        return {}

    @cached_property
    def _shapes(self) -> dict[Hashable, int]:
        return {}

    def build(self, cell: Cell) -> Built:
        """The cell as this study runs it; small ones are kept, up to some thousands."""
        return self._built(cell)[0]

    def _built(self, cell: Cell) -> tuple[Built, int]:
        """The cell, and the number of what must agree for cells to share a launch."""
        kept = self._kept.pop(cell, None)
        if kept is not None:
            self._kept[cell] = kept
            return kept
        built = self._build(cell)
        key: Hashable = (built.family, built.settings, built.x64)
        small = True
        if built.engine == "full":  # the numbers of four scalars have one shape in each family
            leaves, tree = jax.tree.flatten(built.params)
            key = key, tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
            small = sum(leaf.nbytes for leaf in leaves) <= _SMALL
        shape = self._shapes.setdefault(key, len(self._shapes))
        if small:
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

    def __call__(self, cells: Sequence[Cell], tasks: Sequence[Task]) -> Iterator[UnitResult]:
        """Run the tasks, `cells[i]` being the cell of `tasks[i]`; results as they land."""
        built: list[Built] = []
        groups: dict[int, list[int]] = defaultdict(list)
        last: tuple[Cell, Built, int] | None = None
        for i, cell in enumerate(cells):
            if last is None or last[0] != cell:  # a large cell is not kept; its tasks lie together
                last = (cell, *self._built(cell))
            built.append(last[1])
            groups[last[2]].append(i)
        for members in groups.values():
            one = built[members[0]]
            jobs = [
                Job(built[i].params, tasks[i].first, tasks[i].count, cells[i].max_steps)
                for i in members
            ]
            stream = f"{one.engine} seed {self.seed}"
            words: dict[str, Any] = {"settings": one.settings, "streams": self.streams}
            for landing in run_each(one.family, jobs, seed=self.seed, x64=one.x64, **words):
                for job, result in landing.done:
                    yield UnitResult(
                        task=tasks[members[job]],
                        outcomes=result.outcomes,
                        steps=result.steps,
                        lane_steps=result.lane_steps,
                        stream=stream,
                    )
