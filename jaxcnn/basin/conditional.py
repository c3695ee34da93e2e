r"""Conditional Monte Carlo: draw (x, y), integrate the start angle in closed form.

The mean of 1 − F_p(φ_c(x, y)) over drawn starts is an unbiased estimate of P(spurious) whose
spread is that of the boundary only: it sees a failure of 10⁻¹² with a thousand draws, where runs
would need 10¹⁴. It asks no smoothness, so it answers where the quadrature does not converge;
draws around which outcomes are not monotone count as unknown.

The interval is an empirical Bernstein bound, valid at any number of draws. It needs a bound on
the summands. φ_c grows in y and in x·sign U, so over a disk 1 − F_p is largest on the arc that
faces both minima, and there less than at the outer corners of a fine polygon around the arc;
what lies outside the disk is bounded by its mass.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jaxcnn.base.cell import Cell
from jaxcnn.base.checks import confidence_level, whole
from jaxcnn.base.errors import NotExactError
from jaxcnn.base.interval import clopper_pearson
from jaxcnn.basin.exact import certainty
from jaxcnn.basin.marginal import angle_split
from jaxcnn.basin.problem import INSTEAD, Array, Problem, problem_of
from jaxcnn.basin.stepping import Stepper
from jaxcnn.basin.threshold import angle_line, edge_guess, thresholds

_ARC = 24
_TAILS = (0.0, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)


@dataclass(frozen=True, kw_only=True)
class Conditional:
    """P(spurious) by conditional Monte Carlo; prints as one line.

    Attributes:
        p_spurious: mean over the draws that have a threshold.
        low: lower end of the interval for P(spurious).
        high: upper end.
        confidence: its level.
        standard_error: of `p_spurious`, for comparison; not what the interval rests on.
        draws: starts drawn.
        unknown: draws around which outcomes are not monotone, counted as 0 and as 1.
        threshold_evaluations: trial runs.
    """

    p_spurious: float
    low: float
    high: float
    confidence: float
    standard_error: float
    draws: int
    unknown: int
    threshold_evaluations: int

    @property
    def p_global(self) -> float:
        """1 − `p_spurious`."""
        return 1.0 - self.p_spurious

    def as_dict(self) -> dict[str, Any]:
        """Plain words and numbers, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        level = f"{100 * self.confidence:.6g}%"
        return (
            f"P(spurious) = {self.p_spurious:.6g} +- {self.standard_error:.1g}, in "
            f"[{self.low:.4g}, {self.high:.4g}] at {level} ({self.draws} draws)"
        )

    __repr__ = __str__


def conditional_probability(
    cell: Cell,
    p: int | None = None,
    *,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    **start: Any,
) -> Conditional:
    """P(spurious) by conditional Monte Carlo over the start angle.

    Args:
        cell: the experiment, as for `exact_probability`.
        p: patch size; the cell's if not given.
        draws: starts (x, y) drawn.
        seed: of the draws.
        confidence: of the interval, in (0, 1).
        **start: `teacher`, `a`, `a_mean`, `v_norm`, `activation` as in `exact_probability`.

    Raises:
        InputError: an argument is out of its range.
        NotExactError: as `exact_probability`, but for convergence; and at a fixed start angle.

    Source: Maurer & Pontil, COLT 2009, Theorem 4 (the interval).
    """
    count, size = whole("draws", draws, 2), whole("p", cell.p if p is None else p, 2)
    # One bound for each disk and one for the unknown draws share the error.
    share = (1.0 - confidence_level(confidence)) / (len(_TAILS) + 2)
    level = math.log(4.0 / share)
    problem = problem_of(cell, **start)
    certain = certainty(problem)
    if certain is not None:
        sure = 1.0 - certain[0]
        return Conditional(
            p_spurious=sure, low=sure, high=sure, confidence=confidence, standard_error=0.0,
            draws=0, unknown=0, threshold_evaluations=0,
        )  # fmt: skip
    if problem.filter == "fixed":
        raise NotExactError(f"a fixed start angle leaves nothing to integrate: {INSTEAD}")
    stepper = Stepper(problem)
    radius, x, y, norm2 = _drawn(problem, size, count, np.random.default_rng(seed))
    found = thresholds(stepper, angle_line(problem, x, y, norm2), edge_guess(stepper, count))
    bad = angle_split(size, found.at)[1]
    known = found.ordered
    unknown = int(count - known.sum())
    value = np.where(known, bad, 0.0)
    mean = float(bad[known].mean()) if np.any(known) else 0.5
    spread = float(bad[known].std(ddof=1) / math.sqrt(known.sum())) if known.sum() > 1 else 0.5
    low, high, more = 0.0, 1.0, 0
    if problem.filter == "gaussian" or unknown:
        caps = [(np.inf, 0.0, 1.0)]
    else:
        caps, more = _caps(stepper, size)
    whole_range = caps[0][2]
    for reach, outside, cap in caps:
        inside = np.where(radius <= reach, value, 0.0)
        deviation = math.sqrt(2.0 * float(inside.var(ddof=1)) * level / count)
        slack = deviation + 7.0 * cap * level / (3.0 * (count - 1))
        low = max(low, float(inside.mean()) - slack)
        high = min(high, float(inside.mean()) + slack + outside * whole_range)
        if reach == np.inf and unknown:
            high = min(1.0, high + clopper_pearson(unknown, count, 1.0 - share).high)
    return Conditional(
        p_spurious=mean,
        low=low,
        high=high,
        confidence=confidence,
        standard_error=spread,
        draws=count,
        unknown=unknown,
        threshold_evaluations=found.evaluations + more,
    )


def _drawn(
    problem: Problem, p: int, count: int, random: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    """Distance from the centre, x, y and ‖v₀‖² of drawn starts."""
    turn = random.uniform(0.0, 2.0 * math.pi, count)
    uniform = random.uniform(0.0, 1.0, count)
    radius = problem.scale * np.sqrt(_quantile(problem, uniform))
    norm2 = np.full(count, problem.norm2)
    if problem.filter == "gaussian":
        norm2 = random.chisquare(p, count)
    x = problem.center[0] + radius * np.cos(turn)
    return radius, x, problem.center[1] + radius * np.sin(turn), norm2


def _quantile(problem: Problem, upper: Array) -> Array:
    """Squared radius, in units of the scale, exceeded with probability `upper`."""
    if problem.output == "point":
        return np.zeros_like(upper)
    if problem.output == "gaussian":
        return np.asarray(-2.0 * np.log(np.maximum(upper, 1e-300)), dtype=np.float64)
    last = 0.5 * problem.k - (1.0 if problem.output == "sphere" else 0.0)
    if last == 0.0:
        return np.ones_like(upper)
    return np.asarray(-np.expm1(np.log(np.maximum(upper, 1e-300)) / last), dtype=np.float64)


def _caps(stepper: Stepper, p: int) -> tuple[list[tuple[float, float, float]], int]:
    """(radius, mass outside it, largest 1 − F_p inside it), the whole law first."""
    problem = stepper.problem
    tails = np.array([1e-30 if problem.output == "gaussian" else 0.0, *_TAILS[1:]])
    radii = problem.scale * np.sqrt(_quantile(problem, tails))
    # Outer corners of the arc from −e₂ to −e₁ sign U: the inner ends of each piece, crossed.
    turn = np.linspace(0.0, 0.5 * math.pi, _ARC + 1)
    sign = math.copysign(1.0, problem.total)
    x = problem.center[0] - sign * np.outer(radii, np.sin(turn[1:]))
    y = problem.center[1] - np.outer(radii, np.cos(turn[:-1]))
    norm2 = np.full(x.size, problem.norm2)
    line = angle_line(problem, x.ravel(), y.ravel(), norm2)
    found = thresholds(stepper, line, edge_guess(stepper, x.size))
    bad = np.where(found.ordered, angle_split(p, found.at)[1], 1.0).reshape(x.shape).max(axis=1)
    # Beyond the largest disk of a Gaussian law nothing bounds the summands but 1.
    whole_law = (np.inf, 0.0, 1.0 if problem.output == "gaussian" else float(bad[0]))
    rows = zip(radii, tails, bad, strict=True)
    return [whole_law, *((float(r), float(t), float(b)) for r, t, b in rows)], found.evaluations
