"""Trade dates and session closes of CME's sectors.

A trade date is the date in Chicago seven hours later, moved to the next date on which the exchange
trades: an evening session belongs to the next day, and a holiday session to the next trade date.
Holidays and early closes come from pandas_market_calendars, which is never used to drop a bar; the
regular hours since 2010 are listed here.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from cbi_assets.library_warnings import ignore_library_warnings

Calendar = Literal["grains", "livestock", "equity", "energy", "metals", "fx"]

CHICAGO: Final = "America/Chicago"
FIRST: Final = dt.date(2000, 1, 1)
LAST: Final = dt.date(2040, 12, 31)

# National days of mourning. CME_TradeDate follows the equity products, which closed at 08:30 on
# 2025-01-09 (16 of 23 hours, 7% of a day's volume) and all day on 2018-12-05. Every other sector
# traded and settled: 23 hours to 16:00 in CL, GC, 6E and NG on 2025-01-09, the grains and livestock
# into the hour from 12:00.
_TRADED_WITHOUT_EQUITIES: Final = (dt.date(2018, 12, 5), dt.date(2025, 1, 9))

# (first trade date, close Monday to Thursday, close on Friday) in Chicago time: the end of the last
# trading that belongs to the trade date. Sources: CME's notices, as reported at the time.
# - grains: 14:00 with the 21-hour day of 2012-05-21 (CBOT, May 2012), back to 13:15 on 2013-04-08
#   (CBOT filing 13-092), 13:20 from 2015-07-06 (CME, 9 June 2015).
# - livestock: 16:00, Fridays 13:55, before and after the shorter days of 2014-10-27 (CME, 3 October
#   2014); 13:05 from 2016-02-29 (SER-7591).
# - equity: 15:15, and 15:30 to 16:30 on all days but Friday, until the trade date of 2012-11-19.
#   The exchange counts that hour to the next trade date, `trade_date_of` to this one. Then 16:15;
#   16:00 with the earlier maintenance of 2015-09-21, as in energy and metals.
_CLOSES: Final[dict[Calendar, tuple[tuple[dt.date, dt.time, dt.time], ...]]] = {
    "grains": (
        (FIRST, dt.time(13, 15), dt.time(13, 15)),
        (dt.date(2012, 5, 21), dt.time(14, 0), dt.time(14, 0)),
        (dt.date(2013, 4, 8), dt.time(13, 15), dt.time(13, 15)),
        (dt.date(2015, 7, 6), dt.time(13, 20), dt.time(13, 20)),
    ),
    "livestock": (
        (FIRST, dt.time(16, 0), dt.time(13, 55)),
        (dt.date(2016, 2, 29), dt.time(13, 5), dt.time(13, 5)),
    ),
    "equity": (
        (FIRST, dt.time(16, 30), dt.time(15, 15)),
        (dt.date(2012, 11, 19), dt.time(16, 15), dt.time(16, 15)),
        (dt.date(2015, 9, 21), dt.time(16, 0), dt.time(16, 0)),
    ),
    "energy": (
        (FIRST, dt.time(16, 15), dt.time(16, 15)),
        (dt.date(2015, 9, 21), dt.time(16, 0), dt.time(16, 0)),
    ),
    "metals": (
        (FIRST, dt.time(16, 15), dt.time(16, 15)),
        (dt.date(2015, 9, 21), dt.time(16, 0), dt.time(16, 0)),
    ),
    "fx": ((FIRST, dt.time(16, 0), dt.time(16, 0)),),
}

# Calendars of pandas_market_calendars that list the sectors' early closes.
_EARLY_CLOSE_CALENDARS: Final[dict[Calendar, str]] = {
    "grains": "CME_Agriculture",
    "livestock": "CMEGlobex_Livestock",
    "equity": "CME Globex Equity",
    "energy": "CMEGlobex_EnergyAndMetals",
    "metals": "CMEGlobex_EnergyAndMetals",
    "fx": "CMEGlobex_FX",
}
# The library has 12:00 for grains and 12:05 for livestock; the exchange announced 12:15 for both
# when it last closed them early (2025-01-09, notice of 2024-12-30). The latest is used for all.
_AGRICULTURE_EARLY_CLOSE: Final = dt.time(12, 15)
# NYMEX and COMEX close at 13:45 New York time on December 24; the library has it for 2026 only.
_CHRISTMAS_EVE: Final = dt.time(12, 45)
# The library's FX closes are verified to 2022; FX has traded to 16:00 on these holidays since.
_LAST_FX_EARLY_CLOSE: Final = dt.date(2022, 12, 31)
# In 2012 equities traded again from 15:30 to 16:30. No source says that they did not on this date.
_EQUITY_MAY_HAVE_REOPENED: Final = dt.date(2012, 7, 3)

# At import: set in a function, the filters could be lost to another thread's catch_warnings.
ignore_library_warnings()


def _library_calendar(name: str) -> Any:
    import pandas_market_calendars  # takes 0.7 s, and only a load or a build needs it

    return pandas_market_calendars.get_calendar(name)


@cache
def _exchange_dates() -> npt.NDArray[np.datetime64]:
    # The library's `valid_days` returns the same in twice the time.
    business = _library_calendar("CME_TradeDate").holidays().calendar
    days = np.arange(np.datetime64(FIRST), np.datetime64(LAST) + np.timedelta64(1, "D"))
    dates: npt.NDArray[np.datetime64] = days[np.is_busday(days, busdaycal=business)]
    return dates


@cache
def _trade_dates(calendar: Calendar | None) -> npt.NDArray[np.datetime64]:
    if calendar in (None, "equity"):
        return _exchange_dates()
    extra = np.array(_TRADED_WITHOUT_EQUITIES, dtype="datetime64[D]")
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
    library = _library_calendar(_EARLY_CLOSE_CALENDARS[calendar])
    closes = library.special_dates(
        "market_close", FIRST, LAST, filter_holidays=False
    ).dt.tz_convert(CHICAGO)
    found = {close.date(): close.time() for close in closes}
    match calendar:
        case "grains" | "livestock":
            found = dict.fromkeys([*found, dt.date(2025, 1, 9)], _AGRICULTURE_EARLY_CLOSE)
        case "energy" | "metals":
            years = range(FIRST.year, LAST.year + 1)
            found |= {dt.date(year, 12, 24): _CHRISTMAS_EVE for year in years}
        case "equity":
            del found[_EQUITY_MAY_HAVE_REOPENED]
        case "fx":
            found = {day: time for day, time in found.items() if day <= _LAST_FX_EARLY_CLOSE}
    traded = set(trade_dates(calendar))
    return {day: time for day, time in found.items() if day in traded}


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
    for first, weekdays, friday in _CLOSES[calendar]:
        is_friday = pl.col("date").dt.weekday() == 5
        then = pl.when(is_friday).then(pl.lit(friday)).otherwise(pl.lit(weekdays))
        regular = pl.when(pl.col("date") >= first).then(then).otherwise(regular)
    early_closes = _early_closes(calendar)
    early = pl.col("date").replace_strict(
        list(early_closes), list(early_closes.values()), default=None, return_dtype=pl.Time
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
