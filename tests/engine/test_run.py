"""Jobs through the engine: known answers, and the same answers however the work is cut."""

import hashlib
import math
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError
from jaxcnn.base.outcome import Outcome
from jaxcnn.engine import run as run_module
from jaxcnn.engine.address import INDEX_LIMIT, WORD
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import Batch, draw_seconds, launch_as_set, run, run_batches
from jaxcnn.study.build import build
from tests.engine.foreign import Clock, DoubleWell, SlowFailure, Walk, keys

ROOT = Path(__file__).parents[2]
SMALL = LaneSettings(width=64, check_every=4, tasks=4, capacity=1024)
WELL = {"h": np.float32(0.1)}


def well(jobs, settings=SMALL, **more):
    return run(DoubleWell(), jobs, seed=11, settings=settings, **more)


def well_job(first, count, h=0.1, max_steps=10_000):
    return Job({"h": np.float32(h)}, first, count, max_steps)


@pytest.fixture(scope="module")
def reference():
    (result,), _ = well([well_job(0, 3000)])
    return result


def test_double_well_has_its_known_answer(reference):
    """Every restart by the sign of its start; the share within 5σ of ⅔ (false alarm 6·10⁻⁷)."""
    draw = jax.vmap(lambda key: jax.random.uniform(key, (), jnp.float32, -1.0, 2.0))
    starts = np.asarray(draw(keys(11, 0, 3000)))
    expected = np.where(starts > 0, Outcome.GLOBAL, Outcome.SPURIOUS)
    assert np.array_equal(reference.outcomes, expected)
    share = np.mean(reference.outcomes == Outcome.GLOBAL)
    assert abs(share - 2 / 3) < 5 * math.sqrt(2 / 9 / 3000)
    # Starts beyond the edge are decided before any step.
    assert np.array_equal(reference.steps == 0, np.abs(starts) > np.float32(0.9))


@pytest.mark.parametrize("streams", [1, 3])
def test_a_restart_is_the_same_whatever_the_cut_and_the_company(reference, streams):
    jobs = [well_job(2500, 500), well_job(0, 700, h=0.02), well_job(700, 1800), well_job(0, 700)]
    results, _ = well(jobs, streams=streams)
    for job, result in zip(jobs, results, strict=True):
        if job.params["h"] == np.float32(0.1):
            span = slice(job.first, job.first + job.count)
            assert np.array_equal(result.outcomes, reference.outcomes[span])
            assert np.array_equal(result.steps, reference.steps[span])
    assert np.array_equal(results[1].outcomes, reference.outcomes[:700])


@pytest.mark.parametrize("change", [{"width": 256, "capacity": 192}, {"tasks": 1, "capacity": 200}])
def test_a_restart_is_the_same_at_another_shape(reference, change):
    (result,), _ = well([well_job(0, 1500)], SMALL._replace(**change))
    assert np.array_equal(result.outcomes, reference.outcomes[:1500])
    assert np.array_equal(result.steps, reference.steps[:1500])


def test_an_odd_number_of_steps_between_verdicts_is_kept_to(reference):
    """On a CPU steps are taken two a turn."""
    one, three = (well([well_job(0, 500)], SMALL._replace(check_every=n))[0][0] for n in (1, 3))
    assert len(np.unique(one.steps % 6)) == 6
    assert np.array_equal(three.steps, -(-one.steps.astype(int) // 3) * 3)


def test_shared_parameters_change_nothing(reference):
    settings = SMALL._replace(shared=True)
    slow, fast = well([well_job(0, 200, h=0.02), well_job(0, 1500)], settings)[0]
    assert np.array_equal(fast.steps, reference.steps[:1500])
    assert slow.steps.sum() > fast.steps[:200].sum()


def test_indices_beyond_a_word_are_addresses_of_their_own(reference):
    first = WORD - 150
    (across,), _ = well([well_job(first, 300)])
    starts = jax.vmap(lambda key: jax.random.uniform(key, (), jnp.float32, -1.0, 2.0))
    expected = np.asarray(starts(keys(11, first, 300))) > 0
    assert np.array_equal(across.outcomes == Outcome.GLOBAL, expected)
    # Had the index wrapped, these would be restarts 0 … 149.
    assert not np.array_equal(across.steps[150:], reference.steps[:150])
    (last,), _ = well([well_job(INDEX_LIMIT - 5, 5)])
    assert np.isin(last.outcomes, (Outcome.GLOBAL, Outcome.SPURIOUS)).all()


@pytest.mark.parametrize("job", [well_job(-1, 2), well_job(0, -1), well_job(INDEX_LIMIT - 1, 2)])
def test_indices_out_of_range_are_refused(job):
    with pytest.raises(InputError, match="restarts"):
        well([job])


@pytest.mark.parametrize("width", [-64, 0, 65, 100, 2000])
def test_a_width_that_lanes_cannot_have_is_refused_in_one_line(width):
    settings, remedy = SMALL._replace(width=width), f"width = {width}: .*multiple of 64"
    with pytest.raises(InputError, match=remedy):
        well([well_job(0, 3)], settings)
    with pytest.raises(InputError, match=remedy):
        draw_seconds(DoubleWell(), well_job(0, 3), seed=0, settings=settings)


def test_what_has_landed_is_handed_over_while_the_rest_is_computed(reference):
    """Launch by launch: jobs complete once, in time, and what was paid adds up."""
    jobs = [well_job(0, 700), well_job(0, 0), *[well_job(0, 40)] * 9, well_job(700, 1500)]
    words = {"seed": 11, "settings": SMALL, "streams": 2}
    batch = Batch(DoubleWell(), jobs, SMALL)
    landings = [landing for _, landing in run_batches([batch], seed=11, streams=2)]
    results, account = run(DoubleWell(), jobs, **words)
    landed = [pair for landing in landings for pair in landing.done]
    assert sorted(number for number, _ in landed) == [0, *range(2, 12)]
    for number, result in landed:
        span = slice(jobs[number].first, jobs[number].first + jobs[number].count)
        for found in (result, results[number]):
            assert np.array_equal(found.outcomes, reference.outcomes[span])
            assert np.array_equal(found.steps, reference.steps[span])
            assert found.lane_steps >= found.steps.sum()
    assert len(landings) > 3
    assert landings[0].done  # the first launch ends with jobs that are complete
    for name, total in (("lane_steps", account.lane_steps), ("draws", account.draws)):
        assert sum(getattr(landing, name) for landing in landings) == total
    paid = sum(result.lane_steps for _, result in landed)
    assert account.lane_steps - len(jobs) - len(landings) < paid <= account.lane_steps
    assert sum(landing.restarts for landing in landings) == sum(job.count for job in jobs)


def test_batches_of_several_families_are_one_queue(reference):
    """One launch of the first and three of the second, for two streams."""
    clock = Batch(Clock(), [Job({"target": np.int32(3)}, 0, 10, 100)], SMALL)
    wells = Batch(DoubleWell(), [well_job(0, 2048 + 100)], SMALL)
    landings = list(run_batches([clock, wells], seed=11, streams=2))
    assert sorted(number for number, _ in landings) == [0, 1, 1, 1]
    (told,) = (result for number, each in landings if number for _, result in each.done)
    assert np.array_equal(told.outcomes, reference.outcomes[:2148])
    (timed,) = (result for number, each in landings if not number for _, result in each.done)
    assert (timed.outcomes == Outcome.GLOBAL).all() and (timed.steps == 4).all()


def test_leaving_early_begins_no_more_launches(monkeypatch):
    begun = []

    def counted(*arguments):
        begun.append(arguments)
        return launch_as_set(*arguments)

    batch = Batch(DoubleWell(), [well_job(0, 20_000)], SMALL)
    going = run_batches([batch], seed=11, streams=1)
    next(going)
    monkeypatch.setattr(run_module, "launch_as_set", counted)
    going.close()
    time.sleep(0.2)
    assert len(begun) <= 2  # of 20; the thread was in one


def test_what_fails_in_a_launch_is_raised_here(monkeypatch):
    def fails(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(run_module, "launch_as_set", fails)
    with pytest.raises(MemoryError, match="no room"):
        well([well_job(0, 3000)], streams=2)


def test_no_restarts_is_no_work():
    (empty, some), account = well([well_job(0, 0), well_job(0, 3)])
    assert empty.outcomes.shape == (0,)
    assert some.outcomes.shape == (3,)
    assert account.utilisation > 0
    assert well([well_job(0, 0)])[1].utilisation == 1.0


@pytest.mark.parametrize(("jobs", "launched"), [(4, [2, 2]), (5, [2, 3]), (17, [2, 3, 3, 3, 3, 3])])
def test_many_small_jobs_keep_both_streams_busy_to_the_end(reference, jobs, launched):
    # A launch takes four jobs: five in order would be four for one stream and one for the other.
    done = []
    small = [well_job(0, 32)] * jobs
    results, _ = well(small, streams=2, progress=lambda finished, _: done.append(finished))
    assert sorted(np.diff([0, *done]) // 32) == launched
    for result in results:
        assert np.array_equal(result.outcomes, reference.outcomes[:32])


def test_other_seeds_are_other_restarts(reference):
    (other,), _ = run(DoubleWell(), [well_job(0, 300)], seed=11 + 2**32, settings=SMALL)
    assert not np.array_equal(other.outcomes, reference.outcomes[:300])


def test_not_a_number_is_divergence():
    """h = 50 throws every undecided start to infinity within a dozen steps."""
    (result,), _ = well([well_job(0, 300, h=50.0)])
    assert set(np.unique(result.outcomes)) <= {
        Outcome.GLOBAL, Outcome.SPURIOUS, Outcome.DIVERGED,
    }  # fmt: skip
    assert np.sum(result.outcomes == Outcome.DIVERGED) == 0 or result.steps.max() < 100


CLOCKS = SMALL._replace(tasks=64)
"""One compiled shape for all clocks."""


@pytest.mark.parametrize("every", [1, 4])
def test_the_step_limit_to_the_step(every):
    """A run takes no step beyond its limit; a verdict within it counts, one beyond does not."""
    cases = [(t, limit) for t in (0, 1, 3, 4, 5, 9) for limit in (1, 3, 4, 5, 8, 9, 12)]
    settings = CLOCKS._replace(check_every=every)
    jobs = [Job({"target": np.int32(t)}, 0, 1, limit) for t, limit in cases]
    results, account = run(Clock(), jobs, seed=0, settings=settings)
    for (target, limit), result in zip(cases, results, strict=True):
        seen = -(-target // every) * every
        decided = seen <= limit
        assert result.outcomes[0] == (Outcome.GLOBAL if decided else Outcome.UNDECIDED)
        assert result.steps[0] == (seen if decided else limit // every * every)
    assert account.useful_steps == sum(
        -(-t // every) * every for t, m in cases if -(-t // every) * every <= m
    )


def test_the_largest_step_limit_does_not_overflow():
    (result,), _ = run(
        Clock(), [Job({"target": np.int32(9)}, 0, 5, 2**31 - 1)], seed=0, settings=CLOCKS
    )
    assert np.array_equal(result.steps, [12] * 5)


def test_slow_failures_are_counted_like_fast_successes():
    """A closed prefix of indices holds every restart: no length bias, restart by restart."""
    (result,), account = run(
        SlowFailure(), [Job({"p": np.float32(0.3)}, 0, 700, 10_000)], seed=5, settings=SMALL
    )
    heads = np.asarray(
        jax.vmap(lambda key: jax.random.bernoulli(key, jnp.float32(0.3)))(keys(5, 0, 700))
    )
    assert np.array_equal(result.outcomes, np.where(heads, Outcome.GLOBAL, Outcome.SPURIOUS))
    assert np.array_equal(result.steps, np.where(heads, 8, 4000))
    assert account.useful_steps == np.sum(np.where(heads, 8, 4000))
    assert account.lane_steps >= account.useful_steps


def test_keys_travel_with_the_lanes():
    """Each walk, step for step, as a plain loop over one restart takes it."""
    (result,), _ = run(
        Walk(), [Job({"size": np.float32(0.5)}, 0, 150, 4000)], seed=2, settings=SMALL
    )
    dynamics = Walk()({"size": jnp.float32(0.5)})
    step, verdict = jax.jit(dynamics.step), jax.jit(dynamics.verdict)
    for index in (0, 77, 149):
        state, code = dynamics.start(keys(2, index, 1)[0]), 0
        while code == 0:
            for _ in range(4):
                state = step(state)
            code = int(verdict(state))
        assert code == result.outcomes[index]
        assert int(state[2]) == result.steps[index]


def test_progress_ends_at_the_total():
    seen = []
    well([well_job(0, 2500)], streams=1, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2500, 2500)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_two_families_with_equal_fields_are_two_programs():
    """Families are told apart by their type, though two named tuples compare equal without it."""
    jobs = [Job({"target": np.int32(0)}, 0, 9, 10)]
    (clock,), _ = run(Clock(), jobs, seed=0, settings=CLOCKS)

    class Never(Clock):
        def __call__(self, params):
            return Clock.__call__(self, params)._replace(verdict=lambda n: jnp.int32(0))

    (never,), _ = run(Never(), jobs, seed=0, settings=CLOCKS)
    assert (clock.outcomes == Outcome.GLOBAL).all()
    assert (never.outcomes == Outcome.UNDECIDED).all()


def test_drawing_is_timed():
    assert 0 < draw_seconds(DoubleWell(), well_job(0, 64), seed=0, settings=SMALL) < 1


COMPILED = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _, **more: (
        COMPILED.append(str(more.get("fun_name")))
        if event == "/jax/core/compile/backend_compile_duration"
        else None
    )
)


def compilations(jobs, built, settings):
    COMPILED.clear()
    run(built.family, jobs, seed=0, settings=settings, streams=1)
    return sum("launch" in name for name in COMPILED)


def test_a_grid_of_cells_costs_one_compilation_on_four_scalars():
    settings = LaneSettings(width=32, check_every=4, tasks=3, capacity=256)
    cells = [
        Cell(k=k, ratio=share * k, teacher_norm=norm, step_size=eta, p=p)
        for k, eta, p in ((3, 0.5, 2), (25, 0.05, 6), (10**6, 1e-6 * 2, 10**5))
        for share, norm in ((0.1, 0.5), (0.9, 2.0))
    ]
    built = [build(cell, engine="reduced", settings=settings, dtype="float64") for cell in cells]
    jobs = [Job(b.params, 0, 40, 200) for b in built]
    COMPILED.clear()
    results, _ = run(built[0].family, jobs, seed=0, settings=settings, streams=1, x64=True)
    assert sum("launch" in name for name in COMPILED) == 1
    assert len({b.family for b in built}) == 1
    assert all((r.outcomes > 0).all() for r in results)


def test_a_grid_of_cells_costs_one_compilation_on_the_full_state():
    """Padded to 4 patches; and padding changes no outcome."""
    settings = LaneSettings(width=32, check_every=8, shared=True, capacity=256)
    cells = [Cell(k=k, ratio=r, p=2, step_size=0.2) for k, r in ((2, 1.0), (3, 1.0), (4, 2.0))]
    padded = [build(cell, engine="full", settings=settings, patches=4) for cell in cells]
    jobs = [Job(b.params, 0, 200, 20_000) for b in padded]
    COMPILED.clear()
    results, _ = run(padded[0].family, jobs, seed=0, settings=settings, streams=1)
    assert sum("launch" in name for name in COMPILED) == 1
    plain = build(cells[1], engine="full", settings=settings)
    (alone,), _ = run(plain.family, [Job(plain.params, 0, 200, 20_000)], seed=0, settings=settings)
    # Padding regroups sums, so a step count may move by one check.
    assert np.array_equal(alone.outcomes, results[1].outcomes)
    assert np.abs(alone.steps.astype(int) - results[1].steps.astype(int)).max() <= 8
    starts = [
        jax.vmap(one.family(jax.tree.map(jnp.asarray, one.params)).start)(keys(0, 0, 50))
        for one in (plain, padded[1])
    ]
    np.testing.assert_array_equal(starts[1].v, starts[0].v)
    np.testing.assert_allclose(starts[1].a[:, :3], starts[0].a, rtol=1e-6, atol=1e-7)
    assert not np.any(starts[1].a[:, 3:])


def child(program, devices=1):
    """Run a program in a fresh process; returns its standard output."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=900, check=True,
    )  # fmt: skip
    return done.stdout


def test_two_devices_give_the_outcomes_of_one():
    program = """
    import hashlib, jax, numpy as np
    from jaxcnn.engine.run import run
    from tests.engine.test_run import SMALL, DoubleWell, well_job
    assert len(jax.local_devices()) == 2
    (result,), _ = run(DoubleWell(), [well_job(0, 3000)], seed=11, settings=SMALL)
    print(hashlib.sha256(result.outcomes.tobytes() + result.steps.tobytes()).hexdigest())
    """
    (one,), _ = well([well_job(0, 3000)])
    expected = hashlib.sha256(one.outcomes.tobytes() + one.steps.tobytes()).hexdigest()
    assert child(program, devices=2).strip() == expected


@pytest.mark.heavy
def test_ten_million_restarts_of_a_cell_fit_in_a_gibibyte():
    """By VmHWM: the peak that `resource` knows begins with that of the process that forked."""
    program = """
    import jaxcnn
    cell = jaxcnn.Cell(k=25, ratio=4.0, step_size=0.05)
    print(jaxcnn.estimate(cell, restarts=10**7).restarts)
    with open("/proc/self/status") as status:
        print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
    """
    restarts, kibibytes = map(int, child(program).split())
    assert restarts == 10**7
    assert kibibytes < 2**20


@pytest.mark.heavy
def test_table_1_keeps_the_lanes_busy():
    """Utilisation over the 36 cells at 10⁵ restarts each."""
    cells = [
        Cell(k=k, ratio=r, teacher_norm=0.55, step_size=0.05)
        for k in (25, 36, 49, 64, 81, 100)
        for r in (0.0, 1.0, 4.0, 9.0, 16.0, 25.0)
    ]
    built = [build(cell) for cell in cells]
    jobs = [Job(b.params, 0, 100_000, 1_000_000) for b in built]
    _, account = run(built[0].family, jobs, seed=0, settings=built[0].settings)
    assert account.utilisation >= 0.8
