"""What the engine runs: one restart, as three pure functions."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeAlias

import jax

State: TypeAlias = Any
Params: TypeAlias = Any


class Dynamics(NamedTuple):
    """One restart of one experiment, as pure functions of one (unbatched) state.

    Attributes:
        start: restart key → state. Everything random about the restart comes from this key;
            a rule that needs noise later keeps a key derived from it in the state.
        step: state → state, one step of the rule. The tree, shapes and dtypes stay the same.
        verdict: state → scalar integer, an `Outcome` value; `Outcome.RUNNING` (0) goes on.
            It must send non-finite states to `Outcome.DIVERGED`, or they run to the limit.
        stride: (state, n) → state, what n calls of `step` give, to rounding, where that can be
            had for less; None for n calls of `step`.
        lanes_last: `step`, `stride` and `verdict` also take many states at once, with the lanes
            in the last axis of every leaf, and mean the same; `vmap` would put the lanes first,
            where vectors with parameters of their own need a transposition at every step.
        one_kernel: what is done to runs may be joined to kernels of a CPU, as far as it fits into
            them (engine/compiling.py). Only for dynamics that tests have run so: for others the
            compiler may end the process.
    """

    start: Callable[[jax.Array], State]
    step: Callable[[State], State]
    verdict: Callable[[State], jax.Array]
    stride: Callable[[State, jax.Array], State] | None = None
    lanes_last: bool = False
    one_kernel: bool = False


def kind_of(family: Family) -> Hashable:
    """What tells a family from others: named tuples of two types with equal members are equal."""
    return type(family), family


Family: TypeAlias = Callable[[Params], Dynamics]
"""Parameters (a tree of arrays) → `Dynamics`. Hashable: a family is compiled once, and its
parameters are data, so that a whole grid of cells shares one compilation."""
