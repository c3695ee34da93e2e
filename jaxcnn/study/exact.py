"""The exact probability, asked for with the words of `estimate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import NotExactError
from jaxcnn.basin.exact import TOLERANCE, Exact, exact_probability
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.build import Start
from jaxcnn.study.estimate import cell_of


def exact(
    teacher: Teacher | Cell,
    *,
    p: int | Sequence[int] | None = None,
    tolerance: float = TOLERANCE,
    start: Start | None = None,
    **options: Any,
) -> Exact | tuple[Exact, ...]:
    """P(global) to about ten digits, for plain descent on the population loss.

    Args:
        teacher: the teacher, or a whole `Cell`.
        p: patch size, or several: one threshold map serves them all.
        tolerance: asked of the absolute error.
        start: fixed or biased a, fixed v or angle.
        **options: any other field of `Cell`.

    Returns:
        An `Exact`, or one for each p of a list.

    Raises:
        InputError: an argument is out of range.
        NotExactError: there is no exact probability here; the message says why, and `estimate`
            answers instead.
    """
    start = start or Start()
    cell = cell_of(teacher, options)
    known = teacher if isinstance(teacher, Teacher) else None
    if callable(start.a) or callable(start.v) or start.v_mean is not None:
        raise NotExactError("a callable start or a biased v has no exact law; use estimate")
    angle, norm = start.angle, 1.0
    if start.v is not None:
        target = known or Teacher(
            k=cell.k, p=cell.p, ratio=cell.ratio, teacher_norm=cell.teacher_norm
        )
        v = np.asarray(start.v, float)
        along = float(v @ target.w_star)
        angle = float(np.arctan2(np.linalg.norm(v - along * target.w_star), along))
        norm = float(np.linalg.norm(v))
    return exact_probability(
        cell, p, tolerance, teacher=known, a=start.a, a_mean=start.a_mean, angle=angle, v_norm=norm
    )
