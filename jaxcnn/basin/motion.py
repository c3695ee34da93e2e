r"""How lanes move, and where they stand relative to the edge state: pure functions.

Lanes are stepped as four arrays φ, s, M, r² by one of two rules: `descent`, the
recurrence of descent/reduced.py, and `flow`, its limit of small steps in the time c·n,

    φ̇ = −κ s h sin φ / r²,   ṡ = −V s + (V − D) A + m M,   Ṁ = −(V + k m) M + U² D,
    D = g(0) − g(φ),   κ = c_v/c,   r² constant,

by eighth-order extrapolation of the midpoint rule (Gragg), in steps as long as the state allows.
At the edge state s = 0, D = D_c, M = M_c = U² D_c/(V + k m), for every r². With q = h sin φ_c the
linear part there has one growing mode, of rate λ > 0 in units of c, and the coordinate along it
that no other mode enters is

    w = (φ − φ_c) + ℓ_s s + ℓ_M (M − M_c),
    λ (λ + V) = (κ q² A/r²) (1 − m ρ/(λ + V + k m)),
    ℓ_s = −κ q/(r² (λ + V)),   ℓ_M = m ℓ_s/(λ + V + k m).

(For the recurrence the multiplier is 1 + cλ; the covector is the same.) All other modes decay
at least as fast as e^(−Vt), so after a while w < 0 is the global side and w > 0 the spurious.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.base.outcome import Outcome
from jaxcnn.basin.problem import Rule
from jaxcnn.descent.certificate import Rates, Scalars, certificate
from jaxcnn.descent.kernel import PI, DescentKernel
from jaxcnn.descent.reduced import step
from jaxcnn.engine.compiling import apart, one_kernel

_SUBSTEPS = (2, 4, 6, 8)
_TURN = 0.4
"""Most that an angle turns, in radians, or a mode grows in one step of the flow."""
_FLOW_CERTIFICATE = 1e-12
"""Step size (in units of the flow's time) at which the flow's certificates are taken."""


class Numbers(NamedTuple):
    """What a lane needs of its problem, scalars in float64.

    Attributes:
        rates: of the recurrence; for the flow those of one unit of time.
        edge_angle: φ_c.
        edge_m: M_c.
        step: time of the longest step of the flow.
        part: of each step of the flow, the part that is taken.
    """

    rates: Rates
    edge_angle: Any
    edge_m: Any
    step: Any
    part: Any


def unstable_coordinate(kernel: DescentKernel, at: Numbers, lanes: Scalars) -> jax.Array:
    """The coordinate w of lanes, at each lane's own r²; see the module."""
    _, h, sin = kernel.values(at.edge_angle)
    q, rates = h * sin, at.rates
    ratio = rates.c_filter / rates.c
    drain, decay = rates.b / rates.c, kernel.top - kernel.mean
    pull = ratio * q * q * rates.power / lanes.r2
    drag = kernel.mean * rates.sum2 / rates.power
    # The excess is convex and positive at the first guess: Newton falls onto the root.
    rate = 2.0 * pull / (decay + jnp.sqrt(decay * decay + 4.0 * pull))

    def newton(_: int, x: jax.Array) -> jax.Array:
        excess = x * (x + decay) - pull * (1.0 - drag / (x + drain))
        return x - excess / (2.0 * x + decay - pull * drag / (x + drain) ** 2)

    rate = lax.fori_loop(0, 12, newton, rate)
    along_s = -ratio * q / (lanes.r2 * (rate + decay))
    along_m = kernel.mean * along_s / (rate + drain)
    w: jax.Array = (lanes.angle - at.edge_angle) + along_s * lanes.s
    w = w + along_m * (lanes.m - at.edge_m)
    return w


def _descend(kernel: DescentKernel, at: Numbers, lanes: Scalars) -> Scalars:
    return step(kernel, at.rates, lanes)


def _slope(kernel: DescentKernel, at: Numbers, lanes: Scalars) -> Scalars:
    g, h, sin = kernel.values(lanes.angle)
    rates = at.rates
    pull = rates.c * ((g - kernel.mean) * rates.power + kernel.mean * lanes.m)
    return Scalars(
        angle=-rates.c_filter * lanes.s * h * sin / lanes.r2,
        s=pull - rates.c * (kernel.top - kernel.mean) * lanes.s,
        m=rates.c * rates.sum2 * (kernel.top - g) - rates.b * lanes.m,
        r2=jnp.zeros_like(lanes.r2),
    )


def _along(lanes: Scalars, time: Any, slope: Scalars) -> Scalars:
    moved: Scalars = jax.tree.map(lambda x, dx: x + time * dx, lanes, slope)
    return moved


def flow_time(kernel: DescentKernel, at: Numbers, s: Any, pull: Any, r2: Any) -> Any:
    """Time of one step of the flow at a state: short where the angle turns fast.

    The angle turns at a rate of at most κ |s| sup h/r², to which ṡ (`pull`) adds while it does,
    and a mode of both grows at one of about √(κ A (g(0) − g(π)) sup h)/r. Smooth, as w must be.
    """
    rates = at.rates
    turn = rates.c_filter / rates.c * kernel.steepest / r2
    most = rates.power * (kernel.top - kernel.bottom)
    fast = (turn * s) ** 2 + turn * jnp.sqrt(pull * pull + most * most)
    return at.part * at.step / jnp.sqrt(1.0 + fast * (at.step / _TURN) ** 2)


def _flow(kernel: DescentKernel, at: Numbers, lanes: Scalars) -> Scalars:
    """One step of order 8: Gragg's midpoint rule with 2, 4, 6, 8 substeps, extrapolated."""
    first = apart(partial(_slope, kernel))(at, lanes)
    time = flow_time(kernel, at, lanes.s, first.s, lanes.r2)
    column: list[Scalars] = []
    for j, count in enumerate(_SUBSTEPS):
        h = time / count

        def substep(_: int, pair: tuple[Scalars, Scalars], h: jax.Array = h) -> Any:
            old, new = pair
            return new, _along(old, 2.0 * h, apart(partial(_slope, kernel))(at, new))

        start = (lanes, _along(lanes, h, first))
        row = [lax.fori_loop(0, count - 1, substep, start)[1]]
        for i in range(j):
            factor = (count / _SUBSTEPS[j - 1 - i]) ** 2 - 1.0
            row.append(
                jax.tree.map(
                    lambda fine, coarse, factor=factor: fine + (fine - coarse) / factor,
                    row[i],
                    column[i],
                )
            )
        column = row
    return column[-1]


def advance(
    kernel: DescentKernel, rule: Rule, at: Numbers, state: jax.Array, early: Any, late: Any
) -> tuple[jax.Array, ...]:
    """`early` steps, then `late` more; see `stepping.Standing`."""
    move = _descend if rule == "descent" else _flow

    def body(_: int, lanes: Scalars) -> Scalars:
        return move(kernel, at, lanes)

    def part(early: Any, late: Any, i: int, carry: tuple[Scalars, jax.Array, jax.Array]) -> Any:
        lanes, _, last = carry
        lanes = lax.fori_loop(0, jnp.where(i == 0, early, late), body, lanes)
        return lanes, last, unstable_coordinate(kernel, at, lanes)

    # One loop over both parts: the step is compiled once.
    def both(lanes: Scalars, early: jax.Array, late: jax.Array) -> Any:
        nowhere = jnp.zeros_like(lanes.angle)
        return lax.fori_loop(0, 2, partial(part, early, late), (lanes, nowhere, nowhere))

    lanes, first, last = one_kernel(both)(Scalars(*state), early, late)
    rates = at.rates
    if rule == "flow":
        small = _FLOW_CERTIFICATE
        rates = rates._replace(
            c=small * rates.c, c_filter=small * rates.c_filter, b=small * rates.b
        )
    proved = certificate(kernel, rates, lanes)
    side = jnp.where((last < 0) & (lanes.s > 0), Outcome.GLOBAL, Outcome.UNDECIDED)
    side = jnp.where((last > 0) & (lanes.s < 0), Outcome.SPURIOUS, side)
    known = proved != Outcome.RUNNING
    label = jnp.where(known, proved, side).astype(jnp.int32)
    return jnp.stack(lanes), first, last, label, known


def edge(kernel: DescentKernel, drop: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The angle with g(0) − g(φ) = drop, by bisection, and q = h sin φ there."""

    def halve(_: int, ends: jax.Array) -> jax.Array:
        middle = 0.5 * (ends[0] + ends[1])
        below = kernel.top - kernel.values(middle).g < drop
        return jnp.stack([jnp.where(below, middle, ends[0]), jnp.where(below, ends[1], middle)])

    ends = lax.fori_loop(0, 60, halve, jnp.stack([jnp.zeros_like(drop), PI * jnp.ones_like(drop)]))
    angle = 0.5 * (ends[0] + ends[1])
    _, h, sin = kernel.values(angle)
    return angle, h * sin
