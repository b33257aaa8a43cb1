"""Trade dates and session closes of CME's sectors.

A trade date is the date in Chicago seven hours later, moved to the next date on which the exchange
trades: an evening session belongs to the next day, and a holiday session to the next trade date.
Holidays come from pandas_market_calendars, which is never used to drop a bar; hours and early
closes are in `session_hours`.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cbi_assets.market.exchange_holidays import HOLIDAYS
from cbi_assets.market.session_hours import (
    FIRST,
    LAST,
    REGULAR,
    Calendar,
    early_closes,
    traded_without_equities,
)

__all__ = [
    "CHICAGO",
    "FIRST",
    "LAST",
    "Calendar",
    "last_session",
    "session_close",
    "session_closes",
    "trade_date_of",
    "trade_dates",
]

CHICAGO: Final = "America/Chicago"

_LONGEST_CLOSURE: Final = dt.timedelta(days=14)


@cache
def _exchange_dates() -> npt.NDArray[np.datetime64]:
    days = np.arange(np.datetime64(FIRST), np.datetime64(LAST) + np.timedelta64(1, "D"))
    holidays = np.array(HOLIDAYS, dtype="datetime64[D]")
    dates: npt.NDArray[np.datetime64] = days[np.is_busday(days, holidays=holidays)]
    return dates


@cache
def _trade_dates(calendar: Calendar | None) -> npt.NDArray[np.datetime64]:
    extra = np.array(traded_without_equities(calendar), dtype="datetime64[D]")
    return np.union1d(_exchange_dates(), extra)


def trade_dates(
    calendar: Calendar | None, start: dt.date = FIRST, end: dt.date = LAST
) -> list[dt.date]:
    """Return the sector's trade dates in [start, end], by default 2000-01-01 to 2040-12-31.

    `calendar` is None for a root whose sector is unknown: the dates on which equities trade.
    """
    dates = _trade_dates(calendar)
    low = np.searchsorted(dates, np.datetime64(start), side="left")
    high = np.searchsorted(dates, np.datetime64(end), side="right")
    found: list[dt.date] = dates[low:high].tolist()
    return found


def last_session(start: dt.datetime, calendar: Calendar | None) -> dt.date:
    """Return the trade date of the newest session of a series whose last bar starts then.

    Bars of the evening before a trade date make no session of it: it is the trade date that is not
    after the UTC day of that bar.
    """
    day = start.astimezone(dt.UTC).date()
    return trade_dates(calendar, day - _LONGEST_CLOSURE, day)[-1]


@cache
def _session_ends(calendar: Calendar | None) -> npt.NDArray[np.int64]:
    """The end of each trade date, 17:00 Chicago time, in microseconds since the epoch (UTC)."""
    dates = pl.Series(_trade_dates(calendar)).cast(pl.Datetime("us"))
    ends = dates.dt.offset_by("17h").dt.replace_time_zone(CHICAGO)
    return ends.dt.convert_time_zone("UTC").to_physical().to_numpy()


def trade_date_of(ts_event: pl.Series, calendar: Calendar | None) -> pl.Series:
    """Return the trade date of each bar: the first one that has not ended when the bar starts.

    Parameters
    ----------
    ts_event : pl.Series
        Bar starts, `pl.Datetime("us", "UTC")`, in any order.
    calendar : Calendar or None
        Sector calendar, for example "grains"; None if the root's sector is unknown.

    Returns
    -------
    pl.Series
        `trade_date`, `pl.Date`, one value per input, in input order. Null for null and for bars
        before the first trade date of 2000 or after the last of 2040.
    """
    dates, ends = _trade_dates(calendar), _session_ends(calendar)
    index = np.searchsorted(ends, ts_event.to_physical().fill_null(0).to_numpy(), side="right")
    start = ends[0] - 86_400_000_000
    inside = (ts_event.to_physical() >= start) & (ts_event.to_physical() < ends[-1])
    days = dates.astype(np.int64)[np.minimum(index, len(dates) - 1)]
    found = pl.Series("trade_date", days).cast(pl.Int32).cast(pl.Date)
    return pl.select(pl.when(inside).then(found)).to_series().alias("trade_date")


@cache
def _early_closes(calendar: Calendar) -> dict[dt.date, dt.time]:
    """The sector's early closes in Chicago time, by trade date."""
    traded = set(trade_dates(calendar))
    return {day: time for day, time in early_closes(calendar).items() if day in traded}


def session_closes(dates: pl.Series, calendar: Calendar) -> pl.Series:
    """Return the UTC time at which each trade date's session closes.

    Uses the sector's hours in force on that date, including early closes. A holiday session closes
    with the trade date it belongs to. Where sources disagree the latest time wins, so that a row
    stamped with it never predates its own bars.

    Parameters
    ----------
    dates : pl.Series
        Trade dates (`pl.Date`), in any order. Not checked against the calendar: a Saturday gets a
        time.
    calendar : Calendar
        Sector calendar, for example "grains".

    Returns
    -------
    pl.Series
        `session_close`, `pl.Datetime("us", "UTC")`, one value per input, in input order. Null for
        null dates and for dates before 2000-01-01; `session_close`, for one date, raises instead.
    """
    frame = pl.DataFrame({"date": dates}, schema={"date": pl.Date})
    regular = pl.lit(None, pl.Time)
    for first, weekdays, friday in REGULAR[calendar]:
        is_friday = pl.col("date").dt.weekday() == 5
        then = pl.when(is_friday).then(pl.lit(friday)).otherwise(pl.lit(weekdays))
        regular = pl.when(pl.col("date") >= first).then(then).otherwise(regular)
    early = pl.col("date").replace_strict(
        _early_closes(calendar), default=None, return_dtype=pl.Time
    )
    local = pl.col("date").dt.combine(pl.coalesce(early, regular), "us")
    found = local.dt.replace_time_zone(CHICAGO).dt.convert_time_zone("UTC")
    return frame.select(found.alias("session_close")).to_series()


def session_close(trade_date: dt.date, calendar: Calendar) -> dt.datetime:
    """Return one trade date's session close, in UTC.

    Raises
    ------
    ValueError
        If `trade_date` is before 2000-01-01, the first date with known hours.
    """
    close = session_closes(pl.Series([trade_date]), calendar)[0]
    if close is None:
        raise ValueError(f"{trade_date}: no session close is known before {FIRST}")
    found: dt.datetime = close
    return found.replace(tzinfo=dt.UTC)
