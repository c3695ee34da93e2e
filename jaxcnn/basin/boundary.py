r"""The basin boundary as an object: for every (x, y) the start angle at which the outcome changes.

The boundary is the stable manifold of the edge state s = 0, g(φ) = g(0) − D_c, and the graph
of one function φ_c(x, y) over the plane of starts. It grows in y and in x·sign U.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError, NotExactError
from jaxcnn.basin.marginal import angle_split
from jaxcnn.basin.problem import INSTEAD, Array, Problem, problem_of
from jaxcnn.basin.stepping import Stepper
from jaxcnn.basin.threshold import angle_line, edge_guess, thresholds
from jaxcnn.model.dual import Activation
from jaxcnn.model.teacher import Teacher


@dataclass(frozen=True, kw_only=True)
class EdgeState:
    """The saddle on the boundary, where s = aᵀa* = 0.

    Attributes:
        angle: φ_c.
        output_sum: u = 1ᵀa.
        rate: λ, at which a distance grows along the way out; per unit of time c·n.
        multiplier: the same per step, 1 + cλ (for the flow per unit of time, e^λ).
        direction: (dφ, ds, dM) of the way out, with dφ = 1 and M = U (U − u).
        covector: (c_φ, c_s, c_M), 1 on `direction` and 0 on every mode that decays.
    """

    angle: float
    output_sum: float
    rate: float
    multiplier: float
    direction: tuple[float, float, float]
    covector: tuple[float, float, float]

    def __str__(self) -> str:
        return (
            f"edge state: angle {self.angle:.6f}, 1'a {self.output_sum:.6g}, rate {self.rate:.6g}"
        )


@dataclass(frozen=True)
class Boundary:
    """The boundary between the basins of one teacher and one pair of step sizes.

    Made by `boundary`. Above the critical ratio there is none: `exists` is false, `edge` is
    None and every threshold is π.
    """

    problem: Problem
    teacher: Teacher

    def __str__(self) -> str:
        """One line."""
        found = self.edge or "no boundary: the ratio is critical or above"
        return f"{self.teacher}; {found}"

    @property
    def exists(self) -> bool:
        """Whether the ratio is below critical."""
        return not self.problem.supercritical

    @cached_property
    def _stepper(self) -> Stepper:
        return Stepper(self.problem)

    @cached_property
    def edge(self) -> EdgeState | None:
        """The edge state, at ‖v‖ = ‖v₀‖."""
        if not self.exists:
            return None
        at, stepper = self.problem, self._stepper
        q, rate, ratio = stepper.edge_pull, stepper.edge_rate, at.c_filter / at.c
        mean, square = at.kernel.mean, at.total**2
        far = rate + at.drain
        along_s = -q * (at.power - mean * square / far) / (rate + at.decay)
        direction = (1.0, along_s, square * q / far)
        left_s = -ratio * q / (at.norm2 * (rate + at.decay))
        left = (1.0, left_s, mean * left_s / far)
        size = sum(one * two for one, two in zip(left, direction, strict=True))
        total = at.total - stepper.edge_m / at.total if at.total else 0.0
        return EdgeState(
            angle=stepper.edge_angle,
            output_sum=total,
            rate=rate,
            multiplier=1.0 + at.c * rate if at.rule == "descent" else math.exp(rate),
            direction=direction,
            covector=(left[0] / size, left[1] / size, left[2] / size),
        )

    def angle(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Threshold angle φ_c: below it the global minimum, above it the spurious one.

        Args:
            x: 1ᵀa/√k of the starts.
            y: a*⊥ᵀa/‖a*⊥‖ of the starts; the shapes broadcast.

        Returns:
            Radians, in the broadcast shape.

        Raises:
            NotExactError: a start has no threshold, or outcomes around it are not monotone.
        """
        return np.asarray(2.0 * np.arctan(np.exp(self._xi(x, y))), dtype=np.float64)

    def distance(self, angle: ArrayLike, x: ArrayLike, y: ArrayLike) -> Array:
        """Signed angular distance φ_c(x, y) − φ₀ of starts to the boundary, radians.

        Positive in the basin of the global minimum; by it φ₀ must change to change the outcome.

        Args:
            angle: φ₀, from 0 to π.
            x: as in `angle`.
            y: as in `angle`.

        Raises:
            InputError: an angle is out of range.
            NotExactError: as in `angle`.
        """
        start = np.asarray(angle, np.float64)
        if not np.all((start >= 0.0) & (start <= math.pi)):
            raise InputError("angle", angle, "must be from 0 to pi")
        return np.asarray(self.angle(x, y) - start, dtype=np.float64)

    def distance_of(self, v: ArrayLike, a: ArrayLike) -> float:
        """The signed angular distance of a full start (v₀, a₀), of shapes (p,) and (k,).

        Raises:
            InputError: a shape is wrong, or ‖v₀‖ is not the boundary's.
            NotExactError: as in `angle`.
        """
        filter_, output = np.asarray(v, np.float64), np.asarray(a, np.float64)
        w = self.teacher.w_star
        if filter_.shape != w.shape:
            raise InputError("v", filter_.shape, f"must have shape {w.shape}")
        if output.shape != self.teacher.a_star.shape:
            raise InputError("a", output.shape, f"must have shape {self.teacher.a_star.shape}")
        size2 = float(filter_ @ filter_)
        if not math.isclose(size2, self.problem.norm2, rel_tol=1e-9):
            raise InputError("v", math.sqrt(size2), "must have the norm v_norm of the boundary")
        along = float(filter_ @ w)
        angle = math.atan2(float(np.linalg.norm(filter_ - along * w)), along)
        x = float(output.sum()) / math.sqrt(self.teacher.k)
        across = self.teacher.a_star - self.teacher.U / self.teacher.k
        y = float(output @ across) / self.teacher.B if self.teacher.B > 0.0 else 0.0
        return float(self.distance(angle, x, y))

    def _xi(self, x: ArrayLike, y: ArrayLike) -> Array:
        one, two = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        if not (np.isfinite(one).all() and np.isfinite(two).all()):
            raise InputError("x, y", (x, y), "must be finite")
        if not self.exists:
            return np.full(one.shape, np.inf)
        flat = one.ravel(), two.ravel()
        norm2 = np.full(one.size, self.problem.norm2)
        line = angle_line(self.problem, *flat, norm2)
        found = thresholds(self._stepper, line, edge_guess(self._stepper, one.size))
        if not found.ordered.all():
            lost = int((~found.ordered).sum())
            raise NotExactError(
                f"{lost} of {one.size} starts have no threshold, or outcomes around it "
                f"are not monotone in the angle: {INSTEAD}"
            )
        return found.at.reshape(one.shape)


def boundary(
    cell: Cell,
    *,
    teacher: Teacher | None = None,
    v_norm: float = 1.0,
    activation: Activation | None = None,
) -> Boundary:
    """The basin boundary of a cell; its start laws and p do not matter.

    With `optimizer = "flow"` it is the boundary of the gradient flow, the limit of small steps.

    Args:
        cell: the experiment.
        teacher: explicit w*, a*, instead of the cell's.
        v_norm: ‖v₀‖ of the starts asked about.
        activation: σ as an object. For an odd one the boundary lies between two global minima.

    Raises:
        NotExactError: the experiment is outside what the four scalars carry.
    """
    plain = cell.with_(init="zero", init_scale=1.0)
    teacher = teacher or Teacher.of(cell)
    problem = problem_of(plain, teacher=teacher, v_norm=v_norm, activation=activation)
    return Boundary(problem, teacher)


def frozen_probability(cell: Cell, p: int | None = None, **start: Any) -> tuple[float, float]:
    """P(global) and P(spurious) in the limit teacher_norm → 0, where the filter stands still.

    While a settles the angle does not move, so the boundary is φ₀ = φ_c of the edge state
    whatever a₀: P(global) = F_p(φ_c), with g(φ_c) = 1 − ρ(π−1)/(k+π−1−ρ) for ReLU. (An odd
    activation has the global minimum on both sides.)

    Args:
        cell: the experiment; its teacher norm and step size do not matter.
        p: patch size; the cell's if not given.
        **start: `teacher`, `angle`, `activation` as in `exact_probability`.

    Raises:
        NotExactError: the experiment is outside what the four scalars carry.
    """
    problem = problem_of(cell.with_(optimizer="flow"), **start)
    if problem.mirrored:
        return 1.0, 0.0
    if problem.supercritical:
        stays = problem.filter == "fixed" and problem.angle >= math.pi
        return (0.0, 1.0) if stays else (1.0, 0.0)
    edge = Stepper(problem).edge_angle
    if problem.filter == "fixed":
        good = float(problem.angle < edge)
        return good, 1.0 - good
    good_, bad = angle_split(cell.p if p is None else p, np.array([math.log(math.tan(0.5 * edge))]))
    return float(good_[0]), float(bad[0])
