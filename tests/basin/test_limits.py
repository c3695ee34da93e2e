"""The two limits, approached by exact values; and the conditional estimate."""

import itertools

import numpy as np
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import NotExactError
from jaxcnn.basin.boundary import boundary, frozen_probability
from jaxcnn.basin.conditional import conditional_probability
from jaxcnn.basin.exact import exact_probability

H = {"k": 25, "ratio": 4, "step_size": 0.05}


def test_small_steps_tend_to_the_flow():
    """Descent differs from the flow by a series in the step size; Richardson removes it."""
    steps, x, y = [0.1, 0.05, 0.025, 0.0125, 0.00625], [0.0, 0.1, -0.2], [0.0, -0.1, 0.3]
    limit = boundary(Cell(**H, optimizer="flow")).angle(x, y)
    row = [boundary(Cell(**(H | {"step_size": h}))).angle(x, y) for h in steps]
    gaps = [np.abs(one - limit) for one in row]
    for one, two in itertools.pairwise(gaps):
        assert np.all((two > 0.45 * one) & (two < 0.55 * one))
    for power in (1, 2, 3, 4):
        factor = 2.0**power
        row = [(factor * b - a) / (factor - 1) for a, b in itertools.pairwise(row)]
    np.testing.assert_allclose(row[0], limit, rtol=0, atol=2e-10)


def test_the_probability_tends_to_that_of_the_flow():
    limit = exact_probability(Cell(**H, optimizer="flow")).p_global
    gaps = [
        exact_probability(Cell(**(H | {"step_size": h}))).p_global - limit for h in (0.04, 0.02)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(2.0, rel=0.02)
    assert abs(gaps[1]) < 1e-5


def test_the_flow_does_not_depend_on_the_step_size():
    one = exact_probability(Cell(k=9, ratio=1, optimizer="flow", step_size=0.01))
    two = exact_probability(Cell(k=9, ratio=1, optimizer="flow", step_size=5.0))
    assert one.p_global == two.p_global


def test_small_teachers_tend_to_the_frozen_filter():
    """The difference is of the order of ‖a*‖²."""
    good, bad = frozen_probability(Cell(**H))
    assert good + bad == pytest.approx(1.0, abs=1e-15)
    gaps = [
        exact_probability(Cell(**H, teacher_norm=norm)).p_global - good
        for norm in (0.1, 0.05, 0.025)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(4.0, rel=0.05)
    assert gaps[1] / gaps[2] == pytest.approx(4.0, rel=0.02)
    assert frozen_probability(Cell(k=25, ratio=9)) == (1.0, 0.0)


def test_conditional_draws_see_one_in_a_million_million():
    """Interval at 99.9 %: false alarm 1e-3 by construction (fixed seed)."""
    cell = Cell(k=100, ratio=25, p=112, step_size=0.05)
    rare = exact_probability(cell)
    drawn = conditional_probability(cell, draws=1000, seed=1, confidence=0.999)
    assert drawn.low <= rare.p_spurious <= drawn.high
    assert abs(drawn.p_spurious - rare.p_spurious) < 5 * drawn.standard_error
    assert drawn.high < 1e-11
    assert drawn.unknown == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"init": "sphere"},
        {"init": "gaussian", "init_scale": 0.3},
        {"init_scale": 3.0},
        {"filter_init": "gaussian"},
        {"init": "zero"},
    ],
    ids=str,
)
def test_conditional_intervals_cover_the_exact_value(options):
    """Four standard errors: false alarm 6e-5 each."""
    cell = Cell(**(H | options))
    exact = exact_probability(cell, tolerance=1e-3 if "filter_init" in options else 1e-9)
    drawn = conditional_probability(cell, draws=400, seed=3)
    assert drawn.low <= exact.p_spurious <= drawn.high
    assert abs(drawn.p_spurious - exact.p_spurious) <= 4 * drawn.standard_error + exact.error


@pytest.mark.heavy
def test_conditional_answers_where_the_quadrature_is_refused():
    cell = Cell(**(H | {"teacher_norm": 30.0}))
    with pytest.raises(NotExactError):
        exact_probability(cell)
    drawn = conditional_probability(cell, draws=2000)
    assert 0.0 < drawn.low < drawn.p_spurious < drawn.high < 1.0


def test_conditional_refuses_a_fixed_angle_and_knows_certainty():
    with pytest.raises(NotExactError, match="fixed start angle"):
        conditional_probability(Cell(**H), angle=1.0)
    sure = conditional_probability(Cell(k=25, ratio=9))
    assert (sure.low, sure.high, sure.draws) == (0.0, 0.0, 0)


@pytest.mark.heavy
def test_brute_force_agrees():
    """Runs of the lanes: 40 000 restarts a law, four standard errors (false alarm 6e-5)."""
    from jaxcnn.study.estimate import estimate

    for options in ({}, {"init": "gaussian", "init_scale": 0.5}, {"filter_init": "gaussian"}):
        cell = Cell(**(H | options))
        exact = exact_probability(cell, tolerance=1e-5).p_global
        found = estimate(cell, restarts=40_000, seed=5).p_global
        assert abs(found - exact) < 4 * np.sqrt(exact * (1 - exact) / 40_000)
