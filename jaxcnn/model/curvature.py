"""The Hessian at the critical points, and the way out of a saddle; host side, float64.

In v the Hessian has 0 along v, (F′ cot φ)/r² on the p − 2 directions that keep φ, and couples the
one in which φ grows to a* by K′ sin φ / r; in a it is V I + μ² 11ᵀ. So all but three eigenvalues
are known at sight, and those three belong to the scalars (φ, s, M) with M = U (U − u), whose
gradient flow is

    φ̇ = −s K′ sin φ / r²,   ṡ = −V s + μ² M + (V − D) A,   Ṁ = −(V + μ²k) M + U² D.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jaxcnn.model.dual import Activation, Profile
from jaxcnn.model.root import root
from jaxcnn.model.teacher import Teacher

Eigenvalues = tuple[tuple[float, int], ...]
Scalars = tuple[float, float, float]


@dataclass(frozen=True)
class Unstable:
    """The one growing mode at a saddle, in the scalars (φ, s, M).

    A step of size η multiplies the distance along it by 1 + η · rate (to first order at a turn,
    exactly at an edge, where s = 0).

    Attributes:
        rate: per unit step size; 0 where the edge state merges with φ = π.
        direction: (dφ, ds, dM) with dφ = 1, that is towards larger angles.
        covector: (c_φ, c_s, c_M), scaled to 1 on `direction`: c · (point − saddle) is the
            coordinate along it that no other mode enters.
    """

    rate: float
    direction: Scalars
    covector: Scalars


def at_end(
    teacher: Teacher,
    activation: Activation,
    here: Profile,
    alignment: float,
    angle: float,
    norm: float,
) -> Eigenvalues:
    """Eigenvalues at φ = 0 or φ = π, where v and a do not couple; infinite at a kink."""
    side = 1.0 if angle == 0.0 else -1.0
    slope = math.inf if activation.kinked else float(here.derivative)
    turning = side * alignment * slope / norm**2 if alignment else 0.0
    mass = activation.variance + activation.mean**2 * teacher.k
    return _listed(
        (0.0, 1), (turning, teacher.p - 1), (activation.variance, teacher.k - 1), (mass, 1)
    )


def at_turn(
    teacher: Teacher,
    activation: Activation,
    here: Profile,
    alignment: float,
    norm: float,
) -> tuple[Eigenvalues, Unstable | None]:
    """Eigenvalues where K′ = 0, and the way out if D falls off to a lower loss."""
    # sin²φ K″ is all that is left of F″ = s (K′ cos φ − sin²φ K″).
    turning = -alignment * float(here.bend) / norm**2
    mass = activation.variance + activation.mean**2 * teacher.k
    eigenvalues = _listed(
        (0.0, teacher.p - 1), (turning, 1), (activation.variance, teacher.k - 1), (mass, 1)
    )
    if turning >= 0.0:
        return eigenvalues, None
    return eigenvalues, Unstable(-turning, (1.0, 0.0, 0.0), (1.0, 0.0, 0.0))


def at_edge(
    teacher: Teacher, activation: Activation, here: Profile, angle: float, norm: float
) -> tuple[Eigenvalues, Unstable]:
    """Eigenvalues where s = 0, and the way out.

    With q = K′ sin φ the rate λ is the one positive root of

        λ (λ + V)(λ + V + μ²k) = (q²/r²) [A (λ + V + μ²k) − μ²U²],

    which keeps its digits where a matrix routine would not: λ ~ q² as ρ nears its critical value.
    """
    variance, square = activation.variance, activation.mean**2
    mass = variance + square * teacher.k
    q = float(here.derivative) * math.sin(angle)
    pull = q * math.sqrt(teacher.A) / norm
    drag = square * teacher.ratio

    def excess(rate: float) -> float:
        return rate * (rate + variance) - pull * pull * (1.0 - drag / (rate + mass))

    highest = 2.0 * pull * pull / (variance + math.hypot(variance, 2.0 * pull))
    rate = root(excess, 0.0, highest * (1.0 + 1e-9), xtol=1e-300, rtol=1e-15)
    direction = (
        1.0,
        -q * teacher.A * (1.0 - drag / (rate + mass)) / (rate + variance),
        teacher.U**2 * q / (rate + mass),
    )
    along_s = -q / (norm**2 * (rate + variance))
    left = (1.0, along_s, square * along_s / (rate + mass))
    scale = sum(x * y for x, y in zip(left, direction, strict=True))
    covector = (left[0] / scale, left[1] / scale, left[2] / scale)

    even, odd = q * teacher.U / (norm * math.sqrt(teacher.k)), q * teacher.B / norm
    block = np.array([[0.0, even, odd], [even, mass, 0.0], [odd, 0.0, variance]])
    upper = np.linalg.eigvalsh(block)[1:]
    if teacher.k == 1:
        upper = np.linalg.eigvalsh(block[:2, :2])[1:]
    eigenvalues = _listed(
        (-rate, 1),
        (0.0, teacher.p - 1),
        *((float(value), 1) for value in upper),
        (variance, max(teacher.k - 2, 0)),
    )
    return eigenvalues, Unstable(rate, direction, covector)


def _listed(*pairs: tuple[float, int]) -> Eigenvalues:
    return tuple(sorted((value + 0.0, count) for value, count in pairs if count > 0))
