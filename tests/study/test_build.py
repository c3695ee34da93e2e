"""Words into functions, and refusals with their reason."""

import math

import jax
import numpy as np
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.study.build import Start, build

CELL = Cell(k=6, p=4, ratio=2.0, step_size=0.1)


def law(key):
    return jax.random.normal(key, (6,))


@pytest.mark.parametrize(
    ("changes", "start", "reason"),
    [
        ({"init": "box"}, None, "box"),
        ({}, Start(a=law), "callable"),
        ({}, Start(v=law), "callable"),
        ({}, Start(v_mean=np.ones(4)), "biased v"),
        ({"step_size": 2 * math.pi * 2.0 / (5 + math.pi)}, None, "b >= 2"),
        ({"optimizer": "adam"}, None, "adam"),
    ],
)
def test_what_four_scalars_do_not_carry_runs_in_full(changes, start, reason):
    cell = CELL.with_(**changes)
    with pytest.raises(RefusedError, match=reason) as caught:
        build(cell, engine="reduced", start=start)
    assert "engine='full'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert build(cell, start=start).engine == "full"


def test_auto_takes_the_four_scalars_where_they_are_exact():
    for changes in ({}, {"init": "sphere"}, {"init": "gaussian"}, {"filter_init": "gaussian"}):
        built = build(CELL.with_(**changes))
        assert (built.engine, built.dtype, built.proved) == ("reduced", "float32", True)
    assert build(CELL, engine="full").engine == "full"
    assert build(CELL, dtype="float64").x64


@pytest.mark.parametrize(("name", "value"), [("engine", "fast"), ("dtype", "float16")])
def test_unknown_words_are_refused(name, value):
    with pytest.raises(InputError, match=f"{name} = '{value}'"):
        build(CELL, **{name: value})


def test_parameters_are_host_arrays_in_the_dtype():
    for engine in ("reduced", "full"):
        for dtype in ("float32", "float64"):
            leaves = jax.tree.leaves(build(CELL, engine=engine, dtype=dtype).params)
            assert {str(leaf.dtype) for leaf in leaves} == {dtype}
            assert all(isinstance(leaf, (np.ndarray, np.generic)) for leaf in leaves)
