"""Exact and conditional probabilities and the boundary, asked for with the words of `estimate`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError, NotExactError, RefusedError
from jaxcnn.base.html_table import in_words
from jaxcnn.basin.boundary import Boundary
from jaxcnn.basin.boundary import boundary as boundary_of
from jaxcnn.basin.conditional import Conditional, conditional_probability
from jaxcnn.basin.exact import TOLERANCE, Exact, exact_probabilities, exact_probability
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.built import Start
from jaxcnn.study.estimate import cell_of, custom_of


def exact(
    teacher: Teacher | Cell | Sequence[Cell],
    *,
    p: int | Sequence[int] | None = None,
    tolerance: float = TOLERANCE,
    start: Start | None = None,
    **options: Any,
) -> Exact | tuple[Exact, ...]:
    """P(global) to about ten digits, for plain descent on the population loss.

    Args:
        teacher: the teacher, or a whole `Cell`; or many cells, which are computed side by side
            on all cores and take no argument but `tolerance`.
        p: patch size, or several: one threshold map serves them all.
        tolerance: asked of the absolute error.
        start: fixed or biased a, fixed v or angle.
        **options: any other field of `Cell`; `activation` may also be an `Activation`.

    Returns:
        An `Exact`, or one for each p of a list, or for each cell.

    Raises:
        InputError: an argument is out of range.
        NotExactError: there is no exact probability here; the message says why, and `estimate`
            answers instead.
    """
    if not isinstance(teacher, Teacher | Cell):
        return _of_each(teacher, tolerance, {"p": p, "start": start} | options)
    cell, more = _asked(teacher, start, options)
    return exact_probability(cell, p, tolerance, **more)


def _of_each(cells: Sequence[Cell], tolerance: float, others: dict[str, Any]) -> tuple[Exact, ...]:
    for name, value in others.items():
        if value is not None:
            raise RefusedError(name, value, "must be part of each cell when there are several")
    if not isinstance(cells, Sequence) or any(not isinstance(cell, Cell) for cell in cells):
        raise InputError("teacher", cells, "must be a Teacher, a Cell or a list of cells")
    found = []
    with closing(exact_probabilities(cells, tolerance)) as answers:
        for cell, one in zip(cells, answers, strict=True):
            if isinstance(one, NotExactError):
                raise NotExactError(f"{in_words(cell.words())}: {one}")
            found.append(one)
    return tuple(found)


def conditional(
    teacher: Teacher | Cell,
    *,
    p: int | None = None,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    start: Start | None = None,
    **options: Any,
) -> Conditional:
    """P(spurious) from draws of a alone, the start angle integrated in closed form.

    For failures too rare to be seen by runs, and where the quadrature does not converge.

    Args:
        teacher: the teacher, or a whole `Cell`.
        p: patch size; the teacher's if not given.
        draws: starts drawn.
        seed: of the draws.
        confidence: of the interval.
        start: fixed or biased a.
        **options: any other field of `Cell`; `activation` may also be an `Activation`.

    Raises:
        InputError: an argument is out of range.
        NotExactError: there is no threshold map here; the message says why.
    """
    cell, more = _asked(teacher, start, options)
    return conditional_probability(cell, p, draws=draws, seed=seed, confidence=confidence, **more)


def boundary(
    teacher: Teacher | Cell,
    *,
    v_norm: float = 1.0,
    **options: Any,
) -> Boundary:
    """The basin boundary: threshold angles, distances of starts to it, the edge state on it.

    Start laws and p do not matter. With `optimizer = "flow"` it is that of the gradient flow.

    Args:
        teacher: the teacher, or a whole `Cell`.
        v_norm: ‖v₀‖ of the starts asked about.
        **options: any other field of `Cell`; `activation` may also be an `Activation`.

    Raises:
        InputError: an argument is out of range.
        NotExactError: there is no threshold map here; the message says why.
    """
    cell, more = _asked(teacher, None, options)
    return boundary_of(cell, teacher=more["teacher"], v_norm=v_norm, activation=more["activation"])


def _asked(
    teacher: Teacher | Cell, start: Start | None, options: dict[str, Any]
) -> tuple[Cell, dict[str, Any]]:
    """The cell, and what it has no words for."""
    start = start or Start()
    words, custom = custom_of(options)
    if custom.optimizer is not None:
        raise NotExactError("an optax object is not plain gradient descent: use `estimate`")
    cell = cell_of(teacher, words)
    if not isinstance(start, Start):
        raise InputError("start", start, "must be a Start")
    start.check(cell)
    known = teacher if isinstance(teacher, Teacher) else None
    if callable(start.a) or callable(start.v) or start.v_mean is not None:
        raise NotExactError("a callable start or a biased v has no exact law: use `estimate`")
    angle, norm = start.angle, 1.0
    if start.v is not None:
        target = known or Teacher.of(cell)
        v = np.asarray(start.v, float)
        along = float(v @ target.w_star)
        angle = float(np.arctan2(np.linalg.norm(v - along * target.w_star), along))
        norm = float(np.linalg.norm(v))
    more = {
        "teacher": known,
        "a": start.a,
        "a_mean": start.a_mean,
        "angle": angle,
        "v_norm": norm,
        "activation": custom.activation,
    }
    return cell, more
