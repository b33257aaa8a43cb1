"""The session's bar: one a symbol and trade date, from the bars inside it."""

from __future__ import annotations

from typing import Final

import polars as pl

from cbi_assets.market.bars import Columns

SESSION_COLUMNS: Final[Columns] = {
    "trade_date": pl.Date,
    "root": pl.String,
    "symbol": pl.String,
    "contract": pl.String,
    "contract_key": pl.String,
    "is_pure": pl.Boolean,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Int64,
    "vwap": pl.Float64,
    "realized_vol_1h": pl.Float64,
    "built_from": pl.String,
}
"""What is known of a session from its bars. `built_from` is their timeframe."""

FINE: Final = ("1m", "1h")
"""Timeframes that make an exchange session; a vendor's 1d bar is a UTC day."""


def session_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Aggregate bars to one a symbol and trade date (SESSION_COLUMNS), sorted by both.

    `bars` has root, symbol, contract, instrument_id, trade_date, ts_event, open, high, low, close,
    volume, weighted, built_from: hourly bars (whatever they were made of: `built_from`), or the
    vendor's UTC-day bars (`1d`). Prices in native units, volume in contracts; `weighted` is the sum
    of (H+L+C) V over the bars that an hour was made of. `contract_key` is the contract of the
    session's last bar (for a continuous symbol, its instrument id), and `is_pure` says that all of
    the session's bars are of it.

    vwap = sum((H+L+C)/3 V) / sum(V) and realized_vol_1h = sqrt(sum(r^2)) of the session's hourly
    log returns, the first from the session's open; both null where built from `1d`. A return over a
    price that is not positive has no logarithm: realized_vol_1h is null there.
    """
    key = pl.coalesce(
        "contract", pl.format("{}#{}", pl.col("symbol"), pl.col("instrument_id"))
    ).alias("contract_key")
    by_session = ("symbol", "trade_date", "built_from")
    start = pl.coalesce(
        pl.col("close").shift(1).over(*by_session, order_by="ts_event"), pl.col("open")
    )
    positive = (pl.col("close") > 0) & (start > 0)
    by_bar = bars.sort("symbol", "ts_event", "instrument_id").with_columns(
        key, pl.when(positive).then((pl.col("close") / start).log().pow(2)).alias("squared_return")
    )
    measured = {
        "vwap": pl.when(pl.col("volume").sum() > 0).then(
            pl.col("weighted").sum() / (3 * pl.col("volume").sum())
        ),
        "realized_vol_1h": pl.when(pl.col("squared_return").null_count() == 0).then(
            pl.col("squared_return").sum().sqrt()
        ),
    }
    is_fine = pl.col("built_from").is_in(FINE)
    return (
        by_bar.group_by("root", *by_session, maintain_order=True)
        .agg(
            pl.col("contract", "contract_key").last(),
            (pl.col("contract_key").n_unique() == 1).alias("is_pure"),
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            **measured,
        )
        .with_columns(pl.when(is_fine).then(pl.col("vwap", "realized_vol_1h")))
        .select(pl.col(name).cast(dtype) for name, dtype in SESSION_COLUMNS.items())
        .sort("symbol", "trade_date", "built_from")
    )


def choose_finest(stock: pl.DataFrame) -> pl.DataFrame:
    """Which bars a session is built from, of what is held.

    `stock` has root, symbol, trade_date, built_from, bars, volume: one row for each timeframe that
    has bars of a symbol and trade date. 1m bars stand before 1h bars, unless the 1h bars hold more
    volume: then some minutes are missing. Rows of 1d always stay, beside the others.
    """
    key = ["symbol", "trade_date"]
    fine = stock.filter(pl.col("built_from").is_in(FINE))
    is_twice = fine.select(key).is_duplicated()
    finest = (
        fine.filter(is_twice)
        .with_columns(rank=pl.col("built_from").replace_strict({"1m": 0, "1h": 1}))
        .sort("volume", "rank", descending=[True, False])
        .unique(key, keep="first", maintain_order=True)
        .drop("rank")
    )
    vendors = stock.filter(pl.col("built_from") == "1d")
    return pl.concat([fine.filter(~is_twice), finest, vendors]).sort(*key, "built_from")
