"""Momentum on scalars against momentum on the full state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from stepping import built64, close, walk

from jaxcnn.base.cell import Cell
from jaxcnn.descent import reduced_momentum as small
from jaxcnn.descent.arrival import begin
from jaxcnn.descent.kernel import RELU
from jaxcnn.model.activation import relu
from jaxcnn.model.population import loss
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.built import Start


def projected(student, target):
    """The coordinates of a full state."""
    k = target.a_star.shape[0]
    w, gap = target.w_star, student.a - target.a_star
    along = jnp.vdot(w, student.v)
    across = jnp.linalg.norm(student.v - along * w)
    mean = jnp.sum(target.a_star) / k
    side = target.a_star - mean
    e2 = side / jnp.linalg.norm(side)
    dx, dy = jnp.sum(gap) / jnp.sqrt(1.0 * k), jnp.vdot(e2, gap)
    rest = jnp.linalg.norm(gap - dx / jnp.sqrt(1.0 * k) - dy * e2)
    return small.Coordinates(along, across, dx, dy, rest)


@pytest.mark.parametrize("rule", ["momentum", "nesterov"])
@pytest.mark.parametrize("key", [0, 5])
def test_scalars_follow_the_full_state(rule, key):
    cell = Cell(k=16, ratio=3.0, p=7, optimizer=rule, step_size=0.02, momentum=0.8)
    full, reduced = built64(cell, engine="full"), built64(cell, engine="reduced")
    begun = full.family(full.params).start(jax.random.key(key))
    at = projected(begun.student, full.params.target)
    state = small.MomentumState(at, jax.tree.map(jnp.zeros_like, at), begin(at.dx.dtype))
    for _ in range(3):
        begun = walk(full, 1000, state=begun)
        state = walk(reduced, 1000, state=state)
        expected = projected(begun.student, full.params.target)
        got = state.at._replace(across=jnp.abs(state.at.across), rest=jnp.abs(state.at.rest))
        for one, other in zip(got, expected, strict=True):
            close(one, other, 1e-12)
        close(
            small.loss(RELU, reduced.params, state.at),
            loss(begun.student, full.params.target, relu()),
            1e-12,
        )


@pytest.mark.heavy
@pytest.mark.parametrize("init", ["ball", "sphere", "gaussian"])
def test_law_of_the_rest(init):
    """q of the reduced start against q of full starts: Kolmogorov–Smirnov, false alarms 1e-4."""
    cell = Cell(k=6, ratio=3.0, optimizer="momentum", init=init, init_scale=1.3)
    full, reduced = built64(cell, engine="full"), built64(cell, engine="reduced")
    keys = jax.random.split(jax.random.key(9), 4000)
    starts = jax.vmap(full.family(full.params).start)(keys).student
    far = jax.vmap(lambda s: projected(s, full.params.target))(starts)
    near = jax.vmap(reduced.family(reduced.params).start)(keys).at
    for name in ("dx", "dy", "rest"):
        test = stats.ks_2samp(np.asarray(getattr(far, name)), np.asarray(getattr(near, name)))
        assert test.pvalue > 1e-4, name


def test_no_momentum_is_plain_descent():
    cell = Cell(k=16, ratio=3.0, p=7, optimizer="momentum", momentum=0.0, step_size=0.05)
    built, plain = built64(cell), built64(Cell(k=16, ratio=3.0, p=7, step_size=0.05))
    one, other = walk(built, 500, key=4).at, walk(plain, 500, key=4)
    close(jnp.arctan2(jnp.abs(one.across), one.along), other.angle, 1e-12)
    close(small.alignment(built.params, one), other.s, 1e-12)


def test_fixed_start_keeps_its_rest():
    teacher = Teacher(k=5, ratio=2.0)
    a = np.array([1.0, -1.0, 0.5, 2.0, 0.0])
    cell = Cell(k=5, ratio=2.0, optimizer="momentum")
    built = built64(cell, teacher=teacher, start=Start(a=a))
    begun = built.family(built.params).start(jax.random.key(0)).at
    close(begun.dx**2 + begun.dy**2 + begun.rest**2, np.sum((a - teacher.a_star) ** 2))
