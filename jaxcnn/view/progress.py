"""Progress on standard error, while a person is looking at it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Watcher:
    """Takes the counts of long work and shows them.

    It is called with (done, all), from any thread; without a bar it does nothing.
    """

    def __init__(self, bar: Progress | None, label: str) -> None:
        self._bar = bar
        self._before = 0
        self._whole: int | None = None
        self._task = None if bar is None else bar.add_task(label, total=None, note="")

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are finished."""
        if self._bar is not None and self._task is not None:
            whole = total if self._whole is None else self._whole
            self._bar.update(self._task, completed=self._before + done, total=whole)

    def within(self, before: int, whole: int) -> None:
        """Count the calls from now on as a part, after `before` of `whole`."""
        self._before, self._whole = before, whole

    def note(self, text: str) -> None:
        """Show a word on the state of the answer, such as the current interval."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, note=text)


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


@contextmanager
def watched(label: str) -> Iterator[Watcher]:
    """A `Watcher` with a bar on standard error if that is a terminal, and without one if not."""
    if not sys.stderr.isatty():
        yield Watcher(None, label)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.percentage:>3.0f}%"),
        _Rate(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Watcher(bar, label)
