"""What the tables hold: rows and ranges, partitions, months, and the gaps in them."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby

import polars as pl

from cbi_assets.ledger.books import BOOK_COLUMNS
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.market.sessions import trade_dates
from cbi_assets.report.facts import Books, Gap, Load, Month, Partition, Table
from cbi_assets.report.gaps import Evidence, find_gaps
from cbi_assets.session import Project
from cbi_assets.tables import ALL_TABLES, TableSpec

Days = Mapping[Timeframe, pl.DataFrame]
"""By timeframe: root, trade_date, bars, outrights, spreads, continuous, session_bars."""


def stock_sql(specs: Iterable[TableSpec] = ALL_TABLES) -> str:
    """One query for the rows and the range of every table: id, held, first_date, last_date."""
    return "\nUNION ALL\n".join(_stock_of(spec) for spec in specs)


def _stock_of(spec: TableSpec) -> str:
    names = spec.column_names
    dated = next((n for n in ("trade_date", spec.partition_by) if n in names), None)
    ends = (
        f"CAST(MIN({dated}) AS DATE) AS first_date, CAST(MAX({dated}) AS DATE) AS last_date"
        if dated
        else "CAST(NULL AS DATE) AS first_date, CAST(NULL AS DATE) AS last_date"
    )
    return f"SELECT '{spec.id}' AS id, COUNT(*) AS held, {ends} FROM `{spec.id}`"


def tables_of(stock: pl.DataFrame) -> tuple[Table, ...]:
    """Every table of the project, in the project's order."""
    rows = {row["id"]: row for row in stock.iter_rows(named=True)}
    return tuple(
        Table(spec.id, spec.description, row["held"], row["first_date"], row["last_date"])
        for spec in ALL_TABLES
        for row in [rows[spec.id]]
    )


def partitions_of(project: Project, days: Days) -> tuple[Partition, ...]:
    """What each raw table holds of each root, in the universe's order."""
    found = [
        Partition(
            root=row["root"],
            timeframe=timeframe,
            rows=row["bars"],
            outrights=row["outrights"],
            spreads=row["spreads"],
            continuous=row["continuous"],
            trade_dates=row["trade_dates"],
            first=row["first"],
            last=row["last"],
            last_session=row["last_session"],
        )
        for timeframe in TIMEFRAMES
        for row in days[timeframe]
        .group_by("root")
        .agg(
            pl.col("bars", "outrights", "spreads", "continuous").sum(),
            pl.len().alias("trade_dates"),
            pl.col("trade_date").min().alias("first"),
            pl.col("trade_date").max().alias("last"),
            pl.col("trade_date").filter(pl.col("session_bars") > 0).max().alias("last_session"),
        )
        .iter_rows(named=True)
    ]
    order = {root: place for place, root in enumerate(project.universe.roots)}
    return tuple(
        sorted(found, key=lambda p: (order.get(p.root, len(order)), TIMEFRAMES.index(p.timeframe)))
    )


def months_of(project: Project, days: Days, through: dt.date) -> tuple[Month, ...]:
    """For each root with bars in a timeframe, every month from the timeframe's first to its last:
    trade dates held, of those that the sector has in it (in its last month, up to `through`)."""
    found = []
    for timeframe in TIMEFRAMES:
        held = _series_days(days[timeframe])
        every = [date for dates in held.values() for date in dates]
        if not every:
            continue
        first, last = min(every).replace(day=1), max(every)
        until = max(last, min(_month_end(last), through))
        for root in (r for r in project.universe.roots if r in held):
            calendar = project.universe.roots[root].calendar
            dates_of = trade_dates(calendar, max(first, project.universe.wanted_from(root)), until)
            for month, dates in groupby(dates_of, key=lambda date: date.replace(day=1)):
                possible = list(dates)
                there = sum(date in held[root] for date in possible)
                found.append(Month(root, timeframe, month, there, len(possible)))
    return tuple(found)


def gaps_of(
    project: Project,
    days: Days,
    reach: pl.DataFrame,
    quarantined: pl.DataFrame,
    missing_days: Collection[dt.date],
) -> tuple[Gap, ...]:
    """The gaps of every root of the universe in every timeframe that holds it."""
    held = {timeframe: _series_days(frame) for timeframe, frame in days.items()}
    spans: dict[tuple[str, str], list[tuple[dt.date, dt.date]]] = defaultdict(list)
    for timeframe, root, first, last in reach.iter_rows():
        spans[timeframe, root].append((first, last))
    aside: dict[tuple[str, str], set[dt.date]] = defaultdict(set)
    for timeframe, root, day in quarantined.iter_rows():
        aside[timeframe, root].add(day)
    found: list[Gap] = []
    for root, spec in project.universe.roots.items():
        vendor = dict.fromkeys(missing_days, "the jobs' condition.json")
        vendor |= dict.fromkeys(project.sources.databento.known_gaps.get(root, ()), "sources.yaml")
        for timeframe in TIMEFRAMES:
            elsewhere: dict[dt.date, str] = {}
            for other in TIMEFRAMES:
                if other != timeframe:
                    for date in held[other].get(root, ()):
                        elsewhere.setdefault(date, other)
            found += find_gaps(
                Evidence(
                    root,
                    timeframe,
                    spec.calendar,
                    held[timeframe].get(root, ()),
                    elsewhere,
                    vendor,
                    spans[timeframe, root],
                    aside[timeframe, root],
                )
            )
    return tuple(found)


def books_of(by_file: pl.DataFrame) -> tuple[Books, ...]:
    """The books, a row a job and schema."""
    rows = (
        by_file.with_columns(job=pl.col("job_id").fill_null("no job named"))
        .group_by("job", "schema")
        .agg(pl.len().alias("files"), pl.col(BOOK_COLUMNS).sum())
        .sort("job", "schema")
    )
    return tuple(Books(**row) for row in rows.iter_rows(named=True))


def loads_of(*histories: pl.DataFrame) -> tuple[Load, ...]:
    """Every load of bars and of staging, in the order of time."""
    found = [Load(**row) for frame in histories for row in frame.iter_rows(named=True)]
    return tuple(sorted(found, key=lambda load: (load.loaded_at, load.load_id, load.timeframe)))


def _series_days(frame: pl.DataFrame) -> dict[str, set[dt.date]]:
    """Trade dates by root on which an outright or a continuous symbol has a bar."""
    kept = frame.filter(pl.col("outrights") + pl.col("continuous") > 0)
    return {
        str(key[0]): set(part["trade_date"])
        for key, part in kept.partition_by("root", as_dict=True).items()
    }


def _month_end(date: dt.date) -> dt.date:
    following = (date.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    return following - dt.timedelta(days=1)
