"""The lanes as one kernel for an accelerator: a run stays in registers until it is decided.

The plain loop (engine/lanes.py) reads and writes the state of every lane at every step, which
on a GPU is what a step of few operations costs. Here one program holds `settings.persistent`
lanes in registers through all their steps and restarts:

    for each lane: load a start ──► `every` steps, verdict, repeat ──► store outcome and steps
                        ▲                                                       │
                        └───────────────── the lane's next slot ◄───────────────┘

Lane l takes the slots l, l + width, l + 2 width, …, so that lanes need not agree on who takes
what; a program ends when all its lanes are through. Starts are drawn before, by the plain
program. For families whose state and parameters are scalars. It is Pallas, compiled by Triton;
`interpret` runs the same kernel anywhere, for tests.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from jaxcnn.base.errors import RefusedError
from jaxcnn.engine.compiling import NO_LIBRARY
from jaxcnn.engine.dynamics import Family
from jaxcnn.engine.lanes import RUNNING, UNDECIDED, Landed, LaneProgram, LaneSettings, Work


@partial(
    jax.jit,
    static_argnames=("family", "settings", "interpret"),
    compiler_options=NO_LIBRARY,
)
def launch_persistent(
    family: Family, settings: LaneSettings, work: Work, interpret: bool = False
) -> Landed:
    """What `launch.launch` returns, by one kernel.

    Args:
        family: parameters → `Dynamics`, all of whose leaves are scalars.
        settings: `persistent` lanes a program; it divides `width`, which divides `capacity`.
        work: the restarts.
        interpret: run the kernel as plain JAX.

    Raises:
        RefusedError: a leaf of state or parameters is an array, or the sizes do not divide.
    """
    program = LaneProgram(family, work, settings)
    shapes = (*program.state_packing.shapes, *work.params.packing.shapes)
    if any(shape != () for shape in shapes):
        raise RefusedError("persistent", settings.persistent, "needs a state of scalars: use 0")
    block, width, capacity = settings.persistent, settings.width, settings.capacity
    if width % block or capacity % width:
        raise RefusedError("persistent", block, f"must divide width = {width}, and that {capacity}")
    starts, pools = _draw_all(program)
    inputs = (
        starts,
        program.tasks(jnp.int32(0), capacity),
        work.params.matrices,
        work.max_steps,
        jnp.stack([work.every, program.total]),
    )
    # Lanes that have nothing to store write behind the last slot.
    ends = ((capacity + block,), (capacity + block,), (width // block,))
    out = [jax.eval_shape(lambda shape=shape: jnp.zeros(shape, jnp.int32)) for shape in ends]
    kernel = partial(_kernel, program, jax.tree.structure(inputs))
    leaves = jax.tree.leaves(inputs)
    codes, ages, rounds = pl.pallas_call(
        kernel,
        out_shape=out,
        grid=(width // block,),
        interpret=interpret,
        # A warp is 32 lanes, one lane a thread.
        compiler_params=triton.CompilerParams(num_warps=max(1, block // 32)),
    )(*leaves)
    return Landed(
        outcomes=codes[:capacity].astype(jnp.uint8),
        steps=ages[:capacity].astype(jnp.uint32),
        checks=jnp.stack([-(-jnp.sum(rounds) * block // width), jnp.int32(0)]),
        draws=pools,
    )


def _draw_all(program: LaneProgram) -> tuple[tuple[jax.Array, ...], jax.Array]:
    """The starts of all slots, matrices (rows, capacity), and the pools drawn for them."""
    width, capacity = program.settings.width, program.settings.capacity
    pools = -(-program.total // width)

    def draw(i: jax.Array, starts: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        pool = program.draw(i * width).state
        return tuple(
            lax.dynamic_update_slice_in_dim(whole, part, i * width, axis=1)
            for whole, part in zip(starts, pool, strict=True)
        )

    shapes = jax.eval_shape(program.draw, jnp.int32(0)).state
    empty = tuple(jnp.zeros((x.shape[0], capacity), x.dtype) for x in shapes)
    return lax.fori_loop(0, pools, draw, empty), pools


def _kernel(program: LaneProgram, structure: Any, *refs: Any) -> None:
    """One program: `persistent` lanes from their first slot to their last."""
    *inputs, codes, ages, rounds = refs
    starts, task_of, tables, limits, numbers = jax.tree.unflatten(structure, inputs)
    block, width = program.settings.persistent, program.settings.width
    capacity = program.settings.capacity
    lane = jnp.arange(block, dtype=jnp.int32)
    number = pl.program_id(0)
    every, total = numbers[0], numbers[1]
    packing = program.work.params.packing

    def load(slot: jax.Array) -> tuple[Any, Any, jax.Array]:
        """State, parameters and step limit of the lanes' slots."""
        held = jnp.minimum(slot, capacity - 1)
        task = task_of[held]
        rows = [[matrix[row, held] for row in range(matrix.shape[0])] for matrix in starts]
        params = packing.of_scalars([[m[row, task] for row in range(m.shape[0])] for m in tables])
        return program.state_packing.of_scalars(rows), params, limits[task]

    def one_step(params: Any, state: Any) -> Any:
        return program.family(params).step(state)

    def one_verdict(params: Any, state: Any) -> jax.Array:
        return program.family(params).verdict(state).astype(jnp.int32)

    def turn(carry: Any) -> Any:
        slot, state, old, params, limit, age, count = carry
        active = slot < total
        code = jax.vmap(one_verdict)(params, state)
        still = _unchanged(state, old) & (age > 0) & (code == RUNNING)
        out = (code == RUNNING) & (age > limit - every)
        age = jnp.where(still, limit // every * every, age)
        code = jnp.where(still | out, UNDECIDED, code)
        done = active & (code != RUNNING)
        place = jnp.where(done, slot, capacity + lane)
        codes[place] = code
        ages[place] = age
        slot = jnp.where(done, slot + width, slot)
        fresh_state, fresh_params, fresh_limit = load(slot)
        state, params = _take(done, fresh_state, state), _take(done, fresh_params, params)
        limit = jnp.where(done, fresh_limit, limit)
        moved = lax.fori_loop(0, every, lambda _, at: jax.vmap(one_step)(params, at), state)
        # A start that is already decided is judged at age 0, before any step.
        new = _take(done, state, moved)
        age = jnp.where(done, 0, age + every)
        return slot, new, state, params, limit, age, count + 1

    first = number * block + lane
    state, params, limit = load(first)
    zero = jnp.zeros(block, jnp.int32)
    carry = (first, state, state, params, limit, zero, jnp.int32(0))
    count = lax.while_loop(lambda c: jnp.min(c[0]) < total, turn, carry)[-1]
    rounds[number] = count


def _take(mask: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda x, y: jnp.where(mask, x, y), new, old)


def _unchanged(state: Any, old: Any) -> jax.Array:
    same = [x == y for x, y in zip(jax.tree.leaves(state), jax.tree.leaves(old), strict=True)]
    whole: jax.Array = same[0]
    for one in same[1:]:
        whole = whole & one
    return whole
