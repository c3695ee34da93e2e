"""The float64 polynomials of the kernel against many digits."""

import jax
import mpmath
import numpy as np

from jaxcnn.descent.kernel import arctan, sin_cos

TINY = np.logspace(-15, -0.1, 60)


def in_units_of_the_last_place(values, truths):
    worst = 0.0
    for value, truth in zip(np.asarray(values), truths, strict=True):
        unit = mpmath.mpf(float(np.spacing(max(abs(float(truth)), 1e-300))))
        worst = max(worst, abs(float((mpmath.mpf(float(value)) - truth) / unit)))
    return worst


def test_sine_cosine_and_arctangent_to_two_units():
    with mpmath.workprec(200):
        angle = np.concatenate(
            [np.linspace(0, np.pi, 500), TINY, np.pi - TINY, np.pi / 2 + TINY, np.pi / 2 - TINY]
        )
        angle = np.clip(angle, 0.0, np.pi)
        sin, cos = jax.jit(sin_cos)(angle)
        exact = [mpmath.mpf(float(x)) for x in angle]
        assert in_units_of_the_last_place(sin, [mpmath.sin(x) for x in exact]) <= 2.0
        assert in_units_of_the_last_place(cos, [mpmath.cos(x) for x in exact]) <= 2.0
        x = np.concatenate([np.linspace(-4, 4, 801), TINY, 1 / TINY, -TINY])
        exact = [mpmath.atan(mpmath.mpf(float(value))) for value in x]
        assert in_units_of_the_last_place(jax.jit(arctan)(x), exact) <= 2.0
