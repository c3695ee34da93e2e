"""The activations whose dual kernel has a closed form, and the one place with their names.

Sources: Cho & Saul (2009) for ReLU and the step (arc-cosine kernels), Williams (1997) for erf.
Leaky ReLU, sine and GELU are derived where they stand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
from jax import Array

from jaxcnn.base.checks import real
from jaxcnn.base.errors import InputError
from jaxcnn.model.angle import Angle, lune, reciprocal, versine
from jaxcnn.model.dual import Activation

__all__ = ["Activation", "activation", "erf", "gelu", "leaky_relu", "relu", "sin", "step"]

TWO_PI = 2.0 * math.pi


class _Relu(Activation):
    """max(x, 0): K = g/2π with g(φ) = (π−φ) cos φ + sin φ, K′ = (π−φ)/2π."""

    def apply(self, x: Array) -> Array:
        return jax.nn.relu(x)

    def derivative(self, angle: Angle) -> Array:
        return angle.supplement / TWO_PI

    def _kernel(self, angle: Angle) -> Array:
        return lune(angle.supplement, angle.sin, -angle.cos) / TWO_PI

    def _deficit(self, angle: Angle) -> Array:
        return versine(angle) / 2 - lune(angle.angle, angle.sin, angle.cos) / TWO_PI


@dataclass(frozen=True)
class _LeakyRelu(Activation):
    """max(x, 0) + α min(x, 0) = relu(x) − α relu(−x): 2πK = (1+α²) g(φ) − 2α g(π−φ)."""

    slope: float = 0.0

    def apply(self, x: Array) -> Array:
        return jax.nn.leaky_relu(x, self.slope)

    def derivative(self, angle: Angle) -> Array:
        both = 1.0 + self.slope**2
        return (both * angle.supplement + 2.0 * self.slope * angle.angle) / TWO_PI

    def _kernel(self, angle: Angle) -> Array:
        near = lune(angle.angle, angle.sin, angle.cos)
        far = lune(angle.supplement, angle.sin, -angle.cos)
        return ((1.0 + self.slope**2) * far - 2.0 * self.slope * near) / TWO_PI

    def _deficit(self, angle: Angle) -> Array:
        near = lune(angle.angle, angle.sin, angle.cos) / TWO_PI
        return (1.0 + self.slope**2) * versine(angle) / 2 - (1.0 - self.slope) ** 2 * near


class _Step(Activation):
    """1{x > 0}: K = (π−φ)/2π, K′ = 1/(2π sin φ)."""

    def apply(self, x: Array) -> Array:
        return jnp.where(x > 0, jnp.ones_like(x), jnp.zeros_like(x))

    def derivative(self, angle: Angle) -> Array:
        return reciprocal(angle.sin) / TWO_PI

    def _kernel(self, angle: Angle) -> Array:
        return angle.supplement / TWO_PI

    def _deficit(self, angle: Angle) -> Array:
        return angle.angle / TWO_PI


def _arcsine_gap(angle: Angle, a: float) -> Array:
    """The gap asin a − asin(a cos φ), by tan((α−β)/2) = (sin α − sin β)/(cos α + cos β)."""
    below = math.sqrt(1.0 - a * a) + jnp.sqrt(1 - (a * angle.cos) ** 2)
    return 2 * jnp.arctan(a * versine(angle) / below)


class _Erf(Activation):
    """erf(x): K = (2/π) asin(⅔ cos φ)."""

    def apply(self, x: Array) -> Array:
        return jax.scipy.special.erf(x)

    def derivative(self, angle: Angle) -> Array:
        return (4.0 / math.pi) / jnp.sqrt(9 - 4 * angle.cos**2)

    def _kernel(self, angle: Angle) -> Array:
        return (2.0 / math.pi) * jnp.arcsin((2.0 / 3.0) * angle.cos)

    def _deficit(self, angle: Angle) -> Array:
        return (2.0 / math.pi) * _arcsine_gap(angle, 2.0 / 3.0)


class _Sin(Activation):
    """sin x: 2K = E cos(X−Y) − E cos(X+Y) = 2 e⁻¹ sinh(cos φ)."""

    def apply(self, x: Array) -> Array:
        return jnp.sin(x)

    def derivative(self, angle: Angle) -> Array:
        return math.exp(-1.0) * jnp.cosh(angle.cos)

    def _kernel(self, angle: Angle) -> Array:
        return math.exp(-1.0) * jnp.sinh(angle.cos)

    def _deficit(self, angle: Angle) -> Array:
        half = jnp.sinh(versine(angle) / 2)
        return 2.0 * math.exp(-1.0) * jnp.cosh((1 + angle.cos) / 2) * half


class _Gelu(Activation):
    """x Φ(x), Φ the normal distribution function and ϕ its density.

    Stein's identity in X and then in Y leaves K = ρ E Φ(X)Φ(Y) + E ϕ(X)ϕ(Y) with ρ = cos φ: the
    two other terms cancel. The first is an orthant probability at correlation ρ/2, the second a
    Gaussian integral: K = ρ (¼ + asin(ρ/2)/2π) + 1/(2π √(4−ρ²)).
    """

    def apply(self, x: Array) -> Array:
        return jax.nn.gelu(x, approximate=False)

    def derivative(self, angle: Angle) -> Array:
        rest = 4 - angle.cos**2
        arc = jnp.arcsin(angle.cos / 2) + angle.cos * (1 + 1 / rest) / jnp.sqrt(rest)
        return 0.25 + arc / TWO_PI

    def _kernel(self, angle: Angle) -> Array:
        arc = angle.cos * jnp.arcsin(angle.cos / 2)
        return angle.cos / 4 + (arc + 1 / jnp.sqrt(4 - angle.cos**2)) / TWO_PI

    def _deficit(self, angle: Angle) -> Array:
        short = versine(angle)
        root = jnp.sqrt(4 - angle.cos**2)
        three = math.sqrt(3.0)
        arc = _arcsine_gap(angle, 0.5) + short * jnp.arcsin(angle.cos / 2)
        return short / 4 + (arc + angle.sin**2 / (three * root * (three + root))) / TWO_PI


def relu() -> Activation:
    """max(x, 0), the paper's activation."""
    return _Relu("relu", mean=1.0 / math.sqrt(TWO_PI), square=0.5, degree=1)


def leaky_relu(slope: float = 0.01) -> Activation:
    """max(x, 0) + slope · min(x, 0), with slope in (−1, 1)."""
    alpha = real("slope", slope, -1.0, 1.0, ends=False)
    mean, square = (1.0 - alpha) / math.sqrt(TWO_PI), (1.0 + alpha**2) / 2.0
    return _LeakyRelu("leaky_relu", mean=mean, square=square, degree=1, slope=alpha)


def step() -> Activation:
    """1{x > 0}."""
    return _Step("step", mean=0.5, square=0.5, degree=0, kinked=True)


def erf() -> Activation:
    """The error function."""
    return _Erf("erf", mean=0.0, square=(2.0 / math.pi) * math.asin(2.0 / 3.0), odd=True)


def sin() -> Activation:
    """The sine."""
    return _Sin("sin", mean=0.0, square=math.exp(-1.0) * math.sinh(1.0), odd=True)


def gelu() -> Activation:
    """The Gaussian error linear unit x Φ(x), exact (not the tanh approximation)."""
    square = 1.0 / 3.0 + 1.0 / (TWO_PI * math.sqrt(3.0))
    return _Gelu("gelu", mean=0.5 / math.sqrt(math.pi), square=square)


@lru_cache(maxsize=64)  # a grid asks for the same one for every cell
def activation(name: str, slope: float = 0.01) -> Activation:
    """The activation with this name; `slope` is that of leaky_relu and unused by the others.

    Raises:
        InputError: for an unknown name or, with leaky_relu, a slope outside (−1, 1).
    """
    if name == "leaky_relu":
        return leaky_relu(slope)
    table = {"relu": relu, "step": step, "erf": erf, "sin": sin, "gelu": gelu}
    if name not in table:
        words = ", ".join(sorted((*table, "leaky_relu")))
        raise InputError("activation", name, f"must be one of {words}, or use from_function")
    return table[name]()
