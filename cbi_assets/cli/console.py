"""Output of the commands: lines and tables on stderr, JSON on stdout."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cbi_assets.formatting import plural, printable

# A file or a pipe has no width, unless COLUMNS states one; a terminal keeps its own.
_IS_NARROW = sys.stderr.isatty() or bool(os.environ.get("COLUMNS"))
console = Console(stderr=True, highlight=False, width=None if _IS_NARROW else 140)

_FIELD_GAP = 3
"""Columns that a table's borders and padding take per column."""


def say(message: str, indent: str = "  ", style: str = "") -> None:
    """Print one paragraph on stderr, without interpreting markup; a terminal's is wrapped."""
    text = printable(message)
    if _IS_NARROW:
        text = wrap(text, console.width, indent)
    console.print(Text(text, style=style), soft_wrap=True)


def wrap(text: str, width: int, indent: str = "") -> str:
    """Break lines at spaces; a word longer than a line, such as a path, after a slash.

    Lines after the first start with `indent`.
    """
    lines = [""]
    for word in re.findall(r"\s*\S+", text) or [text]:
        pieces = [word]
        if len(word.strip()) > width - len(indent):
            pieces = re.findall(r"[^/]*/|[^/]+", word)
        for piece in pieces:
            if lines[-1].strip() and len(lines[-1] + piece) > width:
                lines.append(indent + piece.lstrip())
            else:
                lines[-1] += piece
    return "\n".join(lines)


def say_verdict(passed: bool, text: str, warnings: int = 0) -> None:
    """Print a command's closing line: `PASS with 2 warnings: 3 bars published`."""
    with_warnings = f" with {plural(warnings, 'warning')}" if warnings else ""
    say(f"{'PASS' if passed else 'FAIL'}{with_warnings}: {text}", style="bold")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on stderr; numbers are right-aligned, with thousands separators.

    Cells are wrapped at words. If that is too wide, each row is printed as a list of its cells.
    """
    cells = [[printable(format_cell(value)) for value in row] for row in rows]
    widths = _fit(columns, cells, console.width - 1 - _FIELD_GAP * len(columns))
    if widths is None:
        _print_list(title, columns, cells)
        return
    shown = Table(title=Text(title), title_justify="left", header_style="bold")
    for index, (column, width) in enumerate(zip(columns, widths, strict=True)):
        numeric = bool(rows) and all(
            isinstance(row[index], int | float) or row[index] is None for row in rows
        )
        shown.add_column(column, justify="right" if numeric else "left", width=width)
    for row in cells:
        shown.add_row(*(Text(wrap(c, w)) for c, w in zip(row, widths, strict=True)))
    console.print(shown)


def _fit(
    columns: Sequence[str], cells: Sequence[Sequence[str]], available: int
) -> list[int] | None:
    """Return widths of columns that cut no word and fit, or None if there are none."""
    by_column = list(zip(columns, *cells, strict=True))
    least = [max(len(word) for cell in column for word in [*cell.split(), ""])
             for column in by_column]  # fmt: skip
    if sum(least) > available:
        return None
    widths = [max(len(cell) for cell in column) for column in by_column]
    while sum(widths) > available:
        slack = [width if width > low else 0 for width, low in zip(widths, least, strict=True)]
        widths[slack.index(max(slack))] -= 1
    return widths


def _print_list(title: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    say(title, style="bold")
    for first, *rest in cells:
        say(first)
        fields = [f"{name} {cell}" for name, cell in zip(columns[1:], rest, strict=True) if cell]
        say(f"  {'; '.join(fields)}", indent="    ")


def format_cell(value: Any) -> str:
    """Return a value as a table shows it; empty for None."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    json.dump(document, sys.stdout, default=_to_plain, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, set | tuple):
        return list(value)
    return str(value)
