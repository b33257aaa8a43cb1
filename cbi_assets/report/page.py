"""The audit's page: sections of text, tables, checklists, plots and what folds inside them.

Markdown and HTML are both written from this page, so they say the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import polars as pl

from cbi_assets.formatting import instant, number
from cbi_assets.report.lights import Lights

Mark = Literal["yes", "no", "open"]


class Code(str):
    """Text to show as code: a command, a path, or a name as it is typed."""


class Strip(str):
    """The state of a check after each of its runs, oldest first: P(asses), W(arns) or F(ails)."""


class Links(str):
    """Names of rows elsewhere on the page; `links` are pairs of name and the row's anchor."""

    links: tuple[tuple[str, str], ...]

    def __new__(cls, links: Iterable[tuple[str, str]]) -> Self:
        """Return the names, separated by commas."""
        pairs = tuple(links)
        self = super().__new__(cls, ", ".join(name for name, _ in pairs))
        self.links = pairs
        return self


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Command:
    """A command to type or a query to paste, on its own lines."""

    command: str
    language: Literal["sh", "sql"] = "sh"


@dataclass(frozen=True)
class Grid:
    """A table. `numeric` columns are right-aligned; `empty` is shown if there are no rows.

    A reader can filter the rows by the values of the column `filter`. `anchors` name the rows.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Collection[str] = ()
    empty: str = "None."
    filter: str = ""
    anchors: Sequence[str] = ()


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


@dataclass(frozen=True)
class Calendar:
    """Days with bars and gaps of each series (`ZL|1h`), to walk by year, month and day."""

    series: Mapping[str, Mapping[str, Any]]
    through: dt.date


@dataclass(frozen=True)
class Fold:
    """A part of a section with a title, a state and content of its own."""

    anchor: str
    title: str
    state: str
    blocks: Sequence[Block]


Block = Text | Command | Grid | Ticks | Figure | Calendar | Fold


@dataclass(frozen=True)
class Section:
    """A heading with an anchor, and its content. `count` sums it up in the navigation.

    An `unfolded` section is open at first. Markdown leaves out a `reference`.
    """

    anchor: str
    title: str
    blocks: Sequence[Block]
    count: str = ""
    unfolded: bool = False
    reference: bool = False


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
    filter_by: str = "",
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
        [Code(cell(value)) if name in code else cell(value) for value in frame[name]]
        for name in frame.columns
    ]
    rows = list(zip(*columns, strict=True))
    return Grid(caption, headings, rows, numeric, empty, filter_by)


def cell(value: object) -> str:
    """Return a value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return instant(value)
    return number(value) if isinstance(value, int | float) else str(value)
