"""Where the parts put their numbers: tables on the terminal, the same rows as JSON."""

from __future__ import annotations

import json
import os
import platform
import textwrap
from pathlib import Path

import jax

WIDTH = 96


def number(value) -> str:
    """A number as a table shows it: four digits, powers of ten beyond 10⁵ and below 10⁻³."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-" if value is None else str(value)
    if isinstance(value, int) and abs(value) < 1_000_000:
        return str(value)
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}"


class Output:
    """One run of `python -m benchmarks`.

    Attributes:
        cells: what `--cells` chose, words a part understands; empty for all.
        peers: what `--peers` chose; empty for all.
        record: what the JSON file gets: the machine, and the tables of each part.
    """

    def __init__(self, cells=(), peers=(), before=None) -> None:
        self.cells, self.peers = tuple(cells), tuple(peers)
        self.part = ""
        self.path: Path | None = None
        self.known: set[str] = set()
        device = jax.devices()[0]
        self.record = {
            "python": platform.python_version(),
            "jax": jax.__version__,
            "device": f"{device.platform}: {device.device_kind}",
            "cores": len(os.sched_getaffinity(0)),
            "parts": (before or {}).get("parts", {}),
        }

    def begin(self, part: str) -> None:
        """The tables that follow belong to this part; choices of cells keep its other rows."""
        self.part = part
        if not (self.cells or self.peers):
            self.record["parts"].pop(part, None)

    def wanted(self, names, chosen):
        """Those of `names` that were chosen; all of them without a choice."""
        names = list(names)
        self.known.update(map(str, names))
        return [name for name in names if not chosen or str(name) in chosen]

    def unknown(self) -> list[str]:
        """What was chosen and no part that ran has: a slip that would pass for a short run."""
        return [word for word in (*self.cells, *self.peers) if word not in self.known]

    def table(self, title, columns, rows):
        """Print one table and keep its rows; rows with the same first entry are replaced."""
        text = [[number(x) for x in row] for row in [columns, *rows]]
        widths = [max(len(row[i]) for row in text) for i in range(len(columns))]
        print()
        print(textwrap.fill(title, WIDTH))
        for row in text:
            cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]
            print("  ".join(cells).rstrip(), flush=True)
        kept = self.record["parts"].setdefault(self.part, {}).setdefault(title, [])
        new = [dict(zip(columns, row)) for row in rows]
        names = {row[0] for row in rows}
        kept[:] = [row for row in kept if row.get(columns[0]) not in names] + new
        if self.path is not None:  # a part that is cut short keeps the tables it has made
            self.save(self.path)

    def note(self, text: str) -> None:
        """One sentence below a table, kept too."""
        print(textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  "), flush=True)
        self.record["parts"].setdefault(self.part, {}).setdefault("notes", []).append(text)

    def rows(self, part: str, starts: str = ""):
        """The rows a part left behind, now or in an earlier run, of tables titled so."""
        tables = self.record["parts"].get(part, {})
        return [
            r for t, rows in tables.items() if t != "notes" and t.startswith(starts) for r in rows
        ]

    def save(self, path: Path) -> None:
        """Write the record."""
        path.write_text(json.dumps(self.record, indent=1, default=str) + "\n")
