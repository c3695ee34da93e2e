"""The gradient flow against descent with small steps and against an independent integrator."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stepping import built64, close

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import RefusedError
from jaxcnn.descent.flow import step, velocity
from jaxcnn.descent.kernel import RELU
from jaxcnn.study.build import build
from jaxcnn.study.estimate import estimate


def test_velocity_is_the_limit_of_descent():
    cell = Cell(k=16, ratio=3.0, p=7, optimizer="flow")
    built = built64(cell)
    at = built.family(built.params).start(jax.random.key(3))
    rates = built.params.rates
    small = built64(Cell(k=16, ratio=3.0, p=7, step_size=1e-7))
    moved = small.family(small.params).step(at)
    slope = velocity(RELU, rates, at)
    c = float(small.params.rates.c)
    for new, old, speed in zip(moved[:3], at[:3], slope[:3], strict=True):
        close((new - old) / c, speed, 1e-5)


@pytest.mark.heavy
def test_trajectory_against_diffrax():
    built = built64(Cell(k=16, ratio=3.0, p=7, optimizer="flow", step_size=0.01))
    rates = built.params.rates
    at = built.family(built.params).start(jax.random.key(3))
    walked = at
    for _ in range(400):
        walked = step(RELU, rates, walked)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: velocity(RELU, rates, y)),
        diffrax.Dopri8(),
        t0=0.0,
        t1=400 * float(rates.c),
        dt0=None,
        y0=at,
        stepsize_controller=diffrax.PIDController(rtol=1e-11, atol=1e-12),
    )
    for got, expected in zip(walked, solution.ys, strict=True):
        close(got, expected[0], 1e-8)


@pytest.mark.heavy
def test_outcomes_are_those_of_small_steps():
    """Same starts; a run may differ only beside the separatrix."""
    flow = estimate(Cell(k=25, ratio=4.0, optimizer="flow"), restarts=1000)
    fine = estimate(Cell(k=25, ratio=4.0, step_size=0.002), restarts=1000)
    assert flow.counts.undecided == 0
    assert np.sum(flow.outcomes != fine.outcomes) <= 3
    assert flow.problem["outcomes"] == "certified"


@pytest.mark.heavy
def test_coarse_steps_resolve_fast_angles():
    """A large teacher turns the angle fast; the integrator shortens its steps."""
    cell = Cell(k=25, ratio=4.0, optimizer="flow", teacher_norm=10.0)
    coarse, fine = estimate(cell, restarts=500), estimate(cell.with_(step_size=0.005), restarts=500)
    assert np.sum(coarse.outcomes != fine.outcomes) <= 3


@pytest.mark.parametrize("options", [{"step_size": 1.0}, {"init": "box"}])
def test_refusals(options):
    with pytest.raises(RefusedError):
        build(Cell(k=25, ratio=4.0, optimizer="flow", **options))
    with pytest.raises(RefusedError):
        build(Cell(k=25, ratio=4.0, optimizer="flow"), engine="full")
    assert jnp.ones(1).dtype == jnp.float64
