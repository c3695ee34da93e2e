"""Text for a terminal of 80 columns, and plain lines where nobody is looking."""

from __future__ import annotations

import json
import math
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 80


def probability(value: float, digits: int = 4) -> str:
    """A probability, or a dash where there is none."""
    return "-" if not math.isfinite(value) else f"{value:.{digits}f}"


def short(value: Any) -> str:
    """A value of a key as a table shows it."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.6g}"
    return "-" if value is None else str(value)


def print_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, words: Sequence[int] = (), keys: int = 0
) -> None:
    """Print a table: ruled on a terminal, plain lines elsewhere; in 80 columns if it can be.

    Args:
        head: column names.
        rows: cells as text.
        words: columns that hold words, set left; the others are numbers, set right.
        keys: how many of the first names may be cut to fit.
    """
    head = _shortened(head, rows, keys)
    if not sys.stdout.isatty():
        print("\n".join(plain_lines(head, rows, words)))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for place, name in enumerate(head):
        table.add_column(
            name, justify="left" if place in words else "right", no_wrap=place not in words
        )
    for row in rows:
        table.add_row(*row)
    console = Console()
    # Cut numbers would lie: what does not fit takes the room there is.
    fits = _width(head, rows) <= WIDTH
    Console(width=min(WIDTH, console.width) if fits else console.width).print(table)


def _width(head: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return sum(widths) + 2 * len(widths)


def _shortened(head: Sequence[str], rows: Sequence[Sequence[str]], keys: int) -> list[str]:
    """The first names, the longest first, cut to their values until a line fits."""
    head = list(head)
    for place in sorted(range(keys), key=lambda i: -len(head[i])):
        if _width(head, rows) <= WIDTH:
            break
        cut = max(6, *(len(row[place]) for row in rows), 0)
        if len(head[place]) > cut:
            head[place] = head[place][: cut - 1] + "."
    return head


def plain_lines(
    head: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = ()
) -> list[str]:
    """The table as aligned lines without ornament."""
    widths = [max(len(text) for text in column) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        texts = [
            text.ljust(width) if place in words else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(texts).rstrip())
    return lines


def print_text(text: str) -> None:
    """Print a paragraph in lines of 80 columns at most; a longer word, such as a path, is kept."""
    width = min(WIDTH, Console().width) if sys.stdout.isatty() else WIDTH
    print(textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False))


def print_json(value: Any) -> None:
    """Print one JSON document and nothing else; what is not finite becomes null."""
    print(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def digits_for(width: float) -> int:
    """Decimals that show two digits of an interval's width, from 3 to 8; 4 if there is none."""
    return max(3, min(8, 2 - math.floor(math.log10(max(width, 1e-9))))) if width == width else 4
