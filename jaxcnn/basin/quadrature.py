r"""The probability as a smooth integral over the basin boundary, to an asked tolerance.

For v on the sphere or Gaussian, with F_p the law of the start angle and φ_c the threshold,

    P(global) = E_{(x,y)} F_p(φ_c(x, y)),    P(spurious) = E_{(x,y)} [1 − F_p(φ_c(x, y))],

each summed from its own small parts, so that rare failures keep their digits (Gaussian v: also
over log ‖v₀‖², with ‖v₀‖²/2 ~ Gamma(p/2)). At a fixed angle that integrand is an indicator: see
basin/fixed_angle.py. When an order is enough is in basin/refine.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import gammainccinv, gammaincinv, gammaln

from jaxcnn.base.errors import NotExactError
from jaxcnn.basin.fixed_angle import chords, one_start
from jaxcnn.basin.marginal import angle_density, angle_split
from jaxcnn.basin.problem import INSTEAD, Array
from jaxcnn.basin.refine import ROUNDING, Converged, Sum, refine
from jaxcnn.basin.rules import plane_rule
from jaxcnn.basin.stepping import Stepper
from jaxcnn.basin.threshold import SHARP, accuracy_for, angle_line, edge_guess, thresholds

ORDERS = (2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64)
ROUGH_ORDERS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Where few digits are asked: there orders 4, 5 and 6 can be off alike."""
FEW = 1e-8
"""Tolerance from which on these are few."""


def integrate(
    stepper: Stepper, ps: Sequence[int], tolerance: float, *, strict: bool = True
) -> Converged:
    """P(global) and P(spurious) for every p of a list.

    Args:
        stepper: the problem.
        ps: patch sizes; one threshold map serves them all, unless v is Gaussian.
        tolerance: asked of the absolute error.
        strict: refuse an answer whose error exceeds the tolerance, instead of returning it.

    Raises:
        NotExactError: the order of outcomes fails for too many starts, or the largest order
            does not reach the tolerance.
    """
    problem = stepper.problem
    if problem.filter == "fixed":
        one = one_start(stepper) if problem.output == "point" else chords(stepper, tolerance)
        return _joined([one] * len(ps), one.evaluations)
    if problem.filter == "gaussian":
        parts = [_over_norms(stepper, p, tolerance) for p in ps]
        return _joined(parts, sum(part.evaluations for part in parts))
    orders: Sequence[int] = ORDERS if strict and tolerance < FEW else ROUGH_ORDERS
    if problem.output == "point":
        orders = orders[:1]
    accuracy = accuracy_for(tolerance)
    return refine(
        lambda some: angles(stepper, some, ps, accuracy), orders, tolerance, strict=strict
    )


def _joined(parts: Sequence[Converged], evaluations: int) -> Converged:
    """The answers of several p as one."""
    return Converged(
        np.concatenate([part.p_global for part in parts]),
        np.concatenate([part.p_spurious for part in parts]),
        np.concatenate([part.error for part in parts]),
        max(part.order for part in parts),
        evaluations,
    )


def _over_norms(stepper: Stepper, p: int, tolerance: float) -> Converged:
    """Gaussian v: the trapezoid in log ‖v₀‖², halved until it agrees with itself.

    In that variable the law is analytic and decays at least exponentially both ways, where a
    Gauss rule in ‖v₀‖² would meet the essential singularity of the dynamics at 0. The tails left
    out have a mass of a hundredth of the tolerance.
    """
    half, tail = 0.5 * p, 0.005 * tolerance
    low, high = np.log(2.0 * gammaincinv(half, tail)), np.log(2.0 * gammainccinv(half, tail))
    done: dict[float, Converged] = {}

    def trapezoid(gap: float) -> tuple[float, float, float]:
        nodes = gap * np.arange(np.ceil(low / gap), np.floor(high / gap) + 1)
        size = np.exp(nodes)
        weight = gap * np.exp(half * np.log(0.5 * size) - 0.5 * size - gammaln(half))
        for node, r2, mass in zip(nodes, size, weight, strict=True):
            if float(node) not in done:
                part = replace(stepper.problem, filter="sphere", norm2=float(r2))
                asked = min(0.5, 0.02 * tolerance / float(mass))
                done[float(node)] = integrate(stepper.of(part), [p], asked, strict=False)
        sums = _joined([done[float(node)] for node in nodes], 0)
        return (
            float(weight @ sums.p_global),
            float(weight @ sums.p_spurious),
            float(weight @ sums.error),
        )

    # Both sums, so that what the truncation and the trapezoid leave out of 1 shows.
    widest = min(0.5, (high - low) / 8)  # at a large p the law is narrow
    values = trapezoid(widest)
    for gap in (widest / 2, widest / 4, widest / 8):
        good, bad, noise = trapezoid(gap)
        change = max(abs(good - values[0]), abs(bad - values[1]), abs(1.0 - good - bad))
        values = (good, bad, noise)
        error = change + noise + 2.0 * tail + ROUNDING
        if error <= tolerance:
            order = max(part.order for part in done.values())
            cost = sum(part.evaluations for part in done.values())
            return Converged(np.array([good]), np.array([bad]), np.array([error]), order, cost)
    raise NotExactError(
        f"the quadrature over |v| has an error of {error:.2g} "
        f"(tolerance {tolerance:.2g}): {INSTEAD}"
    )


def angles(
    stepper: Stepper, orders: Sequence[int], ps: Sequence[int], accuracy: float = SHARP
) -> list[Sum]:
    """The rules of these orders over the plane, their thresholds found together."""
    problem = stepper.problem
    rules = [plane_rule(problem, order) for order in orders]
    x, y = (np.concatenate([rule[i] for rule in rules]) for i in (0, 1))
    norm2 = np.full(x.size, problem.norm2)
    line, guess = angle_line(problem, x, y, norm2), edge_guess(stepper, x.size)
    found = thresholds(stepper, line, guess, accuracy=accuracy)
    error = np.where(found.ordered, found.error, 0.0)  # what is lost counts with all its mass
    below, above = zip(*(angle_split(p, found.at) for p in ps), strict=True)
    noise = [angle_density(p, found.at) * error + ~found.ordered for p in ps]
    sums, first = [], 0
    for rule, order in zip(rules, orders, strict=True):
        part = slice(first, first + rule.weight.size)
        good, bad, rest = (
            np.array([rule.weight @ each[part] for each in every])
            for every in (below, above, noise)
        )
        steps = np.array([_steps(each[part], rule.weight, order) for each in below])
        sums.append(Sum(good, bad, rest, 0 if first else found.evaluations, steps))
        first = part.stop
    return sums


def _steps(below: Array, weight: Array, order: int) -> float:
    """What steps of more than a half between neighbours on a circle may hide.

    At a large p the angle decides within a narrow band of the plane. Where nodes jump over it, each
    circle is off by a part of a node's weight wherever it crosses, one as good as independent
    of the next, and orders that agree to less agree by chance.
    """
    turns = 2 * order + 1
    if below.size % turns:
        return 0.0  # a single point
    rings, each = below.reshape(-1, turns), weight.reshape(-1, turns)
    over = np.abs(rings - np.roll(rings, 1, axis=1)) > 0.5
    return float(np.sqrt(np.sum(each[over] ** 2)))
