r"""Straight-through estimators for the step activation (Yin et al., ICLR 2019).

σ = 1{x > 0} has no useful derivative, so the backward pass uses another one, σ̃′: 1 (identity)
or 1{x > 0} (relu). On the population, with w = v/‖v‖ (σ does not see ‖v‖),

    identity   g_v = (1/√2π) (‖a‖² w − s w*)
    relu       g_v = h/(2√2π) w − cos(φ/2) s/√2π · unit(w + w*),   h = ‖a‖² + u² − uU + s

and v moves along −g_v as it is: neither has the tangent projection of weight normalisation.
The a-part is the true gradient.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn.descent.optimizer import RuleParams
from jaxcnn.model.activation import step
from jaxcnn.model.population import Student, Target, gradient

ROOT = math.sqrt(2 * math.pi)


def coarse_gradient(estimator: str, student: Student, target: Target) -> Student:
    """The population's coarse gradient in v, and the true one in a.

    Args:
        estimator: "identity" or "relu".
        student: (v, a).
        target: the teacher.
    """
    w = student.v / jnp.linalg.norm(student.v)
    square, s = jnp.vdot(student.a, student.a), jnp.vdot(student.a, target.a_star)
    if estimator == "identity":
        v = (square * w - s * target.w_star) / ROOT
    else:
        u, total = jnp.vdot(target.ones, student.a), jnp.vdot(target.ones, target.a_star)
        # cos(φ/2) unit(w + w*) is (w + w*)/2, which has no 0/0 at φ = π.
        h = square + u * u - u * total + s
        v = h / (2 * ROOT) * w - s / (2 * ROOT) * (w + target.w_star)
    return Student(v, gradient(student, target, step()).a)


class StraightThrough(NamedTuple):
    """Coarse gradients of the population."""

    estimator: str

    def prepare(self, key: jax.Array, params: RuleParams) -> tuple[()]:
        """Nothing: the population has no noise."""
        return ()

    def gradient(
        self, params: RuleParams, carried: Any, student: Student, count: jax.Array
    ) -> Student:
        """`coarse_gradient`."""
        return coarse_gradient(self.estimator, student, params.target)
