"""Write a page as one HTML file without scripts or other files, for light and dark screens."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

import vl_convert
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from cbi_assets.report.page import Block, Code, Figure, Page

_VEGA_LITE = "6.4"


def write_html(page: Page) -> str:
    """Return the page's document. All text from the data is escaped."""
    style = Markup(_read("audit.css"))
    return _environment().get_template("audit.html.j2").render(page=page, style=style)


def draw(figure: Figure) -> Markup:
    """Return the plot as inline SVG: one image, named for screen readers."""
    svg = vl_convert.vegalite_to_svg(figure.spec, vl_version=_VEGA_LITE, allowed_base_urls=[])
    # screen readers would stop at every mark; the name and a table say it all
    svg = re.sub(r' (?:aria-[a-z]+|role)="[^"]*"', "", svg)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert size is not None
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{figure.name}-title" '
        f'aria-describedby="{figure.name}-description" viewBox="0 0 {size[1]} {size[2]}">'
    )
    return Markup(head + svg[svg.index(">") + 1 :])


def _cell(cell: str) -> Markup:
    shown = escape(cell)
    return Markup(f"<code>{shown}</code>") if isinstance(cell, Code) and cell else shown


def _kind(block: Block) -> str:
    return type(block).__name__


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"cell": _cell, "kind": _kind, "draw": draw}
    return environment


def _read(name: str) -> str:
    return resources.files("cbi_assets.report").joinpath(f"templates/{name}").read_text()
