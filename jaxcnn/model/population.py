"""The population loss, its gradient and its sharpness, as pure functions of one student.

Student and teacher share k non-overlapping patches Z_j ~ N(0, I_p) and

    f(Z; v, a) = Σ_j a_j σ(wᵀZ_j),   w = v/‖v‖,   ℓ = ½ E (f − f*)².

With φ the angle between v and w*, u = 1ᵀa, U = 1ᵀa*, s = aᵀa*, and μ, V, D, K′ of the activation
(see `dual`), Theorem 3.1 of Du et al. (ICML 2018) generalises to

    ℓ = ½ [ V ‖a−a*‖² + μ² (u−U)² + 2 D(φ) s ].

This is the theorem's expression for ReLU (V = (π−1)/2π, μ² = 1/2π, D = (π−g)/2π), rearranged so
that it keeps its digits near the global minimum, where the theorem's terms cancel.

Nothing here chooses a dtype: it is that of student and target. `vmap` over either is allowed.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from jaxcnn.base.errors import InputError
from jaxcnn.model.angle import between
from jaxcnn.model.dual import Activation
from jaxcnn.model.teacher import Teacher


class Student(NamedTuple):
    """The parameters that training moves (a gradient has the same form).

    Attributes:
        v: filter before normalisation, shape (p,), not zero.
        a: output weights, shape (k,).
    """

    v: Array
    a: Array


class Target(NamedTuple):
    """The teacher as arrays, possibly padded so that one compilation serves several k.

    Attributes:
        w_star: teacher filter, shape (p,), of length 1.
        a_star: teacher output weights, shape (k,); 0 at padding.
        ones: 1 at real patches and 0 at padding, shape (k,).
    """

    w_star: Array
    a_star: Array
    ones: Array


def target(teacher: Teacher, dtype: DTypeLike | None = None, patches: int | None = None) -> Target:
    """The teacher as arrays for the functions here.

    Args:
        teacher: the teacher.
        dtype: of the arrays; JAX's own default float if not given.
        patches: pad the patches to this many.

    Raises:
        InputError: if `patches` is less than the teacher has.
    """
    size = teacher.k if patches is None else patches
    if size < teacher.k:
        raise InputError("patches", patches, f"must be at least the teacher's k = {teacher.k}")
    padding = (0, size - teacher.k)
    kind = jnp.result_type(float) if dtype is None else dtype
    a_star = jnp.pad(jnp.asarray(teacher.a_star, kind), padding)
    ones = jnp.pad(jnp.ones(teacher.k, kind), padding)
    return Target(jnp.asarray(teacher.w_star, kind), a_star, ones)


def loss(student: Student, target: Target, activation: Activation) -> Array:
    """ℓ(v, a), a scalar; never NaN for v ≠ 0.

    Its derivative by `jax.grad` is `gradient`, at φ = 0 and φ = π too. `jax.hessian` is right
    wherever the Hessian exists; for ReLU that includes both ends.
    """
    gap = target.ones * (student.a - target.a_star)
    s = jnp.dot(student.a, target.a_star)
    deficit = activation.deficit(between(student.v, target.w_star))
    spread = activation.variance * jnp.dot(gap, gap) + activation.mean**2 * jnp.sum(gap) ** 2
    return spread / 2 + deficit * s


def gradient(student: Student, target: Target, activation: Activation) -> Student:
    """∂ℓ/∂v and ∂ℓ/∂a in closed form (Theorem 3.2, for any activation).

        ∂ℓ/∂v = −s K′(cos φ) (I − wwᵀ) w* / ‖v‖
        ∂ℓ/∂a = V (a−a*) + μ² (u−U) 1 + D(φ) a*

    For the step activation, whose loss has a kink at φ = 0 and φ = π, ∂ℓ/∂v is 0 there: the
    mean over directions. Entries at padding are exactly 0.
    """
    angle = between(student.v, target.w_star)
    norm = jnp.linalg.norm(student.v)
    across = target.w_star - angle.cos * (student.v / norm)
    s = jnp.dot(student.a, target.a_star)
    gap = target.ones * (student.a - target.a_star)
    pull = activation.mean**2 * jnp.sum(gap) * target.ones
    return Student(
        v=(-s * activation.derivative(angle) / norm) * across,
        a=activation.variance * gap + pull + activation.deficit(angle) * target.a_star,
    )


def sharpness(student: Student, target: Target, activation: Activation) -> Array:
    """The largest eigenvalue of the Hessian of ℓ in (v, a), anywhere, at the cost of a loss.

    The Hessian leaves a space of four directions alone: v, the one in which φ grows, 1, and the
    part of a* across 1. With F = s (K(1) − K(cos φ)) as a function of φ, r = ‖v‖ and
    B = ‖a* − (U/k) 1‖ it is there, in an orthonormal basis,

        ⎡    0      −F′/r²        0            0    ⎤
        ⎢ −F′/r²    F″/r²    K′ sin φ U/(r√k)  K′ sin φ B/r ⎥
        ⎢    0        ·        V + μ² k        0    ⎥
        ⎣    0        ·           0            V    ⎦

    and elsewhere it is V (in a) and F′ cot φ / r² (in v, p − 2 times). At the kinks of the step
    activation the number has no meaning.

    Args:
        student: the point.
        target: the teacher.
        activation: the activation.
    """
    angle = between(student.v, target.w_star)
    norm = jnp.linalg.norm(student.v)
    s, k = jnp.dot(student.a, target.a_star), jnp.sum(target.ones)
    total = jnp.dot(target.ones, target.a_star)
    slope = activation.derivative(angle)
    first = s * slope * angle.sin / norm**2
    second = s * (slope * angle.cos - activation.bend(angle)) / norm**2
    even = slope * angle.sin / norm * total / jnp.sqrt(k)
    rest = target.a_star - (total / k) * target.ones
    odd = slope * angle.sin / norm * jnp.linalg.norm(rest)
    variance = jnp.full_like(s, activation.variance)
    mass = variance + activation.mean**2 * k
    zero = jnp.zeros_like(s)
    rows = (
        (zero, -first, zero, zero),
        (-first, second, even, odd),
        (zero, even, mass, zero),
        (zero, odd, zero, variance),
    )
    largest: Array = jnp.linalg.eigvalsh(jnp.stack([jnp.stack(row) for row in rows]))[-1]
    if student.v.shape[0] == 2:
        return largest
    return jnp.maximum(largest, s * slope * angle.cos / norm**2)
