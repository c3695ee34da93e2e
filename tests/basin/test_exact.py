"""The exact probability: right, honest about its error, and refused where it is not exact."""

import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import gammaln

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError, NotExactError
from jaxcnn.basin.exact import exact_probability
from jaxcnn.basin.marginal import angle_split
from jaxcnn.basin.problem import problem_of
from jaxcnn.basin.quadrature import angles, integrate
from jaxcnn.basin.rules import beta_rule, gamma_rule, normal_rule, symmetric_rule
from jaxcnn.basin.stepping import Stepper
from tests.basin.plain_quadrature import plain_probability
from tests.basin.registry import FIXED, FURTHER, GAUSSIAN_FILTER, INDEPENDENT, H


def cell(**options):
    return Cell(**options)


@pytest.mark.parametrize("known", INDEPENDENT + FURTHER, ids=str)
def test_answers_are_right_and_their_errors_honest(known):
    found = exact_probability(cell(**known.cell), tolerance=known.tolerance, **known.start)
    # The registry's own last digit, 12 or 13 decimals, is all that is granted.
    grain = 6e-13
    assert abs(found.p_global - known.p_global) <= found.error + grain
    assert found.error <= known.tolerance
    assert abs(found.p_global + found.p_spurious - 1.0) < 1e-13
    if known.p_spurious is not None:
        miss = abs(found.p_spurious - known.p_spurious)
        assert miss <= found.error + 1e-12 * known.p_spurious


PLAIN = (
    # Registry entry, order of the plain rule.
    (FURTHER[8], 12),
    *(
        pytest.param(FURTHER[i], order, marks=pytest.mark.heavy)
        for i, order in ((0, 8), (1, 12), (2, 12), (3, 40), (4, 12), (5, 20), (6, 32), (9, 24),
                         (11, 6), (15, 8))
    ),
)  # fmt: skip


@pytest.mark.parametrize(("known", "order"), PLAIN, ids=str)
def test_the_registry_is_that_of_a_plain_quadrature(known, order):
    """Bisection to 2⁻³² and a rule of one high order: both leave less than 10⁻⁹."""
    assert plain_probability(known.cell, order) == pytest.approx(known.p_global, abs=1e-9)


def test_a_fixed_start_is_that_of_a_plain_run():
    """x = 1ᵀa/√k, and y = ‖a − mean‖ as a* is a ramp beside its mean."""
    mean = sum(FIXED) / 25
    place = 5 * mean, math.sqrt(sum((a - mean) ** 2 for a in FIXED))
    slow = plain_probability(H | {"init": "point", "init_scale": place}, 1)
    assert exact_probability(cell(**H), a=FIXED).p_global == pytest.approx(slow, abs=1e-9)


def test_a_start_of_nothing_is_that_of_a_plain_run():
    slow = plain_probability(H | {"init": "point", "init_scale": (0.0, 0.0)}, 1)
    assert exact_probability(cell(**H, init="zero")).p_global == pytest.approx(slow, abs=1e-9)


FEW = (INDEPENDENT[5], FURTHER[2], FURTHER[8], FURTHER[19])
REST = [known for known in INDEPENDENT + FURTHER if known not in FEW]


@pytest.mark.parametrize(
    "known", [*FEW, *(pytest.param(one, marks=pytest.mark.heavy) for one in REST)], ids=str
)
@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7])
def test_the_error_is_never_below_the_true_error_at_any_tolerance(known, tolerance):
    problem = problem_of(cell(**known.cell), **known.start)
    got = integrate(Stepper(problem), [known.cell.get("p", 6)], tolerance, strict=False)
    assert abs(got.p_global[0] - known.p_global) <= got.error[0] + 6e-13


@pytest.mark.heavy
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    k=st.integers(3, 60),
    share=st.floats(0.02, 0.95),
    norm=st.floats(0.2, 6.0),
    b=st.floats(0.1, 1.0),
    law=st.sampled_from([("ball", 1.0), ("ball", 4.0), ("sphere", 1.0), ("gaussian", 0.4)]),
    p=st.integers(2, 40),
    exponent=st.floats(-9.0, -2.0),
    strict=st.booleans(),
)
def test_errors_are_honest_on_drawn_cells(k, share, norm, b, law, p, exponent, strict):
    """Against a rule of order 32, where a smaller one answered; refusals are honest too."""
    init, scale = law
    drawn = cell(
        k=k, ratio=min(share * (k + math.pi - 1) / math.pi, k), teacher_norm=norm, init=init,
        init_scale=scale, step_size=2 * math.pi * b / (k + math.pi - 1),
    )  # fmt: skip
    stepper = Stepper(problem_of(drawn))
    try:
        got = integrate(stepper, [p], 10.0**exponent, strict=strict)
    except NotExactError:
        return
    if got.order >= 32:
        return
    (finer,) = angles(stepper, [32], [p])
    assert abs(got.p_global[0] - finer.good[0]) <= got.error[0] + finer.noise[0] + 1e-12


def test_gaussian_filter_with_its_integral_over_the_norm():
    found = exact_probability(cell(**GAUSSIAN_FILTER.cell), tolerance=1e-4)
    assert abs(found.p_global - GAUSSIAN_FILTER.p_global) <= found.error <= 1e-4


@pytest.mark.heavy
def test_gaussian_filter_to_ten_digits():
    found = exact_probability(cell(**GAUSSIAN_FILTER.cell), tolerance=1e-9)
    assert abs(found.p_global - GAUSSIAN_FILTER.p_global) <= found.error + 6e-11 <= 2e-9


def test_starts_without_a_threshold_count_with_their_mass():
    """At p = 2 short filters, whose steps overshoot, have a mass of 10⁻⁴."""
    short = cell(k=20, ratio=5.0, p=2, init="zero", filter_init="gaussian", step_size=0.1)
    rough, better = (exact_probability(short, tolerance=t) for t in (1e-2, 1e-3))
    assert 1e-5 < better.error <= 1e-3
    assert abs(rough.p_global - better.p_global) <= rough.error + better.error


def test_rare_failures_keep_their_digits():
    rare = exact_probability(cell(k=100, ratio=25, p=112, step_size=0.05))
    assert rare.p_spurious == pytest.approx(1.825514078546e-12, rel=1e-6)
    assert rare.error <= 1e-6 * rare.p_spurious
    assert "P(spurious)" in str(rare)


def test_rare_failures_keep_as_many_digits_as_are_asked():
    """Below 10⁻³ the rarer probability has a relative error of 10⁴ tolerances, at most 10⁻⁴."""
    for tolerance, relative in ((1e-4, 1e-4), (1e-9, 1e-5)):
        rare = exact_probability(cell(k=100, ratio=25, p=112, step_size=0.05), tolerance=tolerance)
        assert rare.p_spurious == pytest.approx(1.825514078546e-12, rel=relative)
        assert rare.error <= relative * rare.p_spurious


def test_few_digits_cost_less():
    rough, fine = (exact_probability(cell(**H), tolerance=t) for t in (5e-3, 1e-10))
    assert 5e-4 <= rough.error <= 5e-3
    assert abs(rough.p_global - fine.p_global) <= rough.error + fine.error
    assert 2 * rough.threshold_evaluations < fine.threshold_evaluations


@pytest.mark.parametrize(
    ("options", "p", "value", "tolerance"),
    [
        ({"init": "gaussian", "init_scale": 10.0}, 6, 0.5202, 0.01),
        ({"init": "gaussian", "init_scale": 10.0}, 60, 0.5257, 0.01),
        ({"init_scale": 100.0}, 1000, 0.5337, 0.01),
        ({"init_scale": 100.0}, 1000, 0.5337, 1e-10),
    ],
    ids=str,
)
def test_wide_start_laws_are_not_a_coin_toss(options, p, value, tolerance):
    """The angle then decides little, and rules that hold each node's opposite all give ½.

    The values are of 10⁵ runs (to 0.005) and of rules of order 48 to 56.
    """
    try:
        found = exact_probability(cell(k=25, ratio=4, p=p, **options), tolerance=tolerance)
    except NotExactError as refusal:
        assert tolerance < 0.01
        assert "largest order" in str(refusal)
        return
    assert abs(found.p_global - value) <= found.error + 2e-3


def test_one_map_serves_every_p():
    several = exact_probability(cell(**H), p=[2, 6, 20])
    assert len({one.threshold_evaluations for one in several}) == 1
    alone = [exact_probability(cell(**H, p=p)) for p in (2, 6, 20)]
    for one, two in zip(several, alone, strict=True):
        assert one.p_global == pytest.approx(two.p_global, abs=1e-10)
        assert one.problem["p"] == two.problem["p"] if "p" in two.problem else 6
    assert several[0].p_global < several[1].p_global < several[2].p_global


def test_shortcut_is_its_fixed_angle():
    short = exact_probability(cell(**H, filter_init="shortcut", teacher_angle=1.85))
    assert short.p_global == exact_probability(cell(**H), angle=1.85).p_global


def test_certain_answers_say_so():
    sure = exact_probability(cell(k=25, ratio=9))
    assert (sure.p_global, sure.error) == (1.0, 0.0)
    assert "critical" in sure.certain
    assert exact_probability(cell(k=25, ratio=9), angle=math.pi).p_global == 0.0
    assert exact_probability(cell(**H), angle=math.pi).p_spurious == 1.0
    assert exact_probability(cell(**H), angle=0.0).p_global == 1.0
    below = (25 + math.pi - 1) / math.pi * (1 - 1e-6)
    near = exact_probability(cell(k=25, ratio=below, step_size=0.05))
    assert near.certain is None
    assert 0.0 < near.p_spurious < 1e-8


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam"},
        {"optimizer": "momentum"},
        {"samples": 100},
        {"init": "box"},
        {"schedule": "cosine", "schedule_steps": 10},
        {"activation": "step"},
        {"step_size": 0.3},
        {"step_size": 1e-9},
    ],
    ids=str,
)
def test_refusals_are_one_line_that_points_to_estimate(options):
    with pytest.raises(NotExactError, match="use `estimate`$") as refusal:
        exact_probability(cell(**(H | options)))
    assert "\n" not in str(refusal.value)


def test_what_does_not_converge_is_refused():
    with pytest.raises(NotExactError, match="not monotone|quadrature"):
        exact_probability(cell(**H, init="gaussian", init_scale=1.0), tolerance=1e-15)


def test_overshooting_starts_are_not_called_exact():
    # v nearly still costs nothing, but a tiny ‖v₀‖ makes steps overshoot both ends.
    with pytest.raises(NotExactError, match="monotone|threshold"):
        exact_probability(cell(**(H | {"teacher_norm": 100.0, "init": "gaussian"})))


@pytest.mark.parametrize(
    "arguments",
    [{"p": 1}, {"p": []}, {"tolerance": 0.0}, {"angle": 4.0}, {"v_norm": 0.0}, {"a": [1.0]}],
    ids=str,
)
def test_bad_arguments_are_named(arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        exact_probability(cell(**H), **arguments)


def test_settings_are_left_as_they_were():
    before = {name: getattr(jax.config, name) for name in ("jax_enable_x64", "jax_default_device")}
    exact_probability(cell(**H))
    with jax.enable_x64(False):
        inside = exact_probability(cell(**H))
        assert jax.numpy.ones(1).dtype == jax.numpy.float32
    assert inside.p_global == exact_probability(cell(**H)).p_global
    assert before == {name: getattr(jax.config, name) for name in before}


@pytest.mark.parametrize("p", [2, 3, 6, 100])
def test_angle_law(p):
    angle = np.array([0.01, 0.5, math.pi / 2, 2.0, 3.1])
    below, above = angle_split(p, np.log(np.tan(angle / 2)))
    t = stats.beta(0.5 * (p - 1), 0.5 * (p - 1))
    np.testing.assert_allclose(above, t.cdf(0.5 * (1 + np.cos(angle))), rtol=1e-10)
    np.testing.assert_allclose(below, t.sf(0.5 * (1 + np.cos(angle))), rtol=1e-10)


def test_the_angle_law_keeps_its_digits_beside_a_right_angle():
    """Closed forms at p = 2, 3: φ/π and (1 − cos φ)/2, with π/2 − φ = −arctan sinh ξ."""
    xi = np.array([1e-12, 1e-9, 1e-7, 1e-5, 1e-3, 0.1, 0.5, 0.7, 2.0])
    for sign in (-1.0, 1.0):
        at = sign * xi
        for p, law in ((2, np.arctan(np.sinh(at)) / np.pi), (3, 0.5 * np.tanh(at))):
            below, above = angle_split(p, at)
            np.testing.assert_allclose(below - 0.5, law, rtol=0, atol=3e-16)
            np.testing.assert_allclose(above - 0.5, -law, rtol=0, atol=3e-16)


def beta_moment(last, n):
    return math.exp(math.lgamma(n + 1) + gammaln(last + 1) - gammaln(last + 1 + n))


@pytest.mark.parametrize(
    ("rule", "moment", "rel"),
    [
        (beta_rule(12.5, 8), lambda n: beta_moment(12.5, n), 1e-11),
        (beta_rule(0.5, 8), lambda n: beta_moment(0.5, n), 1e-11),
        (beta_rule(5e5, 8), lambda n: beta_moment(5e5, n), 1e-7),
        (normal_rule(8), lambda n: float(math.prod(range(1, n, 2))), 1e-11),
        (symmetric_rule(0.0, 8), lambda n: 1 / (n + 1), 1e-11),
        (symmetric_rule(-0.5, 8), lambda n: math.comb(n, n // 2) / 2**n, 1e-11),
        (gamma_rule(1.0, 8), lambda n: float(math.factorial(n)), 1e-11),
    ],
)
def test_rules_have_the_moments_of_their_laws(rule, moment, rel):
    nodes, weights = rule
    assert weights.sum() == pytest.approx(1.0, abs=1e-14)
    for power in (2, 4, 8, 14):
        assert weights @ nodes**power == pytest.approx(moment(power), rel=rel, abs=0.0)
