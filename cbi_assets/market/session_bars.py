"""The session bar: one per symbol and trade date, aggregated from the bars inside the session."""

from __future__ import annotations

from typing import Final

import polars as pl

INTRADAY: Final = ("1m", "1h")
"""Timeframes that make an exchange session, finest first. The vendor's 1d bar is a UTC day."""


def session_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Aggregate bars to one per symbol, trade date and `built_from`.

    Parameters
    ----------
    bars : pl.DataFrame
        root, symbol, contract, instrument_id, trade_date, ts_event, open, high, low, close,
        volume, weighted, built_from; in any order. Hourly bars, whatever they were made of
        (`built_from`), or the vendor's UTC-day bars (`1d`). Prices in native units, volume in
        contracts; `weighted` is the sum of (H+L+C) V over the bars that an hour was made of.

    Returns
    -------
    pl.DataFrame
        trade_date, root, symbol, contract, contract_key, is_pure, open, high, low, close, volume,
        vwap, realized_vol_1h, built_from; sorted by symbol, trade date and built_from.
        `contract_key` is the contract of the session's last bar (`symbol#instrument_id` for a
        continuous symbol); `is_pure` is whether all of the session's bars are of that contract.
        vwap = sum((H+L+C)/3 V) / sum(V) and realized_vol_1h = sqrt(sum(r^2)) of the session's
        hourly log returns, the first from the session's open, not annualised. Both are null if
        built from `1d`; realized_vol_1h also if a price is not positive, which has no logarithm.
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
    is_intraday = pl.col("built_from").is_in(INTRADAY)
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
            pl.when(pl.col("volume").sum() > 0)
            .then(pl.col("weighted").sum() / (3 * pl.col("volume").sum()))
            .alias("vwap"),
            pl.when(pl.col("squared_return").null_count() == 0)
            .then(pl.col("squared_return").sum().sqrt())
            .alias("realized_vol_1h"),
        )
        .with_columns(pl.when(is_intraday).then(pl.col("vwap", "realized_vol_1h")))
        .sort(by_session)
    )


def contract_sessions(sessions: pl.DataFrame) -> pl.DataFrame:
    """Return one session of each contract, trade date and kind of bars, whatever symbol has it.

    An outright's own comes first, then that of ROOT.v.0, of n, of c. The kinds are the exchange's
    sessions (1m, 1h) and the vendor's UTC days (1d); without the column `built_from`, all are one.

    Parameters
    ----------
    sessions : pl.DataFrame
        root, symbol, contract_key, trade_date and any others.

    Returns
    -------
    pl.DataFrame
        The chosen rows, with all columns; sorted by root, contract_key and trade_date.
    """
    letters = {"v": 1, "n": 2, "c": 3}
    letter = pl.col("symbol").str.extract(r"\.([vnc])\.\d+$")
    rank = letter.replace_strict(letters, default=0, return_dtype=pl.Int8)
    is_daily = pl.lit(False)
    if "built_from" in sessions.columns:
        is_daily = ~pl.col("built_from").is_in(INTRADAY)
    key = ["root", "contract_key", "trade_date", "is_daily"]
    return (
        sessions.with_columns(is_daily=is_daily, rank=rank)
        .sort(*key, "rank", "symbol")
        .unique(key, keep="first", maintain_order=True)
        .drop("is_daily", "rank")
    )


def choose_finest(inventory: pl.DataFrame) -> pl.DataFrame:
    """Choose the timeframe that each session is built from.

    1m bars win over 1h bars, unless the 1h bars have more volume: then some minutes are missing.
    Rows of 1d bars are always kept, in addition to the others.

    Parameters
    ----------
    inventory : pl.DataFrame
        root, symbol, trade_date, built_from, bars, volume: one row per timeframe that has bars of
        a symbol and trade date.

    Returns
    -------
    pl.DataFrame
        The chosen rows, sorted by symbol, trade date and built_from.
    """
    key = ["symbol", "trade_date"]
    intraday = inventory.filter(pl.col("built_from").is_in(INTRADAY))
    is_twice = intraday.select(key).is_duplicated()
    finest = (
        intraday.filter(is_twice)
        .with_columns(rank=pl.col("built_from").replace_strict({"1m": 0, "1h": 1}))
        .sort("volume", "rank", descending=[True, False])
        .unique(key, keep="first", maintain_order=True)
        .drop("rank")
    )
    daily = inventory.filter(pl.col("built_from") == "1d")
    return pl.concat([intraday.filter(~is_twice), finest, daily]).sort(*key, "built_from")
