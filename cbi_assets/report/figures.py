"""The audit's plots, as Vega-Lite specifications.

Colors are variables of the page's style sheet, so that one plot serves light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from cbi_assets.market.bars import TIMEFRAMES
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
WIDTH: Final = 760

AGES: Final = {"3 days or less": 3, "31 days or less": 31, "366 days or less": 366}
OLDER: Final = "older"
"""How fresh a root's newest bar is: names of the steps, and the most days of each."""

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
    roots = months["root"].unique(maintain_order=True).to_list()
    return _figure(
        runs.to_dicts(),
        height={"step": 15},
        mark={"type": "rect", "stroke": "var(--paper)", "strokeWidth": 0.7},
        encoding={
            **_months(months),
            "y": {"field": "root", "type": "nominal", "sort": roots, "title": None},
            "tooltip": _tips("root", "share", "from:T", "to:T"),
            "color": _colors("share", SHARES, ("--s0", "--s1", "--s2", "--s3")),
        },
    )


def _months(months: pl.DataFrame) -> dict[str, Any]:
    """Return the axis of marks that reach from one month to another."""
    is_short = months["month"].n_unique() <= _MONTHS
    ticks = {"tickCount": "month", "format": "%b %Y"} if is_short else {"format": "%Y"}
    x = {"field": "from", "type": "temporal", "title": None, "scale": {"type": "utc"},
         "axis": {"grid": False, **ticks}}  # fmt: skip
    return {"x": x, "x2": {"field": "to"}}


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
            "tooltip": _tips(field, "outcome", "records:Q"),
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
            "tooltip": _tips("at", "state", "results:Q"),
        },
    )  # fmt: skip


def volume_figure(months: pl.DataFrame) -> dict[str, Any]:
    """Plot root by month: volume as a share of the root's largest month.

    A month counts in the coarsest timeframe that has volume in it.
    """
    order = pl.col("timeframe").cast(pl.Enum(TIMEFRAMES))
    shown = (
        months.filter(pl.col("volume") > 0)
        .sort("root", "month", order, maintain_order=True)
        .unique(["root", "month"], keep="first", maintain_order=True)
        .with_columns(share=pl.col("volume") / pl.col("volume").max().over("root"))
        .select(
            "root", "volume", pl.col("share").round(3), _utc("month").alias("from"),
            pl.col("month").dt.offset_by("1mo").dt.strftime("%Y-%m-%dT00:00:00Z").alias("to"),
        )
    )  # fmt: skip
    roots = months["root"].unique(maintain_order=True).to_list()
    opacity = {"field": "share", "type": "quantitative", "legend": None,
               "scale": {"domain": [0, 1], "range": [0.12, 1]}}  # fmt: skip
    encoding = {
        **_months(months),
        "y": {"field": "root", "type": "nominal", "sort": roots, "title": None},
        "opacity": opacity,
        "tooltip": _tips("root", "from:T", "volume:Q"),
    }
    mark = {"type": "rect", "color": "var(--c1)", "stroke": "var(--paper)", "strokeWidth": 0.7}
    return _figure(shown.to_dicts(), height={"step": 15}, mark=mark, encoding=encoding)


def freshness_figure(arrivals: pl.DataFrame) -> dict[str, Any]:
    """Plot root by load: days from the root's newest bar to the load, in four steps."""
    loads = arrivals.select("load_id", "loaded_at").unique().sort("loaded_at").tail(LOADS)
    known = arrivals.group_by("load_id", "root").agg(pl.col("newest").max())
    days = (pl.col("loaded_at").dt.date() - pl.col("newest")).dt.total_days()
    steps = pl.coalesce(
        *(pl.when(pl.col("days") <= most).then(pl.lit(age)) for age, most in AGES.items()),
        pl.lit(OLDER),
    )
    rows = (
        loads.join(arrivals.select("root").unique(maintain_order=True), how="cross")
        .join(known, on=["load_id", "root"], how="left")
        .sort("loaded_at", maintain_order=True)
        .with_columns(pl.col("newest").forward_fill().over("root"))
        .drop_nulls()
        .with_columns(days=days, load=pl.col("loaded_at").dt.strftime("%Y-%m-%d %H:%M"))
        .select("load", "root", "days", pl.col("newest").cast(pl.String), age=steps)
    )
    roots = arrivals["root"].unique(maintain_order=True).to_list()
    axis = {"labelAngle": -60 if loads.height > 3 else 0, "labelLimit": 120}
    return _figure(
        rows.to_dicts(),
        height={"step": 15},
        mark={"type": "rect", "stroke": "var(--paper)", "strokeWidth": 0.7},
        encoding={
            "x": {"field": "load", "type": "ordinal", "title": None, "axis": axis},
            "y": {"field": "root", "type": "nominal", "sort": roots, "title": None},
            "color": _colors("age", (*AGES, OLDER), ("--g0", "--g1", "--g2", "--g3")),
            "tooltip": _tips("root", "load", "newest", "days:Q"),
        },
    )


def price_figure(chart: Chart) -> dict[str, Any]:
    """Plot candles of the newest sessions, pivots, rolls, the last row's levels, and volume.

    Where scripts run, a range chosen in the volume is what the candles show.
    """
    bars = chart.sessions.select(_utc("date"), "open", "high", "low", "close", "volume", "pivot")
    sessions = bars.to_dicts()
    end = sessions[-1]["date"]
    zone = chart.golden_zone
    low, high = float(bars["low"].min()), float(bars["high"].max())  # type: ignore[arg-type]
    levels = [
        {"name": name, "price": value, "date": end}
        for name, value in _apart(chart.fibonacci, (high - low) / 18)
    ]
    rolls = chart.rolls.select(_utc("date"), "contract").to_dicts()
    axis = {"format": "%b %Y", "tickCount": "month", "grid": False, "labelOverlap": True}
    shown = {"domain": {"param": "range", "encoding": "x"}}
    x = {"field": "date", "type": "temporal", "title": None, "scale": {"type": "utc", **shown},
         "axis": axis}  # fmt: skip

    def y(name: str) -> dict[str, Any]:
        return {"field": name, "type": "quantitative", "title": chart.units,
                "scale": {"zero": False}}  # fmt: skip

    rising = {"condition": {"test": "datum.close >= datum.open", "value": "var(--up)"},
              "value": "var(--down)"}  # fmt: skip
    tips = _tips("date:T", *(f"{name}:Q" for name in ("open", "high", "low", "close", "volume")),
                 "pivot:Q")  # fmt: skip
    dashed = {"color": "var(--c6)", "strokeWidth": 1, "interpolate": "step", "strokeDash": [4, 2]}
    width = {"size": {"expr": f"max(1, width / {len(sessions) * 1.6:.0f})"}}
    catch = {"color": "var(--ink)", "opacity": 0, "strokeWidth": 6, "clip": True}
    label = {"align": "left", "dx": 6, "fill": "var(--ink)", "clip": False}
    of_level = {"x": x, "y": y("price"), "text": {"field": "name"}}
    layers = [
        _layer("rule", {"color": "var(--c2)", "strokeDash": [2, 3]}, {"y": y("price")}, levels),
        _layer("text", label, of_level, [level for level in levels if level["name"]]),
        _layer("rule", {"color": "var(--c4)", "strokeDash": [6, 3], "clip": True},
               {"x": x, "tooltip": _tips("date:T", "contract")}, rolls),
        _layer("rule", {"clip": True}, {"x": x, "y": y("low"), "y2": {"field": "high"},
                                        "color": rising}),
        _layer("bar", {"clip": True, **width}, {"x": x, "y": y("open"), "y2": {"field": "close"},
                                                "color": rising}),
        _layer("line", {**dashed, "clip": True}, {"x": x, "y": y("pivot")}),
        _layer("rule", catch, {"x": x, "tooltip": tips}),
    ]  # fmt: skip
    if {"fib_50", "fib_618"} <= zone.keys():
        band = [{"low": zone["fib_50"], "high": zone["fib_618"]}]
        style = {"color": "var(--c3)", "opacity": 0.25}
        high_to_low = {"y": y("low"), "y2": {"field": "high"}}
        layers.insert(0, _layer("rect", style, high_to_low, band))
    volume = {"field": "volume", "type": "quantitative", "title": "volume",
              "axis": {"tickCount": 2, "format": "~s"}}  # fmt: skip
    shade = {"fill": "var(--c1)", "fillOpacity": 0.15, "stroke": "var(--c1)"}
    brush = {"name": "range", "select": {"type": "interval", "encodings": ["x"], "mark": shade}}
    return _figure(
        sessions,
        vconcat=[
            {"width": WIDTH, "height": 300, "layer": layers},
            {
                "width": WIDTH,
                "height": 50,
                "params": [brush],
                "mark": {"type": "bar", "color": "var(--c0)", **width},
                "encoding": {"x": {**x, "scale": {"type": "utc"}}, "y": volume},
            },
        ],
    )


def _apart(levels: Mapping[str, float], distance: float) -> list[tuple[str, float]]:
    """Return the levels from low to high, the names of close ones in one label, at the lowest."""
    found: list[tuple[str, float]] = []
    labelled: int | None = None
    for name, value in sorted(levels.items(), key=lambda item: item[1]):
        if labelled is not None and value - found[labelled][1] < distance:
            found[labelled] = (f"{found[labelled][0]}, {level(name)}", found[labelled][1])
            found.append(("", value))
        else:
            labelled = len(found)
            found.append((level(name), value))
    return found


def _tips(*fields: str) -> list[dict[str, Any]]:
    """Return a tooltip of these fields; `:Q` is a number, `:T` a date."""
    kinds = {
        "Q": {"type": "quantitative", "format": ",.6~f"},
        "T": {"type": "temporal", "timeUnit": "utcyearmonthdate", "format": "%Y-%m-%d"},
        "": {"type": "nominal"},
    }
    parts = [field.partition(":") for field in fields]
    return [{"field": name, "title": name, **kinds[kind]} for name, _, kind in parts]


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
        **({} if "vconcat" in parts else {"width": WIDTH}),
        # labels are measured in a font that may be narrower than the page's
        "padding": {"left": 40, "top": 5, "right": 40, "bottom": 5},
        "data": {"values": list(rows)},
        "config": _CONFIG,
        **parts,
    }
