"""A slow, plain reference: full vectors, NumPy loops, tolerances; shares no code with jaxcnn.

Gradient descent on the population loss of Du et al. (ICML 2018), Theorems 3.1 and 3.2, with
the gradients written out for v in R^p and a in R^k, run until the angle has gone to an end.
"""

import math

import numpy as np


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


def gradients(v, a, w, a_star):
    """∂ℓ/∂v and ∂ℓ/∂a, with ‖w*‖ = 1."""
    phi, r = angle_between(v, w), np.linalg.norm(v)
    g = (math.pi - phi) * math.cos(phi) + math.sin(phi)
    across = w - v * (v @ w) / r**2
    dv = -(a @ a_star) * (math.pi - phi) / (2.0 * math.pi * r) * across
    da = a.sum() + (math.pi - 1.0) * a - a_star.sum() - (g - 1.0) * a_star
    return dv, da / (2.0 * math.pi)


def reaches_global(v, a, w, a_star, step_size, filter_step_size=None, most=200_000):
    """Whether plain descent ends at φ = 0: run until s and φ have long agreed on an end."""
    v, a = v.astype(float).copy(), a.astype(float).copy()
    rate = step_size if filter_step_size is None else filter_step_size
    for _ in range(most):
        phi, s = angle_between(v, w), a @ a_star
        if phi < 0.02 and s > 0.5 * (a_star @ a_star):
            return True
        if phi > math.pi - 0.2 and s < 0.0 and abs(a.sum()) < abs(a_star.sum()) + 1.0:
            return False
        dv, da = gradients(v, a, w, a_star)
        v, a = v - rate * dv, a - step_size * da
    raise RuntimeError("the run did not end")


def threshold_angle(x, y, k, p, ratio, norm, step_size, filter_step_size=None, bits=30):
    """The start angle at which the outcome changes, by bisection on full runs."""
    w, a_star, even, side = teacher(k, p, ratio, norm)
    across = np.zeros(p)
    across[1] = 1.0
    a = x * even + y * side
    low, high = 0.0, math.pi
    for _ in range(bits):
        middle = 0.5 * (low + high)
        v = math.cos(middle) * w + math.sin(middle) * across
        if reaches_global(v, a, w, a_star, step_size, filter_step_size):
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
