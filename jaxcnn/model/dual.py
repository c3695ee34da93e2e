"""What the population loss needs to know of an activation.

With weight normalisation the loss sees an activation σ through two numbers and one function of
the angle φ between the filters (X, Y standard normal with correlation cos φ):

    μ = E σ(X),    K(cos φ) = E σ(X) σ(Y)    (the dual kernel),    variance V = K(1) − μ².

Near the global minimum the loss is made of K(1) − K(cos φ) ~ φ², which a subtraction of two
kernels would lose in float32 at φ = 10⁻³; so that difference, the *deficit* D(φ), has its own
closed form. K′ is the derivative with respect to cos φ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray

from jaxcnn.model.angle import Angle, from_angle


class Profile(NamedTuple):
    """K, K(1) − K, K′ and sin²φ K″ on the host, as float64 arrays of one shape."""

    kernel: NDArray[np.float64]
    deficit: NDArray[np.float64]
    derivative: NDArray[np.float64]
    bend: NDArray[np.float64]


@dataclass(frozen=True)
class Activation(ABC):
    """An activation σ with its dual kernel; equal by value and hashable (a static argument).

    All numbers are Python floats, so the dtype of a result is that of the angle.

    Attributes:
        name: the word for it.
        mean: μ = E σ(X).
        square: K(1) = E σ(X)².
        odd: whether σ(−x) = −σ(x); then (−w, −a) is the same function as (w, a).
        degree: d where σ(cx) = c^d σ(x) for every c > 0, or None.
        kinked: whether K′ is infinite at cos φ = ±1, so that the loss has a kink at φ = 0 and π.
    """

    name: str
    mean: float
    square: float
    odd: bool = False
    degree: int | None = None
    kinked: bool = False

    @property
    def variance(self) -> float:
        """V = K(1) − μ², the variance of σ(X)."""
        return self.square - self.mean**2

    @property
    def homogeneous(self) -> bool:
        """Whether the length of the teacher's filter can be moved into a*."""
        return self.degree is not None

    @abstractmethod
    def apply(self, x: Array) -> Array:
        """σ(x), elementwise."""

    @abstractmethod
    def derivative(self, angle: Angle) -> Array:
        """K′(cos φ) = E σ′(X) σ′(Y); where that is infinite (`kinked`, φ = 0 or π), 0."""

    @abstractmethod
    def _kernel(self, angle: Angle) -> Array: ...

    @abstractmethod
    def _deficit(self, angle: Angle) -> Array: ...

    def kernel(self, angle: Angle) -> Array:
        """K(cos φ). Differentiates through `angle.cos` alone, by K′."""
        return _kernel(self, angle)

    def deficit(self, angle: Angle) -> Array:
        """D(φ) = K(1) − K(cos φ) ≥ 0, accurate near φ = 0. Differentiates like `kernel`."""
        return _deficit(self, angle)

    def bend(self, angle: Angle) -> Array:
        """sin²φ K″(cos φ), which stays bounded where K″ does not; 0 at the ends if `kinked`."""
        one = jnp.ones_like(angle.cos)
        along = Angle(-angle.sin, angle.cos, one, -one)
        _, change = jax.jvp(self.derivative, (angle,), (along,))
        bent: Array = -angle.sin * change
        return bent

    def at(self, angle: ArrayLike) -> Profile:
        """The kernel and its relatives on the host in float64, whatever JAX is set to."""
        angles = np.asarray(angle, dtype=np.float64)
        # Few lengths, so that a root search and its grid cost two compilations, not one a call.
        padded = np.zeros(max(16, 1 << max(angles.size - 1, 0).bit_length()))
        padded[: angles.size] = angles.ravel()
        with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
            parts = [np.asarray(part) for part in _profile(self, jnp.asarray(padded))]
        return Profile(*(part[: angles.size].reshape(angles.shape) for part in parts))


@partial(jax.jit, static_argnums=0)
def _profile(activation: Activation, angle: Array) -> tuple[Array, Array, Array, Array]:
    phi = from_angle(angle)
    return (
        activation.kernel(phi),
        activation.deficit(phi),
        activation.derivative(phi),
        activation.bend(phi),
    )


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _kernel(activation: Activation, angle: Angle) -> Array:
    return activation._kernel(angle)


@_kernel.defjvp
def _kernel_jvp(
    activation: Activation, primals: tuple[Angle], tangents: tuple[Angle]
) -> tuple[Array, Array]:
    (angle,), (dot,) = primals, tangents
    return _kernel(activation, angle), activation.derivative(angle) * dot.cos


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _deficit(activation: Activation, angle: Angle) -> Array:
    return activation._deficit(angle)


@_deficit.defjvp
def _deficit_jvp(
    activation: Activation, primals: tuple[Angle], tangents: tuple[Angle]
) -> tuple[Array, Array]:
    (angle,), (dot,) = primals, tangents
    return _deficit(activation, angle), -activation.derivative(angle) * dot.cos
