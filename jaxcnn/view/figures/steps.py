"""How many steps runs take, by outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from jaxcnn.view.figures.canvas import GREY, OUTCOME_COLOURS, axes, tidy


def steps_figure(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Histogram of steps on a logarithmic scale, a colour for each outcome.

    Args:
        table: from `steps_to`: columns outcome and steps.
        ax: where to draw.
    """
    ax = axes(ax)
    most = max(int(table["steps"].max()), 2)
    edges = np.unique(np.round(np.geomspace(1, most + 2, 40)))
    for name, colour in OUTCOME_COLOURS.items():
        steps = table.loc[table["outcome"] == name, "steps"].to_numpy(float)
        if steps.size:
            # A bin for each step count and equal areas would hide the few long runs: shares.
            counts, _ = np.histogram(steps + 1, edges)
            share = counts / len(table)
            ax.stairs(share, edges, color=colour, fill=True, alpha=0.25)
            ax.stairs(share, edges, color=colour, lw=1.2, label=f"{name} ({steps.size})")
            ax.axvline(np.median(steps) + 1, color=colour, lw=1, ls=":")
    ax.set_xscale("log")
    ax.set_xlabel("steps + 1 (dotted: median)")
    ax.set_ylabel("share of restarts")
    ax.legend(fontsize=7, frameon=False)
    tidy(ax)
    return ax


def steps_histogram(by_outcome: Mapping[str, Sequence[int]], ax: Axes | None = None) -> Axes:
    """The same from counts by powers of two, as result files keep them.

    Args:
        by_outcome: for each outcome the restarts with 0, 1, 2-3, 4-7, … steps.
        ax: where to draw.
    """
    ax = axes(ax)
    total = max(1, sum(sum(counts) for counts in by_outcome.values()))
    for name, counts in by_outcome.items():
        if sum(counts):
            edges = np.concatenate([[0.5], 2.0 ** np.arange(len(counts))])
            colour = OUTCOME_COLOURS.get(name, GREY)
            share = np.asarray(counts, float) / total
            ax.stairs(share, edges, color=colour, fill=True, alpha=0.25)
            ax.stairs(share, edges, color=colour, lw=1.2, label=f"{name} ({sum(counts)})")
    ax.set_xscale("log", base=2)
    ax.set_xlabel("steps (first bar: none)")
    ax.set_ylabel("share of restarts")
    ax.legend(fontsize=7, frameon=False)
    tidy(ax)
    return ax
