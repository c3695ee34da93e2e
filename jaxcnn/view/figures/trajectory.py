"""The two-phase figure: loss, angle and a over the steps of one run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot
from matplotlib.axes import Axes

from jaxcnn.study.trajectory import phases
from jaxcnn.view.figures.canvas import BLUE, GREEN, GREY, RED, tidy

_FLOOR = 1e-7
"""Below the parameters of a run whose loss, quadratic in them, has reached rounding."""

_DECADES = 30.0
"""A loss that falls by less is shown on a linear scale."""


def two_phase(
    table: pd.DataFrame, ax: Sequence[Axes] | Axes | None = None
) -> Sequence[Axes] | Axes:
    """The run as the paper shows it: the loss above, the parameters below.

    These are sin²φ, ‖a − a*‖ and |1ᵀa − 1ᵀa*|; in the second phase all are straight lines. As
    sin²φ vanishes at both minima, a run to the spurious one shows φ/π and the alignment instead.

    Args:
        table: from `trajectory`.
        ax: where to draw: two axes, or one for the loss only.
    """
    if ax is None:
        _, ax = pyplot.subplots(2, 1, figsize=(3.4, 3.6), sharex=True, layout="constrained")
    if isinstance(ax, Axes):
        _loss(table, ax)
        ax.set_xlabel("step")
        return ax
    upper, lower = ax
    _loss(table, upper)
    step = table["step"]
    arrives = float(table["angle"].iloc[-1]) < 0.5 * np.pi
    curves = {"$\\|a - a^*\\|$": table["distance"]}
    if arrives:
        curves = {"$\\sin^2\\phi$": np.sin(table["angle"]) ** 2} | curves
    else:
        curves = {"$\\phi/\\pi$": table["angle"] / np.pi} | curves
        curves["$a^\\top a^*$"] = table["alignment"]
    if arrives and "teacher_sum" in table.attrs:
        gap = (table["output_sum"] - table.attrs["teacher_sum"]).abs()
        curves["$|1^\\top a - 1^\\top a^*|$"] = gap
    for (name, values), colour, style in zip(
        curves.items(), (BLUE, RED, GREEN), ("-", "--", "-."), strict=False
    ):
        lower.plot(step, values, color=colour, lw=1.3, ls=style, label=name)
    if arrives:
        lower.set_yscale("log")
        lower.set_ylim(bottom=_FLOOR)
    else:
        lower.axhline(0.0, color=GREY, lw=0.6)
        bottom, top = lower.get_ylim()
        lower.set_ylim(bottom, top + 0.25 * (top - bottom))  # room for the legend
    lower.set_xlabel("step")
    lower.legend(fontsize=7, frameon=False, ncols=1 if arrives else 3, loc="upper right")
    tidy(lower)
    return ax


def _loss(table: pd.DataFrame, ax: Axes) -> None:
    loss = table["loss"]
    ax.plot(table["step"], loss, color=BLUE, lw=1.4)
    if loss.max() > _DECADES * loss.min():
        ax.set_yscale("log")
    else:
        ax.set_ylim(0.0, 1.05 * float(loss.max()))
    ax.set_ylabel("loss")
    if len(table) >= 8:
        found = phases(table)
        if np.isfinite(found.first_end) and np.isfinite(found.rate):
            marks = [(found.first_end, "$T_1$"), (found.second_end, "$T_2$")]
            for at, name in marks:
                if np.isfinite(at):
                    ax.axvline(at, color=GREY, lw=0.9, ls=":")
                    ax.annotate(
                        name, (at, 1.0), xycoords=("data", "axes fraction"), xytext=(2, -8),
                        textcoords="offset points", fontsize=8,
                    )  # fmt: skip
            ax.set_title(f"second phase: loss × {1 - found.rate:.4f} a step")
    tidy(ax)
