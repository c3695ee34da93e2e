"""Words into functions, and refusals with their reason."""

import math

import jax
import numpy as np
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.study.build import build, build_many
from jaxcnn.study.built import Start

CELL = Cell(k=6, p=4, ratio=2.0, step_size=0.1)


def law(key):
    return jax.random.normal(key, (6,))


@pytest.mark.parametrize(
    ("changes", "start", "reason"),
    [
        ({"init": "box"}, None, "box"),
        ({}, Start(a=law), "callable"),
        ({}, Start(v=lambda key: jax.random.normal(key, (4,))), "callable"),
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


VARIED = [
    CELL.with_(k=k, ratio=ratio, **changes)
    for k, ratio in ((1, 1.0), (1, 0.5), (2, 0.5), (9, 0.0), (25, 4.0))
    for changes in (
        {},
        {"step_size": 1e-6},
        {"step_size": 3.0},
        {"filter_step_size": 0.02},
        {"filter_step_size": 1e-7},
        {"init": "sphere"},
        {"init": "gaussian", "init_scale": 0.3, "p": 2},
        {"init": "zero"},
        {"init": "box"},
        {"filter_init": "gaussian", "teacher_norm": 0.55, "max_steps": 20},
        {"filter_init": "shortcut", "teacher_angle": 0.7},
        {"activation": "leaky_relu", "slope": 0.3},
        {"activation": "sin"},
        {"optimizer": "momentum"},
        {"optimizer": "flow", "step_size": 0.1},
        {"angle_tolerance": 0.01},
        {"estimator": "relu", "activation": "step"},
        {"samples": 50},
    )
]


def outcome(call):
    """What was built, in comparable form, or the sentence that refused it."""
    try:
        built = call()
    except InputError as error:
        return str(error)
    leaves, tree = jax.tree.flatten(built.params)
    numbers = [(type(leaf), leaf.dtype, leaf.tobytes()) for leaf in leaves]
    words = built.family, built.engine, built.dtype, built.settings, built.proved, tree
    return words, numbers


@pytest.mark.parametrize("engine", ["auto", "reduced", "full", "fast"])
@pytest.mark.parametrize("dtype", [None, "float32", "float64", "float16"])
def test_many_cells_at_once_are_what_each_is_alone(engine, dtype):
    words = {"engine": engine, "dtype": dtype}
    alone = [outcome(lambda cell=cell: build(cell, **words)) for cell in VARIED]
    for cell, own in zip(VARIED, alone, strict=True):
        assert outcome(lambda cell=cell: build_many([cell], **words)[0]) == own
    refused = next((own for own in alone if isinstance(own, str)), None)
    assert refused is None or outcome(lambda: build_many(VARIED, **words)[0]) == refused
    fine = [i for i, own in enumerate(alone) if not isinstance(own, str)]
    together = build_many([VARIED[i] for i in fine], **words) if fine else []
    for i, built in zip(fine, together, strict=True):
        assert outcome(lambda built=built: built) == alone[i]


@pytest.mark.parametrize(
    ("norm", "dtype"), [(1.0, "float32"), (0.01, "float64"), (1e8, "float32"), (1e20, "float64")]
)
def test_teachers_whose_numbers_float32_cannot_hold_run_in_float64(norm, dtype):
    """Increments of the angle go by the norm squared; so do the numbers themselves."""
    cell = Cell(k=25, ratio=4.0, teacher_norm=norm, step_size=0.1)
    (together,) = build_many([cell])
    for built in (build(cell), build(cell, engine="full"), together):
        assert built.dtype == dtype
    if norm > 1e18:
        with pytest.raises(RefusedError, match="dtype = 'float32': numbers overflow"):
            build(cell, dtype="float32")
