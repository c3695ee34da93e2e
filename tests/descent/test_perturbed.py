"""Perturbed descent: its noise, its schedule, its law on four scalars, the published result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from stepping import built64, close, walk

from jaxcnn.base.cell import Cell
from jaxcnn.descent.full import scalars
from jaxcnn.descent.perturbed import Noise, in_ball, strength
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.study.build import build
from jaxcnn.study.estimate import estimate
from jaxcnn.study.run_study import sweep

SHORT = {"noise_epoch": 20, "noise_epochs": 2, "noise_filter": 1.0}
CELL = Cell(k=9, ratio=4.0, p=5, optimizer="perturbed", **SHORT)


def test_noise_is_uniform_on_the_ball():
    """Radius⁴ and one direction cosine, Kolmogorov–Smirnov, false alarms 1e-4 each."""
    shape = jnp.array([1.0, 1.0, 0.0, 1.0, 1.0])
    keys = jax.random.split(jax.random.key(0), 4000)
    points = np.asarray(jax.vmap(lambda k: in_ball(k, shape, jnp.asarray(4.0)))(keys))
    assert np.all(points[:, 2] == 0)
    radius = np.linalg.norm(points, axis=1)
    assert stats.kstest(radius**4, "uniform").pvalue > 1e-4
    square = (points[:, 0] / radius) ** 2
    assert stats.kstest(square, stats.beta(0.5, 1.5).cdf).pvalue > 1e-4


def test_schedule():
    numbers = (2.0, 1.0, 0.5, 100.0, 3.0)
    noise = Noise(*(jnp.asarray(x) for x in numbers), ())
    got = [float(strength(noise, jnp.int32(t))) for t in (0, 99, 100, 299, 300, 10**6)]
    assert got == [1.0, 1.0, 0.5, 0.25, 0.0, 0.0]


def test_filter_is_on_the_sphere_while_the_noise_is_on_then_plain_descent():
    built = built64(CELL, engine="full")
    noisy = walk(built, 39)
    close(jnp.linalg.norm(noisy.student.v), 1.0)
    state = walk(built, 1, state=noisy)
    after = walk(built, 200, state=state)
    plain = built64(Cell(k=9, ratio=4.0, p=5, filter_step_size=0.2), engine="full")
    then = walk(plain, 200, state=state.student)
    close(jnp.concatenate(after.student), jnp.concatenate([then.v, then.a]), 1e-10)
    # On four scalars the same start makes the same plain steps.
    small = built64(CELL)
    assert small.engine == "reduced"
    at = scalars(state.student, built.params.target)
    quiet = walk(small, 1)._replace(at=at, age=jnp.int32(40))
    expected = scalars(after.student, built.params.target)
    for one, other in zip(walk(small, 200, state=quiet).at, expected, strict=True):
        close(one, other, 1e-9)


LAWS = {
    "narrow": {"noise_filter": 0.7, "noise_output": 0.5},
    "wide": {"noise_filter": 20.0, "noise_output": 0.1, "p": 2, "k": 3, "ratio": 1.5},
    "along 1": {"noise_filter": 0.3, "noise_output": 0.2, "k": 6, "ratio": 6.0, "p": 3},
    "gaussian v": {"noise_filter": 2.0, "filter_init": "gaussian", "p": 3},
    "one patch": {"noise_filter": 2.0, "k": 1, "ratio": 1.0},
}


@pytest.mark.parametrize(
    "name", ["narrow", *(pytest.param(n, marks=pytest.mark.heavy) for n in LAWS if n != "narrow")]
)
def test_four_scalars_have_the_law_of_the_full_state(name):
    """φ, s, M after 1 and 30 noisy steps of 6000 runs; two-sample tests at 1e-5 each."""
    ends = {}
    for engine in ("full", "reduced"):
        built = build(CELL.with_(**LAWS[name]), engine=engine)
        dynamics = built.family(jax.tree.map(jnp.asarray, built.params))

        def one(key, dynamics=dynamics, engine=engine, params=built.params):
            def step(state, _):
                state = dynamics.step(state)
                if engine == "reduced":
                    return state, state.at
                return state, scalars(state.student, params.target)

            path = jax.lax.scan(step, dynamics.start(key), length=30)[1]
            return [jax.tree.map(lambda x, i=i: x[i], path) for i in (0, 29)]

        keys = jax.random.split(jax.random.key(len(engine)), 6000)
        ends[engine] = jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(keys))
    for full, reduced in zip(ends["full"], ends["reduced"], strict=True):
        pairs = [*zip(full[:3], reduced[:3], strict=True)]
        # A direction in which dependence of φ and s on each other would show.
        pairs.append(tuple((x.angle - 1.5) * (x.s - full.s.mean()) for x in (full, reduced)))
        for x, y in pairs:
            assert stats.ks_2samp(x, y).pvalue > 1e-5


def test_annealed_noise_always_succeeds_and_little_noise_does_not():
    """The defaults on a cell where plain descent succeeds in half of the runs."""
    cell, settings = (
        Cell(k=25, ratio=1.0, optimizer="perturbed"),
        LaneSettings(128, 64, capacity=1024),
    )
    assert estimate(cell, restarts=200, settings=settings).counts.global_ == 200
    small = estimate(cell, noise_filter=0.2, noise_output=0.2, restarts=200, settings=settings)
    assert small.p_global < 0.75


@pytest.mark.heavy
def test_full_state_succeeds_too():
    cell = Cell(k=25, ratio=1.0, optimizer="perturbed")
    assert estimate(cell, restarts=300, engine="full").counts.global_ == 300


@pytest.mark.heavy
def test_the_published_result(tmp_path):
    """Zhou et al.: 100 % on the whole grid at p = 6, by the defaults."""
    rows = sweep(
        out=tmp_path / "run",
        restarts=300,
        fixed={"optimizer": "perturbed"},
        grid={"k": [25, 36, 49, 64, 81, 100], "ratio": [0, 1, 4, 9, 16, 25]},
    )
    assert len(rows) == 36
    assert (rows["p_global"] == 1.0).all()
