"""Where the population gradient vanishes, and what happens there; host side, float64.

Minimise the loss over a at a fixed angle φ. With D = K(1) − K(cos φ), V = K(1) − μ² and
ρ = U²/A the minimiser and the loss left over are

    a = (1 − D/V) a* + μ²U D / (V (V + μ²k)) 1,     s = aᵀa* = A (1 − D/D_c),
    L = A D (1 − D / 2D_c),                         D_c = V (V + μ²k) / (V + μ² (k − ρ)).

So one function D(φ) and one number D_c decide everything: L is a parabola in D with its top at
D_c, its derivative in φ is s K′(cos φ) sin φ, and ℓ is convex in a, so that minima of ℓ are those
of L. The critical points are φ = 0 and φ = π; every *edge* D = D_c (where s = 0 and L is largest);
and every *turn* K′ = 0 inside (0, π), which monotone kernels (all the named activations, and
leaky ReLU of slope ≥ 0) have not.

For ReLU D(π) = ½ and D > D_c is reached iff ρ < (k + π − 1)/π; for the step iff ρ < (k + 1)/2.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.cell import Cell
from jaxcnn.base.checks import real
from jaxcnn.base.errors import InputError
from jaxcnn.base.html_table import html_table
from jaxcnn.model.activation import activation as named
from jaxcnn.model.activation import relu
from jaxcnn.model.critical import TIE, critical_ratio, edge_level, find_edges, find_turns, is_top
from jaxcnn.model.curvature import Eigenvalues, Unstable, at_edge, at_end, at_turn
from jaxcnn.model.dual import Activation
from jaxcnn.model.teacher import Teacher

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CriticalPoint", "Kind", "Landscape", "critical_ratio", "landscape"]

Kind = Literal["global", "spurious", "edge", "turn"]


@dataclass(frozen=True)
class CriticalPoint:
    """A point, or a sphere of points at one angle, where the gradient vanishes.

    Attributes:
        kind: `global` (loss 0), `spurious` (φ = π, or a minimum at an inner turn), `edge`
            (s = 0: the saddle between two basins) or `turn` (K′ = 0, a saddle).
        angle: φ, radians.
        loss: ℓ.
        alignment: s = aᵀa*.
        output_sum: u = 1ᵀa.
        along_teacher: coefficient of a* in a.
        along_ones: coefficient of 1 in a.
        attracts: whether gradient flow from everywhere nearby ends at this loss.
        eigenvalues: of the Hessian in (v, a), each with its multiplicity, ascending.
        unstable: the way out of an edge or of a turn that does not attract.
        note: what to know about it.
    """

    kind: Kind
    angle: float
    loss: float
    alignment: float
    output_sum: float
    along_teacher: float
    along_ones: float
    attracts: bool
    eigenvalues: Eigenvalues
    unstable: Unstable | None
    note: str

    def output(self, teacher: Teacher) -> NDArray[np.float64]:
        """The output weights a, shape (k,)."""
        return self.along_teacher * teacher.a_star + self.along_ones

    def __str__(self) -> str:
        """One line."""
        fate = "attracts" if self.attracts else "does not attract"
        where = f"angle {self.angle:.6f}, loss {self.loss:.6g}, 1'a {self.output_sum:.6g}"
        return f"{self.kind:8} {where}: {fate}; {self.note}"


@dataclass(frozen=True)
class Landscape:
    """All critical points of the population loss at ‖v‖ = `filter_norm`.

    Attributes:
        k: number of patches.
        p: patch size.
        ratio: ρ.
        teacher_norm: ‖a*‖.
        activation: its name.
        filter_norm: ‖v‖, which enters the eigenvalues and rates only.
        critical_ratio: below it a spurious minimum attracts; see `critical_ratio`.
        points: by angle.
    """

    k: int
    p: int
    ratio: float
    teacher_norm: float
    activation: str
    filter_norm: float
    critical_ratio: float
    points: tuple[CriticalPoint, ...]

    def of_kind(self, kind: Kind) -> tuple[CriticalPoint, ...]:
        """The points of one kind, by angle; possibly none."""
        return tuple(point for point in self.points if point.kind == kind)

    @property
    def edge(self) -> CriticalPoint | None:
        """The edge state of smallest angle, if there is one."""
        return next(iter(self.of_kind("edge")), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and words for JSON; an infinite number becomes None."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    def table(self) -> pd.DataFrame:
        """One row a critical point, with the extreme eigenvalues."""
        rows = []
        for point in self.points:
            row = {name: value for name, value in asdict(point).items() if name in _COLUMNS}
            row["smallest_eigenvalue"] = point.eigenvalues[0][0]
            row["largest_eigenvalue"] = point.eigenvalues[-1][0]
            row["unstable_rate"] = point.unstable.rate if point.unstable else math.nan
            rows.append(row | {"note": point.note})
        import pandas as pd  # a quarter of a second, which what needs no table need not wait for

        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        head = ["", "angle", "loss", "a'a*", "1'a", "attracts", "Hessian eigenvalues", "note"]
        rows = [
            [
                point.kind,
                f"{point.angle:.4f}",
                f"{point.loss:.6g}",
                f"{point.alignment:.6g}",
                f"{point.output_sum:.6g}",
                "yes" if point.attracts else "no",
                f"{point.eigenvalues[0][0]:.3g} to {point.eigenvalues[-1][0]:.3g}",
                point.note,
            ]
            for point in self.points
        ]
        return html_table(head, rows, str(self).split("\n", 1)[0])

    def __str__(self) -> str:
        """A line for the problem and one a critical point."""
        problem = f"{self.activation}, k = {self.k}, p = {self.p}, ratio {self.ratio:.6g}"
        head = f"Landscape of {problem} (critical ratio {self.critical_ratio:.6g})"
        return "\n".join((head, *(f"  {point}" for point in self.points)))

    __repr__ = __str__


_COLUMNS = ("kind", "angle", "loss", "alignment", "output_sum", "attracts")


def landscape(
    teacher: Teacher | Cell, activation: Activation | None = None, filter_norm: float = 1.0
) -> Landscape:
    """The critical points for one teacher, with their Hessians and stability.

    Args:
        teacher: the teacher, or a `Cell`, whose activation counts if none is given.
        activation: σ; ReLU if not given.
        filter_norm: ‖v‖ at the points; the loss does not depend on it, its curvature does.

    Raises:
        InputError: if the teacher is none, or `filter_norm` is not between 10⁻⁷⁵ and 10⁷⁵.
    """
    if isinstance(teacher, Cell):
        activation = activation or named(teacher.activation, teacher.slope)
        teacher = Teacher.of(teacher)
    if not isinstance(teacher, Teacher):
        raise InputError("teacher", teacher, "must be a Teacher or a Cell")
    activation = relu() if activation is None else activation
    norm = real("filter_norm", filter_norm, 1e-75, 1e75, ends=False)
    variance, square = activation.variance, activation.mean**2
    mass = variance + square * teacher.k
    top = edge_level(teacher.k, teacher.ratio, activation)
    turns = find_turns(activation)
    stations = [(0.0, "end"), *((turn, "turn") for turn in turns), (math.pi, "end")]
    stations += [(edge, "edge") for edge in find_edges(activation, top, turns)]
    points = []
    for angle, place in sorted(stations):
        here = activation.at(angle)
        height = 0.0 if angle == 0.0 else float(here.deficit)
        off = 1.0 - height / top
        tied = abs(off) <= TIE
        alignment = 0.0 if place == "edge" or tied else teacher.A * off
        unstable = None
        if place == "edge":
            kind: Kind = "edge"
            attracts, note = False, "the saddle that separates the basins"
            eigenvalues, unstable = at_edge(teacher, activation, here, angle, norm)
        elif place == "turn":
            attracts = alignment < 0.0 if is_top(activation, angle) else alignment > 0.0
            kind = "spurious" if attracts else "turn"
            note = "K' = 0: the angle stops mattering"
            eigenvalues, unstable = at_turn(teacher, activation, here, alignment, norm)
        else:
            kind, attracts, note = _end(activation, angle, alignment, height / top, turns)
            eigenvalues = at_end(teacher, activation, here, alignment, angle, norm)
        point = CriticalPoint(
            kind=kind,
            angle=angle,
            loss=teacher.A * height * (1.0 - 0.5 * height / top) if kind != "global" else 0.0,
            alignment=alignment,
            output_sum=teacher.U * (1.0 - height / mass),
            along_teacher=1.0 - height / variance,
            along_ones=square * teacher.U * height / (variance * mass),
            attracts=attracts,
            eigenvalues=eigenvalues,
            unstable=unstable,
            note=note,
        )
        points.append(point)
    return Landscape(
        k=teacher.k,
        p=teacher.p,
        ratio=teacher.ratio,
        teacher_norm=teacher.teacher_norm,
        activation=activation.name,
        filter_norm=norm,
        critical_ratio=critical_ratio(teacher.k, activation),
        points=tuple(points),
    )


def _end(
    activation: Activation, angle: float, alignment: float, height: float, turns: tuple[float, ...]
) -> tuple[Kind, bool, str]:
    """Kind, fate and note of φ = 0 or φ = π, where D is `height` times D_c."""
    settles = "but plain descent does not settle: K' is infinite" if activation.kinked else ""
    if angle == 0.0:
        return "global", True, settles or "the teacher itself"
    # No loss: for odd and even σ, and for σ − μ odd (the step) at ratio 0.
    if height <= TIE or abs(1.0 - 0.5 * height) <= TIE:
        return "global", True, settles or "the same function as the teacher"
    # D rises towards π where K' > 0 just before it; there a minimum of L needs s < 0.
    before = 0.5 * ((turns[-1] if turns else 0.0) + math.pi)
    rising = float(activation.at(before).derivative) > 0.0
    attracts = alignment < 0.0 if rising else alignment > 0.0
    if not attracts:
        return "spurious", False, "nearby runs leave it" if alignment else "met by the edge state"
    flat = float(activation.at(math.pi).derivative) == 0.0 and not activation.kinked
    slow = "K'(-1) = 0, so the loss is cubic in the angle: descent arrives like 1/t"
    return "spurious", True, settles or (slow if flat else "descent arrives at a linear rate")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
