"""The basins in the plane of angle and alignment."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from jaxcnn.study.basin_map import BasinMap
from jaxcnn.view.figures.canvas import BLACK, BLUE, GREY, RED, SKY, axes, tidy


def basin_figure(found: BasinMap, ax: Axes | None = None) -> Axes:
    """Separatrix, edge state, minima, and sample runs from their starts (dots).

    The separatrix is that of starts whose 1ᵀa is the edge state's, which runs are near within a
    few steps. Runs are projected, so that their first steps may cross it.

    Args:
        found: from `basin_map`.
        ax: where to draw.
    """
    ax = axes(ax, (3.4, 3.0))
    s, threshold = found.alignment, found.threshold
    far, name = (SKY, "global $(-w^*, -a^*)$") if found.mirrored else (RED, "spurious")
    ax.fill_between(s, 0.0, threshold, color=BLUE, alpha=0.13, lw=0)
    ax.fill_between(s, threshold, np.pi, color=far, alpha=0.13, lw=0)
    if math.isfinite(found.edge_angle):
        ax.plot(s, threshold, color=BLACK, lw=1.5, label="separatrix")
        ax.plot(
            0.0, found.edge_angle, "D", color=BLACK, mfc="white", ms=6, zorder=5, label="edge state"
        )
        ax.plot(found.spurious, np.pi, "o", color=far, ms=7, zorder=5, clip_on=False, label=name)
    for run in found.runs:
        ends_well = run["angle"].iloc[-1] < 0.5 * np.pi
        colour = BLUE if ends_well else far
        ax.plot(run["alignment"], run["angle"], color=colour, lw=0.8, alpha=0.75)
        ax.plot(run["alignment"].iloc[0], run["angle"].iloc[0], ".", color=colour, ms=5)
    ax.plot(found.power, 0.0, "o", color=BLUE, ms=7, zorder=5, clip_on=False, label="global")
    ax.axvline(0.0, color=GREY, lw=0.6, zorder=0)
    ax.set_xlim(s[0], s[-1])
    ax.set_ylim(0.0, np.pi)
    ax.set_yticks([0.0, np.pi / 2, np.pi], ["0", "$\\pi/2$", "$\\pi$"])
    ax.set_xlabel("alignment $a^\\top a^*$")
    ax.set_ylabel("angle $\\phi$ between $v$ and $w^*$")
    ax.set_title(f"k = {found.cell.k}, ratio {found.cell.ratio:g}, step {found.cell.step_size:.3g}")
    ax.legend(fontsize=7, frameon=True, framealpha=0.85, edgecolor="none", loc="upper right")
    tidy(ax)
    return ax
