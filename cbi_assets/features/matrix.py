"""daily_ml_matrix: one row per root and trade date, known at that session's close."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import polars as pl

from cbi_assets.features.pivots import PIVOT_COLUMNS, pivots
from cbi_assets.market.bars import Timeframe
from cbi_assets.market.continuous import choose_active, session_bars
from cbi_assets.market.sessions import Calendar, session_close, trade_dates

BAR_COLUMNS = (
    "root",
    "symbol",
    "contract",
    "instrument_id",
    "trade_date",
    "ts_event",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "load_id",
)
"""What the matrix reads of a raw table."""


def build_matrix(
    hourly: pl.DataFrame,
    daily: pl.DataFrame,
    calendars: Mapping[str, Calendar],
    tables: Mapping[Timeframe, str],
    ingestion_ts: dt.datetime,
) -> pl.DataFrame:
    """Build the rows of daily_ml_matrix (its columns, in order) from raw bars.

    `hourly` and `daily` have BAR_COLUMNS: outrights and continuous symbols of rank 0. A session
    is built from 1h bars where there are any, else from the vendor's UTC-day bars. `calendars`
    names every root's sector; `tables` the tables' ids for `source.price_source`.
    """
    rows = []
    for timeframe, bars in (("1h", hourly), ("1d", daily)):
        if bars.is_empty():
            continue
        sessions = session_bars(bars, hourly=timeframe == "1h")
        active = choose_active(sessions)
        if active.is_empty():
            continue  # a single date of outrights: nobody knows yet which one stands
        calendar = _trade_dates_of(active, calendars)
        levels = pivots(active, sessions, calendar)
        rows.append(
            active.join(levels, on=["root", "trade_date"], how="left").with_columns(
                price_source=pl.lit(tables[timeframe])  # type: ignore[index]
            )
        )
    if not rows:
        return pl.DataFrame()
    # 1h comes first, so it stands where both have the date
    whole = pl.concat(rows).unique(["root", "trade_date"], keep="first", maintain_order=True)
    closes = {
        (root, date): session_close(date, calendars[root])
        for root, date in whole.select("root", "trade_date").iter_rows()
    }
    return (
        whole.with_columns(
            timestamp=pl.Series(
                [closes[key] for key in whole.select("root", "trade_date").iter_rows()],
                dtype=pl.Datetime("us", "UTC"),
            )
        )
        .sort("root", "trade_date")
        .select(
            pl.col("root").alias("symbol"),
            pl.col("trade_date").alias("data_date"),
            "timestamp",
            pl.struct("open", "high", "low", "close", "volume", "vwap", "realized_vol_1h").alias(
                "market_data"
            ),
            pl.struct(*PIVOT_COLUMNS).alias("pivots"),
            pl.struct(
                "price_source",
                pl.when(pl.col("contract_key").str.contains("#", literal=True))
                .then(pl.col("symbol"))
                .otherwise(pl.col("contract_key"))
                .alias("active_contract"),
                "roll_rule",
                "load_ids",
            ).alias("source"),
            pl.lit(ingestion_ts, dtype=pl.Datetime("us", "UTC")).alias("ingestion_ts"),
        )
    )


def _trade_dates_of(active: pl.DataFrame, calendars: Mapping[str, Calendar]) -> pl.DataFrame:
    spans = active.group_by("root", maintain_order=True).agg(
        pl.col("trade_date").min().alias("first"), pl.col("trade_date").max().alias("last")
    )
    frames = []
    for root, first, last in spans.iter_rows():
        # two weeks more, so that the first rows know their prior week
        days = trade_dates(calendars[root], first - dt.timedelta(days=14), last)
        frames.append(pl.DataFrame({"root": [root] * len(days), "trade_date": days}))
    return pl.concat(frames)
