"""Perturbed descent: its noise, its schedule, and the published result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from stepping import built64, close, walk

from jaxcnn.base.cell import Cell
from jaxcnn.descent.perturbed import Noise, in_ball, strength
from jaxcnn.study.estimate import estimate

pytestmark = pytest.mark.heavy


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
    words = {"noise_epoch": 20, "noise_epochs": 2}
    cell = Cell(k=9, ratio=4.0, p=5, optimizer="perturbed", **words)
    built = built64(cell)
    noisy = walk(built, 39)
    close(jnp.linalg.norm(noisy.student.v), 1.0)
    state = walk(built, 1, state=noisy)
    after = walk(built, 200, state=state)
    plain = built64(Cell(k=9, ratio=4.0, p=5, filter_step_size=0.2), engine="full")
    begun = plain.family(plain.params).start(jax.random.key(0))
    begun = begun._replace(z=jnp.concatenate(state.student))
    close(jnp.concatenate(after.student), walk(plain, 200, state=begun).z, 1e-10)


def test_no_noise_is_projected_descent():
    words = {"noise_filter": 0.0, "noise_output": 0.0, "noise_epoch": 10**6}
    built = built64(Cell(k=9, ratio=4.0, p=5, optimizer="perturbed", **words))
    quiet = walk(built, 100).student
    again = walk(built, 100, key=0).student
    close(quiet.a, again.a)
    close(jnp.linalg.norm(quiet.v), 1.0)


@pytest.mark.heavy
def test_annealed_noise_always_succeeds_and_little_noise_does_not():
    """The defaults on a cell where plain descent succeeds in half of the runs."""
    cell = Cell(k=25, ratio=1.0, optimizer="perturbed")
    assert estimate(cell, restarts=300).counts.global_ == 300
    small = estimate(cell, noise_filter=0.2, noise_output=0.2, restarts=300)
    assert small.p_global < 0.75
