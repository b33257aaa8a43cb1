"""daily_ml_matrix: one row per root and trade date, known at that session's close."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import polars as pl

from cbi_assets.features.crush import CRUSH_COLUMNS, crush
from cbi_assets.features.fibonacci import FIBONACCI_COLUMNS, fibonacci
from cbi_assets.features.golden_zone import golden_zone
from cbi_assets.features.pivots import PIVOT_COLUMNS, pivots
from cbi_assets.features.regimes import name_regimes
from cbi_assets.features.volatility import log_returns, volatility
from cbi_assets.market.bars import Timeframe
from cbi_assets.market.continuous import choose_active, session_bars
from cbi_assets.market.sessions import Calendar, session_close, trade_dates
from cbi_assets.regimes import Regimes

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

ZONE_ROOTS = ("MES",)
"""The roots whose rows have a golden zone."""

_KEY = ["root", "trade_date"]


def build_matrix(
    hourly: pl.DataFrame,
    daily: pl.DataFrame,
    calendars: Mapping[str, Calendar],
    tables: Mapping[Timeframe, str],
    regimes: Regimes,
    ingestion_ts: dt.datetime,
) -> pl.DataFrame:
    """Build the rows of daily_ml_matrix (its columns, in order) from raw bars.

    `hourly` and `daily` have BAR_COLUMNS: outrights and continuous symbols of rank 0. A session
    is built from 1h bars where there are any, else from the vendor's UTC-day bars. `calendars`
    names every root's sector; `tables` the tables' ids for `source.price_source`.

    The crush of ZL's rows needs the bars of ZM and ZS. A return of the volatility is taken between
    bars of one timeframe; its windows reach over the root's rows of both.
    """
    rows = []
    zone_bars = hourly.clear()
    for timeframe, bars in (("1h", hourly), ("1d", daily)):
        if bars.is_empty():
            continue
        sessions = session_bars(bars, hourly=timeframe == "1h")
        active = choose_active(sessions)
        if active.is_empty():
            continue  # a single date of outrights: nobody knows yet which one stands
        if timeframe == "1h":
            zone_bars = bars.filter(pl.col("root").is_in(ZONE_ROOTS)).join(
                active, on=[*_KEY, "symbol"], how="semi"
            )
        calendar = _trade_dates_of(active, calendars)
        rows.append(
            active.join(pivots(active, sessions, calendar), on=_KEY, how="left")
            .join(log_returns(active, sessions, calendar), on=_KEY, how="left")
            .with_columns(price_source=pl.lit(tables[timeframe]))  # type: ignore[index]
        )
    if not rows:
        return pl.DataFrame()
    # 1h comes first, so it stands where both have the date
    whole = pl.concat(rows).unique(_KEY, keep="first", maintain_order=True)
    whole = (
        whole.join(fibonacci(whole), on=_KEY, how="left")
        .join(_as_struct("golden_zone", golden_zone(zone_bars)), on=_KEY, how="left")
        .join(crush(whole), on=_KEY, how="left")
        .join(volatility(whole), on=_KEY, how="left")
        .join(name_regimes(whole, regimes), on="trade_date", how="left")
    )
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
            pl.struct(*FIBONACCI_COLUMNS).alias("fibonacci"),
            "golden_zone",
            pl.struct(*CRUSH_COLUMNS).alias("crush"),
            pl.struct(
                pl.col("regime_name").alias("name"), "weight", "vol_percentile", "k_vol"
            ).alias("regime"),
            "regime_name",
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


def _as_struct(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The columns beside the key as one struct: its names are taken elsewhere in a row."""
    return rows.select(*_KEY, pl.struct(pl.exclude(_KEY)).alias(name))


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
