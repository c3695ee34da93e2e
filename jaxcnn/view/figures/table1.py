"""Table 1 as a figure: ours with intervals, the exact values, and the paper's numbers."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from jaxcnn.study.paper import Table1
from jaxcnn.view.figures.canvas import BLACK, GREY, axes, shades, tidy


def table1_figure(table: Table1 | pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Success probability against the ratio, a line for each k.

    Args:
        table: from `table1`, or its `cells`.
        ax: where to draw.
    """
    cells = table.cells if isinstance(table, Table1) else table
    ax = axes(ax, (4.6, 3.4))
    sizes = sorted(cells["k"].unique())
    spots = {ratio: place for place, ratio in enumerate(sorted(cells["ratio"].unique()))}
    with_exact = bool(cells["exact"].notna().any())
    for number, (k, colour) in enumerate(zip(sizes, shades(len(sizes)), strict=True)):
        rows = cells[cells["k"] == k].sort_values("ratio")
        x = rows["ratio"].map(spots).to_numpy(float)
        # Beside each other, so that the points of one ratio do not hide each other.
        aside = x + 0.11 * (number - 0.5 * (len(sizes) - 1))
        curve = rows["exact"] if with_exact else rows["p_global"]
        ax.plot(aside, curve, color=colour, lw=1.1, zorder=2)
        low, high = rows["p_global"] - rows["low"], rows["high"] - rows["p_global"]
        ax.errorbar(
            aside, rows["p_global"], yerr=[low, high], fmt="o", ms=3, lw=1, color=colour, zorder=3
        )
        ax.plot(aside + 0.035, rows["paper"], "x", ms=4, mew=0.9, color=BLACK, zorder=4)
    ax.set_xticks(list(spots.values()), [f"{ratio}" for ratio in spots])
    ax.set_xlabel("ratio $(1^\\top a^*)^2 / \\|a^*\\|^2$")
    ax.set_ylabel("P(global minimum)")
    ax.set_ylim(0.46, 1.02)
    tidy(ax)
    handles = [
        Line2D([], [], color=colour, marker="o", ms=3, lw=1.1, label=f"k = {k}")
        for k, colour in zip(sizes, shades(len(sizes)), strict=True)
    ]
    handles.append(Line2D([], [], color=BLACK, marker="x", ls="", ms=5, label="paper"))
    if with_exact:
        handles.insert(-1, Line2D([], [], color=GREY, lw=1.1, label="exact (line)"))
    ax.legend(handles=handles, fontsize=8, frameon=False, loc="upper left")
    return ax
