"""Lanes: many restarts side by side, each at its own step of its own run.

`LaneProgram` has what one launch does to lanes: draw a pool of starts, advance all lanes by
`check_every` steps and judge them. When they are refilled, and how a launch ends, is in launch.py.

Outcomes do not depend on which lane or width a restart ran in as long as each element is
computed by the same arithmetic at every width; a test holds this bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.base.outcome import Outcome
from jaxcnn.engine.address import as_key, restart_key
from jaxcnn.engine.compiling import by_parts, fits_one_kernel, one_kernel
from jaxcnn.engine.dynamics import Dynamics, Family
from jaxcnn.engine.moving import in_turn
from jaxcnn.engine.packing import Packed, Packing, Table, packing_of

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

    width: int = 320
    check_every: int = 8
    shared: bool = False
    tasks: int = 128
    capacity: int = 2**20
    persistent: int = 0


class Work(NamedTuple):
    """One launch: `tasks` ranges of restart indices laid end to end into slots.

    NumPy arrays as the host hands them over, traced inside the launch.

    Attributes:
        params: the parameters of the tasks (of one task if shared).
        roots: words of the key of each task's block of 2³² restart indices
            (engine/address.py), uint32 (tasks, 2).
        low: lower 32 bits of each task's first index, uint32 (tasks,); a task stays in its block.
        ends: slot after the last one of each task, int32 (tasks,); padding repeats the total.
        max_steps: step limit of each task, int32 (tasks,).
        every: steps between two verdicts, int32.
    """

    params: Table
    roots: Any
    low: Any
    ends: Any
    max_steps: Any
    every: Any


class Results(NamedTuple):
    """Where runs put their outcomes; slots behind the last restart hold whatever they held.

    Attributes:
        outcomes: `Outcome` value per slot, uint8, `slots_of` of them and one for empty lanes.
        steps: steps to the outcome per slot, uint32, as many.
    """

    outcomes: jax.Array
    steps: jax.Array


class Landed(NamedTuple):
    """What a launch returns.

    Attributes:
        outcomes: as in `Results`.
        steps: as in `Results`.
        checks: verdicts taken of all lanes, and of one block of them in the tail, int32 (2,);
            see `lane_steps`.
        draws: pools of `width` starts drawn, int32.
    """

    outcomes: jax.Array
    steps: jax.Array
    checks: jax.Array
    draws: jax.Array


class Starts(NamedTuple):
    """Runs that have not begun, lanes last.

    Attributes:
        state: their states.
        params: what of their parameters a step or a verdict reads.
        slot: where their results go; behind the last slot, if there is no run.
        limit: their step limits.
    """

    state: Packed
    params: Packed
    slot: jax.Array
    limit: jax.Array


class Lanes(NamedTuple):
    """Runs side by side: as `Starts`, with states as they are by now.

    Attributes:
        state: as in `Starts`; so are params, slot and limit.
        born: tick at which they began.
        code: `Outcome`.
        age: steps to it.
    """

    state: Packed
    params: Packed
    slot: jax.Array
    limit: jax.Array
    born: jax.Array
    code: jax.Array
    age: jax.Array


def slots_of(settings: LaneSettings) -> int:
    """Slots of a launch: its capacity, in whole pools."""
    return -(-settings.capacity // settings.width) * settings.width


class LaneProgram:
    """The functions of one launch, closed over its work and settings.

    Attributes:
        joins_starts: a kernel of a CPU can hold the drawing of many starts.
        joins_steps: and the steps and verdicts of many lanes.
        moves: of each matrix of the packed state, whether a step can change it.
        total: restarts of the launch.
    """

    def __init__(self, family: Family, work: Work, settings: LaneSettings) -> None:
        self.family, self.work, self.settings = family, work, settings
        self.one = one = work.params.one()
        example = jax.eval_shape(lambda key, p: family(p).start(key), as_key(work.roots[0]), one)
        self.state_packing: Packing = packing_of(example)
        self.carried = [] if settings.shared else self._read(example, one)
        leaves = jax.tree.leaves(one)
        self.params_packing: Packing = packing_of([leaves[i] for i in self.carried])
        self.moves = self._moving(example, one)
        self.total: jax.Array = work.ends[-1]
        scalars = not any(self.state_packing.shapes)
        self.joins_starts = family(one).one_kernel and in_turn(settings.width)
        joined = self.joins_starts and scalars
        self.joins_steps = joined and fits_one_kernel(self._after_start(example, one))
        self._parts = (320, 64) if scalars else (64,)

    def _read(self, example: Any, params: Any) -> list[int]:
        """The leaves of the parameters that a step or a verdict reads: what lanes must carry.

        The numbers of a start law are most of a cell's, and are read only when a start is drawn.
        """
        traced = self._after_start(example, params).jaxpr
        read = {id(atom) for equation in traced.eqns for atom in equation.invars}
        read |= {id(atom) for atom in traced.outvars}
        count = len(jax.tree.leaves(params))
        return [i for i, atom in enumerate(traced.invars[:count]) if id(atom) in read]

    def _after_start(self, example: Any, params: Any) -> Any:
        """What a step and a verdict compute, of a run's parameters and state."""

        def both(params: Any, state: Any) -> Any:
            dynamics = self.family(params)
            stride = None if dynamics.stride is None else dynamics.stride(state, jnp.int32(1))
            return dynamics.step(state), stride, dynamics.verdict(state)

        return jax.make_jaxpr(both)(params, example)

    def _moving(self, example: Any, params: Any) -> tuple[bool, ...]:
        """Of each matrix of the packed state, whether a step can change it.

        A run's own data set is a matrix that none does. It is neither packed again at each step
        nor asked whether it stands still, which the compiler took minutes to fold.
        """
        traced = jax.make_jaxpr(self.family(params).step)(example).jaxpr
        changed = [new is not old for new, old in zip(traced.outvars, traced.invars, strict=True)]
        return tuple(any(changed[i] for i in leaves) for _, leaves in self.state_packing.groups)

    def _each(self, apply: Callable[[Dynamics, Any], Any], state: Any, carried: Any) -> Any:
        """Apply a function of one lane's (dynamics, state) to a tree of lanes, lanes last.

        `carried` are the leaves `self.carried` of the lanes' parameters.
        """
        if self.settings.shared:
            shared = self.family(self.one)
            if shared.lanes_last:
                return apply(shared, state)
            return jax.vmap(lambda s: apply(shared, s), in_axes=-1, out_axes=-1)(state)
        leaves, treedef = jax.tree.flatten(self.one)

        def one(carried: list[jax.Array], state: Any) -> Any:
            own = leaves.copy()
            for i, leaf in zip(self.carried, carried, strict=True):
                own[i] = leaf
            return apply(self.family(jax.tree.unflatten(treedef, own)), state)

        return jax.vmap(one, in_axes=-1, out_axes=-1)(carried, state)

    def _moved(self, apply: Callable[[Dynamics, Any], Any], lanes: Lanes, state: Packed) -> Packed:
        """The packed state that `apply` makes of a packed state; what no step changes stays."""
        tree, carried = self.state_packing.unpack(state), self.params_packing.unpack(lanes.params)
        new = self.state_packing.pack(self._each(apply, tree, carried))
        packed = zip(new, state, self.moves, strict=True)
        return tuple(after if moves else before for after, before, moves in packed)

    def _steps(self, lanes: Lanes) -> Packed:
        """`every` steps of scalars, which are unpacked once."""
        carried = self.params_packing.unpack(lanes.params)

        def step(_: jax.Array, tree: Any) -> Any:
            return self._each(lambda dynamics, s: dynamics.step(s), tree, carried)

        tree = self.state_packing.unpack(lanes.state)
        return self.state_packing.pack(lax.fori_loop(0, self.work.every, step, tree))

    def advance(self, lanes: Lanes, tick: jax.Array) -> Lanes:
        """`every` steps of every lane, then a verdict; decide lanes that stand still.

        A state that `every` steps leave as it was, to the last bit, never changes
        again: it is given now what the step limit would give it. Rounding makes such fixed
        points beside the separatrix, and one of them would hold up a whole launch.
        """
        advance = partial(self._advance, tick)
        advanced: Lanes = self._by_parts(self.joins_steps, advance, lanes, into=lanes)
        return advanced

    def _advance(self, tick: jax.Array, lanes: Lanes) -> Lanes:
        every = self.work.every

        def stride(dynamics: Dynamics, state: Any) -> Any:
            assert dynamics.stride is not None
            return dynamics.stride(state, every)

        def step(_: jax.Array, state: Packed) -> Packed:
            return self._moved(lambda dynamics, s: dynamics.step(s), lanes, state)

        if self.family(self.one).stride is not None:
            state = self._moved(stride, lanes, lanes.state)
        elif self.joins_steps:
            state = self._steps(lanes)
        else:
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

    def _by_parts(
        self, joined: bool, function: Callable[..., Any], lanes: Any, into: Any = None
    ) -> Any:
        """`function` of the lanes, a part of them at a time in one kernel if they are joined."""
        if not joined:
            return function(lanes)
        count = jax.tree.leaves(lanes)[0].shape[-1]
        part = next((size for size in self._parts if count % size == 0), count)
        return by_parts(function, lanes, part=part, into=into)

    def _verdicts(self, state: Packed, params: Packed) -> jax.Array:
        tree, carried = self.state_packing.unpack(state), self.params_packing.unpack(params)
        codes: jax.Array = self._each(lambda dynamics, s: dynamics.verdict(s), tree, carried)
        return codes.astype(jnp.int32)

    def first_codes(self, starts: Starts) -> jax.Array:
        """The outcomes of runs that are decided before any step; UNDECIDED where there is none."""
        codes: jax.Array = self._by_parts(self.joins_steps, self._first_codes, starts)
        return codes

    def _first_codes(self, starts: Starts) -> jax.Array:
        code = self._verdicts(starts.state, starts.params)
        code = jnp.where((code == RUNNING) & (starts.limit < self.work.every), UNDECIDED, code)
        return jnp.where(starts.slot < slots_of(self.settings), code, UNDECIDED)

    def judge(self, lanes: Lanes, tick: jax.Array) -> Lanes:
        """Record the outcome and age of lanes that have a verdict now for the first time."""
        code = self._verdicts(lanes.state, lanes.params)
        age = (tick - lanes.born) * self.work.every
        last = age > lanes.limit - self.work.every
        code = jnp.where((code == RUNNING) & last, UNDECIDED, code)
        fresh = lanes.code == RUNNING
        return lanes._replace(
            code=jnp.where(fresh, code, lanes.code), age=jnp.where(fresh, age, lanes.age)
        )

    def tasks(self, first: jax.Array, count: int) -> jax.Array:
        """The tasks that hold the slots `first`, `first` + 1, …; beyond all, any like the last."""
        last = self.work.ends.shape[0] - 1
        if last == 0:
            return jnp.zeros(count, jnp.int32)
        ends = self.work.ends
        if in_turn(count):
            start = jnp.minimum(jnp.sum(ends <= first, dtype=jnp.int32), last)
            found: jax.Array = one_kernel(_task_by_task)(ends, start, first, count)
            return found
        # The task goes up by one at each end. A search for every slot would be repeated in each
        # of the fused loops that look its task's numbers up.
        up = jnp.zeros(count, jnp.int32).at[jnp.maximum(ends - first, 0)].add(1, mode="drop")
        return jnp.minimum(jnp.cumsum(up, dtype=jnp.int32), last)

    def _rows(self, task: jax.Array) -> Any:
        """The parameters of each lane's task, lanes last.

        One row of the tables after the other: a look-up that was fused into the drawing of the
        starts would keep all of it from being vectorised.
        """
        table = self.work.params
        rows = tuple(lax.map(lambda row: row[task], matrix) for matrix in table.matrices)
        return table.packing.unpack(rows)

    def draw(self, first: jax.Array) -> Starts:
        """A pool of starts for the slots `first`, `first` + 1, …; none beyond the last."""
        slot = first + jnp.arange(self.settings.width, dtype=jnp.int32)
        starts: Starts = self._by_parts(self.joins_starts, self._starts, slot)
        return starts

    def _starts(self, slot: jax.Array) -> Starts:
        """Starts for slots in a row."""
        count = slot.shape[0]
        if self.work.ends.shape[0] == 1:
            # An index into one task is not read, which `one_kernel` may not be given.
            task = jnp.zeros(count, jnp.int32)
            low = self.work.low[0] + slot.astype(jnp.uint32)
            roots = jnp.broadcast_to(self.work.roots[0], (count, 2))
            limit = jnp.broadcast_to(self.work.max_steps[0], count)
        else:
            task = self.tasks(slot[0], count)
            begins = jnp.concatenate([jnp.zeros(1, jnp.int32), self.work.ends[:-1]])
            low = self.work.low[task] + (slot - begins[task]).astype(jnp.uint32)
            roots, limit = self.work.roots[task], self.work.max_steps[task]
        keys = jax.vmap(restart_key)(as_key(roots), low)
        if self.settings.shared:
            tree = jax.vmap(lambda k: self.family(self.one).start(k), out_axes=-1)(keys)
            params: Packed = self.params_packing.pack([])
        else:
            rows = self._rows(task)
            tree = jax.vmap(lambda k, p: self.family(p).start(k), (0, -1), -1)(keys, rows)
            leaves = jax.tree.leaves(rows)
            params = self.params_packing.pack([leaves[i] for i in self.carried])
        return Starts(
            state=self.state_packing.pack(tree),
            params=params,
            slot=jnp.where(slot < self.total, slot, slots_of(self.settings)),
            limit=limit,
        )


def _task_by_task(ends: jax.Array, start: jax.Array, first: jax.Array, count: int) -> jax.Array:
    """The tasks of `count` slots from `first` on, which is in `start`: one up at each end.

    No task is empty but those that pad the work, which are like the last one.
    """
    last = ends.shape[0] - 1

    def one(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> Any:
        task, found = carry
        found = lax.dynamic_update_index_in_dim(found, task, i, 0)
        task = jnp.where(first + i + 1 >= ends[task], jnp.minimum(task + 1, last), task)
        return task, found

    carry = (start, jnp.zeros(count, jnp.int32))
    found: jax.Array = lax.fori_loop(0, count, one, carry)[1]
    return found
