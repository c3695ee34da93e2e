"""Cells on four scalars: which can be, and the numbers of each; many cells at once.

Four scalars carry a run exactly where the start law is closed in the plane of 1 and a* and the
rule is linear in the gradients. Their numbers are arithmetic on those of the cell, so a grid of
cells that differ in numbers alone is built column by column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.cell import MOMENTUM, Cell, cell_options
from jaxcnn.base.errors import InputError
from jaxcnn.descent.certificate import Rates
from jaxcnn.descent.flow import FlowDescent
from jaxcnn.descent.kernel import DescentKernel, kernel_of
from jaxcnn.descent.plane import PlaneKind, PlaneLaw, PlaneStart, plane_power, sphere_power
from jaxcnn.descent.reduced import ReducedDescent, ReducedParams
from jaxcnn.descent.reduced_momentum import MomentumDescent, MomentumParams
from jaxcnn.descent.reduced_perturbed import PerturbedDescent, PerturbedParams
from jaxcnn.descent.start import radius
from jaxcnn.descent.warmup import WarmupDescent, WarmupParams
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.model.dual import Activation
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.build_rule import NOTHING, Custom, goal, hyper, noise, sigma, why_not_four
from jaxcnn.study.built import (
    PLAIN,
    TOLERANCES,
    Built,
    Sizes,
    Start,
    as_dtype,
    check_every,
    precision,
    rates_at,
    rates_of,
    reduced_settings,
    shortcut,
    sizes_of,
    spoils_float32,
    teacher_of,
)

_NUMBERS = {
    "k", "ratio", "p", "teacher_norm", "init_scale", "step_size", "filter_step_size", "max_steps",
}  # fmt: skip
"""Fields in which cells that are built together may differ."""

words_of = attrgetter(*(option.name for option in cell_options() if option.name not in _NUMBERS))
"""What cells that are built together must have in common."""

_own = attrgetter("k", "step_size", "filter_step_size", "init_scale")
_of_teacher = attrgetter("k", "p", "ratio", "teacher_norm")


def why_not_reduced(
    cell: Cell, start: Start, kernel: DescentKernel, b: float, custom: Custom
) -> str | None:
    """Why four scalars do not carry this cell, of that b, or None where they do exactly."""
    reason = why_not_four(cell, custom)
    if reason:
        return reason
    if cell.init == "box" and start.a is None:
        return "a box start has no closed law in the plane of 1 and a*"
    if callable(start.a) or callable(start.v):
        return "the law of a callable start in the plane of 1 and a* is not known"
    if start.v_mean is not None:
        return "a biased v has no closed law of angle and norm"
    if cell.init == "sphere" and cell.k == 1 and start.a is None:
        return "the sphere in one dimension is two points"
    if _keeps_loss(cell, kernel):
        if cell.k < 2:
            return "momentum on scalars needs two patches"
        if np.ndim(start.a_mean) > 0 and start.a is None:
            return "the loss after a biased start of a is not known in the plane of 1 and a*"
        if cell.warmup_steps:
            return "a warm-up without certificates runs on the full state"
    elif cell.optimizer != "flow" and b >= 2:
        return "at b >= 2 the part of a outside the four scalars diverges"
    if cell.optimizer in ("flow", "perturbed") and not kernel.monotone:
        return f"nothing is certified for {kernel.name!r} under optimizer {cell.optimizer!r}"
    return None


def _keeps_loss(cell: Cell, kernel: DescentKernel) -> bool:
    """Whether outcomes of a reduced run rest on tolerances, which need its loss."""
    proved = kernel.monotone or cell.optimizer in ("flow", "perturbed")
    return cell.optimizer in MOMENTUM or not proved


def build_reduced(
    cell: Cell,
    kernel: DescentKernel,
    sigma_: Activation,
    teacher: Teacher,
    start: Start,
    dtype: str | None,
    settings: LaneSettings | None,
) -> Built:
    """A cell on four scalars; `why_not_reduced` has no reason against it."""
    sizes = sizes_of(teacher)
    rates = rates_of(cell, kernel, sizes)
    dtype = precision(dtype, rates)
    kind = _kind(cell, start)
    numbers = _plane_start(kind, cell.k, cell.p, sizes)
    angle, norm2, v_kind = 0.0, 1.0, cell.filter_init
    if start.angle is not None:
        v_kind, angle = "fixed", start.angle
    elif start.v is not None or v_kind == "shortcut":
        v_kind = "fixed"
        v = shortcut(cell.p) if start.v is None else np.asarray(start.v, float)
        along = float(v @ teacher.w_star)
        angle = math.atan2(float(np.linalg.norm(v - along * teacher.w_star)), along)
        norm2 = float(v @ v)
    x, y = _plane_point(start, teacher, sizes)
    scale = radius(cell.init, cell.init_scale, sizes.total, cell.k)
    numbers = numbers._replace(scale=scale, x=x, y=y, angle=angle, norm2=norm2)
    law = PlaneLaw(kind, v_kind)  # type: ignore[arg-type]  # the cell's words are the law's
    params: Any = _params(np.array([(*rates, *numbers)], dtype))[0]  # quicker than `as_dtype`
    rates, numbers = params
    family: Any = ReducedDescent(law, kernel)
    if _keeps_loss(cell, kernel):
        family = MomentumDescent(law, kernel, cell.optimizer == "nesterov")
        places: dict[str, Any] = {"patches": cell.k, "point_rest": _point_rest(start, teacher)}
        params = MomentumParams(
            rates=rates,
            start=numbers,
            momentum=hyper(cell).momentum,
            goal=goal(cell, teacher, sigma_),
            **places,
        )
    elif cell.optimizer == "flow":
        family = FlowDescent(law, kernel)
    elif cell.optimizer == "perturbed":
        family = PerturbedDescent(law, kernel)
        params = PerturbedParams(rates, numbers, noise(cell, dtype))
    elif cell.warmup_steps:
        family = WarmupDescent(law, kernel)
        params = WarmupParams(rates, numbers, _number(cell.warmup_steps))
    return Built(
        family=family,
        params=params if type(params) is ReducedParams else as_dtype(params, dtype),
        engine="reduced",
        dtype=dtype,
        settings=settings or reduced_settings(check_every(cell)),
        proved=not _keeps_loss(cell, kernel),
    )


def build_alike(cells: Sequence[Cell], dtype: str | None) -> list[Built | None]:
    """Cells of equal `words_of`, all at once; None for each that must be built by itself.

    That is each that is not plain descent or may have to be refused. The numbers are those of
    `build_reduced`, bit for bit.
    """
    words = cells[0]
    kernel = kernel_of(sigma(words, NOTHING))
    if not _is_plain(words, kernel):
        return [None] * len(cells)
    kind = _kind(words, PLAIN)
    k, step, filter_step, scale = np.array([_own(cell) for cell in cells], float).T
    filter_step = np.where(np.isnan(filter_step), step, filter_step)  # None: that of a
    teachers: dict[Any, int] = {}
    which = [teachers.setdefault(_of_teacher(cell), len(teachers)) for cell in cells]
    found = [_teacher_numbers(kind, *teacher) for teacher in teachers]
    sizes = Sizes(*np.array([sizes for sizes, _ in found])[which].T)
    starts = np.array([start for _, start in found])[which]
    starts[:, 0] = radius(words.init, scale, sizes.total, k)
    rates = rates_at(step, filter_step, k, kernel, sizes)
    slow, large = spoils_float32(rates)
    own = [dtype or ("float64" if spoilt else "float32") for spoilt in (slow | large).tolist()]
    # What may be refused is built by itself.
    doubtful = (slow | large) & (dtype == "float32")
    alone = (rates.b >= 2) | doubtful | (np.isnan(starts).any(axis=1))
    rows = np.column_stack([*rates, starts])
    params = {name: _params(rows.astype(name)) for name in set(own)}
    law = PlaneLaw(kind, words.filter_init)  # type: ignore[arg-type]  # the cell's word is the law's
    family: Any = ReducedDescent(law, kernel)
    every = [check_every(cell) for cell in cells]
    settings = {steps: reduced_settings(steps) for steps in set(every)}
    return [
        None
        if by_itself
        else Built(family, params[name][i], "reduced", name, settings[steps], True)
        for i, (name, steps, by_itself) in enumerate(zip(own, every, alone.tolist(), strict=True))
    ]


def _is_plain(cell: Cell, kernel: DescentKernel) -> bool:
    """Whether nothing but numbers can stand against plain descent on four scalars."""
    plain = cell.optimizer == "sgd" and not cell.warmup_steps and kernel.monotone
    plain = plain and cell.init != "box" and cell.filter_init != "shortcut"
    usual = all(getattr(cell, name) == default for name, default in TOLERANCES.items())
    return plain and usual and why_not_four(cell, NOTHING) is None


def _kind(cell: Cell, start: Start) -> PlaneKind:
    fixed = cell.init == "zero" or start.a is not None
    return "point" if fixed else cast(PlaneKind, cell.init)  # the cell's words are the law's


def _plane_start(kind: PlaneKind, k: int, p: int, sizes: Sizes) -> PlaneStart:
    """The start law of a teacher, of scale 0 and around the origin."""
    return PlaneStart(
        scale=0.0,
        power=plane_power("ball" if kind != "sphere" else "sphere", k),
        root_k=math.sqrt(k),
        sum=sizes.total,
        side=sizes.side,
        x=0.0,
        y=0.0,
        angle_power=sphere_power(p),
        p=p,
        angle=0.0,
        norm2=1.0,
    )


@lru_cache(maxsize=4096)
def _teacher_numbers(
    kind: PlaneKind, k: int, p: int, ratio: float, norm: float
) -> tuple[Sizes, tuple[float, ...]]:
    """The sizes of a teacher and its `_plane_start`; of NaN where one of them is refused."""
    try:
        sizes = sizes_of(teacher_of(k, p, ratio, norm, None))
        return sizes, _plane_start(kind, k, p, sizes)
    except InputError:
        nothing = (math.nan,) * len(PlaneStart._fields)
        return Sizes(*nothing[: len(Sizes._fields)]), nothing


def _number(value: float) -> Any:
    return np.asarray(value, float)


def _params(rows: NDArray[Any]) -> list[ReducedParams]:
    """Rates and start laws from rows of both, as NumPy numbers of their dtype."""
    columns, size = [list(column) for column in rows.T], len(Rates._fields)
    rates = map(Rates._make, zip(*columns[:size], strict=True))
    starts = map(PlaneStart._make, zip(*columns[size:], strict=True))
    return list(map(ReducedParams, rates, starts))


def _point_rest(start: Start, teacher: Teacher) -> float:
    """Norm of a fixed a₀ outside the plane of 1 and a*."""
    point = start.a if start.a is not None else 0.0
    mean = start.a_mean if start.a_mean is not None else 0.0
    a = np.broadcast_to(np.asarray(point, float) + np.asarray(mean, float), (teacher.k,))
    rest = a - a.mean()
    across = teacher.a_star - teacher.a_star.mean()
    size = float(across @ across)
    return float(np.linalg.norm(rest - (rest @ across / size) * across if size > 0 else rest))


def _plane_point(start: Start, teacher: Teacher, sizes: Sizes) -> tuple[float, float]:
    """(x, y) of the fixed part of a₀: its start or its mean."""
    if start.a is None and start.a_mean is None:
        return 0.0, 0.0
    point = start.a if start.a is not None else 0.0
    mean = start.a_mean if start.a_mean is not None else 0.0
    a = np.broadcast_to(np.asarray(point, float) + np.asarray(mean, float), (teacher.k,))
    across = teacher.a_star - sizes.total / teacher.k
    x = float(a.sum()) / math.sqrt(teacher.k)
    return x, float(a @ across) / sizes.side if sizes.side > 0 else 0.0
