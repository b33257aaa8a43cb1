"""The page's sections on how it stands: coverage, checks, books, loads, and the traded roots."""

from __future__ import annotations

from collections import defaultdict

from cbi_assets.formatting import instant, level, number, percent, plural, price
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.report.facts import Audit, Chart, Check
from cbi_assets.report.figures import (
    FATES,
    books_figure,
    coverage_figure,
    history_figure,
    loads_figure,
    price_figure,
)
from cbi_assets.report.page import Block, Code, Figure, Grid, Section, Text
from cbi_assets.report.sections_data import LISTED

_STATES = ("fails", "warns", "not run", "holds")


def coverage_section(audit: Audit) -> Section:
    """Root × month by timeframe."""
    blocks: list[Block] = []
    for timeframe in TIMEFRAMES:
        own = [month for month in audit.months if month.timeframe == timeframe]
        if not own:
            blocks.append(Text(f"No {timeframe} bars are published."))
            continue
        held, possible = sum(m.held for m in own), sum(m.possible for m in own)
        roots = len({month.root for month in own})
        told = (
            f"{plural(roots, 'root')} from {own[0].month:%B %Y} to {own[-1].month:%B %Y}: "
            f"{number(held)} of {number(possible)} trade dates have a {timeframe} bar "
            f"({percent(held, possible)})."
        )
        title = f"Coverage of {timeframe} bars, root by month"
        spec = coverage_figure(own, timeframe)
        blocks.append(Figure(f"coverage-{timeframe}", title, told, spec))
    return Section("coverage", "Coverage", blocks)


def checks_section(audit: Audit) -> Section:
    """The checks: those that do not hold with offenders, then all, then over time."""
    by_name: dict[str, list[Check]] = defaultdict(list)
    for check in audit.checks:
        by_name[check.name].append(check)
    rows = []
    for name, group in by_name.items():
        state = min((check.state for check in group), key=_STATES.index)
        if state == "not run" and any(check.state == "holds" for check in group):
            state = "holds"
        run = [check for check in group if check.checked_at is not None]
        oldest = min((check.checked_at for check in run if check.checked_at), default=None)
        rows.append(
            [
                Code(name),
                state + (", older than the newest load" if any(c.stale for c in group) else ""),
                group[0].severity,
                f"{len(run)} of {len(group)}",
                number(sum(check.partitions for check in group)),
                number(sum(check.failed for check in group)),
                instant(oldest),
                group[0].sentence,
            ]
        )
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for state in ("fails", "warns"):
        for check in audit.checks:
            for offender in check.offenders if check.state == state else ():
                key = (state, check.name, check.table, offender.expected, offender.actual)
                alike[key].append(offender.partition or "whole table")
    offenders = [
        [state, Code(name), Code(table), ", ".join(partitions), expected, actual]
        for (state, name, table, expected, actual), partitions in alike.items()
    ]
    blocks: list[Block] = [
        Grid(
            "Results that do not hold",
            ["state", "check", "table", "where", "expected", "actual"],
            offenders[:LISTED],
            empty="None: every check that was run holds.",
        )
    ]
    if len(offenders) > LISTED:
        rest = number(len(offenders) - LISTED)
        blocks.append(Text(f"{rest} more results: audit.json has all of them."))
    columns = ["check", "last result", "severity", "tables", "results", "do not hold",
               "oldest run, UTC", "what it holds to"]  # fmt: skip
    blocks.append(Grid("Every check", columns, rows, frozenset({"results", "do not hold"})))
    if audit.history:
        last = audit.history[-1]
        told = (
            f"{plural(len(audit.history), 'run')} of checks, the last at {instant(last.at)} UTC: "
            f"{number(last.failed)} of {number(last.partitions)} results failed and "
            f"{number(last.warned)} warned."
        )
        blocks.append(Figure("history", "Checks over time", told, history_figure(audit.history)))
    else:
        blocks.append(Text("No run of checks is on record yet; cbi check makes one."))
    return Section("checks", "Checks", blocks)


def books_section(audit: Audit) -> Section:
    """From files to tables, and load by load."""
    names = list(FATES)
    counts = ["records", *names, "difference"]
    rows = [
        [Code(row.job), row.schema, number(row.files), *(number(getattr(row, n)) for n in counts)]
        for row in audit.books
    ]
    headings = ["records read", *FATES.values(), "not accounted for"]
    if rows:
        totals = [sum(getattr(row, name) for row in audit.books) for name in counts]
        files = sum(row.files for row in audit.books)
        rows.append(["all jobs", "", number(files), *(number(total) for total in totals)])
    blocks: list[Block] = []
    if audit.books:
        records = sum(row.records for row in audit.books)
        parts = [
            f"{number(total)} {told}"
            for name, told in FATES.items()
            if (total := sum(getattr(row, name) for row in audit.books))
        ]
        blocks.append(
            Figure(
                "books-flow",
                "From files to tables: what became of every record",
                f"{number(records)} records read = {' + '.join(parts)}.",
                books_figure(audit.books),
            )
        )
    blocks.append(
        Grid(
            "The books, job by job",
            ["job", "schema", "files", *headings],
            rows,
            frozenset({"files", *headings}),
            "No file was loaded yet.",
        )
    )
    if audit.loads:
        runs = len({load.load_id for load in audit.loads})
        last = audit.loads[-1]
        blocks.append(
            Figure(
                "loads",
                "Load history",
                f"{plural(runs, 'load')}, the last at {instant(last.loaded_at)} UTC.",
                loads_figure(audit.loads),
            )
        )
        newest = audit.loads[-LISTED:]
        blocks.append(
            Grid(
                "Loads" if len(newest) == len(audit.loads) else f"The last {LISTED} loads",
                ["load", "of", "at, UTC", "files", "records", "published", "equal, dropped",
                 "set aside"],
                [
                    [Code(load.load_id), load.timeframe or "staging", instant(load.loaded_at),
                     number(load.files), number(load.records), number(load.published),
                     number(load.duplicates), number(load.set_aside)]
                    for load in newest
                ],
                frozenset({"files", "records", "published", "equal, dropped", "set aside"}),
            )
        )  # fmt: skip
    return Section("books", "Books and loads", blocks)


def trading_section(audit: Audit) -> Section:
    """ZL and MES as the matrix has them."""
    if not audit.charts:
        return Section("trading", "ZL and MES", [Text("The matrix has no row of them yet.")])
    blocks: list[Block] = []
    for chart in audit.charts:
        blocks += _of_root(chart)
    return Section("trading", "ZL and MES", blocks)


def _of_root(chart: Chart) -> list[Block]:
    first, last = chart.sessions[0], chart.sessions[-1]
    rolls = ", ".join(f"{roll.date} into {roll.contract or 'unknown'}" for roll in chart.rolls)
    told = (
        f"{plural(len(chart.sessions), 'session')}, {first.date} to {last.date}; last close "
        f"{price(last.close)} {chart.units}. Rolls: {rolls or 'none'}. Solid line: close; bars: "
        "high to low; dashed line: the day's pivot P; dotted lines: swings and retracements of the "
        "last row; upright dashes: rolls"
        + ("; shaded: the golden zone." if chart.golden_zone else ".")
    )
    levels = [
        [kind, level(name), price(value)]
        for kind, group in (
            ("pivot", chart.pivots),
            ("Fibonacci", chart.fibonacci),
            ("golden zone", chart.golden_zone),
        )
        for name, value in group.items()
    ]
    levels += [["swing", level(name), value] for name, value in chart.swings.items()]
    states = {0: "before the zone", 1: "in the zone", 2: "beyond the zone"}
    if last.zone_state is not None:
        levels.append(["golden zone", "state at the close", states[last.zone_state]])
    if any(row.triggered for row in chart.sessions):
        dates = ", ".join(str(row.date) for row in chart.sessions if row.triggered)
        levels.append(["golden zone", "qualified triggers", dates])
    title = f"{chart.root}, {chart.name}: rolls, pivots, Fibonacci" + (
        " and golden zone" if chart.golden_zone else ""
    )
    return [
        Figure(f"price-{chart.root}", title, told, price_figure(chart)),
        Grid(
            f"{chart.root}: levels of {last.date}, in {chart.units}",
            ["of", "level", "price or date"],
            levels,
            frozenset({"price or date"}),
            "No level is known yet.",
        ),
    ]
