"""Small plots for Dagster's UI: SVG inside Markdown, drawn here because a load has many of them.

Dagster's UI hides Markdown longer than 1,000 characters behind a click, so a plot is thinned to
fit. Its colors work on a light and on a dark page.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg
import polars as pl

from cbi_assets.counted_steps import log_steps
from cbi_assets.ledger.pending_events import Partition
from cbi_assets.load.partition_profiles import PartitionProfile
from cbi_assets.pipeline.metadata import built_range_metadata
from cbi_assets.session import Session
from cbi_assets.tables import DAILY_ML_MATRIX
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.row_counts import rows_by_root
from cbi_assets.warehouse.sql_files import load_sql

Plots = dict[str, dg.MarkdownMetadataValue]
"""Plots, by the name under which the UI shows them."""

MAX_POINTS: Final = 68
"""Points or bars of a plot, at most."""

_WIDTH, _TOP, _BOTTOM, _HEIGHT = 360, 14, 70, 84
_COLUMN = 24
_PERIODS: Final = {"1mo": "month", "1q": "quarter", "1y": "year"}


def draw_bars(days: Sequence[dt.date], counts: Sequence[float]) -> dg.MarkdownMetadataValue:
    """Draw the counts' sums by month; by quarter or year if there are too many months.

    A period without a count is drawn empty.
    """
    frame = pl.DataFrame({"day": days, "n": counts}, {"day": pl.Date, "n": pl.Float64})
    for step in _PERIODS:
        start = pl.col("day").dt.truncate(step)
        found = frame.group_by(start).agg(pl.col("n").sum()).sort("day").upsample("day", every=step)
        if found.height <= MAX_POINTS:
            break
    heights = found["n"].fill_null(0).to_list()
    most = max(heights) or 1
    edges = [round(place * _WIDTH / len(heights)) for place in range(len(heights) + 1)]
    steps = "".join(
        f"V{_BOTTOM - round(height * (_BOTTOM - _TOP) / most)}H{right}"
        for height, right in zip(heights, edges[1:], strict=True)
    )
    shape = f"<path d='M0 {_BOTTOM}{steps}V{_BOTTOM}z' fill='steelblue'/>"
    caption = f"up to {most:,.0f} per {_PERIODS[step]}"
    return _picture(shape, caption, f"{min(days)}", f"{max(days)}")


def draw_line(
    days: Sequence[dt.date],
    values: Sequence[float],
    spans: Sequence[tuple[str, dt.date, dt.date]] = (),
) -> dg.MarkdownMetadataValue:
    """Draw a line through the values, thinned so that the newest one stays.

    `spans` (name, first and last day) are drawn behind it, every other one darker; with them, the
    plot is twice as wide.
    """
    width = 2 * _WIDTH if spans else _WIDTH
    every = -(-len(days) // MAX_POINTS)
    kept = list(zip(days, values, strict=True))[::-1][::every][::-1]
    first, last = days[0], days[-1]
    low, high = min(values), max(values)

    def across(day: dt.date) -> int:
        return round((day - first).days * width / max((last - first).days, 1))

    points = " ".join(
        f"{across(day)},{_BOTTOM - round((value - low) * (_BOTTOM - _TOP) / ((high - low) or 1))}"
        for day, value in kept
    )
    behind = "".join(
        f"<rect x='{across(start)}' y='{_TOP}' width='{max(across(end) - across(start), 1)}' "
        f"height='{_BOTTOM - _TOP}' fill='orange' opacity='{0.1 + 0.2 * (place % 2)}'/>"
        f"<text x='{across(start) + 1}' y='{_TOP + 8 + 7 * (place % 7)}' font-size='7'>"
        f"{_text(name)}</text>"
        for place, (name, start, end) in enumerate(spans)
    )
    shape = f"<polyline points='{points}' fill='none' stroke='steelblue' stroke-width='1.5'/>"
    caption = f"{low:,.6g} to {high:,.6g}, last {values[-1]:,.6g}"
    return _picture(behind + shape, caption, f"{first}", f"{last}", width)


def draw_columns(names: Sequence[str], counts: Sequence[float]) -> dg.MarkdownMetadataValue:
    """Draw one column per name."""
    most = max(counts) or 1
    shapes = "".join(
        f"<path d='M{place * _COLUMN} {_BOTTOM}v{-round(count * (_BOTTOM - _TOP) / most)}"
        f"h{_COLUMN - 4}V{_BOTTOM}z' fill='steelblue'/>"
        f"<text x='{place * _COLUMN}' y='{_HEIGHT - 2}' font-size='9'>{_text(name)}</text>"
        for place, (name, count) in enumerate(zip(names, counts, strict=True))
    )
    return _picture(shapes, f"up to {most:,.0f}", width=max(_COLUMN * len(names), _WIDTH))


def plot_bars(warehouse: Warehouse, table: str, roots: Collection[str]) -> dict[str, Plots]:
    """Plot, by root, the number of bars over time and the close of each date's most traded symbol.

    `table` is the id of a table of bars; a root without bars has no plots.
    """
    by_date = warehouse.query(load_sql("report/plots", table=table), {"roots": sorted(roots)})
    by_root = by_date.partition_by("root", as_dict=True, maintain_order=True)
    return {str(key[0]): _plot_closes(rows) for key, rows in by_root.items()}


def _plot_closes(rows: pl.DataFrame) -> Plots:
    days, bars, closes = (rows[name].to_list() for name in ("trade_date", "bars", "close"))
    drawn = {"bars over time": draw_bars(days, bars)}
    priced = [(day, close) for day, close in zip(days, closes, strict=True) if close is not None]
    if priced:
        drawn["close of the most traded symbol"] = draw_line(*zip(*priced, strict=True))
    return drawn


def plot_profiles(profiles: Sequence[PartitionProfile]) -> dict[Partition, Plots]:
    """Plot partitions of the raw tables from their profiles, which have their dates' closes."""
    return {
        (each.root, each.timeframe): _plot_closes(each.closes)
        for each in log_steps(profiles, lambda each: f"plotting {each.root} {each.timeframe}")
    }


@dataclass(frozen=True)
class BuiltProfile:
    """The built tables after a build: rows and trade dates by table id, and the matrix' plots."""

    ranges: dict[str, dict[str, Any]]
    plots: Plots


def profile_built(session: Session) -> BuiltProfile:
    """Return the built tables' rows and ranges, and plot the matrix.

    The plots are its rows by root, and the close of each traded root with the regimes behind it.
    """
    traded = [root for root, spec in session.universe.roots.items() if spec.tier == 1]
    warehouse = session.warehouse
    closes = warehouse.query(
        "SELECT symbol, data_date, market_data.close AS close, regime_name "
        f"FROM `{DAILY_ML_MATRIX.id}` WHERE symbol IN UNNEST(@roots) "
        "ORDER BY symbol, data_date",
        {"roots": traded},
    ).filter(pl.col("close").is_not_null())
    plots = {}
    if counts := rows_by_root(warehouse, DAILY_ML_MATRIX):
        plots["rows of each root"] = draw_columns(list(counts), list(counts.values()))
    for key, own in closes.partition_by("symbol", as_dict=True, maintain_order=True).items():
        days, names = own["data_date"].to_list(), own["regime_name"].to_list()
        starts = [n for n in range(len(days)) if n == 0 or names[n] != names[n - 1]]
        ends = [*(days[n] for n in starts[1:]), days[-1]]
        spans = [
            (names[n] or "no regime", days[n], end) for n, end in zip(starts, ends, strict=True)
        ]
        plots[f"{key[0]}: close and regimes"] = draw_line(days, own["close"].to_list(), spans)
    return BuiltProfile(built_range_metadata(warehouse), plots)


def _picture(
    shapes: str, caption: str, left: str = "", right: str = "", width: int = _WIDTH
) -> dg.MarkdownMetadataValue:
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{_HEIGHT}' "
        f"font-family='sans-serif' font-size='10' fill='gray'>{shapes}<text y='10'>{caption}</text>"
    )
    if left:
        svg += (
            f"<text y='{_HEIGHT - 2}'>{left}</text>"
            f"<text x='{width}' y='{_HEIGHT - 2}' text-anchor='end'>{right}</text>"
        )
    # in angle brackets a Markdown address may contain blanks, but no such brackets
    encoded = f"{svg}</svg>".replace("%", "%25").replace("#", "%23")
    encoded = encoded.replace("<", "%3C").replace(">", "%3E")
    return dg.MetadataValue.md(f"![{caption}](<data:image/svg+xml,{encoded}>)")


def _text(name: str) -> str:
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
