"""Write a page as Markdown (CommonMark with tables)."""

from __future__ import annotations

import re

from cbi_assets.formatting import markdown_table
from cbi_assets.report.page import (
    Block,
    Calendar,
    Code,
    Command,
    Figure,
    Fold,
    Grid,
    Page,
    Text,
    Ticks,
)

_MARKS = {"yes": "[x]", "no": "[ ]", "open": "[ ]"}


def write_markdown(page: Page) -> str:
    """Return the page's text. Plots are described in words; the HTML draws them."""
    parts = [
        f"# {page.title}",
        _escape(page.subtitle),
        "\n".join(
            f"- **{light.name}: {light.color}.** {_escape(light.text)}. Next: `{light.command}`"
            for light in page.lights.all
        ),
        f"**{_escape(page.verdict)}**",
        "\n".join(f"- {_escape(name)}: **{value}**" for name, value in page.facts),
    ]
    for section in page.sections:
        if section.reference:
            continue
        parts.append(f"## {_escape(section.title)}")
        parts += [text for block in section.blocks if (text := _block(block))]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Text(text):
            return _escape(text)
        case Command(command, language):
            return f"```{language}\n{command}\n```"
        case Figure(_, title, description, _):
            return f"**{_escape(title)}.** {_escape(description)}"
        case Calendar():
            return ""
        case Fold(_, title, state, blocks):
            inner = [text for block in blocks if (text := _block(block))]
            return "\n\n".join([f"### {_escape(state)}: {_escape(title)}", *inner])
        case Ticks(caption, lines):
            ticked = [
                f"- {_MARKS[mark]} {_escape(text)}: {_escape(figure)}"
                + (" (not known yet)" if mark == "open" else "")
                for mark, text, figure in lines
            ]
            return "\n".join([f"### {_escape(caption)}", "", *ticked])
        case Grid(caption, columns, rows, numeric, empty):
            cells = [[_cell(cell) for cell in row] for row in rows]
            table = markdown_table(columns, cells, numeric) if cells else _escape(empty)
            return f"**{_escape(caption)}**\n\n{table}"


def _cell(cell: str) -> str:
    if isinstance(cell, Code) and cell and "`" not in cell:
        return "`" + " ".join(cell.split()) + "`"
    return _escape(cell)


def _escape(text: str) -> str:
    """Return the text on one line, so that nothing in the data becomes markup; `code` stays."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\*_<>\[\]#])", r"\\\1", one_line)
