"""`jaxcnn basin`: a map of the basins."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from jaxcnn.base.cell import Cell
from jaxcnn.study.basin_map import basin_map
from jaxcnn.view.figures.basin_map import basin_figure
from jaxcnn.view.figures.canvas import save, writable
from jaxcnn.view.terminal import print_text


def run(words: dict[str, Any], *, seed: int, runs: int, out: Path) -> None:
    """Find the separatrix, draw it, and say where the edge state is."""
    cell = Cell(**words)
    writable(out)
    found = basin_map(cell, runs=runs, seed=seed)
    figure = Figure(figsize=(3.4, 3.0), layout="constrained")
    basin_figure(found, figure.subplots())
    save(figure, out)
    if math.isnan(found.edge_angle):
        print_text("the ratio is at or above critical: every start reaches the global minimum")
    else:
        print_text(f"edge state at angle {found.edge_angle:.6f}, a'a* = 0")
    print_text(f"written: {out}")
