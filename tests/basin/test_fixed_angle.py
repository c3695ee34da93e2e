"""At a fixed start angle: against the other order of integration, and where it has a closed form."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, norm

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import NotExactError
from jaxcnn.basin.boundary import boundary
from jaxcnn.basin.circle import changes
from jaxcnn.basin.exact import exact_probability
from jaxcnn.basin.rules import law_rule, symmetric_rule


def bisected(distance, low, high):
    """Where `distance` (x grows with it) changes sign, for many at once."""
    for _ in range(48):
        middle = 0.5 * (low + high)
        inside = distance(middle) > 0.0
        low, high = np.where(inside, low, middle), np.where(inside, middle, high)
    return 0.5 * (low + high)


def across(cell, angle, n, radius, centre=(0.0, 0.0), nodes=160):
    """P(global) = E_y P(x > x_c(y) | y) over the disc, by bisections of the signed distance.

    The distance to the boundary grows with x and with y. Chords y = const that miss the boundary
    are told by their two ends; the others are cut at the crossings and mapped by a sine.
    """
    edge = boundary(cell)

    def distance(t, u):
        return edge.distance(angle, centre[0] + radius * t, centre[1] + radius * u)

    def crossing(side):
        """The u at which the chord's right (1) or left (−1) end lies on the boundary."""

        def end(u):
            return distance(side * np.sqrt(1.0 - u * u), u)

        # On the half circle on the right the distance rises, falls or both; scan for one change.
        u = np.linspace(-1.0, 1.0, 401)
        good = end(u) > 0.0
        at = np.flatnonzero(good[1:] != good[:-1])
        low, high = u[at], u[at + 1]
        return [
            float(
                bisected(end if not good[i] else lambda x: -end(x), np.array([a]), np.array([b]))[0]
            )
            for i, a, b in zip(at, low, high, strict=True)
        ]

    law = beta(0.5 * (n - 1), 0.5 * (n - 1))
    inner = beta(0.5 * n - 1.0, 0.5 * n - 1.0) if n > 2 else None
    cuts = sorted({-1.0, 1.0, *crossing(1.0), *crossing(-1.0)})
    x, w = np.polynomial.legendre.leggauss(nodes)
    total = 0.0
    for a, b in zip(cuts[:-1], cuts[1:], strict=True):
        middle = np.array([0.5 * (a + b)])
        wide = np.sqrt(1.0 - middle**2)
        right, left = distance(wide, middle)[0] > 0.0, distance(-wide, middle)[0] > 0.0
        if right == left:
            total += right * (law.cdf(0.5 * (1 + b)) - law.cdf(0.5 * (1 + a)))
            continue
        turn = 0.5 * math.pi * x
        u = 0.5 * (a + b) + 0.5 * (b - a) * np.sin(turn)
        wide = np.sqrt(1.0 - u * u)
        t = bisected(lambda t, u=u: distance(t, u), -wide, wide)
        weight = 0.5 * math.pi * w * 0.5 * (b - a) * np.cos(turn) * 0.5 * law.pdf(0.5 * (1 + u))
        total += float(weight @ inner.sf(0.5 * (1 + t / wide)))
    return total


CASES = (
    # cell, further arguments, angle
    ({"k": 6, "init": "sphere", "init_scale": 1.0, "share": 0.5}, {}, 2.0),
    ({"k": 6, "init": "ball", "init_scale": 3.0, "share": 0.5}, {}, 2.0),
    ({"k": 3, "init": "sphere", "init_scale": 3.0, "share": 0.9}, {}, 2.0),
    ({"k": 2, "init": "ball", "init_scale": 1.0, "share": 0.5}, {}, 2.0),
    ({"k": 9, "init": "ball", "init_scale": 1.0, "share": 0.4}, {"a_mean": 0.05}, 1.8),
)


def prepared(words):
    words = dict(words)
    k, share = words["k"], words.pop("share")
    return Cell(p=6, ratio=share * (k + math.pi - 1) / math.pi, **words)


@pytest.mark.parametrize(("words", "more", "angle"), CASES, ids=str)
def test_it_is_that_of_the_other_order_of_integration(words, more, angle):
    cell = prepared(words)
    found = exact_probability(cell, angle=angle, **more)
    n = cell.k + (2 if cell.init == "ball" else 0)
    radius = cell.init_scale * math.sqrt(cell.ratio / cell.k) * cell.teacher_norm
    centre = (more.get("a_mean", 0.0) * math.sqrt(cell.k), 0.0)
    assert found.error <= 1e-10
    assert found.p_global == pytest.approx(across(cell, angle, n, radius, centre), abs=3e-10)
    assert 0.02 < found.p_global < 0.98


def test_two_patches_on_the_sphere_are_an_arc():
    """(x, y) is uniform on a circle: the share of it on the global side, by counting."""
    cell = prepared({"k": 2, "init": "sphere", "init_scale": 3.0, "share": 0.5})
    turn = 2.0 * math.pi * (np.arange(20_000) + 0.5) / 20_000
    radius = 3.0 * math.sqrt(cell.ratio / 2)
    distance = boundary(cell).distance(2.0, radius * np.cos(turn), radius * np.sin(turn))
    found = exact_probability(cell, angle=2.0)
    assert found.p_global == pytest.approx(np.mean(distance > 0.0), abs=2.0 / 20_000)
    assert found.error < 1e-10


TOUCH = prepared({"k": 2, "init": "sphere", "share": 0.5})


def touching():
    """The angle at which the boundary touches the circle of `TOUCH`, and the direction in which."""
    radius, turn = math.sqrt(TOUCH.ratio / 2), np.linspace(-math.pi, math.pi, 2001)
    for _ in range(4):
        angle = boundary(TOUCH).angle(radius * np.cos(turn), radius * np.sin(turn))
        middle = float(turn[np.argmax(angle)])
        turn = middle + 0.1 * (turn - 0.5 * (turn[0] + turn[-1]))
    return float(angle.max()), middle, radius


def test_arcs_of_a_thousandth_are_seen():
    """The boundary all but touches the circle: some 2e-4 of it lies on the global side."""
    touch, middle, radius = touching()
    turn = middle + 0.002 * (np.arange(-2000, 2000) + 0.5) / 2000
    for less in (1.5e-7, 2e-7, 2.5e-7, 3e-7):
        distance = boundary(TOUCH).distance(
            touch - less, radius * np.cos(turn), radius * np.sin(turn)
        )
        share = np.mean(distance > 0.0) * 0.004 / (2.0 * math.pi)
        assert share > 1e-4
        found = exact_probability(TOUCH, angle=touch - less)
        assert found.p_global == pytest.approx(share, abs=1e-6)


def test_an_arc_between_two_samples_is_seen():
    """cos(β − β₀) − 1 + d is positive for |β − β₀| < arccos(1 − d)."""
    gap = 2.0 * math.pi / 4096
    for place in (100.45, 100.3, 0.55):
        centre, d = gap * place, 2e-7
        found, unseen = changes(np.array([d - 1.0, 0.5 * np.exp(-1j * centre), 0.0, 0.0]))
        half = math.acos(1.0 - d)
        np.testing.assert_allclose(found, [centre - half, centre + half], atol=1e-6)
        assert 2.0 * half < gap
        assert not unseen.size
        found, unseen = changes(np.array([-1e-8 - 1.0, 0.5 * np.exp(-1j * centre), 0.0, 0.0]))
        assert not found.size
        assert unseen == pytest.approx([math.sqrt(2.0 * 1.1e-7)], rel=1e-2)


def test_where_a_touch_is_not_told_from_a_miss_it_is_not_called_exact():
    touch, _, _ = touching()
    with pytest.raises(NotExactError):
        exact_probability(TOUCH, angle=touch + 1e-9)
    assert exact_probability(TOUCH, angle=touch + 1e-5).p_global == 0.0


@pytest.mark.parametrize(
    ("words", "angle"),
    [
        ({"k": 2, "ratio": 2, "activation": "leaky_relu", "slope": 0.5, "init_scale": 0.5}, 1.6),
        ({"k": 3, "ratio": 3, "activation": "leaky_relu", "slope": 0.9}, 1.8),
        ({"k": 1, "ratio": 1, "activation": "gelu", "init_scale": 0.5}, 2.0),
    ],
    ids=str,
)
def test_a_teacher_with_one_weight_leaves_one_coordinate(words, angle):
    """a* ∝ 1: y has no influence, and P(global) is that of x beyond its threshold."""
    cell = Cell(p=6, init="gaussian", **words)
    edge = boundary(cell)
    place = bisected(
        lambda x: edge.distance(angle, x, np.zeros_like(x)), np.array([-30.0]), np.array([30.0])
    )
    found = exact_probability(cell, angle=angle)
    assert found.p_global == pytest.approx(norm.sf(place[0] / cell.init_scale), abs=1e-11)
    assert 0.3 < found.p_global < 0.7


@pytest.mark.heavy
@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(
    k=st.integers(2, 60),
    share=st.floats(0.02, 0.95),
    teacher_norm=st.floats(0.2, 6.0),
    b=st.floats(0.1, 1.0),
    law=st.sampled_from(
        [("ball", 1.0), ("ball", 6.0), ("sphere", 1.0), ("sphere", 3.0), ("gaussian", 0.5)]
    ),
    aside=st.floats(-0.3, 0.3),
    a_mean=st.floats(-0.1, 0.1),
    exponent=st.floats(-8.0, -0.5),
    activation=st.sampled_from(["relu", "leaky_relu"]),
)
def test_errors_are_honest_on_drawn_cells(
    k, share, teacher_norm, b, law, aside, a_mean, exponent, activation
):
    """Against the same asked for eleven digits; refusals are honest too."""
    init, scale = law
    cell = Cell(
        k=k, p=6, ratio=min(share * (k + math.pi - 1) / math.pi, k), teacher_norm=teacher_norm,
        step_size=2 * math.pi * b / (k + math.pi - 1), init=init, init_scale=scale,
        activation=activation, **({"slope": 0.1} if activation == "leaky_relu" else {}),
    )  # fmt: skip
    edge = boundary(cell)
    if not edge.exists:
        return
    start = {
        "angle": float(np.clip(edge.angle(0.0, 0.0) + aside, 0.1, 3.0)),
        "a_mean": a_mean,
    }
    try:
        right = exact_probability(cell, tolerance=1e-11, **start)
        found = exact_probability(cell, tolerance=10.0**exponent, **start)
    except NotExactError:
        return
    # The smaller of the two keeps its digits.
    name = "p_global" if right.p_global < right.p_spurious else "p_spurious"
    miss = abs(getattr(found, name) - getattr(right, name))
    assert miss <= found.error + right.error + 1e-300


def test_a_law_that_misses_the_boundary_is_on_one_side():
    cell = prepared({"k": 6, "init": "ball", "init_scale": 0.1, "share": 0.5})
    assert exact_probability(cell, angle=1.0).p_spurious == 0.0
    assert exact_probability(cell, angle=2.6).p_global == 0.0


def test_many_patches_are_a_normal_law():
    """√k times a coordinate of a uniform direction in R^k is normal up to a term of order 1/k."""
    gaps = []
    for k in (250, 1000):
        values = []
        for init in ("sphere", "ball", "gaussian"):
            cell = prepared({"k": k, "init": init, "share": 0.2})
            if init == "gaussian":
                cell = cell.with_(init_scale=math.sqrt(cell.ratio) / k)
            values.append(exact_probability(cell, angle=1.7))
        sphere, ball, normal = values
        assert sphere.p_global + sphere.p_spurious == pytest.approx(1.0, abs=1e-14)
        assert ball.p_global + ball.p_spurious == pytest.approx(1.0, abs=1e-14)
        gaps.append((sphere.p_global - normal.p_global, ball.p_global - normal.p_global))
    for few, many in zip(*gaps, strict=True):
        assert abs(few) < 0.5 / 250
        assert abs(many) < 0.5 * abs(few)


CAP = prepared(
    {"k": 12, "init": "ball", "init_scale": 0.375, "share": 0.75, "teacher_norm": 2.5,
     "step_size": 0.05}
)  # fmt: skip
ORDINARY = {
    "k": st.integers(3, 120),
    "share": st.floats(0.0, 0.9),
    "teacher_norm": st.floats(0.1, 3.0),
    "init": st.sampled_from(["ball", "sphere"]),
    "scale": st.floats(0.1, 3.0),
    "angle": st.floats(0.2, 2.9) | st.none(),
}


def reaches_ten_digits(k, share, teacher_norm, init, scale, angle):
    cell = Cell(
        k=k, p=6, ratio=share * (k + math.pi - 1) / math.pi, teacher_norm=teacher_norm, init=init,
        init_scale=scale, step_size=0.05 if k <= 100 else 0.04,
    )  # fmt: skip
    start = {} if angle is None else {"angle": angle}
    found = exact_probability(cell, **start)
    assert found.error <= 1e-10
    rough = exact_probability(cell, tolerance=1e-4, **start)
    assert abs(rough.p_global - found.p_global) <= rough.error + found.error + 1e-15


def test_a_boundary_that_cuts_off_a_cap():
    """It enters and leaves the disc on the same side; its chords miss it beyond."""
    radius = CAP.init_scale * math.sqrt(CAP.ratio / CAP.k) * CAP.teacher_norm
    for angle, size in ((2.3, 0.87), (2.53125, 2.24e-14)):
        found = exact_probability(CAP, angle=angle)
        assert found.error <= min(1e-10, 1e-6 * found.p_global)
        assert found.p_global == pytest.approx(size, rel=0.01)
        assert found.p_global == pytest.approx(across(CAP, angle, CAP.k + 2, radius), rel=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(**ORDINARY)
def test_ordinary_cells_reach_ten_digits(**drawn):
    """ρ ≤ 0.9 ρ_c, teacher norm ≤ 3, scale ≤ 3; v on the sphere or at a fixed angle."""
    reaches_ten_digits(**drawn)


@pytest.mark.heavy
@settings(max_examples=600, deadline=None, derandomize=True, database=None)
@given(**ORDINARY)
def test_six_hundred_ordinary_cells_reach_ten_digits(**drawn):
    reaches_ten_digits(**drawn)


def test_the_rule_of_a_discrete_law():
    """That of Legendre from many points of the same law; its weights sum to the mass."""
    x, weight = symmetric_rule(0.0, 200)
    nodes, mass = law_rule(x, 3.0 * weight, 12)
    right, w = symmetric_rule(0.0, 12)
    np.testing.assert_allclose(nodes, right, atol=1e-13)
    np.testing.assert_allclose(mass, 3.0 * w, rtol=1e-11)


def test_starts_on_the_boundary_are_refused():
    """a₀ = 0 exactly at the threshold angle."""
    cell = prepared({"k": 6, "init": "zero", "share": 0.5})
    angle = float(boundary(cell).angle(0.0, 0.0))
    with pytest.raises(NotExactError, match="on the basin boundary"):
        exact_probability(cell, angle=angle)
