"""Progress while a person is looking: on standard error, or in the cell of a notebook."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from importlib import import_module
from threading import Lock
from typing import Any

from rich.console import Console
from rich.markup import escape as escape_markup
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from jaxcnn.study.sweep import SweepProgress

_PAUSE = 0.2
"""Seconds between two pictures in a notebook, which keeps every message that it is sent."""


class Watcher:
    """Takes the counts of long work and shows them; made by `watched`.

    It is called with (done, all), or with a `SweepProgress`, from any thread; without a bar it
    does nothing.
    """

    def __init__(
        self, bar: Progress | None, label: str, renew: Callable[[Task], None] | None = None
    ) -> None:
        self._bar = bar
        self._renew = renew
        self._before = 0
        self._whole: int | None = None
        self._task = None if bar is None else bar.add_task(label, total=None, note="")

    def __call__(self, done: int | SweepProgress, total: int = 0) -> None:
        """Show that `done` of `total` are finished."""
        if isinstance(done, SweepProgress):
            self.note(str(done))
            total, done = done.needed, done.restarts
        whole = total if self._whole is None else self._whole
        self._update(completed=self._before + done, total=whole)

    def within(self, before: int, whole: int) -> None:
        """Count the calls from now on as a part, after `before` of `whole`."""
        self._before, self._whole = before, whole

    def note(self, text: str) -> None:
        """Show a word on the state of the answer, such as the current interval."""
        self._update(note=escape_markup(text))

    def _update(self, **fields: Any) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, **fields)
            if self._renew is not None:
                self._renew(self._bar.tasks[0])


class _Rate(ProgressColumn):
    """Restarts a second."""

    def render(self, task: Task) -> Text:
        speed = task.speed or task.finished_speed
        return Text("" if speed is None else f"{_brief(speed)}/s")


def _brief(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g} "


_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(bar_width=12),
    TextColumn("{task.percentage:>3.0f}%"),
    _Rate(),
    TimeRemainingColumn(compact=True),
    TextColumn("{task.fields[note]}"),
)


@contextmanager
def watched(label: str = "") -> Iterator[Watcher]:
    """A `Watcher` to give as `progress`: rate, time left and the current interval.

        with jaxcnn.watched("sweep") as progress:
            jaxcnn.sweep("study.toml", out="runs/a", progress=progress)

    It shows a bar on standard error if that is a terminal, a line in the output of a notebook's
    cell, and nothing elsewhere.

    Args:
        label: what the bar is called.
    """
    if _in_notebook():
        bar = Progress(*_COLUMNS, auto_refresh=False, console=Console(file=io.StringIO()))
        line = _NotebookLine()
        yield Watcher(bar, label, line.renew)
        line.end(bar.tasks[0])
    elif sys.stderr.isatty():
        with Progress(*_COLUMNS, console=Console(stderr=True), transient=True) as bar:
            yield Watcher(bar, label)
    else:
        yield Watcher(None, label)


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class _NotebookLine:
    """The bar as HTML, renewed in place: rich itself would need widgets, which few have."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._last = 0.0
        self._lock = Lock()

    def renew(self, task: Task) -> None:
        """Show the task, unless it was shown a moment ago."""
        with self._lock:
            if time.monotonic() - self._last >= _PAUSE:
                self._show(task)

    def end(self, task: Task) -> None:
        """Show the task as it is at the end."""
        with self._lock:
            self._show(task)

    def _show(self, task: Task) -> None:
        self._last = time.monotonic()
        word, _, *rest = (column.render(task) for column in _COLUMNS)
        words = " &ensp; ".join(escape(str(text)) for text in rest if str(text))
        done = 0.0 if task.total is None else task.percentage
        bar = f"<progress max='100' value='{done:.1f}'></progress>"
        page = f"<div>{escape(str(word))} {bar} {words}</div>"
        plain = " ".join(str(text) for text in (word, *rest) if str(text))
        data = {"text/html": page, "text/plain": plain}
        if self._handle is None:
            display = import_module("IPython.display").display
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)
