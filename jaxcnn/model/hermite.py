"""The dual kernel of a user's own activation, from its Hermite series.

With orthonormal Hermite polynomials hₙ and cₙ = E σ(X) hₙ(X), Mehler's formula gives

    K(ρ) = Σ cₙ² ρⁿ,    K′(ρ) = Σ n cₙ² ρⁿ⁻¹,    K(1) − K(ρ) = (1−ρ) Σₘ ρᵐ Σ_{n>m} cₙ².

The cₙ come from Gauss–Hermite quadrature. They fall fast when σ is smooth. A kink makes n cₙ²
fall like n^(−3/2) and a jump like n^(−1/2), which no truncation mends: such a σ is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jaxcnn.base.errors import InputError
from jaxcnn.model.angle import Angle, versine
from jaxcnn.model.dual import Activation

ACCURACY = 1e-8
"""Largest accepted error of K′, relative to E σ′(X)²; smooth activations do far better."""

_NODES = 256
_TERMS = 128
_PARITY = 1e-20


@dataclass(frozen=True)
class Series(Activation):
    """An activation known by a function and the squares of its Hermite coefficients.

    Attributes:
        sigma: the function, elementwise on JAX arrays.
        squares: c₀², c₁², …
    """

    sigma: Callable[[Array], Array] = jnp.asarray
    squares: tuple[float, ...] = ()

    def apply(self, x: Array) -> Array:
        """σ(x), elementwise."""
        return self.sigma(x)

    def derivative(self, angle: Angle) -> Array:
        """K′(cos φ) = Σ n cₙ² cosⁿ⁻¹φ."""
        return _polynomial([n * c for n, c in enumerate(self.squares)][1:], angle.cos)

    def _kernel(self, angle: Angle) -> Array:
        return _polynomial(self.squares, angle.cos)

    def _deficit(self, angle: Angle) -> Array:
        tails = np.cumsum(self.squares[::-1])[::-1]
        return versine(angle) * _polynomial([float(tail) for tail in tails[1:]], angle.cos)


def from_function(sigma: Callable[[Array], Array], name: str = "custom") -> Activation:
    """An activation from a smooth function of one variable.

    K and K′ are right to 10⁻⁸ of E σ(X)² and E σ′(X)², or the function is refused; for tanh,
    sigmoid, softplus or x·sigmoid(x) they are right to about 10⁻¹³. Two activations are equal
    if they come from the same function object, so make one and keep it: each new one is
    compiled anew.

    Args:
        sigma: elementwise, written with `jax.numpy`; defined on [−32, 32] at least.
        name: what to call it.

    Raises:
        InputError: if sigma does not return finite real numbers of its argument's shape, is
            constant, or is not smooth enough (kinks, jumps, or slopes much above those of tanh).
    """
    fine, coarse = _coefficients(sigma, _NODES), _coefficients(sigma, _NODES * 3 // 4)
    order = np.arange(_TERMS)
    weighted = order * fine**2
    total = float(weighted.sum())
    if total <= _PARITY * float(np.sum(fine**2)):
        raise InputError("sigma", name, "must not be constant")
    unresolved = float(weighted[_TERMS // 2 :].sum() + np.abs(weighted - order * coarse**2).sum())
    if not unresolved <= ACCURACY * total:
        how = f"its Hermite series is off by {unresolved / total:.1g}, more than {ACCURACY:g}"
        raise InputError(
            "sigma", name, f"must be smooth, without kinks, jumps or steep rises: {how}"
        )
    squares = fine**2
    squares[0::2] *= squares[0::2].sum() > _PARITY * squares.sum()
    squares[1::2] *= squares[1::2].sum() > _PARITY * squares.sum()
    left = np.cumsum(weighted[::-1])[::-1]
    used = int(np.count_nonzero(left > 1e-17 * total))
    odd = not squares[0::2].any()
    return Series(
        name,
        mean=0.0 if squares[0] == 0.0 else float(fine[0]),
        square=math.fsum(squares[:used]),
        odd=odd,
        sigma=sigma,
        squares=tuple(float(c) for c in squares[:used]),
    )


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    total = jnp.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def _coefficients(sigma: Callable[[Array], Array], nodes: int) -> NDArray[np.float64]:
    """c₀ … by Gauss–Hermite quadrature with this many nodes."""
    from scipy.special import roots_hermitenorm  # slow to import, and seldom needed

    x, weights = roots_hermitenorm(nodes)
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        values = np.asarray(sigma(jnp.asarray(x)))
    if values.shape != x.shape or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise InputError("sigma", sigma, "must map an array to finite real numbers, elementwise")
    weighted = values.astype(np.float64) * weights / math.sqrt(2.0 * math.pi)
    before, here = np.zeros_like(x), np.ones_like(x)
    found = np.empty(_TERMS)
    for n in range(_TERMS):
        found[n] = here @ weighted
        before, here = here, (x * here - math.sqrt(n) * before) / math.sqrt(n + 1)
    return found
