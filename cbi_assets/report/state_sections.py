"""The page's sections on its state: coverage, checks, books, loads, and the traded roots."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from cbi_assets.formatting import instant, number, percent, plural, price
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.report.audit_model import Audit, Chart
from cbi_assets.report.charted_roots import level
from cbi_assets.report.data_sections import LISTED, gap_blocks, more_rows
from cbi_assets.report.figures import (
    LOAD_OUTCOMES,
    OUTCOMES,
    books_figure,
    coverage_figure,
    loads_figure,
    price_figure,
)
from cbi_assets.report.page import Block, Calendar, Figure, Section, Text, grid

_ZONE_STATES = {0: "before the zone", 1: "in the zone", 2: "beyond the zone"}


def coverage_section(audit: Audit) -> Section:
    """Plot root by month for each timeframe, offer each series' days, and list the gaps."""
    blocks: list[Block] = []
    for timeframe in TIMEFRAMES:
        months = audit.months.filter(timeframe=timeframe)
        if months.is_empty():
            blocks.append(Text(f"No {timeframe} bars are published."))
            continue
        covered, possible = int(months["held"].sum()), int(months["possible"].sum())
        text = (
            f"{plural(months['root'].n_unique(), 'root')} from {months['month'][0]:%B %Y} to "
            f"{months['month'][-1]:%B %Y}: {number(covered)} of {number(possible)} trade dates "
            f"have a {timeframe} bar ({percent(covered, possible)})."
        )
        title = f"Coverage of {timeframe} bars, root by month"
        blocks.append(Figure(f"coverage-{timeframe}", title, text, coverage_figure(months)))
    if not audit.daily.is_empty():
        blocks.append(_calendar(audit))
    count = f"{plural(audit.lost_dates, 'date')} lost"
    return Section("coverage", "Coverage and gaps", [*blocks, *gap_blocks(audit)], count)


def _calendar(audit: Audit) -> Calendar:
    gaps = audit.gaps.select("root", "timeframe", pl.col("first", "last").cast(pl.String), "kind")
    by_series = {f"{g[0]}|{g[1]}": [] for g in gaps.rows()}  # type: dict[str, list[list[str]]]
    for root, timeframe, *gap in gaps.rows():
        by_series[f"{root}|{timeframe}"].append(gap)
    missing = {
        f"{need['root']}|{need['timeframe']}": need["ranges"]
        for need in audit.needs.iter_rows(named=True)
    }
    series = {
        key: {
            "first": str(first),
            "bars": bars,
            "gaps": by_series.get(key, []),
            "missing": missing.get(key, []),
        }
        for root, timeframe, first, bars in audit.daily.rows()
        for key in [f"{root}|{timeframe}"]
    }
    return Calendar(series, audit.through)


def books_section(audit: Audit) -> Section:
    """Show the outcome of every record, by job and by load."""
    books = audit.books
    totals = books.select(pl.exclude("job", "schema").sum()).row(0, named=True)
    names = {"records": "records read", **OUTCOMES, "difference": "not accounted for"}
    table = grid(
        "The books, job by job",
        books.select("job", "schema", "files", *names).rename(names),
        code=["job"],
        empty="No file was loaded yet.",
    )
    blocks: list[Block] = [table]
    if not books.is_empty():
        counts = [number(totals[name]) for name in ("files", *names)]
        parts = [
            f"{number(totals[name])} {text}" for name, text in OUTCOMES.items() if totals[name]
        ]
        text = f"{number(totals['records'])} records read = {' + '.join(parts)}."
        title = "From files to tables: the outcome of every record"
        blocks = [
            Figure("books-flow", title, text, books_figure(books)),
            replace(table, rows=[*table.rows, ["all jobs", "", *counts]]),
        ]
    if not audit.loads.is_empty():
        blocks += _load_blocks(audit.loads)
    count = plural(audit.loads["load_id"].n_unique(), "load")
    return Section("books", "Books and loads", blocks, count)


def _load_blocks(loads: pl.DataFrame) -> list[Block]:
    last = f"the last at {instant(loads['loaded_at'][-1])} UTC"
    text = f"{plural(loads['load_id'].n_unique(), 'load')}, {last}."
    names = {"load_id": "load", "timeframe": "of", "loaded_at": "at, UTC", **LOAD_OUTCOMES}
    kind = pl.col("timeframe").replace("", "staging")
    rows = loads.tail(LISTED).with_columns(kind).rename(names)
    caption = "Loads" if rows.height == loads.height else f"The last {LISTED} loads"
    return [
        Figure("loads", "Load history", text, loads_figure(loads)),
        grid(caption, rows, code=["load"]),
    ]


def trading_section(audit: Audit) -> Section:
    """Show ZL and MES as in the matrix, and every root's rolls."""
    blocks = [block for chart in audit.charts for block in _chart_blocks(chart)]
    empty = [Text("The matrix has no row of them yet.")]
    newest = audit.rolls.sort("date", descending=True, maintain_order=True)
    rolls = newest.select(
        pl.col("contract").alias("contract"), "root", pl.col("date").alias("front from"),
        pl.col("from_contract").alias("rolled from"), "from_close", "to_close", "from_volume",
        "to_volume",
    )  # fmt: skip
    caption = "Rolls by contract, newest first; closes and volumes of the day before"
    table = grid(caption, rolls.head(LISTED), code=["contract", "rolled from"])
    count = ", ".join(chart.root for chart in audit.charts) or "none"
    shown = [*(blocks or empty), table, *more_rows(rolls, "rolls")]
    return Section("trading", "Charts and rolls", shown, count)


def _chart_blocks(chart: Chart) -> list[Block]:
    sessions, zone = chart.sessions, chart.golden_zone
    first, last = sessions.row(0, named=True), sessions.row(-1, named=True)
    rolls = [
        f"{roll['date']} into {roll['contract'] or 'unknown'}"
        for roll in chart.rolls.iter_rows(named=True)
    ]
    text = (
        f"{plural(sessions.height, 'session')}, {first['date']} to {last['date']}; last close "
        f"{price(last['close'])} {chart.units}. Rolls: {', '.join(rolls) or 'none'}. Candles: "
        "open to close, with high and low; dashed line: the day's pivot P; dotted lines: swings "
        "and retracements of the last row; upright dashes: rolls"
        + ("; shaded: the golden zone." if zone else ".")
        + " Below: volume; drag across it to zoom."
    )
    groups = {"pivot": chart.pivots, "Fibonacci": chart.fibonacci, "golden zone": zone}
    levels = [
        (kind, level(name), price(value))
        for kind, group in groups.items()
        for name, value in group.items()
    ]
    levels += [("swing", level(name), value) for name, value in chart.swings.items()]
    if last["zone_state"] is not None:
        levels.append(("golden zone", "state at the close", _ZONE_STATES[last["zone_state"]]))
    if triggers := sessions.filter(triggered=True)["date"].cast(pl.String).to_list():
        levels.append(("golden zone", "qualified triggers", ", ".join(triggers)))
    title = f"{chart.root}, {chart.name}: rolls, pivots, Fibonacci"
    rows = pl.DataFrame(levels, schema=["of", "level", "price or date"], orient="row")
    return [
        Figure(
            f"price-{chart.root}",
            title + (" and golden zone" if zone else ""),
            text,
            price_figure(chart),
        ),
        grid(
            f"{chart.root}: levels of {last['date']}, in {chart.units}",
            rows,
            right=["price or date"],
            empty="No level is known yet.",
        ),
    ]
