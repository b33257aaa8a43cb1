"""Derived bars: 5, 15 and 30 minutes, and 4 hours from 17:00 Chicago time, from 1m or 1h bars."""

from __future__ import annotations

from typing import Final, Literal

import polars as pl

from cbi_assets.market.bars import DerivedTimeframe
from cbi_assets.market.sessions import CHICAGO

BuiltFrom = Literal["1m", "1h"]

_KEY: Final = ("symbol", "instrument_id", "trade_date", "start", "bar_end")


def derive_bars(
    bars: pl.DataFrame, timeframe: DerivedTimeframe, built_from: BuiltFrom
) -> pl.DataFrame:
    """Aggregate 1m or 1h bars to a coarser timeframe, never across trade dates or contracts.

    Steps are aligned to Chicago time, 4h ones to 17:00 (17-21, 21-1, 1-5, 5-9, 9-13, 13-17), so
    that none extends past the end of a trade date at 17:00. If the contract behind a symbol changes
    within a step, each contract has a bar of its own. A step without bars yields none.

    On the Sunday when clocks go back, the hour from 01:00 occurs twice; both belong to the one 4h
    step that starts there.

    Parameters
    ----------
    bars : pl.DataFrame
        ts_event (UTC), trade_date, root, symbol, kind, contract, instrument_id, open, high, low,
        close (native units), volume (contracts), load_id; in any order.
    timeframe : DerivedTimeframe
        Timeframe to build.
    built_from : BuiltFrom
        Timeframe of `bars`.

    Returns
    -------
    pl.DataFrame
        The columns of `bars` without load_id, and bar_end, built_from and load_ids (sorted); sorted
        by symbol, ts_event and instrument_id. `ts_event` is the step's start and `bar_end` its end,
        exclusive, both UTC. A price is null if a bar that it depends on lacks it.
    """
    start, end = _step(timeframe)
    return (
        bars.with_columns(start=start, bar_end=end)
        .sort("symbol", "ts_event")
        .group_by(_KEY, maintain_order=True)
        .agg(
            pl.col("root", "kind", "contract", "open").first(),
            _if_complete("high", pl.col("high").max()),
            _if_complete("low", pl.col("low").min()),
            pl.col("close").last(),
            pl.col("volume").sum(),
            pl.col("load_id").unique().sort().alias("load_ids"),
        )
        .rename({"start": "ts_event"})
        .with_columns(built_from=pl.lit(built_from))
        .sort("symbol", "ts_event", "instrument_id")
    )


def _if_complete(name: str, value: pl.Expr) -> pl.Expr:
    return pl.when(pl.col(name).null_count() == 0).then(value).alias(name)


def _step(timeframe: DerivedTimeframe) -> tuple[pl.Expr, pl.Expr]:
    """Start and end (UTC) of the step that contains `ts_event`."""
    if timeframe != "4h":
        # Chicago is whole hours from UTC, so minutes are the same in both.
        start = pl.col("ts_event").dt.truncate(timeframe)
        return start, start.dt.offset_by(timeframe)
    local = pl.col("ts_event").dt.convert_time_zone(CHICAGO).dt.replace_time_zone(None)
    step = local.dt.offset_by("-1h").dt.truncate("4h").dt.offset_by("1h")
    return _to_utc(step), _to_utc(step.dt.offset_by("4h"))


def _to_utc(local: pl.Expr) -> pl.Expr:
    # 01:00 occurs twice on one Sunday a year. A step from the first one on leaves no hour out.
    zoned = local.dt.replace_time_zone(CHICAGO, ambiguous="earliest")
    return zoned.dt.convert_time_zone("UTC")
