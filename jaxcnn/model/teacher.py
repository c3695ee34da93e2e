"""The teacher: the network that made the labels, on the host, in float64."""

from __future__ import annotations

import json
import math
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError

Vector = NDArray[np.float64]

SIZES = ("k", "p", "ratio", "teacher_norm", "teacher_angle")
"""The words of a cell that describe its teacher."""
_KEYS = ("w_star", "a_star")
_LARGEST = 1e75  # fourth powers are still doubles


@dataclass(frozen=True, eq=False, kw_only=True)
class Teacher:
    """A filter w* of length 1 and output weights a*, by their sizes or explicitly.

    Population descent sees of a teacher only k, p, `ratio` and `teacher_norm`. Some rules and
    start laws also see its direction against the axes (Adam, a box of starts), so there is one
    choice of it, with no two entries alike as far as the sizes allow:

        w* ∝ (1, 2, …, p),
        a* = ‖a*‖ ( √(ρ/k) 1/√k + √(1 − ρ/k) b ),   b ∝ (1, 2, …, k) − (k+1)/2,  ‖b‖ = 1.

    With `teacher_angle` θ instead w* = cos θ 1/√p + sin θ b_p, with b_p the same ramp in p.

    Attributes:
        k: number of patches.
        p: patch size.
        ratio: ρ = (1ᵀa*)²/‖a*‖², from 0 to k; 1 if k = 1.
        teacher_norm: ‖w*‖‖a*‖, which is ‖a*‖ here.
        teacher_angle: angle of w* to 1/√p, if it matters.

    Raises:
        InputError: naming the argument, its value and the remedy.
    """

    k: int
    p: int = 6
    ratio: float
    teacher_norm: float = 1.0
    teacher_angle: float | None = None
    _arrays: tuple[Vector, Vector] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        cell = Cell(**{name: getattr(self, name) for name in SIZES})
        for name in SIZES:
            object.__setattr__(self, name, getattr(cell, name))
        if self.k == 1 and not math.isclose(self.ratio, 1.0, rel_tol=1e-12):
            raise InputError("ratio", self.ratio, "must be 1: a one-patch teacher has ratio 1")
        if not 1 / _LARGEST < self.teacher_norm < _LARGEST:
            how = f"must be between {1 / _LARGEST:g} and {_LARGEST:g}, for its powers to be numbers"
            raise InputError("teacher_norm", self.teacher_norm, how)

    @classmethod
    def of(cls, cell: Cell) -> Teacher:
        """The teacher that a cell's words describe."""
        return cls(**{name: getattr(cell, name) for name in SIZES})

    @classmethod
    def from_arrays(cls, w_star: ArrayLike, a_star: ArrayLike, degree: int | None = 1) -> Teacher:
        """A teacher from its own w* and a*.

        An activation with σ(cx) = c^d σ(x) lets ‖w*‖^d be moved into a*, and the teacher keeps
        the direction of w* only. One without such a d needs ‖w*‖ = 1.

        Args:
            w_star: shape (p,), not zero.
            a_star: shape (k,), not zero.
            degree: d, `Activation.degree`: 1 for relu and leaky_relu, 0 for step, else None.

        Raises:
            InputError: naming the array, and what is wrong with it.
        """
        w, a = _vector("w_star", w_star, 2), _vector("a_star", a_star, 1)
        (w_size, w), (a_size, a) = _split(w), _split(a)
        if degree is None and not math.isclose(w_size, 1.0, rel_tol=1e-6):
            raise InputError("w_star", w_size, "has this norm; without a homogeneous activation, 1")
        size = a_size * w_size ** (degree or 0)
        if not 1 / _LARGEST < size < _LARGEST:
            raise InputError("a_star", size, "is the norm it gives the teacher: out of range")
        k = a.size
        ratio = 1.0 if k == 1 else min(math.fsum(a) ** 2, float(k))
        arrays = (_frozen(w), _frozen(size * a))
        return cls(k=k, p=w.size, ratio=ratio, teacher_norm=size, _arrays=arrays)

    @classmethod
    def from_file(cls, path: str | Path, degree: int | None = 1) -> Teacher:
        """`from_arrays` with w_star and a_star from a file; nothing in it is executed.

        Args:
            path: a .json or .toml file with two lists of numbers, or a .npz file with two
                arrays, named `w_star` and `a_star`.
            degree: as in `from_arrays`.

        Raises:
            InputError: naming the file and the key.
        """
        content = _read(Path(path))
        for key in _KEYS:
            if key not in content:
                raise InputError("teacher file", str(path), f"has no key {key!r}")
        for key in content:
            if key not in _KEYS:
                raise InputError("teacher file", str(path), f"has the unknown key {key!r}")
        try:
            return cls.from_arrays(content["w_star"], content["a_star"], degree)
        except InputError as error:
            raise InputError("teacher file", str(path), f"key {error}") from None

    @property
    def A(self) -> float:
        """‖a*‖²."""
        return self.teacher_norm**2

    @cached_property
    def U(self) -> float:
        """1ᵀa*; never negative unless a* was given."""
        size = self.teacher_norm * math.sqrt(self.ratio)
        return size if self._arrays is None else math.copysign(size, math.fsum(self._arrays[1]))

    @cached_property
    def B(self) -> float:
        """‖a* − (U/k) 1‖, the part of a* across 1; 0 at ratio = k."""
        if self._arrays is None:
            return self.teacher_norm * math.sqrt(1.0 - self.ratio / self.k)
        return float(np.linalg.norm(self._arrays[1] - self.U / self.k))

    @cached_property
    def w_star(self) -> Vector:
        """w*, shape (p,), of length 1; read-only."""
        if self._arrays is not None:
            return self._arrays[0]
        if self.teacher_angle is None:
            w = np.arange(1.0, self.p + 1.0)
            return _frozen(w / np.linalg.norm(w))
        even = math.cos(self.teacher_angle) / math.sqrt(self.p)
        return _frozen(even + math.sin(self.teacher_angle) * _ramp(self.p))

    @cached_property
    def a_star(self) -> Vector:
        """a*, shape (k,); read-only."""
        if self._arrays is not None:
            return self._arrays[1]
        return _frozen(self.U / self.k + self.B * _ramp(self.k))

    def __eq__(self, other: object) -> bool:
        """Whether both have the same w* and a*, to the last bit."""
        if not isinstance(other, Teacher):
            return NotImplemented
        return np.array_equal(self.w_star, other.w_star) and np.array_equal(
            self.a_star, other.a_star
        )

    def __hash__(self) -> int:
        """Follows `==`."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.w_star.tobytes(), self.a_star.tobytes()))

    def __str__(self) -> str:
        """One line."""
        given = "" if self._arrays is None else ", w* and a* given"
        angle = "" if self.teacher_angle is None else f", angle {self.teacher_angle:.10g}"
        sizes = f"{self.k} patches of size {self.p}, ratio {self.ratio:.10g}"
        return f"Teacher: {sizes}, norm {self.teacher_norm:.10g}{angle}{given}"


def _ramp(size: int) -> Vector:
    """(1, …, size) less its mean, of length 1; zero for size 1."""
    ramp = np.arange(size) - 0.5 * (size - 1)
    return np.asarray(ramp / max(float(np.linalg.norm(ramp)), 0.5), dtype=np.float64)


def _frozen(vector: Vector) -> Vector:
    vector.flags.writeable = False
    return vector


def _split(vector: Vector) -> tuple[float, Vector]:
    """Norm and direction, for entries of any size a double can hold."""
    largest = float(np.max(np.abs(vector)))
    scaled = vector / largest
    size = float(np.linalg.norm(scaled))
    return largest * size, scaled / size


def _vector(argument: str, value: ArrayLike, least: int) -> Vector:
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(argument, value, "must be a plain list of numbers") from None
    if array.dtype.kind not in "iuf" or array.ndim != 1:
        raise InputError(argument, value, "must be a plain list of numbers")
    if array.size < least:
        raise InputError(argument, value, f"must have at least {least} entries")
    vector = array.astype(np.float64) + 0.0  # -0.0 equals 0.0, but has other bytes
    if not np.isfinite(vector).all():
        raise InputError(argument, value, "must have finite entries only")
    if not vector.any():
        raise InputError(argument, value, "must not be all zero")
    return vector


def _read(path: Path) -> Mapping[str, Any]:
    """What the file holds, as a mapping."""
    try:
        content: Any
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".toml":
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
            with np.load(path, allow_pickle=False) as archive:
                content = {name: archive[name] for name in names}
        else:
            raise InputError("teacher file", str(path), "must end in .json, .toml or .npz")
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise InputError("teacher file", str(path), reason) from None
    except InputError:
        raise
    except (ValueError, RecursionError, zipfile.BadZipFile, KeyError, EOFError) as error:
        how = " ".join(str(error).split())[:100]
        raise InputError(
            "teacher file", str(path), f"is no {path.suffix[1:]} file: {how}"
        ) from None
    if not isinstance(content, dict):
        raise InputError("teacher file", str(path), "must hold the keys w_star and a_star")
    return content
