"""What a cell becomes: its family, its numbers, and the shape in which they are compiled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcnn.base.cell import Cell, cell_options
from jaxcnn.base.checks import real
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.descent.certificate import Rates
from jaxcnn.descent.kernel import DescentKernel
from jaxcnn.descent.reduced import REDUCED_FLOAT32_FLOOR
from jaxcnn.engine.dynamics import Family
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.model.teacher import Teacher

_LARGEST_FLOAT32 = 1e18
"""Sizes of a teacher, or of steps of the filter, whose squares are numbers in float32."""
_STATE = 160 * 2**10  # bytes of float32 state of all lanes of a launch on a CPU


class Sizes(NamedTuple):
    """What rates and start laws need to know of a teacher.

    Attributes:
        total: U = 1ᵀa*.
        power: A = ‖a*‖².
        side: B = ‖a* − (U/k) 1‖.
    """

    total: float
    power: float
    side: float


@dataclass(frozen=True)
class Start:
    """Start laws that a cell has no words for; for Python only.

    Attributes:
        a: fixed a₀ (k,), or a function key → a₀, instead of the cell's `init`.
        v: fixed v₀ (p,), not zero, or a function key → v₀, instead of the cell's `filter_init`.
        angle: fixed angle φ₀ from 0 to π between v₀ and w* (‖v₀‖ = 1, uniform direction around
            w*), instead of v.
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

    def words(self) -> dict[str, Any]:
        """What is given, as plain numbers, lists and names of functions, for JSON."""
        given = {name: x for name, x in vars(self).items() if x is not None}
        return {
            name: getattr(x, "__name__", "function") if callable(x) else np.asarray(x).tolist()
            for name, x in given.items()
        }

    def check(self, cell: Cell) -> None:
        """Refuse what is no start of a cell's student.

        Raises:
            InputError: a shape is wrong, an entry is no finite number, v₀ is zero, or the angle
                is not in [0, π].
            RefusedError: both v and an angle are given, or a law of the cell beside what is
                given instead of it.
        """
        for name, words in _INSTEAD.items():
            for word in words if getattr(self, name) is not None else ():
                if getattr(cell, word) != _DEFAULTS[word]:
                    how = f"has no effect beside a Start with {name}"
                    raise RefusedError(word, getattr(cell, word), how)
        if self.angle is not None:
            real("angle", self.angle, 0.0, math.pi, ends=True)
            if self.v is not None:
                raise RefusedError("angle", self.angle, "excludes v, which has an angle of its own")
        sizes = {"a": cell.k, "v": cell.p, "a_mean": cell.k, "v_mean": cell.p}
        for name, size in sizes.items():
            value = getattr(self, name)
            if callable(value) and name in ("a", "v"):
                drawn = jax.eval_shape(value, jax.random.key(0, impl="threefry2x32"))
                if getattr(drawn, "shape", None) != (size,):
                    raise InputError(name, value, f"must return an array of {size} numbers")
            elif value is not None:
                _coordinates(name, value, size, number=name == "a_mean")
        if self.v is not None and not callable(self.v):
            bias = 0.0 if self.v_mean is None else np.asarray(self.v_mean, float)
            if not np.any(np.asarray(self.v, float) + bias):
                raise InputError("v", self.v, "must not be zero, which has no direction")


def _coordinates(argument: str, value: Any, size: int, *, number: bool) -> None:
    remedy = f"must be {size} finite numbers" + (", or one for all" if number else "")
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        raise InputError(argument, value, remedy) from None
    fits = array.shape == (size,) or (number and not array.shape)
    if not (fits and np.isfinite(array).all()):
        raise InputError(argument, value, remedy)


PLAIN = Start()
_INSTEAD = {"a": ("init", "init_scale"), "v": ("filter_init",), "angle": ("filter_init",)}
"""The words of a cell that say what a `Start` gives."""
_DEFAULTS = {o.name: o.default for o in cell_options()}
TOLERANCES = {o.name: o.default for o in cell_options() if o.name.endswith("_tolerance")}
"""What an outcome rests on where nothing is proved, with the defaults."""


class Built(NamedTuple):
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


@lru_cache(maxsize=4)  # a grid has runs of cells that differ in the dynamics alone
def teacher_of(k: int, p: int, ratio: float, norm: float, angle: float | None) -> Teacher:
    """The teacher that a cell's words describe."""
    return Teacher(k=k, p=p, ratio=ratio, teacher_norm=norm, teacher_angle=angle)


def sizes_of(teacher: Teacher) -> Sizes:
    """U, A and B of a teacher."""
    return Sizes(teacher.U, teacher.A, teacher.B)


def rates_of(cell: Cell, kernel: DescentKernel, sizes: Sizes) -> Rates:
    """The rates of a cell as Python floats."""
    assert cell.step_size is not None  # Cell fills it in
    filter_step = cell.step_size if cell.filter_step_size is None else cell.filter_step_size
    return rates_at(cell.step_size, filter_step, cell.k, kernel, sizes)


def rates_at(
    step_size: Any, filter_step_size: Any, k: Any, kernel: DescentKernel, sizes: Any
) -> Rates:
    """Rates c = η/2π, the same for v, b = c (g(0) − m + k m), A, U²: of floats or of arrays."""
    c, c_filter = step_size / (2 * math.pi), filter_step_size / (2 * math.pi)
    b = c * (kernel.top - kernel.mean + k * kernel.mean)
    return Rates(c, c_filter, b, sizes.power, sizes.total * sizes.total)


def spoils_float32(rates: Any) -> tuple[Any, Any]:
    """Whether increments of plain descent round away in float32, or its numbers overflow there.

    Those of a go by c, those of the angle by c ‖a*‖². Of floats or of arrays.
    """
    least = np.minimum(rates.c, rates.c_filter) * np.minimum(rates.power, 1.0)
    largest = np.maximum(np.maximum(rates.power, rates.sum2), rates.c_filter)
    return least <= REDUCED_FLOAT32_FLOOR, largest >= _LARGEST_FLOAT32


def precision(dtype: str | None, rates: Rates) -> str:
    """The dtype asked for, or the one that plain descent needs.

    Raises:
        RefusedError: float32 was asked for, and increments would round away (runs drift by 10⁻³
            radians at c = 10⁻⁶, on v and a as on four scalars) or numbers overflow.
    """
    slow, large = map(bool, spoils_float32(rates))
    if dtype == "float32" and min(float(rates.c), float(rates.c_filter)) <= REDUCED_FLOAT32_FLOOR:
        how = f"increments round away at eta/2pi <= {REDUCED_FLOAT32_FLOOR:g}; use float64"
        raise RefusedError("dtype", "float32", how)
    if dtype == "float32" and large:
        where = "|a*|^2, (1'a*)^2 or the filter's eta/2pi"
        how = f"numbers overflow where {where} reach {_LARGEST_FLOAT32:g}; use float64"
        raise RefusedError("dtype", "float32", how)
    return dtype or ("float64" if slow or large else "float32")


def as_dtype(tree: Any, dtype: str) -> Any:
    """A tree with all leaves as NumPy arrays of one dtype."""
    leaves, shape = jax.tree.flatten(tree)
    kind = np.dtype(dtype)
    return jax.tree.unflatten(shape, [np.asarray(leaf, kind) for leaf in leaves])


def shortcut(p: int) -> np.ndarray:
    """The filter 1/√p that the shortcut adds to v₀ = 0."""
    return np.full(p, 1 / math.sqrt(p))


def check_every(cell: Cell) -> int:
    """Steps between two verdicts: a power of two near √(6/c), from 8 to 64.

    A run of plain descent takes some 0.6/c steps, a verdict costs as much as five, and a run
    goes on for half of `check_every` after it is decided: the cost is least at √(2·5·0.6/c).
    It is at most a quarter of the step limit, which is looked at when a verdict is.
    """
    assert cell.step_size is not None  # Cell fills it in
    return _check_every(cell.step_size, cell.max_steps)


@lru_cache(maxsize=1024)
def _check_every(step_size: float, max_steps: int) -> int:
    best = round(math.log2(math.sqrt(6 * 2 * math.pi / step_size)))
    allowed = max(1, max_steps // 4).bit_length() - 1
    return int(2 ** min(max(3, best), 6, allowed))


def reduced_settings(every: int = 8) -> LaneSettings:
    """Lanes for the four scalars: few enough that they, and the tail of a launch, are cheap."""
    return _reduced_settings(jax.default_backend(), every)


@lru_cache(maxsize=64)
def _reduced_settings(backend: str, every: int) -> LaneSettings:
    if backend == "cpu":
        return LaneSettings(check_every=every)
    return LaneSettings(width=2**18, capacity=2**22, check_every=every)


def full_settings(rows: int, every: int = 8) -> LaneSettings:
    """Lanes for a full state of `rows` numbers: some 160 kB of them on a CPU.

    An odd multiple of 64, up to 960, or else 32.
    """
    if jax.default_backend() != "cpu":
        return LaneSettings(width=2**15, shared=True, check_every=every)
    fit = min(_STATE // (4 * rows) // 64, 15)
    width = 64 * (fit - 1 + fit % 2) if fit else 32
    return LaneSettings(width=width, shared=True, check_every=every)
