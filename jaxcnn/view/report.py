"""The report: one self-contained HTML page of a run.

It loads nothing: figures are inline, and the few lines of script sort the tables. All text
that comes from a study or a file name is escaped.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxcnn import __version__
from jaxcnn.base.errors import InputError
from jaxcnn.base.outcome import FINAL
from jaxcnn.engine.run import Progress
from jaxcnn.study.durable import write_whole
from jaxcnn.study.goals import Standing
from jaxcnn.view.figures.precision import width_figure
from jaxcnn.view.figures.restarts import restarts_figure
from jaxcnn.view.figures.steps import steps_histogram
from jaxcnn.view.figures.success import heat_map, lines
from jaxcnn.view.runs import RunTable, open_run, rows_at
from jaxcnn.view.terminal import digits_for

_MOST_LINES = 8
_STEP_CELLS = 2000
_NUMBERS = {
    "p_global": "P(global)",
    "low": "low",
    "high": "high",
    "exact": "exact",
    "mean_steps": "mean steps",
    "most_steps": "most steps",
    "standing": "standing",
    "complete": "complete",
}


def report(
    run: str | Path, path: str | Path, *, exact: bool = True, progress: Progress | None = None
) -> Path:
    """Write the report of a run.

    Args:
        run: the run directory.
        path: the file to write, ending in .html.
        exact: whether to add exact probabilities where there are any.
        progress: called with (done, all) cells that have their exact values.

    Returns:
        The path.

    Raises:
        InputError: the file cannot be written.
        RunError: the run cannot be read.
    """
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise InputError("out", str(target), "must end in .html")
    if not target.parent.is_dir():
        raise InputError("out", str(target), "must be in a directory that exists")
    page = report_page(open_run(Path(run), exact=exact, progress=progress))
    write_whole(target, page.encode("utf-8", errors="backslashreplace"))
    return target


def report_page(opened: RunTable) -> str:
    """The page of a run, as text."""
    name = escape(str(opened.run.path))
    parts = [
        f"<h1>{name}</h1>",
        _summary(opened),
        _incomplete(opened),
        "<h2>Figures</h2>",
        _figures(opened),
        "<h2>Cells</h2>",
        _cells(opened),
        "<h2>Study</h2>",
        f"<pre>{escape(_study_text(opened))}</pre>",
        "<h2>Provenance</h2>",
        _provenance(opened),
    ]
    pieces = resources.files("jaxcnn.view") / "page"
    style = (pieces / "report.css").read_text(encoding="utf-8")
    script = (pieces / "report.js").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{name}</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n{''.join(parts)}\n</main>\n"
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _summary(opened: RunTable) -> str:
    rows, study = opened.table, opened.run.study
    varying = ", ".join(f"{key} ({rows[key].nunique()})" for key in opened.keys) or "nothing"
    facts = {
        "cells": f"{len(rows):,}, of which {opened.complete:,} complete",
        "restarts": f"{int(rows['restarts'].sum()):,}",
        "varying": varying,
        "intervals": f"{100 * study.confidence:g} %",
        "undecided restarts": f"{int(rows['undecided'].sum()):,}",
    }
    found = rows["p_global"].dropna()
    if len(found):
        facts["P(global)"] = f"{found.min():.4f} to {found.max():.4f}"
    if "exact" in rows and rows["exact"].notna().any():
        known = rows[rows["exact"].notna() & (rows["restarts"] > 0)]
        inside = int(((known["low"] <= known["exact"]) & (known["exact"] <= known["high"])).sum())
        facts["exact values inside their interval"] = f"{inside} of {len(known)}"
    body = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    return f"<dl>{body}</dl>"


def _incomplete(opened: RunTable) -> str:
    """What is not done, or wrong, and why."""
    lines_ = []
    counts = opened.table["standing"].value_counts()
    for standing in (Standing.OPEN, Standing.HIDDEN, Standing.CAPPED):
        count = int(counts.get(standing.name.lower(), 0))
        if count:
            lines_.append(f"{count} cells: {standing.sentence}")
    skipped = len(opened.run.study.cells.skipped)
    if skipped:
        lines_.append(f"{skipped} cells cannot exist and were skipped.")
    lines_ += [f"No exact value in {n} cells: {why}" for why, n in opened.without_exact.items()]
    lines_ += opened.run.problems()
    if not lines_:
        return '<p class="good">Complete: nothing is missing and nothing is wrong.</p>'
    items = "".join(f"<li>{escape(line)}</li>" for line in lines_)
    return f"<h2>Incomplete</h2><ul>{items}</ul>"


def _figures(opened: RunTable) -> str:
    """The figures that make sense for this study."""
    rows = opened.table[opened.table["restarts"] > 0]
    if not len(rows):
        return "<p>No restarts are counted yet.</p>"
    made = []
    sizes = {key: rows[key].nunique(dropna=False) for key in opened.keys}
    free = sorted((key for key in opened.keys if sizes[key] > 1), key=lambda key: -sizes[key])
    numeric = [
        key for key in free if pd.api.types.is_numeric_dtype(rows[key]) and rows[key].notna().all()
    ]
    if free:
        x = (numeric or free)[0]
        by = next((key for key in free if key != x and sizes[key] <= _MOST_LINES), None)
        cut, where = _slice(rows, [key for key in free if key not in (x, by)])
        what = "Success probability with intervals"
        what += " and exact values (lines)" if "exact" in cut else ""
        made.append((what + where, lambda ax: lines(cut, x, by, ax, **opened.marks(cut))))
        other = next((key for key in free if key != x), None)
        if other is not None:
            face, there = _slice(rows, [key for key in free if key not in (x, other)])
            text = f"Success probability over {plain(x)} and {plain(other)}"
            made.append((text + there, lambda ax: heat_map(face, x, other, ax)))
    made.append(("Restarts needed, cells marked at 0.99", lambda ax: restarts_figure(rows, ax)))
    made.append(("Half width of the intervals", lambda ax: width_figure(rows, ax)))
    by_outcome = opened.steps(range(len(opened.table))) if len(opened.table) <= _STEP_CELLS else {}
    if by_outcome:
        made.append(
            ("Steps to the proof of the outcome", lambda ax: steps_histogram(by_outcome, ax))
        )
    return '<div class="figures">' + "".join(_inline(*each) for each in made) + "</div>"


def plain(key: str) -> str:
    """A key as words, without mathematics."""
    return key.replace("_", " ")


def _slice(rows: pd.DataFrame, others: list[str]) -> tuple[pd.DataFrame, str]:
    """One cell for each place: the first value of all other keys, and words that say so."""
    words = []
    for key in others:
        value = rows[key].iloc[0]
        rows = rows_at(rows, key, value)
        shown = "none" if pd.isna(value) else value if isinstance(value, str) else f"{value:g}"
        words.append(f"{plain(key)} = {shown}")
    return rows, f", at {', '.join(words)}" if words else ""


def _inline(caption: str, draw: Callable[[Axes], Any]) -> str:
    figure = Figure(figsize=(3.8, 2.9), layout="constrained")
    draw(figure.subplots())
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    data = base64.b64encode(content.getvalue()).decode()
    text = escape(caption, quote=True)
    return (
        f'<figure><img alt="{text}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _cells(opened: RunTable) -> str:
    rows = opened.table
    outcomes = [o.name.lower() for o in FINAL if rows[o.name.lower()].any()]
    columns = [*opened.keys, "restarts", *(name for name in _NUMBERS if name in rows.columns)]
    at = columns.index("p_global")
    columns[at:at] = outcomes
    head = "".join(
        f"<th scope=col{_kind(rows, name)}>"
        f"<span role=button tabindex=0>{escape(_NUMBERS.get(name, plain(name)))}</span></th>"
        for name in columns
    )
    body = []
    for record in rows[columns].to_dict("records"):
        digits = digits_for(record["high"] - record["low"])
        body.append("<tr>" + "".join(_entry(n, record[n], digits) for n in columns) + "</tr>")
    return (
        '<div class="wide"><table class="sortable"><thead><tr>'
        f"{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _kind(rows: pd.DataFrame, name: str) -> str:
    return "" if pd.api.types.is_numeric_dtype(rows[name]) else " class=word"


def _entry(name: str, value: Any, digits: int) -> str:
    if isinstance(value, str) or value is None:
        return f"<td class=word>{escape(str(value or ''))}</td>"
    number = float(value)
    if math.isnan(number):
        return "<td data-v=''>–</td>"
    if name in ("p_global", "low", "high"):
        text = f"{number:.{digits}f}"
    elif name == "exact":
        text = f"{number:.8f}"
    elif name == "complete":
        text = f"{number:.0%}"
    elif name == "mean_steps":
        text = f"{number:.1f}"
    else:
        text = f"{number:.6g}" if number != int(number) else f"{int(number)}"
    # What the text rounds away is there for sorting; most of a large page would be repetition.
    hidden = "" if text == f"{number:.9g}" else f" data-v={number:.9g}"
    return f"<td{hidden}>{text}</td>"


def _study_text(opened: RunTable) -> str:
    """The study as understood, a section and a key a line as in a study file."""
    words = opened.run.study.words()
    plain_words = {
        name: value
        for name, value in words.items()
        if value is not None and not isinstance(value, dict)
    }
    sections = {name: value for name, value in words.items() if isinstance(value, dict) and value}
    return "\n\n".join(
        "\n".join([f"[{name}]", *(f"{key} = {_value(v)}" for key, v in section.items())])
        for name, section in ({"study": plain_words} | sections).items()
    )


def _value(value: Any) -> str:
    if isinstance(value, list) and len(value) > 40:
        value = [*value[:20], f"... {len(value) - 40} more ...", *value[-20:]]
    return json.dumps(value, ensure_ascii=False)


def _provenance(opened: RunTable) -> str:
    """What computed the units, and how many restarts each."""
    seen: dict[str, tuple[dict[str, Any], int]] = {}
    for cell in range(len(opened.table)):
        for held, provenance in opened.run.records(cell):
            words, before = seen.get(provenance.id, (provenance.words(), 0))
            seen[provenance.id] = words, before + held.task.count
    if not seen:
        return "<p>No units yet.</p>"
    names = list(next(iter(seen.values()))[0])
    titles = (*names, "restarts computed")
    head = "".join(f"<th class=word>{escape(plain(name))}</th>" for name in titles)
    body = "".join(
        "<tr>"
        + "".join(f"<td class=word>{escape(str(words[name]))}</td>" for name in names)
        + f"<td class=word>{restarts:,}</td></tr>"
        for words, restarts in seen.values()
    )
    flips = opened.run.flips()
    note = f"Report by jaxcnn {__version__}. {flips if flips.overlapping else ''}"
    note = f"<p>{escape(note)}</p>"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{table}</div>{note}'
