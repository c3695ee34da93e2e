"""The threshold map of every activation whose kernel falls with the angle; refusals of the rest."""

import math

import jax
import numpy as np
import pytest
from scipy.special import erf as scipy_erf

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError, NotExactError
from jaxcnn.basin.boundary import boundary, frozen_probability
from jaxcnn.basin.conditional import conditional_probability
from jaxcnn.basin.exact import exact_probability
from jaxcnn.model.activation import activation
from jaxcnn.model.critical import critical_ratio
from jaxcnn.model.hermite import from_function
from jaxcnn.model.landscape import landscape
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.estimate import estimate
from jaxcnn.study.exact import exact
from tests.reference import leaky, smooth, threshold_angle

SOFTPLUS = from_function(jax.nn.softplus, "softplus")
TANH = from_function(jax.numpy.tanh, "tanh")
LEAKY = {"activation": "leaky_relu", "slope": 0.3}
GELU = {"activation": "gelu"}


def gelu(x):
    return 0.5 * x * (1.0 + scipy_erf(x / math.sqrt(2.0)))


def softplus(x):
    return np.logaddexp(x, 0.0)


CASES = (
    # x, y, words, object, reference
    (0.1, -0.2, LEAKY, None, leaky(0.3)),
    (-0.3, 0.4, GELU, None, smooth(gelu)),
    (0.2, 0.1, {}, SOFTPLUS, smooth(softplus)),
)


@pytest.mark.parametrize("case", CASES, ids=["leaky_relu", "gelu", "softplus"])
def test_thresholds_are_those_of_full_runs(case):
    """The reference has its own kernels, and steps v in R³ and a in R⁹."""
    x, y, words, sigma, other = case
    k, p, ratio, norm, step_size = 9, 3, 1.0, 1.5, 0.15
    cell = Cell(k=k, p=p, ratio=ratio, teacher_norm=norm, step_size=step_size, **words)
    slow = threshold_angle(x, y, k, p, ratio, norm, step_size, sigma=other, bits=27)
    mine = float(boundary(cell, activation=sigma).angle(x, y))
    assert mine == pytest.approx(slow, abs=1e-7)


def test_a_leaky_relu_without_a_leak_is_relu():
    plain = exact_probability(Cell(k=25, ratio=4, step_size=0.05))
    none = exact_probability(
        Cell(k=25, ratio=4, step_size=0.05, activation="leaky_relu", slope=0.0)
    )
    assert none.p_global == pytest.approx(plain.p_global, abs=2e-10)
    assert none.problem["activation"] == "leaky_relu"


@pytest.mark.parametrize(
    ("cell", "sigma"),
    [
        (Cell(k=25, ratio=6.0, **LEAKY), None),
        pytest.param(
            Cell(k=36, ratio=5.0, teacher_norm=2.0, **GELU), None, marks=pytest.mark.heavy
        ),
        pytest.param(
            Cell(k=25, ratio=5.0, step_size=0.05, init="sphere"), SOFTPLUS, marks=pytest.mark.heavy
        ),
    ],
    ids=["leaky_relu", "gelu", "softplus"],
)
def test_runs_agree(cell, sigma):
    """20 000 restarts each; 4.5 standard errors: false alarm 7e-6."""
    teacher = Teacher(k=cell.k, p=cell.p, ratio=cell.ratio, teacher_norm=cell.teacher_norm)
    right = exact_probability(cell, activation=sigma)
    options = {"step_size": cell.step_size, "init": cell.init, "slope": cell.slope}
    options["activation"] = cell.activation if sigma is None else sigma
    found = estimate(teacher, restarts=20_000, seed=8, **options)
    size = math.sqrt(right.p_global * right.p_spurious / 20_000)
    assert abs(found.p_global - right.p_global) < 4.5 * size
    assert 0.1 < right.p_spurious < 0.9


@pytest.mark.parametrize("words", [LEAKY, GELU], ids=["leaky_relu", "gelu"])
def test_edge_state_and_critical_ratio_are_those_of_the_landscape(words):
    cell = Cell(k=25, ratio=4, teacher_norm=0.7, step_size=0.05, **words)
    edge = boundary(cell)
    sigma = activation(cell.activation, cell.slope)
    point = landscape(Teacher(k=25, ratio=4, teacher_norm=0.7), sigma).edge
    assert edge.edge.angle == pytest.approx(point.angle, abs=1e-13)
    assert edge.edge.rate / (2 * math.pi) == pytest.approx(point.unstable.rate, rel=1e-9)
    critical = critical_ratio(25, sigma)
    assert exact_probability(cell.with_(ratio=1.0001 * critical)).certain is not None
    assert exact_probability(cell.with_(ratio=0.99 * critical)).certain is None


def test_the_boundary_is_ordered_in_x_and_y():
    edge = boundary(Cell(k=25, ratio=4, step_size=0.05, **GELU))
    grid = np.linspace(-0.4, 0.4, 5)
    angle = edge.angle(grid[:, None], grid[None, :])
    assert np.all(np.diff(angle, axis=0) > 0)
    assert np.all(np.diff(angle, axis=1) > 0)


def test_small_teachers_tend_to_the_frozen_filter():
    words = {"k": 25, "ratio": 4, "step_size": 0.05, **GELU}
    good, _ = frozen_probability(Cell(**words))
    gaps = [exact_probability(Cell(**words, teacher_norm=n)).p_global - good for n in (0.1, 0.05)]
    assert gaps[0] / gaps[1] == pytest.approx(4.0, rel=0.05)


def test_conditional_draws_agree():
    """Four standard errors: false alarm 6e-5."""
    cell = Cell(k=25, ratio=4, step_size=0.05, **GELU)
    right = exact_probability(cell)
    drawn = conditional_probability(cell, draws=400, seed=3)
    assert drawn.low <= right.p_spurious <= drawn.high
    assert abs(drawn.p_spurious - right.p_spurious) <= 4 * drawn.standard_error


@pytest.mark.parametrize("name", ["erf", "sin"])
def test_odd_activations_have_two_global_minima(name):
    cell = Cell(k=25, ratio=4, step_size=0.05, activation=name)
    sure = exact_probability(cell)
    assert (sure.p_global, sure.p_spurious) == (1.0, 0.0)
    assert "odd" in sure.certain
    assert frozen_probability(cell) == (1.0, 0.0)
    # Even a start at angle pi, which stays there; but not one on the boundary between the two.
    assert exact_probability(cell, angle=math.pi).p_global == 1.0
    with pytest.raises(NotExactError, match="boundary"):
        exact_probability(cell.with_(init="zero"), angle=0.5 * math.pi)
    assert exact_probability(cell.with_(init="zero"), angle=1.9).p_global == 1.0


def test_the_boundary_of_an_odd_activation_is_its_own_mirror():
    edge = boundary(Cell(k=9, ratio=2, step_size=0.2, activation="erf"))
    x, y = np.array([0.0, 0.2, -0.3]), np.array([0.0, 0.4, 0.1])
    np.testing.assert_allclose(edge.angle(x, y) + edge.angle(-x, -y), math.pi, atol=1e-11)
    assert float(edge.angle(0.0, 0.0)) == pytest.approx(0.5 * math.pi, abs=1e-12)


def test_objects_are_taken_from_python():
    teacher = Teacher(k=25, p=6, ratio=4.0)
    found = exact(teacher, activation=SOFTPLUS, step_size=0.04, p=[6, 20])
    assert [one.problem["activation"] for one in found] == ["softplus", "softplus"]
    assert 0.5 < found[0].p_global < found[1].p_global < 1.0
    assert exact(teacher, activation=TANH, step_size=0.04).p_global == 1.0
    with pytest.raises(InputError, match="twice"):
        exact_probability(Cell(k=25, ratio=4, **GELU), activation=SOFTPLUS)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"activation": "step"}, "kink"),
        ({"activation": "leaky_relu", "slope": -0.2}, "turns"),
    ],
    ids=str,
)
def test_other_kernels_are_refused_with_the_reason(words, why):
    with pytest.raises(NotExactError, match=f"{why}.*use `estimate`$"):
        exact_probability(Cell(k=25, ratio=4, step_size=0.05, **words))
