"""Small frames of bars and sessions for the tests of features."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from cbi_assets.features.matrix import BAR_COLUMNS
from cbi_assets.market.continuous import SESSION_COLUMNS

BAR_SCHEMA: dict[str, Any] = {
    "root": pl.String,
    "symbol": pl.String,
    "contract": pl.String,
    "instrument_id": pl.Int64,
    "trade_date": pl.Date,
    "ts_event": pl.Datetime("us", "UTC"),
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Int64,
    "load_id": pl.String,
}
assert tuple(BAR_SCHEMA) == BAR_COLUMNS


def bar(
    date: dt.date,
    hour: int,
    ohlc: tuple[float, float, float, float],
    volume: int = 10,
    symbol: str = "ZL.v.0",
    contract: str | None = None,
    instrument_id: int = 1,
    root: str = "ZL",
    load_id: str = "L1",
) -> tuple[Any, ...]:
    """A bar that starts at `hour` UTC of its trade date."""
    start = dt.datetime.combine(date, dt.time(hour), dt.UTC)
    return (root, symbol, contract, instrument_id, date, start, *ohlc, volume, load_id)


def bar_frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row")


def session(
    date: dt.date,
    hlc: tuple[float, float, float] = (11.0, 9.0, 10.0),
    volume: int = 10,
    symbol: str = "ZL.v.0",
    contract_key: str = "ZL.v.0#1",
    is_pure: bool = True,
    root: str = "ZL",
) -> tuple[Any, ...]:
    """A session whose open is its close."""
    high, low, close = hlc
    prices = (close, high, low, close)
    return (root, date, symbol, contract_key, is_pure, *prices, volume, None, None, ["L1"])


def outright(date: dt.date, contract: str, volume: int, root: str = "ZL") -> tuple[Any, ...]:
    """A session of an outright such as `ZLH2024`."""
    return session(
        date, volume=volume, symbol=contract[:3] + contract[-1], contract_key=contract, root=root
    )


def session_frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SESSION_COLUMNS, orient="row")


def calendar_frame(days: list[dt.date], root: str = "ZL") -> pl.DataFrame:
    return pl.DataFrame({"root": [root] * len(days), "trade_date": days})
