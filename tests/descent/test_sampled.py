"""Finite samples: gradient by autodiff, the n → ∞ limit and its rate, data drawn again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stepping import built64, close, walk

from jaxcnn.base.cell import Cell
from jaxcnn.base.outcome import Outcome
from jaxcnn.descent.sample_gradient import shared_gradient, summed_gradient, through_norm
from jaxcnn.descent.sampled import Sampled, some_inputs
from jaxcnn.engine.lanes import LaneProgram, Work
from jaxcnn.engine.packing import Table
from jaxcnn.model.activation import activation
from jaxcnn.model.population import Student, gradient, loss, target
from jaxcnn.model.sample import sampled_loss
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.build import build
from jaxcnn.study.estimate import estimate

POINT = Student(jnp.array([0.3, -1.0, 0.4, 0.8]), jnp.array([0.7, -0.4, 0.9]))
TEACHER = target(Teacher(k=3, p=4, ratio=1.5))
WORDS = {"k": 3, "ratio": 1.5, "p": 4, "samples": 37, "label_noise": 0.1}


def drawn(n, key=0, noise=0.0, name="relu"):
    numbers = jnp.arange(n)
    return some_inputs(jax.random.key(key), numbers, TEACHER, jnp.asarray(noise), activation(name))


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "gelu", "erf"])
def test_gradient_is_that_of_autodiff(name):
    data, sigma = drawn(50, noise=0.3, name=name), activation(name)
    slope = through_norm(POINT, summed_gradient(POINT, data, jnp.full(50, 0.02), sigma))
    expected = jax.grad(sampled_loss)(POINT, data.inputs, data.answers, sigma)
    close(slope.v, expected.v)
    close(slope.a, expected.a)


@pytest.mark.parametrize(
    ("name", "estimator"),
    [("relu", None), ("leaky_relu", None), ("gelu", None), ("relu", "identity")],
)
def test_many_students_of_one_sample_are_each_their_own(name, estimator):
    """The matrix products, lanes last as in the engine, against one student at a time."""
    data, sigma = drawn(50, noise=0.3, name=name), activation(name)
    weight = jnp.arange(50.0) / 50
    keys = jax.random.split(jax.random.key(1), 2)
    many = Student(jax.random.normal(keys[0], (4, 5)), jax.random.normal(keys[1], (3, 5)))

    def one(student):
        return shared_gradient(student, data, weight, sigma, estimator)

    slopes = jax.vmap(one, in_axes=-1, out_axes=-1)(many)
    together = shared_gradient(many, data, weight, sigma, estimator)
    close(together.v, slopes.v)
    close(together.a, slopes.a)
    close(
        through_norm(many, together).v[:, 2],
        through_norm(
            Student(many.v[:, 2], many.a[:, 2]), Student(together.v[:, 2], together.a[:, 2])
        ).v,
    )
    for lane in range(5):
        student = Student(many.v[:, lane], many.a[:, lane])
        expected = summed_gradient(student, data, weight, sigma, estimator)
        close(slopes.v[:, lane], expected.v)
        close(slopes.a[:, lane], expected.a)
    products = str(jax.make_jaxpr(jax.vmap(one, in_axes=-1, out_axes=-1))(many))
    # (k n, p) × (p, L) and its transpose: no product has a batch of lanes.
    assert products.count("dot_general") == 2
    assert "(([1], [0]), ([], []))" in products


def test_loss_and_gradient_approach_the_population_at_rate_root_n():
    """Root mean square errors over 100 data sets, n = 100 to 1600: slope −½ within 0.15.

    The first inputs of a data set are a smaller one. A slope has a standard error of about
    0.04, so that false alarms are below 1e-3 before the seed is fixed.
    """
    sigma, sizes = activation("relu"), (100, 400, 1600)
    exact, force = loss(POINT, TEACHER, sigma), gradient(POINT, TEACHER, sigma)

    def one(key):
        data = some_inputs(key, jnp.arange(1600), TEACHER, jnp.zeros(()), sigma)
        squares = []
        for n in sizes:
            off = sampled_loss(POINT, data.inputs[:n], data.answers[:n], sigma) - exact
            weight = jnp.where(jnp.arange(1600) < n, 1 / n, 0)
            got = through_norm(POINT, summed_gradient(POINT, data, weight, sigma))
            gap = jnp.sum((got.v - force.v) ** 2) + jnp.sum((got.a - force.a) ** 2)
            squares.append(jnp.stack([off**2, gap]))
        return jnp.stack(squares)

    errors = jnp.sqrt(jnp.mean(jax.lax.map(one, jax.random.split(jax.random.key(1), 100)), axis=0))
    for column in np.asarray(errors).T:
        rate = np.polyfit(np.log(sizes), np.log(column), 1)[0]
        assert abs(rate + 0.5) < 0.15


HEAVY = pytest.mark.heavy


@pytest.mark.parametrize(
    "extra",
    [
        {"data": "shared", "data_seed": 3},
        pytest.param({}, marks=HEAVY),
        pytest.param({"batch": 5}, marks=HEAVY),
        pytest.param({"data": "shared", "batch": 5}, marks=HEAVY),
    ],
    ids=str,
)
def test_stored_and_regenerated_data_are_the_same(extra):
    cell = Cell(**WORDS, **extra)
    kept, again = built64(cell), built64(cell, memory=1)
    assert kept.family.source.stored
    assert not again.family.source.stored
    short = again.family._replace(source=again.family.source._replace(chunk=8))
    again = again._replace(family=short)
    one, other = walk(kept, 40, key=2).student, walk(again, 40, key=2).student
    close(one.v, other.v, 1e-9)
    close(one.a, other.a, 1e-9)


@pytest.mark.parametrize("extra", [{"data": "shared"}, {}, {"activation": "gelu"}], ids=str)
def test_lanes_together_take_the_steps_of_each(extra):
    """The engine's step of all lanes, on one data set or each on its own, against one lane's."""
    built = built64(Cell(**WORDS, **extra))
    dynamics = built.family(jax.tree.map(jnp.asarray, built.params))
    assert dynamics.lanes_last
    keys = jax.random.split(jax.random.key(4), 3)
    state = jax.vmap(dynamics.start, out_axes=-1)(keys)
    state = walk(built, 4, state=state)
    assert dynamics.verdict(state).shape == (3,)
    one = walk(built, 4, state=dynamics.start(keys[1]))
    close(state.student.v[:, 1], one.student.v)
    close(state.student.a[:, 1], one.student.a)
    assert dynamics.verdict(one).shape == ()


def test_shared_data_are_one_set():
    cell = Cell(**WORDS, data="shared")
    built, other = built64(cell), built64(cell.with_(data_seed=1))
    assert not np.array_equal(built.params.source.shared.inputs, other.params.source.shared.inputs)
    source = built.family.source
    slopes = []
    for i in range(2):
        carried = built.family(built.params).start(jax.random.key(i)).carried
        slopes.append(source.gradient(built.params, carried, POINT, jnp.int32(0)))
    assert jnp.array_equal(slopes[0].v, slopes[1].v)


def test_minibatch_gradient_is_unbiased():
    """Mean over 2000 steps at a fixed point against the full batch; five standard errors."""
    words = {"k": 3, "ratio": 1.5, "p": 4, "samples": 40, "data": "shared"}
    built, full = built64(Cell(**words, batch=4)), built64(Cell(**words))
    state = built.family(built.params).start(jax.random.key(0))
    source: Sampled = built.family.source
    params, all_of_them = (jax.tree.map(jnp.asarray, b.params) for b in (built, full))
    draw = jax.jit(jax.vmap(lambda t: source.gradient(params, state.carried, POINT, t)))
    slopes = draw(jnp.arange(2000))
    exact = full.family.source.gradient(all_of_them, state.carried, POINT, jnp.int32(0))
    for got, expected in zip(slopes, exact, strict=True):
        error = np.std(np.asarray(got), axis=0) / np.sqrt(2000)
        assert np.all(np.abs(np.mean(np.asarray(got), axis=0) - np.asarray(expected)) < 5 * error)


def test_memory_budget_sets_the_lanes():
    cell = Cell(k=25, ratio=4.0, samples=1000)
    widths = [built64(cell, memory=m * 2**20).settings.width for m in (64, 512, 4096)]
    assert widths == sorted(widths)
    assert widths[0] == 8
    assert widths[-1] > widths[0]


def test_a_data_set_of_its_own_is_carried_past_the_steps():
    """The engine neither packs it again nor compares it; keys share its matrix."""
    built = build(Cell(**WORDS))
    params = Table.of([built.params])
    ones = jnp.ones(1, jnp.int32)
    work = Work(params, jnp.zeros((1, 2), jnp.uint32), ones.astype(jnp.uint32), *[ones] * 3)
    program = LaneProgram(built.family, work, built.settings)
    moves = {
        name: m for (name, _), m in zip(program.state_packing.groups, program.moves, strict=True)
    }
    assert moves == {"float32": True, "int32": True, "uint32": False}


def test_label_noise_has_its_deviation():
    """Labels less the teacher's answers: mean 0, deviation τ, at five standard errors."""
    quiet, noisy = drawn(4000), drawn(4000, noise=0.5)
    error = np.asarray(noisy.answers - quiet.answers)
    assert np.array_equal(quiet.inputs, noisy.inputs)
    assert abs(error.mean()) < 5 * 0.5 / np.sqrt(4000)
    assert abs(error.std() - 0.5) < 5 * 0.5 / np.sqrt(8000)


@pytest.mark.heavy
def test_success_probability_approaches_the_population_at_rate_root_n():
    """Same starts on the sample and on the population: the share that ends elsewhere.

    A sample moves the separatrix by about 1/√n, so this share falls like it: slope −½ within
    0.25 over n = 250 to 16 000, 600 starts each, one data set per restart count's seed.
    """
    words = {"k": 9, "ratio": 1.0, "angle_tolerance": 0.3, "loss_tolerance": 0.05}
    sizes, shares = np.array([250, 1000, 4000, 16000]), []
    limit = estimate(Cell(k=9, ratio=1.0), restarts=600, engine="full")
    for n in sizes:
        differ = []
        for seed in range(3):
            cell = Cell(**words, samples=int(n), data="shared", data_seed=seed, max_steps=20_000)
            ends = estimate(cell, restarts=600)
            differ.append(
                np.mean((ends.outcomes == Outcome.GLOBAL) != (limit.outcomes == Outcome.GLOBAL))
            )
        shares.append(np.mean(differ))
    rate = np.polyfit(np.log(sizes), np.log(shares), 1)[0]
    assert abs(rate + 0.5) < 0.25
    assert shares[-1] < 0.05
