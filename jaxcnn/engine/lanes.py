"""Lanes: many restarts side by side, retired when they end and refilled with new ones.

`vmap` of a `while_loop` would run every lane until the slowest is done. Here a lane that has
its verdict hands its outcome over and takes the next restart index, on the device. One
launch works through a list of tasks (a cell and a closed range of restart indices):

    start pool ──► lanes: `check_every` steps, verdict, repeat until a sixteenth is done
        ▲              │
        └── refill ◄── retire (scatter outcome and steps to the restart's slot)

A start that is decided when it is drawn is retired then and takes no lane.

When no restart is left to start, the lanes that still run are moved together and advanced
block by block, no more blocks than hold them, so that the tail (starts beside the separatrix)
is not paid at full width.

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
from jaxcnn.engine.address import as_key, restart_key
from jaxcnn.engine.dynamics import Dynamics, Family
from jaxcnn.engine.packing import Packed, Packing, packing_of

RUNNING = int(Outcome.RUNNING)
UNDECIDED = int(Outcome.UNDECIDED)


class LaneSettings(NamedTuple):
    """The compiled shape of a launch. Equal settings share one compilation.

    Attributes:
        width: lanes side by side, a multiple of 64 or less than that. It bounds the memory of
            the lanes. Best an odd multiple: rows of 1024 numbers meet in few places of a cache.
        check_every: steps between two verdicts; the step at which an outcome is recorded is
            a multiple of it. It is handed to the launch as a number (`Work.every`).
        shared: one parameter set for the whole launch (large parameters) instead of one per
            lane (small parameters, so that lanes of many cells run side by side).
        tasks: most tasks in one launch.
        capacity: most restarts in one launch, 5 bytes each.
        persistent: lanes in one program of the kernel of engine/persistent.py; 0 for the
            plain loop.
    """

    width: int = 960
    check_every: int = 8
    shared: bool = False
    tasks: int = 128
    capacity: int = 2**20
    persistent: int = 0


class Work(NamedTuple):
    """One launch: `tasks` ranges of restart indices laid end to end into slots.

    NumPy arrays as the host hands them over, traced inside the launch.

    Attributes:
        params: parameter trees of the tasks, stacked along a leading axis (one tree if shared).
        roots: words of the key of each task's block of 2³² restart indices
            (engine/address.py), uint32 (tasks, 2).
        low: lower 32 bits of each task's first index, uint32 (tasks,); a task stays in its block.
        ends: slot after the last one of each task, int32 (tasks,); padding repeats the total.
        max_steps: step limit of each task, int32 (tasks,).
        every: steps between two verdicts, int32.
    """

    params: Any
    roots: Any
    low: Any
    ends: Any
    max_steps: Any
    every: Any


class Landed(NamedTuple):
    """What a launch returns.

    Attributes:
        outcomes: `Outcome` value per slot, uint8, `capacity` of them or more.
        steps: steps to the outcome per slot, uint32, as many.
        checks: verdicts taken of all lanes, and of one block of them in the tail, int32 (2,);
            see `lane_steps`.
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


def tail_block(width: int) -> int:
    """Lanes advanced at once in the tail: 32, or 64 of 512 and more, a thirty-second of many."""
    best = max(32 if width < 512 else 64, width // 2048 * 64)
    return next((block for block in (best, 64, 32) if width % block == 0), width)


def slots_of(settings: LaneSettings) -> int:
    """Slots of a launch: its capacity, in whole pools."""
    return -(-settings.capacity // settings.width) * settings.width


def refill_block(width: int) -> int:
    """Most lanes refilled at once: a quarter of them."""
    return max(1, width // 4)


class LaneProgram:
    """The functions of one launch, closed over its work and settings."""

    def __init__(self, family: Family, work: Work, settings: LaneSettings) -> None:
        self.family, self.work, self.settings = family, work, settings
        one = jax.tree.map(lambda x: x[0], work.params)
        self.one = one
        example = jax.eval_shape(lambda key, p: family(p).start(key), as_key(work.roots[0]), one)
        self.state_packing: Packing = packing_of(example)
        self.carried = [] if settings.shared else self._read(example, one)
        leaves = jax.tree.leaves(one)
        self.params_packing: Packing = packing_of([leaves[i] for i in self.carried])
        self.moves = self._moving(example, one)
        self.total: jax.Array = work.ends[-1]

    def _read(self, example: Any, params: Any) -> list[int]:
        """The leaves of the parameters that a step or a verdict reads: what lanes must carry.

        The numbers of a start law are most of a cell's, and are read only when a start is drawn.
        """

        def after_start(params: Any, state: Any) -> Any:
            dynamics = self.family(params)
            return dynamics.step(state), dynamics.verdict(state)

        traced = jax.make_jaxpr(after_start)(params, example).jaxpr
        read = {id(atom) for equation in traced.eqns for atom in equation.invars}
        read |= {id(atom) for atom in traced.outvars}
        count = len(jax.tree.leaves(params))
        return [i for i, atom in enumerate(traced.invars[:count]) if id(atom) in read]

    def _moving(self, example: Any, params: Any) -> tuple[bool, ...]:
        """Of each matrix of the packed state, whether a step can change it.

        A run's own data set is a matrix that none does. It is neither packed again at each step
        nor asked whether it stands still, which the compiler took minutes to fold.
        """
        traced = jax.make_jaxpr(self.family(params).step)(example).jaxpr
        changed = [new is not old for new, old in zip(traced.outvars, traced.invars, strict=True)]
        return tuple(any(changed[i] for i in leaves) for _, leaves in self.state_packing.groups)

    def steps(self, step: Callable[[Packed], Packed], state: Packed) -> Packed:
        """`every` calls of `step`.

        On a CPU two a turn: the loop copies its state at the end of a turn, since a step that
        reads several rows cannot write over them, but a second step may write over what the
        first one read. A loop that never runs keeps the two from being merged into one, where
        the first would be computed again for each row of the second.
        """
        every = self.work.every
        if jax.default_backend() != "cpu" or any(self.state_packing.shapes):
            once: Packed = lax.fori_loop(0, every, lambda _, at: step(at), state)
            return once
        never = jnp.minimum(every, 0)

        def two(turn: jax.Array, state: Packed) -> Packed:
            def unused(_: int, at: Packed) -> Packed:
                return tuple(x + x for x in at)

            first: Packed = lax.fori_loop(0, never, unused, step(state))
            both = 2 * turn + 1 < every
            second = zip(step(first), first, strict=True)
            return tuple(jnp.where(both, after, before) for after, before in second)

        twice: Packed = lax.fori_loop(0, (every + 1) // 2, two, state)
        return twice

    def _mapped(self, apply: Callable[[Dynamics, Any], Any], state: Packed, params: Packed) -> Any:
        """Apply a function of one lane's (dynamics, state) to packed lanes, lanes last."""
        tree = self.state_packing.unpack(state)
        if self.settings.shared:
            shared = self.family(self.one)
            if shared.lanes_last:
                return apply(shared, tree)
            return jax.vmap(lambda s: apply(shared, s), in_axes=-1, out_axes=-1)(tree)
        leaves, treedef = jax.tree.flatten(self.one)

        def one(carried: list[jax.Array], state: Any) -> Any:
            own = leaves.copy()
            for i, leaf in zip(self.carried, carried, strict=True):
                own[i] = leaf
            return apply(self.family(jax.tree.unflatten(treedef, own)), state)

        carried = self.params_packing.unpack(params)
        return jax.vmap(one, in_axes=-1, out_axes=-1)(carried, tree)

    def advance(self, lanes: _Lanes, tick: jax.Array) -> _Lanes:
        """`every` steps of every lane, then a verdict; decide lanes that stand still.

        A state that `every` steps leave as it was, to the last bit, never changes
        again: it is given now what the step limit would give it. Rounding makes such fixed
        points beside the separatrix, and one of them would hold up a whole launch.
        """
        every = self.work.every

        def moved_on(apply: Callable[[Dynamics, Any], Any], state: Packed) -> Packed:
            new = self._mapped(apply, state, lanes.params)
            packed = zip(self.state_packing.pack(new), state, self.moves, strict=True)
            return tuple(after if moves else before for after, before, moves in packed)

        def step(state: Packed) -> Packed:
            return moved_on(lambda dynamics, s: dynamics.step(s), state)

        def stride(dynamics: Dynamics, state: Any) -> Any:
            assert dynamics.stride is not None
            return dynamics.stride(state, every)

        if self.family(self.one).stride is not None:
            state = moved_on(stride, lanes.state)
        else:
            state = self.steps(step, lanes.state)
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

    def tasks(self, first: jax.Array, count: int) -> jax.Array:
        """The tasks that hold the slots `first`, `first` + 1, …; the last one beyond them all."""
        # The task goes up by one at each end. A search for every slot would be repeated in each
        # of the fused loops that look its task's numbers up.
        at = jnp.maximum(self.work.ends - first, 0)
        ends = jnp.zeros(count, jnp.int32).at[at].add(1, mode="drop")
        return jnp.minimum(_sum_before(ends) + ends, self.work.ends.shape[0] - 1)

    def _rows(self, task: jax.Array) -> Any:
        """The parameters of each lane's task, lanes last.

        One row of the tables after the other: a look-up that was fused into the drawing of the
        starts would keep all of it from being vectorised.
        """
        packing = packing_of(self.one)
        tables = packing.pack(jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), self.work.params))
        return packing.unpack(tuple(lax.map(lambda row: row[task], table) for table in tables))

    def draw(self, first: jax.Array) -> _Lanes:
        """A pool of starts for the slots `first`, `first` + 1, …; empty beyond the last."""
        slot = first + jnp.arange(self.settings.width, dtype=jnp.int32)
        task = self.tasks(first, self.settings.width)
        begins = jnp.concatenate([jnp.zeros(1, jnp.int32), self.work.ends[:-1]])
        low = self.work.low[task] + (slot - begins[task]).astype(jnp.uint32)
        keys = jax.vmap(restart_key)(as_key(self.work.roots[task]), low)
        if self.settings.shared:
            tree = jax.vmap(lambda k: self.family(self.one).start(k), out_axes=-1)(keys)
            params: Packed = self.params_packing.pack([])
        else:
            rows = self._rows(task)
            tree = jax.vmap(lambda k, p: self.family(p).start(k), (0, -1), -1)(keys, rows)
            leaves = jax.tree.leaves(rows)
            params = self.params_packing.pack([leaves[i] for i in self.carried])
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
        """Write finished lanes to their slots; empty and running lanes write nowhere.

        A lane may be written twice: nothing it holds changes once it is finished.
        """
        done = (lanes.code != RUNNING) & (lanes.slot >= 0)
        slot = jnp.where(done, lanes.slot, slots_of(self.settings))
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


def _sum_before(counts: jax.Array) -> jax.Array:
    """Exclusive running sum of n counts whose total is at most 2²⁴; 16 divides n, or n < 64.

    Sums within rows of 16 as one small matrix product (exact: whole numbers below 2²⁴), then
    over rows: many times as fast on a CPU as `jnp.cumsum`, and a tenth of the compilation of
    an associative scan.
    """
    size = 16 if counts.shape[0] % 16 == 0 else counts.shape[0]
    rows = counts.astype(jnp.float32).reshape(-1, size)
    before = jnp.triu(jnp.ones((size, size), jnp.float32), k=1)
    inside = jnp.matmul(rows, before, precision=lax.Precision.HIGHEST)
    sums = jnp.cumsum(jnp.sum(rows, axis=1).astype(jnp.int32), dtype=jnp.int32)
    offset = jnp.concatenate([jnp.zeros(1, jnp.int32), sums[:-1]])
    return (inside.astype(jnp.int32) + offset[:, None]).reshape(-1)


def _put(whole: _Lanes, part: _Lanes, index: jax.Array) -> _Lanes:
    """`whole` with `part` at `index`; an index beyond the last lane goes nowhere."""

    def put(x: jax.Array, y: jax.Array) -> jax.Array:
        return x.at[..., index].set(y, mode="drop", unique_indices=True)

    placed: _Lanes = jax.tree.map(put, whole, part)
    return placed


def _places(mask: jax.Array, size: int) -> jax.Array:
    """Where a mask of n lanes is true, the first `size` of them; n, n + 1, … beyond the last."""
    lanes = mask.shape[0]
    order = jnp.where(mask, _sum_before(mask), size)
    index = lanes + jnp.arange(size, dtype=jnp.int32)
    return index.at[order].set(jnp.arange(lanes, dtype=jnp.int32), mode="drop")


class _Filling(NamedTuple):
    """The wide stage: lanes, and how many of the pool's starts they took."""

    lanes: _Lanes
    used: jax.Array
    tick: jax.Array
    landed: Landed


class _Pool(NamedTuple):
    """Starts; `waiting` are the places of the `left` that are not yet decided."""

    lanes: _Lanes
    waiting: jax.Array
    left: jax.Array


def _run_down(
    program: LaneProgram, lanes: _Lanes, tick: jax.Array, floor: jax.Array | int
) -> tuple[_Lanes, jax.Array]:
    """Advance until no more than `floor` lanes run."""

    def going(c: tuple[_Lanes, jax.Array]) -> jax.Array:
        return _running(c[0]) > floor

    def body(c: tuple[_Lanes, jax.Array]) -> tuple[_Lanes, jax.Array]:
        return program.advance(c[0], c[1] + 1), c[1] + 1

    return lax.while_loop(going, body, (lanes, tick))


def _stock(program: LaneProgram, first: jax.Array, landed: Landed) -> tuple[_Pool, Landed]:
    """Draw a pool; starts that are already decided end at age 0, before any step.

    Their codes go to the slots of the pool all at once; who runs writes his own again.
    """
    width = program.settings.width
    lanes = program.judge(program.draw(first), jnp.int32(0))
    codes = lanes.code.astype(jnp.uint8)
    outcomes = lax.dynamic_update_slice(landed.outcomes, codes, (first,))
    landed = landed._replace(outcomes=outcomes, draws=landed.draws + 1)
    return _Pool(lanes, _places(lanes.code == RUNNING, width), _running(lanes)), landed


def _refill(program: LaneProgram, pool: _Pool, c: _Filling) -> _Filling:
    """Retire up to a block of finished lanes and put starts from the pool in their place."""
    width = program.settings.width
    index = _places(c.lanes.code != RUNNING, refill_block(width))
    landed = program.retire(c.landed, _known(program.select(c.lanes, index), index < width))
    next_ones = c.used + jnp.arange(index.shape[0], dtype=jnp.int32)
    place = jnp.take(pool.waiting, next_ones, mode="fill", fill_value=width)
    take = (index < width) & (place < width)
    fresh = program.select(pool.lanes, place)
    fresh = fresh._replace(born=jnp.full_like(fresh.born, c.tick))
    lanes = _put(c.lanes, fresh, jnp.where(take, index, index + width))
    used = c.used + jnp.sum(take, dtype=jnp.int32)
    return c._replace(lanes=lanes, used=used, landed=landed)


def _known(lanes: _Lanes, held: jax.Array) -> _Lanes:
    """Lanes, empty where not `held`."""
    return lanes._replace(
        slot=jnp.where(held, lanes.slot, -1), code=jnp.where(held, lanes.code, UNDECIDED)
    )


def _fill(program: LaneProgram) -> tuple[Landed, _Lanes, jax.Array]:
    """The wide stage: until no restart is left to start and half of the lanes are done."""
    width = program.settings.width
    threshold = width - max(1, width // 16)
    rest = width // 2 if tail_block(width) < width else 0

    def one_pool(c: tuple[_Filling, jax.Array]) -> tuple[_Filling, jax.Array]:
        filling, drawn = c
        pool, landed = _stock(program, drawn, filling.landed)
        drawn = drawn + width
        # With starts in the pool the lanes are full: run until a sixteenth is done. With more
        # to draw the lanes may not be: do not run. With nothing left: run the tail down.
        floor = jnp.where(drawn < program.total, width, rest)

        def unfinished(c: _Filling) -> jax.Array:
            return (c.used < pool.left) | (_running(c.lanes) > floor)

        def body(c: _Filling) -> _Filling:
            c = _refill(program, pool, c)
            enough = jnp.where(c.used < pool.left, threshold, floor)
            lanes, tick = _run_down(program, c.lanes, c.tick, enough)
            return c._replace(lanes=lanes, tick=tick)

        filling = filling._replace(used=jnp.int32(0), landed=landed)
        return lax.while_loop(unfinished, body, filling), drawn

    slots = slots_of(program.settings)
    landed = Landed(
        outcomes=jnp.zeros(slots, jnp.uint8),
        steps=jnp.zeros(slots, jnp.uint32),
        checks=jnp.zeros(2, jnp.int32),
        draws=jnp.int32(0),
    )
    shapes = jax.eval_shape(program.draw, jnp.int32(0))
    idle = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    idle = idle._replace(slot=idle.slot - 1, code=idle.code + UNDECIDED)
    start = (_Filling(idle, jnp.int32(0), jnp.int32(0), landed), jnp.int32(0))
    filling, _ = lax.while_loop(lambda c: c[1] < program.total, one_pool, start)
    landed = program.retire(filling.landed, filling.lanes)
    landed = landed._replace(checks=landed.checks.at[0].set(filling.tick))
    return landed, filling.lanes, filling.tick


class _Draining(NamedTuple):
    """The tail: lanes and the verdicts taken of a block of them."""

    lanes: _Lanes
    checks: jax.Array


def _drain(program: LaneProgram, landed: Landed, lanes: _Lanes, tick: jax.Array) -> Landed:
    """The tail, by blocks: each goes on alone until a quarter of its lanes has ended; repeat.

    A block has a clock of its own. When it is put back, its lanes were born as much earlier as
    it went on, so that ages count from the one `tick` of the whole tail.
    """
    width, block = program.settings.width, tail_block(program.settings.width)

    def gather(lanes: _Lanes) -> _Lanes:
        index = _places(lanes.code == RUNNING, width)
        return _known(program.select(lanes, index), index < width)

    def turn(c: _Draining) -> _Draining:
        lanes = gather(c.lanes)
        blocks = (_running(lanes) + block - 1) // block
        floor = jnp.where(blocks > 1, 3 * block // 4, 0)

        def one(i: jax.Array, c: _Draining) -> _Draining:
            part: _Lanes = jax.tree.map(
                lambda x: lax.dynamic_slice_in_dim(x, i * block, block, axis=-1), c.lanes
            )
            part, end = _run_down(program, part, tick, floor)
            part = part._replace(born=part.born - (end - tick))
            lanes = jax.tree.map(
                lambda x, y: lax.dynamic_update_slice_in_dim(x, y, i * block, axis=-1),
                c.lanes,
                part,
            )
            return _Draining(lanes, c.checks + (end - tick))

        turned: _Draining = lax.fori_loop(0, blocks, one, c._replace(lanes=lanes))
        return turned

    def body(c: tuple[_Draining, Landed]) -> tuple[_Draining, Landed]:
        draining = turn(c[0])
        return draining, program.retire(c[1], draining.lanes)

    start = (_Draining(lanes, jnp.int32(0)), landed)
    draining, landed = lax.while_loop(lambda c: _running(c[0].lanes) > 0, body, start)
    return landed._replace(checks=landed.checks.at[1].set(draining.checks))


# A launch keeps one core busy, and there is one for each core: threads inside would only wait.
ONE_THREAD = {"xla_cpu_multi_thread_eigen": False}


@partial(jax.jit, static_argnames=("family", "settings"), compiler_options=ONE_THREAD)
def launch(family: Family, settings: LaneSettings, work: Work) -> Landed:
    """Run every restart of `work` to its outcome. One compilation per family and settings."""
    program = LaneProgram(family, work, settings)
    landed, lanes, tick = _fill(program)
    return _drain(program, landed, lanes, tick)


DRAWN_ALONE = 16


@partial(jax.jit, static_argnames=("family", "settings"), compiler_options=ONE_THREAD)
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
    lanes = (settings.width, tail_block(settings.width))
    return sum(int(n) * w for n, w in zip(checks, lanes, strict=True)) * settings.check_every
