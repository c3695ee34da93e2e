"""Outcomes by tolerance, where nothing is proved: other optimizers, finite samples, noise.

A run is *at* the global minimum while its angle is within `angle_tolerance` of 0 (for an odd
activation: of 0 or π) and its population loss within `loss_tolerance` · ‖a*‖²/2 of 0; *at* a
spurious minimum while both are as near to that minimum's angle and loss. With t the steps so
far, the run has

    arrived (GLOBAL, SPURIOUS)   if it has been there without a break for max(64, t/4) steps;
    settled elsewhere (OTHER)    if it is at neither, and its best loss has not improved by
                                 1 % between t/4 and t ≥ 4 `patience`, nor, beyond π/2, π − φ
                                 changed by a tenth (descent arrives at φ = π like 1/t);
    DIVERGED                     if its loss is not finite or above 10¹² ‖a*‖².

The patience is at least 1024 steps, and as long as a slow run may stand beside the edge state:
from there it leaves like e^(λt), and the start was not nearer to the separatrix than e^(−18).

Staying, not passing: a rule with velocity passes by, and identity straight-through steps leave
the spurious point again.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn.base.outcome import Outcome

DWELL = 64
PATIENCE = 1024
"""Steps that a run is given whatever its step size."""
ENOUGH = 0.01
BEYOND = 1e12
NO_PLACE = 1e9
"""Angle of a spurious minimum that does not exist."""


class Goal(NamedTuple):
    """What counts as having arrived; numbers, one set per cell.

    Attributes:
        power: A = ‖a*‖².
        angle_tolerance: radians.
        loss_tolerance: times A/2.
        spurious_angle: φ of the minima that are not global, (2,); `NO_PLACE` where there is none.
        spurious_loss: their loss, (2,).
        twin: 1 if φ = π is a global minimum for this teacher (the step at U = 0), else 0.
        quiet: steps before which nothing counts (the noise is on).
        patience: steps before which a run that stands still is not looked at.
    """

    power: jax.Array
    angle_tolerance: jax.Array
    loss_tolerance: jax.Array
    spurious_angle: jax.Array
    spurious_loss: jax.Array
    twin: jax.Array
    quiet: jax.Array
    patience: jax.Array


class Track(NamedTuple):
    """What a run remembers of its way, to know whether it still moves.

    Attributes:
        age: steps so far.
        place: `Outcome` value of where it is, RUNNING if nowhere.
        since: step at which it came there.
        best: least loss so far.
        mark: `best` at the last power of two of `age` at which the run had moved.
        mark_rest: π − φ there.
        idle: powers of two passed since.
    """

    age: jax.Array
    place: jax.Array
    since: jax.Array
    best: jax.Array
    mark: jax.Array
    mark_rest: jax.Array
    idle: jax.Array


def begin(dtype: jnp.dtype) -> Track:
    """The track of a run that has not moved."""
    zero = jnp.int32(0)
    most = jnp.asarray(jnp.inf, dtype)
    return Track(zero, zero, zero, most, most, jnp.asarray(0, dtype), zero)


def place(goal: Goal, angle: jax.Array, loss: jax.Array, odd: bool) -> jax.Array:
    """Where a run is now: GLOBAL, SPURIOUS, DIVERGED, or RUNNING for none of these."""
    near = goal.loss_tolerance * goal.power / 2
    off = jnp.where(odd | (goal.twin > 0), jnp.minimum(angle, jnp.pi - angle), angle)
    at_global = (off <= goal.angle_tolerance) & (loss <= near)
    at_spurious = jnp.any(
        (jnp.abs(angle[None] - goal.spurious_angle) <= goal.angle_tolerance)
        & (jnp.abs(loss[None] - goal.spurious_loss) <= near)
    )
    lost = ~(loss <= BEYOND * goal.power)
    code = jnp.where(at_spurious, jnp.int32(Outcome.SPURIOUS), jnp.int32(Outcome.RUNNING))
    code = jnp.where(at_global, jnp.int32(Outcome.GLOBAL), code)
    return jnp.where(lost, jnp.int32(Outcome.DIVERGED), code)


def follow(goal: Goal, track: Track, angle: jax.Array, loss: jax.Array, odd: bool) -> Track:
    """The track after one more step, which led to this angle and loss."""
    count = track.age + 1
    here = place(goal, angle, loss, odd)
    loud = count <= goal.quiet
    here = jnp.where(loud & (here != Outcome.DIVERGED), jnp.int32(Outcome.RUNNING), here)
    best = jnp.minimum(track.best, loss)
    rest = jnp.pi - angle
    window = (count >= goal.patience) & ((count & (count - 1)) == 0)
    turned = (angle > jnp.pi / 2) & (jnp.abs(rest - track.mark_rest) > 0.1 * rest)
    moved = (best < (1 - ENOUGH) * track.mark) | turned | loud
    fresh = window & moved
    idle = jnp.where(window, jnp.where(moved, 0, track.idle + 1), track.idle)
    return Track(
        age=count,
        place=here,
        since=jnp.where(here == track.place, track.since, count),
        best=best,
        mark=jnp.where(fresh, best, track.mark),
        mark_rest=jnp.where(fresh, rest, track.mark_rest),
        idle=idle.astype(jnp.int32),
    )


def verdict(track: Track) -> jax.Array:
    """The `Outcome` of a run with this track, or RUNNING."""
    running = jnp.int32(Outcome.RUNNING)
    stay = jnp.maximum(DWELL, track.age // 4)
    there = (track.place == Outcome.GLOBAL) | (track.place == Outcome.SPURIOUS)
    arrived = there & (track.age - track.since >= stay)
    settled = ~there & (track.idle >= 2)
    code = jnp.where(settled, jnp.int32(Outcome.OTHER), running)
    code = jnp.where(arrived, track.place, code)
    return jnp.where(track.place == Outcome.DIVERGED, jnp.int32(Outcome.DIVERGED), code)
