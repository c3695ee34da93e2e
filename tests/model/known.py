"""The activations the tests go through, and references that share no code with the package."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import erf as scipy_erf

from jaxcnn.model.activation import erf, gelu, leaky_relu, relu, sin, step
from jaxcnn.model.hermite import from_function
from jaxcnn.model.population import Student, Target, gradient, loss

TANH = from_function(jnp.tanh, "tanh")
SOFTPLUS = from_function(jax.nn.softplus, "softplus")

ALL = (relu(), leaky_relu(0.3), leaky_relu(-0.4), step(), erf(), sin(), gelu(), TANH, SOFTPLUS)
SMOOTH_GRADIENT = tuple(activation for activation in ALL if not activation.kinked)

NUMPY = {
    "relu": lambda x: np.maximum(x, 0.0),
    "step": lambda x: (x > 0).astype(float),
    "erf": scipy_erf,
    "sin": np.sin,
    "gelu": lambda x: 0.5 * x * (1.0 + scipy_erf(x / math.sqrt(2.0))),
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(x, 0.0),
}


@partial(jax.jit, static_argnums=2)
def everything(student, goal, activation):
    """Loss, its gradient by autodiff, and the closed gradient; one compilation for all three."""
    value, automatic = jax.value_and_grad(loss)(student, goal, activation)
    return value, automatic, gradient(student, goal, activation)


def identify(activation):
    """A readable test name."""
    slope = getattr(activation, "slope", None)
    return activation.name if slope is None else f"{activation.name}({slope:g})"


def numpy_sigma(activation):
    """σ in plain NumPy."""
    if activation.name == "leaky_relu":
        slope = activation.slope
        return lambda x: np.maximum(x, 0.0) + slope * np.minimum(x, 0.0)
    return NUMPY[activation.name]


def panels(ends, nodes=60):
    """Gauss–Legendre nodes and weights over consecutive intervals."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    ends = np.asarray(ends)
    middle, half = 0.5 * (ends[1:] + ends[:-1]), 0.5 * np.diff(ends)
    return np.ravel(middle[:, None] + half[:, None] * x), np.ravel(half[:, None] * w)


def density(x):
    """Of the standard normal law."""
    return np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def reference_mean(sigma):
    """E σ(X), for a σ that is smooth off 0."""
    x, w = panels((-12.0, -4.0, 0.0, 4.0, 12.0))
    return float(np.sum(w * density(x) * sigma(x)))


def reference_kernel(sigma, angle):
    """E σ(X) σ(Y) by polar quadrature, with rays at every place where a factor is at 0."""
    corners = np.array([0.0, 0.5 * math.pi, math.pi, 1.5 * math.pi, 2.0 * math.pi])
    corners = np.unique(np.concatenate((corners, np.mod(corners[:-1] + angle, 2.0 * math.pi))))
    theta, around = panels(corners, 30)
    radius, out = panels((0.0, 4.0, 12.0))
    x = radius[:, None] * np.cos(theta)
    y = radius[:, None] * np.cos(theta - angle)
    weight = (radius * np.exp(-0.5 * radius**2) * out)[:, None] * around / (2.0 * math.pi)
    return float(np.sum(weight * sigma(x) * sigma(y)))


def problem(k, p, seed, dtype=np.float64):
    """A random student and a random target."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=p)
    arrays = rng.normal(size=p), rng.normal(size=k), w / np.linalg.norm(w), rng.normal(size=k)
    v, a, w_star, a_star = (jnp.asarray(x, dtype) for x in arrays)
    return Student(v, a), Target(w_star, a_star, jnp.ones(k, dtype))


def filter_at(angle, w_star, norm=1.0):
    """A filter at this angle to w*, exactly along it at 0 and π."""
    side = np.zeros_like(w_star)
    side[int(np.argmin(np.abs(w_star)))] = 1.0
    side -= (side @ w_star) * w_star
    side /= np.linalg.norm(side)
    sine = 0.0 if angle in (0.0, math.pi) else math.sin(angle)
    return norm * (math.cos(angle) * w_star + sine * side)
