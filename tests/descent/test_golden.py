"""The engines and the boundary against golden cases of the slow reference, start by start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn.base.cell import Cell
from jaxcnn.base.outcome import Outcome
from jaxcnn.basin.boundary import boundary
from jaxcnn.descent.certificate import Scalars
from jaxcnn.descent.full import scalars
from jaxcnn.model.population import Student
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.build import build
from tests import reference
from tests.golden import CELLS, STEPS, computed


def setting(golden):
    """Teacher, cell and starts of a golden case, ours built from the reference's arrays."""
    w, a_star, _, _ = reference.teacher(golden.k, golden.p, golden.ratio, golden.norm)
    teacher = Teacher.from_arrays(w, a_star)
    cell = Cell(
        k=golden.k, p=golden.p, ratio=golden.ratio, teacher_norm=golden.norm,
        step_size=golden.step_size,
    )  # fmt: skip
    draws = len(golden.outcomes)
    v, a = reference.starts(golden.k, golden.p, golden.ratio, golden.norm, draws, golden.seed)
    return teacher, cell, v, a


def followed(built, states):
    """The certified outcome of each state, and the states after `STEPS` steps."""
    dynamics = built.family(jax.tree.map(jnp.asarray, built.params))

    def one(state):
        def move(at):
            return dynamics.step(at[0]), at[1] + 1

        def going(at):
            return (dynamics.verdict(at[0]) == Outcome.RUNNING) & (at[1] < 100_000)

        last, _ = lax.while_loop(going, move, (state, 0))
        some = lax.fori_loop(0, STEPS, lambda _, at: dynamics.step(at), state)
        return dynamics.verdict(last), some

    return jax.jit(jax.vmap(one))(states)


@pytest.mark.parametrize(
    "golden",
    [*CELLS[:2], *(pytest.param(cell, marks=pytest.mark.heavy) for cell in CELLS[2:])],
    ids=lambda g: f"{g.k}-{g.p}-{g.ratio:g}-{g.norm:g}",
)
def test_engines_and_boundary_agree_with_the_reference(golden):
    teacher, cell, v, a = setting(golden)
    wanted = np.array([letter == "G" for letter in golden.outcomes])
    assert 0.1 < wanted.mean() < 0.95

    full = build(cell, engine="full", dtype="float64", teacher=teacher)
    params = jax.tree.map(jnp.asarray, full.params)
    begin = Student(*map(jnp.asarray, (v, a)))
    codes, later = followed(full, begin)
    np.testing.assert_array_equal(np.asarray(codes) == Outcome.GLOBAL, wanted)
    assert np.isin(codes, (Outcome.GLOBAL, Outcome.SPURIOUS)).all()
    first = jax.tree.map(lambda x: x[0], later)
    got = scalars(first, params.target)
    np.testing.assert_allclose(np.stack(got), golden.scalars, rtol=0, atol=1e-12)

    pairs = zip(v, a, strict=True)
    four = np.array(
        [reference.four_scalars(x, y, teacher.w_star, teacher.a_star) for x, y in pairs]
    )
    reduced = build(cell, engine="reduced", dtype="float64", teacher=teacher)
    codes, later = followed(reduced, Scalars(*map(jnp.asarray, four.T)))
    np.testing.assert_array_equal(np.asarray(codes) == Outcome.GLOBAL, wanted)
    np.testing.assert_allclose([x[0] for x in later], golden.scalars, rtol=0, atol=1e-12)

    edge = boundary(cell, teacher=teacher)
    x = a.sum(axis=1) / np.sqrt(golden.k)
    y = a @ (teacher.a_star - teacher.a_star.mean()) / teacher.B
    np.testing.assert_array_equal(edge.distance(four[:, 0], x, y) > 0, wanted)


def test_the_reference_still_says_so():
    for golden in CELLS[:2]:
        outcomes, last = computed(golden, 4)
        assert golden.outcomes.startswith(outcomes)
        np.testing.assert_allclose(last, golden.scalars, rtol=0, atol=1e-13)


@pytest.mark.heavy
@pytest.mark.parametrize("golden", CELLS, ids=str)
def test_the_reference_still_says_all_of_it(golden):
    outcomes, _ = computed(golden, len(golden.outcomes))
    assert outcomes == golden.outcomes
