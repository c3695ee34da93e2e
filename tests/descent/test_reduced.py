"""Four scalars against the full state, restart by restart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import RefusedError
from jaxcnn.base.outcome import Outcome
from jaxcnn.descent import reduced
from jaxcnn.descent.certificate import certificate
from jaxcnn.descent.full import scalars
from jaxcnn.descent.kernel import RELU
from jaxcnn.study.build import build
from jaxcnn.study.estimate import estimate

STEPS = 3000


def side_by_side(cell, restarts, seed):
    """Both runs from one start.

    Returns for each restart the largest difference of a scalar, whether some step could have
    overshot φ = 0 or π, the first certificates of both runs, and the time of the reduced one's.
    """
    params = jax.tree.map(jnp.asarray, build(cell, engine="full", dtype="float64").params)
    dynamics = build(cell, engine="full", dtype="float64").family(params)
    target, rates = params.target, params.rates

    def one(key):
        state = dynamics.start(key)
        at = scalars(state, target)

        def body(n, carry):
            state, at, gap, leaps, full_code, code, when = carry
            full_code = jnp.where(full_code == 0, dynamics.verdict(state), full_code)
            new = certificate(RELU, rates, at)
            leaps |= rates.c_filter * jnp.abs(at.s) * RELU.values(at.angle).h > at.r2
            when = jnp.where((code == 0) & (new != 0), n, when)
            code = jnp.where(code == 0, new, code)
            state, at = dynamics.step(state), reduced.step(RELU, rates, at)
            apart = [jnp.abs(x - y) for x, y in zip(scalars(state, target), at, strict=True)]
            return (
                state,
                at,
                jnp.maximum(gap, jnp.max(jnp.stack(apart))),
                leaps,
                full_code,
                code,
                when,
            )

        zero = jnp.int32(0)
        carry = (state, at, jnp.float64(0), jnp.bool_(False), zero, zero, jnp.int32(STEPS))
        return lax.fori_loop(0, STEPS, body, carry)[2:]

    keys = jax.random.split(jax.random.key(seed), restarts)
    return map(np.asarray, jax.jit(jax.vmap(one))(keys))


@pytest.mark.parametrize(
    "cell",
    [
        Cell(k=12, p=5, ratio=2.0, step_size=0.1),
        pytest.param(
            Cell(k=5, p=3, ratio=4.9, step_size=0.05, teacher_norm=0.5, init="gaussian"),
            marks=pytest.mark.heavy,
        ),
        pytest.param(
            Cell(k=7, p=2, ratio=0.0, step_size=0.2, teacher_norm=2.0, filter_init="gaussian"),
            marks=pytest.mark.heavy,
        ),
    ],
    ids=["ball", "gaussian", "gaussian v"],
)
def test_full_and_reduced_take_the_same_steps(cell):
    """To 10⁻¹² over 3000 steps, for starts decided within 300 (not beside the separatrix)."""
    gap, leaps, full_code, code, when = side_by_side(cell, restarts=100, seed=0)
    early = (when <= 300) & ~leaps
    assert early.mean() > 0.6
    assert gap[early].max() < 1e-12
    assert np.array_equal(full_code, code)
    assert np.isin(code[when < STEPS], (Outcome.GLOBAL, Outcome.SPURIOUS)).all()


def small(c):
    return Cell(k=25, ratio=4.0, step_size=2 * np.pi * c)


def test_float32_is_not_used_where_increments_round_away():
    assert build(small(1.01e-5)).dtype == "float32"
    assert build(small(9.9e-6)).dtype == "float64"
    with pytest.raises(RefusedError, match="float64"):
        build(small(9.9e-6), dtype="float32")
    slow = Cell(k=25, ratio=4.0, step_size=0.1, filter_step_size=1e-5)
    assert build(slow).dtype == "float64"
    assert build(small(1.01e-5), engine="full").dtype == "float32"
    assert build(small(9.9e-6), engine="full").dtype == "float64"
    with pytest.raises(RefusedError, match="float64"):
        build(small(9.9e-6), engine="full", dtype="float32")


def theory_starts(cell, restarts, seed):
    """The starts of restarts 0, 1, … of `estimate`, as scalars."""
    from tests.engine.foreign import keys

    built = build(cell)
    start = built.family(jax.tree.map(jnp.asarray, built.params)).start
    return jax.tree.map(np.asarray, jax.vmap(start)(keys(seed, 0, restarts)))


@pytest.mark.heavy
def test_theorem_4_1_good_starts_always_arrive():
    """s₀ > 0, |u₀| ≤ |U|, φ₀ < π/2 and a small step: the global minimum, without exception."""
    for ratio in (0.5, 4.0):
        cell = Cell(k=25, ratio=ratio, step_size=0.02)
        at = theory_starts(cell, 4000, seed=3)
        total2 = cell.ratio * cell.teacher_norm**2
        u_over_total = 1 - at.m / total2
        good = (at.s > 0) & (at.angle < np.pi / 2) & (np.abs(u_over_total) <= 1)
        found = estimate(cell, restarts=4000, seed=3)
        assert good.sum() > 800
        assert (found.outcomes[good] == Outcome.GLOBAL).all()
        assert (found.outcomes[~good] == Outcome.SPURIOUS).any()


class Signed(reduced.ReducedDescent):
    """Reduced descent from (±v, ±a): the signs are part of the parameters."""

    def __call__(self, params):
        rest, (sign_v, sign_a) = params
        inner = reduced.ReducedDescent.__call__(self, rest)

        def start(key):
            at = inner.start(key)
            sum2 = rest.rates.sum2
            return at._replace(
                angle=jnp.where(sign_v > 0, at.angle, jnp.pi - at.angle),
                s=sign_a * at.s,
                m=sum2 - sign_a * (sum2 - at.m),
            )

        return inner._replace(start=start)


@pytest.mark.heavy
def test_theorem_4_2_one_of_four_signs_always_arrives():
    from jaxcnn.engine.run import Job, run

    for ratio in (0.1, 1.0, 8.0):
        built = build(Cell(k=25, ratio=ratio, step_size=0.05))
        signs = [np.array(s, np.float32) for s in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        jobs = [Job((built.params, s), 0, 1500, 10**6) for s in signs]
        results, _ = run(
            Signed(*built.family), jobs, seed=4, settings=built.settings._replace(width=512)
        )
        arrived = np.stack([r.outcomes == Outcome.GLOBAL for r in results])
        assert arrived.any(axis=0).all()
        assert not arrived.all()
        # Hence plain success has probability at least ¼ (false alarm of 5σ: 3·10⁻⁷).
        assert arrived[0].mean() > 0.25 - 5 * np.sqrt(0.25 * 0.75 / 1500)


@pytest.mark.heavy
def test_theorem_4_3_and_the_critical_ratio():
    """Small ratio: SPURIOUS with probability ≥ ¼ (here ½: 20σ away). Above critical: never."""
    low = estimate(Cell(k=25, ratio=0.05, step_size=0.05), restarts=2000, seed=5)
    assert low.counts.spurious >= 500
    high = estimate(Cell(k=25, ratio=8.7, step_size=0.05), restarts=2000, seed=5)
    assert high.counts.spurious == 0
    assert high.counts.global_ >= 1990
