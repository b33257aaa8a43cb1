"""Output of the commands: lines, tables and progress bars on stderr, JSON on stdout."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from cbi_assets.formatting import plural, printable

# A file or a pipe has no width; a terminal keeps its own.
console = Console(
    stderr=True, highlight=False, width=None if sys.stderr.isatty() else 140, soft_wrap=False
)


def say(message: str) -> None:
    """Print one line on stderr, without interpreting markup."""
    console.print(Text(printable(message)), soft_wrap=True)


def say_verdict(passed: bool, text: str, warnings: int = 0) -> None:
    """Print a command's closing line: `PASS with 2 warnings: 3 bars published`."""
    with_warnings = f" with {plural(warnings, 'warning')}" if warnings else ""
    say(f"{'PASS' if passed else 'FAIL'}{with_warnings}: {text}")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on stderr; numbers are right-aligned, with thousands separators."""
    shown = Table(title=Text(title), title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(
            isinstance(row[index], int | float) or row[index] is None for row in rows
        )
        shown.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(printable(format_cell(value))) for value in row))
    console.print(shown)


def format_cell(value: Any) -> str:
    """Return a value as a table shows it; empty for None."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    json.dump(document, sys.stdout, default=_to_plain, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")


class ReadingProgress:
    """A progress bar over the new files of a drive."""

    def __init__(self, bar: Progress, on_start: Callable[[], object]) -> None:
        self._bar = bar
        self._on_start = on_start
        self._task: TaskID | None = None

    def start(self, files: int, nbytes: int) -> None:
        """Show the bar for this many new files and bytes."""
        self._on_start()
        self._bar.start()
        self._task = self._bar.add_task(f"reading {files:,} new files", total=nbytes)

    def advance(self, path: str, nbytes: int) -> None:
        """Advance the bar by a file that was read."""
        if self._task is not None:
            self._bar.advance(self._task, nbytes)


@contextmanager
def reading(on_start: Callable[[], object] = lambda: None) -> Iterator[ReadingProgress]:
    """Show a progress bar while the drive is read; call `on_start` if there is a new file."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    bar = Progress(*columns, console=console)
    try:
        yield ReadingProgress(bar, on_start)
    finally:
        if bar.live.is_started:  # else it would print an empty line
            bar.stop()


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, set | tuple):
        return list(value)
    return str(value)
