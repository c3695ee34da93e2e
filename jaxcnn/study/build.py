"""From words to functions: the only place that turns a `Cell` into a family and its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import jax
import numpy as np

from jaxcnn.base.cell import Cell, cell_options
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.descent.certificate import Rates
from jaxcnn.descent.flow import FlowDescent
from jaxcnn.descent.full import FullDescent, FullParams
from jaxcnn.descent.kernel import DescentKernel, kernel_of
from jaxcnn.descent.optimizer import MOMENTUM, RuleParams
from jaxcnn.descent.plane import PlaneLaw, PlaneStart, plane_power, sphere_power
from jaxcnn.descent.reduced import REDUCED_FLOAT32_FLOOR, ReducedDescent, ReducedParams
from jaxcnn.descent.reduced_momentum import MomentumDescent, MomentumParams
from jaxcnn.descent.reduced_perturbed import PerturbedDescent, PerturbedParams
from jaxcnn.descent.start import FullLaw, FullStart, radius
from jaxcnn.descent.warmup import WarmupDescent, WarmupParams
from jaxcnn.engine.dynamics import Family
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.model.dual import Activation
from jaxcnn.model.population import Target
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.rules import (
    MEMORY,
    Custom,
    check,
    goal,
    hyper,
    is_rule,
    noise,
    rule_family,
    sigma,
    source,
    why_not_four,
)

ENGINES = ("auto", "full", "reduced")
DTYPES = ("float32", "float64")
Draw = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Start:
    """Start laws that a cell has no words for; for Python only.

    Attributes:
        a: fixed a₀ (k,), or a function key → a₀, instead of the cell's `init`.
        v: fixed v₀ (p,), or a function key → v₀, instead of the cell's `filter_init`.
        angle: fixed angle φ₀ between v₀ and w* (‖v₀‖ = 1, uniform direction around w*).
        a_mean: added to a₀: a number for every coordinate, or (k,).
        v_mean: added to v₀: (p,).
    """

    a: Any = None
    v: Any = None
    angle: float | None = None
    a_mean: Any = None
    v_mean: Any = None

    @property
    def plain(self) -> bool:
        """Whether the cell's own words say it all."""
        return all(x is None for x in (self.a, self.v, self.angle, self.a_mean, self.v_mean))


@dataclass(frozen=True)
class Built:
    """A cell as the engine runs it.

    Attributes:
        family: parameters → `Dynamics`.
        params: this cell's parameters, NumPy arrays and numbers in `dtype`.
        engine: "full" or "reduced".
        dtype: of the state.
        settings: compiled shape.
        proved: whether outcomes are certified; otherwise they rest on the cell's tolerances.
    """

    family: Family
    params: Any
    engine: str
    dtype: str
    settings: LaneSettings
    proved: bool

    @property
    def x64(self) -> bool:
        """Whether the engine needs 64-bit types."""
        return self.dtype == "float64"


_PLAIN, _NOTHING = Start(), Custom()
_TOLERANCES = tuple(
    (option.name, option.default)
    for option in cell_options()
    if option.name in ("angle_tolerance", "loss_tolerance")
)


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
            plain descent in float32 would round away (c ≤ 1e-5).
        teacher: explicit w*, a*, instead of the cell's.
        start: start laws the cell has no words for.
        settings: compiled shape, if not the engine's choice.
        patches: pad a full state to this many patches, so that one compilation serves several k.
        custom: optimizer and activation objects the cell has no words for.
        memory: budget in bytes for the lanes of runs that carry data.

    Raises:
        InputError: a word is unknown.
        RefusedError: the reduced engine cannot run this cell, with the reason.
    """
    if engine not in ENGINES:
        raise InputError("engine", engine, f"must be one of {', '.join(ENGINES)}")
    if dtype is not None and dtype not in DTYPES:
        raise InputError("dtype", dtype, f"must be one of {', '.join(DTYPES)}")
    teacher = teacher or _teacher(cell.k, cell.p, cell.ratio, cell.teacher_norm, cell.teacher_angle)
    start, custom = start or _PLAIN, custom or _NOTHING
    kernel = _kernel(cell, custom)
    check(cell, custom, _b(cell, kernel))
    if cell.filter_init == "shortcut" and (start.v is not None or start.angle is not None):
        raise RefusedError(
            "filter_init", "shortcut", "fixes v; a Start with v or angle excludes it"
        )
    reason = why_not_reduced(cell, start, kernel, custom)
    if engine == "reduced" and reason:
        raise RefusedError("engine", "reduced", f"{reason}; use engine='full'")
    if cell.optimizer == "flow" and (engine == "full" or reason):
        why = reason or "the gradient flow runs on four scalars"
        raise RefusedError(
            "optimizer", "flow", f"{why}; use a small step_size with optimizer='sgd'"
        )
    if engine != "full" and not reason:
        built = _reduced(cell, kernel, sigma(cell, custom), teacher, start, dtype, settings)
    elif is_rule(cell, custom, kernel):
        built = _rule(
            cell, custom, kernel, teacher, start, dtype or "float32", settings, patches, memory
        )
    else:
        built = _full(cell, kernel, teacher, start, dtype, settings, patches)
    for name, default in _TOLERANCES if built.proved else ():
        if getattr(cell, name) != default:
            raise RefusedError(
                name, getattr(cell, name), "has no effect: outcomes are certified here"
            )
    return built


def why_not_reduced(
    cell: Cell, start: Start, kernel: DescentKernel, custom: Custom | None = None
) -> str | None:
    """Why four scalars do not carry this cell, or None where they do exactly."""
    reason = why_not_four(cell, custom or _NOTHING)
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
    elif cell.optimizer != "flow" and _b(cell, kernel) >= 2:
        return "at b >= 2 the part of a outside the four scalars diverges"
    if cell.optimizer in ("flow", "perturbed") and not kernel.monotone:
        return f"nothing is certified for {kernel.name!r} under optimizer {cell.optimizer!r}"
    return None


def _keeps_loss(cell: Cell, kernel: DescentKernel) -> bool:
    """Whether outcomes of a reduced run rest on tolerances, which need its loss."""
    proved = kernel.monotone or cell.optimizer in ("flow", "perturbed")
    return cell.optimizer in MOMENTUM or not proved


@lru_cache(maxsize=4)  # a grid has runs of cells that differ in the dynamics alone
def _teacher(k: int, p: int, ratio: float, norm: float, angle: float | None) -> Teacher:
    return Teacher(k=k, p=p, ratio=ratio, teacher_norm=norm, teacher_angle=angle)


def rates_of(cell: Cell, kernel: DescentKernel, power: float, sum2: float) -> Rates:
    """The rates of a cell as Python floats."""
    assert cell.step_size is not None  # Cell fills it in
    c = cell.step_size / (2 * math.pi)
    c_filter = c if cell.filter_step_size is None else cell.filter_step_size / (2 * math.pi)
    b = _b(cell, kernel)
    return Rates(c, c_filter, b, power, sum2)  # type: ignore[arg-type]  # floats, cast below


def _b(cell: Cell, kernel: DescentKernel) -> float:
    assert cell.step_size is not None  # Cell fills it in
    c = cell.step_size / (2 * math.pi)
    return c * (kernel.top - kernel.mean + cell.k * kernel.mean)


def _kernel(cell: Cell, custom: Custom | None = None) -> DescentKernel:
    return kernel_of(sigma(cell, custom or _NOTHING))


def _precision(dtype: str | None, rates: Rates) -> str:
    """The dtype asked for, or the one that plain descent needs.

    Raises:
        RefusedError: float32 was asked for and increments would round away: runs drift by 10⁻³
            radians at c = 10⁻⁶, on v and a as on four scalars.
    """
    small = min(float(rates.c), float(rates.c_filter)) <= REDUCED_FLOAT32_FLOOR
    if dtype == "float32" and small:
        raise RefusedError(
            "dtype",
            "float32",
            f"increments round away at eta/2pi <= {REDUCED_FLOAT32_FLOOR:g}; use float64",
        )
    return dtype or ("float64" if small else "float32")


def _cast(tree: Any, dtype: str) -> Any:
    leaves, shape = jax.tree.flatten(tree)
    kind = np.dtype(dtype)
    return jax.tree.unflatten(shape, [np.asarray(leaf, kind) for leaf in leaves])


@lru_cache(maxsize=4)
def _sizes(teacher: Teacher) -> tuple[float, float, float]:
    """U = 1ᵀa*, A = ‖a*‖², and B = ‖a* − (U/k) 1‖, each without cancellation."""
    a = teacher.a_star
    total = math.fsum(a.tolist())
    side = math.sqrt(math.fsum(((a - total / teacher.k) ** 2).tolist()))
    return total, math.fsum((a * a).tolist()), side


def _reduced(
    cell: Cell,
    kernel: DescentKernel,
    sigma_: Activation,
    teacher: Teacher,
    start: Start,
    dtype: str | None,
    settings: LaneSettings | None,
) -> Built:
    total, power, side = _sizes(teacher)
    rates = rates_of(cell, kernel, power, total * total)
    dtype = _precision(dtype, rates)
    kind = "point" if cell.init == "zero" or start.a is not None else cell.init
    x, y = _plane_point(start, teacher, total, side)
    angle, norm2 = 0.0, 1.0
    v_kind = cell.filter_init
    if start.angle is not None:
        v_kind, angle = "fixed", start.angle
    elif start.v is not None or v_kind == "shortcut":
        v_kind = "fixed"
        v = _shortcut(cell.p) if start.v is None else np.asarray(start.v, float)
        along = float(v @ teacher.w_star)
        angle = math.atan2(float(np.linalg.norm(v - along * teacher.w_star)), along)
        norm2 = float(v @ v)
    law = PlaneLaw(kind, v_kind)  # type: ignore[arg-type]  # the cell's words are the law's
    numbers = PlaneStart(
        scale=radius(cell.init, cell.init_scale, total, cell.k),
        power=plane_power("ball" if kind != "sphere" else "sphere", cell.k),
        root_k=math.sqrt(cell.k),
        sum=total,
        side=side,
        x=x,
        y=y,
        angle_power=sphere_power(cell.p),
        p=cell.p,
        angle=angle,
        norm2=norm2,
    )
    row = list(np.array((*rates, *numbers), dtype))  # in a fifth of the time of `_cast`
    rates, numbers = Rates._make(row[: len(rates)]), PlaneStart._make(row[len(rates) :])
    params: Any = ReducedParams(rates, numbers)
    family: Any = ReducedDescent(law, kernel)
    if _keeps_loss(cell, kernel):
        family = MomentumDescent(law, kernel, cell.optimizer == "nesterov")
        sizes: dict[str, Any] = {"patches": cell.k, "point_rest": _point_rest(start, teacher)}
        params = MomentumParams(
            rates=rates,
            start=numbers,
            momentum=hyper(cell).momentum,
            goal=goal(cell, teacher, sigma_),
            **sizes,
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
        params=params if type(params) is ReducedParams else _cast(params, dtype),
        engine="reduced",
        dtype=dtype,
        settings=settings or reduced_settings(check_every(cell)),
        proved=not _keeps_loss(cell, kernel),
    )


def _number(value: float) -> Any:
    return np.asarray(value, float)


def _shortcut(p: int) -> np.ndarray:
    """The filter 1/√p that the shortcut adds to v₀ = 0."""
    return np.full(p, 1 / math.sqrt(p))


def _point_rest(start: Start, teacher: Teacher) -> float:
    """Norm of a fixed a₀ outside the plane of 1 and a*."""
    point = start.a if start.a is not None else 0.0
    mean = start.a_mean if start.a_mean is not None else 0.0
    a = np.broadcast_to(np.asarray(point, float) + np.asarray(mean, float), (teacher.k,))
    rest = a - a.mean()
    across = teacher.a_star - teacher.a_star.mean()
    size = float(across @ across)
    return float(np.linalg.norm(rest - (rest @ across / size) * across if size > 0 else rest))


def _plane_point(start: Start, teacher: Teacher, total: float, side: float) -> tuple[float, float]:
    """(x, y) of the fixed part of a₀: its start or its mean."""
    if start.a is None and start.a_mean is None:
        return 0.0, 0.0
    point = start.a if start.a is not None else 0.0
    mean = start.a_mean if start.a_mean is not None else 0.0
    a = np.broadcast_to(np.asarray(point, float) + np.asarray(mean, float), (teacher.k,))
    across = teacher.a_star - total / teacher.k
    x = float(a.sum()) / math.sqrt(teacher.k)
    return x, float(a @ across) / side if side > 0 else 0.0


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
    dtype = _precision(dtype, params.rates)
    return Built(
        family=cast(Family, FullDescent(law, kernel)),
        params=_cast(params, dtype),
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
        target=_cast(plain.target, dtype),
        start=_cast(plain.start, dtype),
        hyper=_cast(hyper(cell), dtype),
        goal=_cast(goal(cell, teacher, sigma_), dtype),
        rates=_cast(plain.rates, dtype),
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
    total, power, _ = _sizes(teacher)
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
        v_kind, v_mean = "zero", v_mean + _shortcut(cell.p)
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
        "scale": radius(cell.init, cell.init_scale, total, cell.k),
        "patches": cell.k,
        "output_mean": mean,
        "filter_mean": v_mean,
        "angle": angle,
    }
    params = FullParams(
        target=Target(**arrays),
        rates=rates_of(cell, kernel, power, total * total),
        start=FullStart(**numbers),
    )
    return law, params


def check_every(cell: Cell) -> int:
    """Steps between two verdicts: a power of two near √(6/c), from 8 to 64.

    A run of plain descent takes some 0.6/c steps, a verdict costs as much as five, and a run
    goes on for half of `check_every` after it is decided: the cost is least at √(2·5·0.6/c).
    It is at most a quarter of the step limit, which is looked at when a verdict is.
    """
    assert cell.step_size is not None  # Cell fills it in
    best = round(math.log2(math.sqrt(6 * 2 * math.pi / cell.step_size)))
    allowed = max(1, cell.max_steps // 4).bit_length() - 1
    return int(2 ** min(max(3, best), 6, allowed))


def reduced_settings(every: int = 8) -> LaneSettings:
    """Lanes for the four scalars: they and their parameters fit a core's L2 cache."""
    return _reduced_settings(jax.default_backend(), every)


@lru_cache(maxsize=64)
def _reduced_settings(backend: str, every: int) -> LaneSettings:
    if backend == "cpu":
        return LaneSettings(width=2048, check_every=every)
    return LaneSettings(width=2**18, capacity=2**22, check_every=every)


def full_settings(rows: int, every: int = 8) -> LaneSettings:
    """Lanes for a full state of `rows` numbers: half a megabyte of them on a CPU."""
    if jax.default_backend() != "cpu":
        return LaneSettings(width=2**15, shared=True, check_every=every)
    width = 2 ** max(5, min(12, int(math.log2(2**17 / rows))))
    return LaneSettings(width=width, shared=True, check_every=every)
