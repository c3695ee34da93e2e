"""`jaxcnn trajectory`: one run step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxcnn.base.cell import Cell
from jaxcnn.study.trajectory import phases, trajectory
from jaxcnn.view.figures.canvas import save, writable
from jaxcnn.view.figures.trajectory import two_phase
from jaxcnn.view.terminal import print_table, print_text

_SHOWN = 16


def run(words: dict[str, Any], *, out: Path | None, **options: Any) -> None:
    """Run, print a summary, and write the table or the figure if a file is given."""
    cell = Cell(**words)
    if out is not None:
        writable(out, ".csv")
    table = trajectory(cell, **options)
    if out is not None and out.suffix.lower() == ".csv":
        table.to_csv(out, index=False)
    elif out is not None:
        figure = Figure(figsize=(3.4, 3.6), layout="constrained")
        two_phase(table, figure.subplots(2, 1, sharex=True))
        save(figure, out)
    # Rows that are evenly spaced in the logarithm of the step: fast things come first.
    places = np.unique(np.geomspace(1, len(table), _SHOWN).astype(int) - 1)
    names = [name for name in table.columns if name != "step"]
    heads = {
        "distance": "|a-a*|",
        "output_sum": "1'a",
        "alignment": "a'a*",
        "filter_norm": "|v|",
    }
    rows = [
        [f"{table['step'].iloc[i]:.0f}", *(f"{table[name].iloc[i]:.4g}" for name in names)]
        for i in places
    ]
    print_table(["step", *(heads.get(name, name) for name in names)], rows)
    if len(table) >= 8:
        print_text(str(phases(table)))
    if out is not None:
        print_text(
            f"written: {out} ({len(table)} rows)"
            if out.suffix.lower() == ".csv"
            else f"written: {out}"
        )
