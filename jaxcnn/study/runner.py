"""The engine as a study sees it: cells and index ranges in, unit results out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, compress, groupby, islice
from typing import Any

import jax

from jaxcnn import __version__
from jaxcnn.base.cell import Cell
from jaxcnn.descent.full import FullDescent
from jaxcnn.descent.reduced import ReducedParams
from jaxcnn.engine.dynamics import kind_of
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import Batch, run_batches
from jaxcnn.study.build import build, build_many
from jaxcnn.study.built import Built, check_every, full_settings, reduced_settings
from jaxcnn.study.unit import Provenance, Task, UnitResult

_SMALL, _CELLS = 4096, 4096  # bytes of parameters of a cell, and cells, that a runner keeps
_STEPS = 4e8  # restart-steps a second, to an order of magnitude
_SOME = 128  # cells that are held at once to be checked


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
    """

    seed: int
    engine: str = "auto"
    dtype: str | None = None
    patches: int | None = None
    patch_size: int = 6

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
        return self._built([cell])[0][0]

    def check(self, cells: Iterable[Cell]) -> int | None:
        """Build cells, to see whether one is refused.

        Returns:
            No more restarts than take about a second: plain descent on four scalars has some
            0.6/c steps (see `check_every`), more with a small teacher or steps of v. None if a
            cell is something else.

        Raises:
            InputError, RefusedError: if one is.
        """
        slowest = math.inf
        for part in self._parts(cells):
            slowest = min(slowest, *(_slowness(built) for built, _ in self._built(part)))
        return int(_STEPS * slowest / 0.6) if 0 < slowest < math.inf else None

    def _parts(self, cells: Iterable[Cell]) -> Iterator[list[Cell]]:
        """Some cells at a time, so that they are built together; large ones by one."""

        def may_be_large(cell: Cell) -> bool:
            return self.engine == "full" or cell.samples is not None or cell.optimizer != "sgd"

        left = iter(cells)
        while some := list(islice(left, _SOME)):
            for large, group in groupby(some, may_be_large):
                same = list(group)
                yield from ([cell] for cell in same) if large else [same]

    def _built(self, cells: Sequence[Cell]) -> list[tuple[Built, int]]:
        """Each cell, and the number of what must agree for cells to share a launch."""
        kept = self._kept
        # A large cell is not kept, but its tasks lie together.
        changes = [i == 0 or cell is not cells[i - 1] for i, cell in enumerate(cells)]
        own = list(compress(cells, changes))
        known = [kept.pop(cell, None) for cell in own]
        new = [cell for cell, one in zip(own, known, strict=True) if one is None]
        made = iter(self._build(new))
        found = [one or self._with_shape(next(made)) for one in known]
        for cell, one in zip(own, found, strict=True):  # the latest used are kept
            if one[0].engine != "full" or _bytes(one[0].params) <= _SMALL:
                kept[cell] = one
        while len(kept) > _CELLS:
            del kept[next(iter(kept))]
        return [found[i - 1] for i in accumulate(changes)]

    def _build(self, cells: Sequence[Cell]) -> list[Built]:
        made = build_many(cells, engine=self.engine, dtype=self.dtype)
        if self.patches is None:
            return made
        for i, cell in enumerate(cells):
            if isinstance(made[i].family, FullDescent):
                lanes = full_settings(self.patches + self.patch_size, check_every(cell))
                words: dict[str, Any] = {"engine": self.engine, "dtype": self.dtype}
                made[i] = build(cell, **words, patches=self.patches, settings=lanes)
        return made

    def _with_shape(self, built: Built) -> tuple[Built, int]:
        key: Hashable = (kind_of(built.family), built.settings, built.x64)
        if built.engine == "full":  # the numbers of four scalars have one shape in each family
            leaves, tree = jax.tree.flatten(built.params)
            key = key, tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        return built, self._shapes.setdefault(key, len(self._shapes))

    def __call__(self, cells: Sequence[Cell], tasks: Sequence[Task]) -> Iterator[UnitResult]:
        """Run the tasks, `cells[i]` being the cell of `tasks[i]`; results as they land."""
        groups: dict[int, list[int]] = defaultdict(list)
        built = self._built(cells)
        for i, (_, shape) in enumerate(built):
            groups[shape].append(i)
        batches = []
        for members in groups.values():
            jobs = [
                Job(built[i][0].params, tasks[i].first, tasks[i].count, cells[i].max_steps)
                for i in members
            ]
            one, _ = built[members[0]]
            batches.append(Batch(one.family, jobs, one.settings, one.x64))
        places = list(groups.values())
        for number, landing in run_batches(batches, seed=self.seed):
            for job, result in landing.done:
                at = places[number][job]
                yield UnitResult(
                    task=tasks[at],
                    outcomes=result.outcomes,
                    steps=result.steps,
                    lane_steps=result.lane_steps,
                    stream=f"{built[at][0].engine} seed {self.seed}",
                )


def _slowness(built: Built) -> float:
    """A lower bound on c, in which 0.6/c is about the number of steps; 0 where none is known."""
    if type(built.params) is not ReducedParams:
        return 0.0
    rates = built.params.rates
    return float(min(rates.c, rates.c_filter)) * min(1.0, float(rates.power))


def _bytes(params: Any) -> int:
    return sum(int(leaf.nbytes) for leaf in jax.tree.leaves(params))
