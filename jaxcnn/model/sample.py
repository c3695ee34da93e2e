"""The network itself, and the loss on a finite sample of inputs."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from jaxcnn.model.dual import Activation
from jaxcnn.model.population import Student, Target


def forward(inputs: Array, student: Student, activation: Activation) -> Array:
    """f(Z; v, a) = Σ_j a_j σ(vᵀZ_j / ‖v‖).

    Args:
        inputs: patches Z, shape (k, p), or a sample of them, shape (n, k, p).
        student: the parameters.
        activation: σ.

    Returns:
        A scalar, or shape (n,).
    """
    unit = student.v / jnp.linalg.norm(student.v)
    return activation.apply(inputs @ unit) @ student.a


def labels(inputs: Array, target: Target, activation: Activation) -> Array:
    """The teacher's answers f(Z; w*, a*), without noise; shapes as in `forward`."""
    return forward(inputs, Student(target.w_star, target.a_star), activation)


def sampled_loss(student: Student, inputs: Array, answers: Array, activation: Activation) -> Array:
    """½ mean (f(Z_i; v, a) − y_i)² over a sample; its mean over samples is the population loss.

    Args:
        student: the parameters.
        inputs: Z, shape (n, k, p).
        answers: y, shape (n,), from `labels`, with or without noise.
        activation: σ. The step has no derivative that autodiff could see: ∂/∂v is 0.
    """
    return jnp.mean((forward(inputs, student, activation) - answers) ** 2) / 2
