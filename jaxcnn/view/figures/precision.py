"""Interval width against the restarts, or the seconds, that it cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from jaxcnn.base.interval import clopper_pearson_many
from jaxcnn.view.figures.canvas import BLUE, GREY, RED, axes, tidy

_DECADES = 80.0
"""An axis that spans less has too few powers of ten to be read by."""


def width_figure(table: pd.DataFrame, ax: Axes | None = None, *, x: str = "restarts") -> Axes:
    """Half width of the interval of each cell, and the widest it can be at each count.

    Args:
        table: with low, high and `x`.
        ax: where to draw.
        x: "restarts", or another column that costs, such as "seconds".
    """
    ax = axes(ax)
    shown = table[table[x] > 0]
    half = 0.5 * (shown["high"] - shown["low"])
    ax.loglog(shown[x], half, "o", ms=3.5, color=BLUE, alpha=0.7, label="cells", zorder=3)
    if x == "restarts" and len(shown):
        least, most = float(shown[x].min()), float(shown[x].max())
        widen = max(1.5, np.sqrt(30.0 * least / most))
        n = np.unique(np.geomspace(least / widen, most * widen, 60).astype(int).clip(2))
        low, high = clopper_pearson_many(n // 2, n)
        ax.plot(n, 0.5 * (high - low), color=GREY, lw=1.1, label="P = 1/2")
        low, high = clopper_pearson_many(n, n)
        ax.plot(n, 0.5 * (high - low), color=RED, lw=1.1, ls="--", label="no failure")
    elif len(shown):
        most = shown.loc[shown[x].idxmax()]
        cost = np.geomspace(float(shown[x].min()), float(shown[x].max()), 2)
        guide = 0.5 * (most["high"] - most["low"]) * np.sqrt(cost[-1] / cost)
        ax.plot(cost, guide, color=GREY, lw=1.1, label=f"like 1/√{x}")
    for axis, (low_end, high_end) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        axis.set_minor_formatter(NullFormatter())
        if high_end < _DECADES * low_end:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel(x)
    ax.set_ylabel("half width of the interval")
    ax.legend(fontsize=7, frameon=False)
    tidy(ax)
    return ax
