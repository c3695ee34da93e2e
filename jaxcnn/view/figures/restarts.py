"""How many restarts make success likely."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from jaxcnn.base.restarts import restarts_needed
from jaxcnn.view.figures.canvas import BLACK, axes, shades, tidy


def restarts_figure(
    table: pd.DataFrame | None = None,
    ax: Axes | None = None,
    *,
    deltas: Sequence[float] = (0.1, 0.01, 1e-4),
) -> Axes:
    """Restarts needed so that one succeeds with probability 1 − δ, against P(global).

    Args:
        table: cells to mark on the middle curve, with p_global, low and high.
        ax: where to draw.
        deltas: accepted probabilities that all restarts fail.
    """
    ax = axes(ax)
    p = np.linspace(0.02, 0.999, 600)
    for delta, colour in zip(deltas, shades(len(deltas)), strict=True):
        needed = [restarts_needed(float(x), delta) for x in p]
        ax.step(p, needed, color=colour, lw=1.3, where="mid", label=f"{100 * (1 - delta):.6g} %")
    if table is not None:
        middle = sorted(deltas)[len(deltas) // 2]
        shown = table[table["p_global"] > 0].dropna(subset=["p_global"])
        most = [restarts_needed(float(x), middle) for x in shown["p_global"]]
        high = [min(restarts_needed(float(x), middle), 1e4) for x in shown["low"]]
        low = [restarts_needed(float(x), middle) for x in shown["high"]]
        gaps = [np.subtract(most, low), np.maximum(np.subtract(high, most), 0.0)]
        ax.errorbar(
            shown["p_global"], most, yerr=gaps, fmt="o", ms=3, lw=0.9, color=BLACK, zorder=4
        )
    ax.set_yscale("log")
    top = max(restarts_needed(0.02, min(deltas)), 2.0)
    ax.set_ylim(0.9, 10 ** math.ceil(math.log10(top)))
    ax.set_xlim(0.0, 1.01)
    ax.set_xlabel("P(global minimum) of one restart")
    ax.set_ylabel("restarts needed")
    ax.legend(title="to succeed once with", fontsize=7, title_fontsize=7, frameon=False)
    tidy(ax)
    return ax
