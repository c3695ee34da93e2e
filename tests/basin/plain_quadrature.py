"""P(global) the slow way: bisection on runs in NumPy, Gauss rules and laws from SciPy (ReLU).

Shares no code with the package: the recurrence, its certified ends for b ≤ 1, the nodes and the
law of the start angle are written down again. Some 10⁸ restart-steps a cell.
"""

import math

import numpy as np
from scipy import special, stats

PI = math.pi


def outcomes(phi, s, m, norm2, cell, most=60_000):
    """Whether each run ends at φ = 0; runs not decided by then count as such."""
    c, b, power, sum2, k = cell
    end = sum2 * PI / (k + PI - 1)
    found = np.ones(phi.size, bool)
    number = np.arange(phi.size)
    r2 = np.full(phi.size, norm2)
    for step in range(most):
        sin, cos = np.sin(phi), np.cos(phi)
        g = (PI - phi) * cos + sin
        if step % 8 == 0:
            good = (s > 0) & (phi < PI / 2) & (m >= 0)
            room = np.maximum(np.abs(s), (power + np.maximum(-m, 0)) / (PI - 1))
            bad = (s < 0) & (phi > PI / 2) & ((1 - g) * power > np.maximum(m, end))
            bad &= c * (PI - phi) * room <= r2
            found[number[bad]] = False
            on = ~(good | bad)
            if not on.any():
                return found
            phi, s, m, r2, number = phi[on], s[on], m[on], r2[on], number[on]
            sin, cos, g = sin[on], cos[on], g[on]
        x = c * s * (PI - phi) * sin / r2
        phi = np.abs(phi - np.arctan(x))
        phi = np.where(phi > PI, 2 * PI - phi, phi)
        s = (1 - c * (PI - 1)) * s + c * ((g - 1) * power + m)
        m = (1 - b) * m + c * sum2 * (PI - g)
        r2 = r2 * (1 + x * x)
    return found


def nodes(init, k, radius, order):
    """(x, y) and weights: a Gauss rule in x² + y² times equal angles; or the point `radius`."""
    if init == "point":
        return *(np.array([z]) for z in radius), np.ones(1)
    if init == "gaussian":
        t, weight = special.roots_laguerre(order)
        r = radius * np.sqrt(2 * t)
    else:
        t, weight = special.roots_jacobi(order, k / 2 - (2 if init == "sphere" else 1), 0)
        r = radius * np.sqrt((1 + t) / 2)
    turn = 2 * PI * np.arange(2 * order) / (2 * order)
    x, y = np.outer(r, np.cos(turn)).ravel(), np.outer(r, np.sin(turn)).ravel()
    return x, y, np.repeat(weight / weight.sum(), 2 * order) / (2 * order)


def plain_probability(options, order, bits=32):
    """P(global) of a cell in words (k, ratio, step_size; p, teacher_norm, init, init_scale)."""
    k, ratio = options["k"], options["ratio"]
    step_size = options.get("step_size", PI / (k + PI - 1))
    norm, init = options.get("teacher_norm", 1.0), options.get("init", "ball")
    c = step_size / (2 * PI)
    b, power, total = c * (k + PI - 1), norm**2, norm * math.sqrt(ratio)
    radius = options.get("init_scale", 1.0)
    if init in ("ball", "sphere"):
        radius *= total / math.sqrt(k)
    x, y, weight = nodes(init, k, radius, order)
    side = norm * math.sqrt(1 - ratio / k)
    s, m = x * total / math.sqrt(k) + y * side, total * (total - math.sqrt(k) * x)
    low, high = np.zeros_like(x), np.full_like(x, PI)
    for _ in range(bits):
        middle = 0.5 * (low + high)
        good = outcomes(middle, s, m, 1.0, (c, b, power, total**2, k))
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    half = 0.5 * (options.get("p", 6) - 1)
    law = stats.beta(half, half)
    return float(weight @ law.sf(0.5 * (1 + np.cos(0.5 * (low + high)))))
