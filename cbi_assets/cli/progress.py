"""One progress bar per command on a terminal: what it does, how far, how fast, and for how long."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.text import Text

from cbi_assets.cli.console import console
from cbi_assets.counted_steps import Steps
from cbi_assets.formatting import printable, size

_TITLE_WIDTH, _BAR_WIDTH = 36, 10
"""Characters of a title and of its bar: with the amounts, they fit into 80 columns."""

_COUNTED = 1_000
"""The first total that is shown in percent."""


def _rate(task: Task) -> float | None:
    """Return how much is done per second: lately or, before two steps, since the start."""
    if not task.completed:
        return None
    return task.finished_speed or task.speed or task.completed / (task.elapsed or 1)


class _Amount(ProgressColumn):
    """How much is done, and the rate: in bytes, or in what the steps count."""

    def render(self, task: Task) -> Text:
        """Return the text of a task; empty if its total is unknown."""
        if task.total is None:
            return Text("")
        rate = _rate(task)
        if task.fields["bytes"]:
            return Text(size(task.completed) + (f" {size(rate)}/s" if rate else ""))
        shown = f"{task.completed:.0f}/{task.total:.0f}"
        if task.total >= _COUNTED:
            shown = f"{task.percentage:.0f}%"
        return Text(shown + (f" {rate:,.{1 if rate < 10 else 0}f}/s" if rate else ""))


class _Remaining(ProgressColumn):
    """The time that remains or, if that is unknown, the time since the start."""

    def render(self, task: Task) -> Text:
        """Return the text of a task."""
        rate = _rate(task)
        if task.total is None or not rate:
            return Text(f"{dt.timedelta(seconds=int(task.elapsed or 0))}")
        seconds = (task.total - task.completed) / rate
        return Text(f"{dt.timedelta(seconds=math.ceil(seconds))} left")


def columns() -> tuple[ProgressColumn, ...]:
    """Return what a bar shows, from left to right: at most 80 characters."""
    title = TextColumn("{task.description}", markup=False)
    return title, BarColumn(bar_width=_BAR_WIDTH), _Amount(), _Remaining()


class WorkProgress:
    """A command's bar: over the bytes that it reads, then over each step that it logs."""

    def __init__(self, bar: Progress, on_read: Callable[[], object]) -> None:
        self._bar = bar
        self._on_read = on_read
        self._unread = 0
        self._task: TaskID | None = None
        self._steps: Steps | None = None

    def start(self, files: int, nbytes: int) -> None:
        """Show the bar for this many new files and bytes."""
        self._unread = files
        self._begin(f"reading {files:,} new files", nbytes, in_bytes=True)

    def advance(self, path: str, nbytes: int) -> None:
        """Advance the bar by a file that was read."""
        if self._task is not None:
            self._bar.advance(self._task, nbytes)
        self._unread -= 1
        if not self._unread:
            self._on_read()

    def begin(self, title: str, nbytes: int) -> None:
        """Show the bar for a download of this many bytes."""
        self._begin(title, nbytes, in_bytes=True)

    def step(self, title: str, steps: Steps | None = None) -> None:
        """Show a step, and how far the loop is that it belongs to.

        A step inside an unfinished loop, also one of a loop inside it, only changes the title.
        """
        outer = self._steps
        if outer is None or (steps is not outer and outer.has_ended):
            self._begin(title, steps.total if steps else None)
            self._steps = steps
        elif self._task is not None:
            self._bar.update(self._task, description=_fit(title), completed=outer.done)

    def _begin(self, title: str, total: int | None, *, in_bytes: bool = False) -> None:
        if self._task is not None and console.is_terminal:
            self._bar.remove_task(self._task)
        self._steps = None
        self._bar.start()
        self._task = self._bar.add_task(_fit(title), total=total, bytes=in_bytes)


def _fit(title: str) -> str:
    """Return a title that fits on a terminal: whole, the name at its end, or its first words."""
    title = printable(title)
    if len(title) <= _TITLE_WIDTH or not console.is_terminal:
        return title
    name = title.rsplit(" ", 1)[-1].rsplit("/", 1)[-1]
    if len(name) <= _TITLE_WIDTH and not name.isalpha():
        return name
    return title[: _TITLE_WIDTH - 1].rsplit(" ", 1)[0] + " …"


_active: list[WorkProgress] = []


def active() -> WorkProgress | None:
    """Return the bar on which a terminal shows what is logged, or None."""
    return _active[-1] if _active else None


@contextmanager
def working(on_read: Callable[[], object] = lambda: None) -> Iterator[WorkProgress]:
    """Show a progress bar while a command works; call `on_read` once new files have been read.

    On a terminal it also shows the steps that are logged, and leaves no line behind.
    """
    bar = Progress(*columns(), console=console, transient=console.is_terminal)
    progress = WorkProgress(bar, on_read)
    if console.is_terminal:
        _active.append(progress)
    try:
        yield progress
    finally:
        if console.is_terminal:
            _active.remove(progress)
        if bar.live.is_started:  # else it would print an empty line
            bar.stop()
