"""One launch: a list of tasks (a cell and a closed range of restart indices) run to its outcomes.

`vmap` of a `while_loop` would run every lane until the slowest is done. Here a lane that has
its verdict hands its outcome over and takes the next restart index, on the device:

    start pool ──► lanes: `check_every` steps, verdict, repeat until a sixteenth is done
        ▲              │
        └── refill ◄── retire (outcome and steps to the restart's slot)

A start that is decided when it is drawn is retired then and takes no lane.

When no restart is left to start, the lanes that still run are moved together and advanced
block by block, no more blocks than hold them, so that the tail (starts beside the separatrix)
is not paid at full width.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial, update_wrapper
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn.engine.compiling import NO_LIBRARY, ONE_THREAD, Function, one_kernel
from jaxcnn.engine.dynamics import Family, kind_of
from jaxcnn.engine.lanes import (
    RUNNING,
    UNDECIDED,
    Landed,
    LaneProgram,
    Lanes,
    LaneSettings,
    Results,
    Starts,
    Work,
    slots_of,
)
from jaxcnn.engine.moving import move, places


def tail_block(width: int) -> int:
    """Lanes advanced at once in the tail: 32, or a thirty-second of 2048 and more."""
    best = max(32, width // 2048 * 64)
    return next((block for block in (best, 64, 32) if width % block == 0), width)


def refill_block(width: int) -> int:
    """Most lanes refilled at once: a quarter of them."""
    return max(1, width // 4)


class _Pool(NamedTuple):
    """Starts; `waiting` are the places of the `left` that are not yet decided."""

    starts: Starts
    waiting: jax.Array
    left: jax.Array


class _Filling(NamedTuple):
    """The wide stage: lanes, and how many of the pool's starts they took."""

    lanes: Lanes
    used: jax.Array
    tick: jax.Array
    results: Results


class _Draining(NamedTuple):
    """The tail: lanes, the verdicts taken of a block of them, and results."""

    lanes: Lanes
    checks: jax.Array
    results: Results


def _together(program: LaneProgram, function: Function) -> Function:
    """The function as one kernel, if all that it does with lanes can be in one."""
    return one_kernel(function) if program.joins_steps else function


def _running(lanes: Lanes) -> jax.Array:
    return jnp.sum(lanes.code == RUNNING, dtype=jnp.int32)


def _run_down(
    program: LaneProgram, lanes: Lanes, tick: jax.Array, floor: jax.Array
) -> tuple[Lanes, jax.Array]:
    """Advance until no more than `floor` lanes run."""

    def going(c: tuple[Lanes, jax.Array]) -> jax.Array:
        return _running(c[0]) > floor

    def body(c: tuple[Lanes, jax.Array]) -> tuple[Lanes, jax.Array]:
        return program.advance(c[0], c[1] + 1), c[1] + 1

    return lax.while_loop(going, body, (lanes, tick))


def _retire(results: Results, lanes: Lanes, index: jax.Array, count: jax.Array) -> Results:
    """Write the first `count` of the lanes at `index` to their slots."""
    ended = Results(lanes.code.astype(jnp.uint8), lanes.age.astype(jnp.uint32))
    written: Results = move(ended, index, results, lanes.slot[index], count)
    return written


def _retire_all(results: Results, lanes: Lanes) -> Results:
    """Write all lanes that have ended; what an empty one holds goes behind the last slot."""
    index, count = places(lanes.code != RUNNING, lanes.code.shape[0])
    return _retire(results, lanes, index, count)


def _stock(program: LaneProgram, first: jax.Array, results: Results) -> tuple[_Pool, Results]:
    """Draw a pool; starts that are already decided end at age 0, before any step.

    Their codes go to the slots of the pool all at once; who runs writes his own again.
    """
    starts = program.draw(first)
    codes = program.first_codes(starts)
    ages = jnp.zeros(program.settings.width, jnp.uint32)
    results = Results(
        lax.dynamic_update_slice(results.outcomes, codes.astype(jnp.uint8), (first,)),
        lax.dynamic_update_slice(results.steps, ages, (first,)),
    )
    waiting, left = places(codes == RUNNING, program.settings.width)
    return _Pool(starts, waiting, left), results


def _refill(program: LaneProgram, pool: _Pool, c: _Filling) -> _Filling:
    """Retire up to a block of finished lanes and put starts from the pool in their place."""
    block = refill_block(program.settings.width)
    index, done = places(c.lanes.code != RUNNING, block)
    count = jnp.minimum(done, pool.left - c.used)
    results = _retire(c.results, c.lanes, index, count)
    next_ones = jnp.take(pool.waiting, c.used + jnp.arange(block), mode="clip")
    zero = jnp.zeros_like(c.lanes.age)
    fresh = Lanes(*pool.starts, born=zero + c.tick, code=zero + RUNNING, age=zero)
    lanes = move(fresh, next_ones, c.lanes, index, count)
    return c._replace(lanes=lanes, used=c.used + count, results=results)


def _fill(program: LaneProgram, into: Results) -> tuple[_Filling, jax.Array]:
    """The wide stage: until no restart is left to start and half of the lanes are done.

    Returns:
        How it ended, and how many starts were drawn.
    """
    width = program.settings.width
    threshold = width - max(1, width // 16)
    rest = width // 2 if tail_block(width) < width else 0

    def use(filling: _Filling, pool: _Pool, floor: jax.Array) -> _Filling:
        filling = filling._replace(used=jnp.int32(0))

        def unfinished(c: _Filling) -> jax.Array:
            return (c.used < pool.left) | (_running(c.lanes) > floor)

        def body(c: _Filling) -> _Filling:
            c = _refill(program, pool, c)
            enough = jnp.where(c.used < pool.left, threshold, floor)
            lanes, tick = _run_down(program, c.lanes, c.tick, enough)
            return c._replace(lanes=lanes, tick=tick)

        used: _Filling = lax.while_loop(unfinished, body, filling)
        return used

    def one_pool(c: tuple[_Filling, jax.Array]) -> tuple[_Filling, jax.Array]:
        filling, drawn = c
        pool, results = _stock(program, drawn, filling.results)
        drawn = drawn + width
        # With starts in the pool the lanes are full: run until a sixteenth is done. With more
        # to draw the lanes may not be: do not run. With nothing left: run the tail down.
        floor = jnp.where(drawn < program.total, width, rest)
        filling = filling._replace(results=results)
        return _together(program, use)(filling, pool, floor), drawn

    shapes = jax.eval_shape(program.draw, jnp.int32(0))
    none: Starts = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    none = none._replace(slot=none.slot + slots_of(program.settings))
    zero = jnp.zeros_like(none.slot)
    idle = Lanes(*none, born=zero, code=zero + UNDECIDED, age=zero)
    start = (_Filling(idle, jnp.int32(0), jnp.int32(0), into), jnp.int32(0))
    filling, drawn = lax.while_loop(lambda c: c[1] < program.total, one_pool, start)
    results = _retire_all(filling.results, filling.lanes)
    return filling._replace(results=results), drawn


def _drain(program: LaneProgram, lanes: Lanes, tick: jax.Array, results: Results) -> _Draining:
    """The tail, by blocks: each goes on alone until a quarter of its lanes has ended; repeat.

    A block has a clock of its own. When it is put back, its lanes were born as much earlier as
    it went on, so that ages count from the one `tick` of the whole tail.
    """
    width, block = program.settings.width, tail_block(program.settings.width)

    def gather(lanes: Lanes) -> tuple[Lanes, jax.Array]:
        order = jnp.arange(width, dtype=jnp.int32)
        index, count = places(lanes.code == RUNNING, width)
        lanes = move(lanes, index, lanes, order, count)
        held = order < count
        slot = jnp.where(held, lanes.slot, slots_of(program.settings))
        return lanes._replace(slot=slot, code=jnp.where(held, lanes.code, UNDECIDED)), count

    def turn(c: _Draining) -> _Draining:
        lanes, count = gather(c.lanes)
        blocks = (count + block - 1) // block
        floor = jnp.where(blocks > 1, 3 * block // 4, 0)

        def one(i: jax.Array, c: tuple[Lanes, jax.Array]) -> tuple[Lanes, jax.Array]:
            lanes, checks = c
            part: Lanes = jax.tree.map(
                lambda x: lax.dynamic_slice_in_dim(x, i * block, block, axis=-1), lanes
            )
            part, end = _run_down(program, part, tick, floor)
            part = part._replace(born=part.born - (end - tick))
            lanes = jax.tree.map(
                lambda x, y: lax.dynamic_update_slice_in_dim(x, y, i * block, axis=-1), lanes, part
            )
            return lanes, checks + (end - tick)

        lanes, checks = lax.fori_loop(0, blocks, one, (lanes, c.checks))
        return _Draining(lanes, checks, _retire_all(c.results, lanes))

    def drain(lanes: Lanes, results: Results) -> _Draining:
        start = _Draining(lanes, jnp.int32(0), results)
        drained: _Draining = lax.while_loop(lambda c: _running(c.lanes) > 0, turn, start)
        return drained

    return _together(program, drain)(lanes, results)


def blank(settings: LaneSettings) -> Results:
    """Where a launch of these settings can put its results."""
    slots = slots_of(settings) + 1
    return Results(jnp.zeros(slots, jnp.uint8), jnp.zeros(slots, jnp.uint32))


class _Compiled:
    """A function of (family, settings, work, …), compiled with options that suit the family."""

    def __init__(self, function: Callable[..., Any], **how: Any) -> None:
        update_wrapper(self, function)
        static = partial(jax.jit, function, static_argnames=("family", "settings"), **how)
        self.plain: Any = static(compiler_options=ONE_THREAD)
        self.with_kernels: Any = static(compiler_options=NO_LIBRARY)
        self.chosen: dict[Hashable, Any] = {}

    def _of(self, family: Family, work: Work) -> Any:
        # A launch of 50 000 restarts takes 30 ms, and asking the family 0.2 of them.
        key = kind_of(family)
        if key not in self.chosen:
            joined = family(work.params.one()).one_kernel
            self.chosen[key] = self.with_kernels if joined else self.plain
        return self.chosen[key]

    def __call__(self, family: Family, settings: LaneSettings, work: Work, *more: Any) -> Any:
        return self._of(family, work)(family, settings, work, *more)

    def lower(self, family: Family, settings: LaneSettings, work: Work, *more: Any) -> Any:
        """As `lower` of what `jax.jit` returns."""
        return self._of(family, work).lower(family, settings, work, *more)

    def compilations(self) -> int:
        """Programs compiled so far."""
        return sum(int(f._cache_size()) for f in (self.plain, self.with_kernels))


@partial(_Compiled, donate_argnames=("into",))
def launch(family: Family, settings: LaneSettings, work: Work, into: Results) -> Landed:
    """Run every restart of `work` to its outcome. One compilation per family and settings.

    Args:
        family: parameters → `Dynamics`.
        settings: compiled shape.
        work: the restarts.
        into: `blank`, or results of an earlier launch of these settings that nobody needs any
            more: they are written over. A million new slots cost a millisecond or two.
    """
    program = LaneProgram(family, work, settings)
    filled, drawn = _fill(program, into)
    drained = _drain(program, filled.lanes, filled.tick, filled.results)
    checks = jnp.stack([filled.tick, drained.checks])
    return Landed(*drained.results, checks=checks, draws=drawn // settings.width)


DRAWN_ALONE = 16


@_Compiled
def draw_only(family: Family, settings: LaneSettings, work: Work) -> jax.Array:
    """Draw `DRAWN_ALONE` pools of starts and reduce them: what drawing alone costs."""
    program = LaneProgram(family, work, settings)

    def one(i: jax.Array, total: jax.Array) -> jax.Array:
        pool = program.draw(i * settings.width)
        return sum((jnp.sum(m.astype(jnp.float32)) for m in pool.state), start=total)

    reduced: jax.Array = lax.fori_loop(0, DRAWN_ALONE, one, jnp.float32(0))
    return reduced


def compiled_shape(settings: LaneSettings) -> LaneSettings:
    """The part of the settings that is compiled: all but `check_every`."""
    return settings._replace(check_every=1)


def lane_steps(checks: np.ndarray, settings: LaneSettings) -> int:
    """Lane-steps paid for by a launch: Σ checks × lanes × check_every."""
    wide, narrow = checks.tolist()
    return int(wide * settings.width + narrow * tail_block(settings.width)) * settings.check_every
