r"""Gauss rules for the laws of a start, from their recurrences; all weights sum to 1.

A law on a line has orthogonal polynomials with p_{n+1} = (x − a_n) p_n − b_n² p_{n−1}; nodes
are the eigenvalues of the symmetric tridiagonal matrix of a and b, weights the squared first
components of its eigenvectors (Golub & Welsch, Math. Comp. 23 (1969) 221). In the plane a rule
in (x² + y²) times the trapezoid in the angle integrates polynomials in x, y exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxcnn.basin.problem import Array, Problem

NEGLIGIBLE = 1e-19
"""Weight below which a node is left out."""


class PlaneRule(NamedTuple):
    """Nodes (x, y) about the centre and their weights, each (nodes,)."""

    x: Array
    y: Array
    weight: Array


def _gauss(a: Array, b2: Array) -> tuple[Array, Array]:
    b = np.sqrt(b2)
    nodes, vectors = np.linalg.eigh(np.diag(a) + np.diag(b, 1) + np.diag(b, -1))
    return nodes, vectors[0] ** 2


def gamma_rule(shape: float, order: int) -> tuple[Array, Array]:
    """For a Gamma law of this shape and unit scale (generalised Laguerre)."""
    n = np.arange(order, dtype=np.float64)
    return _gauss(2.0 * n + shape, n[1:] * (n[1:] + shape - 1.0))


def beta_rule(last: float, order: int) -> tuple[Array, Array]:
    """For Beta(1, last), by the canonical moments of the law; t keeps its digits near 0.

    With p_{2j−1} = j/(last + 2j − 1), p_{2j} = j/(last + 2j), q = 1 − p and ζ_j = q_{j−1} p_j,
    a_n = ζ_{2n} + ζ_{2n+1} and b_n² = ζ_{2n−1} ζ_{2n}: positive sums, even where last is 10⁶.
    """
    if last == 0.0:
        return np.ones(1), np.ones(1)
    j = np.arange(1, order + 1, dtype=np.float64)
    p, q = np.empty(2 * order), np.empty(2 * order)
    p[0::2], q[0::2] = j / (last + 2.0 * j - 1.0), (last + j - 1.0) / (last + 2.0 * j - 1.0)
    p[1::2], q[1::2] = j / (last + 2.0 * j), (last + j) / (last + 2.0 * j)
    zeta = p * np.concatenate(([1.0], q[:-1]))
    a = zeta[0::2] + np.concatenate(([0.0], zeta[1:-1:2]))
    scale = a.max()
    nodes, weights = _gauss(a / scale, zeta[0:-2:2] * zeta[1:-1:2] / scale**2)
    return scale * nodes, weights


def symmetric_rule(exponent: float, order: int) -> tuple[Array, Array]:
    """For the density ∝ (1 − t²)^exponent on (−1, 1) (Gegenbauer)."""
    n = np.arange(1, order, dtype=np.float64)
    twice = 2.0 * n + 2.0 * exponent
    with np.errstate(invalid="ignore"):
        b2 = n * (n + 2.0 * exponent) / ((twice + 1.0) * (twice - 1.0))
    if order > 1:
        b2[0] = 1.0 / (3.0 + 2.0 * exponent)  # the general term is 0/0 at exponent −½
    return _gauss(np.zeros(order), b2)


def normal_rule(order: int) -> tuple[Array, Array]:
    """For the standard normal law (Hermite)."""
    return _gauss(np.zeros(order), np.arange(1, order, dtype=np.float64))


def law_rule(at: Array, mass: Array, order: int) -> tuple[Array, Array]:
    """For a discrete law of many points, by Lanczos; weights sum to its mass.

    Args:
        at: the points, (N,), N well above the order.
        mass: of each, (N,).
        order: nodes of the rule.

    Source: Gautschi, Orthogonal Polynomials (2004), section 2.2.3.
    """
    a, b2 = np.empty(order), np.empty(order - 1)
    basis = np.zeros((order, at.size))
    basis[0] = np.sqrt(mass / mass.sum())
    for n in range(order):
        a[n] = basis[n] @ (at * basis[n])
        if n + 1 == order:
            break
        new = at * basis[n]
        # Twice, or the basis loses its orthogonality.
        for _ in range(2):
            new -= (basis[: n + 1] @ new) @ basis[: n + 1]
        b2[n] = new @ new
        basis[n + 1] = new / np.sqrt(b2[n])
    nodes, weights = _gauss(a, b2)
    return nodes, weights * mass.sum()


def plane_rule(problem: Problem, order: int) -> PlaneRule:
    """`order` radii × (2·`order` + 1) directions for the law of (x, y), negligible nodes left out.

    An odd number: if with every node its opposite were one, all orders would give ½ to an outcome
    that changes at a line near the centre, whatever its share of the law, and so agree.
    """
    if problem.output == "point":
        zero = np.zeros(1)
        return PlaneRule(zero + problem.center[0], zero + problem.center[1], np.ones(1))
    if problem.output == "gaussian":
        t, weight = gamma_rule(1.0, order)
        radius = problem.scale * np.sqrt(2.0 * t)
    else:
        last = 0.5 * problem.k - (1.0 if problem.output == "sphere" else 0.0)
        t, weight = beta_rule(last, order)
        radius = problem.scale * np.sqrt(t)
    keep = weight > NEGLIGIBLE
    radius, weight = radius[keep], weight[keep]
    turns = 2 * order + 1
    turn = 2.0 * np.pi * (np.arange(turns) + 0.5) / turns
    return PlaneRule(
        problem.center[0] + np.outer(radius, np.cos(turn)).ravel(),
        problem.center[1] + np.outer(radius, np.sin(turn)).ravel(),
        np.repeat(weight / turns, turns),
    )
