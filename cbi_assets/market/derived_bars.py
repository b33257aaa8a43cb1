"""Steps of derived bars: 5, 15 and 30 minutes, and 4 hours from 17:00 Chicago time.

No step extends past the end of a trade date at 17:00 (4h: 17-21, 21-1, 1-5, 5-9, 9-13, 13-17). On
the Sunday when clocks go back, the hour from 01:00 occurs twice; both belong to the one 4h step
that starts there.
"""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal

import polars as pl

from cbi_assets.market.bars import DerivedTimeframe
from cbi_assets.market.sessions import CHICAGO

BuiltFrom = Literal["1m", "1h"]

STEP_MINUTES: Final[dict[DerivedTimeframe, int]] = {"5m": 5, "15m": 15, "30m": 30}
"""Timeframes whose steps are the same in Chicago as in UTC, which is whole hours away."""

HOUR_MICROS: Final = 3_600_000_000


def four_hour_steps(first: dt.datetime, last: dt.datetime) -> pl.DataFrame:
    """Return the 4h step of each hour from `first` to `last` (UTC).

    Returns
    -------
    pl.DataFrame
        hour_no (hours since 1970), start, stop (exclusive), both in microseconds UTC.
    """
    start = first.replace(minute=0, second=0, microsecond=0)
    hours = pl.select(ts_event=pl.datetime_range(start, last, "1h", time_zone="UTC"))
    local = pl.col("ts_event").dt.convert_time_zone(CHICAGO).dt.replace_time_zone(None)
    step = local.dt.offset_by("-1h").dt.truncate("4h").dt.offset_by("1h")
    return hours.select(
        hour_no=pl.col("ts_event").dt.timestamp("us") // HOUR_MICROS,
        start=_to_utc(step).dt.timestamp("us"),
        stop=_to_utc(step.dt.offset_by("4h")).dt.timestamp("us"),
    )


def _to_utc(local: pl.Expr) -> pl.Expr:
    # 01:00 occurs twice on one Sunday a year. A step from the first one on leaves no hour out.
    zoned = local.dt.replace_time_zone(CHICAGO, ambiguous="earliest")
    return zoned.dt.convert_time_zone("UTC")
