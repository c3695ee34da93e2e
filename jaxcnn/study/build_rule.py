"""From words to functions for everything beyond plain descent; `build` calls it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn.base.cell import ADAPTIVE, DECAY, EPSILON, MOMENTUM, Cell, default_step_size
from jaxcnn.base.cores import cpu_count
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.descent.arrival import NO_PLACE, PATIENCE, Goal
from jaxcnn.descent.flow import MOST_B
from jaxcnn.descent.kernel import DescentKernel
from jaxcnn.descent.optimizer import Hyper, Population, RuleDescent, Source
from jaxcnn.descent.perturbed import Noise, Perturbed
from jaxcnn.descent.sample_gradient import Data
from jaxcnn.descent.sampled import Sampled, SampleNumbers, some_inputs
from jaxcnn.descent.start import FullLaw
from jaxcnn.descent.straight_through import StraightThrough
from jaxcnn.engine.address import root_key
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.model.activation import Activation, activation
from jaxcnn.model.landscape import Landscape, landscape
from jaxcnn.model.population import Student, target
from jaxcnn.model.teacher import Teacher

MEMORY = 512 * 2**20
"""Default budget of a run's lanes, bytes, all streams together."""

_NARROWEST, _WIDEST = 8, 256
_SHARED_LANES = 128
"""Lanes of one shared data set: wide enough for matrix products, few enough not to idle."""

_WORKING_SET = 2**21
_REDUCED_RULES = ("sgd", "momentum", "nesterov", "perturbed", "flow")


class Custom(NamedTuple):
    """What Python can hand over and a cell has no words for.

    Attributes:
        optimizer: an `optax.GradientTransformation`; its updates are added as they are.
        activation: σ, such as one of `from_function`.
    """

    optimizer: optax.GradientTransformation | None = None
    activation: Activation | None = None


NOTHING = Custom()


def sigma(cell: Cell, custom: Custom) -> Activation:
    """The activation of a cell."""
    return custom.activation or activation(cell.activation, cell.slope)


def check(cell: Cell, custom: Custom, b: float) -> None:
    """Refuse what would be ignored or is not defined, in one line."""
    if custom.activation is not None and cell.activation != "relu":
        raise RefusedError(
            "activation", cell.activation, "is given twice: as a word and as an object"
        )
    if cell.optimizer == "flow" and b > MOST_B:
        raise RefusedError(
            "step_size", cell.step_size, f"gives b = {b:.3g}; the flow's integrator needs b <= 1"
        )
    if custom.optimizer is None:
        return
    if not isinstance(custom.optimizer, optax.GradientTransformation):
        raise InputError(
            "optimizer", custom.optimizer, "must be a name or an optax.GradientTransformation"
        )
    plain = {"optimizer": "sgd", "step_size": default_step_size(cell.k), "filter_step_size": None}
    plain |= {"schedule": "constant", "warmup_steps": 0}
    for name, value in plain.items():
        if getattr(cell, name) != value:
            raise RefusedError(
                name, getattr(cell, name), "has no effect on an optax object; set it there"
            )


def is_rule(cell: Cell, custom: Custom, kernel: DescentKernel) -> bool:
    """Whether the cell, on the full state, runs by `RuleDescent`."""
    special = (
        custom.optimizer is not None
        or cell.samples is not None
        or cell.estimator is not None
        or cell.schedule != "constant"
    )
    return special or cell.optimizer != "sgd" or cell.warmup_steps > 0 or not kernel.monotone


def why_not_four(cell: Cell, custom: Custom) -> str | None:
    """Why neither descent nor a rule that is linear in the gradients describes the cell."""
    if custom.optimizer is not None:
        return "an optax object is not known to close on four scalars"
    if cell.samples is not None:
        return "finite samples break the symmetry that closes the four scalars"
    if cell.optimizer not in _REDUCED_RULES:
        return f"optimizer {cell.optimizer!r} is not closed on four scalars"
    if cell.estimator is not None:
        return "straight-through estimators move v off the sphere's tangent"
    if cell.schedule != "constant":
        return "schedules run on the full state"
    if cell.optimizer == "perturbed" and cell.warmup_steps:
        return "perturbed descent with a warm-up runs on the full state"
    return None


def hyper(cell: Cell) -> Hyper:
    """The numbers of a rule, optax's defaults where the cell has none."""
    assert cell.step_size is not None  # Cell fills it in
    rule = cell.optimizer
    filter_size = cell.step_size if cell.filter_step_size is None else cell.filter_step_size

    def or_default(value: float | None, table: dict[str, float]) -> float:
        return table.get(rule, 0.0) if value is None else value

    numbers: dict[str, Any] = {
        "step_size": cell.step_size,
        "filter_step_size": filter_size,
        "momentum": or_default(cell.momentum, MOMENTUM),
        "decay": or_default(cell.decay, DECAY),
        "epsilon": or_default(cell.epsilon, EPSILON),
        "schedule_steps": cell.schedule_steps or 1,
        "warmup_steps": cell.warmup_steps,
    }
    return Hyper(**numbers)


def goal(cell: Cell, teacher: Teacher, sigma_: Activation, custom: Custom = NOTHING) -> Goal:
    """Where runs can arrive: the landscape's minima, with the cell's tolerances."""
    norm = math.sqrt(cell.p) if cell.filter_init == "gaussian" else 1.0
    land = landscape(teacher, sigma_, norm)
    places = [p for p in land.of_kind("spurious") if p.attracts][:2]
    missing = 2 - len(places)
    quiet = cell.noise_epoch * cell.noise_epochs if cell.optimizer == "perturbed" else 0
    numbers: dict[str, Any] = {
        "power": teacher.A,
        "angle_tolerance": cell.angle_tolerance,
        "loss_tolerance": cell.loss_tolerance,
        "spurious_angle": np.array([p.angle for p in places] + [NO_PLACE] * missing),
        "spurious_loss": np.array([p.loss for p in places] + [0.0] * missing),
        "twin": float(any(p.angle > 3 for p in land.of_kind("global"))),
        "quiet": quiet,
        "patience": _patience(cell, custom, land),
    }
    return Goal(**numbers)


def _patience(cell: Cell, custom: Custom, land: Landscape) -> float:
    """Steps in which a run that stands still may be beside the edge state, on its way.

    From t to 4t it is then given e^(3 · 6) times its first distance, and 8/c steps where there is
    no edge. Rules that divide by the size of the gradient do not slow down there.
    """
    assert cell.step_size is not None  # Cell fills it in
    slowest = min(cell.step_size, cell.filter_step_size or cell.step_size)
    if custom.optimizer is not None:
        slowest = _first_rate(custom.optimizer, cell)
    if cell.optimizer in ADAPTIVE or slowest == 0.0:
        return PATIENCE
    rates = [point.unstable.rate for point in land.of_kind("edge") if point.unstable]
    times = [6.0 / rate for rate in rates if rate > 0.0] + [16.0 * math.pi]
    return float(min(max(PATIENCE, max(times) / slowest), 2**30))


def _first_rate(optimizer: optax.GradientTransformation, cell: Cell) -> float:
    """Step size of an optax object in its first step, as seen by small gradients; the smaller.

    0 where that is not in proportion to the gradient (rules that divide by its size), or nothing.
    """
    at = Student(jnp.ones(cell.p, jnp.float32), jnp.ones(cell.k, jnp.float32))

    def moved(size: float) -> np.ndarray:
        gradient = jax.tree.map(lambda x: np.float32(size) * x, at)
        updates, _ = optimizer.update(gradient, optimizer.init(at), at)
        return np.array([np.max(np.abs(x)) for x in jax.tree.leaves(updates)])

    # What does not depend on the gradient, such as weight decay, drops out of the difference.
    one, two, four = (moved(size) for size in (1e-3, 2e-3, 4e-3))
    even = np.allclose(four - two, 2.0 * (two - one), rtol=1e-2, atol=0.0)
    return float(np.min(two - one)) / 1e-3 if even and np.all(two > one) else 0.0


def source(
    cell: Cell, teacher: Teacher, sigma_: Activation, dtype: str, memory: int
) -> tuple[Source, Any, LaneSettings | None]:
    """Where gradients come from, its numbers, and lanes if the memory budget decides them."""
    inner: Source
    numbers: Any
    settings = None
    if cell.samples is not None:
        inner, numbers, settings = _sampled(cell, teacher, sigma_, dtype, memory)
    elif cell.estimator is not None:
        inner, numbers = StraightThrough(cell.estimator), ()
    else:
        inner, numbers = Population(sigma_), ()
    if cell.optimizer != "perturbed":
        return inner, numbers, settings
    return Perturbed(inner), noise(cell, dtype, numbers), settings


def noise(cell: Cell, dtype: str, inner: Any = ()) -> Noise:
    """The numbers of the noise, around those of the perturbed source."""
    words = (
        cell.noise_filter,
        cell.noise_output,
        cell.noise_factor,
        cell.noise_epoch,
        cell.noise_epochs,
    )
    radii: list[Any] = [np.asarray(word, dtype) for word in words]
    return Noise._make([*radii, inner])


def rule_family(
    cell: Cell,
    custom: Custom,
    law: FullLaw,
    kernel: DescentKernel,
    sigma_: Activation,
    source_: Source,
) -> RuleDescent:
    """The family of a cell whose gradients come from `source_`."""
    plain = custom.optimizer is None and cell.optimizer in ("sgd", "perturbed")
    exact = cell.samples is None and cell.estimator is None and cell.schedule == "constant"
    name = "sgd" if cell.optimizer == "perturbed" else cell.optimizer
    return RuleDescent(
        law=law,
        activation=sigma_,
        source=source_,
        rule=custom.optimizer or name,
        schedule=cell.schedule,
        projected=cell.optimizer == "perturbed",
        kernel=kernel if plain and exact and kernel.monotone else None,
    )


def _sampled(
    cell: Cell, teacher: Teacher, sigma_: Activation, dtype: str, memory: int
) -> tuple[Sampled, SampleNumbers, LaneSettings]:
    assert cell.samples is not None
    n, itemsize = cell.samples, np.dtype(dtype).itemsize
    shared = cell.data == "shared"
    one_set = n * (cell.k * cell.p + 1) * itemsize
    budget = memory // (cpu_count() if jax.default_backend() == "cpu" else 1)
    batch = None if cell.batch is None or cell.batch >= n else cell.batch
    seen = n if batch is None else batch
    if shared:
        stored = one_set <= budget // 2
        budget -= one_set if stored else 0
        held = 0
    else:
        # Lanes, the pool of starts, and a copy while lanes move: three sets a lane.
        stored = 3 * one_set * _NARROWEST <= budget
        held = 3 * one_set if stored else 0
    per_input = 4 * cell.k * (1 if stored or shared else cell.p) * itemsize
    # Lanes of one shared set look at one array of a chunk's inputs at a time, others at four.
    together = cell.k * itemsize * _SHARED_LANES if shared else per_input * 64
    most = _WORKING_SET // together
    chunk = _even(seen, max(1, most))
    looked = seen if batch is not None or (stored and not shared) else chunk
    per_lane = held + per_input * looked + 64 * (cell.k + cell.p)
    widest = _SHARED_LANES if shared else _WIDEST
    width = 2 ** int(math.log2(min(widest, max(_NARROWEST, budget // per_lane))))
    with jax.enable_x64(dtype == "float64"), jax.threefry_partitionable(True):
        key = jax.random.fold_in(root_key(cell.data_seed), 1)
        data = None
        if shared and stored:
            arrays = target(teacher, dtype=dtype)
            noise = jax.numpy.asarray(cell.label_noise, dtype)
            drawn = some_inputs(key, jax.numpy.arange(n), arrays, noise, sigma_)
            data = Data(*jax.tree.map(np.asarray, drawn))
        words = np.asarray(jax.random.key_data(key))
    family = Sampled(sigma_, n, batch, shared, stored, chunk, cell.estimator)
    known: dict[str, Any] = {"label_noise": np.asarray(cell.label_noise, dtype), "key": words}
    numbers = SampleNumbers(**known, shared=data)
    return family, numbers, LaneSettings(width=width, shared=True)


def _even(total: int, most: int) -> int:
    """The size of equal parts of `total`, at most `most` each."""
    return math.ceil(total / math.ceil(total / most))
