"""The boundary asked for with the words of `estimate`, and what a start on either side of it does."""

import numpy as np
import pytest

import jaxcnn
from jaxcnn.base.errors import NotExactError
from jaxcnn.model.activation import activation
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.built import Start
from jaxcnn.study.exact import boundary


def test_words_or_a_cell():
    wanted = boundary(jaxcnn.Cell(k=9, p=4, ratio=2.0, step_size=0.1)).angle(0.1, -0.2)
    asked = boundary(Teacher(k=9, p=4, ratio=2.0), step_size=0.1)
    assert asked.angle(0.1, -0.2) == wanted
    assert asked.edge.rate > 0
    gelu = boundary(Teacher(k=9, p=4, ratio=2.0), step_size=0.1, activation=activation("gelu"))
    assert gelu.angle(0.1, -0.2) != wanted
    with pytest.raises(NotExactError, match="use `estimate`$"):
        boundary(Teacher(k=9, p=4, ratio=2.0), optimizer="adam")


def test_a_boundary_is_printed_in_a_line():
    asked = boundary(Teacher(k=9, p=4, ratio=2.0), step_size=0.1)
    # (π−φ) cos φ + sin φ = g = 1 − ρ(π−1)/(k+π−1−ρ) and u = U (k−1+g)/(k+π−1), by hand.
    said = "ratio 2, norm 1; edge state: angle 1.9115"
    assert said in str(asked) and "1'a 1.0829" in str(asked) and "\n" not in str(asked)
    above = boundary(Teacher(k=9, p=4, ratio=9.0), step_size=0.1)
    assert str(above).endswith("no boundary: the ratio is critical or above")


def test_full_runs_end_where_the_signed_distance_says():
    """Starts turned towards w* or away from it by 0.99 and 1.01 of their distance."""
    teacher = Teacher(k=9, p=4, ratio=2.0)
    border = boundary(teacher, step_size=0.1)
    random = np.random.default_rng(0)
    for _ in range(3):
        v, a = random.normal(size=4), 0.2 * random.normal(size=9)
        v /= np.linalg.norm(v)
        w = teacher.w_star
        across = v - (v @ w) * w
        across /= np.linalg.norm(across)
        angle, distance = np.arccos(v @ w), border.distance_of(v, a)
        for part in (0.99, 1.01):
            turned = angle + part * distance
            start = Start(v=np.cos(turned) * w + np.sin(turned) * across, a=a)
            found = jaxcnn.estimate(
                teacher, step_size=0.1, start=start, restarts=1, engine="full", dtype="float64"
            )
            assert (found.p_global == 1.0) == ((distance > 0) == (part < 1))
