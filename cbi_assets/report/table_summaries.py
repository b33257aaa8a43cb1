"""Summarize the tables: rows and ranges, partitions, coverage by month, books and loads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import polars as pl

from cbi_assets.config.universe import Universe
from cbi_assets.ledger.books import BOOK_COLUMNS
from cbi_assets.market.bars import TIMEFRAMES, Columns
from cbi_assets.market.sessions import trade_dates
from cbi_assets.tables import ALL_TABLES, TableSpec

BARS = ["root", "timeframe", "date"]
"""The columns that identify one trade date of a root's bars."""


def row_counts_sql(specs: Sequence[TableSpec] = ALL_TABLES) -> str:
    """Return one query for these tables' rows and range: id, row_count, first_date, last_date."""
    return "\nUNION ALL\n".join(_row_count_sql(spec) for spec in specs)


def _row_count_sql(spec: TableSpec) -> str:
    names = ("trade_date", spec.partition_by)
    date = next((name for name in names if name in spec.column_names), None)
    first, last = (f"MIN({date})", f"MAX({date})") if date else ("NULL", "NULL")
    return (
        f"SELECT '{spec.id}' AS id, COUNT(*) AS row_count, CAST({first} AS DATE) AS first_date, "
        f"CAST({last} AS DATE) AS last_date FROM `{spec.id}`"
    )


def tables_of(row_counts: pl.DataFrame) -> pl.DataFrame:
    """Return every table's id, description, rows, and first and last date, in ALL_TABLES order."""
    specs = pl.DataFrame([{"id": spec.id, "description": spec.description} for spec in ALL_TABLES])
    return specs.join(row_counts, on="id", maintain_order="left").rename(
        {"row_count": "rows", "first_date": "first", "last_date": "last"}
    )


def partitions_of(universe: Universe, days: pl.DataFrame) -> pl.DataFrame:
    """Summarize the bars of each root and timeframe. `days` is the result of report/days.sql.

    `last_session` is the newest trade date of which a session can be built: bars of the evening
    before it are not enough. `anonymous` counts bars of continuous symbols of unknown contract.
    """
    partitions = days.group_by("root", "timeframe").agg(
        pl.col("bars").sum().alias("rows"),
        pl.col("outrights", "spreads", "continuous", "anonymous").sum(),
        anonymous_first=pl.col("trade_date").filter(pl.col("anonymous") > 0).min(),
        anonymous_last=pl.col("trade_date").filter(pl.col("anonymous") > 0).max(),
        trade_dates=pl.len(),
        first=pl.col("trade_date").min(),
        last=pl.col("trade_date").max(),
        last_session=pl.col("trade_date").filter(pl.col("session_bars") > 0).max(),
    )
    return in_universe_order(partitions, universe)


def series_dates(days: pl.DataFrame) -> pl.DataFrame:
    """Return the trade dates on which an outright or a continuous symbol has a bar, as BARS."""
    has_series = pl.col("outrights") + pl.col("continuous") > 0
    return days.filter(has_series).select("root", "timeframe", date="trade_date")


def calendar_dates(universe: Universe, first: dt.date, last: dt.date) -> pl.DataFrame:
    """Return each root's trade dates from `first` to `last`: root, date."""
    dates = [
        {"root": root, "date": trade_dates(spec.calendar, first, last)}
        for root, spec in universe.roots.items()
    ]
    schema: Columns = {"root": pl.String, "date": pl.List(pl.Date)}
    return pl.DataFrame(dates, schema=schema).explode("date")


def months_of(universe: Universe, days: pl.DataFrame, through: dt.date) -> pl.DataFrame:
    """Count trade dates with a bar (`held`) of those in each month (`possible`), bars and volume.

    Every root with bars in a timeframe gets every month from the timeframe's first to its last,
    from the day on from which the root is wanted; in its last month, up to `through`.
    """
    dates = series_dates(days)
    if dates.is_empty():
        return pl.DataFrame(schema=_MONTHS)
    ranges = dates.group_by("timeframe").agg(
        start=pl.col("date").min().dt.month_start(),
        end=pl.max_horizontal(
            pl.col("date").max(), pl.min_horizontal(pl.col("date").max().dt.month_end(), through)
        ),
    )
    wanted = {root: universe.first_trade_date(root) for root in universe.roots}
    traded = days.group_by("root", "timeframe", month=pl.col("trade_date").dt.month_start()).agg(
        pl.col("bars", "volume").sum()
    )
    possible = (
        calendar_dates(universe, ranges["start"].min(), ranges["end"].max())  # type: ignore[arg-type]
        .join(dates.select("root", "timeframe").unique(), on="root")
        .join(ranges, on="timeframe")
        .with_columns(wanted=pl.col("root").replace_strict(wanted, return_dtype=pl.Date))
        .filter(pl.col("date").is_between(pl.max_horizontal("start", "wanted"), "end"))
    )
    months = (
        possible.join(dates.with_columns(held=True), on=BARS, how="left")
        .group_by("root", "timeframe", month=pl.col("date").dt.month_start())
        .agg(held=pl.col("held").count(), possible=pl.len())
        .join(traded, on=["root", "timeframe", "month"], how="left")
        .with_columns(pl.col("bars", "volume").fill_null(0))
    )
    return in_universe_order(months.sort("month"), universe, timeframe_first=True)


_MONTHS: Columns = {"root": pl.String, "timeframe": pl.String, "month": pl.Date, "held": pl.UInt32,
           "possible": pl.UInt32, "bars": pl.Int64, "volume": pl.Int64}  # fmt: skip


def daily_of(universe: Universe, days: pl.DataFrame) -> pl.DataFrame:
    """Return the bars of every calendar day from a series' `first` date on, one list per series."""
    series = ["root", "timeframe"]
    calendar = (
        days.group_by(series)
        .agg(first=pl.col("trade_date").min(), last=pl.col("trade_date").max())
        .select(*series, trade_date=pl.date_ranges("first", "last"))
        .explode("trade_date")
    )
    daily = (
        calendar.join(days, on=[*series, "trade_date"], how="left")
        .sort("trade_date")
        .group_by(series, maintain_order=True)
        .agg(pl.col("trade_date").first().alias("first"), pl.col("bars").fill_null(0))
    )
    return in_universe_order(daily, universe)


def arrivals_of(universe: Universe, arrivals: pl.DataFrame) -> pl.DataFrame:
    """Return what each load published per root and timeframe, and the newest UTC day by then.

    `arrivals` is the result of report/arrivals.sql. Sorted by series, then by time.
    """
    by_series = arrivals.with_columns(pl.col("newest").cum_max().over("root", "timeframe"))
    return in_universe_order(by_series, universe)


def books_of(by_file: pl.DataFrame) -> pl.DataFrame:
    """Return the books with one row per job and schema."""
    return (
        by_file.group_by(pl.col("job_id").fill_null("no job named").alias("job"), "schema")
        .agg(pl.len().alias("files"), pl.col(BOOK_COLUMNS).sum())
        .sort("job", "schema")
    )


def loads_of(loads: pl.DataFrame, staging_loads: pl.DataFrame) -> pl.DataFrame:
    """Return every load of bars and of staging (whose timeframe is empty), oldest first."""
    return pl.concat([loads, staging_loads], how="vertical_relaxed").sort(
        "loaded_at", "load_id", "timeframe"
    )


def in_universe_order(
    frame: pl.DataFrame, universe: Universe, *, timeframe_first: bool = False
) -> pl.DataFrame:
    """Sort by root, as the universe lists them, and timeframe; other roots come last."""
    root = pl.col("root").cast(pl.Enum(list(universe.roots)), strict=False)
    timeframe = pl.col("timeframe").cast(pl.Enum(TIMEFRAMES))
    order = [timeframe, root] if timeframe_first else [root, timeframe]
    return frame.sort(order, nulls_last=True, maintain_order=True)
