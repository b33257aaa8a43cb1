"""The pictures of the audit, as Vega-Lite specifications. Colours are variables of the page's style
sheet, so that one picture serves light and dark."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from cbi_assets.formatting import level
from cbi_assets.market.bars import Timeframe
from cbi_assets.report.facts import Books, Chart, Load, Moment, Month

SHARES: Final = ("no trade date", "some", "half or more", "all trade dates")
"""What the colours of the coverage stand for."""

FATES: Final = {
    "published": "published",
    "duplicates": "equal bars dropped",
    "quarantined": "quarantined",
    "conflicts": "in conflict",
    "reopened": "reopened",
    "not_loaded": "not loaded yet",
    "outside_universe": "outside the universe",
}
"""What can become of a record, as the books and the pictures call it."""

JOBS: Final = 24
LOADS: Final = 40

_MONTHS: Final = 14
"""Up to so many months the coverage's axis names each, from then on the years."""

_FATE_COLOURS: Final = ("--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c0")
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


def coverage_figure(months: Sequence[Month], timeframe: Timeframe) -> dict[str, Any]:
    """Root × month of one timeframe: the share of trade dates with a bar, in four steps. Months in
    a row of one step are one mark."""
    own = [month for month in months if month.timeframe == timeframe]
    runs = []
    for (root, share), group in groupby(own, key=lambda m: (m.root, _share(m))):
        cells = list(group)
        end = (cells[-1].month + dt.timedelta(days=32)).replace(day=1)
        runs.append({"root": root, "from": _utc(cells[0].month), "to": _utc(end), "share": share})
    roots = list(dict.fromkeys(month.root for month in own))
    is_short = len({month.month for month in own}) <= _MONTHS
    ticks = {"tickCount": "month", "format": "%b %Y"} if is_short else {"format": "%Y"}
    return _chart(
        runs,
        height={"step": 15},
        mark={"type": "rect", "stroke": "var(--paper)", "strokeWidth": 0.7},
        encoding={
            "x": {
                "field": "from",
                "type": "temporal",
                "title": None,
                "scale": {"type": "utc"},
                "axis": {"grid": False, **ticks},
            },
            "x2": {"field": "to"},
            "y": {"field": "root", "type": "nominal", "sort": roots, "title": None},
            "color": _colours("share", SHARES, ("--s0", "--s1", "--s2", "--s3")),
        },
    )


def books_figure(books: Sequence[Books]) -> dict[str, Any]:
    """From files to tables: what became of each job's records, as stacked bars."""
    largest = sorted(books, key=lambda row: -row.records)
    shown = [(row.job, row) for row in largest[:JOBS]]
    shown += [("all other jobs", row) for row in largest[JOBS:]]
    rows = [
        {"job": job, "fate": told, "order": place, "records": getattr(row, name)}
        for job, row in shown
        for place, (name, told) in enumerate(FATES.items())
        if getattr(row, name)
    ]
    jobs = list(dict.fromkeys(job for job, _ in shown))
    return _chart(
        rows,
        height={"step": 22},
        mark="bar",
        encoding={
            "y": {"field": "job", "type": "nominal", "sort": jobs, "title": None,
                  "axis": {"labelLimit": 220}},
            "x": {"aggregate": "sum", "field": "records", "type": "quantitative",
                  "title": "records read"},
            "color": _colours("fate", _present(rows, FATES), _FATE_COLOURS, FATES),
            "order": {"field": "order", "type": "quantitative"},
        },
    )  # fmt: skip


def loads_figure(loads: Sequence[Load]) -> dict[str, Any]:
    """What each load did, in the order of time."""
    parts = {"published": "published", "duplicates": "equal, dropped", "set_aside": "set aside"}
    newest = list(dict.fromkeys(load.load_id for load in loads))[-LOADS:]
    rows = [
        {
            "load": f"{load.loaded_at:%Y-%m-%d %H:%M} {'bars' if load.timeframe else 'staging'}",
            "fate": told,
            "order": place,
            "records": getattr(load, name),
        }
        for load in loads
        if load.load_id in newest
        for place, (name, told) in enumerate(parts.items())
        if getattr(load, name)
    ]
    names = list(dict.fromkeys(row["load"] for row in rows))
    colours = ("--c1", "--c2", "--c3")
    return _chart(
        rows,
        height={"step": 22},
        mark="bar",
        encoding={
            "y": {"field": "load", "type": "nominal", "sort": names, "title": None,
                  "axis": {"labelLimit": 220}},
            "x": {"aggregate": "sum", "field": "records", "type": "quantitative",
                  "title": "records, or observations of staging"},
            "color": _colours("fate", _present(rows, parts), colours, parts),
            "order": {"field": "order", "type": "quantitative"},
        },
    )  # fmt: skip


def history_figure(history: Sequence[Moment]) -> dict[str, Any]:
    """Results that do not hold, after each run of checks."""
    rows = [
        {"at": f"{moment.at:%Y-%m-%dT%H:%M:%S}Z", "state": state, "results": count}
        for moment in history
        for state, count in (("fail", moment.failed), ("warn", moment.warned))
    ]
    return _chart(
        rows,
        height=140,
        mark={"type": "line", "interpolate": "step-after", "point": {"filled": True, "size": 40}},
        encoding={
            "x": {"field": "at", "type": "temporal", "title": "run of checks, UTC",
                  "scale": {"type": "utc"},
                  "axis": {"format": "%d %b %Y %H:%M", "tickCount": 5, "labelOverlap": True}},
            "y": {"field": "results", "type": "quantitative", "title": "results that do not hold",
                  "axis": {"tickMinStep": 1}},
            "color": _colours("state", ("fail", "warn"), ("--c4", "--c3")),
        },
    )  # fmt: skip


def price_figure(chart: Chart) -> dict[str, Any]:
    """High, low and close of the newest sessions, with pivots, rolls and the last row's levels."""
    rows = [
        {
            "date": _utc(row.date),
            "high": row.high,
            "low": row.low,
            "close": row.close,
            "pivot": row.pivot,
        }
        for row in chart.sessions
    ]
    end = _utc(chart.sessions[-1].date)
    levels = [
        {"name": level(name), "price": value, "date": end}
        for name, value in chart.fibonacci.items()
    ]
    x = {"field": "date", "type": "temporal", "title": None, "scale": {"type": "utc"},
         "axis": {"format": "%b %Y", "tickCount": "month", "grid": False}}  # fmt: skip
    layers: list[dict[str, Any]] = []
    zone = chart.golden_zone
    if "fib_50" in zone and "fib_618" in zone:
        layers.append(
            {
                "data": {"values": [{"low": zone["fib_50"], "high": zone["fib_618"]}]},
                "mark": {"type": "rect", "color": "var(--c3)", "opacity": 0.25},
                "encoding": {"y": _y("low", chart.units), "y2": {"field": "high"}},
            }
        )
    layers += [
        {
            "data": {"values": levels},
            "mark": {"type": "rule", "color": "var(--c2)", "strokeDash": [2, 3]},
            "encoding": {"y": _y("price", chart.units)},
        },
        {
            "data": {"values": levels},
            "mark": {"type": "text", "align": "left", "dx": 6, "fill": "var(--ink)"},
            "encoding": {
                "x": x, "y": _y("price", chart.units), "text": {"field": "name"},
            },
        },
        {
            "data": {"values": [{"date": _utc(r.date)} for r in chart.rolls]},
            "mark": {"type": "rule", "color": "var(--c4)", "strokeDash": [6, 3]},
            "encoding": {"x": x},
        },
        {
            "mark": {"type": "rule", "color": "var(--muted)"},
            "encoding": {"x": x, "y": _y("low", chart.units), "y2": {"field": "high"}},
        },
        {
            "mark": {"type": "line", "color": "var(--c6)", "strokeWidth": 1,
                     "interpolate": "step", "strokeDash": [4, 2]},
            "encoding": {"x": x, "y": _y("pivot", chart.units)},
        },
        {
            "mark": {"type": "line", "color": "var(--c1)", "strokeWidth": 2},
            "encoding": {"x": x, "y": _y("close", chart.units)},
        },
    ]  # fmt: skip
    return _base(rows) | {"height": 300, "layer": layers}


def _share(month: Month) -> str:
    if not month.held:
        return SHARES[0]
    if month.held == month.possible:
        return SHARES[3]
    return SHARES[2] if 2 * month.held >= month.possible else SHARES[1]


def _utc(date: dt.date) -> str:
    """An instant that means the same date on every machine."""
    return f"{date}T00:00:00Z"


def _y(name: str, units: str) -> dict[str, Any]:
    return {"field": name, "type": "quantitative", "title": units, "scale": {"zero": False}}


def _present(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> tuple[str, ...]:
    there = {row["fate"] for row in rows}
    return tuple(told for told in names.values() if told in there)


def _colours(
    field: str,
    domain: Sequence[str],
    colours: Sequence[str],
    every: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A colour a value; the same one for a value whichever others are there."""
    places = list(every.values()) if every else list(domain)
    chosen = [f"var({colours[places.index(value)]})" for value in domain]
    return {
        "field": field,
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(domain), "range": chosen},
    }


def _chart(rows: Sequence[Mapping[str, Any]], **parts: Any) -> dict[str, Any]:
    return _base(rows) | parts


def _base(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": 760,
        # labels are measured in a font that may be narrower than the page's
        "padding": {"left": 40, "top": 5, "right": 40, "bottom": 5},
        "data": {"values": list(rows)},
        "config": _CONFIG,
    }
