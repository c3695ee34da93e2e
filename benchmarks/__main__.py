"""`python -m benchmarks [PART …] [--json FILE]`: run the parts, print tables, keep the numbers."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
from pathlib import Path

import jax

PARTS = ("first", "exact")


class Output:
    """Tables on the terminal, the same rows as JSON."""

    def __init__(self) -> None:
        device = jax.devices()[0].device_kind
        self.record = {
            "python": platform.python_version(),
            "jax": jax.__version__,
            "device": device,
        }

    def table(self, title, columns, rows):
        """Print one table and keep it."""
        text = [tuple(map(str, row)) for row in [columns, *rows]]
        widths = [max(len(row[i]) for row in text) for i in range(len(columns))]
        print(f"\n{title}")
        for row in text:
            cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]
            print("  ".join(cells).rstrip())
        self.record[title] = [dict(zip(columns, row, strict=True)) for row in text[1:]]


def main() -> None:
    """Run the chosen parts one after another in this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", default=[], help=f"of {', '.join(PARTS)}; default all")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/latest.json"))
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"part {part!r}: choose of {', '.join(PARTS)}")
    out = Output()
    for part in options.parts or PARTS:
        importlib.import_module(f"benchmarks.{part}").main(out)
    options.json.write_text(json.dumps(out.record, indent=1) + "\n")


if __name__ == "__main__":
    main()
