"""The page's sections on its state: coverage, checks, books, loads, and the traded roots."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from cbi_assets.formatting import instant, number, percent, plural, price
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.report.audit_model import Audit, Chart
from cbi_assets.report.charted_roots import level
from cbi_assets.report.data_sections import LISTED, more_rows
from cbi_assets.report.figures import (
    LOAD_OUTCOMES,
    OUTCOMES,
    books_figure,
    coverage_figure,
    history_figure,
    loads_figure,
    price_figure,
)
from cbi_assets.report.page import Block, Figure, Section, Text, grid

_ZONE_STATES = {0: "before the zone", 1: "in the zone", 2: "beyond the zone"}


def coverage_section(audit: Audit) -> Section:
    """Plot root by month for each timeframe."""
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
    return Section("coverage", "Coverage", blocks)


def checks_section(audit: Audit) -> Section:
    """Show the failing and warning results, then all checks, then their history."""
    state = pl.col("state")
    checks = audit.checks.rename({"name": "check"})
    offenders = (
        checks.filter(state.is_in(["fails", "warns"]))
        .select("state", "check", "table", "offenders")
        .explode("offenders")
        .unnest("offenders")
        .group_by("state", "check", "table", "expected", "actual", maintain_order=True)
        .agg(pl.col("partition").replace("", "whole table").str.join(", ").alias("where"))
        .sort("state", maintain_order=True)
        .select("state", "check", "table", "where", "expected", "actual")
    )
    worst = pl.coalesce(
        *(pl.when((state == one).any()).then(pl.lit(one)) for one in ("fails", "warns", "passes")),
        pl.lit("not run"),
    )
    stale = pl.when(pl.col("stale").any()).then(pl.lit(", older than the newest load"))
    by_name = checks.group_by("check", maintain_order=True).agg(
        (worst + stale.otherwise(pl.lit(""))).alias("last result"),
        pl.col("severity").first(),
        pl.format("{} of {}", pl.col("checked_at").count(), pl.len()).alias("tables"),
        pl.col("partitions").sum().alias("results"),
        pl.col("failed").sum().alias("not passed"),
        pl.col("checked_at").min().alias("oldest run, UTC"),
        pl.col("sentence").first().alias("rule"),
    )  # fmt: skip
    none = "None: every check that was run passes."
    code = ["check", "table"]
    blocks: list[Block] = [
        grid("Results that fail or warn", offenders.head(LISTED), code=code, empty=none),
        *more_rows(offenders, "results"),
        grid("Every check", by_name, code=["check"]),
    ]
    if audit.history.is_empty():
        blocks.append(Text("No run of checks is on record yet; cbi check makes one."))
    else:
        last = audit.history.row(-1, named=True)
        text = (
            f"{plural(audit.history.height, 'run')} of checks, the last at {instant(last['at'])} "
            f"UTC: {number(last['failed'])} of {number(last['partitions'])} results failed and "
            f"{number(last['warned'])} warned."
        )
        blocks.append(Figure("history", "Checks over time", text, history_figure(audit.history)))
    return Section("checks", "Checks", blocks)


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
    return Section("books", "Books and loads", blocks)


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
    """Show ZL and MES as in the matrix."""
    blocks = [block for chart in audit.charts for block in _chart_blocks(chart)]
    empty = [Text("The matrix has no row of them yet.")]
    return Section("trading", "ZL and MES", blocks or empty)


def _chart_blocks(chart: Chart) -> list[Block]:
    sessions, zone = chart.sessions, chart.golden_zone
    first, last = sessions.row(0, named=True), sessions.row(-1, named=True)
    rolls = [f"{date} into {contract or 'unknown'}" for date, contract in chart.rolls.rows()]
    text = (
        f"{plural(sessions.height, 'session')}, {first['date']} to {last['date']}; last close "
        f"{price(last['close'])} {chart.units}. Rolls: {', '.join(rolls) or 'none'}. Solid line: "
        "close; bars: high to low; dashed line: the day's pivot P; dotted lines: swings and "
        "retracements of the last row; upright dashes: rolls"
        + ("; shaded: the golden zone." if zone else ".")
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
