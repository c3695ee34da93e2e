"""From words to functions: the only place that turns a `Cell` into a family and its numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.descent.full import FullDescent, FullParams
from jaxcnn.descent.kernel import DescentKernel, kernel_of
from jaxcnn.descent.optimizer import RuleParams
from jaxcnn.descent.start import FullLaw, FullStart, radius
from jaxcnn.engine.dynamics import Family
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.model.population import Target
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.axis import ENGINES
from jaxcnn.study.build_reduced import build_alike, build_reduced, why_not_reduced, words_of
from jaxcnn.study.build_rule import (
    MEMORY,
    NOTHING,
    Custom,
    check,
    goal,
    hyper,
    is_rule,
    rule_family,
    sigma,
    source,
)
from jaxcnn.study.built import (
    PLAIN,
    TOLERANCES,
    Built,
    Start,
    as_dtype,
    check_every,
    full_settings,
    precision,
    rates_of,
    shortcut,
    sizes_of,
    teacher_of,
)

DTYPES = ("float32", "float64")


def build(
    cell: Cell,
    *,
    engine: str = "auto",
    dtype: str | None = None,
    teacher: Teacher | None = None,
    start: Start | None = None,
    settings: LaneSettings | None = None,
    patches: int | None = None,
    custom: Custom | None = None,
    memory: int = MEMORY,
) -> Built:
    """The family, parameters and compiled shape for a cell.

    Args:
        cell: the experiment.
        engine: "reduced" (four scalars), "full" (v and a), or "auto": reduced where it is exact.
        dtype: "float32" or "float64"; by default float32, and float64 where the increments of
            plain descent in float32 would round away (c or c ‖a*‖² ≤ 1e-5) or overflow.
        teacher: explicit w*, a*, instead of the cell's.
        start: start laws the cell has no words for.
        settings: compiled shape, if not the engine's choice.
        patches: pad a full state to this many patches, so that one compilation serves several k.
        custom: optimizer and activation objects the cell has no words for.
        memory: budget in bytes for the lanes of runs that carry data.

    Raises:
        InputError: a word is unknown, or the start is none of these sizes.
        RefusedError: the reduced engine cannot run this cell, with the reason.
    """
    _refuse_unknown(engine, dtype)
    teacher = teacher or teacher_of(
        cell.k, cell.p, cell.ratio, cell.teacher_norm, cell.teacher_angle
    )
    start, custom = start or PLAIN, custom or NOTHING
    if not isinstance(start, Start):
        raise InputError("start", start, "must be a Start")
    start.check(cell)
    kernel = kernel_of(sigma(cell, custom))
    b = float(rates_of(cell, kernel, sizes_of(teacher)).b)
    check(cell, custom, b)
    reason = why_not_reduced(cell, start, kernel, b, custom)
    if engine == "reduced" and reason:
        raise RefusedError("engine", "reduced", f"{reason}; use engine='full'")
    if cell.optimizer == "flow" and (engine == "full" or reason):
        why = reason or "the gradient flow runs on four scalars"
        raise RefusedError(
            "optimizer", "flow", f"{why}; use a small step_size with optimizer='sgd'"
        )
    if engine != "full" and not reason:
        built = build_reduced(cell, kernel, sigma(cell, custom), teacher, start, dtype, settings)
    elif is_rule(cell, custom, kernel):
        built = _rule(
            cell, custom, kernel, teacher, start, dtype or "float32", settings, patches, memory
        )
    else:
        built = _full(cell, kernel, teacher, start, dtype, settings, patches)
    for name, default in TOLERANCES.items() if built.proved else ():
        if getattr(cell, name) != default:
            raise RefusedError(
                name, getattr(cell, name), "has no effect: outcomes are certified here"
            )
    return built


def build_many(
    cells: Sequence[Cell], *, engine: str = "auto", dtype: str | None = None
) -> list[Built]:
    """`build` for each of some cells, in a quarter of the time where they differ in numbers alone.

    Raises:
        InputError, RefusedError: as `build` does, for the first cell that is refused.
    """
    _refuse_unknown(engine, dtype)
    made: list[Built | None] = [None] * len(cells)
    groups: dict[Any, list[int]] = defaultdict(list)
    for i, cell in enumerate(cells if engine != "full" else ()):
        groups[words_of(cell)].append(i)
    for places in groups.values():
        for i, built in zip(places, build_alike([cells[i] for i in places], dtype), strict=True):
            made[i] = built
    return [
        built or build(cell, engine=engine, dtype=dtype)
        for cell, built in zip(cells, made, strict=True)
    ]


def _refuse_unknown(engine: str, dtype: str | None) -> None:
    if engine not in ENGINES:
        raise InputError("engine", engine, f"must be one of {', '.join(ENGINES)}")
    if dtype is not None and dtype not in DTYPES:
        raise InputError("dtype", dtype, f"must be one of {', '.join(DTYPES)}")


def _full(
    cell: Cell,
    kernel: DescentKernel,
    teacher: Teacher,
    start: Start,
    dtype: str | None,
    settings: LaneSettings | None,
    patches: int | None,
) -> Built:
    law, params = _full_start(cell, kernel, teacher, start, patches)
    dtype = precision(dtype, params.rates)
    return Built(
        family=cast(Family, FullDescent(law, kernel)),
        params=as_dtype(params, dtype),
        engine="full",
        dtype=dtype,
        settings=settings or full_settings((patches or cell.k) + cell.p, check_every(cell)),
        proved=kernel.monotone,
    )


def _rule(
    cell: Cell,
    custom: Custom,
    kernel: DescentKernel,
    teacher: Teacher,
    start: Start,
    dtype: str,
    settings: LaneSettings | None,
    patches: int | None,
    memory: int,
) -> Built:
    if cell.samples is not None:
        patches = None  # inputs of padded patches would be drawn and multiplied for nothing
    law, plain = _full_start(cell, kernel, teacher, start, patches)
    sigma_ = sigma(cell, custom)
    origin, numbers, lanes = source(cell, teacher, sigma_, dtype, memory)
    family = rule_family(cell, custom, law, kernel, sigma_, origin)
    params = RuleParams(
        target=as_dtype(plain.target, dtype),
        start=as_dtype(plain.start, dtype),
        hyper=as_dtype(hyper(cell), dtype),
        goal=as_dtype(goal(cell, teacher, sigma_, custom), dtype),
        rates=as_dtype(plain.rates, dtype),
        source=numbers,
    )
    return Built(
        family=cast(Family, family),
        params=params,
        engine="full",
        dtype=dtype,
        settings=settings
        or lanes
        or full_settings((patches or cell.k) + cell.p, check_every(cell)),
        proved=family.kernel is not None,
    )


def _full_start(
    cell: Cell, kernel: DescentKernel, teacher: Teacher, start: Start, patches: int | None
) -> tuple[FullLaw, FullParams]:
    """Start law and numbers of a full state, padded to `patches`."""
    size = patches or cell.k
    sizes = sizes_of(teacher)
    pad = (0, size - cell.k)
    bias = 0.0 if start.a_mean is None else np.asarray(start.a_mean, float)
    mean = np.pad(np.broadcast_to(bias, (cell.k,)), pad)
    v_mean = np.zeros(cell.p) if start.v_mean is None else np.asarray(start.v_mean, float)
    a_kind, v_kind, angle = cell.init, cell.filter_init, 0.0
    if start.a is not None and not callable(start.a):
        a_kind, mean = "zero", mean + np.pad(np.asarray(start.a, float), pad)
    if start.v is not None and not callable(start.v):
        v_kind, v_mean = "zero", v_mean + np.asarray(start.v, float)
    if v_kind == "shortcut":
        v_kind, v_mean = "zero", v_mean + shortcut(cell.p)
    if start.angle is not None:
        v_kind, angle = "angle", start.angle
    law = FullLaw(
        a=a_kind,  # type: ignore[arg-type]  # the cell's words are the law's
        v=v_kind,  # type: ignore[arg-type]
        custom_a=start.a if callable(start.a) else None,
        custom_v=start.v if callable(start.v) else None,
    )
    arrays: dict[str, Any] = {
        "w_star": teacher.w_star,
        "a_star": np.pad(teacher.a_star, pad),
        "ones": np.pad(np.ones(cell.k), pad),
    }
    numbers: dict[str, Any] = {
        "scale": radius(cell.init, cell.init_scale, sizes.total, cell.k),
        "patches": cell.k,
        "output_mean": mean,
        "filter_mean": v_mean,
        "angle": angle,
    }
    params = FullParams(
        target=Target(**arrays),
        rates=rates_of(cell, kernel, sizes),
        start=FullStart(**numbers),
    )
    return law, params
