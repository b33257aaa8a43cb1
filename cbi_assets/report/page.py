"""The audit's page: sections of text, tables, checklists and plots.

Markdown and HTML are both written from this page, so they say the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from cbi_assets.formatting import instant, number
from cbi_assets.report.lights import Lights

Mark = Literal["yes", "no", "open"]


class Code(str):
    """Text to show as code: a command, a path, or a name as it is typed."""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Command:
    """A command to type, on its own line."""

    command: str


@dataclass(frozen=True)
class Grid:
    """A table. `numeric` columns are right-aligned; `empty` is shown if there are no rows."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Collection[str]
    empty: str


@dataclass(frozen=True)
class Ticks:
    """A checklist: mark, text and figure per line."""

    caption: str
    lines: Sequence[tuple[Mark, str, str]]


@dataclass(frozen=True)
class Figure:
    """A plot: its Vega-Lite specification, and its content in words for screen readers."""

    name: str
    title: str
    description: str
    spec: dict[str, Any]


Block = Text | Command | Grid | Ticks | Figure


@dataclass(frozen=True)
class Section:
    """A heading with an anchor, and its content."""

    anchor: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """The whole page. `facts` are the headline figures, by name."""

    title: str
    subtitle: str
    lights: Lights
    passed: bool
    verdict: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]


def grid(
    caption: str,
    frame: pl.DataFrame,
    *,
    code: Collection[str] = (),
    right: Collection[str] = (),
    empty: str = "None.",
) -> Grid:
    """Return a frame as a table; its column names are the headings, with spaces for underscores.

    Numbers get thousands separators and are right-aligned, timestamps are in UTC to the minute,
    and null is empty. `code` columns are shown as code; `right` are further right-aligned ones.
    """
    headings = [name.replace("_", " ") for name in frame.columns]
    numeric = {
        heading
        for heading, (name, kind) in zip(headings, frame.schema.items(), strict=True)
        if kind.is_numeric() or name in right
    }
    columns = [
        [Code(_cell(value)) if name in code else _cell(value) for value in frame[name]]
        for name in frame.columns
    ]
    return Grid(caption, headings, list(zip(*columns, strict=True)), numeric, empty)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return instant(value)
    return number(value) if isinstance(value, int | float) else str(value)
