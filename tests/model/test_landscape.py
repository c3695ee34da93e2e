"""Critical points against the gradient, the Hessian, gradient descent and the literature."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.base.errors import InputError
from jaxcnn.model.activation import gelu, leaky_relu, relu, step
from jaxcnn.model.critical import edge_level
from jaxcnn.model.hermite import from_function
from jaxcnn.model.landscape import critical_ratio, landscape
from jaxcnn.model.population import Student, gradient, loss, target
from jaxcnn.model.teacher import Teacher
from tests.model.known import ALL, SOFTPLUS, TANH, everything, filter_at, identify

EVEN = from_function(lambda x: x**2, "square")
KINDS = (*ALL, leaky_relu(-0.1), EVEN)
CASES = [(kind, ratio) for kind in KINDS for ratio in (0.0, 1.5, 9.0)]
cases = pytest.mark.parametrize(
    ("activation", "ratio"), CASES, ids=lambda x: x if isinstance(x, float) else identify(x)
)
K, P, NORM, LENGTH = 9, 3, 1.3, 0.8


def flat_loss(x, goal, activation):
    return loss(Student(x[:P], x[P:]), goal, activation)


hessian_of = jax.jit(jax.hessian(flat_loss), static_argnums=2)


def teacher_along_an_axis(ratio):
    """So that a filter at φ = 0 or π is there exactly."""
    return Teacher.from_arrays([0.0, 1.0, 0.0], Teacher(k=K, ratio=ratio, teacher_norm=NORM).a_star)


def student_at(point, teacher):
    v = filter_at(point.angle, teacher.w_star, LENGTH)
    return Student(jnp.asarray(v), jnp.asarray(point.output(teacher)))


@cases
def test_gradient_and_numbers_at_each_point(activation, ratio):
    teacher = teacher_along_an_axis(ratio)
    found = landscape(teacher, activation, LENGTH)
    goal = target(teacher)
    assert found.points[0].kind == "global"
    assert found.points[-1].angle == math.pi
    assert [p.angle for p in found.points] == sorted(p.angle for p in found.points)
    for point in found.points:
        here = student_at(point, teacher)
        exact, _, slope = everything(here, goal, activation)
        for part in slope:
            np.testing.assert_allclose(part, 0.0, atol=1e-12)
        assert point.loss == pytest.approx(float(exact), rel=1e-11, abs=1e-13)
        assert point.loss >= 0.0
        assert (point.kind == "global") == (exact < 1e-12)
        assert point.output_sum == pytest.approx(float(here.a.sum()), abs=1e-12)
        assert point.alignment == pytest.approx(float(here.a @ goal.a_star), abs=1e-11)


@cases
def test_eigenvalues_are_those_of_the_hessian(activation, ratio):
    teacher = teacher_along_an_axis(ratio)
    goal = target(teacher)

    for point in landscape(teacher, activation, LENGTH).points:
        listed = np.repeat(*map(np.array, zip(*point.eigenvalues, strict=True)))
        assert listed.size == K + P
        if activation.kinked and point.angle in (0.0, math.pi):
            assert np.isinf(listed).sum() == (P - 1 if point.alignment else 0)
            continue
        x = jnp.concatenate(student_at(point, teacher))
        exact = np.linalg.eigvalsh(hessian_of(x, goal, activation))
        np.testing.assert_allclose(np.sort(listed), exact, atol=1e-10)
        if point.unstable is not None:
            assert point.unstable.rate == pytest.approx(-exact[0], rel=1e-6, abs=1e-12)


@jax.jit
def _noise(key):
    v, a = jax.random.split(key)
    return Student(0.02 * jax.random.normal(v, (8, P)), 0.02 * jax.random.normal(a, (8, K)))


def descend(start, goal, activation, steps=6000, step_size=0.1):
    def once(_, student):
        slope = gradient(student, goal, activation)
        return jax.tree.map(lambda x, d: x - step_size * d, student, slope)

    return jax.lax.fori_loop(0, steps, once, start)


values = jax.jit(jax.vmap(loss, in_axes=(0, None, None)), static_argnums=2)
descend_all = jax.jit(jax.vmap(descend, in_axes=(0, None, None)), static_argnums=2)


@pytest.mark.parametrize(
    ("activation", "ratio"),
    [
        (relu(), 1.5),
        (relu(), 6.0),
        (leaky_relu(0.3), 3.0),
        (leaky_relu(0.3), 8.0),
        (leaky_relu(-0.1), 1.5),
        (leaky_relu(-0.4), 1.5),
        (gelu(), 1.5),
        (gelu(), 6.0),
        (SOFTPLUS, 2.0),
        (TANH, 2.0),
        (EVEN, 2.0),
        (step(), 2.0),
        (step(), 7.0),
    ],
    ids=lambda x: f"{x:g}" if isinstance(x, float) else identify(x),
)
def test_what_attracts_does(activation, ratio):
    """From 8 starts beside each point, descent returns to its loss, or goes below it."""
    teacher = teacher_along_an_axis(ratio)
    goal = target(teacher)
    for number, point in enumerate(landscape(teacher, activation, LENGTH).points):
        here = student_at(point, teacher)
        start = jax.tree.map(lambda x, n: x[None] + n, here, _noise(jax.random.key(number)))
        end = descend_all(start, goal, activation)
        losses = values(end, goal, activation)
        # The step's descent never settles: it hovers above the minimum by about a step.
        slack = 0.05 if activation.kinked else 1e-5
        if point.attracts:
            np.testing.assert_allclose(losses, point.loss, atol=slack)
        else:
            assert float(losses.min()) < point.loss - 5e-4


def reduced_flow(x, teacher, activation):
    """Time derivatives of (φ, s, M) of a full student with these scalars, from its gradient."""
    phi, s, deviation = x
    goal = target(teacher)
    u = teacher.U - deviation / teacher.U
    even = np.ones(K) / math.sqrt(K)
    odd = teacher.a_star - teacher.U / K
    a = u / math.sqrt(K) * even + (s - u * teacher.U / K) / teacher.B**2 * odd
    v = filter_at(phi, teacher.w_star, LENGTH)
    _, _, rate = everything(Student(jnp.asarray(v), jnp.asarray(a)), goal, activation)
    across = teacher.w_star - (teacher.w_star @ v) * v / LENGTH**2
    turn = float(across @ np.asarray(rate.v)) / (LENGTH * np.linalg.norm(across))
    return np.array([turn, -rate.a @ teacher.a_star, teacher.U * rate.a.sum()])


@pytest.mark.parametrize(
    ("activation", "ratio"), [(relu(), 1.5), (step(), 3.0), (gelu(), 2.0), (TANH, 2.0)]
)
def test_the_way_out_of_the_edge_state(activation, ratio):
    teacher = teacher_along_an_axis(ratio)
    edge = landscape(teacher, activation, LENGTH).edge
    at = np.array([edge.angle, 0.0, teacher.U * (teacher.U - edge.output_sum)])
    np.testing.assert_allclose(reduced_flow(at, teacher, activation), 0.0, atol=1e-12)
    h = 1e-5
    jacobian = np.stack(
        [
            (reduced_flow(at + e, teacher, activation) - reduced_flow(at - e, teacher, activation))
            / (2 * h)
            for e in h * np.eye(3)
        ],
        axis=1,
    )
    out = edge.unstable
    np.testing.assert_allclose(
        jacobian @ out.direction, out.rate * np.array(out.direction), atol=1e-8
    )
    np.testing.assert_allclose(
        out.covector @ jacobian, out.rate * np.array(out.covector), atol=1e-8
    )
    assert out.rate > 0.0
    assert out.direction[0] == 1.0
    assert np.dot(out.covector, out.direction) == pytest.approx(1.0)


def test_critical_ratios_of_the_literature():
    found = [round(critical_ratio(k), 2) for k in (25, 36, 49, 64, 81, 100)]
    assert found == [8.64, 12.14, 16.28, 21.05, 26.46, 32.51]
    assert critical_ratio(1) == pytest.approx(1.0)
    for k in (1, 7, 1000):
        assert critical_ratio(k) == pytest.approx((k + math.pi - 1) / math.pi, rel=1e-14)
        assert critical_ratio(k, step()) == pytest.approx((k + 1) / 2, rel=1e-14)
        assert critical_ratio(k, TANH) == critical_ratio(k, EVEN) == 0.0
    with pytest.raises(InputError, match="k = 0"):
        critical_ratio(0)


@pytest.mark.parametrize("activation", [relu(), step(), gelu(), leaky_relu(0.2), SOFTPLUS])
def test_spurious_minimum_and_edge_exist_below_the_critical_ratio(activation):
    critical = critical_ratio(30, activation)
    for share, there in ((0.5, True), (0.999, True), (1.001, False), (1.5, False)):
        found = landscape(Teacher(k=30, ratio=share * critical), activation)
        (spurious,) = found.of_kind("spurious")
        assert spurious.attracts == there == (found.edge is not None)
        if there:
            assert found.edge.loss > spurious.loss
    merged = landscape(Teacher(k=30, ratio=critical), activation)
    assert merged.edge is None
    assert not merged.of_kind("spurious")[0].attracts


@pytest.mark.parametrize(("k", "ratio"), [(25, 0.0), (25, 4.0), (100, 25.0)])
def test_relu_formulas(k, ratio):
    teacher = Teacher(k=k, ratio=ratio, teacher_norm=0.6)
    found = landscape(teacher)
    (spurious,) = found.of_kind("spurious")
    expected = math.pi - 2 + math.pi * ratio / (k + math.pi - 1)
    assert spurious.loss == pytest.approx(teacher.A / (4 * (math.pi - 1)) * expected, rel=1e-13)
    ones = np.ones((k, k))
    a = np.linalg.solve(ones + (math.pi - 1) * np.eye(k), (ones - np.eye(k)) @ teacher.a_star)
    np.testing.assert_allclose(spurious.output(teacher), a, atol=1e-14)
    phi = found.edge.angle
    g = (math.pi - phi) * math.cos(phi) + math.sin(phi)
    expected = 1 - ratio * (math.pi - 1) / (k + math.pi - 1 - ratio)
    assert g == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize(("k", "ratio"), [(9, 0.0), (9, 3.0), (100, 40.0)])
def test_saddle_of_the_step_activation(k, ratio):
    """Yin et al., ICLR 2019: (π/2)(k+1)‖a*‖² / ((k+1)‖a*‖² − (1ᵀa*)²)."""
    found = landscape(Teacher(k=k, ratio=ratio, teacher_norm=2.0), step())
    assert found.edge.angle == pytest.approx(0.5 * math.pi * (k + 1) / (k + 1 - ratio), rel=1e-13)


def test_slow_cells_and_size():
    """The rate of the edge state does not lose its digits where it is small, nor for large k."""
    for k, ratio, rate in ((49, 16.0, 1.545e-5), (81, 25.0, 6.914e-5)):
        out = landscape(Teacher(k=k, ratio=ratio)).edge.unstable
        assert 0.01 * out.rate == pytest.approx(rate, rel=1e-3)
    # λ ~ (ρ_c − ρ)^{4/3}: q² with q ~ (π−φ)² and (π−φ)³ ~ ρ_c − ρ.
    rates = [
        landscape(Teacher(k=50, ratio=critical_ratio(50) * (1 - gap))).edge.unstable.rate
        for gap in (1e-8, 1e-9)
    ]
    assert math.log10(rates[0] / rates[1]) == pytest.approx(4 / 3, rel=1e-3)
    large = landscape(Teacher(k=10**6, ratio=1e5))
    assert sum(count for _, count in large.points[1].eigenvalues) == 10**6 + 6
    assert edge_level(10**6, 1e5, relu()) < 0.5


def test_one_patch_and_edges_of_the_range():
    (top, bottom) = landscape(Teacher(k=1, ratio=1.0)).points
    assert top.attracts
    assert not bottom.attracts
    assert "met by the edge state" in bottom.note
    odd = landscape(Teacher(k=4, ratio=4.0), TANH)
    assert [point.kind for point in odd.points] == ["global", "edge", "global"]
    assert odd.edge.angle == pytest.approx(math.pi / 2)
    one = landscape(Teacher(k=1, ratio=1.0), TANH)
    assert sum(count for _, count in one.edge.eigenvalues) == 7


def test_a_kernel_that_turns():
    """Leaky ReLU with a negative slope has its spurious minimum inside (0, π), or at π, or both."""
    ring = landscape(Teacher(k=25, ratio=4.0), leaky_relu(-0.1))
    kinds = [(point.kind, point.attracts) for point in ring.points]
    assert kinds == [("global", True), ("edge", False), ("spurious", True), ("spurious", False)]
    high = landscape(Teacher(k=25, ratio=4.0), leaky_relu(-0.5))
    kinds = [(point.kind, point.attracts) for point in high.points]
    assert kinds == [("global", True), ("turn", False), ("spurious", True)]


def test_what_it_prints_and_gives():
    found = landscape(Teacher(k=25, ratio=4.0))
    lines = str(found).splitlines()
    assert len(lines) == 4
    assert "critical ratio 8.63944" in lines[0]
    again = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert again["points"][1]["unstable"]["rate"] == found.edge.unstable.rate
    kinked = landscape(Teacher(k=25, ratio=4.0), step())
    assert json.dumps(kinked.as_dict(), allow_nan=False)
    table = found.table()
    assert list(table["kind"]) == ["global", "edge", "spurious"]
    assert table["smallest_eigenvalue"][1] == -found.edge.unstable.rate
    assert landscape(Teacher(k=25, ratio=12.0)).edge is None
    with pytest.raises(InputError, match=r"filter_norm = 0\.0"):
        landscape(Teacher(k=25, ratio=4.0), filter_norm=0.0)
