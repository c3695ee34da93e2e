"""Success probability over the keys of a study: lines with intervals, and heat maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis

from jaxcnn.base.errors import InputError
from jaxcnn.model.activation import relu
from jaxcnn.model.critical import critical_ratio
from jaxcnn.model.dual import Activation
from jaxcnn.view.figures.canvas import BLACK, GREY, MARKERS, axes, shades, tidy

_NAMES = {
    "k": "patches $k$",
    "p": "patch size $p$",
    "ratio": "ratio $(1^\\top a^*)^2 / \\|a^*\\|^2$",
    "teacher_norm": "teacher norm $\\|w^*\\| \\|a^*\\|$",
    "step_size": "step size $\\eta$",
    "init_scale": "scale of the start of $a$",
}
_SPREAD = 20.0
_MOST_LINES = 12


def label(key: str) -> str:
    """What a figure calls a key."""
    return _NAMES.get(key, key.replace("_", " "))


def lines(
    table: pd.DataFrame,
    x: str,
    by: str | None = None,
    ax: Axes | None = None,
    *,
    k: float | None = None,
    activation: Activation | None = None,
) -> Axes:
    """Success probability against one key, with interval bands and, if there, exact values.

    Against the ratio the critical ratio is marked, for each k that is a line or for `k`; not
    where the table has several activations.

    Args:
        table: with the columns `x`, `by`, p_global, low, high, and perhaps exact.
        x: the key along the axis.
        by: a key with a line for each of its values.
        ax: where to draw.
        k: the number of patches, where the table does not have it.
        activation: σ, which the critical ratio depends on; ReLU if not given.

    Raises:
        InputError: a key is not there, or several rows have the same place.
    """
    _check(table, x, by)
    ax = axes(ax)
    groups = [(None, table)] if by is None else list(table.groupby(by, sort=True, dropna=False))
    if len(groups) > _MOST_LINES:
        raise InputError("by", by, f"has {len(groups)} values, more than {_MOST_LINES} lines")
    colours = shades(len(groups))
    spots = _spots(table, x)
    sigma = relu() if activation is None else activation
    shapes = [key for key in ("activation", "slope") if key in table]
    mark = x == "ratio" and all(table[key].nunique() == 1 for key in shapes)
    critical: list[float] = []
    for (value, rows), colour, marker in zip(groups, colours, MARKERS * 2, strict=False):
        rows = rows.assign(_at=rows[x].map(spots)).sort_values("_at")
        rows = rows[rows["p_global"].notna()]
        at = rows["_at"].to_numpy(float)
        name = None if by is None else f"{by.replace('_', ' ')} = {_brief(value)}"
        ax.fill_between(at, rows["low"], rows["high"], color=colour, alpha=0.22, lw=0)
        joined = "-" if "exact" not in rows else "none"
        ax.plot(
            at, rows["p_global"], ls=joined, marker=marker, ms=3.5, color=colour, lw=1.2, label=name
        )
        if "exact" in rows and rows["exact"].notna().any():
            known = rows[rows["exact"].notna()]
            ax.plot(known["_at"], known["exact"], color=colour, lw=1.1)
        patches = value if by == "k" else k if k is not None else _only(rows, "k")
        if mark and patches is not None:
            at_which = critical_ratio(int(patches), sigma)
            if 0.0 < at_which < math.inf:
                tint = colour if by == "k" else BLACK
                ax.axvline(at_which, color=tint, lw=0.9, ls=":", zorder=0)
                critical.append(at_which)
    _ticks(ax, table, x, spots)
    ax.set_xlabel(label(x))
    ax.set_ylabel("P(global minimum)")
    ax.set_ylim(min(0.5, float(table["low"].min())) - 0.02, 1.02)
    if by is not None:
        title = "line: exact; points, band: estimate" if "exact" in table else None
        marked = "dotted: critical ratio" if critical else None
        title = "\n".join(text for text in (title, marked) if text) or None
        # Above the axes: a legend among bands hides some of them.
        ax.legend(
            fontsize=7, title=title, title_fontsize=7, frameon=False, loc="lower left",
            bbox_to_anchor=(0.0, 1.0), ncols=3, columnspacing=1.0, handlelength=1.6,
            alignment="left",
        )  # fmt: skip
    tidy(ax)
    return ax


def heat_map(table: pd.DataFrame, x: str, y: str, ax: Axes | None = None) -> Axes:
    """Success probability over two keys; places without a cell are hatched.

    Args:
        table: with the columns `x`, `y` and p_global.
        x: the key along the axis.
        y: the key up the axis.
        ax: where to draw.

    Raises:
        InputError: a key is not there, or several rows have the same place.
    """
    _check(table, x, y)
    ax = axes(ax)
    grid = table.pivot(index=y, columns=x, values="p_global")
    values = grid.to_numpy(float)
    low = min(0.5, float(np.nanmin(values))) if np.isfinite(values).any() else 0.0
    ax.set_facecolor("white")
    ax.patch.set(hatch="///", edgecolor="0.8")
    mesh = ax.pcolormesh(
        np.ma.masked_invalid(values),
        cmap="cividis",
        vmin=low,
        vmax=1.0,
        rasterized=values.size > 2000,
    )
    if values.shape[1] <= 8 and values.shape[0] <= 12:
        size = 8 if values.shape[1] <= 6 else 6
        for (row, column), value in np.ndenumerate(values):
            if math.isfinite(value):
                dark = value < 0.5 * (low + 1.0)
                ax.text(
                    column + 0.5, row + 0.5, f"{value:.2f}", ha="center", va="center",
                    fontsize=size, color="white" if dark else "black",
                )  # fmt: skip
    _band_ticks(ax.xaxis, list(grid.columns))
    _band_ticks(ax.yaxis, list(grid.index))
    ax.set_xlabel(label(x))
    ax.set_ylabel(label(y))
    bar = ax.figure.colorbar(mesh, ax=ax)
    bar.set_label("P(global minimum)", size=8)
    bar.ax.tick_params(labelsize=7)
    tidy(ax)
    return ax


def _band_ticks(axis: Axis, values: Sequence[object]) -> None:
    every = max(1, -(-len(values) // 8))
    places = range(0, len(values), every)
    axis.set_ticks([place + 0.5 for place in places], [_brief(values[i]) for i in places])


def _brief(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, (float, np.floating)) else str(value)


def _check(table: pd.DataFrame, x: str, by: str | None) -> None:
    columns = list(table.columns)
    there = columns[: columns.index("restarts")] if "restarts" in columns else columns
    for name, key in (("x", x), ("by", by)):
        if key is not None and key not in there:
            listed = ", ".join(there) or "there is none"
            raise InputError(name, key, f"must be a key that varies: {listed}")
    keys = [key for key in (x, by) if key is not None]
    if len(set(keys)) < len(keys):
        raise InputError("by", by, "must not be the key on the other axis")
    if table.duplicated(keys).any():
        raise InputError(
            "by", by, "leaves several cells at one place; fix the other keys with --at"
        )


def _only(rows: pd.DataFrame, key: str) -> float | None:
    return float(rows[key].iloc[0]) if key in rows and rows[key].nunique() == 1 else None


def _is_words(table: pd.DataFrame, x: str) -> bool:
    return not pd.api.types.is_numeric_dtype(table[x])


def _spots(table: pd.DataFrame, x: str) -> dict[object, float]:
    if _is_words(table, x):
        return {value: float(i) for i, value in enumerate(dict.fromkeys(table[x]))}
    return {value: float(value) for value in table[x].unique()}


def _ticks(ax: Axes, table: pd.DataFrame, x: str, spots: dict[object, float]) -> None:
    if _is_words(table, x):
        ax.set_xticks(list(spots.values()), [str(value) for value in spots])
        return
    values = table[x].to_numpy(float)
    if values.min() > 0 and values.max() > _SPREAD * values.min():
        ax.set_xscale("log")
    ax.grid(axis="y", color=GREY, alpha=0.2, lw=0.5)
