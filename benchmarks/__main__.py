"""Benchmarks: what jaxcnn costs beside what a user would pick instead, and beside the limits.

    python -m benchmarks                       every part but duel, a table each, numbers in JSON
    python -m benchmarks full --cells 25,6     one part, one of its cells
    python -m benchmarks peers --peers numba   one part, one of its peers
    python -m benchmarks --list                the parts, and what each measures

A part that is cut with --cells or --peers keeps the other rows of the JSON file. Times mean
something on an otherwise idle machine only.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
from pathlib import Path

from benchmarks.report import Output

PARTS = {
    "first": "benchmarks.first",
    "peers": "benchmarks.peers.side_by_side",
    "full": "benchmarks.full",
    "reduced": "benchmarks.reduced",
    "exact": "benchmarks.exact",
    "samples": "benchmarks.samples",
    "studies": "benchmarks.studies",
    "lanes": "benchmarks.lanes",
    "growth": "benchmarks.growth",
    "duel": "benchmarks.duel",
    "limits": "benchmarks.limits",
    "persistent": "benchmarks.persistent",
    "startup": "benchmarks.startup",
    "targets": "benchmarks.targets",
}


def available() -> list[str]:
    """The parts this checkout has."""
    return [part for part in PARTS if importlib.util.find_spec(PARTS[part])]


def main() -> None:
    """Run the chosen parts one after another in this process."""
    parts = available()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}")
    parser.add_argument("--list", action="store_true", help="name the parts and end")
    parser.add_argument("--cells", nargs="+", default=[], help="some cells only: 25,6 100,20 …")
    parser.add_argument("--peers", nargs="+", default=[], help="some peers only: numpy torch …")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/latest.json"))
    options = parser.parse_args()
    for part in options.parts:
        if part not in parts:
            parser.error(f"part {part!r}: choose of {', '.join(parts)}")
    if options.list:
        for part in parts:
            about = importlib.import_module(PARTS[part]).__doc__ or ""
            print(f"{part:10} {about.splitlines()[0]}")
        return
    before = json.loads(options.json.read_text()) if options.json.exists() else None
    out = Output(options.cells, options.peers, before)
    out.path = options.json
    # A duel needs a second checkout.
    chosen = options.parts or [part for part in parts if part != "duel"]
    for part in chosen:
        out.begin(part)
        importlib.import_module(PARTS[part]).main(out)
        out.save(options.json)
    if out.unknown():
        parser.error(f"{' '.join(out.unknown())}: nothing in {' '.join(chosen)} is called so")


if __name__ == "__main__":
    main()
