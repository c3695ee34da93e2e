"""`jaxcnn plot`: a figure of a run."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.view.figures.canvas import COLUMN, save, writable
from jaxcnn.view.figures.precision import width_figure
from jaxcnn.view.figures.restarts import restarts_figure
from jaxcnn.view.figures.steps import steps_histogram
from jaxcnn.view.figures.success import heat_map, lines
from jaxcnn.view.progress import watched
from jaxcnn.view.runs import open_run, select
from jaxcnn.view.terminal import print_text

_KINDS = ("lines", "heat", "restarts", "width", "steps")


def run(
    path: Path,
    *,
    out: Path,
    x: str | None,
    by: str | None,
    kind: str,
    at: list[str],
    exact: bool,
) -> None:
    """Draw and write."""
    if kind not in _KINDS:
        raise InputError("kind", kind, f"must be one of {', '.join(_KINDS)}")
    writable(out)
    for name, value in {"x": x, "by": by, "exact": exact}.items():
        if value and kind not in ("lines", "heat"):
            raise RefusedError(name, value, f"has no effect on kind = {kind!r}")
    with watched("exact") as watcher:
        opened = open_run(path, exact=exact, progress=watcher)
    rows = select(opened.table, opened.keys, at)
    figure = Figure(figsize=COLUMN, layout="constrained")
    ax = figure.subplots()
    if kind == "restarts":
        restarts_figure(rows, ax)
    elif kind == "width":
        width_figure(rows, ax)
    elif kind == "steps":
        steps_histogram(opened.steps(rows.index), ax)
    else:
        named = {text.partition("=")[0].strip().replace("-", "_") for text in at}
        free = [key for key in opened.keys if key not in named]
        x = (x or (free[-1] if free else "")).replace("-", "_")
        if not x:
            raise InputError("x", None, "must name a key; this study has one cell")
        others = [key for key in free if key != x]
        by = by.replace("-", "_") if by else others[0] if len(others) == 1 else None
        if kind == "heat":
            if by is None:
                raise InputError("by", by, "must name the key up the axis of a heat map")
            heat_map(rows, x, by, ax)
        else:
            lines(rows, x, by, ax, **opened.marks(rows))
    save(figure, out)
    print_text(f"written: {out}")
