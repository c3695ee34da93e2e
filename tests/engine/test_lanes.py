"""The same arithmetic at every width: states agree to the last bit."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn.base.cell import Cell
from jaxcnn.base.outcome import Outcome
from jaxcnn.engine import lanes as engine_lanes
from jaxcnn.engine.address import block_words
from jaxcnn.engine.compiling import NO_LIBRARY, one_kernel
from jaxcnn.engine.dynamics import Dynamics
from jaxcnn.engine.lanes import LaneProgram, Lanes, LaneSettings, Work
from jaxcnn.engine.launch import lane_steps, launch, tail_block
from jaxcnn.engine.packing import Table
from jaxcnn.engine.pieces import Job, Piece, work_of
from jaxcnn.engine.run import run
from jaxcnn.study.build import build
from jaxcnn.study.built import Start

STEPS = 4000


def states(built, widths):
    """The state of lanes 0, 1, … after `STEPS` steps, computed at each width."""
    with jax.enable_x64(built.x64):
        work = Work(
            params=Table.of([built.params]),
            roots=jnp.asarray(block_words(3, 0))[None],
            low=jnp.zeros(1, jnp.uint32),
            ends=jnp.full(1, max(widths), jnp.int32),
            max_steps=jnp.full(1, 10**9, jnp.int32),
            every=jnp.int32(8),
        )

        def program(work, width):
            settings = built.settings._replace(width=width, tasks=1)
            return LaneProgram(built.family, work, settings)

        draw = lambda w: program(w, max(widths)).draw(jnp.int32(0))  # noqa: E731
        pool = jax.jit(draw, compiler_options=NO_LIBRARY)(work)
        for width in widths:

            def advance(work, lanes, width=width):
                several = program(work, width)
                body = lambda i, lanes: several.advance(lanes, i)  # noqa: E731
                run = lambda lanes: lax.fori_loop(0, STEPS // 8, body, lanes)  # noqa: E731
                return (one_kernel(run) if several.joins_steps else run)(lanes)

            some = jax.tree.map(lambda x, width=width: x[..., :width], pool)
            zero = jnp.zeros_like(some.slot)
            lanes = Lanes(*some, born=zero, code=zero, age=zero)
            advanced = jax.jit(advance, compiler_options=NO_LIBRARY)(work, lanes)
            yield width, jax.tree.map(np.asarray, advanced.state)


@pytest.mark.parametrize(
    ("engine", "dtype", "k", "widths"),
    [
        ("reduced", "float32", 25, (960, 320, 64, 16)),
        ("reduced", "float64", 25, (512, 64)),
        ("full", "float32", 100, (320, 64)),
        pytest.param("full", "float32", 9, (448, 64), marks=pytest.mark.heavy),
        pytest.param("reduced", "float32", 10**4, (8192, 1024, 256, 32), marks=pytest.mark.heavy),
        pytest.param("full", "float32", 100, (2048, 256, 32), marks=pytest.mark.heavy),
        pytest.param("full", "float64", 6, (4096, 512, 64), marks=pytest.mark.heavy),
    ],
)
def test_states_agree_to_the_last_bit_at_every_width(engine, dtype, k, widths):
    """Thousands of steps of the chaos-free map would turn an ulp into many."""
    cell = Cell(k=k, ratio=4.0, step_size=min(0.1 / k**0.5, 4 / k), teacher_norm=0.6)
    found = dict(states(build(cell, engine=engine, dtype=dtype), widths))
    widest = found[max(widths)]
    for width, matrices in found.items():
        for narrow, wide in zip(matrices, widest, strict=True):
            assert np.array_equal(narrow, wide[:, :width])


class Fingerprint(NamedTuple):
    """Another family whose verdict, at a random step, is a byte of its state's bits."""

    inner: Any

    def __call__(self, params: Any) -> Dynamics:
        inner = self.inner(params)

        def start(key):
            end = jax.random.randint(jax.random.fold_in(key, 99), (), 1000, 4000, jnp.int32)
            return inner.start(key), jnp.int32(0), end

        def verdict(state):
            at, n, end = state
            bits = [lax.bitcast_convert_type(x, jnp.uint32) for x in at]
            mixed = bits[0] ^ (bits[1] << 7) ^ (bits[2] << 13) ^ (bits[3] << 19)
            mixed = (mixed * jnp.uint32(2654435761)) >> 16
            return jnp.where(n >= end, 6 + (mixed % 200).astype(jnp.int32), 0)

        return Dynamics(
            start,
            lambda state: (inner.step(state[0]), state[1] + 1, state[2]),
            verdict,
            one_kernel=inner.one_kernel,
        )


def test_states_agree_to_the_last_bit_through_the_narrowing_tail():
    """Float32 lanes end at steps 1000 … 4000 in whatever width the launch has come down to."""
    built = build(Cell(k=25, ratio=4.0, step_size=0.01, teacher_norm=0.6))
    found = []
    for width in (960, 64):
        settings = LaneSettings(width=width, tasks=1, capacity=4096)
        job = Job(built.params, 0, 4096, 10**6)
        (result,), _ = run(Fingerprint(built.family), [job], seed=1, settings=settings, streams=1)
        found.append(result)
    assert len(np.unique(found[0].outcomes)) > 150
    for other in found[1:]:
        assert np.array_equal(found[0].outcomes, other.outcomes)
        assert np.array_equal(found[0].steps, other.steps)


@pytest.mark.parametrize("width", [1, pytest.param(8, marks=pytest.mark.heavy), 48])
def test_a_few_lanes_come_to_the_same_outcomes(width):
    """Less than sixteen lanes have no sixteenth that could be done."""
    built = build(Cell(k=9, ratio=2.0, step_size=0.2))
    job = Job(built.params, 0, 60, 10**5)
    results = []
    for lanes in (64, width):
        # The shape of test_persistent.py: 64 lanes are compiled once for both.
        settings = LaneSettings(width=lanes, tasks=4, capacity=256)
        (result,), _ = run(built.family, [job], seed=1, settings=settings, streams=1)
        results.append(result)
    assert np.array_equal(results[0].outcomes, results[1].outcomes)
    assert np.array_equal(results[0].steps, results[1].steps)


def test_lane_steps_add_up_over_the_wide_stage_and_the_tail():
    settings = LaneSettings(width=4096, check_every=8)
    assert tail_block(4096) == 128
    assert [tail_block(width) for width in (8, 48, 64, 448, 960, 2048)] == [8, 48, 32, 32, 32, 64]
    assert lane_steps(np.array([3, 5]), settings) == 8 * (3 * 4096 + 5 * 128)


class Still(NamedTuple):
    """Moves for 40 steps and then stands still, undecided."""

    name: str = "still"

    def __call__(self, params: Any) -> Dynamics:
        return Dynamics(
            start=lambda key: params["zero"],
            step=lambda x: jnp.minimum(x + 1, 40),
            verdict=lambda x: jnp.int32(0),
        )


def test_a_lane_that_stands_still_is_given_the_limit_at_once():
    """10⁹ steps at the limit, a dozen paid for."""
    settings = LaneSettings(width=32, check_every=8, tasks=1, capacity=64)
    job = Job({"zero": np.float32(0)}, 0, 20, 10**9 + 3)
    (result,), account = run(Still(), [job], seed=0, settings=settings)
    assert (result.outcomes == Outcome.UNDECIDED).all()
    assert (result.steps == (10**9 + 3) // 8 * 8).all()
    assert account.lane_steps < 32 * 8 * 12


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize("first", [0, 64, 192])
def test_slots_find_their_tasks(one_by_one, first, monkeypatch):
    """Against a search; beyond the total any task that pads the work."""
    monkeypatch.setattr(engine_lanes, "in_turn", lambda _: one_by_one)
    built = build(Cell(k=9, ratio=2.0, step_size=0.1), engine="reduced")
    settings = built.settings._replace(width=64, tasks=6)
    jobs = [Job(built.params, 0, count, 10) for count in (3, 64, 1, 100)]
    pieces = [Piece(i, 0, 0, job.count) for i, job in enumerate(jobs)]
    work = work_of(jobs, pieces, 0, settings)

    def tasks(work, first):
        return LaneProgram(built.family, work, settings).tasks(first, 64)

    found = np.asarray(jax.jit(tasks)(work, jnp.int32(first)))
    slots = first + np.arange(64)
    inside = slots < 168
    expected = np.searchsorted(work.ends, slots, side="right")
    np.testing.assert_array_equal(found[inside], expected[inside])
    assert np.all(found[~inside] >= 3)


def test_equal_families_that_differ_in_kind_are_compiled_as_each_wants():
    """Families are tuples: two of one law and kernel are equal, and one may not be joined."""

    class Joined(NamedTuple):
        number: int = 1

        def __call__(self, params):
            return Dynamics(None, None, None, one_kernel=True)

    class Plain(Joined):
        def __call__(self, params):
            return Dynamics(None, None, None, one_kernel=False)

    built = build(Cell(k=9, ratio=2.0, step_size=0.1), engine="reduced")
    work = work_of([Job(built.params, 0, 1, 1)], [Piece(0, 0, 0, 1)], 0, built.settings)
    assert Joined() == Plain()
    assert launch._of(Plain(), work) is launch.plain
    assert launch._of(Joined(), work) is launch.with_kernels


def test_a_start_that_needs_no_key_runs():
    """Of one task a launch then reads next to nothing, which XLA may not be asked to skip."""
    start = Start(a=np.linspace(0.1, 0.5, 9), v=np.array([1.0, 0.2, 0.0, 0.1]))
    built = build(Cell(k=9, p=4, ratio=2.0, step_size=0.1), engine="full", start=start)
    settings = built.settings._replace(width=64, capacity=128)
    (result,), _ = run(built.family, [Job(built.params, 0, 100, 10**4)], seed=0, settings=settings)
    assert len(set(result.outcomes.tolist())) == len(set(result.steps.tolist())) == 1
