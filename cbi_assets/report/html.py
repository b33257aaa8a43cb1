"""Write a page as one HTML file without other files, for light and dark screens and for paper.

Everything can be read without scripts. The page's own script adds search, filters, folds that are
remembered, and the calendar; Vega-Lite, if `runtime` brings it, redraws the plots with hover and
zoom. The page's policy allows these two scripts, and no request.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from functools import cache
from importlib import resources
from typing import Any, Final

import vl_convert
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from cbi_assets.counted_steps import log_step, log_steps
from cbi_assets.report.page import Block, Calendar, Code, Figure, Grid, Links, Page, Strip

VEGA_LITE: Final = "6.4"

_LONG: Final = 12
"""Characters of a row's longest list; a longer table starts folded."""

_CARDS: Final = (22, 28, 36, 44, 52, 60, 68, 76)
"""Widths in rem below which a table's rows become cards: the first that the table fits into."""

_DATE: Final = re.compile(r"^\W*\d{4}-\d\d-\d\d\W*$")
_RUNS: Final = {"P": "passed", "W": "warned", "F": "failed", "N": "not run"}


def write_html(page: Page, runtime: bytes = b"") -> str:
    """Return the page's document. All text from the data is escaped.

    `runtime` is what `vega_runtime` returned; without it plots are pictures.
    """
    script = _read("audit.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _environment().get_template("audit.html.j2").render(
        page=page,
        sections=log_steps(page.sections, lambda section: f"writing {section.title}"),
        style=Markup(_environment().get_template("audit.css").render(cards=_CARDS)),
        script=Markup(script),
        digest=digest,
        runtime=base64.b64encode(runtime).decode(),
    )  # fmt: skip


@cache
def vega_runtime() -> bytes:
    """Return Vega, Vega-Lite and Vega-Embed as one compressed script; takes about two seconds."""
    log_step("packing the page's script")
    snippet = "window.vegaEmbed = vegaEmbed;"
    return gzip.compress(vl_convert.javascript_bundle(snippet, VEGA_LITE).encode(), 9, mtime=0)


def draw(figure: Figure) -> Markup:
    """Return the plot as inline SVG: one image, named for screen readers."""
    svg = vl_convert.vegalite_to_svg(figure.spec, vl_version=VEGA_LITE, allowed_base_urls=[])
    # screen readers would stop at every mark; the name and a table say it all
    svg = re.sub(r' (?:aria-[a-z]+|role)="[^"]*"', "", svg)
    clips = {clip: str(number) for number, clip in enumerate(re.findall(r'id="clip(\d+)"', svg))}
    svg = re.sub(r"\bclip(\d+)\b", lambda clip: f"{figure.name}-clip-{clips[clip[1]]}", svg)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert size is not None
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{figure.name}-title" '
        f'aria-describedby="{figure.name}-description" viewBox="0 0 {size[1]} {size[2]}">'
    )
    return Markup(head + svg[svg.index(">") + 1 :])


def _pieces(text: str) -> list[str]:
    """Split text where a line may break: after spaces, and inside long words after marks."""
    found = []
    for word in re.findall(r"\S+\s*|\s+", text):
        marked = re.findall(r"[^/_|.,;:=\-]*[/_|.,;:=\-]+\s*|[^/_|.,;:=\-]+", word)
        for part in marked if len(word) > 14 else [word]:
            found += [part[i : i + 20] for i in range(0, len(part), 20)]
    return found


def soft(text: str) -> Markup:
    """Return text escaped, with line breaks allowed inside long words but in no date."""
    pieces = _pieces(text)
    date = Markup('<span class="date">{}</span>{}')
    lines = [
        date.format(piece.rstrip(), piece[len(piece.rstrip()) :]) if _DATE.search(piece)
        else escape(piece)
        for piece in pieces
    ]  # fmt: skip
    return Markup("").join(
        line if before[-1:].isspace() else Markup("<wbr>") + line
        for before, line in zip([" ", *pieces], lines, strict=False)
    )


def _cell(cell: str) -> Markup:
    if isinstance(cell, Links):
        return Markup(", ").join(
            Markup('<a href="#{}">{}</a>').format(anchor, soft(name)) for name, anchor in cell.links
        )
    if isinstance(cell, Strip):
        said = ", ".join(f"{cell.count(run)} {name}" for run, name in _RUNS.items() if run in cell)
        runs = Markup("").join(Markup('<i class="{0}">{0}</i>').format(run) for run in cell)
        strip = Markup('<span class="strip" role="img" aria-label="{}">{}</span>')
        return strip.format(said, runs) if cell else Markup("")
    shown = soft(cell)
    return Markup(f"<code>{shown}</code>") if isinstance(cell, Code) and cell else shown


def _need(grid: Grid) -> int:
    """Return the width in rem that the table needs to show every column without cutting a word."""
    width = 0.0
    for heading, *cells in zip(grid.columns, *grid.rows, strict=True):
        pieces = [piece for text in (heading, *cells) for piece in _pieces(text)]
        word = max((len(piece.strip()) for piece in pieces), default=0)
        whole = max(len(text) for text in cells)
        wish = whole if heading in grid.numeric else min(whole, 22)
        width += 0.48 * max(word, wish) + 1
    return next((step for step in _CARDS if width <= step), _CARDS[-1])


def _kind(block: Block) -> str:
    if isinstance(block, Grid):
        return "Grid" if block.rows else "Empty"
    return type(block).__name__


def _is_long(grid: Grid) -> bool:
    return len(grid.rows) > _LONG


def _data(value: Any) -> Markup:
    """Return a value as JSON for a script block, where only `</` would end it."""
    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))


def _packed(calendar: Calendar) -> str:
    text = json.dumps({"through": str(calendar.through), "series": calendar.series})
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"cell": _cell, "kind": _kind, "draw": draw, "soft": soft, "need": _need,
                            "is_long": _is_long, "data": _data, "packed": _packed}  # fmt: skip
    return environment


def _read(name: str) -> str:
    return resources.files("cbi_assets.report").joinpath(f"templates/{name}").read_text()
