"""A slow, plain reference: full vectors, NumPy loops, tolerances; shares no code with jaxcnn.

Gradient descent on the population loss of Du et al. (ICML 2018), Theorems 3.1 and 3.2, with
the gradients written out for v in R^p and a in R^k, run until the angle has gone to an end. Other
activations enter by their dual kernel, from Hermite coefficients or a formula of its own.
"""

import math
from typing import Any, NamedTuple

import numpy as np


class Sigma(NamedTuple):
    """2π times the dual kernel: g(φ), h(φ), m = 2πμ²; plain floats."""

    g: Any
    h: Any
    m: float


RELU = Sigma(
    lambda phi: (math.pi - phi) * math.cos(phi) + math.sin(phi), lambda phi: math.pi - phi, 1.0
)


def leaky(slope):
    """max(x, 0) + α min(x, 0) = (1+α)/2 x + (1−α)/2 |x|; E|X||Y| = (2/π)(√(1−t²) + t asin t)."""
    line, fold = (1.0 + slope) ** 2 / 4.0, (1.0 - slope) ** 2 / 4.0

    def g(phi):
        bent = math.sin(phi) + math.cos(phi) * (math.pi / 2.0 - phi)
        return 2.0 * math.pi * (line * math.cos(phi) + fold * 2.0 / math.pi * bent)

    def h(phi):
        return 2.0 * math.pi * (line + fold * 2.0 / math.pi * (math.pi / 2.0 - phi))

    return Sigma(g, h, (1.0 - slope) ** 2)


def smooth(sigma, terms=80):
    """Any smooth σ: K(t) = Σ cₙ² tⁿ/n! with cₙ = E σ(X) Heₙ(X), by the trapezoid rule."""
    x = np.linspace(-14.0, 14.0, 4001)
    weight = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi) * (x[1] - x[0])
    # Orthonormal Hermite polynomials, by their recurrence: Heₙ itself overflows.
    old, now, squares = np.zeros_like(x), np.ones_like(x), []
    for n in range(terms):
        squares.append(float(np.sum(weight * sigma(x) * now)) ** 2)
        old, now = now, (x * now - math.sqrt(n) * old) / math.sqrt(n + 1.0)
    series = 2.0 * math.pi * np.array(squares)
    slope = np.arange(1, terms) * series[1:]
    value = np.polynomial.polynomial.polyval
    return Sigma(
        lambda phi: float(value(math.cos(phi), series)),
        lambda phi: float(value(math.cos(phi), slope)),
        float(series[0]),
    )


def teacher(k, p, ratio, norm):
    """w* = e₁ in R^p, and a* with the asked ratio and norm, along 1 and along (1, −1, 0, …)."""
    w = np.zeros(p)
    w[0] = 1.0
    side = np.zeros(k)
    side[0], side[1] = 1.0 / math.sqrt(2.0), -1.0 / math.sqrt(2.0)
    even = np.full(k, 1.0 / math.sqrt(k))
    a = norm * (math.sqrt(ratio / k) * even + math.sqrt(1.0 - ratio / k) * side)
    return w, a, even, side


def angle_between(v, w):
    """Angle by half-way vectors, right at 0 and π."""
    one, two = v / np.linalg.norm(v), w / np.linalg.norm(w)
    return 2.0 * math.atan2(np.linalg.norm(one - two), np.linalg.norm(one + two))


def gradients(v, a, w, a_star, sigma=RELU):
    """∂ℓ/∂v and ∂ℓ/∂a, with ‖w*‖ = 1."""
    phi, r = angle_between(v, w), np.linalg.norm(v)
    g, m = sigma.g(phi), sigma.m
    across = w - v * (v @ w) / r**2
    dv = -(a @ a_star) * sigma.h(phi) / (2.0 * math.pi * r) * across
    da = m * (a.sum() - a_star.sum()) + (sigma.g(0.0) - m) * a - (g - m) * a_star
    return dv, da / (2.0 * math.pi)


def reaches_global(v, a, w, a_star, step_size, filter_step_size=None, sigma=RELU, most=200_000):
    """Whether plain descent ends at φ = 0: run until s and φ have long agreed on an end."""
    v, a = v.astype(float).copy(), a.astype(float).copy()
    rate = step_size if filter_step_size is None else filter_step_size
    for _ in range(most):
        phi, s = angle_between(v, w), a @ a_star
        if phi < 0.02 and s > 0.5 * (a_star @ a_star):
            return True
        if phi > math.pi - 0.2 and s < 0.0 and abs(a.sum()) < abs(a_star.sum()) + 1.0:
            return False
        dv, da = gradients(v, a, w, a_star, sigma)
        v, a = v - rate * dv, a - step_size * da
    raise RuntimeError("the run did not end")


def threshold_angle(x, y, k, p, ratio, norm, step_size, filter_step_size=None, sigma=RELU, bits=30):
    """The start angle at which the outcome changes, by bisection on full runs."""
    w, a_star, even, side = teacher(k, p, ratio, norm)
    across = np.zeros(p)
    across[1] = 1.0
    a = x * even + y * side
    low, high = 0.0, math.pi
    for _ in range(bits):
        middle = 0.5 * (low + high)
        v = math.cos(middle) * w + math.sin(middle) * across
        if reaches_global(v, a, w, a_star, step_size, filter_step_size, sigma):
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def starts(k, p, ratio, norm, count, seed):
    """The paper's starts: v uniform on the sphere, a uniform in the ball of radius |U|/√k."""
    rng = np.random.default_rng(seed)
    v, a = rng.normal(size=(count, p)), rng.normal(size=(count, k))
    length = math.sqrt(ratio / k) * norm * rng.uniform(size=(count, 1)) ** (1.0 / k)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return v, length * a / np.linalg.norm(a, axis=1, keepdims=True)


def four_scalars(v, a, w, a_star):
    """φ, s = aᵀa*, M = U(U − u) and ‖v‖² of a full state."""
    total = a_star.sum()
    return angle_between(v, w), a @ a_star, total * (total - a.sum()), v @ v


def after(v, a, w, a_star, step_size, steps):
    """The full state after this many steps."""
    for _ in range(steps):
        dv, da = gradients(v, a, w, a_star)
        v, a = v - step_size * dv, a - step_size * da
    return v, a
