"""Finite samples: gradient by autodiff, the n → ∞ limit and its rate, data drawn again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stepping import built64, close, walk

from jaxcnn.base.cell import Cell
from jaxcnn.descent.sampled import Sampled, some_inputs, summed_gradient, through_norm
from jaxcnn.model.activation import activation
from jaxcnn.model.population import Student, gradient, loss, target
from jaxcnn.model.sample import sampled_loss
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.estimate import estimate

pytestmark = pytest.mark.heavy


POINT = Student(jnp.array([0.3, -1.0, 0.4, 0.8]), jnp.array([0.7, -0.4, 0.9]))
TEACHER = target(Teacher(k=3, p=4, ratio=1.5))


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


def test_loss_and_gradient_approach_the_population_at_rate_root_n():
    """Root mean square errors over 64 data sets, n = 100 to 6400: slope −½ within 0.1."""
    sigma, sizes = activation("relu"), np.array([100, 400, 1600, 6400])
    exact, force = loss(POINT, TEACHER, sigma), gradient(POINT, TEACHER, sigma)
    errors = []
    for n in sizes:

        def one(key, n=int(n)):
            data = some_inputs(key, jnp.arange(n), TEACHER, jnp.zeros(()), sigma)
            off = sampled_loss(POINT, data.inputs, data.answers, sigma) - exact
            got = through_norm(POINT, summed_gradient(POINT, data, jnp.full(n, 1 / n), sigma))
            gap = jnp.sum((got.v - force.v) ** 2) + jnp.sum((got.a - force.a) ** 2)
            return off**2, gap

        squares = jax.lax.map(one, jax.random.split(jax.random.key(n), 64))
        errors.append([float(jnp.sqrt(jnp.mean(x))) for x in squares])
    for column in np.array(errors).T:
        rate = np.polyfit(np.log(sizes), np.log(column), 1)[0]
        assert abs(rate + 0.5) < 0.1


def test_stored_and_regenerated_data_are_the_same():
    words = {"k": 3, "ratio": 1.5, "p": 4, "samples": 37, "label_noise": 0.1}
    for extra in ({}, {"batch": 5}, {"data": "shared", "data_seed": 3}):
        cell = Cell(**words, **extra)
        kept, again = built64(cell), built64(cell, memory=1)
        assert kept.family.source.stored
        assert not again.family.source.stored
        short = again.family._replace(source=again.family.source._replace(chunk=8))
        again = type(again)(**{**again.__dict__, "family": short})
        one, other = walk(kept, 40, key=2).student, walk(again, 40, key=2).student
        close(one.v, other.v, 1e-9)
        close(one.a, other.a, 1e-9)


def test_shared_data_are_one_set():
    built = built64(Cell(k=3, ratio=1.5, p=4, samples=37, data="shared"))
    other = built64(Cell(k=3, ratio=1.5, p=4, samples=37, data="shared", data_seed=1))
    one = built.family(built.params)
    carried = [one.start(jax.random.key(i)).carried for i in range(2)]
    assert jnp.array_equal(*[jax.random.key_data(c.data_key) for c in carried])
    assert not np.array_equal(built.params.source.shared.inputs, other.params.source.shared.inputs)


def test_minibatch_gradient_is_unbiased():
    """Mean over 4000 steps at a fixed point against the full batch; five standard errors."""
    words = {"k": 3, "ratio": 1.5, "p": 4, "samples": 40}
    built, full = built64(Cell(**words, batch=4)), built64(Cell(**words))
    state = built.family(built.params).start(jax.random.key(0))
    source: Sampled = built.family.source
    slopes = jax.vmap(lambda t: source.gradient(built.params, state.carried, POINT, t))(
        jnp.arange(4000)
    )
    exact = full.family.source.gradient(full.params, state.carried, POINT, jnp.int32(0))
    for got, expected in zip(slopes, exact, strict=True):
        error = np.std(np.asarray(got), axis=0) / np.sqrt(4000)
        assert np.all(np.abs(np.mean(np.asarray(got), axis=0) - np.asarray(expected)) < 5 * error)


def test_memory_budget_sets_the_lanes():
    cell = Cell(k=25, ratio=4.0, samples=1000)
    widths = [built64(cell, memory=m * 2**20).settings.width for m in (64, 512, 4096)]
    assert widths == sorted(widths)
    assert widths[0] == 8
    assert widths[-1] > widths[0]


@pytest.mark.heavy
def test_success_probability_approaches_the_population():
    """n = 4000 against the population; 150 restarts each, difference within four deviations."""
    words = {"angle_tolerance": 0.3, "loss_tolerance": 0.05}
    cell = Cell(k=9, ratio=1.0, samples=4000, data="shared", max_steps=20_000, **words)
    finite, limit = estimate(cell, restarts=150), estimate(Cell(k=9, ratio=1.0), restarts=5000)
    spread = np.sqrt(limit.p_global * (1 - limit.p_global) / 150)
    assert abs(finite.p_global - limit.p_global) < 4 * spread
