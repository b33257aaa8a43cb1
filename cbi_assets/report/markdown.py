"""A page as Markdown (CommonMark with tables)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cbi_assets.report.page import Block, Code, Command, Figure, Grid, Page, Text, Ticks

_MARKS = {"yes": "[x]", "no": "[ ]", "open": "[ ]"}


def write_markdown(page: Page) -> str:
    """The page's text. A figure is told in words; the HTML draws it."""
    parts = [
        f"# {page.title}",
        _plain(page.subtitle),
        f"**{_plain(page.verdict)}**",
        "\n".join(f"- {_plain(name)}: **{value}**" for name, value in page.facts),
    ]
    for section in page.sections:
        parts.append(f"## {_plain(section.title)}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Text(text):
            return _plain(text)
        case Command(command):
            return f"```sh\n{command}\n```"
        case Figure(_, title, told, _):
            return f"**{_plain(title)}.** {_plain(told)}"
        case Ticks(caption, lines):
            ticked = [
                f"- {_MARKS[mark]} {_plain(text)}: {_plain(figure)}"
                + (" (not known yet)" if mark == "open" else "")
                for mark, text, figure in lines
            ]
            return "\n".join([f"### {_plain(caption)}", "", *ticked])
        case Grid():
            return _grid(block)


def _grid(grid: Grid) -> str:
    caption = f"**{_plain(grid.caption)}**"
    if not grid.rows:
        return f"{caption}\n\n{_plain(grid.empty)}"
    rule = "|" + "|".join(" ---: " if c in grid.numeric else " --- " for c in grid.columns) + "|"
    lines = [_row(grid.columns), rule, *(_row(row) for row in grid.rows)]
    return f"{caption}\n\n" + "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(cell: str) -> str:
    if isinstance(cell, Code) and cell and "`" not in cell:
        # a pipe ends a cell even inside code
        return "`" + " ".join(cell.split()).replace("|", "\\|") + "`"
    return _plain(cell).replace("|", "\\|")


def _plain(text: str) -> str:
    """Text of the data's own, so that nothing of it becomes markup; `code` stays."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\*_<>\[\]#])", r"\\\1", one_line)
