r"""Outcomes that are proved, not guessed from a tolerance.

Plain descent on the population loss closes on (φ, s, M, r²) (descent/reduced.py):

    x = c_v s h(φ) sin φ / r²            φ⁺ = |φ − arctan x|,  folded into [0, π];  r² only grows
    s⁺ = (1 − c(g(0)−m)) s + c [(g−m) A + m M]
    M⁺ = (1 − b) M + c U² (g(0) − g),    b = c (g(0) − m + k m)

with c = η/2π. All of this needs c(g(0)−m) ≤ 1, so that s keeps the sign of its source term,
and h ≥ 0, so that g falls as φ grows. Write R(φ) = c U² (g(0)−g(φ)) / b for the rest point
of M at a fixed angle, and R̂ = R(π).

0 < b ≤ 1
  *Global, M ≥ 0.* s > 0, φ < π/2: then g > m, the source of s is positive, s⁺ > 0;
  M⁺ ≥ 0 since g ≤ g(0); φ and arctan x both lie in [0, π/2), so φ⁺ < π/2. The set is never
  left. In it φ → 0: a step that does not shrink makes r² grow by 1 + x², so x → 0, and s stays
  away from 0.
  *Global, M < 0.* s > 0, φ < π/2, (g−m)A + mM > 0 and no overshoot,
  c_v sup(h) max(s, ŝ)/r² ≤ 2 with ŝ = A + m max(M, R̂)/(g(0)−m), a bound on all later s.
  Then x ≤ 2 sin φ, arctan(2 sin φ) ≤ 2φ, so φ⁺ ≤ φ: g does not fall, M⁺ ≥ (1−b)M ≥ M, and the
  source of s stays positive.
  *Spurious.* s < 0, φ > π/2, (m−g)A > m M̄ with M̄ = max(M, R̂), and no overshoot through π:
  c_v sup(h on [φ, π]) max(|s|, š)/r² ≤ 1, š = ((m−g(π))A + m|min(M, 0)|)/(g(0)−m). M stays
  ≤ M̄, |x| ≤ sin(π−φ) ≤ tan(π−φ), so φ grows and stays ≤ π, g falls, s stays negative.
1 < b < 2   (M alternates about its moving rest point; bounds centred there)
  *Global.* R = R(φ), H = max(M, (b−1) max(−M, 0) + bR, R/(2−b)), L = max(−M, (b−1)H):
  −L ≤ M ≤ H is kept while φ falls, so (g−m)A > mL with no overshoot keeps s > 0.
  *Spurious.* M̄ = R̂ + max(|M−R̂|, b (R̂−R)/(2−b)) bounds all later M.
  The bounds on |s| use H and M̄ (and R̂ − (M̄ − R̂) below).

For an odd σ (m = 0, φ = π with −a* the same function) both ends are global minima.

Strict inequalities carry a margin of 64 units in the last place of their terms, so that
rounding of the four scalars cannot make one true. Source: re-derived from Du et al. (ICML
2018), Theorem 4.1 and its proof, which covers the first case only.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.base.outcome import Outcome
from jaxcnn.descent.kernel import DescentKernel

MARGIN_ULPS = 64


class Scalars(NamedTuple):
    """The four scalars of a run: φ, s = aᵀa*, M = U(U−u), r² = ‖v‖²."""

    angle: jax.Array
    s: jax.Array
    m: jax.Array
    r2: jax.Array


class Rates(NamedTuple):
    """What the dynamics see of the teacher and the step size; scalars, one set per cell.

    Attributes:
        c: η/2π for a.
        c_filter: η/2π for v.
        b: c (g(0) − m + k m).
        power: A = ‖a*‖².
        sum2: U² = (1ᵀa*)².
    """

    c: jax.Array
    c_filter: jax.Array
    b: jax.Array
    power: jax.Array
    sum2: jax.Array


def certificate(kernel: DescentKernel, rates: Rates, at: Scalars) -> jax.Array:
    """`Outcome` that is proved from here on, or RUNNING. Pure, scalar, any float dtype."""
    running = jnp.int32(Outcome.RUNNING)
    finite = jnp.isfinite(at.angle) & jnp.isfinite(at.s) & jnp.isfinite(at.m) & jnp.isfinite(at.r2)
    # At b < 2 all four stay bounded: what is not finite there has left the range of the floats.
    lost = jnp.where(rates.b < 2, jnp.int32(Outcome.UNDECIDED), jnp.int32(Outcome.DIVERGED))
    broken = jnp.where(finite, running, lost)
    if not kernel.monotone:
        return broken
    m, gap = kernel.mean, kernel.top - kernel.mean
    c, c_v, b, power, sum2 = rates
    margin = (
        MARGIN_ULPS * float(np.finfo(at.s.dtype).eps) * (kernel.top * power + m * jnp.abs(at.m))
    )
    g = kernel.values(at.angle).g
    size = jnp.abs(at.s)
    rest = c * sum2 * (kernel.top - g) / b
    rest_end = c * sum2 * (kernel.top - kernel.bottom) / b
    gentle = b <= 1

    # Bounds on every later M, from above and from below, on each of the two sides.
    spread = jnp.where(gentle, 1.0, 2 - b)
    high = jnp.maximum(jnp.maximum(at.m, (b - 1) * jnp.maximum(-at.m, 0) + b * rest), rest / spread)
    low = jnp.where(gentle, jnp.maximum(-at.m, 0), jnp.maximum(-at.m, (b - 1) * high))
    high = jnp.where(gentle, jnp.maximum(at.m, rest_end), high)
    far = rest_end + jnp.maximum(jnp.abs(at.m - rest_end), b * (rest_end - rest) / spread)
    far = jnp.where(gentle, jnp.maximum(at.m, rest_end), far)
    under = jnp.where(gentle, jnp.maximum(-at.m, 0), jnp.maximum(far - 2 * rest_end, 0))

    reach = jnp.maximum(size, power + m * high / gap)
    smooth = c_v * kernel.steepest * reach <= 2 * at.r2
    kept = (at.s > 0) & (at.angle < 0.5 * jnp.pi - 1e-6)
    to_global = kept & ((gentle & (at.m >= 0)) | ((power * (g - m) - m * low > margin) & smooth))
    reach = jnp.maximum(size, ((m - kernel.bottom) * power + m * under) / gap)
    smooth = c_v * kernel.steepest_beyond(at.angle) * reach <= at.r2
    to_spurious = (
        (at.s < 0) & (at.angle > 0.5 * jnp.pi) & ((m - g) * power - m * far > margin) & smooth
    )

    proved = finite & (c * gap <= 1) & (b < 2)
    end = Outcome.GLOBAL if kernel.odd else Outcome.SPURIOUS
    code = jnp.where(proved & to_global, jnp.int32(Outcome.GLOBAL), broken)
    return jnp.where(proved & to_spurious, jnp.int32(end), code)
