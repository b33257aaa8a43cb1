"""Find the trade dates whose bars changed, and compute the rows of a training table of bars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

import polars as pl

from cbi_assets.config.training import TrainingTable
from cbi_assets.features.targets import Steps, intraday_targets, no_symbols
from cbi_assets.tables import DERIVED, RAW, TRAINING, TableSpec
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.sql_files import load_sql

BATCH_BARS: Final = 250_000
"""Approximate number of bars in memory at a time; a trade date is never split."""

BARS: Final[dict[str, TableSpec]] = {
    "1m": RAW["1m"],
    "1h": RAW["1h"],
    **dict(DERIVED.items()),
}
"""The tables of bars, by size."""

_STEP: Final = {"1m": "MINUTE", "1h": "HOUR"}
_BEFORE: Final = dt.timedelta(days=10)
_AFTER: Final = dt.timedelta(days=2)


def changed_bars(
    warehouse: Warehouse, name: str, table: TrainingTable, steps: Steps | None, matrix: pl.DataFrame
) -> Iterator[tuple[pl.DataFrame, list[dt.date]]]:
    """Yield rows of a training table, and the trade dates that they replace all rows of.

    A date is replaced if its bars have other loads, if a matrix row behind it was written again, if
    the horizon is another, or if it was the newest and no longer is.

    Parameters
    ----------
    name : str
        The training table.
    table : TrainingTable
        What training.yaml says of it.
    steps : Steps or None
        The root's active sessions; None if it has none.
    matrix : pl.DataFrame
        data_date, timestamp, ingestion_ts, price_source of the root's matrix rows.
    """
    dates = _bar_dates(warehouse, table, steps)
    known = known_rows(matrix, dates)
    dates = _with_evidence(dates, known)
    existing = warehouse.query(
        load_sql("training/built_dates", table=TRAINING[name].id), {"root": table.root}
    )
    newest_end = dates["last_end"].max()
    evidence = ("bars", "loads", "first_row", "last_row", "first_written", "last_written")
    is_newest = pl.col("last_end") == pl.col("last_end").max()
    same = (
        dates.with_columns(horizon=pl.lit(table.horizon, pl.Int64), is_newest=is_newest)
        .join(existing, on=["trade_date", *evidence, "horizon"], how="inner", nulls_equal=True)
        .filter(pl.col("is_newest") | (pl.col("not_yet") == 0))
    )
    stale = dates.join(same, on="trade_date", how="anti").sort("trade_date")
    gone = existing.join(dates, on="trade_date", how="anti").sort("trade_date")
    if not gone.is_empty():
        yield pl.DataFrame(), gone["trade_date"].to_list()
    batches = (pl.col("bars").cum_sum() - pl.col("bars")) // BATCH_BARS
    for part in stale.with_columns(batch=batches).partition_by("batch", maintain_order=True):
        bars = _read_bars(warehouse, table, part)
        assert isinstance(newest_end, dt.datetime)
        rows = intraday_targets(bars, table.horizon, newest_end).drop("ts_event", "contract")
        yield _with_rows(rows, known), part["trade_date"].to_list()


def known_rows(matrix: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """Return when each matrix row was known: known_at, data_date, ingestion_ts; sorted.

    `ends` has the end of each trade_date's last bar, which may be after the stated close. A row of
    the vendor's 1d bars knows its UTC day, which ends after the session.
    """
    day_end = pl.col("data_date").dt.offset_by("1d").cast(pl.Datetime("us", "UTC"))
    is_daily = pl.col("price_source") == RAW["1d"].id
    close = pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    last_ends = ends.select(data_date="trade_date", last_end=pl.col("last_end"))
    return (
        matrix.join(last_ends, on="data_date", how="left")
        .select(
            pl.max_horizontal(close, "last_end", pl.when(is_daily).then(day_end)).alias("known_at"),
            "data_date",
            "ingestion_ts",
        )
        .sort("known_at")
    )


def _with_rows(bars: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Add the newest matrix row known by each bar's end: data_date, ingestion_ts."""
    return bars.join_asof(
        known, left_on="bar_end", right_on="known_at", strategy="backward", check_sortedness=False
    ).drop("known_at", strict=False)


def _source(table: TrainingTable) -> tuple[str, dict[str, str]]:
    """Return the id of a size's table, and how its columns are written."""
    assert table.bar is not None
    source = BARS[table.bar].id
    if (step := _STEP.get(table.bar)) is None:
        return source, {
            "bar_end": "own.bar_end",
            "loads": "ARRAY_TO_STRING(own.load_ids, ' ')",
        }
    return source, {
        "bar_end": f"TIMESTAMP_ADD(own.ts_event, INTERVAL 1 {step})",
        "loads": "own.load_id",
    }


def _bar_dates(warehouse: Warehouse, table: TrainingTable, steps: Steps | None) -> pl.DataFrame:
    """Return each trade date's symbol, contract, number of bars, loads, first and last end."""
    source, names = _source(table)
    every = warehouse.query(
        load_sql("training/bar_dates", table=source, **names), {"root": table.root}
    )
    every = every.with_columns(pl.col("first_end", "last_end").cast(pl.Datetime("us", "UTC")))
    symbols = no_symbols() if steps is None else steps.symbols
    return (
        symbols.join(every, on=["symbol", "trade_date"])
        .sort("trade_date", "rank")
        .unique("trade_date", keep="first", maintain_order=True)
    )


def _with_evidence(dates: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Add the first and last matrix row behind each date's bars, and when these were written."""
    for end, row, written in (
        ("first_end", "first_row", "first_written"),
        ("last_end", "last_row", "last_written"),
    ):
        dates = (
            dates.sort(end)
            .join_asof(
                known.rename({"data_date": row, "ingestion_ts": written}),
                left_on=end,
                right_on="known_at",
                strategy="backward",
                check_sortedness=False,
            )
            .drop("known_at", strict=False)
        )
    ends = (("first_row", "last_row"), ("first_written", "last_written"))
    return dates.with_columns(
        *(pl.min_horizontal(names).alias(names[0]) for names in ends),
        *(pl.max_horizontal(names).alias(names[1]) for names in ends),
    ).sort("trade_date")


def _read_bars(warehouse: Warehouse, table: TrainingTable, dates: pl.DataFrame) -> pl.DataFrame:
    """Return the bars of these dates' symbols, one per bar_end.

    Of two contracts in one bar, the vendor's symbol changed: the later one trades on, and is the
    contract of the bar that follows.
    """
    source, names = _source(table)
    chosen = warehouse.stage_frame("training_dates", dates.select("symbol", "trade_date"))
    first, last = dates["trade_date"].min(), dates["trade_date"].max()
    assert isinstance(first, dt.date)
    assert isinstance(last, dt.date)
    bars = warehouse.query(
        load_sql("training/bar_rows", table=source, chosen=chosen, **names),
        {"root": table.root, "first": _midnight(first - _BEFORE), "end": _midnight(last + _AFTER)},
    )
    utc = pl.Datetime("us", "UTC")
    last_contract = dates.select("trade_date", last_contract="contract")
    return (
        bars.with_columns(pl.col("ts_event", "bar_end").cast(utc))
        .join(last_contract, on="trade_date", how="left")
        .sort("bar_end", pl.col("contract") == pl.col("last_contract"))
        .unique("bar_end", keep="last", maintain_order=True)
        .drop("last_contract", "symbol")
    )


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
