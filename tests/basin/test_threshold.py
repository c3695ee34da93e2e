"""The threshold map against full runs of the slow reference, and its own laws."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from jaxcnn.base.cell import Cell
from jaxcnn.base.outcome import Outcome
from jaxcnn.basin.boundary import boundary
from jaxcnn.basin.exact import exact_probability
from jaxcnn.basin.problem import problem_of
from jaxcnn.basin.rules import plane_rule
from jaxcnn.basin.stepping import Stepper
from jaxcnn.basin.threshold import TRIALS, _narrowed, _ordered, angle_line, thresholds
from jaxcnn.descent.certificate import Rates, Scalars
from jaxcnn.descent.kernel import RELU
from jaxcnn.descent.reduced import step
from jaxcnn.model.landscape import landscape
from jaxcnn.model.teacher import Teacher
from tests.reference import angle_between, reaches_global, teacher, threshold_angle

SLOW_CASES = (
    # x, y, k, p, ratio, norm, step size, filter step size
    (0.1, -0.2, 9, 3, 1.0, 1.0, 0.4, None),
    (-0.3, 0.4, 9, 3, 1.0, 2.0, 0.4, None),
    (0.5, 0.5, 4, 2, 1.5, 1.0, 0.5, None),
    (-0.2, -0.6, 9, 4, 2.0, 0.7, 0.5, 0.2),
)


@pytest.mark.parametrize("case", SLOW_CASES, ids=str)
def test_thresholds_are_those_of_full_runs(case):
    x, y, k, p, ratio, norm, step_size, filter_step_size = case
    cell = Cell(
        k=k, p=p, ratio=ratio, teacher_norm=norm, step_size=step_size,
        filter_step_size=filter_step_size,
    )  # fmt: skip
    slow = threshold_angle(x, y, k, p, ratio, norm, step_size, filter_step_size)
    assert float(boundary(cell).angle(x, y)) == pytest.approx(slow, abs=1e-8)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    k=st.integers(4, 20),
    share=st.floats(0.1, 0.7),
    norm=st.floats(0.3, 3.0),
    x=st.floats(-0.5, 0.5),
    y=st.floats(-0.5, 0.5),
    angle=st.floats(0.3, 2.8),
)
def test_the_side_of_the_boundary_is_the_outcome_of_a_full_run(k, share, norm, x, y, angle):
    ratio = share * (k + math.pi - 1) / math.pi
    step_size = 0.7 * 2 * math.pi / (k + math.pi - 1)
    w, a_star, even, side = teacher(k, 3, ratio, norm)
    v = math.cos(angle) * w + math.sin(angle) * np.array([0.0, 1.0, 0.0])
    edge = boundary(Cell(k=k, ratio=ratio, teacher_norm=norm, step_size=step_size))
    distance = float(edge.distance(angle_between(v, w), x, y))
    if abs(distance) > 1e-6:
        assert (distance > 0) == reaches_global(v, x * even + y * side, w, a_star, step_size)


def test_the_boundary_is_ordered_in_x_and_y():
    edge = boundary(Cell(k=25, ratio=4, step_size=0.05))
    grid = np.linspace(-0.4, 0.4, 5)
    angle = edge.angle(grid[:, None], grid[None, :])
    assert np.all(np.diff(angle, axis=0) > 0)
    assert np.all(np.diff(angle, axis=1) > 0)


def test_the_boundary_is_invariant():
    """A run that starts on the boundary is on it one step later, at the norm it has then."""
    cell = Cell(k=25, ratio=4, step_size=0.1)
    edge = boundary(cell)
    problem = edge.problem
    x, y = 0.1, -0.1
    s, m = problem.scalars(np.array(x), np.array(y))
    b = problem.c * problem.drain
    rates = Rates(problem.c, problem.c_filter, b, problem.power, problem.total**2)
    at = Scalars(edge.angle(x, y), s, m, np.array(1.0))
    after = step(RELU, rates, at)
    root = math.sqrt(25)
    x2 = (problem.total - float(after.m) / problem.total) / root
    y2 = (float(after.s) - x2 * problem.total / root) / problem.side
    later = boundary(cell, v_norm=math.sqrt(float(after.r2)))
    assert float(later.angle(x2, y2)) == pytest.approx(float(after.angle), abs=1e-12)


@pytest.mark.parametrize(("k", "ratio"), [(49, 16), (81, 25)])
def test_near_critical_thresholds_hold_under_long_runs(k, ratio):
    """Runs 10⁻³ off the threshold go where they should, however slowly."""
    problem = problem_of(Cell(k=k, ratio=ratio, step_size=0.05, teacher_norm=1.0))
    stepper = Stepper(problem)
    x, y = np.array([0.1, -0.2]), np.array([0.1, 0.2])
    line = angle_line(problem, x, y, np.ones(2))
    found = thresholds(stepper, line, np.zeros(2), check=False)
    trial = found.at[:, None] + np.array([-1e-3, 1e-3])
    state = line(trial, np.arange(2))
    standing = stepper.run(state, 0, 200_000)
    assert np.all(standing.state[0][:, 0] < standing.state[0][:, 1])
    assert np.all(standing.label == [Outcome.GLOBAL, Outcome.SPURIOUS])


def test_a_failing_order_is_seen():
    """Thresholds moved off by hand fail the check; so does a line that runs backwards."""
    problem = problem_of(Cell(k=25, ratio=4, step_size=0.05))
    stepper = Stepper(problem)
    line = angle_line(problem, np.zeros(1), np.zeros(1), np.ones(1))
    found = thresholds(stepper, line, np.zeros(1))
    assert found.ordered.all()
    assert not _ordered(stepper, line, found.at + 0.2, 1.0, 40.0)[0].any()
    assert not _ordered(stepper, lambda xi, n: line(-xi, n), found.at, 1.0, 40.0)[0].any()


@given(st.floats(-0.9, 0.9), st.floats(-1.0, 1.0), st.floats(0.01, 10.0))
def test_narrowing_keeps_the_zero(zero, bend, slope):
    xi = TRIALS[None, :]
    w = slope * ((xi - zero) + 0.2 * bend * (xi - zero) ** 2)
    found = _narrowed(xi, w)
    if found.inside[0]:
        assert abs(found.at[0] - zero) <= found.width[0] + 1e-12


@pytest.mark.parametrize(("norm", "kappa"), [(1.0, 1.0), (12.0, 1.0), (3.0, 20.0)])
def test_flow_thresholds_agree_with_scipy(norm, kappa):
    """Runs of the flow from both sides of the threshold, by another solver."""
    cell = Cell(
        k=9, ratio=2, optimizer="flow", teacher_norm=norm, step_size=0.1,
        filter_step_size=0.1 * kappa,
    )  # fmt: skip
    edge = boundary(cell)
    at = edge.problem
    s, m = at.scalars(np.array(0.2), np.array(-0.3))

    def slope(_, z):
        phi, s, m = z
        g = (math.pi - phi) * math.cos(phi) + math.sin(phi)
        return (
            -kappa * s * (math.pi - phi) * math.sin(phi),
            -(math.pi - 1) * s + (g - 1) * at.power + m,
            -(9 + math.pi - 1) * m + at.total**2 * (math.pi - g),
        )

    angle = float(edge.angle(0.2, -0.3))
    ends = []
    for shift in (-3e-10, 3e-10):
        start = (angle + shift, float(s), float(m))
        run = solve_ivp(slope, (0, 60), start, method="DOP853", rtol=1e-13, atol=1e-14)
        ends.append(run.y[0, -1])
    assert ends[0] < 0.1
    assert ends[1] > 2.5


def test_the_integration_of_the_flow_is_in_the_error():
    """Against steps of an eighth of the size, whose errors are 10⁷ times smaller."""
    problem = problem_of(Cell(k=4, ratio=1.0, teacher_norm=8.0, optimizer="flow"))
    x, y, _ = plane_rule(problem, 5)
    line = angle_line(problem, x, y, np.ones(x.size))
    stepper, fine = Stepper(problem), Stepper(problem)
    steps = Stepper.run
    fine.settle *= 8
    fine.run = lambda state, early, late, part=1.0: steps(fine, state, early, late, part / 8)
    found, true = (thresholds(each, line, np.zeros(x.size)) for each in (stepper, fine))
    assert np.all(np.abs(found.at - true.at) <= found.error + true.error)
    assert np.median(found.error) < 1e-11


def _cap_beyond_the_edge(ratio):
    """P(spurious) at k = 4, p = 3 for a start whose filter stays: (1 − cos z)/2, z = π − φ_c."""
    with localcontext() as context:
        context.prec = 50
        pi, rho = Decimal("3.14159265358979323846264338327950288419716939937511"), Decimal(ratio)
        gap = 1 - rho * (pi - 1) / (4 + pi - 1 - rho)
        z2 = (3 * gap) ** (Decimal(2) / 3)
        for _ in range(200):
            # gap = z³/3 − z⁵/30 + z⁷/840 − z⁹/45360 + …, z < 0.2
            rest = 1 - z2 / 10 + z2**2 / 280 - z2**3 / 15120 + z2**4 / 1330560
            z2 = (3 * gap / rest) ** (Decimal(2) / 3)
        return float(z2 / 4 * (1 - z2 / 12 + z2**2 / 360 - z2**3 / 20160))  # (1 − cos z)/2


def test_near_the_critical_ratio_rounding_is_in_the_error():
    """A tiny teacher leaves the filter where it is until a has settled: the edge angle decides.

    There (π−φ) cos φ + sin φ = 1 − ρ(π−1)/(k+π−1−ρ), solved in 50 digits.
    """
    for far in (1e-3, 1e-5, 1e-7):
        ratio = (4 + math.pi - 1) / math.pi * (1 - far)
        cell = Cell(k=4, ratio=ratio, p=3, teacher_norm=1e-12, step_size=0.5)
        spurious = _cap_beyond_the_edge(ratio)
        found = exact_probability(cell)
        assert abs(found.p_spurious - spurious) <= found.error
        assert found.error < 1e-5 * spurious


def test_edge_state_is_that_of_the_landscape():
    teacher_ = Teacher(k=25, ratio=4, teacher_norm=0.7)
    point = landscape(teacher_, filter_norm=1.3).edge
    mine = boundary(Cell(k=25, ratio=4, teacher_norm=0.7, step_size=0.05), v_norm=1.3).edge
    assert mine.angle == pytest.approx(point.angle, abs=1e-13)
    assert mine.output_sum == pytest.approx(point.output_sum, abs=1e-12)
    # The landscape's rate is per unit of step size, c λ per step here.
    assert mine.rate / (2 * math.pi) == pytest.approx(point.unstable.rate, rel=1e-10)
    np.testing.assert_allclose(mine.direction, point.unstable.direction, rtol=1e-9)
    np.testing.assert_allclose(mine.covector, point.unstable.covector, rtol=1e-9)
    grow = float(np.dot(mine.covector, mine.direction))
    assert grow == pytest.approx(1.0)


def test_start_laws_do_not_matter():
    base = {"k": 25, "ratio": 4, "step_size": 0.05}
    wanted = float(boundary(Cell(**base)).angle(0.1, -0.2))
    laws = (
        {"init": "box", "init_scale": 0.3},
        {"init": "gaussian", "init_scale": 0.5, "filter_init": "gaussian"},
        {"filter_init": "shortcut", "teacher_angle": 1.0},
    )
    for law in laws:
        assert float(boundary(Cell(**base, **law)).angle(0.1, -0.2)) == wanted


def test_distance_of_a_full_start():
    edge = boundary(Cell(k=25, ratio=4, step_size=0.05))
    t = edge.teacher
    assert edge.distance_of(t.w_star, t.a_star) > 0
    assert edge.distance_of(-t.w_star, t.a_star) < 0
    x = float(t.a_star.sum()) / 5.0
    assert edge.distance_of(t.w_star, t.a_star) == pytest.approx(float(edge.angle(x, t.B)))
    above = boundary(Cell(k=25, ratio=10))
    assert above.edge is None
    assert float(above.angle(0.0, 0.0)) == pytest.approx(math.pi)
