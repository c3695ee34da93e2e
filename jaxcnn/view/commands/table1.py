"""`jaxcnn table1`: the paper's Table 1 beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from jaxcnn.base.errors import InputError
from jaxcnn.study.paper import Table1, table1
from jaxcnn.view.figures.canvas import save
from jaxcnn.view.figures.table1 import table1_figure
from jaxcnn.view.progress import watched
from jaxcnn.view.terminal import print_json, print_table, print_text


def run(*, exact: bool, out: Path | None, json: bool, **options: Any) -> None:
    """Compute, print, and write to a directory if one is given."""
    folder = None if out is None else _directory(out)
    with watched("table 1") as watcher:
        result = table1(exact=False, progress=watcher, **options)
    if exact:
        with watched("exact values") as watcher:
            result = result.with_exact(watcher)
    if json:
        print_json(result.as_dict())
    else:
        _print(result)
    if folder is not None:
        result.cells.to_csv(folder / "table1.csv", index=False)
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        table1_figure(result, figure.subplots())
        save(figure, folder / "table1.png")
        save(figure, folder / "table1.pdf")
        if not json:
            print_text(f"written: {folder}/table1.csv, table1.png, table1.pdf")


def _directory(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("out", str(path), error.strerror or "cannot be made") from None
    return path


def _print(result: Table1) -> None:
    head, rows = result.texts()
    for row in rows:
        row[0] = row[0] if row[1] == "0" else ""
    print_table(head, rows)
    print_text(str(result))
    words = "diff: ours less the paper's, in standard errors of both, rounding allowed for"
    words += "; off: the paper's less the exact value, in its own" if "off" in head else ""
    print_text(words)
    for note in result.notes():
        print_text(f"* {note}" if "off the exact" in note else note)
