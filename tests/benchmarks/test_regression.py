"""Speed that CI can hold: operations, bytes, lane-steps and compilations, never a time.

Each bound is what was measured (benchmarks/README.md), and a few per cent: a change that
needs more has to say so here. Fewer are welcome, and tighten the bound.
"""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.cores import cpu_count
from jaxcnn.engine.compiling import has_one_kernel
from jaxcnn.engine.launch import blank, launch, tail_block
from jaxcnn.engine.pieces import Job, Piece, work_of
from jaxcnn.engine.run import run
from jaxcnn.study.build import build

LANES = 1024


def cost(cell, engine, function):
    """What the compiler counts for one lane of one call: flops, library calls, bytes between kernels."""
    built = build(cell, engine=engine)
    with jax.enable_x64(built.x64):
        dynamics = built.family(built.params)
        keys = jax.random.split(jax.random.key(0), LANES)
        state = jax.eval_shape(jax.vmap(dynamics.start, out_axes=-1), keys)
        many = getattr(dynamics, function)
        if function == "stride":
            many = partial(many, count=64)
        if not dynamics.lanes_last:
            many = jax.vmap(many, in_axes=-1, out_axes=-1)
        found = jax.jit(many).lower(state).compile().cost_analysis()
    names = ("flops", "transcendentals", "bytes accessed")
    return tuple(found.get(name, 0.0) / LANES for name in names)


@pytest.mark.parametrize(("function", "flops", "moved"), [("step", 123, 77), ("verdict", 80, 22)])
def test_the_reduced_engine_does_no_more_than_it_did(function, flops, moved):
    """Four scalars in and out are 32 bytes; sines are polynomials, not calls of a library.

    Two more numbers are written and read, so that they are computed once for all four.
    """
    found = cost(Cell(k=25, ratio=4.0, step_size=0.05), "reduced", function)
    assert found[0] <= flops
    assert found[1] == 0
    assert found[2] <= moved


@pytest.mark.parametrize(("function", "passes"), [("stride", 3.5), ("step", 3.0), ("verdict", 1.7)])
def test_the_full_engine_moves_its_state_no_more_often_than_it_did(function, passes):
    """In reads and writes of the state, 8 bytes for each of p + k numbers; 1 is the floor.

    A stride is 64 steps, of which the compiler counts one besides what comes before and after.
    """
    cell = Cell(k=25, p=6, ratio=4.0, step_size=0.05)
    assert cost(cell, "full", function)[2] / (8 * (cell.k + cell.p)) <= passes


@pytest.mark.skipif(not has_one_kernel(), reason="there are kernels for each operation")
def test_lanes_are_run_by_one_kernel_that_moves_no_more_than_it_did():
    """A step copies the angles alone: in the wide stage (320 lanes at a time) and in the tail.

    Everything between two drawings of starts is one kernel, and so is the tail.
    """
    built = build(Cell(k=25, ratio=4.0, step_size=0.05), engine="reduced")
    work = work_of([Job(built.params, 0, 1, 1)], [Piece(0, 0, 0, 1)], 0, built.settings)
    text = launch.lower(built.family, built.settings, work, blank(built.settings))
    text = text.compile().as_text()
    assert text.count("= f32[320]{0} copy(") <= 1
    tail = tail_block(built.settings.width)
    assert text.count(f"= f32[{tail}]{{0}} copy(") <= 1
    # Nor are the results: a million slots.
    assert text.count("= u8[1049281]{0} copy(") == 0
    assert text.count("= u32[1049281]{0} copy(") == 0
    calls = [line for line in text.splitlines() if " call(" in line and "jit(launch)" in line]
    assert sum('xla_cpu_small_call="true"' in line for line in calls) > 0


@pytest.mark.skipif(not has_one_kernel() or cpu_count() < 2, reason="needs two cores")
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "flow", "full"])
def test_nothing_of_a_launch_is_dealt_out_to_threads(optimizer):
    """Each core has a launch of its own: half of an operation would wait for the other core.

    One costly enough is divided by the compiler, unless it is inside a kernel ("computed").
    """
    full = optimizer == "full"
    cell = Cell(k=25, ratio=4.0, step_size=0.05, optimizer="sgd" if full else optimizer)
    built = build(cell, engine="full" if full else "auto")
    work = work_of([Job(built.params, 0, 1, 1)], [Piece(0, 0, 0, 1)], 0, built.settings)
    text = launch.lower(built.family, built.settings, work, blank(built.settings))
    lines = text.compile().as_text().splitlines()
    mark = 'outer_dimension_partitions":["'
    costly = jax.jit(lambda x: jnp.sin(x) * jnp.cos(x)).lower(jnp.ones(10**5))
    assert mark in costly.compile().as_text()
    divided = [line for line in lines if mark in line]
    assert [line for line in divided if "jit(computed)" not in line] == []


def test_a_grid_compiles_once_and_wastes_no_more_lane_steps_than_it_did():
    """Useful steps are the problem's own: two per cent for another processor's rounding."""
    cells = [
        Cell(k=k, ratio=ratio, step_size=step_size, p=p)
        for k, ratio, step_size, p in ((25, 4.0, 0.05, 6), (36, 1.0, 0.02, 6), (30, 9.0, 0.04, 8))
    ]
    before = launch.compilations()
    built = [build(cell, engine="reduced") for cell in cells]
    jobs = [Job(b.params, 0, 20_000, c.max_steps) for b, c in zip(built, cells, strict=True)]
    _, account = run(built[0].family, jobs, seed=0, settings=built[0].settings, streams=1)
    assert launch.compilations() - before <= 1
    assert account.useful_steps == pytest.approx(6.07e6, rel=0.02)
    assert account.lane_steps <= 7.0e6


def test_many_restarts_keep_the_lanes_busy():
    """The tail is paid once a launch, so utilisation rises with the restarts."""
    cell = Cell(k=25, ratio=4.0, step_size=0.05, teacher_norm=0.55)
    built = build(cell, engine="reduced")
    job = Job(built.params, 0, 2**17, cell.max_steps)
    _, account = run(built.family, [job], seed=0, settings=built.settings, streams=1)
    assert account.utilisation >= 0.96
