"""One progress bar per command on a terminal: what it does, how far, how fast, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cbi_assets.cli.console import console
from cbi_assets.formatting import printable, size

_TITLE_WIDTH = 34
"""Characters of a title, so that a bar fits into 80 columns."""


class _Amount(ProgressColumn):
    """How much is done, and the rate: in bytes, or in the steps of a task."""

    def render(self, task: Task) -> Text:
        """Return the text of a task; empty if its total is unknown."""
        if task.total is None:
            return Text("")
        rate = task.finished_speed or task.speed
        if task.fields.get("bytes"):
            shown = f"{size(task.completed)}" + (f" {size(rate)}/s" if rate else "")
        else:
            shown = f"{task.completed:,.0f}/{task.total:,.0f}"
            shown += f" {rate:,.1f}/s" if rate else ""
        return Text(shown)


class _Remaining(ProgressColumn):
    """The time that remains or, if the total is unknown, the time since the start."""

    def __init__(self) -> None:
        super().__init__()
        self._remaining, self._elapsed = TimeRemainingColumn(), TimeElapsedColumn()

    def render(self, task: Task) -> Text:
        """Return the text of a task."""
        known = task.total is not None
        return (self._remaining if known else self._elapsed).render(task)


class WorkProgress:
    """A command's bar: over the bytes that it reads, then over each step that it logs."""

    def __init__(self, bar: Progress, on_start: Callable[[], object]) -> None:
        self._bar = bar
        self._on_start = on_start
        self._task: TaskID | None = None

    def start(self, files: int, nbytes: int) -> None:
        """Show the bar for this many new files and bytes."""
        self._on_start()
        self._begin(f"reading {files:,} new files", nbytes, in_bytes=True)

    def advance(self, path: str, nbytes: int) -> None:
        """Advance the bar by a file that was read."""
        if self._task is not None:
            self._bar.advance(self._task, nbytes)

    def begin(self, title: str, nbytes: int) -> None:
        """Show the bar for a download of this many bytes."""
        self._begin(title, nbytes, in_bytes=True)

    def step(self, title: str, done: int | None = None, total: int | None = None) -> None:
        """Show a step, with how much of it is done if that is known."""
        if done and self._task is not None and self._bar.tasks[-1].total == total:
            self._bar.update(self._task, completed=done)
        else:
            self._begin(title, total)

    def _begin(self, title: str, total: int | None, *, in_bytes: bool = False) -> None:
        if self._task is not None and console.is_terminal:
            self._bar.remove_task(self._task)
        title = printable(title)
        if len(title) > _TITLE_WIDTH and console.is_terminal:
            title = title[: _TITLE_WIDTH - 1].rsplit(" ", 1)[0] + " …"
        self._bar.start()
        self._task = self._bar.add_task(title, total=total, bytes=in_bytes)


_active: list[WorkProgress] = []


def active() -> WorkProgress | None:
    """Return the bar on which a terminal shows what is logged, or None."""
    return _active[-1] if _active else None


@contextmanager
def working(on_start: Callable[[], object] = lambda: None) -> Iterator[WorkProgress]:
    """Show a progress bar while a command works; call `on_start` if there are new files to read.

    On a terminal it also shows the steps that are logged, and leaves no line behind.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=14),
        _Amount(),
        _Remaining(),
        console=console,
        transient=console.is_terminal,
    )
    progress = WorkProgress(bar, on_start)
    if console.is_terminal:
        _active.append(progress)
    try:
        yield progress
    finally:
        if console.is_terminal:
            _active.remove(progress)
        if bar.live.is_started:  # else it would print an empty line
            bar.stop()
