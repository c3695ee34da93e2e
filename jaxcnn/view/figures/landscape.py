"""The loss along the line between the two minima."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from jaxcnn.model.activation import relu
from jaxcnn.model.dual import Activation
from jaxcnn.model.landscape import landscape
from jaxcnn.model.teacher import Teacher
from jaxcnn.view.figures.canvas import BLUE, GREY, RED, axes, tidy

_LABELS = {
    ("global", True): "global minimum",
    ("spurious", True): "spurious minimum",
    ("spurious", False): "spurious, does not attract",
    ("edge", False): "edge state, a saddle",
}


def between_minima(
    teacher: Teacher, ax: Axes | None = None, *, activation: Activation | None = None
) -> Axes:
    """Loss against the angle: with the best a at each angle, and along the straight line in a.

    The best a at a fixed angle solves a linear equation; its loss is the floor of the valley
    that joins the global minimum at φ = 0 to the spurious one at φ = π.

    Args:
        teacher: the teacher.
        ax: where to draw.
        activation: σ; ReLU if not given.
    """
    sigma = relu() if activation is None else activation
    ax = axes(ax)
    points = landscape(teacher, sigma)
    angle = np.linspace(0.0, np.pi, 401)
    deficit = np.asarray(sigma.at(angle).deficit, float)
    last = points.points[-1]
    share = angle / np.pi
    valley = np.array([valley_loss(teacher, sigma, d) for d in deficit])
    line = np.array(
        [
            _loss(
                teacher,
                sigma,
                d,
                (1 - t) + t * last.along_teacher,
                t * last.along_ones,
            )
            for t, d in zip(share, deficit, strict=True)
        ]
    )
    ax.plot(angle, line, color=GREY, lw=1.2, ls="--", label="straight line in $a$")
    ax.plot(angle, valley, color=BLUE, lw=1.6, label="best $a$ at each angle")
    for point in points.points:
        inner = point.attracts
        ax.plot(
            point.angle,
            point.loss,
            "o" if inner else "D",
            color=BLUE if point.kind == "global" else RED,
            mfc=None if inner else "white",
            ms=6,
            zorder=4,
            clip_on=False,
            label=_LABELS.get((point.kind, inner), point.kind),
        )
    ax.set_xticks([0.0, np.pi / 2, np.pi], ["0", "$\\pi/2$", "$\\pi$"])
    ax.set_xlabel("angle $\\phi$ between $v$ and $w^*$")
    ax.set_ylabel("loss")
    ax.set_xlim(0.0, np.pi)
    ax.set_ylim(0.0, 1.1 * float(max(valley.max(), line.max())))
    ax.set_title(f"k = {teacher.k}, ratio {teacher.ratio:g}")
    ax.legend(fontsize=7, frameon=False, loc="lower right")
    tidy(ax)
    return ax


def valley_loss(teacher: Teacher, activation: Activation, deficit: float) -> float:
    """The least loss over a where K(1) − K(cos φ) = D: A D (1 − D/2D_c), as at a critical point."""
    variance, square = activation.variance, activation.mean**2
    mass = variance + square * teacher.k
    along, ones = 1.0 - deficit / variance, square * teacher.U * deficit / (variance * mass)
    return _loss(teacher, activation, deficit, along, ones)


def _loss(
    teacher: Teacher, activation: Activation, deficit: float, along: float, ones: float
) -> float:
    """The loss at a = along a* + ones 1."""
    size, total, k = teacher.A, teacher.U, teacher.k
    gap2 = (along - 1.0) ** 2 * size + 2.0 * (along - 1.0) * ones * total + ones**2 * k
    gap1 = (along - 1.0) * total + ones * k
    inner = along * size + ones * total
    half = activation.variance * gap2 + activation.mean**2 * gap1**2
    return float(0.5 * half + deficit * inner)
