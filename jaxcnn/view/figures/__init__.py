"""Figures: each a function from a result or DataFrame to matplotlib `Axes`.

They change no global style. Without `ax` a figure of a column's width is made.
"""

from jaxcnn.view.figures.basin_map import basin_figure
from jaxcnn.view.figures.canvas import save
from jaxcnn.view.figures.landscape import between_minima
from jaxcnn.view.figures.precision import width_figure
from jaxcnn.view.figures.restarts import restarts_figure
from jaxcnn.view.figures.steps import steps_figure, steps_histogram
from jaxcnn.view.figures.success import heat_map, lines
from jaxcnn.view.figures.table1 import table1_figure
from jaxcnn.view.figures.trajectory import two_phase

__all__ = [
    "basin_figure",
    "between_minima",
    "heat_map",
    "lines",
    "restarts_figure",
    "save",
    "steps_figure",
    "steps_histogram",
    "table1_figure",
    "two_phase",
    "width_figure",
]
