"""Binomial tails to full relative accuracy, for any number of trials up to 10¹².

Library routines lose digits twice at large n. They form p^x (1−p)^(n−x) from terms of size
n log n, which leaves an error of 10⁻⁴ in the exponent at n = 10¹²; and they sum series or
continued fractions whose length grows with √n. Here the exponent is a deviance, which is
small near the data (Loader 2000), and the tail is an integral whose logarithm is concave, so
a fixed number of Gauss nodes serves every n.

Counts are whole numbers, held as float arrays; shapes broadcast.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TABLE = 16
_CUT = 38.0  # exp(−38) = 3·10⁻¹⁷: what the tail integral leaves out
_NODES = 48
_ROWS = 1024  # rows solved at a time, so that rows × nodes stay in cache
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def _remainder(shift: float) -> Array:
    """Log Γ(x + shift) − (x + shift − ½) log x + x − ½ log 2π for x = 0 … 15 (0 log 0 = 0)."""
    rows = [math.lgamma(shift) - _HALF_LOG_2PI]
    for x in range(1, _TABLE):
        rows.append(math.lgamma(x + shift) - (x + shift - 0.5) * math.log(x) + x - _HALF_LOG_2PI)
    return np.array(rows)


_WHOLE = _remainder(1.0)
_HALF = _remainder(0.5)


def _series(x: Array, table: Array, coefficients: tuple[float, ...]) -> Array:
    small = x < _TABLE
    inverse = 1.0 / np.where(small, _TABLE, x)
    square = inverse * inverse
    total = np.zeros_like(inverse)
    for coefficient in reversed(coefficients):
        total = total * square + coefficient
    return np.where(small, table[np.where(small, x, 0).astype(np.intp)], total * inverse)


def stirling_error(x: Array) -> Array:
    """What Stirling's formula leaves out of log x!, for whole x.

    δ(x) = log Γ(x + 1) − (x + ½) log x + x − ½ log 2π, with 0 log 0 = 0.

    Source: Loader, Fast and accurate computation of binomial probabilities (2000).
    """
    return _series(x, _WHOLE, (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360))


def half_stirling_error(x: Array) -> Array:
    """The same for a half-integer gamma function, for whole x.

    ε(x) = log Γ(x + ½) − x log x + x − ½ log 2π, with 0 log 0 = 0.

    Source: DLMF 5.11.8 with h = ½.
    """
    terms = (-1 / 24, 7 / 2880, -31 / 40320, 127 / 215040, -511 / 608256, 1414477 / 738017280)
    return _series(x, _HALF, terms)


def _excess(x: Array, mean: Array, gap: Array) -> Array:
    """X log(x/mean) − gap, where gap = x − mean is known better than the difference is."""
    v = gap / np.maximum(x + mean, np.finfo(np.float64).tiny)
    square = v * v
    total = np.zeros_like(v)
    for power in range(17, 1, -2):
        total = total * square + 1.0 / power
    near = gap * v + 2.0 * x * v * square * total
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(x > 0.0, x * np.log(x / mean), 0.0) - gap
    return np.where(np.abs(v) < 0.1, near, far)


def deviance(successes: Array, failures: Array, p: Array, q: Array) -> Array:
    """How much less likely the counts are under p than under their own proportion, in nats.

    D = x log(x / (n p)) + y log(y / (n q)) with n = x + y; never negative.

    Args:
        successes: x, whole numbers.
        failures: y, whole numbers.
        p: probability of a success.
        q: 1 − p, passed because p alone loses it near 1.
    """
    trials = successes + failures
    gap = successes * q - failures * p
    return _excess(successes, trials * p, gap) + _excess(failures, trials * q, -gap)


def expit(u: Array) -> tuple[Array, Array]:
    """The probability with log odds u, and its complement, both to full relative accuracy."""
    small = np.exp(-np.abs(u))
    minor, major = small / (1.0 + small), 1.0 / (1.0 + small)
    return np.where(u < 0.0, minor, major), np.where(u < 0.0, major, minor)


@cache
def _gauss() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def _tail_over_density(a: Array, b: Array, p: Array, q: Array) -> Array:
    """∫₀^∞ exp(−φ(s)) ds with φ(s) = a s + (a+b) log(1 − p + p e^(−s)).

    This is I_p(a, b) over the density of the log odds at p: put log odds t = logit p − s in
    the beta integral. φ is convex, so Newton from the left lands right of φ = 38 and stays.
    """
    total = a + b
    # Near p = 1 the two terms of φ cancel; there take the twin form in q, with −b for a.
    low = p < 0.5
    rate, share, sign = np.where(low, a, -b), np.where(low, p, q), np.where(low, -1.0, 1.0)
    slope = a * q - b * p
    reach = 2.0 * _CUT / (slope + np.sqrt(slope * slope + 2.0 * _CUT * total * p * q))
    for _ in range(2):
        shrink = share * np.exp(sign * reach)
        height = rate * reach + total * np.log1p(share * np.expm1(sign * reach))
        rise = rate + sign * total * shrink / (1.0 - share + shrink)
        reach = reach - (height - _CUT) / rise
    nodes, weights = _gauss()
    s = reach[..., None] * nodes
    inner = np.log1p(share[..., None] * np.expm1(sign[..., None] * s))
    phi = rate[..., None] * s + total[..., None] * inner
    ratio: Array = reach * (np.exp(-phi) @ weights)
    return ratio


def beta_quantile(a: Array, b: Array, tail: Array) -> tuple[Array, Array]:
    """The p with I_p(a, b) = tail, and 1 − p.

    Halley's iteration on log I_p in the log odds of p. That logarithm is increasing and
    concave, so Newton's step never passes the root from the left: no bracket is needed. Both
    derivatives come free from the tail integral.

    Args:
        a: whole numbers, at least 1, shape (rows,).
        b: whole numbers, at least 1, shape (rows,).
        tail: probabilities below p, in (0, ½], shape (rows,).

    Returns:
        p and 1 − p, each with relative error below 10⁻¹².
    """
    total = a + b
    constant = stirling_error(total) - stirling_error(a) - stirling_error(b) - np.log(tail)
    constant += 0.5 * (np.log(a) + np.log(b) - np.log(total)) - _HALF_LOG_2PI
    u = _first_guess(a, b, tail)
    for _ in range(60):
        p, q = expit(u)
        ratio = _tail_over_density(a, b, p, q)
        value = constant - deviance(a, b, p, q) + np.log(ratio)
        newton = -value * ratio
        bend = 0.5 * value * (ratio * (a * q - b * p) - 1.0)
        step = newton / np.clip(1.0 - bend, 0.5, 2.0)
        u = u + step
        # Halley triples the digits: a step of 10⁻⁵ standard deviations leaves 10⁻¹⁵ of one.
        if np.all(np.abs(step) * np.sqrt(1.0 + total * p * q) < 1e-5):
            break
    return expit(u)


def _first_guess(a: Array, b: Array, tail: Array) -> Array:
    """Log odds of the quantile to a few per cent (Abramowitz & Stegun 26.2.23, 26.5.22)."""
    t = np.sqrt(-2.0 * np.log(tail))
    top = 2.515517 + t * (0.802853 + t * 0.010328)
    z = t - top / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    left, right = 1.0 / (2.0 * a - 1.0), 1.0 / (2.0 * b - 1.0)
    h = 2.0 / (left + right)
    lift = (z * z - 3.0) / 6.0
    w = z * np.sqrt(h + lift) / h - (right - left) * (lift + 5.0 / 6.0 - 2.0 / (3.0 * h))
    return np.log(a / b) - 2.0 * w


def lower_limit(successes: Array, trials: Array, tail: Array) -> tuple[Array, Array]:
    """The exact lower confidence limit of a binomial probability, and its complement.

    The p with P(X ≥ x) = tail for X ~ Binomial(n, p); 0 where x = 0. The upper limit is one
    minus the lower limit of the failures, so it is the complement this returns for n − x.

    Args:
        successes: x, whole numbers from 0 to n, shape (rows,).
        trials: n, whole numbers, shape (rows,).
        tail: probabilities in (0, ½], shape (rows,).

    Returns:
        p and 1 − p, each to full relative accuracy, shape (rows,).
    """
    p, q = np.zeros_like(successes), np.ones_like(successes)
    full = (successes == trials) & (trials > 0)
    exponent = np.log(tail[full]) / trials[full]
    p[full], q[full] = np.exp(exponent), -np.expm1(exponent)
    (inner,) = np.nonzero((successes > 0) & (successes < trials))
    for start in range(0, inner.size, _ROWS):
        rows = inner[start : start + _ROWS]
        x = successes[rows]
        p[rows], q[rows] = beta_quantile(x, trials[rows] - x + 1.0, tail[rows])
    return p, q
