r"""Many runs side by side in float64, and where they stand relative to the edge state.

Lanes are stepped as one (4, lanes) array of (φ, s, M, r²) by one of two rules: `descent`, the
recurrence of descent/reduced.py, and `flow`, its limit of small steps in the time c·n,

    φ̇ = −κ s h sin φ / r²,   ṡ = −V s + (V − D) A + m M,   Ṁ = −(V + k m) M + U² D,
    D = g(0) − g(φ),   κ = c_v/c,   r² constant,

by eighth-order extrapolation of the midpoint rule (Gragg). At the edge state s = 0, D = D_c,
M = M_c = U² D_c/(V + k m), for every r². With q = h sin φ_c the linear part there has one growing
mode, of rate λ > 0 in units of c, and the coordinate along it that no other mode enters is

    w = (φ − φ_c) + ℓ_s s + ℓ_M (M − M_c),
    λ (λ + V) = (κ q² A/r²) (1 − m ρ/(λ + V + k m)),
    ℓ_s = −κ q/(r² (λ + V)),   ℓ_M = m ℓ_s/(λ + V + k m).

(For the recurrence the multiplier is 1 + cλ; the covector is the same.) All other modes decay
at least as fast as e^(−Vt), so after a while w < 0 is the global side and w > 0 the spurious.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from jaxcnn.base.outcome import Outcome
from jaxcnn.basin.problem import Array, Problem, Rule
from jaxcnn.descent.certificate import Rates, Scalars, certificate
from jaxcnn.descent.kernel import PI, DescentKernel
from jaxcnn.descent.reduced import step

LANES = 64
"""Compiled width: a state that stays in the first cache, two chunks for the smallest order."""
_SUBSTEPS = (2, 4, 6, 8)
_FLOW_CERTIFICATE = 1e-12
"""Step size (in units of the flow's time) at which the flow's certificates are taken."""


class Numbers(NamedTuple):
    """What a lane needs of its problem, scalars in float64.

    Attributes:
        rates: of the recurrence; for the flow those of one unit of time.
        edge_angle: φ_c.
        edge_m: M_c.
        step: time of one step of the flow.
    """

    rates: Rates
    edge_angle: Any
    edge_m: Any
    step: Any


class Standing(NamedTuple):
    """Where lanes stand after their steps.

    Attributes:
        state: (φ, s, M, r²), shape (4, …).
        early: w after the first part of the steps.
        late: w after all of them.
        label: `Outcome` proved by then, or by the side of the edge state on which the lane
            moves away from it; UNDECIDED where neither says.
    """

    state: Array
    early: Array
    late: Array
    label: NDArray[np.int32]


def unstable_coordinate(kernel: DescentKernel, at: Numbers, state: jax.Array) -> jax.Array:
    """The coordinate w of lanes (4, lanes), at each lane's own r²; see the module."""
    _, h, sin = kernel.values(at.edge_angle)
    q, rates = h * sin, at.rates
    ratio = rates.c_filter / rates.c
    drain, decay = rates.b / rates.c, kernel.top - kernel.mean
    pull = ratio * q * q * rates.power / state[3]
    drag = kernel.mean * rates.sum2 / rates.power
    # The excess is convex and positive at the first guess: Newton falls onto the root.
    rate = 2.0 * pull / (decay + jnp.sqrt(decay * decay + 4.0 * pull))

    def newton(_: int, x: jax.Array) -> jax.Array:
        excess = x * (x + decay) - pull * (1.0 - drag / (x + drain))
        return x - excess / (2.0 * x + decay - pull * drag / (x + drain) ** 2)

    rate = lax.fori_loop(0, 12, newton, rate)
    along_s = -ratio * q / (state[3] * (rate + decay))
    along_m = kernel.mean * along_s / (rate + drain)
    w: jax.Array = (state[0] - at.edge_angle) + along_s * state[1]
    w = w + along_m * (state[2] - at.edge_m)
    return w


def _descend(kernel: DescentKernel, at: Numbers, state: jax.Array) -> jax.Array:
    lanes = Scalars(state[0], state[1], state[2], state[3])
    return jnp.stack(step(kernel, at.rates, lanes))


def _slope(kernel: DescentKernel, at: Numbers, state: jax.Array) -> jax.Array:
    angle, s, m, r2 = state[0], state[1], state[2], state[3]
    g, h, sin = kernel.values(angle)
    rates = at.rates
    turn = -rates.c_filter * s * h * sin / r2
    pull = rates.c * ((g - kernel.mean) * rates.power + kernel.mean * m)
    pull = pull - rates.c * (kernel.top - kernel.mean) * s
    fill = rates.c * rates.sum2 * (kernel.top - g) - rates.b * m
    return jnp.stack([turn, pull, fill, jnp.zeros_like(r2)])


def _flow(kernel: DescentKernel, at: Numbers, state: jax.Array) -> jax.Array:
    """One step of order 8: Gragg's midpoint rule with 2, 4, 6, 8 substeps, extrapolated."""
    first = _slope(kernel, at, state)
    column: list[jax.Array] = []
    for j, count in enumerate(_SUBSTEPS):
        h = at.step / count

        def advance(_: int, pair: tuple[jax.Array, jax.Array], h: jax.Array = h) -> Any:
            old, new = pair
            return new, old + 2.0 * h * _slope(kernel, at, new)

        _, last = lax.fori_loop(0, count - 1, advance, (state, state + h * first))
        row = [last]
        for i in range(j):
            factor = (count / _SUBSTEPS[j - 1 - i]) ** 2 - 1.0
            row.append(row[i] + (row[i] - column[i]) / factor)
        column = row
    return column[-1]


def _advance(
    kernel: DescentKernel, rule: Rule, at: Numbers, state: jax.Array, early: Any, late: Any
) -> tuple[jax.Array, ...]:
    """`early` steps, then `late` more; see `Standing`."""
    move = _descend if rule == "descent" else _flow

    def body(_: int, lanes: jax.Array) -> jax.Array:
        return move(kernel, at, lanes)

    def part(i: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        lanes, looks = carry
        lanes = lax.fori_loop(0, jnp.where(i == 0, early, late), body, lanes)
        return lanes, looks.at[i].set(unstable_coordinate(kernel, at, lanes))

    # One loop over both parts: the step is compiled once.
    state, looks = lax.fori_loop(0, 2, part, (state, jnp.zeros((2, state.shape[1]))))
    first, last = looks[0], looks[1]
    rates = at.rates
    if rule == "flow":
        small = _FLOW_CERTIFICATE
        rates = rates._replace(
            c=small * rates.c, c_filter=small * rates.c_filter, b=small * rates.b
        )
    proved = certificate(kernel, rates, Scalars(state[0], state[1], state[2], state[3]))
    side = jnp.where((last < 0) & (state[1] > 0), Outcome.GLOBAL, Outcome.UNDECIDED)
    side = jnp.where((last > 0) & (state[1] < 0), Outcome.SPURIOUS, side)
    label = jnp.where(proved == Outcome.RUNNING, side, proved).astype(jnp.int32)
    return state, first, last, label


def _edge(kernel: DescentKernel, drop: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The angle with g(0) − g(φ) = drop, by bisection, and q = h sin φ there."""

    def halve(_: int, ends: jax.Array) -> jax.Array:
        middle = 0.5 * (ends[0] + ends[1])
        below = kernel.top - kernel.values(middle).g < drop
        return jnp.stack([jnp.where(below, middle, ends[0]), jnp.where(below, ends[1], middle)])

    ends = lax.fori_loop(0, 60, halve, jnp.stack([jnp.zeros_like(drop), PI * jnp.ones_like(drop)]))
    angle = 0.5 * (ends[0] + ends[1])
    _, h, sin = kernel.values(angle)
    return angle, h * sin


@contextmanager
def float64() -> Iterator[None]:
    """64-bit types on the CPU, for this thread and block only.

    A scalar recurrence in float64 over some hundred lanes is no work for an accelerator.
    """
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        device = jax.local_devices()[0]
    with jax.enable_x64(True), jax.default_device(device):
        yield


_COMPILED: dict[tuple[DescentKernel, str], Callable[..., Any]] = {}
_COMPILING = threading.Lock()


def _program(kernel: DescentKernel, name: str) -> Callable[..., Any]:
    """The compiled `descent`, `flow` or `edge`: once per process, whatever the numbers."""
    key = (kernel, name)
    with _COMPILING:
        if key not in _COMPILED:
            zero, count = np.float64(0.0), np.int32(0)
            if name == "edge":
                lowered = jax.jit(lambda drop: _edge(kernel, drop)).lower(zero)
            else:
                rule: Rule = "flow" if name == "flow" else "descent"
                at = Numbers(_rates(*[0.0] * 5), zero, zero, zero)
                state = np.zeros((4, LANES))

                def apply(at: Numbers, state: jax.Array, early: Any, late: Any) -> Any:
                    return _advance(kernel, rule, at, state, early, late)

                lowered = jax.jit(apply).lower(at, state, count, count)
            _COMPILED[key] = lowered.compile()
    return _COMPILED[key]


class Stepper:
    """Runs of one problem below its critical ratio, by its rule.

    Attributes:
        problem: the problem.
        edge_angle: φ_c.
        edge_pull: q = h sin φ_c.
        edge_m: M_c.
        edge_rate: λ at ‖v‖ = ‖v₀‖, in units of c.
        settle: steps after which the square of what decays, against what grows, is e^(−36).
        growth: factor from one look at a trial to the next, longer one, such that the
            threshold of the first lies where w is still smooth at the second.
        lane_steps: restart-steps taken so far.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, rule = problem, problem.rule
        kernel = problem.kernel
        with float64():
            angle, pull = _program(kernel, "edge")(np.float64(problem.edge_drop))
        self.edge_angle, self.edge_pull = float(angle), float(pull)
        self.edge_m = problem.total**2 * problem.edge_drop / problem.drain
        unit = problem.c if rule == "descent" else 1.0
        # Steps of the flow resolve the fastest mode, of rate V + k m, to 10⁻¹² a unit of time.
        step = 1.0 if rule == "descent" else min(0.05, 0.5 / problem.drain)
        self.edge_rate, shrink = self._modes()
        grow = max(self.edge_rate, 1e-12)
        speed = (2.0 * shrink + grow) * (unit if rule == "descent" else step)
        self.settle = max(64, int(np.ceil(36.0 / speed)))
        self.growth = 1.0 + min(1.0, shrink / grow)
        self.lane_steps = 0
        rates = _rates(
            unit,
            unit * problem.c_filter / problem.c,
            unit * problem.drain,
            problem.power,
            problem.total**2,
        )
        self._numbers = Numbers(
            rates, np.float64(self.edge_angle), np.float64(self.edge_m), np.float64(step)
        )
        self._workers = max(1, min(_cpus(), 8))

    def _modes(self) -> tuple[float, float]:
        """λ and the slowest decay at the edge state, in units of c; for ‖v‖ = ‖v₀‖."""
        at = self.problem
        q = self.edge_pull
        pull = at.c_filter / at.c * q / at.norm2
        # Rows and columns φ, s, M of the linear part.
        matrix = np.array(
            [
                [0.0, -pull, 0.0],
                [-q * at.power, -at.decay, at.kernel.mean],
                [q * at.total**2, 0.0, -at.drain],
            ]
        )
        modes = np.sort(np.linalg.eigvals(matrix).real)
        return float(modes[2]), -float(modes[1])

    def run(self, state: Array, early: int, late: int) -> Standing:
        """Step lanes of any shape.

        Args:
            state: (φ, s, M, r²), shape (4, …).
            early: steps before the first look.
            late: steps after it.
        """
        shape = state.shape[1:]
        flat = state.reshape(4, -1)
        count = flat.shape[1]
        chunks = [_padded(flat[:, i : i + LANES]) for i in range(0, count, LANES)]

        def work(chunk: Array) -> list[NDArray[Any]]:
            with float64():
                program = _program(self.problem.kernel, self.problem.rule)
                out = program(self._numbers, chunk, np.int32(early), np.int32(late))
                return [np.asarray(x) for x in out]

        if len(chunks) == 1 or self._workers == 1:
            done = [work(chunk) for chunk in chunks]
        else:
            with ThreadPoolExecutor(self._workers) as pool:
                done = list(pool.map(work, chunks))
        self.lane_steps += count * (early + late)
        joined = [np.concatenate(parts, axis=-1)[..., :count] for parts in zip(*done, strict=True)]
        end, first, last, label = joined
        return Standing(
            end.reshape(4, *shape),
            first.reshape(shape),
            last.reshape(shape),
            label.reshape(shape),
        )


def _rates(*values: float) -> Rates:
    return Rates(*(np.float64(value) for value in values))  # type: ignore[arg-type]


def _padded(chunk: Array) -> Array:
    short = LANES - chunk.shape[1]
    return (
        np.pad(chunk, ((0, 0), (0, short)), mode="edge") if short else np.ascontiguousarray(chunk)
    )


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
