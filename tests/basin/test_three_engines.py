"""Full Monte Carlo, reduced Monte Carlo and quadrature answer one question alike.

Cells are drawn by hypothesis. Each count is tested against the exact probability by an exact
binomial test at 1e-7, so that the fast suite (8 cells × 2 engines, and 4 × 1) gives a false alarm in 2e-6
of seeds, the heavy one (8 laws × 30 × 2) in 5e-5.
"""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from jaxcnn.base.cell import Cell
from jaxcnn.base.counts import Counts
from jaxcnn.basin.boundary import boundary
from jaxcnn.basin.exact import exact_probability
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import run
from jaxcnn.study.build import build

MOST, P = 20, 5
LANES = LaneSettings(width=512, tasks=4, capacity=4096)
LEVEL = 1e-7

cells = st.fixed_dictionaries(
    {
        "k": st.integers(4, MOST),
        "share": st.floats(0.05, 0.8),
        "teacher_norm": st.floats(0.3, 2.5),
        "init_scale": st.floats(0.3, 2.0),
        "b": st.floats(0.2, 0.9),
        "aside": st.floats(-0.1, 0.1),
    }
)


def counts(cell, engine, restarts, seed):
    """Restarts by outcome; all cells of a law share one compilation of each engine."""
    more = {"patches": MOST} if engine == "full" else {}
    built = build(cell, engine=engine, settings=LANES, dtype="float64", **more)
    job = Job(built.params, 0, restarts, 200_000)
    (result,), _ = run(built.family, [job], seed=seed, settings=LANES, x64=True)
    return Counts.of(result.outcomes)


def agree(drawn, init, filter_init, restarts, engines=("full", "reduced")):
    k, b = drawn["k"], drawn["b"]
    critical = (k + math.pi - 1) / math.pi
    # The scale of a Gaussian is that of a coordinate, not times |U|/√k.
    scale = {"init_scale": drawn["init_scale"] * (0.2 if init == "gaussian" else 1.0)}
    cell = Cell(
        k=k,
        p=P,
        ratio=drawn["share"] * critical,
        teacher_norm=drawn["teacher_norm"],
        step_size=2 * math.pi * b / (k + math.pi - 1),
        init=init,
        filter_init="sphere" if filter_init == "shortcut" else filter_init,
        **({} if init == "zero" else scale),
    )
    if filter_init == "shortcut":
        # A fixed angle near the threshold of a = 0, where both outcomes are likely.
        middle = float(boundary(cell).angle(0.0, 0.0))
        cell = cell.with_(filter_init="shortcut", teacher_angle=middle + drawn["aside"])
    tolerance = 1e-4 if filter_init == "gaussian" else 1e-8
    right = exact_probability(cell, tolerance=tolerance)
    assert right.error <= tolerance
    for engine in engines:
        found = counts(cell, engine, restarts, seed={"full": 1, "reduced": 2}[engine])
        assert found.undecided <= 2, (engine, found)
        # Undecided runs count for the side that agrees better: at most two of them.
        ends = (found.global_, found.global_ + found.undecided)
        assert max(binomtest(n, restarts, right.p_global).pvalue for n in ends) > LEVEL, (
            engine, found, right,
        )  # fmt: skip


@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(drawn=cells)
def test_three_engines_agree(drawn):
    agree(drawn, "ball", "sphere", 2000)


@settings(max_examples=4, deadline=None, derandomize=True, database=None)
@given(drawn=cells)
def test_two_engines_agree_at_a_fixed_angle(drawn):
    """The third, which starts there in test_shortcut.py, is in the heavy suite."""
    agree(drawn, "ball", "shortcut", 2000, engines=("reduced",))


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("init", "filter_init"),
    [
        ("ball", "sphere"),
        ("sphere", "sphere"),
        ("gaussian", "sphere"),
        ("zero", "sphere"),
        ("ball", "gaussian"),
        ("ball", "shortcut"),
        ("sphere", "shortcut"),
        ("gaussian", "shortcut"),
    ],
)
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(drawn=cells)
def test_three_engines_agree_on_every_law(init, filter_init, drawn):
    agree(drawn, init, filter_init, 4096)


def test_a_wrong_probability_is_noticed():
    """4.5 parts in a hundred off, at 4096 restarts."""
    cell = Cell(k=12, p=P, ratio=2.0, step_size=0.1)
    right = exact_probability(cell).p_global
    found = counts(cell, "reduced", 4096, 3)
    assert binomtest(found.global_, 4096, right).pvalue > LEVEL
    assert binomtest(found.global_, 4096, right - 0.045).pvalue < LEVEL
