"""The two-phase figure: loss, angle and a over the steps of one run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot
from matplotlib.axes import Axes

from jaxcnn.study.trajectory import phases
from jaxcnn.view.figures.canvas import BLUE, GREEN, GREY, ORANGE, RED, tidy


def two_phase(
    table: pd.DataFrame, ax: Sequence[Axes] | Axes | None = None
) -> Sequence[Axes] | Axes:
    """The run as the paper shows it: loss on a logarithmic scale above, the parameters below.

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
    lower.plot(step, table["angle"] / np.pi, color=BLUE, lw=1.3, label="angle / $\\pi$")
    scale = float(table["distance"].max()) or 1.0
    lower.plot(
        step, table["distance"] / scale, color=RED, lw=1.3, ls="--",
        label="$\\|a - a^*\\|$ / largest",
    )  # fmt: skip
    top = float(table["output_sum"].abs().max()) or 1.0
    lower.plot(
        step, table["output_sum"] / top, color=GREEN, lw=1.3, ls="-.", label="$1^\\top a$ / largest"
    )
    align = float(table["alignment"].abs().max()) or 1.0
    lower.plot(
        step, table["alignment"] / align, color=ORANGE, lw=1.3, ls=":",
        label="$a^\\top a^*$ / largest",
    )  # fmt: skip
    lower.axhline(0.0, color=GREY, lw=0.6)
    lower.set_xlabel("step")
    lower.legend(fontsize=7, frameon=False)
    tidy(lower)
    return ax


def _loss(table: pd.DataFrame, ax: Axes) -> None:
    ax.semilogy(table["step"], table["loss"], color=BLUE, lw=1.4)
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
