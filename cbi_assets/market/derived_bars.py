"""Coarser bars made of finer ones: 5, 15 and 30 minutes, and 4 hours from 17:00 at Chicago."""

from __future__ import annotations

from typing import Final, Literal

import polars as pl

from cbi_assets.market.bars import Columns, DerivedTimeframe
from cbi_assets.market.sessions import CHICAGO

BuiltFrom = Literal["1m", "1h"]

BAR_COLUMNS: Final[Columns] = {
    "ts_event": pl.Datetime("us", "UTC"),
    "trade_date": pl.Date,
    "root": pl.String,
    "symbol": pl.String,
    "kind": pl.String,
    "contract": pl.String,
    "instrument_id": pl.Int64,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Int64,
    "load_id": pl.String,
}
"""What bars are made of: starts in UTC, prices in native units, volume in contracts."""

DERIVED_COLUMNS: Final[Columns] = {
    "ts_event": pl.Datetime("us", "UTC"),
    "bar_end": pl.Datetime("us", "UTC"),
    "trade_date": pl.Date,
    "root": pl.String,
    "symbol": pl.String,
    "kind": pl.String,
    "contract": pl.String,
    "instrument_id": pl.Int64,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Int64,
    "built_from": pl.String,
    "load_ids": pl.List(pl.String),
}

_KEY: Final = ("symbol", "instrument_id", "trade_date", "start", "end")


def derive_bars(
    bars: pl.DataFrame, timeframe: DerivedTimeframe, built_from: BuiltFrom
) -> pl.DataFrame:
    """Bars of `timeframe` (DERIVED_COLUMNS, by symbol and start) from 1m or 1h `bars`.

    `bars` has BAR_COLUMNS, in any order. Steps lie on Chicago's wall clock, those of 4h from 17:00
    (17-21, 21-1, 1-5, 5-9, 9-13, 13-17), so that none reaches past the end of a trade date at
    17:00. `ts_event` is the step's start and `bar_end` its end, exclusive. Where the contract
    behind a symbol changes inside a step, each has a bar of its own there. A price is null where a
    bar that it rests on lacks it. Without a bar there is none.

    On the Sunday when the clocks go back, the hour from 01:00 comes twice, and both are of the one
    step of 4h that starts there.
    """
    start, end = _step(timeframe)
    return (
        bars.with_columns(start=start, end=end)
        .sort("symbol", "ts_event")
        .group_by(_KEY, maintain_order=True)
        .agg(
            pl.col("root").first(),
            pl.col("kind").first(),
            pl.col("contract").first(),
            pl.col("open").first(),
            _where_known("high", pl.col("high").max()),
            _where_known("low", pl.col("low").min()),
            pl.col("close").last(),
            pl.col("volume").sum(),
            pl.col("load_id").unique().sort().alias("load_ids"),
        )
        .with_columns(
            ts_event=pl.col("start"),
            bar_end=pl.col("end"),
            built_from=pl.lit(built_from),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in DERIVED_COLUMNS.items())
        .sort("symbol", "ts_event", "instrument_id")
    )


def _where_known(name: str, value: pl.Expr) -> pl.Expr:
    return pl.when(pl.col(name).null_count() == 0).then(value).alias(name)


def _step(timeframe: DerivedTimeframe) -> tuple[pl.Expr, pl.Expr]:
    """Start and end (UTC) of the step that a bar's start lies in."""
    if timeframe != "4h":
        # Chicago is whole hours from UTC: minutes are the same on either clock
        start = pl.col("ts_event").dt.truncate(timeframe)
        return start, start.dt.offset_by(timeframe)
    local = pl.col("ts_event").dt.convert_time_zone(CHICAGO).dt.replace_time_zone(None)
    step = local.dt.offset_by("-1h").dt.truncate("4h").dt.offset_by("1h")
    return _instant(step), _instant(step.dt.offset_by("4h"))


def _instant(local: pl.Expr) -> pl.Expr:
    # 01:00 comes twice once a year; from the first on, no hour is left out
    zoned = local.dt.replace_time_zone(CHICAGO, ambiguous="earliest")
    return zoned.dt.convert_time_zone("UTC")
