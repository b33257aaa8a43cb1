"""The audit as a page: sections of text, tables, lists and figures. Markdown and HTML are written
from the same page, so that they say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Mark = Literal["yes", "no", "open"]


class Code(str):
    """Text that is a command or a name as one types it."""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Command:
    """A command to type, on a line of its own."""

    command: str


@dataclass(frozen=True)
class Grid:
    """A table. Columns named in `numeric` stand right; `empty` is told where there is no row."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[str] = field(default_factory=frozenset)
    empty: str = "None."


@dataclass(frozen=True)
class Ticks:
    """A checklist: mark, text and figure a line."""

    caption: str
    lines: Sequence[tuple[Mark, str, str]]


@dataclass(frozen=True)
class Figure:
    """A picture: `told` says in words what it shows; `spec` is its Vega-Lite specification."""

    name: str
    title: str
    told: str
    spec: dict[str, Any]


Block = Text | Command | Grid | Ticks | Figure


@dataclass(frozen=True)
class Section:
    """A heading with an anchor, and what stands under it."""

    anchor: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """The whole page. `sound` says whether data did not fall short; `facts` are the headline's
    figures, each with its name."""

    title: str
    subtitle: str
    sound: bool
    verdict: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
