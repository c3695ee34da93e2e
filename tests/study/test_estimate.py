"""Estimates against exact values, and what they say of themselves."""

import json
import math

import numpy as np
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError
from jaxcnn.base.outcome import Outcome
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.estimate import estimate

# By quadrature over the basin boundary, to 12 digits.
EXACT = [
    (25, 4.0, 0.05, 0.6, 0.729271506428),
    (36, 9.0, 0.05, 0.6, 0.889397034115),
    (81, 25.0, 0.05, 0.6, 0.987978872988),
    (100, 25.0, 0.05, 0.6, 0.905441332069),
    (25, 1.0, 0.01, 1.0, 0.559229680629),
]


@pytest.mark.parametrize(("k", "ratio", "step_size", "norm", "exact"), EXACT)
def test_estimates_agree_with_the_exact_values(k, ratio, step_size, norm, exact):
    """Within 5σ: a false alarm in 6·10⁻⁷ of seeds for each cell."""
    cell = Cell(k=k, p=6, ratio=ratio, teacher_norm=norm, step_size=step_size)
    found = estimate(cell, restarts=40_000, seed=1)
    band = 5 * math.sqrt(exact * (1 - exact) / 40_000)
    # In float32 a few starts beside the separatrix stand still: they are bounds on the answer.
    undecided = found.counts.undecided / 40_000
    assert undecided < 5e-4
    assert found.counts.diverged == found.counts.other == 0
    assert found.p_global - band < exact < found.p_global + undecided + band
    assert found.low < found.p_global < found.high


def test_the_full_engine_agrees_with_the_exact_value():
    """Within 5σ (6·10⁻⁷)."""
    k, ratio, step_size, norm, exact = EXACT[0]
    cell = Cell(k=k, p=6, ratio=ratio, teacher_norm=norm, step_size=step_size)
    found = estimate(cell, engine="full", restarts=4000, seed=1)
    assert found.problem["engine"] == "full"
    assert abs(found.p_global - exact) < 5 * math.sqrt(exact * (1 - exact) / 4000)


CELL = Cell(k=25, ratio=4.0, step_size=0.05)


def test_a_longer_estimate_begins_with_a_shorter_one():
    long, short = estimate(CELL, restarts=900, seed=7), estimate(CELL, restarts=400, seed=7)
    assert np.array_equal(long.outcomes[:400], short.outcomes)
    assert np.array_equal(long.steps[:400], short.steps)
    rest = estimate(CELL, restarts=500, seed=7, first=400)
    assert np.array_equal(long.outcomes[400:], rest.outcomes)
    assert short.counts + rest.counts == long.counts
    assert not np.array_equal(estimate(CELL, restarts=400, seed=8).outcomes, short.outcomes)


def test_undecided_restarts_widen_the_interval_and_stay_in_the_denominator():
    found = estimate(CELL.with_(max_steps=16), restarts=1000, seed=0)
    assert found.counts.undecided > 50
    assert found.p_global == found.counts.global_ / 1000
    assert found.low < found.p_global
    assert found.high > (found.counts.global_ + found.counts.undecided) / 1000
    decided = found.steps[found.outcomes != Outcome.UNDECIDED]
    assert found.max_steps == decided.max() <= 16
    assert found.mean_steps == pytest.approx(decided.mean())


def test_an_estimate_reads_as_one_line_and_as_json():
    found = estimate(Teacher(k=25, p=6, ratio=4.0), step_size=0.05, restarts=300, seed=0)
    assert "\n" not in str(found)
    assert f"{found.p_global:.4f}" in str(found)
    assert f"<td>{found.p_global:.4f}</td>" in found._repr_html_()
    words = json.loads(json.dumps(found.as_dict()))
    assert set(words) >= {
        "p_global", "low", "high", "confidence", "restarts", "counts", "mean_steps", "max_steps",
        "utilisation", "problem",
    }  # fmt: skip
    assert sum(words["counts"].values()) == 300
    assert words["problem"]["seed"] == 0
    assert words["problem"]["outcomes"] == "certified"


@pytest.mark.parametrize(
    "options",
    [{"restarts": 0}, {"confidence": 95}, {"first": -1}, {"seed": -1}, {"kk": 3}, {"k": 30}],
    ids=str,
)
def test_bad_arguments_are_named(options):
    with pytest.raises(InputError, match=next(iter(options))):
        estimate(Teacher(k=25, ratio=4.0), **{"restarts": 10, **options})
