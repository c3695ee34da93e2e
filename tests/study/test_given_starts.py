"""Starts that a cell has no words for: what is none is refused, by every way of asking."""

import jax
import numpy as np
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.build import build
from jaxcnn.study.built import Start
from jaxcnn.study.estimate import estimate
from jaxcnn.study.exact import boundary, exact

CELL = Cell(k=9, p=4, ratio=2.0, step_size=0.05)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (Start(a=np.ones(4)), "a = .*must be 9 finite numbers$"),
        (Start(a=1.0), "a = 1.0: must be 9 finite numbers$"),
        (Start(a="many"), "a = 'many': must be 9 finite numbers$"),
        (Start(a_mean=np.ones(4)), "a_mean = .*must be 9 finite numbers, or one for all"),
        (Start(a_mean=np.nan), "a_mean = nan: must be 9 finite"),
        (Start(v=np.ones(9)), "v = .*must be 4 finite numbers"),
        (Start(v=np.zeros(4)), "v = .*must not be zero"),
        (Start(v=np.ones(4), v_mean=-np.ones(4)), "v = .*must not be zero"),
        (Start(v_mean=1.0), "v_mean = 1.0: must be 4 finite numbers"),
        (Start(angle=10.0), "angle = 10.0: must be a number from 0 to 3.14159"),
        (Start(angle=np.nan), "angle = nan: must be a number"),
        ({"angle": 1.0}, "start = .*: must be a Start"),
    ],
)
@pytest.mark.parametrize("engine", ["full", "reduced", "exact"])
def test_what_is_no_start_is_refused(start, message, engine):
    with pytest.raises(InputError, match=message):
        exact(CELL, start=start) if engine == "exact" else build(CELL, engine=engine, start=start)


@pytest.mark.parametrize("engine", ["full", "reduced", "exact"])
def test_an_angle_and_a_filter_exclude_each_other(engine):
    start = Start(angle=2.6, v=np.ones(4))
    with pytest.raises(RefusedError, match=r"angle = 2\.6: excludes v"):
        exact(CELL, start=start) if engine == "exact" else build(CELL, engine=engine, start=start)


@pytest.mark.parametrize(
    ("start", "word", "value"),
    [
        (Start(a=np.ones(9)), "init", "gaussian"),
        (Start(a=np.ones(9)), "init_scale", 2.0),
        (Start(v=np.ones(4)), "filter_init", "gaussian"),
        (Start(angle=1.0), "filter_init", "gaussian"),
    ],
)
def test_a_law_of_the_cell_beside_a_start_is_refused(start, word, value):
    for call in (estimate, exact):
        with pytest.raises(RefusedError, match=f"{word} = {value!r}: has no effect beside"):
            call(CELL.with_(**{word: value}), start=start)


def test_a_callable_of_another_size_is_refused():
    with pytest.raises(InputError, match="a = .*must return an array of 9 numbers"):
        estimate(CELL, start=Start(a=lambda key: jax.random.normal(key, (4,))))


def test_a_cell_and_its_teacher_are_asked_the_same():
    """The direction of w* counts where the filter is given."""
    words = {"k": 25, "p": 6, "ratio": 4.0, "teacher_angle": 1.3}
    start = Start(v=np.eye(6)[0])
    cell, teacher = Cell(step_size=0.05, **words), Teacher(**words)
    assert Teacher.of(cell) == teacher
    of_cell = exact(cell, start=start)
    assert of_cell.p_global == exact(teacher, step_size=0.05, start=start).p_global
    drawn = estimate(cell, restarts=2000, start=start)
    assert drawn.low <= of_cell.p_global <= drawn.high
    a = np.full(25, 0.1)
    one = boundary(cell).distance_of(start.v, a)
    assert one == boundary(teacher, step_size=0.05).distance_of(start.v, a)
    plain = boundary(cell.with_(teacher_angle=None)).distance_of(start.v, a)
    assert abs(one - plain) > 0.1


def test_an_estimate_says_its_start():
    start = Start(a=np.arange(9.0), a_mean=0.5, angle=1.0)
    problem = estimate(CELL, restarts=5, start=start).problem
    assert problem["start"] == {"a": list(range(9)), "angle": 1.0, "a_mean": 0.5}
    assert "start" not in estimate(CELL, restarts=5).problem

    def law(key):
        return jax.random.normal(key, (9,))

    assert Start(a=law).words() == {"a": "law"}
