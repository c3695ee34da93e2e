"""A result as an HTML table, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A table of texts, all of them escaped.

    Args:
        head: column names.
        rows: texts, as many as columns.
        caption: a line above the table.
    """

    def line(tag: str, texts: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts) + "</tr>"

    above = f"<p>{escape(caption)}</p>" if caption else ""
    body = "".join(line("td", row) for row in rows)
    return f"{above}<table><thead>{line('th', head)}</thead><tbody>{body}</tbody></table>"


def in_words(problem: dict[str, object]) -> str:
    """A problem's words as one line, such as k = 25, ratio = 4."""
    return ", ".join(
        f"{name.replace('_', ' ')} = {value:.6g}"
        if isinstance(value, float)
        else f"{name.replace('_', ' ')} = {value}"
        for name, value in problem.items()
    )
