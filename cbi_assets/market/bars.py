"""Bars as the vendor defines them: timeframes, record types, price units, malformed records.

Source: Databento's documentation of the OHLCV schemas and of DBN's conventions.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.datatypes import DataTypeClass

Timeframe = Literal["1d", "1h", "1m"]

DerivedTimeframe = Literal["5m", "15m", "30m", "4h"]

Columns = dict[str, pl.DataType | DataTypeClass]
"""A frame's columns and their types."""

TIMEFRAMES: Final[tuple[Timeframe, ...]] = ("1d", "1h", "1m")
SECONDS: Final[dict[Timeframe, int]] = {"1d": 86_400, "1h": 3_600, "1m": 60}
DERIVED_TIMEFRAMES: Final[tuple[DerivedTimeframe, ...]] = ("5m", "15m", "30m", "4h")
RTYPES: Final[dict[int, str]] = {
    32: "ohlcv-1s",
    33: "ohlcv-1m",
    34: "ohlcv-1h",
    35: "ohlcv-1d",
    36: "ohlcv-eod",
}
"""Schema by the record type (`rtype`) in a bar's own header."""

PRICE_UNIT: Final = 1_000_000_000
"""Raw prices are int64 multiples of 1e-9 of the native unit."""

UNDEFINED_PRICE: Final = 2**63 - 1
"""The raw price that means "undefined"."""

PRICES: Final = ("open", "high", "low", "close")


def timeframe_of(schema: str) -> Timeframe | None:
    """Return the timeframe of a schema (`ohlcv-1h` is `1h`), None if there is no table for it."""
    name = schema.removeprefix("ohlcv-")
    return next((timeframe for timeframe in TIMEFRAMES if timeframe == name), None)


def prices_from_raw(raw: npt.NDArray[np.int64]) -> pl.Series:
    """Convert raw int64 prices in units of 1e-9 to Float64; an undefined price becomes null.

    int64 / 1e9 rounds once, so below 9,007,199 the result is the float64 nearest to the price,
    equal to what parsing the decimal text returns.
    """
    undefined = raw == UNDEFINED_PRICE
    prices = pl.Series(raw / PRICE_UNIT)
    if not undefined.any():
        return prices
    return pl.select(
        pl.when(pl.Series(undefined)).then(None).otherwise(prices).alias("price")
    ).to_series()


def is_suspect(rtype: int) -> pl.Expr:
    """Return an expression that is true if a bar may be invalid, so that its raw record is kept.

    Deliberately wider than the load audit's rules (audit_rejected.sql), which decide. Never null.

    Parameters
    ----------
    rtype : int
        The record type that the file's schema calls for. The frame has open, high, low, close,
        volume, rtype, ts_event and symbol.
    """
    o, h, low, c = (pl.col(name) for name in PRICES)
    valid = (
        (low <= o)
        & (low <= c)
        & (o <= h)
        & (c <= h)
        & (pl.col("volume") >= 0)
        & (pl.col("rtype") == rtype)
        & (pl.col("ts_event").dt.timestamp("us") % 60_000_000 == 0)
        & (pl.col("symbol") != "")
    )
    if rtype in (34, 35):
        step = SECONDS["1h" if rtype == 34 else "1d"] * 1_000_000
        valid &= pl.col("ts_event").dt.timestamp("us") % step == 0
    return ~valid.fill_null(False)
