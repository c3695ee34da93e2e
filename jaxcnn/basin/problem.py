"""What the exact answer needs of an experiment, and what it refuses.

Everything here is plain float64 on the host. With V = g(0) − m (descent/kernel.py) and
c = η/2π the proved range is c V ≤ 1 and b = c (V + k m) ≤ 1.

Which activations. In ψ = −φ, t = u sign U and y the flow of any kernel is, with G(ψ) = g(φ),

    ψ̇ = κ h sin φ (|U| t/k + B y)/r²,   ṫ = |U| (V + k m) − |U| (g(0) − G) − (V + k m) t,
    ẏ = B (G − m) − V y,

and with h ≥ 0, so that G grows with ψ, every off-diagonal influence is ≥ 0: the flow keeps the
order of starts, g takes the value at which s rests at 0 once, and each (x, y) has one threshold
angle. So the map needs a kernel that falls with the angle, and nothing else of σ; ReLU, leaky
ReLU with a slope ≥ 0, GELU and every increasing σ have one. Where g turns (a negative slope) the
order is lost, and with a kink at 0 (the step) descent does not settle there. For an odd σ the
boundary lies between (w*, a*) and its mirror (−w*, −a*), the same function.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError, NotExactError
from jaxcnn.descent.kernel import DescentKernel, kernel_of
from jaxcnn.model.activation import activation as named
from jaxcnn.model.dual import Activation
from jaxcnn.model.teacher import Teacher

Array = NDArray[np.float64]
OutputLaw = Literal["ball", "sphere", "gaussian", "point"]
FilterLaw = Literal["sphere", "gaussian", "fixed"]
Rule = Literal["descent", "flow"]

INSTEAD = "use `estimate`"
TIE = 1e-12
"""Relative difference of the ratio from the critical one below which they count as equal."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A teacher, rates and start law, as the plane of (x, y) = (e₁ᵀa, e₂ᵀa) sees them.

    Attributes:
        kernel: dual kernel of the activation; never `odd`, so that both ends are told apart.
        k: number of patches.
        power: A = ‖a*‖².
        total: U = 1ᵀa*.
        side: B = ‖a* − (U/k) 1‖.
        c: η/2π for a.
        c_filter: η/2π for v.
        output: law of (x, y) about `center`.
        scale: radius (ball, sphere) or deviation (gaussian).
        center: mean of (x, y); the start itself for `point`.
        filter: law of v.
        angle: φ₀ if the filter is fixed.
        norm2: ‖v₀‖², unless the filter is gaussian.
        rule: plain descent, or its limit of small steps, in which c only sets the unit of time.
        mirrored: σ is odd, so that the far end φ = π, −a* is the global minimum again.
    """

    kernel: DescentKernel
    k: int
    power: float
    total: float
    side: float
    c: float
    c_filter: float
    output: OutputLaw
    scale: float
    center: tuple[float, float] = (0.0, 0.0)
    filter: FilterLaw = "sphere"
    angle: float = 0.0
    norm2: float = 1.0
    rule: Rule = "descent"
    mirrored: bool = False

    @property
    def decay(self) -> float:
        """V = g(0) − m, the rate at which s decays, in units of c."""
        return self.kernel.top - self.kernel.mean

    @property
    def drain(self) -> float:
        """V + k m = b/c, the rate at which M decays, in units of c."""
        return self.decay + self.k * self.kernel.mean

    @property
    def edge_drop(self) -> float:
        """D_c = V (V + k m) / (V + m (k − ρ)): the edge state is where g(0) − g(φ) = D_c."""
        return self.decay / (1.0 - self.kernel.mean * self.total**2 / (self.power * self.drain))

    @property
    def supercritical(self) -> bool:
        """Whether no spurious minimum attracts: D_c ≥ g(0) − g(π)."""
        height = self.kernel.top - self.kernel.bottom
        # ρ_c solves D_c = height; compare the ratios times m, where the tie is meant.
        critical = (1.0 - self.decay / height) * self.drain
        return self.kernel.mean * self.total**2 / self.power >= critical * (1.0 - TIE)

    def scalars(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The scalars s = x U/√k + y B and M = U (U − √k x) of starts."""
        root = math.sqrt(self.k)
        return x * (self.total / root) + y * self.side, self.total * (self.total - root * x)


def problem_of(
    cell: Cell,
    *,
    teacher: Teacher | None = None,
    a: ArrayLike | None = None,
    a_mean: ArrayLike | None = None,
    angle: float | None = None,
    v_norm: float = 1.0,
    activation: Activation | None = None,
) -> Problem:
    """The problem of a cell.

    Args:
        cell: the experiment; its p is not looked at.
        teacher: explicit w*, a*, instead of the cell's.
        a: fixed a₀, shape (k,), instead of the cell's `init`.
        a_mean: added to a₀, a number or shape (k,).
        angle: fixed φ₀, radians, instead of the cell's `filter_init`.
        v_norm: ‖v₀‖ where the filter starts on a sphere or at a fixed angle.
        activation: σ as an object, instead of the cell's word.

    Raises:
        InputError: an argument is out of its range.
        NotExactError: no exact probability is known for this experiment, with the reason.
    """
    _refuse(cell)
    if activation is not None and cell.activation != "relu":
        raise InputError("activation", cell.activation, "is given twice: a word and an object")
    kernel = _kernel(activation or named(cell.activation, cell.slope))
    if angle is not None and not 0.0 <= angle <= math.pi:
        raise InputError("angle", angle, "must be from 0 to pi")
    if not 0.0 < v_norm < math.inf:
        raise InputError("v_norm", v_norm, "must be greater than 0")
    teacher = teacher or Teacher.of(cell)
    center = _projected(teacher, a, a_mean)
    output: OutputLaw = "point" if a is not None or cell.init == "zero" else cell.init  # type: ignore[assignment]
    scale = cell.init_scale
    if output in ("ball", "sphere"):
        scale *= abs(teacher.U) / math.sqrt(teacher.k)
    if scale == 0.0:
        output = "point"
    law: FilterLaw = "gaussian" if cell.filter_init == "gaussian" else "sphere"
    if cell.filter_init == "shortcut":
        # v₀ = 0 beside 1/√p is the filter 1/√p itself, of length 1 at the teacher's angle.
        angle = cell.teacher_angle if angle is None else angle
    if angle is not None:
        law = "fixed"
    assert cell.step_size is not None  # Cell fills it in
    rate = cell.step_size if cell.filter_step_size is None else cell.filter_step_size
    problem = Problem(
        kernel=kernel._replace(odd=False),
        k=teacher.k,
        power=teacher.A,
        total=teacher.U,
        side=teacher.B,
        c=cell.step_size / (2 * math.pi),
        c_filter=rate / (2 * math.pi),
        output=output,
        scale=scale,
        center=center,
        filter=law,
        angle=0.0 if angle is None else float(angle),
        norm2=v_norm**2,
        rule="flow" if cell.optimizer == "flow" else "descent",
        mirrored=kernel.odd,
    )
    return checked(problem)


def checked(problem: Problem) -> Problem:
    """The same problem, in the range where outcomes are proved.

    Raises:
        NotExactError: it is not.
    """
    b = problem.c * problem.drain
    outside = b > 1.0 + 1e-12 or problem.c * problem.decay > 1.0 + 1e-12
    if problem.rule == "descent" and outside:
        raise NotExactError(
            f"step_size = {2 * math.pi * problem.c:.6g} is outside the proved range "
            f"(b = {b:.4g}, must be at most 1): {INSTEAD}"
        )
    if problem.output == "sphere" and problem.k == 1:
        raise NotExactError(f"init = 'sphere' has no plane law at k = 1: {INSTEAD}")
    return problem


def _refuse(cell: Cell) -> None:
    """Name the first option that the four scalars and their order do not carry."""
    plain = cell.optimizer in ("sgd", "flow")
    reasons = (
        ("optimizer", cell.optimizer, not plain, "is not plain gradient descent"),
        ("samples", cell.samples, cell.samples is not None, "is not the population loss"),
        ("schedule", cell.schedule, cell.schedule != "constant", "is not a constant step size"),
        ("init", cell.init, cell.init == "box", "has no closed law in the plane of 1 and a*"),
        ("warmup_steps", cell.warmup_steps, cell.warmup_steps != 0, "is not a constant step size"),
    )
    for name, value, wrong, why in reasons:
        if wrong:
            raise NotExactError(f"{name} = {value!r} {why}: {INSTEAD}")


def _kernel(sigma: Activation) -> DescentKernel:
    """The kernel of σ, if it falls with the angle."""
    kernel = kernel_of(sigma)
    if sigma.kinked:
        why = "has a kernel with a kink at angle 0, where plain descent does not settle"
    elif not kernel.monotone:
        why = "has a kernel that turns with the angle, so that starts have no order"
    else:
        return kernel
    raise NotExactError(f"activation = {sigma.name!r} {why}: {INSTEAD}")


def _projected(
    teacher: Teacher, a: ArrayLike | None, a_mean: ArrayLike | None
) -> tuple[float, float]:
    """(x, y) of the fixed part of a₀."""
    if a is None and a_mean is None:
        return 0.0, 0.0
    fixed = np.zeros(teacher.k)
    for name, part in (("a", a), ("a_mean", a_mean)):
        if part is not None:
            try:
                numbers = np.asarray(part, np.float64)
            except (TypeError, ValueError):
                raise InputError(name, part, "must be numbers") from None
            if numbers.shape != (teacher.k,) and (numbers.shape or name == "a"):
                raise InputError(name, part, f"must be {teacher.k} numbers")
            fixed = fixed + numbers
    if not np.isfinite(fixed).all():
        raise InputError("a, a_mean", fixed, "must be finite")
    across = teacher.a_star - teacher.U / teacher.k
    y = float(fixed @ across) / teacher.B if teacher.B > 0.0 else 0.0
    return float(fixed.sum()) / math.sqrt(teacher.k), y
