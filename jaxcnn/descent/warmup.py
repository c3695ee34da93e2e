"""Plain descent on four scalars while the filter's step size rises to its value.

The warm-up of Liu et al. (NeurIPS 2019): a learns while w waits. η_v(t) = η_v min(1, (t+1)/T).
A certificate for η_v holds for every run with steps in (0, η_v] too, since η_v enters its
conditions only as "no overshoot"; so it is asked at the full η_v from the first step on.

The shortcut itself needs nothing more. The student's filter is unit(1/√p + v) with v₀ = 0; a
step of v is the same step of the sum, so this is weight-normalised descent from 1/√p.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn.descent.certificate import Rates, Scalars, certificate
from jaxcnn.descent.kernel import RELU, DescentKernel
from jaxcnn.descent.optimizer import warmup_factor
from jaxcnn.descent.plane import PlaneLaw
from jaxcnn.descent.reduced import step
from jaxcnn.engine.dynamics import Dynamics


class WarmupParams(NamedTuple):
    """Parameters of one cell: rates, plane start law, and the steps T of the warm-up."""

    rates: Rates
    start: Any
    warmup_steps: jax.Array


class WarmupState(NamedTuple):
    """The four scalars and the steps so far (they stop counting at T)."""

    at: Scalars
    age: jax.Array


class WarmupDescent(NamedTuple):
    """Family of reduced descents with a warm-up."""

    law: PlaneLaw
    kernel: DescentKernel = RELU

    def __call__(self, params: WarmupParams) -> Dynamics:
        """`Dynamics` for one cell."""

        def start(key: jax.Array) -> WarmupState:
            return WarmupState(self.law.draw(key, params.start), jnp.int32(0))

        def advance(state: WarmupState) -> WarmupState:
            factor = warmup_factor(params.warmup_steps, state.age)
            rates = params.rates._replace(c_filter=factor * params.rates.c_filter)
            most = params.warmup_steps.astype(jnp.int32)
            return WarmupState(step(self.kernel, rates, state.at), jnp.minimum(state.age + 1, most))

        return Dynamics(
            start,
            advance,
            verdict=lambda state: certificate(self.kernel, params.rates, state.at),
            one_kernel=True,
        )
