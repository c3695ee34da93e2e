"""Lanes: many restarts side by side, retired when they end and refilled with new ones.

`vmap` of a `while_loop` would run every lane until the slowest is done. Here a lane that has
its verdict hands its outcome over and takes the next restart index, on the device. One
launch works through a list of tasks (a cell and a closed range of restart indices):

    start pool ──► lanes: `check_every` steps, verdict, repeat until an eighth is done
        ▲              │
        └── refill ◄── retire (scatter outcome and steps to the restart's slot)

When no restart is left to start, the lanes that still run move to narrower and narrower
programs, so that the tail (starts beside the separatrix) is not paid at full width.

Outcomes do not depend on which lane or width a restart ran in as long as each element is
computed by the same arithmetic at every width; a test holds this bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn.base.outcome import Outcome
from jaxcnn.engine.address import restart_key
from jaxcnn.engine.dynamics import Dynamics, Family
from jaxcnn.engine.packing import Packed, Packing, packing_of

RUNNING = int(Outcome.RUNNING)
UNDECIDED = int(Outcome.UNDECIDED)


class LaneSettings(NamedTuple):
    """The compiled shape of a launch. Equal settings share one compilation.

    Attributes:
        width: lanes side by side. It bounds the memory of the lanes.
        check_every: steps between two verdicts; the step at which an outcome is recorded is
            a multiple of it. It is handed to the launch as a number (`Work.every`).
        shared: one parameter set for the whole launch (large parameters) instead of one per
            lane (small parameters, so that lanes of many cells run side by side).
        tasks: most tasks in one launch.
        capacity: most restarts in one launch, 5 bytes each.
        persistent: lanes in one program of the kernel of engine/persistent.py; 0 for the
            plain loop.
    """

    width: int = 4096
    check_every: int = 8
    shared: bool = False
    tasks: int = 128
    capacity: int = 2**20
    persistent: int = 0


class Work(NamedTuple):
    """One launch: `tasks` ranges of restart indices laid end to end into slots.

    Attributes:
        params: parameter trees of the tasks, stacked along a leading axis (one tree if shared).
        roots: key of each task's block of 2³² restart indices (engine/address.py), (tasks,).
        low: lower 32 bits of each task's first index, uint32 (tasks,); a task stays in its block.
        ends: slot after the last one of each task, int32 (tasks,); padding repeats the total.
        max_steps: step limit of each task, int32 (tasks,).
        every: steps between two verdicts, int32.
    """

    params: Any
    roots: jax.Array
    low: jax.Array
    ends: jax.Array
    max_steps: jax.Array
    every: jax.Array


class Landed(NamedTuple):
    """What a launch returns.

    Attributes:
        outcomes: `Outcome` value per slot, uint8 (capacity,).
        steps: steps to the outcome per slot, uint32 (capacity,).
        checks: verdicts taken at each stage width, int32 (stages,); see `lane_steps`.
        draws: pools of `width` starts drawn, int32.
    """

    outcomes: jax.Array
    steps: jax.Array
    checks: jax.Array
    draws: jax.Array


class _Lanes(NamedTuple):
    """The lanes of a launch; `slot` is −1 in an empty lane."""

    state: Packed
    params: Packed
    slot: jax.Array
    limit: jax.Array
    born: jax.Array
    code: jax.Array
    age: jax.Array


def stage_widths(width: int) -> tuple[int, ...]:
    """Widths of the tail programs: an eighth each time, down to no less than 32 lanes."""
    widths = [width]
    while widths[-1] // 8 >= 32:
        widths.append(widths[-1] // 8)
    return tuple(widths)


class LaneProgram:
    """The functions of one launch, closed over its work and settings."""

    def __init__(self, family: Family, work: Work, settings: LaneSettings) -> None:
        self.family, self.work, self.settings = family, work, settings
        one = jax.tree.map(lambda x: x[0], work.params)
        self.shared_params = one if settings.shared else None
        example = jax.eval_shape(lambda key, p: family(p).start(key), work.roots[0], one)
        self.state_packing: Packing = packing_of(example)
        self.params_packing: Packing = packing_of(() if settings.shared else one)
        self.moves = self._moving(example, one)
        self.total = work.ends[-1]

    def _moving(self, example: Any, params: Any) -> tuple[bool, ...]:
        """Of each matrix of the packed state, whether a step can change it.

        A run's own data set is a matrix that none does. It is neither packed again at each step
        nor asked whether it stands still, which the compiler took minutes to fold.
        """
        traced = jax.make_jaxpr(self.family(params).step)(example).jaxpr
        changed = [new is not old for new, old in zip(traced.outvars, traced.invars, strict=True)]
        return tuple(any(changed[i] for i in leaves) for _, leaves in self.state_packing.groups)

    def _mapped(self, apply: Callable[[Dynamics, Any], Any], state: Packed, params: Packed) -> Any:
        """Apply a function of one lane's (dynamics, state) to packed lanes, lanes last."""
        tree = self.state_packing.unpack(state)
        if self.settings.shared:
            shared = self.family(self.shared_params)
            if shared.lanes_last:
                return apply(shared, tree)
            return jax.vmap(lambda s: apply(shared, s), in_axes=-1, out_axes=-1)(tree)
        lanes = self.params_packing.unpack(params)

        def one(params: Any, state: Any) -> Any:
            return apply(self.family(params), state)

        return jax.vmap(one, in_axes=-1, out_axes=-1)(lanes, tree)

    def advance(self, lanes: _Lanes, tick: jax.Array) -> _Lanes:
        """`every` steps of every lane, then a verdict; decide lanes that stand still.

        A state that `every` steps leave as it was, to the last bit, never changes
        again: it is given now what the step limit would give it. Rounding makes such fixed
        points beside the separatrix, and one of them would hold up a whole launch.
        """

        def step(_: int, state: Packed) -> Packed:
            new = self._mapped(lambda dynamics, s: dynamics.step(s), state, lanes.params)
            packed = zip(self.state_packing.pack(new), state, self.moves, strict=True)
            return tuple(after if moves else before for after, before, moves in packed)

        every = self.work.every
        state = lax.fori_loop(0, every, step, lanes.state)
        moved = jnp.zeros_like(lanes.code, bool)
        for new, old, moves in zip(state, lanes.state, self.moves, strict=True):
            moved = moved | jnp.any(new != old, axis=0) if moves else moved
        lanes = self.judge(lanes._replace(state=state), tick)
        stuck = ~moved & (lanes.code == RUNNING)
        return lanes._replace(
            code=jnp.where(stuck, UNDECIDED, lanes.code),
            age=jnp.where(stuck, lanes.limit // every * every, lanes.age),
        )

    def judge(self, lanes: _Lanes, tick: jax.Array) -> _Lanes:
        """Record the outcome and age of lanes that have a verdict now for the first time."""
        code = self._mapped(
            lambda dynamics, s: dynamics.verdict(s).astype(jnp.int32), lanes.state, lanes.params
        )
        age = (tick - lanes.born) * self.work.every
        last = age > lanes.limit - self.work.every
        code = jnp.where((code == RUNNING) & last, UNDECIDED, code)
        fresh = lanes.code == RUNNING
        return lanes._replace(
            code=jnp.where(fresh, code, lanes.code), age=jnp.where(fresh, age, lanes.age)
        )

    def task_of(self, slot: jax.Array) -> jax.Array:
        """The task whose range holds each slot; the last one beyond them all."""
        after = jnp.searchsorted(self.work.ends, slot, side="right", method="compare_all")
        return jnp.minimum(after.astype(jnp.int32), self.work.ends.shape[0] - 1)

    def draw(self, first: jax.Array) -> _Lanes:
        """A pool of starts for the slots `first`, `first` + 1, …; empty beyond the last."""
        slot = first + jnp.arange(self.settings.width, dtype=jnp.int32)
        task = self.task_of(slot)
        begins = jnp.concatenate([jnp.zeros(1, jnp.int32), self.work.ends[:-1]])
        low = self.work.low[task] + (slot - begins[task]).astype(jnp.uint32)
        keys = jax.vmap(restart_key)(self.work.roots[task], low)
        if self.settings.shared:
            tree = jax.vmap(lambda k: self.family(self.shared_params).start(k), out_axes=-1)(keys)
            params: Packed = self.params_packing.pack(())
        else:
            rows = jax.tree.map(lambda x: x[task], self.work.params)
            tree = jax.vmap(lambda k, p: self.family(p).start(k), out_axes=-1)(keys, rows)
            params = self.params_packing.pack(jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), rows))
        inside = slot < self.total
        zero = jnp.zeros_like(slot)
        return _Lanes(
            state=self.state_packing.pack(tree),
            params=params,
            slot=jnp.where(inside, slot, -1),
            limit=self.work.max_steps[task],
            born=zero,
            code=jnp.where(inside, RUNNING, UNDECIDED).astype(jnp.int32),
            age=zero,
        )

    def retire(self, landed: Landed, lanes: _Lanes) -> Landed:
        """Write finished lanes to their slots; empty and running lanes write nowhere."""
        done = (lanes.code != RUNNING) & (lanes.slot >= 0)
        slot = jnp.where(done, lanes.slot, self.settings.capacity)
        return landed._replace(
            outcomes=landed.outcomes.at[slot].set(lanes.code.astype(jnp.uint8), mode="drop"),
            steps=landed.steps.at[slot].set(lanes.age.astype(jnp.uint32), mode="drop"),
        )

    def select(self, lanes: _Lanes, index: jax.Array) -> _Lanes:
        """Lanes at `index`."""
        taken: _Lanes = jax.tree.map(lambda x: jnp.take(x, index, axis=-1, mode="clip"), lanes)
        return taken


def _running(lanes: _Lanes) -> jax.Array:
    return jnp.sum(lanes.code == RUNNING, dtype=jnp.int32)


def _rank(mask: jax.Array) -> jax.Array:
    """Exclusive running count of a mask of n lanes, n at most 2²⁴.

    Sums within rows of 64 as one small matrix product (exact: a row holds at most 64), then
    over rows: four times as fast on a CPU as `jnp.cumsum`, and a tenth of the compilation of
    an associative scan.
    """
    ones = mask.astype(jnp.float32).reshape(-1, min(64, mask.shape[0]))
    size = ones.shape[1]
    before = jnp.triu(jnp.ones((size, size), jnp.float32), k=1)
    inside = jnp.matmul(ones, before, precision=lax.Precision.HIGHEST)
    rows = jnp.cumsum(jnp.sum(ones, axis=1).astype(jnp.int32), dtype=jnp.int32)
    offset = jnp.concatenate([jnp.zeros(1, jnp.int32), rows[:-1]])
    return (inside.astype(jnp.int32) + offset[:, None]).reshape(-1)


def _merge(take: jax.Array, new: _Lanes, old: _Lanes) -> _Lanes:
    merged: _Lanes = jax.tree.map(lambda n, o: jnp.where(take, n, o), new, old)
    return merged


class _Filling(NamedTuple):
    """The wide stage: lanes, the pool of starts and how much of it is used."""

    lanes: _Lanes
    pool: _Lanes
    used: jax.Array
    drawn: jax.Array
    tick: jax.Array
    landed: Landed


def _run_down(
    program: LaneProgram, lanes: _Lanes, tick: jax.Array, floor: jax.Array | int
) -> tuple[_Lanes, jax.Array]:
    """Advance until no more than `floor` lanes run."""

    def going(c: tuple[_Lanes, jax.Array]) -> jax.Array:
        return _running(c[0]) > floor

    def body(c: tuple[_Lanes, jax.Array]) -> tuple[_Lanes, jax.Array]:
        return program.advance(c[0], c[1] + 1), c[1] + 1

    return lax.while_loop(going, body, (lanes, tick))


def _refill(program: LaneProgram, c: _Filling) -> _Filling:
    """Retire finished lanes and put starts from the pool in their place."""
    width = program.settings.width
    landed = program.retire(c.landed, c.lanes)
    empty = c.lanes.code != RUNNING
    place = c.used + _rank(empty)
    take = empty & (place < width)
    fresh = program.select(c.pool, jnp.minimum(place, width - 1))
    fresh = fresh._replace(born=jnp.full_like(fresh.born, c.tick))
    vacated = c.lanes._replace(
        slot=jnp.where(empty, -1, c.lanes.slot),
        code=jnp.where(empty, UNDECIDED, c.lanes.code),
    )
    # A start that is already decided is judged at age 0, before any step.
    lanes = program.judge(_merge(take, fresh, vacated), c.tick)
    used = jnp.minimum(c.used + jnp.sum(empty, dtype=jnp.int32), width)
    return c._replace(lanes=lanes, used=used, landed=landed)


def _fill(program: LaneProgram) -> tuple[Landed, _Lanes, jax.Array]:
    """The wide stage: until no restart is left to start and the next width holds the rest."""
    width = program.settings.width
    widths = stage_widths(width)
    threshold = width - width // 16
    rest = widths[1] if len(widths) > 1 else 0

    def restock(c: _Filling) -> _Filling:
        return c._replace(
            pool=program.draw(c.drawn),
            used=jnp.int32(0),
            drawn=c.drawn + width,
            landed=c.landed._replace(draws=c.landed.draws + 1),
        )

    def unfinished(c: _Filling) -> jax.Array:
        return (c.drawn < program.total) | (c.used < width) | (_running(c.lanes) > rest)

    def body(c: _Filling) -> _Filling:
        c = lax.cond((c.used >= width) & (c.drawn < program.total), restock, lambda x: x, c)
        c = _refill(program, c)
        # With starts in the pool the lanes are full: run until a sixteenth is done. With more
        # to draw the lanes may not be: do not run. With nothing left: run the tail down.
        more = jnp.where(c.drawn < program.total, width, rest)
        floor = jnp.where(c.used < width, threshold, more)
        lanes, tick = _run_down(program, c.lanes, c.tick, floor)
        return c._replace(lanes=lanes, tick=tick)

    landed = Landed(
        outcomes=jnp.zeros(program.settings.capacity, jnp.uint8),
        steps=jnp.zeros(program.settings.capacity, jnp.uint32),
        checks=jnp.zeros(len(widths), jnp.int32),
        draws=jnp.int32(0),
    )
    # Nothing drawn yet: the first turn of the loop stocks the pool.
    shapes = jax.eval_shape(program.draw, jnp.int32(0))
    idle = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    idle = idle._replace(slot=idle.slot - 1, code=idle.code + UNDECIDED)
    filling = _Filling(idle, idle, jnp.int32(width), jnp.int32(0), jnp.int32(0), landed)
    filling = lax.while_loop(unfinished, body, filling)
    landed = program.retire(filling.landed, filling.lanes)
    landed = landed._replace(checks=landed.checks.at[0].set(filling.tick))
    return landed, filling.lanes, filling.tick


def _drain(program: LaneProgram, landed: Landed, lanes: _Lanes, tick: jax.Array) -> Landed:
    """The tail: narrower and narrower, until every lane has its outcome."""
    widths = stage_widths(program.settings.width)
    for stage in range(1, len(widths)):
        wide, width = widths[stage - 1], widths[stage]
        running = lanes.code == RUNNING
        order = jnp.where(running, _rank(running), wide)
        index = jnp.zeros(width, jnp.int32)
        index = index.at[order].set(jnp.arange(wide, dtype=jnp.int32), mode="drop")
        held = jnp.arange(width) < jnp.sum(running)
        lanes = program.select(lanes, index)
        lanes = lanes._replace(
            slot=jnp.where(held, lanes.slot, -1), code=jnp.where(held, lanes.code, UNDECIDED)
        )
        begin = tick
        lanes, tick = _run_down(
            program, lanes, tick, widths[stage + 1] if stage + 1 < len(widths) else 0
        )
        landed = program.retire(landed, lanes)
        landed = landed._replace(checks=landed.checks.at[stage].set(tick - begin))
    return landed


# A launch keeps one core busy, and there is one for each core: threads inside would only wait.
ONE_THREAD = {"xla_cpu_multi_thread_eigen": False}


@partial(jax.jit, static_argnames=("family", "settings"), compiler_options=ONE_THREAD)
def launch(family: Family, settings: LaneSettings, work: Work) -> Landed:
    """Run every restart of `work` to its outcome. One compilation per family and settings."""
    program = LaneProgram(family, work, settings)
    landed, lanes, tick = _fill(program)
    return _drain(program, landed, lanes, tick)


@partial(jax.jit, static_argnames=("family", "settings"))
def draw_only(family: Family, settings: LaneSettings, work: Work) -> jax.Array:
    """Draw one pool of starts and reduce it: what drawing alone costs."""
    pool = LaneProgram(family, work, settings).draw(jnp.int32(0))
    return sum((jnp.sum(m.astype(jnp.float32)) for m in pool.state), start=jnp.float32(0))


def compiled_shape(settings: LaneSettings) -> LaneSettings:
    """The part of the settings that is compiled: all but `check_every`."""
    return settings._replace(check_every=1)


def lane_steps(checks: np.ndarray, settings: LaneSettings) -> int:
    """Lane-steps paid for by a launch: Σ checks × width × check_every."""
    widths = stage_widths(settings.width)
    return sum(int(n) * w for n, w in zip(checks, widths, strict=True)) * settings.check_every
