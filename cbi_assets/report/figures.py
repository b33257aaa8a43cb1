"""The audit's plots, as Vega-Lite specifications.

Colors are variables of the page's style sheet, so that one plot serves light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from cbi_assets.report.audit_model import Chart
from cbi_assets.report.charted_roots import level

SHARES: Final = ("no trade date", "some", "half or more", "all trade dates")
"""What the colors of the coverage mean."""

OUTCOMES: Final = {
    "published": "published",
    "duplicates": "duplicates dropped",
    "quarantined": "quarantined",
    "conflicts": "in conflict",
    "reopened": "reopened",
    "not_loaded": "not loaded yet",
    "outside_universe": "outside the universe",
}
"""The possible outcomes of a record: column of the books, and name."""

LOAD_OUTCOMES: Final = {
    "published": "published",
    "duplicates": "duplicates dropped",
    "set_aside": "not published",
}
"""The possible outcomes of a record in a load: column of `Audit.loads`, and name."""

JOBS: Final = 24
LOADS: Final = 40

_MONTHS: Final = 14
"""With up to this many months, the coverage's axis names each; with more, the years."""

_OUTCOME_COLORS: Final = ("--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c0")
_CONFIG: Final[dict[str, Any]] = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--ink)",
        "titleFontWeight": "normal",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 11,
    },
    "legend": {"labelColor": "var(--ink)", "titleColor": "var(--ink)", "orient": "top"},
    "text": {"fill": "var(--ink)", "fontSize": 11},
}


def coverage_figure(months: pl.DataFrame) -> dict[str, Any]:
    """Plot root by month: the share of trade dates with a bar, in four steps.

    `months` is one timeframe's of `Audit.months`. Consecutive months of one step are one mark.
    """
    covered, possible = pl.col("held"), pl.col("possible")
    no, some, half, all_ = SHARES
    share = (
        pl.when(covered == 0).then(pl.lit(no))
        .when(covered == possible).then(pl.lit(all_))
        .when(2 * covered >= possible).then(pl.lit(half))
        .otherwise(pl.lit(some))
    )  # fmt: skip
    runs = (
        months.with_columns(share=share)
        .with_columns(run=pl.struct("root", "share").rle_id())
        .group_by("run", "root", "share", maintain_order=True)
        .agg(pl.col("month").first().alias("from"), to=pl.col("month").last().dt.offset_by("1mo"))
        .select("root", _utc("from"), _utc("to"), "share")
    )
    is_short = months["month"].n_unique() <= _MONTHS
    ticks = {"tickCount": "month", "format": "%b %Y"} if is_short else {"format": "%Y"}
    roots = months["root"].unique(maintain_order=True).to_list()
    x = {"field": "from", "type": "temporal", "title": None, "scale": {"type": "utc"},
         "axis": {"grid": False, **ticks}}  # fmt: skip
    return _figure(
        runs.to_dicts(),
        height={"step": 15},
        mark={"type": "rect", "stroke": "var(--paper)", "strokeWidth": 0.7},
        encoding={
            "x": x,
            "x2": {"field": "to"},
            "y": {"field": "root", "type": "nominal", "sort": roots, "title": None},
            "color": _colors("share", SHARES, ("--s0", "--s1", "--s2", "--s3")),
        },
    )


def books_figure(books: pl.DataFrame) -> dict[str, Any]:
    """Plot the outcome of each job's records as stacked bars, the largest jobs first."""
    largest = books.sort("records", descending=True, maintain_order=True).with_row_index("place")
    is_shown = pl.col("place") < JOBS
    named = largest.with_columns(
        job=pl.when(is_shown).then("job").otherwise(pl.lit("all other jobs"))
    )
    return _outcomes_figure(named, "job", OUTCOMES, "records read")


def loads_figure(loads: pl.DataFrame) -> dict[str, Any]:
    """Plot the outcome of each of the newest loads, oldest first."""
    newest = loads["load_id"].unique(maintain_order=True).tail(LOADS)
    kind = pl.when(timeframe="").then(pl.lit("staging")).otherwise(pl.lit("bars"))
    named = loads.filter(pl.col("load_id").is_in(newest.implode())).with_columns(
        load=pl.format("{} {}", pl.col("loaded_at").dt.strftime("%Y-%m-%d %H:%M"), kind)
    )
    title = "records, or observations of staging"
    return _outcomes_figure(named, "load", LOAD_OUTCOMES, title)


def _outcomes_figure(
    frame: pl.DataFrame, field: str, outcomes: Mapping[str, str], title: str
) -> dict[str, Any]:
    """Plot counts by outcome, stacked, with one bar per value of `field` in the frame's order."""
    rows = [
        {field: row[field], "outcome": text, "order": order, "records": row[name]}
        for row in frame.iter_rows(named=True)
        for order, (name, text) in enumerate(outcomes.items())
        if row[name]
    ]
    present = {row["outcome"] for row in rows}
    # an outcome keeps its color when others are absent
    colors = [
        (text, color)
        for text, color in zip(outcomes.values(), _OUTCOME_COLORS, strict=False)
        if text in present
    ]
    names = list(dict.fromkeys(row[field] for row in rows))
    y = {"field": field, "type": "nominal", "sort": names, "title": None,
         "axis": {"labelLimit": 220}}  # fmt: skip
    return _figure(
        rows,
        height={"step": 22},
        mark="bar",
        encoding={
            "y": y,
            "x": {"aggregate": "sum", "field": "records", "type": "quantitative", "title": title},
            "color": _colors("outcome", *(list(part) for part in zip(*colors, strict=True))),
            "order": {"field": "order", "type": "quantitative"},
        },
    )


def history_figure(history: pl.DataFrame) -> dict[str, Any]:
    """Plot the results that fail or warn after each run of checks."""
    rows = [
        {"at": f"{row['at']:%Y-%m-%dT%H:%M:%S}Z", "state": state, "results": row[column]}
        for row in history.iter_rows(named=True)
        for state, column in (("fail", "failed"), ("warn", "warned"))
    ]
    return _figure(
        rows,
        height=140,
        mark={"type": "line", "interpolate": "step-after", "point": {"filled": True, "size": 40}},
        encoding={
            "x": {"field": "at", "type": "temporal", "title": "run of checks, UTC",
                  "scale": {"type": "utc"},
                  "axis": {"format": "%d %b %Y %H:%M", "tickCount": 5, "labelOverlap": True}},
            "y": {"field": "results", "type": "quantitative",
                  "title": "results that fail or warn", "axis": {"tickMinStep": 1}},
            "color": _colors("state", ("fail", "warn"), ("--c4", "--c3")),
        },
    )  # fmt: skip


def price_figure(chart: Chart) -> dict[str, Any]:
    """Plot high, low and close of the newest sessions, pivots, rolls, and the last row's levels."""
    sessions = chart.sessions.select(_utc("date"), "high", "low", "close", "pivot").to_dicts()
    end = sessions[-1]["date"]
    levels = [
        {"name": level(name), "price": value, "date": end}
        for name, value in chart.fibonacci.items()
    ]
    rolls = chart.rolls.select(_utc("date")).to_dicts()
    x = {"field": "date", "type": "temporal", "title": None, "scale": {"type": "utc"},
         "axis": {"format": "%b %Y", "tickCount": "month", "grid": False}}  # fmt: skip

    def y(name: str) -> dict[str, Any]:
        scale = {"zero": False}
        return {"field": name, "type": "quantitative", "title": chart.units, "scale": scale}

    high_to_low = {"y": y("low"), "y2": {"field": "high"}}
    labels = {"x": x, "y": y("price"), "text": {"field": "name"}}
    pivot = {"color": "var(--c6)", "strokeWidth": 1, "interpolate": "step", "strokeDash": [4, 2]}
    layers = [
        _layer("rule", {"color": "var(--c2)", "strokeDash": [2, 3]}, {"y": y("price")}, levels),
        _layer("text", {"align": "left", "dx": 6, "fill": "var(--ink)"}, labels, levels),
        _layer("rule", {"color": "var(--c4)", "strokeDash": [6, 3]}, {"x": x}, rolls),
        _layer("rule", {"color": "var(--muted)"}, {"x": x, **high_to_low}),
        _layer("line", pivot, {"x": x, "y": y("pivot")}),
        _layer("line", {"color": "var(--c1)", "strokeWidth": 2}, {"x": x, "y": y("close")}),
    ]
    zone = chart.golden_zone
    if {"fib_50", "fib_618"} <= zone.keys():
        band = [{"low": zone["fib_50"], "high": zone["fib_618"]}]
        style = {"color": "var(--c3)", "opacity": 0.25}
        layers.insert(0, _layer("rect", style, high_to_low, band))
    return _figure(sessions, height=300, layer=layers)


def _layer(
    mark: str,
    style: Mapping[str, Any],
    encoding: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return a layer of marks: of its own rows, or of the plot's."""
    data = {} if rows is None else {"data": {"values": rows}}
    return {**data, "mark": {"type": mark, **style}, "encoding": encoding}


def _utc(name: str) -> pl.Expr:
    """Return a column of dates as timestamps that mean the same date on every machine."""
    return pl.col(name).dt.strftime("%Y-%m-%dT00:00:00Z")


def _colors(field: str, domain: Sequence[str], colors: Sequence[str]) -> dict[str, Any]:
    scale = {"domain": list(domain), "range": [f"var({color})" for color in colors]}
    return {"field": field, "type": "nominal", "title": None, "scale": scale}


def _figure(rows: Sequence[Mapping[str, Any]], **parts: Any) -> dict[str, Any]:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": 760,
        # labels are measured in a font that may be narrower than the page's
        "padding": {"left": 40, "top": 5, "right": 40, "bottom": 5},
        "data": {"values": list(rows)},
        "config": _CONFIG,
        **parts,
    }
