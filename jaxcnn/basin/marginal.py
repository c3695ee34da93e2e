"""The law of the start angle, and of one coordinate of a symmetric beta law, in closed form."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaln

from jaxcnn.basin.problem import Array


def beyond(half: float, t: Array, sine2: Array) -> tuple[Array, Array]:
    """P(T > t) and P(T < t) for T on (−1, 1) with density ∝ (1 − t²)^(half − 1).

    The smaller of the two is ½ I_{1−t²}(half, ½), to full relative accuracy, and beside t = 0,
    where 1 − t² loses t, ½ − ½ I_{t²}(½, half).

    Args:
        half: exponent plus one, positive.
        t: shape (N,).
        sine2: 1 − t², shape (N,); passed because t loses it near ±1.
    """
    middle = betainc(0.5, half, t * t)
    small = np.where(middle < 0.5, 0.5 - 0.5 * middle, 0.5 * betainc(half, 0.5, sine2))
    large = 1.0 - small
    return np.where(t > 0.0, small, large), np.where(t > 0.0, large, small)


def angle_split(p: int, xi: Array) -> tuple[Array, Array]:
    """P(φ₀ < φ) and P(φ₀ > φ) for v₀ uniform on the sphere in R^p.

    The smaller of the two is ½ I_{sin²φ}((p−1)/2, ½), where sin φ = 1/cosh ξ.

    Args:
        p: patch size, at least 2.
        xi: log tan(φ/2), any shape; ±inf are φ = 0 and φ = π.

    Source: Li, Asian J. Math. Stat. 4 (2011) 66 (the area of a cap).
    """
    fall = np.exp(-np.abs(xi))
    sine2 = (2.0 * fall / (1.0 + fall * fall)) ** 2
    return beyond(0.5 * (p - 1), -np.tanh(xi), sine2)


def angle_density(p: int, xi: Array) -> Array:
    """Density of ξ = log tan(φ₀/2) for v₀ uniform on the sphere: ∝ sin^(p−1) φ."""
    fall = np.exp(-np.abs(xi))
    sine = 2.0 * fall / (1.0 + fall * fall)
    with np.errstate(divide="ignore"):
        log = (p - 1) * np.log(sine) - betaln(0.5 * (p - 1), 0.5)
    return np.asarray(np.exp(log), dtype=np.float64)
