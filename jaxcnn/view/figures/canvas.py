"""What all figures share: colours, sizes, and writing a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxcnn.base.errors import InputError

COLUMN = (3.4, 2.6)
"""Inches: the width of a column of a two-column paper."""

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PINK, BLACK, GREY = "#56B4E9", "#CC79A7", "#000000", "#767676"
"""Colours that the common kinds of colour blindness tell apart (Okabe & Ito 2008)."""

CYCLE = (BLUE, RED, GREEN, ORANGE, PINK, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
OUTCOME_COLOURS = {
    "global": BLUE,
    "spurious": RED,
    "other": GREEN,
    "diverged": BLACK,
    "undecided": GREY,
}

FORMATS = (".png", ".pdf", ".svg")


def axes(ax: Axes | None, size: tuple[float, float] = COLUMN) -> Axes:
    """`ax`, or the axes of a new figure."""
    if ax is not None:
        return ax
    made: Axes = pyplot.figure(figsize=size, layout="constrained").subplots()
    return made


def shades(count: int) -> list[Any]:
    """Colours in order of lightness, for keys that are ordered."""
    if count <= len(CYCLE) and count <= 3:
        return list(CYCLE[:count])
    from_map = pyplot.get_cmap("viridis")
    return [from_map(x) for x in np.linspace(0.0, 0.82, count)]


def tidy(ax: Axes) -> None:
    """Take away the frame on two sides and set text small enough for a column."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.xaxis.label.set_fontsize(9)
    ax.yaxis.label.set_fontsize(9)
    ax.title.set_fontsize(9)


def writable(path: Path, *more: str) -> None:
    """Refuse a file that cannot be written, before any work.

    Args:
        path: the file.
        *more: endings that are allowed besides those of figures.

    Raises:
        InputError: naming the file and the remedy.
    """
    endings = (*more, *FORMATS)
    if path.suffix.lower() not in endings:
        raise InputError("out", str(path), f"must end in {', '.join(endings)}")
    if not path.parent.is_dir():
        raise InputError("out", str(path), "must be in a directory that exists")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError("out", str(path), "cannot be written: choose another place")


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the file's ending says how. Files of equal figures are equal."""
    dates: dict[str, Any] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    figure.savefig(path, dpi=200, metadata=dates.get(path.suffix.lower()))
